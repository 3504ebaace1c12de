//! The failover path: election, addresses, announcements.
