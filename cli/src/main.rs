//! batonctl.
fn main() {}
