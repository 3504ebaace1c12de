//! The packet path on a treadmill: every run gets the next flow's packet.
//!
//! `BPF_PROG_TEST_RUN` repeats one packet, so the programs write the headers themselves. `idle` does only that,
//! `floor` adds one hash lookup and a full rewrite, `path` adds `forward`. The differences are what they cost.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod frame;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod treadmill;

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
