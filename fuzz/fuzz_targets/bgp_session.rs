//! An established session, any stream of bytes. See `harness/session.rs`.
#![no_main]

#[path = "../harness/session.rs"]
mod session;

libfuzzer_sys::fuzz_target!(|data: &[u8]| session::run(data));
