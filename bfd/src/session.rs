//! One session: its variables (RFC 5880 section 6.8.1), what it receives, and its states.
//!
//! When something is due is in `session/detection.rs` (silence, echo, hold-down), what goes out and when in
//! `session/transmission.rs`.

mod detection;
mod transmission;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::agreement::{Agreement, Terms};
use crate::authentication::Authentication;
use crate::deadlines::Slot;
use crate::echo::{self, Echo};
use crate::hold_down::Hold;
use crate::peer::Peer;
use crate::poll::{AnswerBudget, Poll};
use crate::random::Random;
use crate::transition::{self, Event};
use crate::{
    Change, Counters, Delays, Diagnostic, Discard, LastDown, Output, Packet, Parameters, SessionConfig,
    SessionId, State, Status,
};

/// RFC 5880 section 6.8.3: the transmit interval of a session that is not Up is at least this.
const SLOW_INTERVAL: Duration = Duration::from_secs(1);
/// A peer does not choose how long a removed session lingers.
const LONGEST_LEAVE: Duration = Duration::from_secs(10);
/// Nor a stranger how long it may be silent.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);
/// How long a stranger is remembered that has fallen silent.
const STRANGER_PATIENCE: Duration = Duration::from_secs(10);

/// What every operation of a session needs from outside.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) outputs: &'a mut VecDeque<Output>,
    pub(crate) random: &'a mut Random,
}

#[derive(Debug)]
pub(crate) struct Session {
    id: SessionId,
    pub(crate) config: SessionConfig,
    /// Started by the peer.
    pub(crate) unsolicited: bool,
    state: State,
    since: Instant,
    diagnostic: Diagnostic,
    last_down: Option<LastDown>,
    peer: Peer,
    agreement: Agreement,
    poll: Poll,
    /// When the first packet of the Poll Sequence went out.
    polled: Option<Instant>,
    answers: AnswerBudget,
    last_transmit: Option<Instant>,
    next_transmit: Option<Instant>,
    /// The interval for which `next_transmit` was drawn.
    scheduled: Option<Duration>,
    last_packet: Option<Instant>,
    last_interface: Option<u32>,
    arrivals: Delays,
    /// In demand mode: when the peer last proved that it is there.
    verified: Instant,
    authentication: Authentication,
    echo: Echo,
    hold: Hold,
    /// Removed: says AdminDown until then, or until the peer has confirmed it.
    leaving: Option<Instant>,
    /// Nothing is to be done for it any more.
    pub(crate) forgotten: bool,
    counters: Counters,
    /// Where its deadline is filed.
    pub(crate) slot: Slot,
    /// The deadline under which it is filed.
    pub(crate) armed: Option<Instant>,
}

impl Session {
    pub(crate) fn new(
        id: SessionId,
        slot: Slot,
        config: SessionConfig,
        secrets: &mut Random,
        context: &mut Context<'_>,
    ) -> Self {
        let timing = config.parameters.timing;
        let terms = Terms {
            desired_min_tx: timing.desired_min_tx.max(SLOW_INTERVAL),
            required_min_rx: timing.required_min_rx,
            demand: false,
        };
        let mut session = Self {
            id,
            config,
            unsolicited: false,
            state: State::Down,
            since: context.now,
            diagnostic: Diagnostic::None,
            last_down: None,
            peer: Peer::UNKNOWN,
            agreement: Agreement::new(terms),
            poll: Poll::Idle,
            polled: None,
            answers: AnswerBudget::new(context.now),
            last_transmit: None,
            next_transmit: None,
            scheduled: None,
            last_packet: None,
            last_interface: None,
            arrivals: Delays::default(),
            verified: context.now,
            authentication: Authentication::new(context.random.next_u32()),
            echo: Echo::new(context.now, secrets),
            hold: Hold::default(),
            leaving: None,
            forgotten: false,
            counters: Counters::default(),
            slot,
            armed: None,
        };
        session.reschedule(context);
        session
    }

    pub(crate) fn timeout(&mut self, context: &mut Context<'_>) {
        self.expire(context);
        if self.next_transmit.is_some_and(|deadline| deadline <= context.now) {
            self.transmit(context);
        }
    }

    /// Whether the packet is what its sender says (RFC 5880 section 6.7). `payload` is as long as its length field says.
    pub(crate) fn authenticate(
        &mut self,
        now: Instant,
        payload: &[u8],
        packet: &Packet,
    ) -> Result<(), Discard> {
        let keys = self.config.parameters.keys.as_deref();
        self.authentication
            .open(now, payload, packet.detect_multiplier, keys)
    }

