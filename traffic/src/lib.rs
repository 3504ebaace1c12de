//! Traffic whose every byte is verified, for judging a failover.
//!
//! Three roles share one binary. `serve` runs on a backend: a TCP server that speaks the verified flow protocol and a
//! UDP echo that stamps who answered. `flows` runs on a client: long-lived TCP connections of four kinds. `probe`
//! sends one UDP datagram a millisecond and logs when each was sent and answered.
//!
//! All times are nanoseconds of CLOCK_MONOTONIC, which every network namespace of a machine shares, so that the
//! figures of both ends and of the daemons under test lie on one time axis.
//!
//! The generator never reconnects and never repeats a probe: what the network loses must stay visible.

pub mod clock;
pub mod control;
pub mod flows;
pub mod message;
pub mod pattern;
pub mod probe;
pub mod report;
pub mod serve;
pub mod tcp_info;
pub mod window;
