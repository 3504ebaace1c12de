//! The power loss as a picture: one time axis, a lane each for the nodes, the router, the probe and the flows.
//!
//! Plain SVG without scripts or fonts of its own, on a light background, so that it reads in a README.

mod canvas;

use canvas::{Canvas, Type};

use super::outcome::{Kind, Mark, Moment, Outcome, Phase};

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 1160.0;
const BAR: f64 = 26.0;
const LANE: f64 = 64.0;
const FLOWS: f64 = 190.0;

const BACKGROUND: &str = "#ffffff";
const INK: &str = "#1f2933";
const SOFT: &str = "#66788a";
const GRID: &str = "#e4e9ee";
const GOOD: &str = "#2f9e6e";
const CALM: &str = "#b9cfe4";
const BAD: &str = "#d64545";
const DARK: &str = "#d5dae0";
const KINDS: [(&str, &str); 4] = [
    ("ping-pong", "#3f7cc4"),
    ("up", "#8a63c7"),
    ("down", "#e08a2e"),
    ("idle", "#9aa5b1"),
];

/// Maps milliseconds to the axis.
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    /// Covers everything that the phase shows, with some calm on either side.
    fn of(phase: &Phase) -> Self {
        let ends = phase.interrupted().map(|stall| phase.since_zero(stall.end_ns));
        let moments = phase.timeline.iter().map(|moment| moment.ms);
        let last = ends.chain(moments).fold(40.0_f64, f64::max).min(5_000.0);
        let first = phase
            .timeline
            .iter()
            .map(|moment| moment.ms)
            .fold(0.0_f64, f64::min);
        Self {
            from: first.max(-200.0) - last * 0.12,
            to: last * 1.06,
        }
    }

    fn x(&self, ms: f64) -> f64 {
        LEFT + (ms.clamp(self.from, self.to) - self.from) / (self.to - self.from) * (RIGHT - LEFT)
    }

    /// A round distance that gives about ten lines.
    fn step(&self) -> f64 {
        let wanted = (self.to - self.from) / 10.0;
        [1.0, 2.0, 5.0, 10.0, 20.0, 25.0, 50.0, 100.0, 200.0, 250.0, 500.0]
            .into_iter()
            .find(|&step| step >= wanted)
            .unwrap_or(1_000.0)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> + '_ {
        let step = self.step();
        let first = (self.from / step).ceil();
        (0..100)
            .map(move |n| (first + f64::from(n)) * step)
            .take_while(|&ms| ms <= self.to)
    }
}

/// The last power loss; `None` when there was none.
pub(super) fn svg(outcome: &Outcome) -> Option<String> {
    let phase = outcome.of(Kind::PowerLoss).last()?;
    let axis = Axis::of(phase);
    let mut canvas = Canvas::new(WIDTH);
    heading(&mut canvas, outcome, phase);
    let top = 112.0;
    let bottom = top + 4.0 * LANE + FLOWS + 20.0;
    grid(&mut canvas, &axis, top, bottom);
    lanes(&mut canvas, &axis, phase, top);
    flows(&mut canvas, &axis, phase, top + 4.0 * LANE);
    let end = bottom + 44.0;
    let legend = legend(&mut canvas, phase, end);
    let table = table(&mut canvas, outcome, end);
    Some(canvas.finish(legend.max(table) + 24.0, BACKGROUND))
}

fn heading(canvas: &mut Canvas, outcome: &Outcome, phase: &Phase) {
    let title = format!(
        "{} loses its power: {} ms without an answer, no flow lost",
        phase.node,
        phase.gap_ms()
    );
    let lost = outcome.flows_lost;
    let title = if lost == 0 {
        title
    } else {
        format!("{} loses its power: {lost} flows lost", phase.node)
    };
    canvas.text(LEFT - 70.0, 44.0, Type::new(24.0, INK).bold(), &title);
    let under = format!(
        "{} long-lived TCP flows, verified byte by byte, and a 1 kHz UDP probe. BFD {} detects within {:.0} ms. Time in \
         ms from the power cut.",
        outcome.flows, outcome.bfd, outcome.detection_ms
    );
    canvas.text(LEFT - 70.0, 70.0, Type::new(14.0, SOFT), &under);
}