    /// RFC 5880 section 6.8.6, from the point at which the session has been found and the packet is genuine.
    pub(crate) fn receive(
        &mut self,
        packet: &Packet,
        interface: u32,
        context: &mut Context<'_>,
    ) -> Result<(), Discard> {
        self.note_arrival(context.now, packet);
        self.peer = Peer::from_packet(packet);
        self.last_packet = self.last_packet.max(Some(context.now));
        self.last_interface = Some(interface);
        if packet.final_answer {
            self.finish_poll(context.now);
        }
        if let Some(time) = self.silence_allowed() {
            self.authentication.heard(context.now, time);
        }
        if self.state == State::AdminDown {
            self.reschedule(context);
            return Err(Discard::AdminDown);
        }
        self.counters.received = self.counters.received.saturating_add(1);
        self.apply(Event::Received(packet.state), context);
        self.negotiate(context.now);
        self.reschedule(context);
        if packet.poll {
            self.answer(context);
        }
        Ok(())
    }

    fn finish_poll(&mut self, now: Instant) {
        if !self.poll.bit() {
            return;
        }
        self.polled = None;
        self.verified = now;
        if self.poll.finish() {
            self.agreement.settle();
            // Nobody else is left to be told.
            self.forgotten |= self.leaving.is_some();
        }
    }

    /// How much later than agreed a packet came; answers to Polls come when they come.
    fn note_arrival(&mut self, now: Instant, packet: &Packet) {
        let periodic = self.state == State::Up && !packet.final_answer && !self.agreement.effective.demand;
        if let Some(last) = self.last_packet.filter(|_| periodic) {
            let gap = now.saturating_duration_since(last);
            self.arrivals.count(gap.saturating_sub(self.receive_interval()));
        }
    }

    /// An Echo packet came back. False: not one of ours.
    pub(crate) fn echo_returned(&mut self, payload: &[u8], context: &mut Context<'_>) -> bool {
        let proven = self.echo.is_proven();
        let multiplier = self.config.parameters.timing.detect_multiplier;
        let genuine = self.echo.returned(context.now, multiplier, payload);
        if !proven && self.echo.is_proven() {
            // Control packets become slow.
            self.negotiate(context.now);
            self.reschedule(context);
        }
        genuine
    }

    pub(crate) fn discard(&mut self, reason: Discard) {
        self.counters.discards.count(reason);
    }

    /// New parameters (RFC 5880 sections 6.8.3 and 6.8.10 to 6.8.14). The caller has validated them.
    pub(crate) fn update(&mut self, parameters: Parameters, context: &mut Context<'_>) {
        self.config.parameters = parameters;
        self.negotiate(context.now);
        self.reschedule(context);
    }

    /// Moves the state machine. A change is reported, then told to the peer at once.
    pub(crate) fn apply(&mut self, event: Event, context: &mut Context<'_>) {
        let Some((to, diagnostic)) = transition::next(self.state, event) else {
            return;
        };
        // What the peer causes is bounded, in what is told here and in what is sent: past the bound it moves nothing but an
        // Up session down, and learns the state from the next periodic packet.
        let provoked = matches!(event, Event::Received(_));
        let within_budget = !provoked || self.within_budget(context.now);
        if !within_budget && self.state != State::Up {
            return;
        }
        let from = std::mem::replace(&mut self.state, to);
        self.diagnostic = diagnostic;
        self.since = context.now;
        let usable = to == State::Up && self.came_up(context.now);
        let change = Change {
            session: self.id,
            path: self.config.path,
            from,
            to,
            usable,
            diagnostic,
            remote_state: self.peer.state,
            remote_diagnostic: self.peer.diagnostic,
            remote_independent: self.peer.independent,
            last_packet: self.last_packet,
            detection_time: match event {
                Event::DetectionTimeExpired(time) => Some(time),
                Event::Received(_)
                | Event::EchoFailed
                | Event::PathDown
                | Event::AdminDown
                | Event::AdminUp => None,
            },
        };
        if from == State::Up {
            self.left_up(context.now, &change);
        }
        self.negotiate(context.now);
        context.outputs.push_back(Output::StateChanged(change));
        if within_budget {
            self.transmit(context);
        }
    }

    fn came_up(&mut self, now: Instant) -> bool {
        self.counters.ups = self.counters.ups.saturating_add(1);
        self.verified = now;
        self.polled = None;
        let usable = self.hold.up(now);
        if !usable {
            self.counters.held = self.counters.held.saturating_add(1);
        }
        usable
    }

