//! One session: its variables (RFC 5880 section 6.8.1), timers and the packets it sends.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::poll::{AnswerBudget, Poll};
use crate::random::Random;
use crate::transition::{self, Event};
use crate::{
    Counters, Diagnostic, Discard, Output, Packet, Role, SessionConfig, SessionId, State, Status, Timing,
};

/// RFC 5880 section 6.8.3: the transmit interval of a session that is not Up is at least this.
const SLOW_INTERVAL: Duration = Duration::from_secs(1);

/// What every operation of a session needs from outside.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) outputs: &'a mut VecDeque<Output>,
    pub(crate) random: &'a mut Random,
}

/// What the peer last said about itself.
#[derive(Clone, Copy, Debug)]
struct Peer {
    /// 0: unknown.
    discriminator: u32,
    state: State,
    diagnostic: Diagnostic,
    demand: bool,
    desired_min_tx: Duration,
    required_min_rx: Duration,
    detect_multiplier: u8,
}

impl Peer {
    /// The initial values of RFC 5880 section 6.8.1.
    const UNKNOWN: Self = Self {
        discriminator: 0,
        state: State::Down,
        diagnostic: Diagnostic::None,
        demand: false,
        desired_min_tx: Duration::ZERO,
        required_min_rx: Duration::from_micros(1),
        detect_multiplier: 0,
    };

    fn from_packet(packet: &Packet) -> Self {
        Self {
            discriminator: packet.my_discriminator,
            state: packet.state,
            diagnostic: packet.diagnostic,
            demand: packet.demand,
            desired_min_tx: Duration::from_micros(packet.desired_min_tx.into()),
            required_min_rx: Duration::from_micros(packet.required_min_rx.into()),
            detect_multiplier: packet.detect_multiplier,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    id: SessionId,
    pub(crate) config: SessionConfig,
    state: State,
    since: Instant,
    diagnostic: Diagnostic,
    peer: Peer,
    poll: Poll,
    answers: AnswerBudget,
    /// The transmit interval that our packets carry: the configured one, not below 1 s unless Up.
    advertised_tx: Duration,
    /// The values in use. They differ from what is advertised while a Poll Sequence has not told the peer
    /// yet: a slower transmission or a shorter detection time must wait (RFC 5880 section 6.8.3).
    effective_tx: Duration,
    effective_rx: Duration,
    last_transmit: Option<Instant>,
    next_transmit: Option<Instant>,
    /// The interval for which `next_transmit` was drawn.
    scheduled: Option<Duration>,
    last_packet: Option<Instant>,
    last_interface: Option<u32>,
    counters: Counters,
    /// The deadline under which the owner has filed this session.
    pub(crate) armed: Option<Instant>,
}

impl Session {
    pub(crate) fn new(id: SessionId, config: SessionConfig, context: &mut Context<'_>) -> Self {
        let advertised_tx = config.desired_min_tx.max(SLOW_INTERVAL);
        let mut session = Self {
            id,
            config,
            state: State::Down,
            since: context.now,
            diagnostic: Diagnostic::None,
            peer: Peer::UNKNOWN,
            poll: Poll::Idle,
            answers: AnswerBudget::new(context.now),
            advertised_tx,
            effective_tx: advertised_tx,
            effective_rx: config.required_min_rx,
            last_transmit: None,
            next_transmit: None,
            scheduled: None,
            last_packet: None,
            last_interface: None,
            counters: Counters::default(),
            armed: None,
        };
        session.reschedule(context);
        session
    }

    /// The earliest moment at which [`Self::timeout`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match (self.next_transmit, self.detection_deadline()) {
            (Some(transmit), Some(detection)) => Some(transmit.min(detection)),
            (transmit, detection) => transmit.or(detection),
        }
    }

    pub(crate) fn timeout(&mut self, context: &mut Context<'_>) {
        if self
            .detection_deadline()
            .is_some_and(|deadline| deadline <= context.now)
        {
            // RFC 5880 section 6.8.1: bfd.RemoteDiscr is zero again after a detection time of silence.
            // There is nobody left to poll either.
            self.peer.discriminator = 0;
            self.poll = Poll::Idle;
            self.apply(Event::DetectionTimeExpired, context);
            self.peer = Peer::UNKNOWN;
            self.reschedule(context);
        }
        if self.next_transmit.is_some_and(|deadline| deadline <= context.now) {
            self.transmit(context);
        }
    }

