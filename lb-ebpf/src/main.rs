//! BPF entry points of the packet path.
//!
//! Purpose: hand a packet to `lb_common::forward` and turn its verdict into an action, once for XDP and
//! once for tc. What the packet path means by frame and tables is in `frame` and `maps`; nothing here
//! decides about a packet. The daemon loads, attaches and pins the programs; they run without it.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod entry;
#[cfg(target_arch = "bpf")]
mod frame;
#[cfg(target_arch = "bpf")]
mod maps;

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
