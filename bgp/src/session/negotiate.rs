//! The two OPENs: what we offer, and what both together mean.
//!
//! Everything that was agreed on follows from the two messages alone, so that a configuration that changes while
//! the session lives cannot change how its bytes are read.
use std::net::Ipv4Addr;
use std::time::Duration;

use super::Failure;
use crate::config::{BfdMode, Families, Family, PeerConfig, RemoteAs, Role, SpeakerConfig};
use crate::wire::{
    AFI_IPV6, AddPath, Capability, Context, Encoding, ExtendedNextHop, LongLived, Notification, Open,
    Restart, RestartFamily, SAFI_UNICAST, afi, family,
};

/// RFC 4724 section 3: 12 bits. RFC 9494 section 3: 24 bits.
const MAX_RESTART: u16 = 0x0fff;
const MAX_LONG_LIVED: u32 = 0x00ff_ffff;

/// What we say about our own restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Restarted {
    /// This process is new and its data path is not (R bit).
    pub(crate) restarting: bool,
    /// What we announced before is still forwarded (F bit).
    pub(crate) forwarding: bool,
}

/// What two OPENs have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    pub(crate) identifier: Ipv4Addr,
    pub(crate) asn: u32,
    pub(crate) external: bool,
    pub(crate) hold: Option<Duration>,
    pub(crate) families: Families,
    pub(crate) four_octet: bool,
    /// We offered to take long messages; the neighbour does (RFC 8654 section 4).
    extended_in: bool,
    pub(crate) extended_out: bool,
    /// Families in which the neighbour sends path identifiers.
    pub(crate) add_path: Families,
    pub(crate) refresh: bool,
    pub(crate) enhanced_refresh: bool,
    /// IPv4 prefixes may go by IPv6 next hops (RFC 8950).
    pub(crate) extended_next_hop: bool,
    pub(crate) bfd_strict: bool,
    /// What the neighbour says of its restarts, when we help.
    pub(crate) restart: Option<Restart>,
    pub(crate) long_lived: Vec<LongLived>,
    /// NOTIFICATIONs do not end what is kept, hard resets do (RFC 8538 section 2).
    pub(crate) notification: bool,
    /// The neighbour would keep our routes over a NOTIFICATION.
    pub(crate) keeps_ours: bool,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) offered: Vec<Capability>,
}

#[cfg(test)]
impl Negotiated {
    /// Between a neighbour that restarts and a helper, with the N bit or without.
    pub(crate) fn with_restarts(notification: bool) -> Self {
        let speaker = SpeakerConfig::new(65001, Ipv4Addr::new(10, 0, 0, 1), 1);
        let peer = PeerConfig::new(Ipv4Addr::new(10, 0, 0, 2).into(), 65000);
        let sent = offer(&speaker, &peer, Restarted::default());
        let mut open = Open::new(65000, 30, Ipv4Addr::new(10, 0, 0, 2), Families::BOTH);
        open.capabilities.push(Capability::GracefulRestart(Restart {
            notification,
            ..Restart::default()
        }));
        negotiate(&sent, open, &speaker, &peer).expect("both are sound")
    }
}

impl Negotiated {
    pub(crate) fn keepalive(&self) -> Option<Duration> {
        // RFC 4271 section 4.4: a third of the hold time.
        self.hold.map(|hold| hold / 3)
    }

    pub(crate) fn context(&self) -> Context {
        Context {
            four_octet: self.four_octet,
            external: self.external,
            add_path: self.add_path,
            extended: self.extended_in,
        }
    }

    /// We never send several paths for a prefix.
    pub(crate) fn encoding(&self) -> Encoding {
        Encoding {
            four_octet: self.four_octet,
            add_path: Families::default(),
            extended: self.extended_out,
        }
    }

    pub(crate) fn restart_family(&self, wanted: Family) -> Option<RestartFamily> {
        let families = &self.restart.as_ref()?.families;
        let found = families
            .iter()
            .find(|item| family(item.afi, item.safi) == Some(wanted));
        found.copied()
    }

    pub(crate) fn long_lived_family(&self, wanted: Family) -> Option<LongLived> {
        let found = self
            .long_lived
            .iter()
            .find(|item| family(item.afi, item.safi) == Some(wanted));
        found.copied()
    }
}

