//! What is counted: per session, and the reasons for which packets are thrown away.

/// Why a received packet was discarded without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Discard {
    /// TTL or hop limit was not 255 (RFC 5881 section 5).
    Ttl,
    /// Shorter than a control packet, or than its length field says.
    Length,
    Version,
    MultiplierZero,
    /// The Multipoint bit, reserved for point to multipoint.
    Multipoint,
    /// Poll and Final in one packet (RFC 5880 section 6.5).
    PollAndFinal,
    /// The sender's own discriminator is zero.
    MyDiscriminatorZero,
    /// Your Discriminator is zero although the sender's state says that it knows us.
    YourDiscriminatorZero,
    /// Your Discriminator names no session here.
    UnknownDiscriminator,
    /// No session for this source and interface.
    UnknownSource,
    /// Carries authentication, which no session uses.
    Authentication,
    /// The session is administratively down.
    AdminDown,
}

impl Discard {
    pub const ALL: [Self; 12] = [
        Self::Ttl,
        Self::Length,
        Self::Version,
        Self::MultiplierZero,
        Self::Multipoint,
        Self::PollAndFinal,
        Self::MyDiscriminatorZero,
        Self::YourDiscriminatorZero,
        Self::UnknownDiscriminator,
        Self::UnknownSource,
        Self::Authentication,
        Self::AdminDown,
    ];

    /// Stable name for metrics and status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ttl => "ttl",
            Self::Length => "length",
            Self::Version => "version",
            Self::MultiplierZero => "multiplier-zero",
            Self::Multipoint => "multipoint",
            Self::PollAndFinal => "poll-and-final",
            Self::MyDiscriminatorZero => "my-discriminator-zero",
            Self::YourDiscriminatorZero => "your-discriminator-zero",
            Self::UnknownDiscriminator => "unknown-discriminator",
            Self::UnknownSource => "unknown-source",
            Self::Authentication => "authentication",
            Self::AdminDown => "admin-down",
        }
    }
}

/// Discarded packets by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discards([u64; Discard::ALL.len()]);

impl Discards {
    pub(crate) fn count(&mut self, reason: Discard) {
        if let Some(counter) = self.0.get_mut(reason as usize) {
            *counter = counter.saturating_add(1);
        }
    }

    pub fn get(&self, reason: Discard) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every reason with its count, zeroes included, always in the same order.
    pub fn iter(&self) -> impl Iterator<Item = (Discard, u64)> + '_ {
        Discard::ALL.into_iter().map(|reason| (reason, self.get(reason)))
    }
}

/// Counters of one session since it was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub transmitted: u64,
    /// Valid packets; discarded ones are in `discards`.
    pub received: u64,
    /// Transitions into Up.
    pub ups: u64,
    /// Transitions out of Up.
    pub downs: u64,
    /// Polls of the peer that exceeded the bound on answers.
    pub polls_unanswered: u64,
    /// Packets that were for this session and discarded nevertheless.
    pub discards: Discards,
}