    /// RFC 5880 section 6.8.6, from the point at which the session has been found.
    pub(crate) fn receive(
        &mut self,
        packet: &Packet,
        interface: u32,
        context: &mut Context<'_>,
    ) -> Result<(), Discard> {
        self.peer = Peer::from_packet(packet);
        self.last_packet = self.last_packet.max(Some(context.now));
        self.last_interface = Some(interface);
        if packet.final_answer && self.poll.finish() {
            self.effective_tx = self.advertised_tx;
            self.effective_rx = self.config.required_min_rx;
        }
        if self.state == State::AdminDown {
            self.discard(Discard::AdminDown);
            self.reschedule(context);
            return Err(Discard::AdminDown);
        }
        self.counters.received = self.counters.received.saturating_add(1);
        self.apply(Event::Received(packet.state), context);
        self.reschedule(context);
        if packet.poll {
            self.answer(context);
        }
        Ok(())
    }

    pub(crate) fn discard(&mut self, reason: Discard) {
        self.counters.discards.count(reason);
    }

    /// New timing (RFC 5880 sections 6.8.3 and 6.8.12). The caller has validated it.
    pub(crate) fn update(&mut self, timing: Timing, context: &mut Context<'_>) {
        let required_min_rx = self.config.required_min_rx;
        self.config.desired_min_tx = timing.desired_min_tx;
        self.config.required_min_rx = timing.required_min_rx;
        self.config.detect_multiplier = timing.detect_multiplier;
        self.advertise(required_min_rx != timing.required_min_rx);
        self.reschedule(context);
    }

    /// Moves the state machine. A change is reported, then told to the peer at once.
    pub(crate) fn apply(&mut self, event: Event, context: &mut Context<'_>) {
        let Some((to, diagnostic)) = transition::next(self.state, event) else {
            return;
        };
        let from = std::mem::replace(&mut self.state, to);
        self.diagnostic = diagnostic;
        self.since = context.now;
        if to == State::Up {
            self.counters.ups = self.counters.ups.saturating_add(1);
        }
        if from == State::Up {
            self.counters.downs = self.counters.downs.saturating_add(1);
        }
        self.advertise(false);
        context.outputs.push_back(Output::StateChanged {
            session: self.id,
            local: self.config.local,
            remote: self.config.remote,
            from,
            to,
            diagnostic,
            remote_diagnostic: self.peer.diagnostic,
            last_packet: self.last_packet,
        });
        // What the peer causes is bounded; past the bound it learns the state from the next periodic packet.
        if !matches!(event, Event::Received(_)) || self.within_budget(context.now) {
            self.transmit(context);
        }
    }

    /// The last words of a session that is being removed.
    pub(crate) fn say_admin_down(&mut self, context: &mut Context<'_>) {
        self.state = State::AdminDown;
        self.diagnostic = Diagnostic::AdministrativelyDown;
        self.advertise(false);
        self.poll = Poll::Idle;
        self.transmit(context);
    }

    /// Whether a packet from the wire belongs to a link that just went down.
    pub(crate) fn uses(&self, interface: u32) -> bool {
        self.config.interface.or(self.last_interface) == Some(interface)
    }

    /// Recomputes what is advertised after a change of state or timing, and starts the Poll Sequence that a
    /// change demands (RFC 5880 section 6.8.3).
    fn advertise(&mut self, required_rx_changed: bool) {
        let floor = if self.state == State::Up {
            Duration::ZERO
        } else {
            SLOW_INTERVAL
        };
        let transmit = self.config.desired_min_tx.max(floor);
        let changed = required_rx_changed || transmit != self.advertised_tx;
        self.advertised_tx = transmit;
        if changed && self.peer.discriminator != 0 {
            self.poll.start();
        }
        if self.state == State::Up && self.poll.in_progress() {
            self.effective_tx = self.effective_tx.min(transmit);
            self.effective_rx = self.effective_rx.max(self.config.required_min_rx);
        } else {
            self.effective_tx = transmit;
            self.effective_rx = self.config.required_min_rx;
        }
    }

