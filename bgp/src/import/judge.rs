//! Whether a path may be used at all, and what it becomes: the checks no policy can switch off, then the policy.
//!
//! Pure function of (neighbour, configuration, path). RFC 4271 section 9.1.1 calls this phase 1.
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::adj_rib_in::{Path, Received, Stale};
use super::intern::Interner;
use crate::attributes::{AsPath, Community, PathAttributes};
use crate::config::{Hops, PeerConfig, PeerId, Role, SpeakerConfig};
use crate::io::Gateway;
use crate::ladder::GRACEFUL_SHUTDOWN;
use crate::policy::{Candidate, NextHopSet};
use crate::wire::{AsPathSegment, SegmentKind};

/// 65535:6 (RFC 9494 section 3.2).
pub(crate) const LLGR_STALE: u32 = 0xffff_0006;

/// Who announces: what the comparison of paths asks of it, and the end of the session it speaks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Neighbor {
    pub(crate) peer: PeerId,
    pub(crate) internal: bool,
    pub(crate) asn: u32,
    pub(crate) router_id: Ipv4Addr,
    pub(crate) address: IpAddr,
    pub(crate) scope: u32,
    pub(crate) local: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    NoPolicy,
    Policy,
    DefaultRoute,
    Martian,
    NextHopMartian,
    NextHopOwn,
    OwnAs,
    OwnOriginator,
    OwnCluster,
    FirstAs,
    Confederation,
    RouteLeak,
}

impl Rejection {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Rejection::NoPolicy => "no import policy",
            Rejection::Policy => "rejected by the import policy",
            Rejection::DefaultRoute => "a default route, which no prefix of the import policy names",
            Rejection::Martian => "not a prefix of unicast addresses of others",
            Rejection::NextHopMartian => "its next hop is not a unicast address",
            Rejection::NextHopOwn => "its next hop is this speaker",
            Rejection::OwnAs => "the own AS is in its path",
            Rejection::OwnOriginator => "it was originated by this speaker",
            Rejection::OwnCluster => "the own cluster is in its list",
            Rejection::FirstAs => "its path does not begin with the AS of the neighbour",
            Rejection::Confederation => "its path has segments of a confederation",
            Rejection::RouteLeak => "a route leak (RFC 9234)",
        }
    }
}

/// A path that may be compared with others.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) attributes: Arc<PathAttributes>,
    pub(crate) gateway: Gateway,
    /// The gateway has to be on a link of this node.
    pub(crate) on_link: bool,
    /// Whose MEDs it is compared with, from the path as received.
    pub(crate) neighbor_as: Option<u32>,
}

/// What the verdict depends on besides the path.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) neighbor: &'a Neighbor,
    pub(crate) peer: &'a PeerConfig,
    pub(crate) speaker: &'a SpeakerConfig,
}

