//! The programs of the benchmark.

use crate::frame::{XdpFrame, now};
use crate::maps::Maps;
use aya_ebpf::{
    bindings::xdp_action,
    macros::{map, xdp},
    maps::{Array, HashMap, PerCpuArray},
    programs::XdpContext,
};
use lb_common::{Frame as _, Verdict, fold, forward, load, store, update_transport_checksum};

/// How many flows take turns.
#[map]
static TURNS: Array<u32> = Array::with_max_entries(1, 0);
#[map]
static NEXT: PerCpuArray<u32> = PerCpuArray::with_max_entries(1, 0);

/// Source, destination, ports, protocol: the least that tells IPv4 flows apart.
type FloorKey = [u32; 4];

#[repr(C)]
#[derive(Clone, Copy)]
struct FloorFlow {
    src: u32,
    dst: u32,
    ports: u32,
    address_delta: u16,
    port_delta: u16,
    macs: [u32; 3],
    pad: u32,
}

#[map]
static FLOOR: HashMap<FloorKey, FloorFlow> = HashMap::with_max_entries(1, 0);

const VIP: u32 = u32::from_ne_bytes([203, 0, 113, 10]);
/// Client's port 40000, service's port 80, in network order.
const PORTS: u32 = u32::from_ne_bytes([0x9c, 0x40, 0, 80]);
const HEADERS: usize = 54;

/// Writes the headers of the next flow: an ACK of client 10.x.x.x to the VIP.
#[inline(always)]
fn next(frame: &mut XdpFrame) -> Option<*mut u8> {
    let turns = *TURNS.get(0)?;
    let counter = NEXT.get_ptr_mut(0)?;
    let packet = frame.at(0, HEADERS)?;
    // SAFETY: the slot of this CPU; `at` promised 54 bytes.
    unsafe {
        let turn = if *counter >= turns { 0 } else { *counter };
        *counter = turn + 1;
        store(packet, 0, 0x0000_0002_u32);
        store(packet, 4, 0x0002_0100_u32);
        store(packet, 8, 0x0909_0000_u32);
        store(packet, 22, 64_u8);
        store(packet, 26, (0x0a00_0000 + turn).to_be());
        store(packet, 30, VIP);
        store(packet, 34, PORTS);
    }
    Some(packet)
}

#[xdp(frags)]
pub fn idle(context: XdpContext) -> u32 {
    match next(&mut XdpFrame::new(&context)) {
        Some(_) => xdp_action::XDP_TX,
        None => xdp_action::XDP_ABORTED,
    }
}

#[xdp(frags)]
pub fn path(context: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(&context);
    if next(&mut frame).is_none() {
        return xdp_action::XDP_ABORTED;
    }
    match forward(&mut frame, &Maps, now()) {
        Verdict::Transmit(_) => xdp_action::XDP_TX,
        Verdict::Pass | Verdict::Drop(_) | Verdict::Resolve(_) | Verdict::Reply => xdp_action::XDP_ABORTED,
    }
}

#[xdp(frags)]
pub fn floor(context: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(&context);
    let Some(packet) = next(&mut frame) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: `next` has checked 54 bytes.
    let key: FloorKey = unsafe {
        [
            load(packet, 26),
            load(packet, 30),
            load(packet, 34),
            load::<u8>(packet, 23).into(),
        ]
    };
    let Some(flow) = FLOOR.get_ptr(&key) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: nobody writes the entries while the benchmark runs; 54 bytes as above.
    unsafe {
        let flow = &*flow;
        store(packet, 0, flow.macs);
        store(packet, 22, load::<u8>(packet, 22) - 1);
        let hop = !u16::from_ne_bytes([1, 0]) as u32;
        let sum = !load::<u16>(packet, 24) as u32 + flow.address_delta as u32 + hop;
        store(packet, 24, !fold(sum));
        store(packet, 26, flow.src);
        store(packet, 30, flow.dst);
        store(packet, 34, flow.ports);
        let sum = update_transport_checksum(load(packet, 50), flow.address_delta, flow.port_delta, false);
        store(packet, 50, sum);
    }
    xdp_action::XDP_TX
}
