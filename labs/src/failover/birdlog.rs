//! The router's own log: when bird gave a neighbour up.
//!
//! bird stamps with the wall clock in local time. A moment is placed on CLOCK_MONOTONIC by its distance from a known
//! one, modulo a quarter of an hour: by which every time zone differs from every other in whole multiples.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::monotonic_ns;

const QUARTER: u64 = 900_000_000_000;
/// An entry that is later than this belongs to another event.
const NEAR: u64 = 60_000_000_000;

/// When bird ended its session with a neighbour, the first time after a moment of CLOCK_MONOTONIC.
pub(super) fn gave_up(log: &str, neighbor: &str, since: u64) -> Option<u64> {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    let behind = monotonic_ns().saturating_sub(since);
    let wall_since = u64::try_from(wall.as_nanos()).ok()?.saturating_sub(behind);
    Some(since + distance(log, neighbor, wall_since)?)
}

/// Nanoseconds from a wall clock time to the first matching entry after it.
fn distance(log: &str, neighbor: &str, wall_since: u64) -> Option<u64> {
    let wanted = format!("{neighbor}: State changed to stop");
    log.lines()
        .filter(|line| line.ends_with(&wanted))
        .filter_map(|line| time_of_day(line.split_whitespace().nth(1)?))
        .map(|at| (at % QUARTER + QUARTER - wall_since % QUARTER) % QUARTER)
        .filter(|&distance| distance < NEAR)
        .min()
}

/// `08:07:17.363054` in nanoseconds.
fn time_of_day(text: &str) -> Option<u64> {
    let (clock, fraction) = text.split_once('.')?;
    let mut seconds = 0;
    for part in clock.split(':') {
        seconds = seconds * 60 + part.parse::<u64>().ok()?;
    }
    let micros: u64 = fraction.parse().ok().filter(|_| fraction.len() == 6)?;
    Some(seconds * 1_000_000_000 + micros * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-11-21 08:07:11.947813 <TRACE> lb1: State changed to start\n\
        2026-11-21 08:07:17.363054 <TRACE> lb1: State changed to stop\n\
        2026-11-21 08:14:59.900000 <TRACE> lb1: State changed to stop\n\
        2026-11-21 08:15:00.100000 <TRACE> lb2: State changed to stop\n";

    #[test]
    fn an_entry_is_placed_by_its_distance_in_any_time_zone() {
        let at = time_of_day("08:07:17.000000").unwrap();
        for zone in [0, 2 * 3600, 5 * 3600 + 1800, 13 * 3600 + 2700] {
            let since = at + zone * 1_000_000_000;
            assert_eq!(distance(LOG, "lb1", since), Some(363_054_000));
        }
        assert_eq!(
            distance(LOG, "lb1", at + 1_000_000_000),
            None,
            "nothing near after it"
        );
        assert_eq!(
            distance(LOG, "lb2", time_of_day("08:14:59.900000").unwrap()),
            Some(200_000_000)
        );
    }

    #[test]
    fn other_lines_are_passed_over() {
        assert_eq!(time_of_day("08:07"), None);
        assert_eq!(time_of_day("aa:07:00.000000"), None);
        assert_eq!(distance("lb1: State changed to stop\n", "lb1", 0), None);
    }
}
