//! Tests that need several crates, the kernel or real peers.
