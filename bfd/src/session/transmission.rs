//! What goes out, and when (RFC 5880 sections 6.8.7 and 6.8.9).

use std::time::{Duration, Instant};

use super::{Context, Session};
use crate::{Output, Packet, Path, Role, State};

/// How much sooner than drawn a packet may go out to share a wake-up, and at most which part of its interval.
const COMPANY: Duration = Duration::from_millis(1);
const COMPANY_SHARE: u32 = 16;

impl Session {
    /// When, and whether at all, packets go out periodically.
    pub(super) fn transmit_interval(&self) -> Option<Duration> {
        let demand = self.peer.demand && self.state == State::Up && self.peer.state == State::Up;
        let silent = !self.may_transmit()
            || self.peer.required_min_rx.is_zero()
            || (demand && !self.poll.in_progress());
        (!silent).then(|| {
            self.agreement
                .effective
                .desired_min_tx
                .max(self.peer.required_min_rx)
        })
    }

    /// The passive side is silent until it has heard the peer.
    fn may_transmit(&self) -> bool {
        self.config.role == Role::Active || self.peer.is_known()
    }

    /// Draws the next transmission anew if the interval is no longer the one it was drawn for. It counts
    /// from the previous packet, so that a shorter interval holds at once (RFC 5880 section 6.8.3).
    pub(super) fn reschedule(&mut self, context: &mut Context<'_>) {
        let interval = self.transmit_interval();
        if interval == self.scheduled {
            return;
        }
        self.scheduled = interval;
        let multiplier = self.config.parameters.timing.detect_multiplier;
        self.next_transmit = interval.and_then(|interval| {
            let jittered = context.random.jittered(interval, multiplier);
            self.last_transmit
                .map_or(Some(context.now), |last| last.checked_add(jittered))
        });
    }

    /// Sends a packet, periodic or because of a change of state, and sets the time of the next one.
    pub(super) fn transmit(&mut self, context: &mut Context<'_>) {
        if self.may_transmit() {
            self.send(false, context);
            if self.poll.bit() {
                self.polled = self.polled.or(Some(context.now));
            }
            self.poll.sent();
            self.last_transmit = Some(context.now);
        }
        self.scheduled = None;
        self.next_transmit = None;
        self.reschedule(context);
    }

    /// Another session has woken the thread up: what is due in a moment goes with it. Jitter leaves this freedom, and
    /// nothing comes closer to the packet before than jitter may bring it (RFC 5880 section 6.8.7).
    pub(crate) fn transmit_in_company(&mut self, context: &mut Context<'_>) {
        let (Some(interval), Some(next), Some(last)) =
            (self.scheduled, self.next_transmit, self.last_transmit)
        else {
            return;
        };
        let ahead = COMPANY.min(interval / COMPANY_SHARE);
        if next <= context.now + ahead && context.now >= last + interval * 3 / 4 {
            self.transmit(context);
        }
    }

    /// The furthest that [`Session::transmit_in_company`] looks ahead.
    pub(crate) const fn company() -> Duration {
        COMPANY
    }

    /// Answers a Poll with a Final, outside of the periodic transmissions (RFC 5880 section 6.8.7).
    pub(super) fn answer(&mut self, context: &mut Context<'_>) {
        if self.within_budget(context.now) {
            self.send(true, context);
        } else {
            self.counters.polls_unanswered = self.counters.polls_unanswered.saturating_add(1);
        }
    }

    pub(super) fn within_budget(&mut self, now: Instant) -> bool {
        let timing = self.config.parameters.timing;
        self.answers
            .take(now, timing.desired_min_tx.min(timing.required_min_rx))
    }

    fn send(&mut self, final_answer: bool, context: &mut Context<'_>) {
        self.counters.transmitted = self.counters.transmitted.saturating_add(1);
        let parameters = &self.config.parameters;
        let packet = Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: !final_answer && self.poll.bit(),
            final_answer,
            // BFD ends with the daemon that is the control plane, whatever the data path does (RFC 5880 section 4.1).
            control_plane_independent: false,
            demand: self.agreement.advertised.demand,
            detect_multiplier: parameters.timing.detect_multiplier,
            my_discriminator: self.id.0,
            your_discriminator: self.peer.discriminator,
            desired_min_tx: microseconds(self.agreement.advertised.desired_min_tx),
            required_min_rx: microseconds(self.agreement.advertised.required_min_rx),
            required_min_echo_rx: parameters.echo.required_min_rx.map_or(0, microseconds),
        };
        context.outputs.push_back(Output::Transmit {
            session: self.id,
            path: self.config.path,
            payload: self.authentication.seal(&packet, parameters.keys.as_deref()),
        });
    }

    pub(super) fn transmit_echo(&mut self, context: &mut Context<'_>) {
        let multiplier = self.config.parameters.timing.detect_multiplier;
        let payload = self
            .echo
            .transmit(context.now, self.id.0, multiplier, context.random);
        if let Some(payload) = payload {
            // Whoever has no interface of its own has been heard on one: echo is sent while Up.
            let interface = self.config.path.interface.or(self.last_interface);
            context.outputs.push_back(Output::TransmitEcho {
                session: self.id,
                path: Path {
                    interface,
                    ..self.config.path
                },
                payload,
            });
        }
    }
}

fn microseconds(interval: Duration) -> u32 {
    u32::try_from(interval.as_micros()).unwrap_or(u32::MAX)
}
