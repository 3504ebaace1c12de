//! What the packet path counts: one slot per event, one per drop reason.

macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[repr(u32)]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum $name { $($(#[$vmeta])* $variant,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Name in metrics and in the API.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

numbered! {
    /// Why a packet was dropped.
    DropReason {
        /// Shorter than its headers say, or headers that contradict each other.
        Malformed = "malformed",
        /// A fragment: its ports are not known, or those of its successors will not be.
        Fragment = "fragment",
        /// An IPv6 extension header before the transport header.
        ExtensionHeader = "extension-header",
        /// To a VIP, with a protocol that is not balanced.
        Protocol = "protocol",
        /// To a VIP, ICMP other than echo and neighbour discovery.
        Icmp = "icmp",
        /// To a VIP, but no service has this port.
        NoService = "no-service",
        /// The service has no backend.
        NoBackend = "no-backend",
        /// RST without a flow.
        UnknownReset = "unknown-reset",
        /// FIN or SYN+ACK, or an impossible set of flags, without a flow.
        UnknownSegment = "unknown-segment",
        /// A backend's reply without a flow that cannot be attributed to one VIP.
        UnknownReply = "unknown-reply",
        /// Derived, but the flow's own backend is another one.
        WrongBackend = "wrong-backend",
        /// All ports of the probe sequence are taken.
        NoPort = "no-port",
        /// TTL or hop limit is used up.
        TimeToLive = "time-to-live",
        /// No route, or a route that drops.
        NoRoute = "no-route",
        /// The kernel does not forward on the interface the packet came in by.
        ForwardingOff = "forwarding-off",
        /// Larger than the next link's MTU.
        TooBig = "too-big",
        /// A map that must exist was not there, or a flow could not be stored.
        Table = "table",
    }
}

numbered! {
    /// What happened otherwise.
    Counter {
        /// Left to the stack. What is forwarded is counted by service.
        Passed = "passed",
        EchoReply = "echo-reply",
        /// A peer's BFD Echo packet sent back.
        BfdEchoReflected = "bfd-echo-reflected",
        /// Given to the kernel because the neighbour is not resolved.
        Unresolved = "unresolved",
        FlowCreated = "flow-created",
        FlowDerived = "flow-derived",
        FlowDisplaced = "flow-displaced",
        FlowEstablished = "flow-established",
        FlowClosed = "flow-closed",
        FlowRestarted = "flow-restarted",
        /// The established table is full: the flow stays where newer ones may evict it.
        EstablishedFull = "established-full",
        /// The event ring was full.
        EventLost = "event-lost",
        RouteLookup = "route-lookup",
    }
}

impl Counter {
    /// Slot in the COUNTERS array.
    #[inline(always)]
    pub const fn index(self) -> u32 {
        self as u32
    }
}

impl DropReason {
    /// First slot of the drop reasons in the COUNTERS array.
    pub const BASE: u32 = 32;

    /// Slot in the COUNTERS array.
    #[inline(always)]
    pub const fn index(self) -> u32 {
        Self::BASE + self as u32
    }
}

const _: () = assert!(Counter::ALL.len() <= DropReason::BASE as usize);
const _: () = assert!(DropReason::ALL.len() as u32 + DropReason::BASE <= crate::layout::map::COUNTERS_SIZE);
