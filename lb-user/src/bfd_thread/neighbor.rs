//! The link-layer address of a neighbour, as the kernel knows it.
//!
//! An Echo packet is addressed to ourselves and has to be put on the link to the peer nevertheless, so the kernel's
//! own resolution does not apply. One request, answered by the kernel before the call returns.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

const ANSWER: usize = 4096;

/// `None`: the kernel does not know it (yet).
pub(super) fn link_layer_address(interface: u32, address: IpAddr) -> io::Result<Option<[u8; 6]>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    let request = request(interface, address);
    socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
    let mut answer = Vec::with_capacity(ANSWER);
    socket.recv(&mut answer, 0)?;
    Ok(read(&answer))
}

fn request(interface: u32, address: IpAddr) -> Vec<u8> {
    let mut neighbour = NeighbourMessage::default();
    neighbour.header.ifindex = interface;
    let (family, destination) = match address {
        IpAddr::V4(address) => (AddressFamily::Inet, NeighbourAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, NeighbourAddress::Inet6(address)),
    };
    neighbour.header.family = family;
    neighbour
        .attributes
        .push(NeighbourAttribute::Destination(destination));
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetNeighbour(neighbour));
    message.header.flags = NLM_F_REQUEST;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn read(answer: &[u8]) -> Option<[u8; 6]> {
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer).ok()?;
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(neighbour)) = message.payload else {
        return None;
    };
    neighbour.attributes.iter().find_map(|attribute| {
        if let NeighbourAttribute::LinkLayerAddress(bytes) = attribute {
            <[u8; 6]>::try_from(bytes.as_slice()).ok()
        } else {
            None
        }
    })
}
