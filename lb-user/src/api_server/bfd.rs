//! BFD sessions: what they are, and what an operator can order.

use std::time::Duration;

use api::{BfdSession, Problem, Value};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::Context;
use super::problem::Refusal;
use crate::desired::{SessionKey, TimingChange};
use crate::reconciler::{OrderError, SessionOrder};

pub(super) async fn all(State(context): State<Context>) -> Json<Vec<BfdSession>> {
    Json(context.board.bfd_sessions())
}

pub(super) async fn one(
    State(context): State<Context>,
    Path(name): Path<String>,
) -> Result<Json<BfdSession>, Refusal> {
    let sessions = context.board.bfd_sessions();
    match sessions.into_iter().find(|session| session.name() == name) {
        Some(session) => Ok(Json(session)),
        None => Err(Refusal::not_found(
            "session",
            format!("there is no BFD session {name}"),
        )),
    }
}

/// Other timing, until it is reset, the session is removed, or the daemon ends.
pub(super) async fn change(
    State(context): State<Context>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let change = timing(&body)?;
    order(&context, &name, SessionOrder::Change(change)).await
}

pub(super) async fn reset(
    State(context): State<Context>,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    order(&context, &name, SessionOrder::Reset).await
}

pub(super) async fn enable(
    State(context): State<Context>,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    order(&context, &name, SessionOrder::Enable).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DisableQuery {
    #[serde(default)]
    force: bool,
}

pub(super) async fn disable(
    State(context): State<Context>,
    Path(name): Path<String>,
    query: Result<Query<DisableQuery>, QueryRejection>,
) -> Result<StatusCode, Refusal> {
    let force = query.map_err(Refusal::query)?.0.force;
    order(&context, &name, SessionOrder::Disable { force }).await
}

async fn order(context: &Context, name: &str, order: SessionOrder) -> Result<StatusCode, Refusal> {
    let no_session = || Refusal::not_found("session", format!("there is no BFD session {name}"));
    let key: SessionKey = name.parse().map_err(|_| no_session())?;
    match context.reconciler.order(key, order).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(OrderError::NoSession(_)) => Err(match started_by_the_peer(context, name) {
            true => conflict(
                "session",
                format!("{name} was started by the peer (RFC 9468): it is what [[bfd.unsolicited]] says"),
            ),
            false => no_session(),
        }),
        Err(OrderError::Invalid { field, reason }) => Err(Refusal::bad_request(field, reason)),
        Err(error @ OrderError::Elects(..)) => Err(conflict("force", error.to_string())),
        Err(error @ OrderError::Ended) => {
            let status = StatusCode::SERVICE_UNAVAILABLE.as_u16();
            Err(Refusal(Problem::new(
                status,
                "Service Unavailable",
                error.to_string(),
            )))
        }
    }
}

fn started_by_the_peer(context: &Context, name: &str) -> bool {
    let sessions = context.board.bfd.newest();
    sessions
        .iter()
        .any(|session| session.unsolicited && session.name() == name)
}

fn conflict(field: &str, detail: String) -> Refusal {
    let problem = Problem::new(StatusCode::CONFLICT.as_u16(), "Conflict", detail);
    Refusal(problem.with_field(field))
}

/// An [`api::BfdTiming`], read by hand so that what is wrong has a name.
fn timing(body: &[u8]) -> Result<TimingChange, Refusal> {
    let read: Result<serde_json::Map<String, Value>, _> = serde_json::from_slice(body);
    let fields = read.map_err(|error| Refusal::bad_request("body", format!("is no JSON object: {error}")))?;
    let mut change = TimingChange::default();
    for (name, value) in &fields {
        // null is as good as absent.
        if value.is_null() {
            continue;
        }
        let number = || {
            value
                .as_u64()
                .ok_or_else(|| Refusal::bad_request(name, format!("must be a whole number, not {value}")))
        };
        match name.as_str() {
            "transmit_interval_us" => change.transmit_interval = Some(Duration::from_micros(number()?)),
            "receive_interval_us" => change.receive_interval = Some(Duration::from_micros(number()?)),
            "multiplier" => {
                // What does not fit is as wrong as zero, and refused with it.
                change.multiplier = Some(u8::try_from(number()?).unwrap_or(0));
            }
            _ => {
                let known = "is none of transmit_interval_us, receive_interval_us, multiplier";
                return Err(Refusal::bad_request(name, known));
            }
        }
    }
    Ok(change)
}
