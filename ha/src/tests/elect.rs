//! The decision for any number of nodes with the same view.

use proptest::prelude::*;

use crate::elect::{Candidate, Gate, Hold, Rank, hold, role};
use crate::{Role, Standing};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

prop_compose! {
    fn candidates()(count in 1..=5_usize, fields in prop::collection::vec(
        (0..3_u32, any::<bool>(), any::<bool>(), any::<bool>(), 0..3_u8, any::<bool>()), 5)) -> Vec<Candidate<'static>> {
        let make = |(name, (priority, uplink, announces, draining, standing, holds)): (&'static str, _)| {
            let standing = [Standing::Fresh, Standing::Stale, Standing::Current][usize::from(standing)];
            Candidate { name, priority, uplink, announces, draining, standing, holds }
        };
        NAMES.into_iter().zip(fields).map(make).take(count).collect()
    }
}

/// Every node decides, then all see what the others did.
fn round(all: &[Candidate<'static>], preempt: bool) -> Vec<Candidate<'static>> {
    let decide = |(index, me): (usize, &Candidate<'static>)| {
        let others: Vec<_> = all
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .map(|(_, o)| *o)
            .collect();
        let holds = match hold(me, preempt, &others, Gate::Open) {
            Hold::Keep => me.holds,
            Hold::Claim(_) => true,
            Hold::Release(_) => false,
        };
        Candidate { holds, ..*me }
    };
    all.iter().enumerate().map(decide).collect()
}

proptest! {
    #[test]
    fn one_holds_after_two_rounds(all in candidates(), preempt: bool) {
        let first = round(&all, preempt);
        prop_assert!(first.iter().any(|c| c.holds), "never none");
        let second = round(&first, preempt);
        prop_assert_eq!(second.iter().filter(|c| c.holds).count(), 1);
        prop_assert_eq!(round(&second, preempt), second, "and it stays");
    }

    #[test]
    fn nobody_is_claimed_behind_a_closed_gate(all in candidates(), preempt: bool) {
        let (me, others) = all.split_first().unwrap();
        if others.iter().all(|o| !o.holds) && !me.holds {
            prop_assert_eq!(hold(me, preempt, others, Gate::Closed), Hold::Keep);
        }
    }

    #[test]
    fn a_holder_is_never_shown_as_backup_and_nobody_else_as_master(all in candidates()) {
        let (me, others) = all.split_first().unwrap();
        match role(me, others) {
            Role::Master => prop_assert!(me.holds),
            Role::Backup | Role::Joining => prop_assert!(!me.holds),
            Role::Draining => prop_assert!(me.draining),
            Role::Fault => prop_assert!(!me.uplink),
        }
    }
}

#[test]
fn what_counts_first() {
    let best = Candidate {
        name: "b",
        priority: 1,
        uplink: true,
        announces: true,
        draining: false,
        standing: Standing::Current,
        holds: false,
    };
    let worse = [
        Candidate { name: "c", ..best },
        Candidate {
            name: "a",
            priority: 0,
            ..best
        },
        Candidate {
            name: "a",
            priority: 9,
            standing: Standing::Stale,
            ..best
        },
        Candidate {
            name: "a",
            priority: 9,
            draining: true,
            ..best
        },
        Candidate {
            name: "a",
            priority: 9,
            uplink: false,
            ..best
        },
    ];
    let ranks: Vec<Rank<'_>> = std::iter::once(&best)
        .chain(&worse)
        .map(Candidate::rank)
        .collect();
    assert!(
        ranks.is_sorted_by(|one, next| one > next),
        "each counts more than all before it"
    );
}