pub(super) fn offer(speaker: &SpeakerConfig, peer: &PeerConfig, restarted: Restarted) -> Open {
    let mut open = Open::new(
        speaker.local_as,
        peer.hold_seconds(),
        speaker.router_id,
        peer.families,
    );
    let capabilities = &mut open.capabilities;
    capabilities.push(Capability::EnhancedRouteRefresh);
    if peer.extended_messages {
        capabilities.push(Capability::ExtendedMessage);
    }
    // Over IPv4 there is an IPv4 next hop, and nothing to gain.
    if peer.families.ipv4 && peer.address.is_ipv6() {
        capabilities.push(Capability::ExtendedNextHop(vec![ExtendedNextHop {
            afi: afi(Family::Ipv4),
            safi: u16::from(SAFI_UNICAST),
            next_hop_afi: AFI_IPV6,
        }]));
    }
    if peer.add_path {
        let receive = |family| AddPath {
            afi: afi(family),
            safi: SAFI_UNICAST,
            receive: true,
            send: false,
        };
        capabilities.push(Capability::AddPath(peer.families.iter().map(receive).collect()));
    }
    // RFC 9234 section 4: roles are for eBGP.
    if let Some(role) = peer.role.filter(|_| may_be_external(peer, speaker.local_as)) {
        capabilities.push(Capability::Role(role_code(role)));
    }
    if peer.bfd == BfdMode::Strict {
        capabilities.push(Capability::BfdStrict);
    }
    capabilities.extend(restart_capabilities(peer, restarted));
    open
}

/// As a helper only: no families (RFC 4724 section 3, RFC 9494 section 3).
fn restart_capabilities(peer: &PeerConfig, restarted: Restarted) -> Vec<Capability> {
    let config = &peer.graceful_restart;
    if !config.helper && !config.restarter {
        return Vec::new();
    }
    let families: Vec<Family> = peer.families.iter().filter(|_| config.restarter).collect();
    let forwarding = restarted.forwarding;
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    let time = u16::try_from(seconds(config.restart_time)).unwrap_or(MAX_RESTART);
    let restart = Restart {
        restarting: config.restarter && restarted.restarting,
        notification: true,
        time: time.min(MAX_RESTART),
        families: families
            .iter()
            .map(|family| RestartFamily {
                afi: afi(*family),
                safi: SAFI_UNICAST,
                forwarding,
            })
            .collect(),
    };
    let mut capabilities = vec![Capability::GracefulRestart(restart)];
    if !config.long_lived_time.is_zero() {
        let long_lived = |family: &Family| LongLived {
            afi: afi(*family),
            safi: SAFI_UNICAST,
            forwarding,
            time: seconds(config.long_lived_time).min(MAX_LONG_LIVED),
        };
        capabilities.push(Capability::LongLivedGracefulRestart(
            families.iter().map(long_lived).collect(),
        ));
    }
    capabilities
}

fn may_be_external(peer: &PeerConfig, local_as: u32) -> bool {
    match &peer.remote_as {
        RemoteAs::Is(asn) => *asn != local_as,
        RemoteAs::Internal => false,
        RemoteAs::External | RemoteAs::OneOf(_) => true,
    }
}

/// RFC 9234 section 4.1.
fn role_code(role: Role) -> u8 {
    match role {
        Role::Provider => 0,
        Role::RouteServer => 1,
        Role::RouteServerClient => 2,
        Role::Customer => 3,
        Role::Peer => 4,
    }
}

fn role_name(code: u8) -> String {
    let name = match code {
        0 => "provider",
        1 => "route server",
        2 => "route server client",
        3 => "customer",
        4 => "peer",
        other => return format!("role {other}"),
    };
    name.to_owned()
}

/// The role that the neighbour of a speaker with this one has (RFC 9234 section 4.2).
fn counterpart(role: Role) -> u8 {
    role_code(match role {
        Role::Provider => Role::Customer,
        Role::Customer => Role::Provider,
        Role::RouteServer => Role::RouteServerClient,
        Role::RouteServerClient => Role::RouteServer,
        Role::Peer => Role::Peer,
    })
}

