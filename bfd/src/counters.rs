//! What is counted: per session, and the reasons for which packets are thrown away.

/// Why a received packet was discarded without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Discard {
    /// TTL or hop limit below what the session asks for (RFC 5881 section 5).
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
    /// No session for these addresses and this interface, and strangers are not admitted.
    UnknownSource,
    /// Strangers are admitted (RFC 9468), but there are as many sessions as may be.
    StrangerLimit,
    /// Your Discriminator names a session between other addresses.
    Address,
    /// Your Discriminator names a session of another interface.
    Interface,
    /// Came to port 3784 for a session over several hops, or to 4784 for one on the link.
    Hops,
    /// The session has keys, the packet is not authenticated.
    AuthenticationMissing,
    /// The packet is authenticated, the session has no keys.
    AuthenticationUnexpected,
    /// The authentication section is no such section.
    AuthenticationMalformed,
    /// No key of that id and type.
    AuthenticationKey,
    /// The password or the digest is not that of the key.
    AuthenticationDigest,
    /// The sequence number is outside its window: a replay, or far ahead.
    AuthenticationSequence,
    /// The session is administratively down.
    AdminDown,
    /// An Echo packet that no session here has sent, or that came back before.
    Echo,
}

impl Discard {
    pub const ALL: [Self; 22] = [
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
        Self::StrangerLimit,
        Self::Address,
        Self::Interface,
        Self::Hops,
        Self::AuthenticationMissing,
        Self::AuthenticationUnexpected,
        Self::AuthenticationMalformed,
        Self::AuthenticationKey,
        Self::AuthenticationDigest,
        Self::AuthenticationSequence,
        Self::AdminDown,
        Self::Echo,
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
            Self::StrangerLimit => "stranger-limit",
            Self::Address => "address",
            Self::Interface => "interface",
            Self::Hops => "hops",
            Self::AuthenticationMissing => "authentication-missing",
            Self::AuthenticationUnexpected => "authentication-unexpected",
            Self::AuthenticationMalformed => "authentication-malformed",
            Self::AuthenticationKey => "authentication-key",
            Self::AuthenticationDigest => "authentication-digest",
            Self::AuthenticationSequence => "authentication-sequence",
            Self::AdminDown => "admin-down",
            Self::Echo => "echo",
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
    /// Returns to Up that were held back because of an earlier failure.
    pub held: u64,
    /// Polls of the peer that exceeded the bound on answers.
    pub polls_unanswered: u64,
    /// Packets that were for this session and discarded nevertheless.
    pub discards: Discards,
}
