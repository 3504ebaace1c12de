//! What the data path publishes: services with their counters, flows, packets by what became of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::PoisonError;

use lb_common::{Counter, DropReason, Flow, FlowFlags, FlowKey, ServiceStats};

use super::flow_table::FlowTable;
use super::maps::Streams;
use super::record;
use super::sweep::Census;
use crate::status::StatusBoard;

pub(super) struct Figures {
    board: StatusBoard,
    table: FlowTable,
    flows: BTreeMap<u32, u64>,
}

impl Figures {
    pub(super) fn new(board: StatusBoard, table: &FlowTable) -> Self {
        Figures {
            board,
            table: table.clone(),
            flows: BTreeMap::new(),
        }
    }

    fn slot(streams: &Streams, slot: u32) -> u64 {
        streams.counters.get(&slot, 0).map_or(0, |cpus| cpus.iter().sum())
    }

    pub(super) fn count(&self, streams: &Streams, counter: Counter) -> u64 {
        Self::slot(streams, counter.index())
    }

    /// Publishes the flows that a pass over the table found.
    pub(super) fn take(&mut self, census: Census) {
        let now = record::now();
        self.flows = census.by_service;
        let truncated = census.established + census.embryonic > census.listed.len() as u64;
        let flows = census
            .listed
            .iter()
            .map(|(key, (flow, established))| self.listed(key, flow, *established, now))
            .collect();
        self.board.flows.publish(api::FlowTable {
            established: census.established,
            embryonic: census.embryonic,
            capacity: u64::from(self.table.0.maps.established.capacity() / 2),
            flows,
            truncated,
        });
    }

    fn listed(&self, key: &FlowKey, flow: &Flow, established: bool, now: u32) -> api::Flow {
        let record = if established {
            self.table.describe(key, flow, now)
        } else {
            record::record(key, flow, None, now)
        };
        let text = |endpoint: sync::Endpoint| SocketAddr::from(endpoint).to_string();
        let protocol = match key.protocol {
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            other => other.to_string(),
        };
        let closing = flow.has(FlowFlags::CLOSED);
        api::Flow {
            protocol,
            client: text(record.identity.client),
            vip: text(record.identity.vip),
            backend: text(record.backend),
            snat: record.snat.map(text),
            state: if closing {
                "closing"
            } else if established {
                "established"
            } else {
                "embryonic"
            }
            .to_owned(),
            idle_ms: u64::try_from(record.age.as_millis()).unwrap_or(u64::MAX),
            remote: flow.has(FlowFlags::REMOTE),
            displaced: flow.has(FlowFlags::DISPLACED),
        }
    }

    pub(super) fn publish(&self, streams: &Streams) {
        let mut forwarded = 0;
        let mut services = Vec::new();
        {
            let catalog = self
                .table
                .0
                .catalog
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            for entry in catalog.entries.values() {
                let stats = sum(streams, entry.id);
                forwarded += stats.packets + stats.reply_packets;
                let Some(service) = &entry.service else { continue };
                services.push(api::Service {
                    name: service.name.clone(),
                    vip: service.key.vip.to_string(),
                    port: service.key.port,
                    protocol: service.key.protocol.to_string(),
                    mode: service.mode.to_string(),
                    select: service.select.to_string(),
                    instance: service.instance.clone(),
                    endpoints: service.endpoints.iter().map(endpoint).collect(),
                    healthy: service.healthy(),
                    flows: self.flows.get(&entry.id).copied().unwrap_or(0),
                    packets: stats.packets + stats.reply_packets,
                    bytes: stats.bytes + stats.reply_bytes,
                });
            }
        }
        self.board.services.publish(services);
        let counter = |name: &str, drop, packets| api::Counter {
            name: name.to_owned(),
            drop,
            packets,
        };
        let mut counters = vec![counter("forwarded", false, forwarded)];
        counters.extend(
            Counter::ALL
                .iter()
                .map(|slot| counter(slot.name(), false, Self::slot(streams, slot.index()))),
        );
        counters.extend(
            DropReason::ALL
                .iter()
                .map(|slot| counter(slot.name(), true, Self::slot(streams, slot.index()))),
        );
        self.board.counters.publish(counters);
    }
}

fn endpoint(endpoint: &crate::desired::Endpoint) -> api::Endpoint {
    api::Endpoint {
        address: endpoint.address.to_string(),
        port: endpoint.port,
        weight: u32::from(endpoint.weight),
    }
}

fn sum(streams: &Streams, service: u32) -> ServiceStats {
    let mut total = ServiceStats::default();
    if let Ok(cpus) = streams.stats.get(&service, 0) {
        for cpu in cpus.iter() {
            total.packets += cpu.packets;
            total.bytes += cpu.bytes;
            total.reply_packets += cpu.reply_packets;
            total.reply_bytes += cpu.reply_bytes;
            total.flows += cpu.flows;
        }
    }
    total
}
