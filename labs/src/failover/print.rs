//! The result for the terminal.

use std::fmt::Write as _;

use super::outcome::{Kind, Outcome, Phase};

/// Timeline of the last power loss and of the drain, the table, the verdict.
pub(super) fn text(outcome: &Outcome) -> String {
    let mut out = String::new();
    for kind in [Kind::PowerLoss, Kind::Drain] {
        if let Some(phase) = outcome.of(kind).last() {
            timeline(&mut out, phase);
        }
    }
    table(&mut out, outcome);
    if outcome.power_losses > 1 {
        let (gap, stall) = (outcome.gap_ms, outcome.stall_ms);
        line(
            &mut out,
            &format!(
                "\n{} power losses at BFD {}, {} flows: {} flows lost\n  gap   p50 {:.0}  p99 {:.0}  max {:.0} ms\n  \
                 stall p50 {:.0}  p99 {:.0}  max {:.0} ms",
                outcome.power_losses,
                outcome.bfd,
                outcome.flows,
                outcome.flows_lost,
                gap.p50,
                gap.p99,
                gap.max,
                stall.p50,
                stall.p99,
                stall.max
            ),
        );
    }
    for remark in &outcome.remarks {
        line(&mut out, &format!("remark: {remark}"));
    }
    for fault in &outcome.faults {
        line(&mut out, &format!("FAULT: {fault}"));
    }
    line(
        &mut out,
        if outcome.passed {
            "\nnothing lost, reset or misdelivered"
        } else {
            "\nFAILED"
        },
    );
    out
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

fn timeline(out: &mut String, phase: &Phase) {
    line(out, &format!("\n{} of {}, in ms", phase.kind.title(), phase.node));
    for moment in &phase.timeline {
        line(
            out,
            &format!("  {:>9.1}  {:<7} {}", moment.ms, moment.lane, moment.text),
        );
    }
    if let Some(lag) = phase.protection {
        line(
            out,
            &format!(
                "  protection lag of {}, event read until acknowledged by the peer (without the event ring), {} records: \
                 p50 {:.1}  p99 {:.1}  max {:.1} ms",
                phase.node, lag.records, lag.p50_ms, lag.p99_ms, lag.max_ms
            ),
        );
    }
}

fn table(out: &mut String, outcome: &Outcome) {
    line(
        out,
        "\nphase             alive  reset  lost  misdelivered  probes lost  gap ms  stall ms p50   p99   max  retransmits",
    );
    for phase in &outcome.phases {
        line(
            out,
            &format!(
                "{:<16}  {:>5}  {:>5}  {:>4}  {:>12}  {:>11}  {:>6.0}  {:>12.0}  {:>4.0}  {:>4.0}  {:>11}",
                phase.kind.title(),
                phase.flows_alive,
                phase.reset(),
                phase.lost() - phase.reset(),
                phase.misdelivered,
                phase.probes_lost,
                phase.gap_ms(),
                phase.stall_ms.p50,
                phase.stall_ms.p99,
                phase.stall_ms.max,
                phase.retransmits
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::phase;
    use super::*;

    #[test]
    fn the_text_has_timeline_table_and_verdict() {
        let mut outcome = Outcome {
            detection_ms: 150.0,
            ..Outcome::default()
        };
        outcome.phases = vec![
            phase(Kind::Null, 0),
            phase(Kind::PowerLoss, 140),
            phase(Kind::Drain, 0),
        ];
        outcome.conclude();
        let text = text(&outcome);
        assert!(text.contains("140.2  router  FIB switched"), "{text}");
        assert!(text.contains("power loss          200"), "{text}");
        assert!(
            text.contains("200 records: p50 0.4  p99 3.1  max 5.0 ms"),
            "{text}"
        );
        assert!(text.contains("nothing lost, reset or misdelivered"), "{text}");
    }
}
