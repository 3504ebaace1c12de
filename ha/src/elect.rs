//! The decision: pure functions of this node and of what the live peers say, for one instance.
//!
//! All nodes rank all candidates alike, so they agree as soon as they have each other's hellos. Written for any number
//! of candidates.

use std::cmp::Reverse;

use crate::role::{Cause, Role, Standing};

/// A live node that takes part in the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    pub name: &'a str,
    pub priority: u32,
    pub uplink: bool,
    /// A router hears it. No part of the rank: it decides when an instance moves, not where it belongs.
    pub announces: bool,
    pub draining: bool,
    pub standing: Standing,
    /// Has claimed the instance and not released it.
    pub holds: bool,
}

/// Greater is better. Never equal for two nodes, since their names differ.
pub type Rank<'a> = (bool, bool, Standing, u32, Reverse<&'a str>);

impl<'a> Candidate<'a> {
    pub fn rank(&self) -> Rank<'a> {
        (
            self.uplink,
            !self.draining,
            self.standing,
            self.priority,
            Reverse(self.name),
        )
    }
}

/// Whether an instance that no live peer holds may be claimed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// A peer may still turn up, or lives and has not spoken: it may be MASTER.
    Closed,
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// As it is.
    Keep,
    Claim(Cause),
    Release(Cause),
}

/// Whether this node takes the instance or lets it go.
pub fn hold(me: &Candidate<'_>, preempt: bool, others: &[Candidate<'_>], gate: Gate) -> Hold {
    let holder = others.iter().filter(|o| o.holds).max_by_key(|o| o.rank());
    let first = others.iter().all(|o| me.rank() > o.rank());
    match holder {
        // Two holders: the better one stays, on every node the same one.
        Some(holder) if me.holds && holder.rank() > me.rank() => Hold::Release(Cause::PeerClaimed),
        _ if me.holds => Hold::Keep,
        Some(holder) => take_over(me, preempt, holder, first),
        None if gate == Gate::Open && first => Hold::Claim(Cause::Elected),
        None => Hold::Keep,
    }
}

/// A peer holds the instance and lives: claim it only with a reason, and, as long as that peer can serve, with an equal
/// flow table.
fn take_over(me: &Candidate<'_>, preempt: bool, holder: &Candidate<'_>, first: bool) -> Hold {
    if !first {
        Hold::Keep
    } else if me.uplink && !holder.uplink {
        Hold::Claim(Cause::PeerFault)
    } else if me.standing != Standing::Current || me.draining || (holder.announces && !me.announces) {
        Hold::Keep
    } else if holder.draining {
        Hold::Claim(Cause::PeerDraining)
    } else if preempt && me.priority > holder.priority {
        Hold::Claim(Cause::Preemption)
    } else {
        Hold::Keep
    }
}

/// Fit to take an instance from a holder that drains: it has the flows, and is heard by a router if the holder is.
pub fn heir(me_announces: bool, other: &Candidate<'_>) -> bool {
    let heard = other.announces || !me_announces;
    other.uplink && heard && !other.draining && other.standing == Standing::Current
}

/// The role that this node shows. No two live nodes show the same one once each knows what the other says.
///
/// A draining holder asks for traffic until there is an heir, because the others lack its flows; that it drains is in its
/// hello all the same.
pub fn role(me: &Candidate<'_>, others: &[Candidate<'_>]) -> Role {
    if me.draining && (!me.holds || others.is_empty() || others.iter().any(|o| heir(me.announces, o))) {
        Role::Draining
    } else if !me.uplink && others.iter().any(|o| o.uplink) {
        Role::Fault
    } else if me.holds {
        Role::Master
    } else if me.standing == Standing::Current && others.iter().any(|o| o.holds) {
        Role::Backup
    } else {
        Role::Joining
    }
}

/// What this node's flow table is worth now.
///
/// Current needs an undisputed holder: with none, or with two, "equal to the peer's" says nothing about whose flows count.
pub fn standing(me: &Candidate<'_>, others: &[Candidate<'_>], caught_up: bool) -> Standing {
    let holders = others.iter().filter(|o| o.holds).count() + usize::from(me.holds);
    let current = caught_up && !others.is_empty() && holders == 1;
    match me.standing {
        _ if current => Standing::Current,
        // The holder of a current table stays the authority when the channel breaks, and so does whoever was equal to a
        // holder that has just vanished.
        Standing::Current if me.holds || (holders == 0 && caught_up) => Standing::Current,
        Standing::Current | Standing::Stale => Standing::Stale,
        Standing::Fresh => Standing::Fresh,
    }
}
