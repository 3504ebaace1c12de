//! What the reconciler can change, as traits: one for each driver.
//!
//! A driver implements its trait on a handle that sends the change to its thread; the reconciler never owns a
//! socket or a map. `put_*` creates or replaces and may be repeated; `remove_*` of something that is not there
//! succeeds. None of them waits for the network: a method returns once the change is accepted (or, for maps,
//! written).

use std::net::IpAddr;

use crate::desired::{
    Instance, Neighbor, NeighborKey, Service, ServiceKey, Session, SessionKey, SpeakerSettings, Unsolicited,
};

/// Why a change was not made; the reconciler reports it and tries again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ApplyError(pub String);

impl ApplyError {
    pub fn new(reason: impl std::fmt::Display) -> Self {
        ApplyError(reason.to_string())
    }
}

/// The maps. A restarted daemon finds the entries of the one before it, so they are asked for.
pub trait DataPath: Send {
    /// Keys of all services in the maps, and all VIPs.
    fn existing(&mut self) -> Result<(Vec<ServiceKey>, Vec<IpAddr>), ApplyError>;
    fn put_vip(&mut self, vip: IpAddr) -> Result<(), ApplyError>;
    fn remove_vip(&mut self, vip: IpAddr) -> Result<(), ApplyError>;
    fn put_service(&mut self, service: &Service) -> Result<(), ApplyError>;
    /// What it shares with another service (an endpoint, the VIP) stays.
    fn remove_service(&mut self, key: &ServiceKey) -> Result<(), ApplyError>;
}

/// The BGP speaker.
pub trait Speaker: Send {
    fn put_settings(&mut self, settings: &SpeakerSettings) -> Result<(), ApplyError>;
    fn put_neighbor(&mut self, neighbor: &Neighbor) -> Result<(), ApplyError>;
    fn remove_neighbor(&mut self, key: &NeighborKey) -> Result<(), ApplyError>;
    /// The whole set.
    fn set_announcements(&mut self, announcements: &[bgp::Announcement]) -> Result<(), ApplyError>;
}

/// The BFD sessions.
pub trait Bfd: Send {
    /// A change of its parameters keeps the session, one of its ends, hops or role replaces it. Either way it stays
    /// administratively down if it is.
    fn put_session(&mut self, session: &Session) -> Result<(), ApplyError>;
    /// With it goes that it was administratively down.
    fn remove_session(&mut self, key: &SessionKey) -> Result<(), ApplyError>;
    /// Administratively down until it is enabled or removed; the peer is told that this is no failure. Of a session
    /// that is not there yet it is remembered.
    fn disable_session(&mut self, key: &SessionKey) -> Result<(), ApplyError>;
    fn enable_session(&mut self, key: &SessionKey) -> Result<(), ApplyError>;
    /// The whole set. One that fails may have been taken in part, or not at all: it is set again.
    fn set_unsolicited(&mut self, unsolicited: &[Unsolicited]) -> Result<(), ApplyError>;
}

/// What returns the Echo packets of peers (RFC 5880 section 6.8.9): maps, as those of [`DataPath`].
pub trait EchoReflector: Send {
    /// Whose packets are returned, because an earlier daemon wanted it.
    fn existing(&mut self) -> Result<Vec<SessionKey>, ApplyError>;
    fn put_echo_peer(&mut self, key: &SessionKey) -> Result<(), ApplyError>;
    fn remove_echo_peer(&mut self, key: &SessionKey) -> Result<(), ApplyError>;
}

/// The election and the addresses that move with it.
pub trait Election: Send {
    /// `vips` are those that become addresses of `instance.vip_interface`, if it has one.
    fn put_instance(&mut self, instance: &Instance, vips: &[IpAddr]) -> Result<(), ApplyError>;
    fn remove_instance(&mut self, name: &str) -> Result<(), ApplyError>;
}

/// Everything that can be changed.
pub struct Targets {
    pub datapath: Box<dyn DataPath>,
    pub speaker: Box<dyn Speaker>,
    pub bfd: Box<dyn Bfd>,
    pub echo: Box<dyn EchoReflector>,
    pub election: Box<dyn Election>,
}