    fn left_up(&mut self, now: Instant, change: &Change) {
        self.counters.downs = self.counters.downs.saturating_add(1);
        self.last_down = Some(LastDown {
            at: now,
            diagnostic: change.diagnostic,
            remote_diagnostic: change.remote_diagnostic,
            planned: change.is_planned(),
        });
        self.hold
            .down(now, change.is_planned(), self.config.parameters.hold_down);
    }

    /// Takes leave (RFC 5880 section 6.8.16): AdminDown for a detection time, or until the peer has confirmed it. At the pace
    /// that the peer is used to, so that one lost packet does not make a failure of it.
    pub(crate) fn leave(&mut self, context: &mut Context<'_>) {
        let interval = self
            .agreement
            .effective
            .desired_min_tx
            .max(self.peer.required_min_rx);
        let multiplier = self.config.parameters.timing.detect_multiplier;
        self.state = State::AdminDown;
        self.diagnostic = Diagnostic::AdministrativelyDown;
        self.hold = Hold::default();
        self.negotiate(context.now);
        self.agreement.effective.desired_min_tx = interval;
        if self.peer.is_known() {
            self.poll = Poll::Active;
            let time = interval.saturating_mul(multiplier.into()).min(LONGEST_LEAVE);
            self.leaving = context.now.checked_add(time);
        }
        self.transmit(context);
        self.forgotten = self.leaving.is_none();
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.is_some()
    }

    /// Whether the session lives on this link. Over several hops packets may take another one.
    pub(crate) fn uses(&self, interface: u32) -> bool {
        let learnt = self.last_interface.filter(|_| !self.config.path.hops.is_multi());
        self.config.path.interface.or(learnt) == Some(interface)
    }

    /// Recomputes what is advertised after a change of state, of parameters or of the peer, and starts the Poll Sequence
    /// that a change demands (RFC 5880 section 6.8.3).
    fn negotiate(&mut self, now: Instant) {
        self.echo.set_interval(now, self.echo_interval());
        let up = self.state == State::Up;
        let timing = self.config.parameters.timing;
        let slow = |slow: bool, floor: Duration| if slow { floor } else { Duration::ZERO };
        let terms = Terms {
            desired_min_tx: timing.desired_min_tx.max(slow(!up, SLOW_INTERVAL)),
            required_min_rx: timing
                .required_min_rx
                .max(slow(self.echo.is_proven(), echo::SLOW_INTERVAL)),
            // RFC 5880 section 6.8.7.
            demand: self.config.parameters.demand.is_some()
                && up
                && self.peer.state == State::Up
                // A peer that takes no packets at all would never be polled.
                && !self.peer.required_min_rx.is_zero(),
        };
        if self.agreement.advertise(terms) && self.peer.is_known() {
            self.poll.start();
        }
        if up && self.poll.in_progress() {
            self.agreement.anticipate();
        } else {
            self.agreement.settle();
        }
    }

    /// RFC 5880 section 6.8.9: echo while both sides are Up and the peer takes it.
    fn echo_interval(&self) -> Option<Duration> {
        let offered = self.config.parameters.echo.transmit?;
        let taken = self.peer.required_min_echo_rx;
        let both_up = self.state == State::Up && self.peer.state == State::Up;
        (both_up && !taken.is_zero()).then(|| offered.max(taken))
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            session: self.id,
            config: self.config.clone(),
            unsolicited: self.unsolicited,
            state: self.state,
            since: self.since,
            usable: self.state == State::Up && self.hold.usable(),
            held_until: self.hold.until(),
            diagnostic: self.diagnostic,
            last_down: self.last_down,
            remote_state: self.peer.state,
            remote_diagnostic: self.peer.diagnostic,
            remote_discriminator: self.peer.discriminator,
            remote_desired_min_tx: self.peer.desired_min_tx,
            remote_required_min_rx: self.peer.required_min_rx,
            remote_required_min_echo_rx: self.peer.required_min_echo_rx,
            remote_detect_multiplier: self.peer.detect_multiplier,
            remote_demand: self.peer.demand,
            remote_independent: self.peer.independent,
            transmit_interval: self.transmit_interval(),
            detection_time: self.detection_time(),
            polling: self.poll.in_progress(),
            demand: self.agreement.effective.demand,
            echo: self.echo.status(),
            last_packet: self.last_packet,
            last_interface: self.last_interface,
            arrivals: self.arrivals,
            counters: self.counters,
        }
    }
}
