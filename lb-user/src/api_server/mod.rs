//! The API on a unix socket: `/v1/...` as JSON, `/metrics` as Prometheus text.
//!
//! Reads the status board and the timeline, hands two commands (drain, undrain) to [`Control`], and asks the BGP
//! driver for what is too much to be published (its tables) or is its to do (neighbours), the reconciler for what
//! lies over the configuration (BFD sessions). Whoever may open the socket may use all of it: the mode of the socket
//! is the access control. Metrics can be read over TCP as well, from a router that has nothing else.
//!
//! Owner: the main runtime. It must never reach into a driver.

mod bfd;
mod handlers;
mod neighbors;
mod problem;
mod routes;
mod socket;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post};
use tokio::net::TcpListener;

pub use socket::bind;

use crate::bgp_driver::BgpHandle;
use crate::reconciler::ReconcilerHandle;
use crate::status::StatusBoard;
use crate::timeline::Timeline;

/// What an operator can order. Implemented by a handle of the failover thread; must not block.
pub trait Control: Send + Sync {
    /// Give all roles away and keep them away.
    fn drain(&self);
    fn undrain(&self);
}

/// Everything a handler sees.
#[derive(Clone)]
pub struct Context {
    pub board: StatusBoard,
    pub timeline: Timeline,
    pub control: Arc<dyn Control>,
    pub bgp: BgpHandle,
    pub reconciler: ReconcilerHandle,
}

/// All of the API.
pub fn router(context: Context) -> Router {
    Router::new()
        .route(api::path::SERVICES, get(handlers::services))
        .route(api::path::NEIGHBORS, get(neighbors::all))
        .route(api::path::NEIGHBOR, get(neighbors::one))
        .route(api::path::NEIGHBOR_ENABLE, post(neighbors::enable))
        .route(api::path::NEIGHBOR_DISABLE, post(neighbors::disable))
        .route(api::path::NEIGHBOR_REFRESH, post(neighbors::refresh))
        .route(api::path::ROUTES, get(routes::routes))
        .route(api::path::BFD, get(bfd::all))
        .route(api::path::BFD_SESSION, get(bfd::one).patch(bfd::change))
        .route(api::path::BFD_OVERRIDE, delete(bfd::reset))
        .route(api::path::BFD_ENABLE, post(bfd::enable))
        .route(api::path::BFD_DISABLE, post(bfd::disable))
        .route(api::path::HA, get(handlers::ha))
        .route(api::path::FLOWS, get(handlers::flows))
        .route(api::path::SYNC, get(handlers::sync))
        .route(api::path::TIMELINE, get(handlers::timeline))
        .route(api::path::STATUS, get(handlers::status))
        .route(api::path::DRAIN, post(handlers::drain))
        .route(api::path::UNDRAIN, post(handlers::undrain))
        .route(api::path::METRICS, get(handlers::metrics))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(context)
}

/// Metrics only, for the TCP listener.
pub fn metrics_router(context: Context) -> Router {
    Router::new()
        .route(api::path::METRICS, get(handlers::metrics))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(context)
}

/// Serves the API until the future is dropped.
pub async fn serve(listener: tokio::net::UnixListener, context: Context) -> std::io::Result<()> {
    axum::serve(listener, router(context)).await
}

/// Serves the metrics until the future is dropped.
pub async fn serve_metrics(listener: TcpListener, context: Context) -> std::io::Result<()> {
    axum::serve(listener, metrics_router(context)).await
}
