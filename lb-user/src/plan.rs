//! The pure difference between desired and actual.
