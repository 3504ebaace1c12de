//! Writes services, VIPs, backends and endpoints: what the reconciler wants, so that no packet sees half of it.
//!
//! Owner: the reconciler's thread. A new selection table goes to rows that nobody reads; then the service entry,
//! which names them, is replaced as a whole. The old rows rest for a second before they are used again: a packet
//! that has read the old entry is long gone by then.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use lb_common::{
    Address, Backend, Endpoint, EndpointKey, Mode, Port, Service as Record, ServiceKey as RecordKey,
    maglev_size, maglev_table, map,
};

use super::catalog::{Catalog, Entry, Extent};
use super::error::DataPathError;
use super::maps::Maps;
use super::table::Expect;
use crate::apply::{ApplyError, DataPath};
use crate::desired::{self, Protocol, Service, ServiceKey};

/// How long rows and slots rest.
const REST: Duration = Duration::from_secs(1);

pub struct Services {
    maps: Arc<Maps>,
    catalog: Arc<RwLock<Catalog>>,
    backends: BTreeMap<(Address, Port), u32>,
    endpoints: BTreeMap<EndpointKey, Endpoint>,
    resting: Vec<(Instant, Extent)>,
}

pub(super) fn record_key(key: &ServiceKey) -> RecordKey {
    RecordKey::new(key.vip.into(), Port::new(key.port), key.protocol.number())
}

fn desired_key(key: &RecordKey) -> Option<ServiceKey> {
    let protocol = [Protocol::Tcp, Protocol::Udp]
        .into_iter()
        .find(|known| known.number() == key.protocol)?;
    Some(ServiceKey {
        vip: key.vip.ip(),
        port: key.port.get(),
        protocol,
    })
}

fn failed(map: &'static str) -> impl Fn(io::Error) -> ApplyError {
    move |source| ApplyError::new(DataPathError::Map { map, source })
}

impl Services {
    /// Reads what is there.
    pub(super) fn adopt(maps: Arc<Maps>, catalog: Arc<RwLock<Catalog>>) -> Result<Self, DataPathError> {
        let read = |map| move |source| DataPathError::Map { map, source };
        let mut services = Services {
            maps: Arc::clone(&maps),
            catalog,
            backends: BTreeMap::new(),
            endpoints: maps
                .endpoints
                .all()
                .map_err(read(map::ENDPOINTS))?
                .into_iter()
                .collect(),
            resting: Vec::new(),
        };
        for (key, record) in maps.services.all().map_err(read(map::SERVICES))? {
            let Some(key) = desired_key(&key) else { continue };
            let extent = Extent {
                offset: record.table_offset,
                size: record.table_size,
            };
            services.catalog().insert(
                key,
                Entry {
                    id: record.id,
                    extent,
                    service: None,
                    retired: Vec::new(),
                },
            );
        }
        for (id, backend) in maps.backends.all().map_err(read(map::BACKENDS))? {
            if backend.used != 0 {
                services.backends.insert((backend.address, backend.port), id);
            }
        }
        Ok(services)
    }

    fn catalog(&self) -> RwLockWriteGuard<'_, Catalog> {
        self.catalog.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Slot of a backend, made when it is new.
    fn backend(&mut self, endpoint: &desired::Endpoint) -> Result<(u32, Backend), ApplyError> {
        let backend = Backend {
            address: endpoint.address.into(),
            port: Port::new(endpoint.port),
            used: 1,
        };
        let key = (backend.address, backend.port);
        if let Some(&id) = self.backends.get(&key) {
            return Ok((id, backend));
        }
        let taken: BTreeSet<u32> = self.backends.values().copied().collect();
        let id = (0..map::BACKENDS_SIZE)
            .find(|id| !taken.contains(id))
            .ok_or_else(|| ApplyError::new(format!("more than {} backends", map::BACKENDS_SIZE)))?;
        self.maps
            .backends
            .put(&id, &backend, Expect::Any)
            .map_err(failed(map::BACKENDS))?;
        self.backends.insert(key, id);
        Ok((id, backend))
    }

