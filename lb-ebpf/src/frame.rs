//! The packet as XDP and as tc see it.

use crate::maps::{PORTS, interface};
use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        __sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_FIB_LKUP_RET_FRAG_NEEDED,
        BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_NOT_FWDED,
        BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup, xdp_md,
    },
    helpers::{
        bpf_fib_lookup as fib_lookup, bpf_ktime_get_coarse_ns, bpf_l4_csum_replace, bpf_skb_pull_data,
        bpf_xdp_get_buff_len,
    },
    programs::{TcContext, XdpContext},
};
use core::mem::{MaybeUninit, offset_of};
use core::ptr::read_volatile;
use lb_common::{Address, Frame, NextHop, Route, RouteQuery, load, store, update_transport_checksum};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// `BPF_F_IPV6` of Linux 6.16: without an IPv4 header sum the packet sum moves otherwise.
const BPF_F_IPV6: u64 = 1 << 7;

/// CLOCK_MONOTONIC, as of the last timer tick: 5 ns against 36.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: plain helper call.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// The check that the verifier wants to see. Volatile: the compiler would otherwise drop a check it
/// thinks it has made, and the verifier does not follow it there.
#[inline(always)]
unsafe fn checked(data: *const u32, data_end: *const u32, offset: usize, size: usize) -> Option<*mut u8> {
    // SAFETY: both fields are part of the context.
    let (start, end) = unsafe { (read_volatile(data) as usize, read_volatile(data_end) as usize) };
    let start = start + offset;
    if start + size > end {
        None
    } else {
        Some(start as *mut u8)
    }
}

#[inline(always)]
fn ask(context: *mut core::ffi::c_void, query: &RouteQuery, ifindex: u32, length: u16) -> Route {
    // SAFETY: the record is all integers.
    let mut params: bpf_fib_lookup = unsafe { MaybeUninit::zeroed().assume_init() };
    params.l4_protocol = query.protocol;
    params.sport = query.sport;
    params.dport = query.dport;
    params.ifindex = ifindex;
    params.__bindgen_anon_1.tot_len = length;
    if query.dst.is_ipv4() {
        params.family = AF_INET;
        params.__bindgen_anon_3.ipv4_src = query.src.0[3];
        params.__bindgen_anon_4.ipv4_dst = query.dst.0[3];
    } else {
        params.family = AF_INET6;
        params.__bindgen_anon_3.ipv6_src = query.src.0;
        params.__bindgen_anon_4.ipv6_dst = query.dst.0;
    }
    // SAFETY: `params` lives for the call.
    let result = unsafe { fib_lookup(context, &raw mut params, size_of::<bpf_fib_lookup>() as i32, 0) };
    if result < 0 {
        return Route::NoRoute;
    }
    match result as u32 {
        BPF_FIB_LKUP_RET_SUCCESS => Route::Via(NextHop {
            tag: 0,
            ifindex: params.ifindex,
            destination: params.dmac,
            source: params.smac,
        }),
        BPF_FIB_LKUP_RET_NO_NEIGH => Route::Unresolved(params.ifindex),
        BPF_FIB_LKUP_RET_NOT_FWDED => Route::Local,
        BPF_FIB_LKUP_RET_FWD_DISABLED => Route::ForwardingOff,
        BPF_FIB_LKUP_RET_FRAG_NEEDED => Route::TooBig,
        _ => Route::NoRoute,
    }
}

pub(crate) struct XdpFrame {
    context: *mut xdp_md,
}

impl XdpFrame {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self { context: context.ctx }
    }
}

impl Frame for XdpFrame {
    const KERNEL_FORWARDS: bool = true;

    #[inline(always)]
    fn at(&mut self, offset: usize, size: usize) -> Option<*mut u8> {
        // SAFETY: the context outlives the program.
        unsafe {
            checked(
                &raw const (*self.context).data,
                &raw const (*self.context).data_end,
                offset,
                size,
            )
        }
    }

    #[inline(always)]
    fn holds(&mut self, size: usize) -> bool {
        // SAFETY: plain reads and a helper call on the program's own context, which outlives it.
        unsafe {
            let linear = ((*self.context).data_end as usize).wrapping_sub((*self.context).data as usize);
            size <= linear || size <= bpf_xdp_get_buff_len(self.context) as usize
        }
    }

