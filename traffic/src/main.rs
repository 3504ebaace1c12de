//! traffic.
fn main() {}
