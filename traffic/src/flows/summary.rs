//! The report over all flows, window by window.

use std::collections::BTreeMap;

use crate::flows::record::Record;
use crate::message::Kind;
use crate::report::{FlowsReport, FlowsWindow, Quantiles, Stall};
use crate::window::{Window, Windows};

#[must_use]
pub fn report(records: &[Record], windows: &Windows, now: u64, detail: bool) -> FlowsReport {
    let not_idle = records.iter().filter(|record| record.kind != Kind::Idle);
    FlowsReport {
        now_ns: now,
        flows: records.len(),
        established: records
            .iter()
            .filter(|record| record.established.is_some())
            .count(),
        alive: records.iter().filter(|record| record.alive()).count(),
        longest_without_progress_ms: not_idle
            .filter(|record| record.alive())
            .map(|record| now.saturating_sub(record.progress))
            .max()
            .unwrap_or(0) as f64
            / 1e6,
        unanswered: records
            .iter()
            .filter(|record| record.kind == Kind::Idle && record.alive() && record.asked.is_some())
            .count(),
        establish_ms: Quantiles::of(
            records
                .iter()
                .filter_map(|record| Some(record.established?.saturating_sub(record.started) as f64 / 1e6))
                .collect(),
        ),
        windows: (0..)
            .zip(windows.all())
            .map(|(at, window)| of_window(records, at, window, windows, now))
            .collect(),
        details: records
            .iter()
            .filter(|_| detail)
            .map(|record| record.detail(windows, now))
            .collect(),
    }
}

fn of_window(records: &[Record], at: usize, window: &Window, windows: &Windows, now: u64) -> FlowsWindow {
    let end = window.end_ns.unwrap_or(u64::MAX);
    let mut failures = BTreeMap::new();
    let ends = records.iter().filter_map(|record| record.end.as_ref());
    for failure in ends.filter(|end| windows.at(end.at) == at) {
        *failures.entry(failure.failure).or_default() += 1;
    }
    let alive = records
        .iter()
        .filter(|record| record.established.is_some_and(|time| time < end))
        .filter(|record| record.end.as_ref().is_none_or(|failure| failure.at >= end))
        .count();
    let stalls: Vec<Stall> = records
        .iter()
        .filter_map(|record| record.stall(at, windows, now))
        .collect();
    let quantiles = |kind: Option<Kind>| {
        let chosen = stalls
            .iter()
            .filter(|stall| kind.is_none_or(|kind| stall.kind == kind));
        Quantiles::of(chosen.map(|stall| stall.ms).collect())
    };
    let mut medians: Vec<u32> = records
        .iter()
        .filter(|record| record.kind == Kind::PingPong)
        .filter_map(|record| record.median_response(at))
        .collect();
    medians.sort_unstable();
    let retransmits = records.iter().map(|record| record.retransmits(at));
    let (client, server) = retransmits.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    FlowsWindow {
        window: window.clone(),
        alive,
        failures,
        stall_ms: quantiles(None),
        stall_ms_by_kind: Kind::ALL
            .into_iter()
            .map(|kind| (kind, quantiles(Some(kind))))
            .collect(),
        worst: stalls.iter().max_by(|a, b| a.ms.total_cmp(&b.ms)).copied(),
        response_ms: medians
            .get(medians.len() / 2)
            .map_or(0.0, |&micros| f64::from(micros) / 1000.0),
        retransmits_client: client,
        retransmits_server: server,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, Observation, Stamp};
    use crate::report::Failure;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_flow_is_alive_until_the_window_in_which_it_fails() {
        let mut windows = Windows::new(0);
        let message = Message {
            stamp: Stamp::new("be1").unwrap(),
            length: 0,
            observation: Observation::default(),
        };
        let mut records: Vec<_> = (0..3)
            .map(|id| Record::new(id, Kind::Down, ([192, 0, 2, 1], 80).into(), MS, 1, 0))
            .collect();
        for record in &mut records[..2] {
            record.arrived(MS, &message, &windows);
        }
        windows.mark(10 * MS, "cut");
        records.iter_mut().for_each(Record::mark);
        records[0].failed(Failure::Reset, 15 * MS, "reset".to_owned());
        let report = report(&records, &windows, 50 * MS, true);
        assert_eq!((report.flows, report.established, report.alive), (3, 2, 1));
        assert_eq!(
            report
                .windows
                .iter()
                .map(|window| window.alive)
                .collect::<Vec<_>>(),
            [2, 1]
        );
        assert_eq!(report.windows[1].failures, BTreeMap::from([(Failure::Reset, 1)]));
        assert_eq!(report.longest_without_progress_ms, 49.0);
        assert_eq!(report.details.len(), 3);
    }
}
