//! Metrics `baton_*` in the Prometheus text format.
//!
//! Made at each scrape from the status board, so that nothing is counted twice and a driver does not know
//! that metrics exist. Base units (seconds, bytes); counters end in `_total`. docs/operations.md says what
//! each of them means.

mod bfd;
mod bgp;
mod histogram;

use std::time::Duration;

use prometheus::{Encoder, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::status::StatusBoard;
use crate::timeline::Timeline;

const ROLES: [&str; 5] = ["joining", "backup", "master", "draining", "fault"];

/// Everything, as text.
pub fn text(board: &StatusBoard, timeline: &Timeline) -> Vec<u8> {
    let mut text = Vec::new();
    let scrape = Scrape::default();
    let encoded = scrape.collect(board, timeline).and_then(|()| {
        let families = scrape.registry.gather();
        TextEncoder::new().encode(&families, &mut text)
    });
    if let Err(error) = encoded {
        // Two metrics of one name: a mistake in this file, which its test finds.
        tracing::error!("metrics: {error}");
    }
    text
}

#[derive(Default)]
struct Scrape {
    registry: Registry,
}

type Outcome = Result<(), prometheus::Error>;

impl Scrape {
    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn seconds(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
        let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
        self.registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.registry.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn one(&self, name: &str, help: &str, value: i64) -> Outcome {
        self.gauge(name, help, &[])?
            .with_label_values::<&str>(&[])
            .set(value);
        Ok(())
    }

    fn collect(&self, board: &StatusBoard, timeline: &Timeline) -> Outcome {
        self.node(board, timeline)?;
        self.ha(board)?;
        self.bfd(board)?;
        self.bgp(board)?;
        self.services(board)?;
        self.datapath(board)?;
        self.sync(board)
    }

    fn node(&self, board: &StatusBoard, timeline: &Timeline) -> Outcome {
        let node = board.node.newest();
        self.gauge(
            "baton_build_info",
            "Always 1; the version is a label.",
            &["version"],
        )?
        .with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1);
        let uptime = self.seconds("baton_uptime_seconds", "Since the daemon started.", &[])?;
        uptime
            .with_label_values::<&str>(&[])
            .set(board.uptime().as_secs_f64());
        self.one(
            "baton_config_generation",
            "Configuration accepted last.",
            whole(node.generation),
        )?;
        self.one(
            "baton_config_applied_generation",
            "Configuration that was applied without an error.",
            whole(node.applied_generation),
        )?;
        self.one(
            "baton_config_errors",
            "Operations that failed and are tried again.",
            count(node.errors.len()),
        )?;
        self.one(
            "baton_config_refused",
            "1 if the last reload was refused and the one before it keeps running.",
            i64::from(node.refused.is_some()),
        )?;
        self.counter(
            "baton_timeline_lost_total",
            "Events that found no room in the timeline.",
            &[],
        )?
        .with_label_values::<&str>(&[])
        .inc_by(timeline.lost());
        Ok(())
    }

    fn ha(&self, board: &StatusBoard) -> Outcome {
        let ha = board.ha.newest();
        let role = self.gauge(
            "baton_ha_role",
            "1 for the role that the instance has.",
            &["instance", "role"],
        )?;
        for instance in &ha.instances {
            for name in ROLES {
                role.with_label_values(&[instance.name.as_str(), name])
                    .set(i64::from(instance.role == name));
            }
        }
        let alive = self.gauge(
            "baton_ha_peer_alive",
            "1 while BFD with the peer is up.",
            &["peer"],
        )?;
        for peer in &ha.peers {
            alive.with_label_values(&[&peer.name]).set(i64::from(peer.alive));
        }
        self.one(
            "baton_ha_draining",
            "1 while the operator has this node drained.",
            i64::from(ha.draining),
        )?;
        self.one(
            "baton_ha_uplink",
            "1 while a neighbour towards the clients is alive.",
            i64::from(ha.uplink),
        )?;
        self.one(
            "baton_ha_caught_up",
            "1 while the flow table equals the peer's.",
            i64::from(ha.caught_up),
        )
    }

    fn services(&self, board: &StatusBoard) -> Outcome {
        let label = ["service"];
        let healthy = self.gauge("baton_service_healthy", "1 while an endpoint can serve.", &label)?;
        let flows = self.counter("baton_service_flows_total", "Flows created.", &label)?;
        let packets = self.counter("baton_service_packets_total", "Packets forwarded.", &label)?;
        let bytes = self.counter("baton_service_bytes_total", "Bytes forwarded.", &label)?;
        for service in board.services_counted() {
            let label = [service.name.as_str()];
            healthy.with_label_values(&label).set(i64::from(service.healthy));
            flows.with_label_values(&label).inc_by(service.flows);
            packets.with_label_values(&label).inc_by(service.packets);
            bytes.with_label_values(&label).inc_by(service.bytes);
        }
        Ok(())
    }

    fn datapath(&self, board: &StatusBoard) -> Outcome {
        let table = board.flows.newest();
        let entries = self.gauge("baton_flow_table_flows", "Flows in the table.", &["tier"])?;
        entries
            .with_label_values(&["established"])
            .set(whole(table.established));
        entries
            .with_label_values(&["embryonic"])
            .set(whole(table.embryonic));
        self.one(
            "baton_flow_table_capacity",
            "Established flows that fit.",
            whole(table.capacity),
        )?;
        let packets = self.counter(
            "baton_datapath_packets_total",
            "Packets by what became of them.",
            &["reason", "drop"],
        )?;
        for counter in board.counters.newest().iter() {
            let drop = if counter.drop { "true" } else { "false" };
            packets
                .with_label_values(&[counter.name.as_str(), drop])
                .inc_by(counter.packets);
        }
        Ok(())
    }

    fn sync(&self, board: &StatusBoard) -> Outcome {
        let label = ["peer"];
        let streaming = self.gauge("baton_sync_streaming", "1 while changes are streamed.", &label)?;
        let queued = self.gauge(
            "baton_sync_queued_records",
            "Records that wait to be sent.",
            &label,
        )?;
        let lag = self.seconds(
            "baton_sync_lag_seconds",
            "From the event to the acknowledgement.",
            &label,
        )?;
        let resyncs = self.counter(
            "baton_sync_resyncs_total",
            "Overflows that a snapshot repaired.",
            &label,
        )?;
        let refused = self.counter(
            "baton_sync_refused_records_total",
            "Records that did not fit the configuration or the table.",
            &label,
        )?;
        let records = self.counter(
            "baton_sync_records_total",
            "Records exchanged.",
            &["peer", "direction"],
        )?;
        for peer in board.sync.newest().iter() {
            let label = [peer.name.as_str()];
            streaming
                .with_label_values(&label)
                .set(i64::from(peer.state == "streaming"));
            queued.with_label_values(&label).set(whole(peer.queued_records));
            lag.with_label_values(&label)
                .set(Duration::from_micros(peer.lag_us).as_secs_f64());
            resyncs.with_label_values(&label).inc_by(peer.resyncs);
            refused.with_label_values(&label).inc_by(peer.refused_records);
            records
                .with_label_values(&[peer.name.as_str(), "in"])
                .inc_by(peer.received_records);
            records
                .with_label_values(&[peer.name.as_str(), "out"])
                .inc_by(peer.sent_records);
        }
        Ok(())
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
