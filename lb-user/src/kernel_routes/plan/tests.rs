//! Whatever is desired and whatever is there: the plan leads from one to the other, once, without a gap.

use std::collections::BTreeSet;

use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;

use super::super::route::Way;
use super::*;

const METRIC: u32 = 2048;

fn prefix() -> impl Strategy<Value = IpNet> {
    (0..6_u8).prop_map(|number| {
        if number < 3 {
            format!("10.{number}.0.0/16").parse().unwrap()
        } else {
            format!("2001:db8:{number}::/48").parse().unwrap()
        }
    })
}

fn ways() -> impl Strategy<Value = Ways> {
    btree_set((1..4_u8, 1..3_u32), 1..4).prop_map(|ways| {
        ways.into_iter()
            .map(|(host, link)| Way {
                gateway: Some([192, 0, 2, host].into()),
                link,
            })
            .collect()
    })
}

fn actual() -> impl Strategy<Value = Actual> {
    let metric = prop_oneof![Just(METRIC), Just(20)];
    btree_map(prefix(), btree_map(metric, ways(), 1..3), 0..6)
}

proptest! {
    #[test]
    fn a_plan_leads_to_what_is_desired_and_then_nothing_is_left_to_do(
        desired in btree_map(prefix(), ways(), 0..6),
        mut actual in actual(),
    ) {
        let all: BTreeSet<IpNet> = desired.keys().chain(actual.keys()).copied().collect();
        let wanted = |prefix: &IpNet| desired.get(prefix).cloned().unwrap_or_default();
        for operation in plan(all.iter().copied(), METRIC, wanted, &actual) {
            let before = actual.get(&operation.prefix()).cloned().unwrap_or_default();
            match &operation {
                Operation::Create { .. } => prop_assert!(!before.contains_key(&METRIC)),
                Operation::Replace { ways, .. } => prop_assert_ne!(&before[&METRIC], ways),
                Operation::Remove { metric, .. } => {
                    prop_assert!(before.contains_key(metric));
                    // A prefix that stays desired is never without a route.
                    prop_assert!(!desired.contains_key(&operation.prefix()) || before.len() > 1);
                }
            }
            done(&operation, METRIC, &mut actual);
        }
        let left: BTreeMap<IpNet, Ways> = actual
            .iter()
            .map(|(prefix, routes)| (*prefix, routes[&METRIC].clone()))
            .collect();
        prop_assert_eq!(&left, &desired);
        prop_assert!(plan(all, METRIC, wanted, &actual).is_empty());
    }

    #[test]
    fn only_the_prefixes_asked_for_are_touched(
        desired in btree_map(prefix(), ways(), 0..6),
        actual in actual(),
        asked in btree_set(prefix(), 0..3),
    ) {
        let wanted = |prefix: &IpNet| desired.get(prefix).cloned().unwrap_or_default();
        for operation in plan(asked.iter().copied(), METRIC, wanted, &actual) {
            prop_assert!(asked.contains(&operation.prefix()));
        }
    }
}
