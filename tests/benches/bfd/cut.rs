//! The silent cut: the switch stops carrying frames between one node and the others, in one moment.
//!
//! Ports that are isolated from each other are a property of the kernel's bridge. Everybody keeps carrier, nobody gets an
//! answer from anywhere, and one system call puts it into effect for all, which brackets the moment.
use std::io::{Read, Write};

use labs::Netns;
use nix::libc;
use socket2::{Domain, Protocol, Socket, Type};

/// Of `linux/if_link.h`.
const IFLA_PROTINFO: u16 = 12;
const IFLA_BRPORT_ISOLATED: u16 = 33;

pub(crate) struct Cut {
    socket: Socket,
    /// The port that is separated from all others.
    port: i32,
}

impl Cut {
    /// `others` never speak with each other from here on.
    pub(crate) fn prepare(netns: &Netns, port: i32, others: &[i32]) -> Self {
        let open = || {
            Socket::new(
                Domain::from(libc::AF_NETLINK),
                Type::RAW,
                Some(Protocol::from(libc::NETLINK_ROUTE)),
            )
        };
        let mut cut = Cut {
            socket: netns.run(open).unwrap().unwrap(),
            port,
        };
        for &other in others {
            cut.isolate(other, true);
        }
        cut
    }

    /// Between which two moments it took effect.
    pub(crate) fn set(&mut self, cut: bool) -> [u64; 2] {
        self.isolate(self.port, cut)
    }

    fn isolate(&mut self, port: i32, isolated: bool) -> [u64; 2] {
        let request = request(port, isolated);
        let before = labs::monotonic_ns();
        self.socket.write_all(&request).unwrap();
        let after = labs::monotonic_ns();
        let mut answer = [0; 128];
        let length = self.socket.read(&mut answer).unwrap();
        let error = answer[..length].get(16..20).unwrap();
        assert_eq!(error, [0; 4], "the bridge refuses to isolate port {port}");
        [before, after]
    }
}

fn request(port: i32, isolated: bool) -> Vec<u8> {
    let mut message = Vec::with_capacity(44);
    message.extend(44_u32.to_ne_bytes());
    message.extend(libc::RTM_SETLINK.to_ne_bytes());
    let flags = u16::try_from(libc::NLM_F_REQUEST | libc::NLM_F_ACK).unwrap();
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    // `ifinfomsg`
    message.extend([u8::try_from(libc::AF_BRIDGE).unwrap(), 0, 0, 0]);
    message.extend(port.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(12_u16.to_ne_bytes());
    message.extend((IFLA_PROTINFO | 0x8000).to_ne_bytes());
    message.extend(5_u16.to_ne_bytes());
    message.extend(IFLA_BRPORT_ISOLATED.to_ne_bytes());
    message.extend([u8::from(isolated), 0, 0, 0]);
    message
}
