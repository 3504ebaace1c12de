//! The compiled programs, built by `build.rs`.

/// `lb-ebpf`: the packet path as XDP and tc, and its maps.
pub static PROGRAMS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lb-ebpf"));

pub const XDP: &str = "baton_xdp";
pub const TC: &str = "baton_tc";

/// `lb-bench`: for the benchmark alone; the daemon does not contain it.
pub static BENCH: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lb-bench"));
