//! The Echo function of one session (RFC 5880 sections 6.4, 6.8.5, 6.8.8, 6.8.9).
//!
//! A peer says that it returns Echo packets, but whether its forwarding really does (source checks, filters) shows only
//! when the first one is back. So echo is first *tried*, slowly, and only once proven does its absence end the session
//! and do control packets become slow. What is inside is a local matter; a token makes sure that only what this session
//! has sent counts, and only once.

use std::time::{Duration, Instant};

use sha1::{Digest, Sha1};

use crate::EchoStatus;
use crate::random::Random;

/// Length of an Echo packet.
pub const ECHO_LENGTH: usize = 24;
/// The UDP payload of an Echo packet.
pub type EchoPayload = [u8; ECHO_LENGTH];

/// RFC 5880 section 6.8.3: while echo watches the path, control packets need not come faster. The same for trying.
pub(crate) const SLOW_INTERVAL: Duration = Duration::from_secs(1);
/// Numbers that count as on their way; older ones do not count any more.
const WINDOW: u32 = 64;

#[derive(Debug)]
pub(crate) struct Echo {
    secret: [u8; 16],
    born: Instant,
    interval: Option<Duration>,
    sequence: u32,
    /// Bit n: the packet `sequence - n` is still on its way.
    outstanding: u64,
    next: Option<Instant>,
    last_return: Option<Instant>,
    round_trip: Option<Duration>,
    transmitted: u64,
    returned: u64,
}

impl Echo {
    pub(crate) fn new(now: Instant, random: &mut Random) -> Self {
        let mut secret = [0; 16];
        for word in secret.chunks_exact_mut(4) {
            word.copy_from_slice(&random.next_u32().to_ne_bytes());
        }
        Self {
            secret,
            born: now,
            interval: None,
            sequence: 0,
            outstanding: 0,
            next: None,
            last_return: None,
            round_trip: None,
            transmitted: 0,
            returned: 0,
        }
    }

    /// The session whose id an Echo packet carries.
    pub(crate) fn session_of(payload: &[u8]) -> Option<u32> {
        payload.first_chunk().map(|id| u32::from_be_bytes(*id))
    }

    /// The agreed interval, or that there is to be no echo.
    pub(crate) fn set_interval(&mut self, now: Instant, interval: Option<Duration>) {
        if let (Some(before), Some(after)) = (self.interval, interval) {
            self.interval = interval;
            if after < before {
                // What was drawn for the longer interval would be missed by the shorter detection time.
                self.next = self.next.map(|next| next.min(now));
                self.last_return = self.last_return.map(|_| now);
            }
            return;
        }
        if self.interval != interval {
            self.interval = interval;
            self.next = interval.map(|_| now);
            self.outstanding = 0;
            self.last_return = None;
        }
    }

    /// Echo packets come back.
    pub(crate) fn is_proven(&self) -> bool {
        self.last_return.is_some()
    }

    pub(crate) fn transmit_deadline(&self) -> Option<Instant> {
        self.next
    }

    /// RFC 5880 section 6.8.5: so long without a returned packet ends the session.
    pub(crate) fn detection_deadline(&self, detect_multiplier: u8) -> Option<Instant> {
        let time = self.interval?.saturating_mul(detect_multiplier.into());
        self.last_return?.checked_add(time)
    }

    /// The next packet, when it is due.
    pub(crate) fn transmit(
        &mut self,
        now: Instant,
        id: u32,
        detect_multiplier: u8,
        random: &mut Random,
    ) -> Option<EchoPayload> {
        let interval = self
            .interval
            .filter(|_| self.next.is_some_and(|next| next <= now))?;
        let pace = if self.is_proven() {
            interval
        } else {
            interval.max(SLOW_INTERVAL)
        };
        self.next = now.checked_add(random.jittered(pace, detect_multiplier));
        self.sequence = self.sequence.wrapping_add(1);
        self.outstanding = self.outstanding << 1 | 1;
        self.transmitted = self.transmitted.saturating_add(1);
        let age = now.saturating_duration_since(self.born).as_nanos();
        let mut payload = [0; ECHO_LENGTH];
        let fields = [id, self.sequence, (age >> 32) as u32, age as u32];
        for (to, field) in payload.chunks_exact_mut(4).zip(fields) {
            to.copy_from_slice(&field.to_be_bytes());
        }
        let token = self.token(&payload);
        for (to, from) in payload.iter_mut().skip(16).zip(token) {
            *to = from;
        }
        Some(payload)
    }

    /// A packet came back. True if it is one that was on its way.
    pub(crate) fn returned(&mut self, now: Instant, detect_multiplier: u8, payload: &[u8]) -> bool {
        let Some(payload) = payload.first_chunk::<ECHO_LENGTH>() else {
            return false;
        };
        let [_, _, _, _, s0, s1, s2, s3, age @ ..] = *payload;
        let behind = self.sequence.wrapping_sub(u32::from_be_bytes([s0, s1, s2, s3]));
        let bit = if behind < WINDOW { 1_u64 << behind } else { 0 };
        if self.interval.is_none() || self.outstanding & bit == 0 || !payload.ends_with(&self.token(payload))
        {
            return false;
        }
        self.outstanding &= !bit;
        let sent = age.first_chunk().map_or(0, |age| u64::from_be_bytes(*age));
        let sent = self.born + Duration::from_nanos(sent);
        let round_trip = now.saturating_duration_since(sent);
        self.round_trip = Some(round_trip);
        self.returned = self.returned.saturating_add(1);
        let first = !self.is_proven();
        let detection = self.interval.unwrap_or_default() * detect_multiplier.into();
        if first && round_trip > detection / 2 {
            // It comes back, but a way as long as this would miss the detection time every now and then.
            return true;
        }
        self.last_return = self.last_return.max(Some(now));
        if first {
            // From now on at the agreed pace.
            self.next = Some(now);
        }
        true
    }

    fn token(&self, payload: &EchoPayload) -> [u8; 8] {
        let said = payload.get(..16).unwrap_or_default();
        let digest = Sha1::new_with_prefix(self.secret).chain_update(said).finalize();
        digest.first_chunk().copied().unwrap_or_default()
    }

    pub(crate) fn status(&self) -> EchoStatus {
        EchoStatus {
            interval: self.interval,
            proven: self.is_proven(),
            round_trip: self.round_trip,
            transmitted: self.transmitted,
            returned: self.returned,
        }
    }
}