    /// First gap that is wide enough.
    fn extent(&mut self, size: u32) -> Result<Extent, ApplyError> {
        self.resting.retain(|(since, _)| since.elapsed() < REST);
        let mut taken: Vec<Extent> = self
            .catalog()
            .entries
            .values()
            .map(|entry| entry.extent)
            .collect();
        taken.extend(self.resting.iter().map(|(_, extent)| *extent));
        taken.sort_by_key(|extent| extent.offset);
        let mut offset = 0;
        for extent in taken.iter().filter(|extent| extent.size > 0) {
            if extent.offset.saturating_sub(offset) >= size {
                break;
            }
            offset = offset.max(extent.offset + extent.size);
        }
        if offset.saturating_add(size) > map::MAGLEV_SIZE {
            return Err(ApplyError::new(
                "the selection tables of all services do not fit: fewer endpoints",
            ));
        }
        Ok(Extent { offset, size })
    }

    /// Writes the selection table of a service to fresh rows.
    fn write_table(&mut self, service: &Service) -> Result<Extent, ApplyError> {
        let mut weighted = Vec::new();
        for endpoint in &service.endpoints {
            let (id, backend) = self.backend(endpoint)?;
            weighted.push((id, (backend, endpoint.weight)));
        }
        // Canonical: both nodes of a pair must build the same table, whatever the order of their files.
        weighted.sort_by_key(|(_, (backend, _))| (backend.address.octets(), backend.port.get()));
        let (ids, weighted): (Vec<u32>, Vec<(Backend, u16)>) = weighted.into_iter().unzip();
        let rows = maglev_table(&weighted, maglev_size(weighted.len()));
        let extent = self.extent(u32::try_from(rows.len()).unwrap_or(u32::MAX))?;
        for (row, index) in (extent.offset..).zip(rows) {
            let id = ids.get(index as usize).copied().unwrap_or_default();
            self.maps
                .maglev
                .put(&row, &id, Expect::Any)
                .map_err(failed(map::MAGLEV))?;
        }
        Ok(extent)
    }

    /// What every `default` service says about its endpoints, and about those whose flows may still live.
    fn wanted_endpoints(&self) -> BTreeMap<EndpointKey, Endpoint> {
        let mut wanted: BTreeMap<EndpointKey, Endpoint> = BTreeMap::new();
        for entry in self.catalog().entries.values() {
            let Some(service) = entry
                .service
                .as_ref()
                .filter(|service| service.mode == desired::Mode::Default)
            else {
                continue;
            };
            let retired = entry.retired.iter().map(|(_, endpoint)| endpoint);
            for endpoint in service.endpoints.iter().chain(retired) {
                let (address, port) = (Address::from(endpoint.address), Port::new(endpoint.port));
                let key = EndpointKey::new(address, port, service.key.protocol.number());
                let backend = self.backends.get(&(address, port)).copied().unwrap_or_default();
                wanted
                    .entry(key)
                    .and_modify(|endpoint| endpoint.ambiguous = 1)
                    .or_insert(Endpoint {
                        vip: service.key.vip.into(),
                        port: Port::new(service.key.port),
                        ambiguous: 0,
                        service: entry.id,
                        backend,
                    });
            }
        }
        wanted
    }

    fn write_endpoints(&mut self) -> Result<(), ApplyError> {
        // Until every service that a former daemon left is configured again, its endpoints stay.
        let settled = self
            .catalog()
            .entries
            .values()
            .all(|entry| entry.service.is_some());
        let wanted = self.wanted_endpoints();
        for (key, endpoint) in &wanted {
            if self.endpoints.get(key) != Some(endpoint) {
                self.maps
                    .endpoints
                    .put(key, endpoint, Expect::Any)
                    .map_err(failed(map::ENDPOINTS))?;
                self.endpoints.insert(*key, *endpoint);
            }
        }
        let gone: Vec<EndpointKey> = self
            .endpoints
            .keys()
            .filter(|key| settled && !wanted.contains_key(key))
            .copied()
            .collect();
        for key in gone {
            self.maps.endpoints.remove(&key).map_err(failed(map::ENDPOINTS))?;
            self.endpoints.remove(&key);
        }
        Ok(())
    }

