//! The state machine of one connection (RFC 4271 section 8).
//!
//! The state goes in by value and comes out by value, or the connection has failed. Timers are absolute deadlines
//! inside the states that have them; one that is off does not exist. What concerns the neighbour as a whole
//! (retry, the second connection, BFD, routes) belongs to `peer`. Must never touch a clock or an output queue.
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::config::{Families, Family, PeerConfig, SpeakerConfig};
use crate::jitter::Jitter;
use crate::wire::{Capability, DecodeError, Decoded, Message, Notification, Open, SAFI_UNICAST, afi};

/// How long an OPEN, or the KEEPALIVE that confirms it, is waited for. RFC 4271 section 8.2.2 suggests a large
/// value such as four minutes; one minute frees a connection to a frozen neighbour sooner and is still large.
pub(crate) const OPEN_WAIT: Duration = Duration::from_secs(60);

/// What two OPENs have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    pub(crate) identifier: Ipv4Addr,
    pub(crate) asn: u32,
    pub(crate) hold: Option<Duration>,
    pub(crate) families: Families,
    pub(crate) four_octet: bool,
    pub(crate) capabilities: Vec<Capability>,
}

impl Negotiated {
    pub(crate) fn keepalive(&self) -> Option<Duration> {
        // RFC 4271 section 4.4: a third of the hold time.
        self.hold.map(|hold| hold / 3)
    }
}

/// A connection whose OPENs have been exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) negotiated: Negotiated,
    hold: Option<Instant>,
    keepalive: Option<Instant>,
}

impl Link {
    /// To be called when a KEEPALIVE or UPDATE goes out (RFC 4271 section 8.2.2).
    pub(crate) fn arm_keepalive(&mut self, now: Instant, jitter: &mut Jitter) {
        self.keepalive = self
            .negotiated
            .keepalive()
            .map(|interval| now + jitter.apply(interval));
    }

    fn arm_hold(&mut self, now: Instant) {
        self.hold = self.negotiated.hold.map(|hold| now + hold);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The TCP connection is being opened; `peer` has the timer.
    Connect,
    OpenSent {
        deadline: Instant,
    },
    OpenConfirm(Link),
    Established(Link),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    TransportUp,
    Message(Message),
    Malformed(DecodeError),
    Timer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Send(Message),
    Routes(Decoded),
    Refresh(Family),
}

/// The end of a connection: what is said to the neighbour, and to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) notification: Option<Notification>,
    pub(crate) reason: String,
}

impl Failure {
    pub(crate) fn notify(notification: Notification) -> Self {
        Failure {
            reason: format!("sent: {notification}"),
            notification: Some(notification),
        }
    }

    pub(crate) fn silent(reason: impl Into<String>) -> Self {
        Failure {
            notification: None,
            reason: reason.into(),
        }
    }

    fn detailed(notification: Notification, detail: &dyn std::fmt::Display) -> Self {
        Failure {
            reason: format!("sent: {notification}: {detail}"),
            notification: Some(notification),
        }
    }
}

/// The local side of a connection.
pub(crate) struct Local<'a> {
    pub(crate) speaker: &'a SpeakerConfig,
    pub(crate) peer: &'a PeerConfig,
    pub(crate) jitter: &'a mut Jitter,
}

impl State {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            State::Connect => None,
            State::OpenSent { deadline } => Some(*deadline),
            State::OpenConfirm(link) | State::Established(link) => {
                [link.hold, link.keepalive].into_iter().flatten().min()
            }
        }
    }

    pub(crate) fn link(&self) -> Option<&Link> {
        match self {
            State::Connect | State::OpenSent { .. } => None,
            State::OpenConfirm(link) | State::Established(link) => Some(link),
        }
    }

    pub(crate) fn step(
        self,
        now: Instant,
        event: Event,
        local: &mut Local<'_>,
        actions: &mut Vec<Action>,
    ) -> Result<State, Failure> {
        match event {
            Event::TransportUp => Ok(self.transport_up(now, local, actions)),
            Event::Timer => self.timer(now, local, actions),
            Event::Malformed(error) => Err(Failure::detailed(error.notification(), &error)),
            Event::Message(Message::Notification(notification)) => {
                Err(Failure::silent(format!("received: {notification}")))
            }
            Event::Message(message) => match self {
                State::Connect => Err(Failure::silent("message before the connection was up")),
                State::OpenSent { .. } => open_sent(now, message, local, actions),
                State::OpenConfirm(link) => open_confirm(now, link, &message),
                State::Established(link) => established(now, link, message, actions),
            },
        }
    }

    fn transport_up(self, now: Instant, local: &Local<'_>, actions: &mut Vec<Action>) -> State {
        if self != State::Connect {
            return self;
        }
        let speaker = local.speaker;
        let families = local.peer.families;
        let open = Open::new(
            speaker.local_as,
            local.peer.hold_seconds(),
            speaker.router_id,
            families,
        );
        actions.push(Action::Send(Message::Open(open)));
        State::OpenSent {
            deadline: now + OPEN_WAIT,
        }
    }

    fn timer(self, now: Instant, local: &mut Local<'_>, actions: &mut Vec<Action>) -> Result<State, Failure> {
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        let expired = || Err(Failure::notify(Notification::HOLD_TIMER_EXPIRED));
        let mut keep = |mut link: Link| {
            if due(link.keepalive) {
                actions.push(Action::Send(Message::Keepalive));
                link.arm_keepalive(now, local.jitter);
            }
            link
        };
        match self {
            State::Connect => Ok(State::Connect),
            State::OpenSent { deadline } if due(Some(deadline)) => expired(),
            State::OpenSent { deadline } => Ok(State::OpenSent { deadline }),
            State::OpenConfirm(link) | State::Established(link) if due(link.hold) => expired(),
            State::OpenConfirm(link) => Ok(State::OpenConfirm(keep(link))),
            State::Established(link) => Ok(State::Established(keep(link))),
        }
    }
}

