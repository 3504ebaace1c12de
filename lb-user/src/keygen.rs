//! Certificates of a cluster.
