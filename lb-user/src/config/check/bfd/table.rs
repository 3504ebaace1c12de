//! Tables that say something about sessions, one over the other.

use std::time::Duration;

use ::bfd::{Echo, HoldDown, Hops, Key, MAXIMUM_HOLD_DOWN, MAXIMUM_INTERVAL, MINIMUM_INTERVAL};
use ::bfd::{Parameters, Role, Timing};
use toml::Spanned;

use super::super::Findings;
use super::keys;
use crate::config::file;
use crate::config::values::{OrOff, Time};

const INTERVAL: Duration = Duration::from_millis(30);
const MULTIPLIER: u8 = 5;
const HOLD_DOWN: HoldDown = HoldDown {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
};
/// One router between the two, as FRR has it: whoever is further away has to be let in by name. A lower default
/// would let more of the world forge packets of sessions without keys.
const MINIMUM_TTL: u8 = 254;
/// Below it a lost packet or two are nothing unusual.
const SHORT: Duration = Duration::from_millis(50);

/// `[bfd]`, a `[[bfd.profile]]` or a `[[bfd.session]]`. What stands in it is right by itself.
pub(super) struct Table<'a> {
    /// The name of the table in findings.
    pub(super) place: &'static str,
    pub(super) settings: file::BfdSettings<'a>,
    pub(super) keys: Vec<(u8, Key)>,
}

impl<'a> Table<'a> {
    pub(super) fn new(place: &'static str, settings: file::BfdSettings<'a>, findings: &mut Findings) -> Self {
        let key = |name: &str| format!("{place}.{name}");
        for (name, at) in [
            ("interval", settings.interval),
            ("transmit-interval", settings.transmit_interval),
            ("receive-interval", settings.receive_interval),
        ] {
            if let Some(at) = at {
                interval(at, at.get_ref(), &key(name), findings);
            }
        }
        if let (Some(_), Some(at)) = (
            settings.interval,
            settings.transmit_interval.or(settings.receive_interval),
        ) {
            let name = if settings.transmit_interval.is_some() {
                "transmit-interval"
            } else {
                "receive-interval"
            };
            findings.refuse(
                at,
                &key(name),
                "interval is both directions already: write it, or the two apart",
            );
        }
        for (name, at) in [
            ("demand", settings.demand),
            ("echo", settings.echo),
            ("echo-receive", settings.echo_receive),
        ] {
            if let Some((at, time)) = at.and_then(|at| Some((at, at.get_ref().0?))) {
                interval(at, &time, &key(name), findings);
            }
        }
        for (name, at) in [
            ("multiplier", settings.multiplier),
            ("minimum-ttl", settings.minimum_ttl),
        ] {
            if let Some(at) = at.filter(|at| !(1..=255).contains(at.get_ref())) {
                findings.refuse(at, &key(name), format!("must be 1 to 255, not {}", at.get_ref()));
            }
        }
        hold_down(place, settings.hold_down, findings);
        Table {
            keys: keys::keys(place, settings.key, findings),
            place,
            settings,
        }
    }
}

fn interval<T>(at: &Spanned<T>, time: &Time, key: &str, findings: &mut Findings) {
    if !(MINIMUM_INTERVAL..=MAXIMUM_INTERVAL).contains(&time.0) {
        findings.refuse(at, key, format!("must be 1ms to 60s, not {time}"));
    }
}

fn hold_down(place: &str, written: Option<&file::BfdHoldDown>, findings: &mut Findings) {
    let Some(written) = written else { return };
    for (name, at) in [("first", &written.first), ("longest", &written.longest)] {
        if let Some(at) = at.as_ref().filter(|at| at.get_ref().0 > MAXIMUM_HOLD_DOWN) {
            let reason = format!("must be 0s to 1h, not {}", at.get_ref());
            findings.refuse(at, &format!("{place}.hold-down.{name}"), reason);
        }
    }
}

/// What the tables of a session say together; the last one counts first.
pub(super) struct Tables<'t, 'a>(pub(super) Vec<&'t Table<'a>>);

