//! What ends a session, and everything else that is due because time passed (RFC 5880 sections 6.8.4 and 6.8.5).

use std::time::{Duration, Instant};

use super::{Context, LONGEST_SILENCE, STRANGER_PATIENCE, Session};
use crate::peer::Peer;
use crate::poll::Poll;
use crate::transition::Event;
use crate::{Output, State};

impl Session {
    /// The earliest moment at which [`Session::timeout`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        [
            self.next_transmit,
            self.detection_deadline(),
            self.verification_deadline(),
            self.echo.transmit_deadline(),
            self.echo_deadline(),
            self.hold.until(),
            self.leaving,
            self.patience_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Everything that is due but the periodic packet.
    pub(super) fn expire(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if due(self.detection_deadline()) {
            self.silenced(context);
        }
        if due(self.leaving) || due(self.patience_deadline()) {
            self.forgotten = true;
            return;
        }
        if due(self.echo_deadline()) {
            self.apply(Event::EchoFailed, context);
        }
        if self.hold.ends(now) {
            context.outputs.push_back(Output::Usable {
                session: self.id,
                path: self.config.path,
            });
        }
        if due(self.verification_deadline()) {
            // With the next periodic packet, or now where there are none.
            self.poll.start();
            self.reschedule(context);
        }
        self.transmit_echo(context);
    }

    fn silenced(&mut self, context: &mut Context<'_>) {
        // RFC 5880 section 6.8.1: bfd.RemoteDiscr is zero again after a detection time of silence.
        // There is nobody left to poll either.
        let time = self.detection_time().unwrap_or_default();
        self.peer.discriminator = 0;
        self.poll = Poll::Idle;
        self.polled = None;
        self.apply(Event::DetectionTimeExpired(time), context);
        self.peer = Peer::UNKNOWN;
        self.reschedule(context);
    }

    /// How far apart the peer's packets may be (RFC 5880 section 6.8.4).
    pub(super) fn receive_interval(&self) -> Duration {
        self.agreement
            .effective
            .required_min_rx
            .max(self.peer.desired_min_tx)
    }

    /// The detection time of asynchronous mode: the peer's multiplier times the slower of what we require and what it
    /// offers.
    pub(super) fn silence_allowed(&self) -> Option<Duration> {
        let multiplier = self.peer.detect_multiplier.into();
        let time = self.receive_interval().saturating_mul(multiplier);
        let longest = if self.unsolicited {
            LONGEST_SILENCE
        } else {
            Duration::MAX
        };
        self.peer.is_known().then(|| time.min(longest))
    }

    /// Demand mode is in force. A peer that takes no packets at all cannot be polled: its own have to tell.
    fn is_polling_only(&self) -> bool {
        self.agreement.effective.demand && !self.peer.required_min_rx.is_zero()
    }

    /// The detection time in force. In demand mode it is ours: how long a Poll Sequence may go unanswered.
    pub(super) fn detection_time(&self) -> Option<Duration> {
        if !self.is_polling_only() {
            return self.silence_allowed();
        }
        let interval = self
            .agreement
            .effective
            .desired_min_tx
            .max(self.peer.required_min_rx);
        let multiplier = self.config.parameters.timing.detect_multiplier.into();
        self.peer.is_known().then(|| interval.saturating_mul(multiplier))
    }

    fn detection_deadline(&self) -> Option<Instant> {
        let since = if self.is_polling_only() {
            self.polled?
        } else {
            self.last_packet?
        };
        since.checked_add(self.detection_time()?)
    }

    /// Demand mode: when the silent peer is to prove that it is there.
    fn verification_deadline(&self) -> Option<Instant> {
        let waiting = self.is_polling_only() && !self.poll.in_progress();
        let period = self.config.parameters.demand.filter(|_| waiting)?;
        self.verified.checked_add(period)
    }

    fn echo_deadline(&self) -> Option<Instant> {
        self.echo
            .detection_deadline(self.config.parameters.timing.detect_multiplier)
            .filter(|_| self.state == State::Up)
    }

    /// RFC 9468 section 2: what a stranger has started ends some time after it has fallen silent. Its own word on how long
    /// it may be silent counts only once it is Up, which nobody gets who does not hear our answers.
    fn patience_deadline(&self) -> Option<Instant> {
        let gone = self.unsolicited && self.state != State::Up;
        self.last_packet.filter(|_| gone)?.checked_add(STRANGER_PATIENCE)
    }
}
