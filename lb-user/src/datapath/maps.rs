//! The maps by name. One writer each; see docs/architecture.md.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use aya::Ebpf;
use aya::maps::{DevMapHash, Map, MapData, MapInfo, PerCpuArray, RingBuf};
use lb_common::{
    Address, Backend, EchoPeerKey, Endpoint, EndpointKey, Flow, FlowKey, Interface, Service, ServiceKey,
    ServiceStats, Settings, map,
};

use super::error::DataPathError;
use super::table::Table;

pub(super) struct Maps {
    /// Written by `services`.
    pub(super) services: Table<ServiceKey, Service>,
    pub(super) vips: Table<Address, u32>,
    pub(super) maglev: Table<u32, u32>,
    pub(super) backends: Table<u32, Backend>,
    pub(super) endpoints: Table<EndpointKey, Endpoint>,
    /// Written by `EchoPeers`.
    pub(super) echo_peers: Table<EchoPeerKey, u32>,
    /// Written by the packet path; by `flow_table` for what synchronisation and expiry say.
    pub(super) established: Table<FlowKey, Flow>,
    pub(super) embryonic: Table<FlowKey, Flow>,
    /// Written by `FibEpoch`.
    pub(super) settings: Table<u32, Settings>,
    /// Written by the loader.
    pub(super) interfaces: Table<u32, Interface>,
}

/// What has a single user.
pub(super) struct Streams {
    /// Written by the loader.
    pub(super) ports: DevMapHash<MapData>,
    /// Written by the packet path.
    pub(super) counters: PerCpuArray<MapData, u64>,
    pub(super) stats: PerCpuArray<MapData, ServiceStats>,
    pub(super) events: RingBuf<MapData>,
}

fn missing(map: &'static str) -> DataPathError {
    DataPathError::Map {
        map,
        source: io::ErrorKind::NotFound.into(),
    }
}

fn refused(map: &'static str, error: aya::maps::MapError) -> DataPathError {
    DataPathError::Map {
        map,
        source: io::Error::other(error),
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the typed ones are taken by aya's own wrappers"
)]
fn data(map: Map) -> Option<MapData> {
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::LruHashMap(data) => Some(data),
        _ => None,
    }
}

fn table<K: aya::Pod, V: aya::Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<Table<K, V>, DataPathError> {
    let data = ebpf.take_map(name).and_then(data).ok_or_else(|| missing(name))?;
    let info = data.info().map_err(|error| refused(name, error))?;
    let fd: OwnedFd = data
        .fd()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|source| DataPathError::Map { map: name, source })?;
    Ok(Table::new(fd, info.max_entries()))
}

pub(super) fn take(ebpf: &mut Ebpf) -> Result<(Maps, Streams), DataPathError> {
    let mut typed = |name| ebpf.take_map(name).ok_or_else(|| missing(name));
    let streams = Streams {
        ports: DevMapHash::try_from(typed(map::PORTS)?).map_err(|error| refused(map::PORTS, error))?,
        counters: PerCpuArray::try_from(typed(map::COUNTERS)?)
            .map_err(|error| refused(map::COUNTERS, error))?,
        stats: PerCpuArray::try_from(typed(map::SERVICE_STATS)?)
            .map_err(|error| refused(map::SERVICE_STATS, error))?,
        events: RingBuf::try_from(typed(map::EVENTS)?).map_err(|error| refused(map::EVENTS, error))?,
    };
    let maps = Maps {
        services: table(ebpf, map::SERVICES)?,
        vips: table(ebpf, map::VIPS)?,
        maglev: table(ebpf, map::MAGLEV)?,
        backends: table(ebpf, map::BACKENDS)?,
        endpoints: table(ebpf, map::ENDPOINTS)?,
        echo_peers: table(ebpf, map::ECHO_PEERS)?,
        established: table(ebpf, map::ESTABLISHED)?,
        embryonic: table(ebpf, map::EMBRYONIC)?,
        settings: table(ebpf, map::SETTINGS)?,
        interfaces: table(ebpf, map::INTERFACES)?,
    };
    Ok((maps, streams))
}

/// Whether a pinned map has the records of this build. None: there is none.
pub(super) fn fits(path: &Path, key: usize, value: usize) -> Option<bool> {
    let info = MapInfo::from_pin(path).ok()?;
    Some(info.key_size() as usize == key && info.value_size() as usize == value)
}

/// Sizes of the records of the maps that are adopted.
pub(super) const RECORDS: [(&str, usize, usize); 16] = [
    (map::SERVICES, size_of::<ServiceKey>(), size_of::<Service>()),
    (map::VIPS, size_of::<Address>(), 4),
    (map::MAGLEV, 4, 4),
    (map::BACKENDS, 4, size_of::<Backend>()),
    (map::ENDPOINTS, size_of::<EndpointKey>(), size_of::<Endpoint>()),
    (map::ECHO_PEERS, size_of::<EchoPeerKey>(), 4),
    (map::ESTABLISHED, size_of::<FlowKey>(), size_of::<Flow>()),
    (map::EMBRYONIC, size_of::<FlowKey>(), size_of::<Flow>()),
    (map::COUNTERS, 4, 8),
    (map::SERVICE_STATS, 4, size_of::<ServiceStats>()),
    (map::SETTINGS, 4, size_of::<Settings>()),
    (map::EVENTS, 0, 0),
    (map::INTERFACES, 4, size_of::<Interface>()),
    (map::HOPS, 4, size_of::<lb_common::NextHop>()),
    (map::SCRATCH, 4, size_of::<lb_common::Scratch>()),
    (map::PORTS, 4, 8),
];
