//! Routes of one of the tables, in parts.
use std::collections::BTreeMap;

use super::LocRib;
use crate::config::PeerId;
use crate::peer::Peer;
use crate::status::{RouteQuery, RouteStatus, Table};

pub(crate) fn routes(
    peers: &BTreeMap<PeerId, Peer>,
    _loc_rib: &LocRib,
    query: &RouteQuery,
) -> Vec<RouteStatus> {
    let asked = |peer: &&Peer| query.peer.is_none_or(|wanted| wanted == peer.id);
    let peers = peers.values().filter(asked);
    match query.table {
        Table::Advertised => peers.flat_map(Peer::advertised).take(query.limit).collect(),
        Table::Received | Table::Accepted | Table::Best => Vec::new(),
    }
}