impl Judge<'_> {
    pub(crate) fn verdict(
        self,
        prefix: IpNet,
        path: &Path,
        interner: &mut Interner<PathAttributes>,
    ) -> Result<Accepted, Rejection> {
        let Some(policy) = &self.peer.import else {
            // RFC 8212 section 2 for eBGP; on iBGP nothing was asked for.
            return Err(Rejection::NoPolicy);
        };
        let received = &*path.received;
        self.check(prefix, received)?;
        let attributes = self.ingress(path)?;
        let outcome = policy
            .evaluate(Candidate {
                prefix,
                attributes: &attributes,
                next_hop: Some(received.next_hop),
                instance: None,
                preference: None,
                local_as: Some(self.speaker.local_as),
            })
            .ok_or(Rejection::Policy)?;
        if prefix.prefix_len() == 0 && !outcome.by_prefix {
            return Err(Rejection::DefaultRoute);
        }
        let set = outcome.next_hop;
        let gateway = self.gateway(received, set)?;
        let mut accepted = match (outcome.attributes, &attributes) {
            (Cow::Borrowed(_), Cow::Borrowed(_)) => None,
            (Cow::Borrowed(changed), Cow::Owned(_)) => Some(changed.clone()),
            (Cow::Owned(changed), _) => Some(changed),
        };
        if self.shutting_down(received) {
            let changed = accepted.get_or_insert_with(|| (*received.attributes).clone());
            changed.local_pref = Some(0);
        }
        Ok(Accepted {
            attributes: match accepted {
                Some(changed) => interner.intern(changed),
                None => Arc::clone(&received.attributes),
            },
            gateway,
            on_link: self.on_link(gateway, set),
            neighbor_as: received.attributes.as_path.first(),
        })
    }

    fn check(self, prefix: IpNet, received: &Received) -> Result<(), Rejection> {
        let attributes = &received.attributes;
        if is_martian(&prefix) {
            return Err(Rejection::Martian);
        }
        // RFC 4271 section 9.1.2.
        if attributes.as_path.contains(self.speaker.local_as) {
            return Err(Rejection::OwnAs);
        }
        // RFC 5065 section 5: we are in none.
        if attributes.as_path.0.iter().any(is_of_confederation) {
            return Err(Rejection::Confederation);
        }
        if self.neighbor.internal {
            // RFC 4456 section 8.
            if attributes.originator_id == Some(self.speaker.router_id) {
                return Err(Rejection::OwnOriginator);
            }
            if attributes.cluster_list.contains(&self.speaker.router_id) {
                return Err(Rejection::OwnCluster);
            }
        } else if !self.begins_with_neighbor(&attributes.as_path) {
            return Err(Rejection::FirstAs);
        }
        Ok(())
    }

    /// RFC 4271 section 6.3. A route server leaves its own AS out (RFC 7947 section 2.2.2.1).
    fn begins_with_neighbor(self, path: &AsPath) -> bool {
        self.peer.role == Some(Role::RouteServerClient) || path.first() == Some(self.neighbor.asn)
    }

    /// What is attached on the way in: ONLY_TO_CUSTOMER (RFC 9234 section 5) and LLGR_STALE (RFC 9494 section 4.2).
    fn ingress(self, path: &Path) -> Result<Cow<'_, PathAttributes>, Rejection> {
        let mut attributes = Cow::Borrowed(&*path.received.attributes);
        if !self.neighbor.internal {
            match (self.peer.role, path.received.attributes.only_to_customer) {
                (Some(Role::Provider | Role::RouteServer), Some(_)) => return Err(Rejection::RouteLeak),
                (Some(Role::Peer), Some(asn)) if asn != self.neighbor.asn => {
                    return Err(Rejection::RouteLeak);
                }
                (Some(Role::Customer | Role::Peer | Role::RouteServerClient), None) => {
                    attributes.to_mut().only_to_customer = Some(self.neighbor.asn);
                }
                (Some(_) | None, _) => {}
            }
        }
        if path.stale == Some(Stale::LongLived) {
            attributes.to_mut().add(Community::Standard(LLGR_STALE));
        }
        Ok(attributes)
    }

    /// RFC 8326 section 4: the neighbour is about to go, or we are about to do without it. After the policy,
    /// because a policy that sets LOCAL_PREF does not mean to undo this.
    fn shutting_down(self, received: &Received) -> bool {
        let announced =
            !self.neighbor.internal && received.attributes.communities.contains(&GRACEFUL_SHUTDOWN);
        announced || self.peer.graceful_shutdown
    }

    /// Where packets go. A link-local address is one of the link to the neighbour.
    fn gateway(self, received: &Received, set: Option<NextHopSet>) -> Result<Gateway, Rejection> {
        let address = match (set, received.link_local) {
            (Some(NextHopSet::Address(address)), _) => address,
            // The global one beside it may be unspecified, or not known on a link without global addresses.
            (Some(NextHopSet::Own) | None, Some(link_local)) if self.neighbor.scope != 0 => {
                IpAddr::V6(link_local)
            }
            (Some(NextHopSet::Own) | None, _) => received.next_hop,
        };
        if !is_host(address) {
            return Err(Rejection::NextHopMartian);
        }
        // RFC 4271 section 5.1.3.
        if Some(address) == self.neighbor.local {
            return Err(Rejection::NextHopOwn);
        }
        let on_link = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        let scope = if on_link { self.neighbor.scope } else { 0 };
        if on_link && scope == 0 {
            return Err(Rejection::NextHopMartian);
        }
        Ok(Gateway { address, scope })
    }

    /// RFC 4271 section 6.3: a neighbour one hop away outside the AS names itself, or somebody on a link that it
    /// shares with us. Any other way may lead back to us, the default route above all. A link-local address is
    /// bound to its link already, and what the operator sets is the operator's.
    fn on_link(self, gateway: Gateway, set: Option<NextHopSet>) -> bool {
        let one_hop = match self.peer.transport.hops {
            Hops::Security(hops) | Hops::Limit(hops) => hops <= 1,
        };
        let as_received = match set {
            Some(NextHopSet::Address(_)) => false,
            Some(NextHopSet::Own) | None => true,
        };
        let itself = gateway.address == self.neighbor.address;
        !self.neighbor.internal && one_hop && as_received && gateway.scope == 0 && !itself
    }
}

fn is_of_confederation(segment: &AsPathSegment) -> bool {
    match segment.kind {
        SegmentKind::ConfederationSequence | SegmentKind::ConfederationSet => true,
        SegmentKind::Sequence | SegmentKind::Set => false,
    }
}

fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let first = address.octets().first().copied().unwrap_or_default();
            !(address.is_loopback() || first == 0 || first >= 224)
        }
        IpAddr::V6(address) => {
            let embedded = address.to_ipv4_mapped().is_some();
            !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || embedded)
        }
    }
}

/// Prefixes that lie within special-purpose space that is never routed (RFC 6890 section 2.2), or within that of
/// the link. The default route is none of them.
fn is_martian(prefix: &IpNet) -> bool {
    const IPV4: [([u8; 4], u8); 5] = [
        ([0, 0, 0, 0], 8),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([224, 0, 0, 0], 4),
        ([240, 0, 0, 0], 4),
    ];
    const IPV6: [([u16; 8], u8); 5] = [
        ([0, 0, 0, 0, 0, 0, 0, 0], 127),
        ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
        ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
        ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
        ([0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    ];
    match prefix {
        IpNet::V4(prefix) => IPV4.iter().any(|(network, length)| {
            Ipv4Net::new(Ipv4Addr::from(*network), *length).is_ok_and(|martian| martian.contains(prefix))
        }),
        IpNet::V6(prefix) => IPV6.iter().any(|(network, length)| {
            Ipv6Net::new(Ipv6Addr::from(*network), *length).is_ok_and(|martian| martian.contains(prefix))
        }),
    }
}

#[cfg(test)]
mod tests;