    /// The map was not written: what was known before is what it has.
    fn undo(&self, key: &ServiceKey, former: Option<Entry>) {
        let mut catalog = self.catalog();
        match former {
            Some(entry) => catalog.insert(*key, entry),
            None => drop(catalog.entries.remove(key)),
        }
    }

    fn release_backends(&mut self) {
        let catalog = self.catalog();
        if catalog.entries.values().any(|entry| entry.service.is_none()) {
            return;
        }
        let used: BTreeSet<(Address, Port)> = catalog
            .entries
            .values()
            .filter_map(|entry| entry.service.as_ref())
            .flat_map(|service| &service.endpoints)
            .map(|endpoint| (endpoint.address.into(), Port::new(endpoint.port)))
            .collect();
        drop(catalog);
        // The record stays until the slot is used again: a packet may be reading it.
        self.backends.retain(|key, _| used.contains(key));
    }
}

impl DataPath for Services {
    fn existing(&mut self) -> Result<(Vec<ServiceKey>, Vec<IpAddr>), ApplyError> {
        let services = self.catalog().entries.keys().copied().collect();
        let vips = self.maps.vips.all().map_err(failed(map::VIPS))?;
        let mut vips: Vec<IpAddr> = vips.into_iter().map(|(address, _)| address.ip()).collect();
        vips.sort_unstable();
        Ok((services, vips))
    }

    fn put_vip(&mut self, vip: IpAddr) -> Result<(), ApplyError> {
        self.maps
            .vips
            .put(&vip.into(), &1, Expect::Any)
            .map_err(failed(map::VIPS))
    }

    fn remove_vip(&mut self, vip: IpAddr) -> Result<(), ApplyError> {
        self.maps
            .vips
            .remove(&vip.into())
            .map(drop)
            .map_err(failed(map::VIPS))
    }

    fn put_service(&mut self, service: &Service) -> Result<(), ApplyError> {
        let former = self.catalog().entries.get(&service.key).cloned();
        if former.as_ref().and_then(|entry| entry.service.as_ref()) == Some(service) {
            return Ok(());
        }
        let id = match &former {
            Some(entry) => entry.id,
            None => self
                .catalog()
                .new_id()
                .ok_or_else(|| ApplyError::new(format!("more than {} services", map::SERVICES_SIZE - 1)))?,
        };
        let extent = self.write_table(service)?;
        let mode = match service.mode {
            desired::Mode::Default => Mode::Default,
            desired::Mode::FullNat => Mode::FullNat,
        };
        let record = Record {
            id,
            mode: mode as u32,
            table_offset: extent.offset,
            table_size: extent.size,
        };
        let entry = Entry {
            id,
            extent,
            service: Some(service.clone()),
            retired: former
                .as_ref()
                .map(|former| Entry::retire(former, service))
                .unwrap_or_default(),
        };
        // Known before its first flow: the sweep removes flows of services that are not.
        self.catalog().insert(service.key, entry);
        if let Err(error) = self
            .maps
            .services
            .put(&record_key(&service.key), &record, Expect::Any)
        {
            self.undo(&service.key, former);
            return Err(failed(map::SERVICES)(error));
        }
        if let Some(entry) = former {
            self.resting.push((Instant::now(), entry.extent));
        }
        self.write_endpoints()?;
        self.release_backends();
        Ok(())
    }

    fn remove_service(&mut self, key: &ServiceKey) -> Result<(), ApplyError> {
        self.maps
            .services
            .remove(&record_key(key))
            .map_err(failed(map::SERVICES))?;
        let removed = self.catalog().entries.remove(key);
        if let Some(entry) = removed {
            self.resting.push((Instant::now(), entry.extent));
        }
        self.write_endpoints()?;
        self.release_backends();
        Ok(())
    }
}