/// RFC 4271 section 6.2, RFC 5492 section 3, RFC 6286 section 2.2, RFC 6793 section 4.1.
pub(super) fn negotiate(
    sent: &Open,
    open: Open,
    speaker: &SpeakerConfig,
    peer: &PeerConfig,
) -> Result<Negotiated, Failure> {
    let asn = open.asn();
    if !peer.remote_as.accepts(asn, speaker.local_as) {
        let detail = format!("the neighbour has AS {asn}, configured is {}", peer.remote_as);
        return Err(Failure::detailed(Notification::BAD_PEER_AS, &detail));
    }
    // Two speakers of one AS must differ; of two, they may not (RFC 6286 section 2.1).
    if open.identifier == speaker.router_id && asn == speaker.local_as {
        let detail = format!("the neighbour has our own identifier {}", open.identifier);
        return Err(Failure::detailed(Notification::BAD_IDENTIFIER, &detail));
    }
    let families = sent.families().intersection(open.families());
    if families.is_empty() {
        return Err(no_common_family(sent));
    }
    let external = asn != speaker.local_as;
    if external {
        check_roles(&open.roles(), peer)?;
    }
    let seconds = sent.hold_time.min(open.hold_time);
    let restart = open
        .graceful_restart()
        .filter(|_| sent.graceful_restart().is_some())
        .cloned();
    let notification = sent
        .graceful_restart()
        .is_some_and(|restart| restart.notification)
        && restart.as_ref().is_some_and(|restart| restart.notification);
    let announced = |restart: &Restart| !restart.families.is_empty();
    Ok(Negotiated {
        identifier: open.identifier,
        asn,
        external,
        hold: (seconds != 0).then(|| Duration::from_secs(seconds.into())),
        families,
        four_octet: open.four_octet_as().is_some(),
        extended_in: sent.extended_message(),
        extended_out: sent.extended_message() && open.extended_message(),
        add_path: add_path(sent, &open).intersection(families),
        refresh: open.route_refresh(),
        enhanced_refresh: sent.enhanced_route_refresh() && open.enhanced_route_refresh(),
        extended_next_hop: extended_next_hop(sent) && extended_next_hop(&open),
        bfd_strict: sent.bfd_strict() && open.bfd_strict(),
        notification,
        keeps_ours: notification && sent.graceful_restart().is_some_and(announced),
        long_lived: if restart.is_some() {
            open.long_lived().to_vec()
        } else {
            Vec::new()
        },
        restart,
        capabilities: open.capabilities,
        offered: sent.capabilities.clone(),
    })
}

fn no_common_family(sent: &Open) -> Failure {
    let wanted = sent.families().iter().flat_map(|family| {
        let [high, low] = afi(family).to_be_bytes();
        [1, 4, high, low, 0, SAFI_UNICAST]
    });
    let notification = Notification::unsupported_capability(wanted.collect());
    Failure::detailed(notification, &"no common address family")
}

/// RFC 9234 section 4.2.
fn check_roles(theirs: &[u8], peer: &PeerConfig) -> Result<(), Failure> {
    let Some(ours) = peer.role else { return Ok(()) };
    let detail = match theirs {
        [] if !peer.role_strict => return Ok(()),
        [] => "the neighbour does not tell its role".to_owned(),
        [theirs] if *theirs == counterpart(ours) => return Ok(()),
        several => {
            let names: Vec<String> = several.iter().map(|code| role_name(*code)).collect();
            let ours = role_name(role_code(ours));
            format!("the neighbour is {}, and we are {ours}", names.join(" and "))
        }
    };
    Err(Failure::detailed(Notification::ROLE_MISMATCH, &detail))
}

/// RFC 7911 section 4: one side wants to receive what the other wants to send.
fn add_path(sent: &Open, open: &Open) -> Families {
    let mut families = Families::default();
    for wanted in sent.add_path().filter(|item| item.receive) {
        let theirs = open
            .add_path()
            .find(|item| (item.afi, item.safi) == (wanted.afi, wanted.safi));
        if let (Some(family), Some(true)) = (family(wanted.afi, wanted.safi), theirs.map(|item| item.send)) {
            families.insert(family);
        }
    }
    families
}

fn extended_next_hop(open: &Open) -> bool {
    let wanted = (afi(Family::Ipv4), u16::from(SAFI_UNICAST), AFI_IPV6);
    let mut items = open.extended_next_hops();
    items.any(|item| (item.afi, item.safi, item.next_hop_afi) == wanted)
}

#[cfg(test)]
mod tests;