fn open_sent(
    now: Instant,
    message: Message,
    local: &mut Local<'_>,
    actions: &mut Vec<Action>,
) -> Result<State, Failure> {
    let Message::Open(open) = message else {
        return Err(Failure::notify(Notification::unexpected_message(1)));
    };
    let negotiated = negotiate(open, local.speaker, local.peer)?;
    let mut link = Link {
        negotiated,
        hold: None,
        keepalive: None,
    };
    actions.push(Action::Send(Message::Keepalive));
    link.arm_keepalive(now, local.jitter);
    link.arm_hold(now);
    // Without a hold time the confirmation is still waited for no longer than the OPEN was.
    link.hold.get_or_insert(now + OPEN_WAIT);
    Ok(State::OpenConfirm(link))
}

fn open_confirm(now: Instant, mut link: Link, message: &Message) -> Result<State, Failure> {
    if *message != Message::Keepalive {
        return Err(Failure::notify(Notification::unexpected_message(2)));
    }
    link.arm_hold(now);
    Ok(State::Established(link))
}

fn established(
    now: Instant,
    mut link: Link,
    message: Message,
    actions: &mut Vec<Action>,
) -> Result<State, Failure> {
    match message {
        Message::Keepalive => link.arm_hold(now),
        Message::Update(decoded) => {
            link.arm_hold(now);
            actions.push(Action::Routes(decoded));
        }
        Message::RouteRefresh(refresh) => {
            // RFC 2918 section 4: a family that was not negotiated is ignored. RFC 7313 section 5: so are the
            // markers of an enhanced refresh, which was not negotiated either.
            let family = refresh
                .family()
                .filter(|family| link.negotiated.families.contains(*family));
            if let (Some(family), 0) = (family, refresh.subtype) {
                actions.push(Action::Refresh(family));
            }
        }
        Message::Open(_) | Message::Notification(_) => {
            return Err(Failure::notify(Notification::unexpected_message(3)));
        }
    }
    Ok(State::Established(link))
}

/// RFC 4271 section 6.2, RFC 5492 section 3, RFC 6286 section 2.2, RFC 6793 section 4.1.
fn negotiate(open: Open, speaker: &SpeakerConfig, peer: &PeerConfig) -> Result<Negotiated, Failure> {
    if !peer.remote_as.accepts(open.asn(), speaker.local_as) {
        let detail = format!("{} instead of {}", open.asn(), peer.remote_as);
        return Err(Failure::detailed(Notification::BAD_PEER_AS, &detail));
    }
    // Two speakers of one AS must differ; of two, they may not (RFC 6286 section 2.1).
    if open.identifier == speaker.router_id && open.asn() == speaker.local_as {
        return Err(Failure::detailed(Notification::BAD_IDENTIFIER, &"it is ours"));
    }
    let families = peer.families.intersection(open.families());
    if families.is_empty() {
        let wanted = peer.families.iter().flat_map(|family| {
            let [high, low] = afi(family).to_be_bytes();
            [1, 4, high, low, 0, SAFI_UNICAST]
        });
        let notification = Notification::unsupported_capability(wanted.collect());
        return Err(Failure::detailed(notification, &"no common address family"));
    }
    let seconds = peer.hold_seconds().min(open.hold_time);
    Ok(Negotiated {
        identifier: open.identifier,
        asn: open.asn(),
        hold: (seconds != 0).then(|| Duration::from_secs(seconds.into())),
        families,
        four_octet: open.four_octet_as().is_some(),
        capabilities: open.capabilities,
    })
}

#[cfg(test)]
mod tests;
