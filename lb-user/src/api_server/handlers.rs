//! One function for each path: look at the board, answer.

use api::{Event, FlowTable, HaStatus, NodeStatus, Problem, Service, SyncPeer};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Deserialize;

use super::Context;
use super::problem::Refusal;
use crate::metrics;

/// Flows in one answer unless asked for more.
const FLOWS: usize = 1000;

pub(super) async fn services(State(context): State<Context>) -> Json<Vec<Service>> {
    Json(context.board.services_counted())
}

pub(super) async fn ha(State(context): State<Context>) -> Json<HaStatus> {
    Json(context.board.ha.newest().as_ref().clone())
}

pub(super) async fn sync(State(context): State<Context>) -> Json<Vec<SyncPeer>> {
    Json(context.board.sync.newest().as_ref().clone())
}

pub(super) async fn status(State(context): State<Context>) -> Json<NodeStatus> {
    Json(context.board.node_status())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FlowQuery {
    limit: Option<usize>,
}

pub(super) async fn flows(
    State(context): State<Context>,
    query: Result<Query<FlowQuery>, QueryRejection>,
) -> Result<Json<FlowTable>, Refusal> {
    let limit = query.map_err(Refusal::query)?.0.limit.unwrap_or(FLOWS);
    Ok(Json(shortened(&context.board.flows.newest(), limit)))
}

fn shortened(table: &FlowTable, limit: usize) -> FlowTable {
    FlowTable {
        flows: table.flows.iter().take(limit).cloned().collect(),
        truncated: table.truncated || table.flows.len() > limit,
        ..*table
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimelineQuery {
    /// Age of the oldest event, as `10m`.
    last: Option<String>,
}

pub(super) async fn timeline(
    State(context): State<Context>,
    query: Result<Query<TimelineQuery>, QueryRejection>,
) -> Result<Json<Vec<Event>>, Refusal> {
    let last = query.map_err(Refusal::query)?.0.last;
    let age = last.map(|last| humantime::parse_duration(&last)).transpose();
    let age =
        age.map_err(|reason| Refusal::bad_request("last", format!("no duration such as 10m: {reason}")))?;
    Ok(Json(context.timeline.events(age)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DrainQuery {
    /// Drain although nobody can take over.
    #[serde(default)]
    force: bool,
}

pub(super) async fn drain(
    State(context): State<Context>,
    query: Result<Query<DrainQuery>, QueryRejection>,
) -> Result<StatusCode, Refusal> {
    let force = query.map_err(Refusal::query)?.0.force;
    drainable(&context.board.ha.newest(), force)?;
    context
        .timeline
        .record("drain-requested", [("force", force.into())]);
    context.control.drain();
    Ok(StatusCode::ACCEPTED)
}

fn drainable(ha: &HaStatus, force: bool) -> Result<(), Refusal> {
    if force || ha.peers.iter().any(|peer| peer.alive) {
        return Ok(());
    }
    let reason = "no peer is alive to take the roles over: traffic would stop; force drains all the same";
    Err(Refusal(
        Problem::new(StatusCode::CONFLICT.as_u16(), "Conflict", reason).with_field("force"),
    ))
}

pub(super) async fn undrain(State(context): State<Context>) -> StatusCode {
    context.timeline.record("undrain-requested", []);
    context.control.undrain();
    StatusCode::ACCEPTED
}

pub(super) async fn metrics(State(context): State<Context>) -> impl IntoResponse {
    let text = metrics::text(&context.board, &context.timeline);
    ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text)
}
