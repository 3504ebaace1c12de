//! A node with BFD sessions of every kind, any datagrams. See `harness/bfd.rs`.
#![no_main]

#[path = "../harness/bfd.rs"]
mod bfd_node;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bfd_node::run(data));