    /// RFC 5880 section 6.8.7: when, and whether at all, packets go out periodically.
    fn transmit_interval(&self) -> Option<Duration> {
        let demand = self.peer.demand && self.state == State::Up && self.peer.state == State::Up;
        let silent = !self.may_transmit()
            || self.peer.required_min_rx.is_zero()
            || (demand && !self.poll.in_progress());
        (!silent).then(|| self.effective_tx.max(self.peer.required_min_rx))
    }

    /// RFC 5880 section 6.8.7: the passive side is silent until it has heard the peer.
    fn may_transmit(&self) -> bool {
        self.config.role == Role::Active || self.peer.discriminator != 0
    }

    /// RFC 5880 section 6.8.4: the peer's multiplier times the slower of what we require and what it offers.
    fn detection_time(&self) -> Option<Duration> {
        (self.peer.discriminator != 0).then(|| {
            let interval = self.effective_rx.max(self.peer.desired_min_tx);
            interval.saturating_mul(self.peer.detect_multiplier.into())
        })
    }

    fn detection_deadline(&self) -> Option<Instant> {
        self.last_packet?.checked_add(self.detection_time()?)
    }

    /// Draws the next transmission anew if the interval is no longer the one it was drawn for. It counts
    /// from the previous packet, so that a shorter interval holds at once (RFC 5880 section 6.8.3).
    fn reschedule(&mut self, context: &mut Context<'_>) {
        let interval = self.transmit_interval();
        if interval == self.scheduled {
            return;
        }
        self.scheduled = interval;
        self.next_transmit = interval.and_then(|interval| {
            let jittered = context.random.jittered(interval, self.config.detect_multiplier);
            self.last_transmit
                .map_or(Some(context.now), |last| last.checked_add(jittered))
        });
    }

    /// Sends a packet, periodic or because of a change of state, and sets the time of the next one.
    fn transmit(&mut self, context: &mut Context<'_>) {
        if self.may_transmit() {
            self.send(false, context);
            self.poll.sent();
            self.last_transmit = Some(context.now);
        }
        self.scheduled = None;
        self.next_transmit = None;
        self.reschedule(context);
    }

    /// Answers a Poll with a Final, outside of the periodic transmissions (RFC 5880 section 6.8.7).
    fn answer(&mut self, context: &mut Context<'_>) {
        if self.within_budget(context.now) {
            self.send(true, context);
        } else {
            self.counters.polls_unanswered = self.counters.polls_unanswered.saturating_add(1);
        }
    }

    fn within_budget(&mut self, now: Instant) -> bool {
        self.answers
            .take(now, self.config.desired_min_tx.min(self.config.required_min_rx))
    }

    fn send(&mut self, final_answer: bool, context: &mut Context<'_>) {
        self.counters.transmitted = self.counters.transmitted.saturating_add(1);
        context.outputs.push_back(Output::Transmit {
            session: self.id,
            local: self.config.local,
            remote: self.config.remote,
            interface: self.config.interface,
            packet: Packet {
                diagnostic: self.diagnostic,
                state: self.state,
                poll: !final_answer && self.poll.bit(),
                final_answer,
                control_plane_independent: false,
                demand: false,
                detect_multiplier: self.config.detect_multiplier,
                my_discriminator: self.id.0,
                your_discriminator: self.peer.discriminator,
                desired_min_tx: microseconds(self.advertised_tx),
                required_min_rx: microseconds(self.config.required_min_rx),
                required_min_echo_rx: 0,
            },
        });
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            session: self.id,
            config: self.config,
            state: self.state,
            since: self.since,
            diagnostic: self.diagnostic,
            remote_state: self.peer.state,
            remote_diagnostic: self.peer.diagnostic,
            remote_discriminator: self.peer.discriminator,
            remote_desired_min_tx: self.peer.desired_min_tx,
            remote_required_min_rx: self.peer.required_min_rx,
            remote_detect_multiplier: self.peer.detect_multiplier,
            transmit_interval: self.transmit_interval(),
            detection_time: self.detection_time(),
            polling: self.poll.in_progress(),
            last_packet: self.last_packet,
            last_interface: self.last_interface,
            counters: self.counters,
        }
    }
}

fn microseconds(interval: Duration) -> u32 {
    u32::try_from(interval.as_micros()).unwrap_or(u32::MAX)
}