fn grid(canvas: &mut Canvas, axis: &Axis, top: f64, bottom: f64) {
    for ms in axis.ticks() {
        let x = axis.x(ms);
        canvas.line([x, top - 8.0, x, bottom], GRID, 1.0, "");
        canvas.text(
            x,
            bottom + 18.0,
            Type::new(12.0, SOFT).anchor("middle"),
            &format!("{ms:.0}"),
        );
    }
    let zero = axis.x(0.0);
    canvas.line([zero, top - 8.0, zero, bottom], BAD, 1.5, "4 3");
}

fn lanes(canvas: &mut Canvas, axis: &Axis, phase: &Phase, top: f64) {
    let survivor = if phase.node == "lb1" { "lb2" } else { "lb1" };
    let switched = phase.moment(Mark::FibSwitched);
    let rows: [(&str, Vec<Part>); 4] = [
        (
            &phase.node,
            vec![
                Part::new(axis.from, 0.0, GOOD, "MASTER"),
                Part::new(0.0, axis.to, DARK, "no power"),
            ],
        ),
        (
            survivor,
            halves(axis, phase.moment(Mark::Role), ["BACKUP", "MASTER"], CALM),
        ),
        ("router", router(axis, switched, &phase.node, survivor)),
        ("probe", probe(axis, phase)),
    ];
    for (row, (name, parts)) in (0_u8..).zip(rows) {
        let y = top + f64::from(row) * LANE + 22.0;
        label(canvas, name, y + BAR / 2.0);
        for part in parts {
            part.draw(canvas, axis, y);
        }
        markers(canvas, axis, phase, name, y);
    }
}

fn label(canvas: &mut Canvas, name: &str, y: f64) {
    canvas.text(
        LEFT - 16.0,
        y + 5.0,
        Type::new(15.0, INK).anchor("end").bold(),
        name,
    );
}

/// A stretch of a lane.
struct Part {
    from: f64,
    to: f64,
    fill: &'static str,
    text: String,
}

impl Part {
    fn new(from: f64, to: f64, fill: &'static str, text: &str) -> Self {
        Self {
            from,
            to,
            fill,
            text: text.to_owned(),
        }
    }

    fn draw(&self, canvas: &mut Canvas, axis: &Axis, y: f64) {
        let (left, right) = (axis.x(self.from), axis.x(self.to));
        canvas.rect([left, y, (right - left).max(1.0), BAR], self.fill, 3.0);
        let light = [GOOD, BAD].contains(&self.fill);
        let kind = Type::new(12.0, if light { "#ffffff" } else { INK }).anchor("middle");
        if right - left > self.text.len() as f64 * 6.6 + 8.0 {
            canvas.text(f64::midpoint(left, right), y + BAR / 2.0 + 4.0, kind, &self.text);
        }
    }
}

fn halves(axis: &Axis, change: Option<f64>, names: [&str; 2], before: &'static str) -> Vec<Part> {
    let change = change.unwrap_or(axis.to);
    vec![
        Part::new(axis.from, change, before, names[0]),
        Part::new(change, axis.to, GOOD, names[1]),
    ]
}

fn router(axis: &Axis, switched: Option<f64>, dead: &str, survivor: &str) -> Vec<Part> {
    let (dead, survivor) = (format!("to {dead}"), format!("to {survivor}"));
    let switched = switched.unwrap_or(axis.to);
    vec![
        Part::new(axis.from, 0.0, GOOD, &dead),
        Part::new(0.0, switched, BAD, &format!("still {dead}")),
        Part::new(switched, axis.to, GOOD, &survivor),
    ]
}

