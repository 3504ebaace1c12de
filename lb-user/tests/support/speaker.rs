//! A BGP driver in a namespace, and what it says about its neighbours.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, SocketAddr};

use api::{Event, Neighbor as Seen};
use bgp::{Families, Hops, NextHops, PeerConfig, SpeakerConfig, Transport};
use lb_user::apply::Speaker as _;
use lb_user::bgp_driver::{self, BgpHandle};
use lb_user::desired::{Neighbor, NeighborKey};
use lb_user::status::StatusBoard;
use lb_user::timeline::Timeline;

use super::{Pair, until};

pub(crate) struct Speaker {
    pub(crate) handle: BgpHandle,
    pub(crate) board: StatusBoard,
    pub(crate) timeline: Timeline,
}

impl Speaker {
    /// In the namespace of `side`, with the AS as its last octet of the router identifier.
    pub(crate) fn start(pair: &Pair, side: &str, local_as: u32, listen: &[&str]) -> Self {
        pair.enter(side);
        let (handle, commands) = bgp_driver::channel();
        let (board, timeline) = (StatusBoard::new(), Timeline::new());
        let router_id = std::net::Ipv4Addr::from(0x0a00_0000 | local_as & 0xff);
        let setup = bgp_driver::Setup {
            speaker: SpeakerConfig::new(local_as, router_id, u64::from(local_as)),
            listen: listen
                .iter()
                .map(|address| SocketAddr::new(address.parse().unwrap(), 179))
                .collect(),
            established: Box::new(|_, _| ()),
            found: Box::new(|_, _| ()),
            timeline: timeline.clone(),
            board: board.clone(),
        };
        bgp_driver::spawn(setup, commands).unwrap();
        Speaker {
            handle,
            board,
            timeline,
        }
    }

    pub(crate) fn put(&mut self, key: impl Into<NeighborKey>, peer: PeerConfig) {
        let key = key.into();
        self.handle.put_neighbor(&Neighbor { key, peer }).unwrap();
    }

    pub(crate) fn neighbor(&self, name: &str) -> Option<Seen> {
        let neighbors = self.board.neighbors.newest();
        neighbors
            .iter()
            .find(|neighbor| neighbor.address == name)
            .cloned()
    }

    pub(crate) fn wait(&self, name: &str, what: &str, met: impl Fn(&Seen) -> bool) {
        until(what, || {
            let seen = self.neighbor(name);
            (seen.as_ref().is_some_and(&met), seen)
        });
    }

    pub(crate) fn wait_established(&self, name: &str) {
        self.wait(name, "the session is established", |seen| {
            seen.state == "established"
        });
    }

    /// The last error of the neighbour says so.
    pub(crate) fn wait_for_words(&self, name: &str, words: &str) {
        self.wait(name, words, |seen| {
            seen.last_error
                .as_ref()
                .is_some_and(|error| error.contains(words))
        });
    }

    pub(crate) fn events(&self, kind: &str) -> Vec<Event> {
        self.timeline
            .events(None)
            .into_iter()
            .filter(|event| event.kind == kind)
            .collect()
    }
}

/// A neighbour with next hops for both families; its session may come from anywhere.
pub(crate) fn peer(address: &str, remote_as: u32) -> PeerConfig {
    let address: IpAddr = address.parse().unwrap();
    PeerConfig {
        families: Families::BOTH,
        next_hops: NextHops {
            ipv4: Some("192.0.2.99".parse().unwrap()),
            ipv6: Some("2001:db8::99".parse().unwrap()),
            ..NextHops::default()
        },
        transport: Transport {
            hops: Hops::Limit(64),
            ..Transport::default()
        },
        ..PeerConfig::new(address, remote_as)
    }
}

pub(crate) fn key(address: &str) -> NeighborKey {
    NeighborKey::Address(address.parse().unwrap())
}
