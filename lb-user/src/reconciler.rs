//! Owner of desired and actual.
