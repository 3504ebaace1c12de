//! The daemon `batond` as a library: everything but the command line.
//!
//! Control plane: `config` (file to `Desired`), `plan` (pure difference), `apply` (traits of what can be
//! changed), `reconciler` (runs both), `api_server`, `metrics`. Observation: `timeline` and `status`, written
//! by every driver, read by the API. Drivers: one module for each pure core, which owns its sockets, time and
//! thread: `bfd_thread`, `bgp_driver`, `failover`, `sync_driver`, `datapath`, `links`. `daemon` wires them.
//!
//! The failover path (bfd_thread -> failover -> bgp_driver) shares no lock with the control plane.
#![warn(
    clippy::iter_over_hash_type,
    reason = "the order of outputs must not depend on a hasher"
)]

pub mod api_server;
pub mod apply;
pub mod bfd_thread;
pub mod bgp_driver;
pub mod bmp;
pub mod config;
pub mod daemon;
pub mod datapath;
pub mod desired;
pub mod failover;
pub mod handoff;
pub mod kernel_routes;
pub mod keygen;
pub mod links;
pub mod log;
pub mod metrics;
pub mod plan;
pub mod privilege;
pub mod realtime;
pub mod reconciler;
pub mod router_advertisement;
pub mod status;
pub mod sync_driver;
pub mod timeline;
pub mod wake;
