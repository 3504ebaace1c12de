//! The two programs: verdict in, action out.

use crate::frame::{TcFrame, XdpFrame, now};
use crate::maps::{Maps, PORTS};
use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    helpers::{bpf_redirect, bpf_redirect_neigh},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use lb_common::{Frame as _, Verdict, forward};

/// Native XDP, also with fragments (an MTU above 3520).
#[xdp(frags)]
pub fn baton_xdp(context: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(&context);
    match forward(&mut frame, &Maps, now()) {
        // Unresolved: the rewritten packet goes up, the kernel asks for the neighbour and forwards.
        Verdict::Pass | Verdict::Resolve(_) => xdp_action::XDP_PASS,
        Verdict::Drop(_) => xdp_action::XDP_DROP,
        Verdict::Reply => xdp_action::XDP_TX,
        Verdict::Transmit(ifindex) if ifindex == frame.ingress() => xdp_action::XDP_TX,
        Verdict::Transmit(ifindex) => match PORTS.redirect(ifindex, xdp_action::XDP_DROP as u64) {
            Ok(action) | Err(action) => action,
        },
    }
}

/// tcx, and clsact on kernels without it.
#[classifier]
pub fn baton_tc(context: TcContext) -> i32 {
    let mut frame = TcFrame::new(&context);
    match forward(&mut frame, &Maps, now()) {
        Verdict::Pass => TC_ACT_UNSPEC,
        Verdict::Drop(_) => TC_ACT_SHOT,
        // SAFETY: plain helper calls.
        Verdict::Reply => unsafe { bpf_redirect(frame.ingress(), 0) as i32 },
        Verdict::Transmit(ifindex) => unsafe { bpf_redirect(ifindex, 0) as i32 },
        Verdict::Resolve(ifindex) => unsafe {
            bpf_redirect_neigh(ifindex, core::ptr::null_mut(), 0, 0) as i32
        },
    }
}
