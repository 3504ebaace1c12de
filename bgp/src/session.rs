//! The state machine of one connection (RFC 4271 section 8).
//!
//! The state goes in by value and comes out by value, or the connection has failed. Timers are absolute deadlines
//! inside the states that have them; one that is off does not exist. What concerns the neighbour as a whole
//! (retry, the second connection, BFD, routes) belongs to `peer`. Must never touch a clock or an output queue.
mod negotiate;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{Family, PeerConfig, SpeakerConfig};
use crate::jitter::Jitter;
use crate::wire::{Cease, DecodeError, Decoded, Message, Notification, Open, RouteRefresh};
pub(crate) use negotiate::{Negotiated, Restarted};

/// How long an OPEN, or the KEEPALIVE that confirms it, is waited for. RFC 4271 section 8.2.2 suggests a large
/// value such as four minutes; one minute frees a connection to a frozen neighbour sooner and is still large.
pub(crate) const OPEN_WAIT: Duration = Duration::from_secs(60);

/// How long BFD may take to come up where no hold time bounds the wait (draft-ietf-idr-bgp-bfd-strict-mode section 3).
pub(crate) const BFD_WAIT: Duration = Duration::from_secs(30);

/// A connection whose OPENs have been exchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) negotiated: Arc<Negotiated>,
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

    pub(crate) fn keepalive_due(&self, now: Instant) -> bool {
        self.keepalive.is_some_and(|deadline| deadline <= now)
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
        sent: Box<Open>,
    },
    /// The OPEN has come, and nothing is confirmed before BFD is up (draft-ietf-idr-bgp-bfd-strict-mode section
    /// 8.5.5). `confirmed`: the neighbour has confirmed already.
    AwaitBfd {
        link: Link,
        confirmed: bool,
    },
    OpenConfirm(Link),
    Established(Link),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    TransportUp,
    Message(Message),
    Malformed(DecodeError),
    BfdUp,
    Timer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Send(Message),
    Routes(Decoded),
    Refresh(Family),
    /// The neighbour begins, or has ended, to tell everything again (RFC 7313 section 4).
    RefreshBegins(Family),
    RefreshEnds(Family),
}

/// The end of a connection: what is said to the neighbour, and to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) notification: Option<Notification>,
    pub(crate) received: Option<Notification>,
    /// Without a NOTIFICATION: it was us who closed.
    pub(crate) local: bool,
    pub(crate) reason: String,
}

impl Failure {
    pub(crate) fn notify(notification: Notification) -> Self {
        Failure {
            reason: format!("sent: {notification}"),
            notification: Some(notification),
            received: None,
            local: false,
        }
    }

    pub(crate) fn silent(reason: impl Into<String>) -> Self {
        Failure {
            notification: None,
            received: None,
            local: false,
            reason: reason.into(),
        }
    }

    pub(crate) fn local(reason: impl Into<String>) -> Self {
        Failure {
            local: true,
            ..Failure::silent(reason)
        }
    }

    pub(crate) fn told(notification: Notification) -> Self {
        Failure {
            reason: format!("received: {notification}"),
            notification: None,
            received: Some(notification),
            local: false,
        }
    }

    pub(crate) fn detailed(notification: Notification, detail: &dyn std::fmt::Display) -> Self {
        Failure {
            reason: format!("sent: {notification}: {detail}"),
            notification: Some(notification),
            received: None,
            local: false,
        }
    }
}

/// The local side of a connection.
pub(crate) struct Local<'a> {
    pub(crate) speaker: &'a SpeakerConfig,
    pub(crate) peer: &'a PeerConfig,
    pub(crate) jitter: &'a mut Jitter,
    pub(crate) bfd_up: bool,
    pub(crate) restarted: Restarted,
}

