//! A neighbour's new configuration: what it takes to put it into effect, and no more.
//!
//! Only what the OPEN or the socket carries needs a new session. Everything else is told to the neighbour as a
//! difference, judged again on our side, or only remembered.
use std::time::Instant;

use crate::config::{BfdMode, PeerConfig};
use crate::io::Cause;
use crate::peer::Peer;
use crate::session::{Failure, State};
use crate::speaker::Shared;
use crate::status::BfdState;
use crate::wire::Cease;

/// What a change asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Consequences {
    /// Another OPEN or another socket.
    session: bool,
    /// Only connections that are not yet a session have to start again.
    attempts: bool,
    /// Tell the neighbour the difference.
    export: bool,
    /// Judge again what the neighbour has announced.
    import: bool,
    /// Count again what the neighbour has announced, and let it in again or ask for what is missing.
    limits: bool,
}

/// Every field is named, so that a new one cannot be forgotten here.
fn consequences(old: &PeerConfig, new: &PeerConfig) -> Consequences {
    let PeerConfig {
        address,
        scope,
        port,
        transport,
        remote_as,
        passive,
        hold_time: _,
        connect_retry,
        families,
        next_hops,
        ladder,
        import,
        export,
        bfd,
        role,
        role_strict,
        graceful_restart,
        add_path,
        extended_messages,
        max_prefixes,
        graceful_shutdown,
        description: _,
    } = old;
    let strict = |mode: &BfdMode| *mode == BfdMode::Strict;
    Consequences {
        session: *address != new.address
            || *scope != new.scope
            || *transport != new.transport
            || old.hold_seconds() != new.hold_seconds()
            || *families != new.families
            || *role != new.role
            || *graceful_restart != new.graceful_restart
            || *add_path != new.add_path
            || *extended_messages != new.extended_messages,
        // What only an OPEN is judged by, and where to connect to. draft-ietf-idr-bgp-bfd-strict-mode section 8.7.3:
        // strict mode has done its work when the session is up.
        attempts: *remote_as != new.remote_as
            || *role_strict != new.role_strict
            || *port != new.port
            || *passive != new.passive
            || *connect_retry != new.connect_retry
            || strict(bfd) != strict(&new.bfd),
        export: *next_hops != new.next_hops
            || *ladder != new.ladder
            || *export != new.export
            || *graceful_shutdown != new.graceful_shutdown,
        // RFC 8326 section 4.1: other paths are preferred while a neighbour is being shut down.
        import: *import != new.import || *graceful_shutdown != new.graceful_shutdown,
        limits: *max_prefixes != new.max_prefixes,
    }
}

impl Peer {
    pub(crate) fn reconfigure(&mut self, now: Instant, shared: &mut Shared, config: PeerConfig) {
        let consequences = consequences(&self.config, &config);
        let old = std::mem::replace(&mut self.config, config);
        if old.address != self.config.address {
            // What was said about another address.
            self.bfd = BfdState::Unknown;
            self.held = false;
        }
        if consequences.session || !self.still_welcome(shared) {
            self.restart(now, shared);
            // What has been kept is that of the neighbour as it was agreed on before.
            self.drop_stale(shared);
        } else {
            self.adapt(now, shared, consequences);
        }
        if consequences.limits {
            self.limits_changed(now, shared, &old.max_prefixes);
        }
    }

    /// What does not need another session.
    fn adapt(&mut self, now: Instant, shared: &mut Shared, consequences: Consequences) {
        if consequences.attempts {
            self.restart_attempts(now, shared);
        }
        if consequences.import {
            self.reimport(shared);
        }
        if consequences.export {
            self.announce(now, shared, Cause::Configuration);
        }
    }

    /// Whether the neighbour of an established session would be let in again, or that whose routes are kept.
    fn still_welcome(&self, shared: &Shared) -> bool {
        let link = self.established().and_then(|connection| connection.state.link());
        let asn = match link {
            Some(link) => Some(link.negotiated.asn),
            None if self.graceful.is_idle() => None,
            None => self.adj_rib_in.remote_as(),
        };
        asn.is_none_or(|asn| self.config.remote_as.accepts(asn, shared.config.local_as))
    }

    fn restart(&mut self, now: Instant, shared: &mut Shared) {
        self.close_all(
            now,
            shared,
            &Failure::notify(Cease::OtherConfigurationChange.into()),
        );
        self.retry = super::Retry::default();
        self.connect(now, shared);
    }

    fn restart_attempts(&mut self, now: Instant, shared: &mut Shared) {
        let established = |state: &State| matches!(state, State::Established(_));
        if self
            .connections
            .iter()
            .any(|connection| established(&connection.state))
        {
            return;
        }
        self.restart(now, shared);
    }
}

#[cfg(test)]
mod tests;
