//! batond.
fn main() {}
