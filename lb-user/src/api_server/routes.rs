//! The tables of the speaker, in parts: a table may have far more routes than an answer should.

use std::fmt;
use std::net::Ipv4Addr;

use api::{Route, RouteTable};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use bgp::wire::Origin;
use bgp::{PeerId, RouteQuery, Table};
use ipnet::IpNet;
use serde::Deserialize;

use super::Context;
use super::neighbors::Family;
use super::problem::Refusal;
use crate::bgp_driver::NamedRoute;
use crate::desired::NeighborKey;

/// Routes in one answer, unless asked for fewer, and at most: the speaker makes them between two packets.
const ROUTES: usize = 1000;

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TableName {
    #[default]
    Advertised,
    Received,
    Accepted,
    Best,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TableName::Advertised => "advertised",
            TableName::Received => "received",
            TableName::Accepted => "accepted",
            TableName::Best => "best",
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoutesQuery {
    #[serde(default)]
    table: TableName,
    neighbor: Option<String>,
    family: Option<Family>,
    /// This prefix and those inside it.
    prefix: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn routes(
    State(context): State<Context>,
    query: Result<Query<RoutesQuery>, QueryRejection>,
) -> Result<Json<RouteTable>, Refusal> {
    let asked = query.map_err(Refusal::query)?.0;
    let limit = match asked.limit {
        Some(0) => return Err(Refusal::bad_request("limit", "must be at least 1")),
        limit => limit.unwrap_or(ROUTES).min(ROUTES),
    };
    let query = RouteQuery {
        table: match asked.table {
            TableName::Advertised => Table::Advertised,
            TableName::Received => Table::Received,
            TableName::Accepted => Table::Accepted,
            TableName::Best => Table::Best,
        },
        peer: None,
        family: asked.family.map(bgp::Family::from),
        within: asked.prefix.as_deref().map(prefix).transpose()?,
        after: asked.after.as_deref().map(after).transpose()?,
        // One more tells whether there are more.
        limit: limit + 1,
    };
    let neighbor = asked.neighbor.as_deref().map(NeighborKey::named);
    let found = context.bgp.routes(neighbor, query).await;
    let mut found = found.map_err(|error| Refusal::command(&error))?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| {
        let route = &last.route;
        format!("{},{},{}", route.prefix, route.peer.0, route.path_id)
    });
    Ok(Json(RouteTable {
        table: asked.table.to_string(),
        routes: found.iter().map(shown).collect(),
        next,
    }))
}

fn prefix(text: &str) -> Result<IpNet, Refusal> {
    let host = text.parse().ok().map(|address: std::net::IpAddr| address.into());
    let prefix: Option<IpNet> = host.or_else(|| text.parse().ok());
    prefix.map(|prefix| prefix.trunc()).ok_or_else(|| {
        Refusal::bad_request("prefix", format!("`{text}` is no prefix such as 203.0.113.0/24"))
    })
}

/// What `next` of an earlier answer said.
fn after(text: &str) -> Result<(IpNet, PeerId, u32), Refusal> {
    let parts: Vec<&str> = text.split(',').collect();
    let parsed = match parts.as_slice() {
        [prefix, peer, path] => prefix
            .parse()
            .ok()
            .zip(peer.parse().ok())
            .zip(path.parse().ok())
            .map(|((prefix, peer), path)| (prefix, PeerId(peer), path)),
        _ => None,
    };
    parsed.ok_or_else(|| Refusal::bad_request("after", format!("`{text}` is not the `next` of an answer")))
}

fn shown(named: &NamedRoute) -> Route {
    let route = &named.route;
    let attributes = &route.attributes;
    let standard = attributes
        .communities
        .iter()
        .map(|value| format!("{}:{}", value >> 16, value & 0xffff));
    let large = attributes
        .large_communities
        .iter()
        .map(|[one, two, three]| format!("{one}:{two}:{three}"));
    let extended = attributes
        .extended_communities
        .iter()
        .map(|value| extended(*value));
    Route {
        neighbor: named.neighbor.clone(),
        prefix: route.prefix.to_string(),
        path_id: route.path_id,
        next_hop: route.next_hop.to_string(),
        link_local_next_hop: route.link_local.map(|address| address.to_string()),
        origin: match attributes.origin {
            Origin::Igp => "igp",
            Origin::Egp => "egp",
            Origin::Incomplete => "incomplete",
        }
        .to_owned(),
        as_path: attributes.as_path.to_string(),
        med: attributes.med,
        local_pref: attributes.local_pref,
        communities: standard.chain(large).chain(extended).collect(),
        atomic_aggregate: attributes.atomic_aggregate,
        originator_id: attributes.originator_id.as_ref().map(Ipv4Addr::to_string),
        cluster_list: attributes.cluster_list.iter().map(Ipv4Addr::to_string).collect(),
        only_to_customer: attributes.only_to_customer,
        stale: route.stale,
        best: route.best,
        reason: route.reason.map(str::to_owned),
    }
}

/// As the configuration writes it; what it has no words for as its bytes.
fn extended(value: [u8; 8]) -> String {
    let [kind, subtype, a, b, c, d, y, z] = value;
    let name = match subtype {
        2 => "rt",
        3 => "ro",
        _ => return hexadecimal(value),
    };
    let short = u16::from_be_bytes([y, z]);
    match kind {
        0 => {
            let local = u32::from_be_bytes([c, d, y, z]);
            format!("{name}:{}:{local}", u16::from_be_bytes([a, b]))
        }
        1 => format!("{name}:{}:{short}", Ipv4Addr::new(a, b, c, d)),
        2 => format!("{name}:{}:{short}", u32::from_be_bytes([a, b, c, d])),
        _ => hexadecimal(value),
    }
}

fn hexadecimal(value: [u8; 8]) -> String {
    format!("0x{:016x}", u64::from_be_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::extended;

    #[test]
    fn extended_communities_are_written_as_in_the_configuration() {
        assert_eq!(extended([0, 2, 0xfd, 0xe9, 0, 0, 0, 7]), "rt:65001:7");
        assert_eq!(extended([1, 3, 192, 0, 2, 1, 0, 7]), "ro:192.0.2.1:7");
        assert_eq!(extended([2, 2, 0, 1, 0, 0, 0, 7]), "rt:65536:7");
        assert_eq!(extended([0x40, 6, 0, 0, 0, 0, 0, 1]), "0x4006000000000001");
    }
}
