//! The services as the maps have them: shared by their writer and by the flow table.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lb_common::map;

use crate::desired::{Endpoint, Service, ServiceKey};

/// Rows of a service in the MAGLEV array.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: u32,
    pub(super) size: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: u32,
    pub(super) extent: Extent,
    /// None: left by a former daemon and not configured yet.
    pub(super) service: Option<Service>,
    /// No longer configured, and the flows that they may still have end by this time. Later they are dropped with the
    /// next change of the service.
    pub(super) retired: Vec<(Instant, Endpoint)>,
}

impl Entry {
    /// Endpoints that were taken away when this entry follows `former`, or before.
    pub(super) fn retire(former: &Entry, service: &Service) -> Vec<(Instant, Endpoint)> {
        let now = Instant::now();
        let is_in = |list: &[Endpoint], endpoint: &Endpoint| {
            list.iter()
                .any(|other| (other.address, other.port) == (endpoint.address, endpoint.port))
        };
        let gone = former.service.iter().flat_map(|former| {
            let until = now + former.idle_timeout;
            former
                .endpoints
                .iter()
                .map(move |endpoint| (until, endpoint.clone()))
        });
        let before = former.retired.iter().filter(|(until, _)| *until > now).cloned();
        gone.chain(before)
            .filter(|(_, endpoint)| !is_in(&service.endpoints, endpoint))
            .collect()
    }
}

/// Flows of a service that a former daemon left are kept this long.
const UNKNOWN_TIMEOUT: Duration = Duration::from_secs(1800);

#[derive(Default, Debug)]
pub(super) struct Catalog {
    pub(super) entries: BTreeMap<ServiceKey, Entry>,
    last_id: u32,
}

impl Catalog {
    /// An identity that no service has, and that was not just given up: its flows may still be there.
    pub(super) fn new_id(&mut self) -> Option<u32> {
        let id = (1..map::SERVICES_SIZE)
            .map(|step| (self.last_id + step) % map::SERVICES_SIZE)
            .find(|id| self.entries.values().all(|entry| entry.id != *id))?;
        self.last_id = id;
        Some(id)
    }

    pub(super) fn insert(&mut self, key: ServiceKey, entry: Entry) {
        self.last_id = self.last_id.max(entry.id);
        self.entries.insert(key, entry);
    }

    /// Idle timeout by identity.
    pub(super) fn timeouts(&self) -> BTreeMap<u32, Duration> {
        self.entries
            .values()
            .map(|entry| {
                (
                    entry.id,
                    entry
                        .service
                        .as_ref()
                        .map_or(UNKNOWN_TIMEOUT, |service| service.idle_timeout),
                )
            })
            .collect()
    }
}