fn probe(axis: &Axis, phase: &Phase) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut from = axis.from;
    for gap in &phase.gaps {
        let start = phase.since_zero(gap.first_lost_sent_ns);
        let end = gap.next_sent_ns.map_or(axis.to, |at| phase.since_zero(at));
        parts.push(Part::new(from, start, GOOD, "answered"));
        let text = format!("{} probes lost", gap.probes);
        parts.push(Part {
            from: start,
            to: end,
            fill: BAD,
            text,
        });
        from = end;
    }
    parts.push(Part::new(from, axis.to, GOOD, "answered"));
    parts
}

/// Numbered discs above a lane; the number leads to the legend. Discs that would cover each other move apart, a
/// thin line shows where they belong.
fn markers(canvas: &mut Canvas, axis: &Axis, phase: &Phase, lane: &str, y: f64) {
    let mut free = f64::MIN;
    for (number, moment) in (1..)
        .zip(&phase.timeline)
        .filter(|(_, moment)| moment.lane == lane)
    {
        let x = axis.x(moment.ms);
        let disc = x.max(free);
        free = disc + 19.0;
        canvas.line([x, y + BAR, x, y - 2.0], INK, 1.2, "");
        canvas.line([x, y - 2.0, disc, y - 11.0], INK, 1.2, "");
        disc_at(canvas, disc, y - 11.0, number);
    }
}

fn disc_at(canvas: &mut Canvas, x: f64, y: f64, number: usize) {
    canvas.circle(x, y, 8.5, BACKGROUND, INK);
    canvas.text(
        x,
        y + 3.8,
        Type::new(10.5, INK).anchor("middle").bold(),
        &number.to_string(),
    );
}

/// Every flow is a line: from its last message before the stall to the first one after it.
fn flows(canvas: &mut Canvas, axis: &Axis, phase: &Phase, top: f64) {
    label(canvas, "flows", top + FLOWS / 2.0);
    let mut stalls: Vec<_> = phase.interrupted().collect();
    let order = |kind: &str| KINDS.iter().position(|(name, _)| *name == kind);
    stalls.sort_by(|a, b| order(&a.kind).cmp(&order(&b.kind)).then(a.end_ns.cmp(&b.end_ns)));
    let pitch = (FLOWS - 34.0) / stalls.len().max(1) as f64;
    for (row, stall) in stalls.iter().enumerate() {
        let color = KINDS
            .iter()
            .find(|(name, _)| *name == stall.kind)
            .map_or(SOFT, |(_, color)| color);
        let end = phase.since_zero(stall.end_ns);
        let y = top + 24.0 + row as f64 * pitch;
        canvas.line(
            [axis.x(end - stall.ms), y, axis.x(end), y],
            color,
            (pitch * 0.75).clamp(0.6, 3.0),
            "",
        );
    }
    let mut x = LEFT;
    for (kind, color) in KINDS.iter().filter(|(kind, _)| *kind != "idle") {
        canvas.rect([x, top + 3.0, 18.0, 4.0], color, 2.0);
        canvas.text(
            x + 24.0,
            top + 9.0,
            Type::new(12.0, SOFT),
            &format!("{kind} flows, waiting"),
        );
        x += 190.0;
    }
    markers(canvas, axis, phase, "flows", top + FLOWS - 4.0);
}

fn legend(canvas: &mut Canvas, phase: &Phase, top: f64) -> f64 {
    canvas.text(LEFT - 70.0, top, Type::new(14.0, INK).bold(), "What happened");
    let mut y = top + 24.0;
    for (number, Moment { ms, lane, text, .. }) in (1..).zip(&phase.timeline) {
        disc_at(canvas, LEFT - 60.0, y - 4.0, number);
        canvas.text(
            LEFT + 10.0,
            y,
            Type::new(13.0, INK).anchor("end"),
            &format!("{ms:.1}"),
        );
        canvas.text(LEFT + 24.0, y, Type::new(13.0, SOFT), lane);
        canvas.text(LEFT + 80.0, y, Type::new(13.0, INK), text);
        y += 21.0;
    }
    y
}