impl<'a> Tables<'_, 'a> {
    /// The uppermost that says something.
    pub(super) fn pick<T>(
        &self,
        get: impl Fn(&file::BfdSettings<'a>) -> Option<T>,
    ) -> Option<(&'static str, T)> {
        let mut uppermost = self.0.iter().rev();
        uppermost.find_map(|table| Some((table.place, get(&table.settings)?)))
    }

    fn or_off(
        &self,
        get: impl Fn(&file::BfdSettings<'a>) -> Option<&'a Spanned<OrOff<Time>>>,
    ) -> Option<Duration> {
        let (_, at) = self.pick(get)?;
        at.get_ref().0.map(|time| time.0)
    }

    pub(super) fn parameters(&self, findings: &mut Findings) -> Parameters {
        Parameters {
            timing: self.timing(findings),
            demand: self.or_off(|table| table.demand),
            echo: Echo {
                transmit: self.or_off(|table| table.echo),
                required_min_rx: self.or_off(|table| table.echo_receive),
            },
            hold_down: self.hold_down(findings),
            keys: keys::chosen(&self.0, findings),
        }
    }

    pub(super) fn role(&self) -> Role {
        match self.passive() {
            Some(_) => Role::Passive,
            None => Role::Active,
        }
    }

    /// Where it is said.
    pub(super) fn passive(&self) -> Option<(&'static str, &'a Spanned<bool>)> {
        self.pick(|table| table.passive).filter(|(_, at)| *at.get_ref())
    }

    fn timing(&self, findings: &mut Findings) -> Timing {
        let mut timing = Timing::symmetric(INTERVAL, MULTIPLIER);
        for table in &self.0 {
            let settings = &table.settings;
            let time = |at: Option<&Spanned<Time>>| at.map(|at| at.get_ref().0);
            let both = time(settings.interval);
            let apart = (time(settings.transmit_interval), time(settings.receive_interval));
            timing.desired_min_tx = apart.0.or(both).unwrap_or(timing.desired_min_tx);
            timing.required_min_rx = apart.1.or(both).unwrap_or(timing.required_min_rx);
        }
        if let Some((place, at)) = self.pick(|table| table.multiplier) {
            let multiplier = *at.get_ref();
            timing.detect_multiplier = u8::try_from(multiplier).unwrap_or(u8::MAX).max(1);
            let shortest = timing.desired_min_tx.min(timing.required_min_rx);
            if (1..=2).contains(&multiplier) && shortest < SHORT {
                let reason = format!(
                    "{multiplier} at an interval of {}: {multiplier} lost or late packets in a row end the session",
                    humantime::format_duration(shortest)
                );
                findings.warn(at, &format!("{place}.multiplier"), reason);
            }
        }
        timing
    }

    fn hold_down(&self, findings: &mut Findings) -> HoldDown {
        let first = self.pick(|table| table.hold_down?.first.as_ref());
        let longest = self.pick(|table| table.hold_down?.longest.as_ref());
        let time = |picked: &Option<(&str, &Spanned<Time>)>| picked.as_ref().map(|(_, at)| at.get_ref().0);
        let hold_down = HoldDown {
            first: time(&first).unwrap_or(HOLD_DOWN.first),
            longest: time(&longest).unwrap_or(HOLD_DOWN.longest),
        };
        if hold_down.first > hold_down.longest {
            let reason = format!(
                "first is {} and longest {}: the time doubles from the first to the longest",
                humantime::format_duration(hold_down.first),
                humantime::format_duration(hold_down.longest)
            );
            if let Some((place, at)) = first.or(longest) {
                findings.refuse(at, &format!("{place}.hold-down"), reason);
            }
        }
        hold_down
    }

    /// `far`: the least TTL that follows from what else is known of the distance.
    pub(super) fn hops(&self, multihop: bool, far: Option<u8>) -> Hops {
        if !multihop {
            return Hops::Single;
        }
        let written = self.pick(|table| table.minimum_ttl);
        let written = written.map(|(_, at)| u8::try_from(*at.get_ref()).unwrap_or(u8::MAX));
        Hops::Multi {
            minimum_ttl: written.or(far).unwrap_or(MINIMUM_TTL),
        }
    }
}