impl State {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            State::Connect => None,
            State::OpenSent { deadline, .. } => Some(*deadline),
            State::AwaitBfd { link, .. } | State::OpenConfirm(link) | State::Established(link) => {
                [link.hold, link.keepalive].into_iter().flatten().min()
            }
        }
    }

    pub(crate) fn link(&self) -> Option<&Link> {
        match self {
            State::Connect | State::OpenSent { .. } => None,
            State::AwaitBfd { link, .. } | State::OpenConfirm(link) | State::Established(link) => Some(link),
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
            Event::BfdUp => Ok(self.bfd_up(now, local, actions)),
            Event::Malformed(error) => Err(Failure::detailed(error.notification(), &error)),
            Event::Message(Message::Notification(notification)) => Err(Failure::told(notification)),
            Event::Message(message) => match self {
                State::Connect => Err(Failure::silent("message before the connection was up")),
                State::OpenSent { sent, .. } => open_sent(now, &sent, message, local, actions),
                State::AwaitBfd { link, .. } => await_bfd(now, link, &message),
                State::OpenConfirm(link) => open_confirm(now, link, &message),
                State::Established(link) => established(now, link, message, actions),
            },
        }
    }

    fn transport_up(self, now: Instant, local: &Local<'_>, actions: &mut Vec<Action>) -> State {
        if self != State::Connect {
            return self;
        }
        let open = negotiate::offer(local.speaker, local.peer, local.restarted);
        actions.push(Action::Send(Message::Open(open.clone())));
        State::OpenSent {
            deadline: now + OPEN_WAIT,
            sent: Box::new(open),
        }
    }

    fn bfd_up(self, now: Instant, local: &mut Local<'_>, actions: &mut Vec<Action>) -> State {
        let State::AwaitBfd { link, confirmed } = self else {
            return self;
        };
        let mut link = confirm(now, link, local, actions);
        if confirmed {
            link.arm_hold(now);
            State::Established(link)
        } else {
            State::OpenConfirm(link)
        }
    }

    fn timer(self, now: Instant, local: &mut Local<'_>, actions: &mut Vec<Action>) -> Result<State, Failure> {
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        let expired = || Err(Failure::notify(Notification::HOLD_TIMER_EXPIRED));
        let mut keep = |mut link: Link| {
            if link.keepalive_due(now) {
                actions.push(Action::Send(Message::Keepalive));
                link.arm_keepalive(now, local.jitter);
            }
            link
        };
        match self {
            State::Connect => Ok(State::Connect),
            State::OpenSent { deadline, .. } if due(Some(deadline)) => expired(),
            State::AwaitBfd { link, .. } if due(link.hold) && link.negotiated.hold.is_none() => {
                Err(Failure::detailed(Cease::BfdDown.into(), &"it has not come up"))
            }
            State::AwaitBfd { link, .. } if due(link.hold) => Err(Failure::detailed(
                Notification::HOLD_TIMER_EXPIRED,
                &"while waiting for BFD",
            )),
            waiting @ (State::OpenSent { .. } | State::AwaitBfd { .. }) => Ok(waiting),
            State::OpenConfirm(link) | State::Established(link) if due(link.hold) => expired(),
            State::OpenConfirm(link) => Ok(State::OpenConfirm(keep(link))),
            State::Established(link) => Ok(State::Established(keep(link))),
        }
    }
}

fn open_sent(
    now: Instant,
    sent: &Open,
    message: Message,
    local: &mut Local<'_>,
    actions: &mut Vec<Action>,
) -> Result<State, Failure> {
    let Message::Open(open) = message else {
        return Err(Failure::notify(Notification::unexpected_message(1)));
    };
    let negotiated = negotiate::negotiate(sent, open, local.speaker, local.peer)?;
    let mut link = Link {
        negotiated: Arc::new(negotiated),
        hold: None,
        keepalive: None,
    };
    if link.negotiated.bfd_strict && !local.bfd_up {
        link.arm_hold(now);
        link.hold.get_or_insert(now + BFD_WAIT);
        return Ok(State::AwaitBfd {
            link,
            confirmed: false,
        });
    }
    Ok(State::OpenConfirm(confirm(now, link, local, actions)))
}

fn confirm(now: Instant, mut link: Link, local: &mut Local<'_>, actions: &mut Vec<Action>) -> Link {
    actions.push(Action::Send(Message::Keepalive));
    link.arm_keepalive(now, local.jitter);
    link.arm_hold(now);
    // Without a hold time the confirmation is still waited for no longer than the OPEN was.
    link.hold.get_or_insert(now + OPEN_WAIT);
    link
}

/// The neighbour's BFD may be up before ours (draft-ietf-idr-bgp-bfd-strict-mode section 8.5.6).
fn await_bfd(now: Instant, mut link: Link, message: &Message) -> Result<State, Failure> {
    if *message != Message::Keepalive {
        return Err(Failure::notify(Notification::unexpected_message(1)));
    }
    if link.negotiated.hold.is_some() {
        link.arm_hold(now);
    }
    Ok(State::AwaitBfd {
        link,
        confirmed: true,
    })
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
            // RFC 4760 section 8: a family that was not agreed on is ignored.
            actions.push(Action::Routes(decoded.only(link.negotiated.families)));
        }
        Message::RouteRefresh(refresh) => actions.extend(refreshed(&link.negotiated, refresh)),
        Message::Open(_) | Message::Notification(_) => {
            return Err(Failure::notify(Notification::unexpected_message(3)));
        }
    }
    Ok(State::Established(link))
}

/// RFC 2918 section 4: a family that was not negotiated is ignored. RFC 7313 section 5: so are subtypes that nobody
/// knows, and markers that were not agreed on.
fn refreshed(negotiated: &Negotiated, refresh: RouteRefresh) -> Option<Action> {
    let family = refresh
        .family()
        .filter(|family| negotiated.families.contains(*family))?;
    match refresh.subtype {
        RouteRefresh::REQUEST => Some(Action::Refresh(family)),
        RouteRefresh::BEGIN if negotiated.enhanced_refresh => Some(Action::RefreshBegins(family)),
        RouteRefresh::END if negotiated.enhanced_refresh => Some(Action::RefreshEnds(family)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