    /// A driver in promiscuous mode also hands over what a switch floods.
    #[inline(always)]
    fn is_for_us(&mut self) -> bool {
        let ingress = self.ingress();
        let (Some(interface), Some(mac)) = (interface(ingress), self.at(0, 6)) else {
            return true;
        };
        if interface.ifindex != ingress {
            return true;
        }
        // SAFETY: `at` promised 6 bytes; the record is 12 bytes long.
        unsafe {
            let ours = (&raw const interface.mac).cast::<u8>();
            load::<u32>(mac, 0) == load::<u32>(ours, 0) && load::<u16>(mac, 4) == load::<u16>(ours, 4)
        }
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: the context outlives the program.
        unsafe { (*self.context).ingress_ifindex }
    }

    #[inline(always)]
    fn add_to_checksum(
        &mut self,
        offset: usize,
        addresses: u16,
        ports: u16,
        udp: bool,
        _ipv6: bool,
    ) -> Option<()> {
        let field = self.at(offset, 2)?;
        // SAFETY: `at` promised 2 bytes.
        unsafe {
            store(
                field,
                0,
                update_transport_checksum(load(field, 0), addresses, ports, udp),
            );
        }
        Some(())
    }

    #[inline(always)]
    fn route(&mut self, query: &RouteQuery) -> Route {
        let ingress = self.ingress();
        let route = ask(self.context.cast(), query, ingress, query.length);
        if let Route::Via(hop) = route
            && hop.ifindex != ingress
            && PORTS.get_ifindex(hop.ifindex).is_none()
        {
            // XDP cannot send there: the kernel does.
            return Route::Unresolved(hop.ifindex);
        }
        route
    }
}

pub(crate) struct TcFrame {
    context: *mut __sk_buff,
}

impl TcFrame {
    #[inline(always)]
    pub(crate) fn new(context: &TcContext) -> Self {
        Self {
            context: context.as_ptr().cast(),
        }
    }
}

impl Frame for TcFrame {
    const KERNEL_FORWARDS: bool = false;

    #[inline(always)]
    fn at(&mut self, offset: usize, size: usize) -> Option<*mut u8> {
        let context = self.context;
        // SAFETY: the context outlives the program. Pulling makes headers linear that are not.
        unsafe {
            let (data, end) = (&raw const (*context).data, &raw const (*context).data_end);
            if let Some(pointer) = checked(data, end, offset, size) {
                return Some(pointer);
            }
            if !self.holds(offset + size) || bpf_skb_pull_data(context, (offset + size) as u32) != 0 {
                return None;
            }
            checked(data, end, offset, size)
        }
    }

    #[inline(always)]
    fn holds(&mut self, size: usize) -> bool {
        // SAFETY: the context outlives the program.
        size <= unsafe { (*self.context).len as usize }
    }

    #[inline(always)]
    fn is_for_us(&mut self) -> bool {
        // SAFETY: the context outlives the program. 0 is PACKET_HOST.
        unsafe { (*self.context).pkt_type == 0 }
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: the context outlives the program.
        unsafe { (*self.context).ifindex }
    }

    /// By the helper, which knows what the hardware will do about the checksum.
    #[inline(always)]
    fn add_to_checksum(
        &mut self,
        offset: usize,
        addresses: u16,
        ports: u16,
        udp: bool,
        ipv6: bool,
    ) -> Option<()> {
        let mangled = if udp { BPF_F_MARK_MANGLED_0 as u64 } else { 0 };
        let pseudo = mangled | BPF_F_PSEUDO_HDR as u64;
        let offset = offset as u32;
        // SAFETY: plain helper calls; the helper checks the offset.
        unsafe {
            let family = if ipv6 { BPF_F_IPV6 } else { 0 };
            if bpf_l4_csum_replace(self.context, offset, 0, addresses as u64, pseudo | family) != 0
                // Before Linux 6.16 the flag is unknown.
                && (!ipv6 || bpf_l4_csum_replace(self.context, offset, 0, addresses as u64, pseudo) != 0)
            {
                return None;
            }
            if bpf_l4_csum_replace(self.context, offset, 0, ports as u64, mangled) != 0 {
                return None;
            }
        }
        Some(())
    }

    #[inline(always)]
    fn route(&mut self, query: &RouteQuery) -> Route {
        ask(self.context.cast(), query, self.ingress(), 0)
    }
}

const _: () = assert!(offset_of!(NextHop, destination) == 8 && size_of::<Address>() == 16);