fn table(canvas: &mut Canvas, outcome: &Outcome, top: f64) -> f64 {
    let columns = [640.0, 800.0, 850.0, 940.0, 1005.0, 1085.0, 1160.0];
    let heads = [
        "Phase",
        "alive",
        "lost",
        "probes lost",
        "gap ms",
        "stall p50",
        "max ms",
    ];
    for (x, head) in columns.iter().zip(heads) {
        let anchor = if *x == columns[0] { "start" } else { "end" };
        canvas.text(*x, top, Type::new(13.0, INK).bold().anchor(anchor), head);
    }
    let mut y = top + 24.0;
    for phase in last_of_each(outcome) {
        let cells = [
            phase.kind.title().to_owned(),
            phase.flows_alive.to_string(),
            phase.lost().to_string(),
            phase.probes_lost.to_string(),
            format!("{:.0}", phase.gap_ms()),
            format!("{:.0}", phase.stall_ms.p50),
            format!("{:.0}", phase.stall_ms.max),
        ];
        for (x, cell) in columns.iter().zip(&cells) {
            let anchor = if *x == columns[0] { "start" } else { "end" };
            canvas.text(*x, y, Type::new(13.0, INK).anchor(anchor), cell);
        }
        canvas.line([columns[0], y + 7.0, RIGHT, y + 7.0], GRID, 1.0, "");
        y += 25.0;
    }
    if outcome.power_losses > 1 {
        let (gap, stall) = (outcome.gap_ms, outcome.stall_ms);
        let soft = Type::new(13.0, SOFT);
        let text = format!(
            "{} power losses: gap p50 {:.0}, p99 {:.0}, max {:.0} ms;",
            outcome.power_losses, gap.p50, gap.p99, gap.max
        );
        canvas.text(columns[0], y + 4.0, soft, &text);
        let text = format!(
            "stall of a flow p50 {:.0}, p99 {:.0}, max {:.0} ms",
            stall.p50, stall.p99, stall.max
        );
        canvas.text(columns[0], y + 22.0, soft, &text);
        y += 20.0;
        y += 25.0;
    }
    y
}

/// One row a kind, in the order of the run.
fn last_of_each(outcome: &Outcome) -> Vec<&Phase> {
    let kinds = [
        Kind::Null,
        Kind::KnownBlackhole,
        Kind::PowerLoss,
        Kind::Return,
        Kind::Drain,
    ];
    kinds
        .into_iter()
        .filter_map(|kind| outcome.of(kind).last())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::phase;
    use super::*;

    #[test]
    fn the_picture_has_every_lane_and_moment() {
        let mut outcome = Outcome {
            detection_ms: 150.0,
            flows: 200,
            bfd: "30ms x 5".into(),
            ..Outcome::default()
        };
        outcome.phases = vec![
            phase(Kind::Null, 0),
            phase(Kind::PowerLoss, 140),
            phase(Kind::Drain, 0),
        ];
        outcome.conclude();
        let svg = svg(&outcome).unwrap();
        for text in [
            "lb1",
            "lb2",
            "router",
            "probe",
            "flows",
            "140 probes lost",
            "FIB switched",
            "drain",
        ] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert_eq!(svg.matches("<svg").count(), 1);
    }

    #[test]
    fn without_a_power_loss_there_is_nothing_to_draw() {
        assert!(svg(&Outcome::default()).is_none());
    }

    #[test]
    fn the_axis_has_round_ticks_within_its_range() {
        let axis = Axis {
            from: -30.0,
            to: 260.0,
        };
        assert_eq!(axis.step(), 50.0);
        assert_eq!(
            axis.ticks().collect::<Vec<_>>(),
            [0.0, 50.0, 100.0, 150.0, 200.0, 250.0]
        );
        assert!(axis.x(-1000.0) == LEFT && axis.x(1000.0) == RIGHT);
    }
}
