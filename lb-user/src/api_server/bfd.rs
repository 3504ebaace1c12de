//! BFD sessions: what they are, and what an operator can order.

use std::collections::BTreeMap;
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
    match find(&context, &name) {
        Some(session) => Ok(Json(session)),
        None => Err(no_session(&name)),
    }
}

/// The session that an order of this name would be about. One that a peer has started counts where no other does.
fn find(context: &Context, name: &str) -> Option<BfdSession> {
    let name: SessionKey = name.parse().ok()?;
    let sessions = context.board.bfd_sessions();
    let named = sessions
        .into_iter()
        .filter_map(|session| Some((session.name().parse().ok()?, session)));
    let mut sessions: BTreeMap<SessionKey, BfdSession> = named.collect();
    let configured = sessions.iter().filter(|(_, session)| !session.unsolicited);
    let configured = name.among(configured.map(|(key, _)| key));
    let key = configured.or_else(|| name.among(sessions.keys()))?.clone();
    sessions.remove(&key)
}

fn no_session(name: &str) -> Refusal {
    Refusal::not_found("session", format!("there is no BFD session {name}"))
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
    let key: SessionKey = name.parse().map_err(|_| no_session(name))?;
    match context.reconciler.order(key, order).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(OrderError::NoSession(_)) => Err(match find(context, name) {
            Some(session) if session.unsolicited => conflict(
                "session",
                format!(
                    "{} was started by the peer (RFC 9468): it is what [[bfd.unsolicited]] says",
                    session.name()
                ),
            ),
            Some(_) | None => no_session(name),
        }),
        Err(OrderError::Invalid { field, reason }) => Err(Refusal::bad_request(field, reason)),
        Err(error @ OrderError::Elects(..)) => Err(conflict("force", error.to_string())),
        Err(error @ OrderError::Failed { .. }) => Err(failure(500, "Internal Server Error", &error)),
        Err(error @ OrderError::Ended) => Err(failure(503, "Service Unavailable", &error)),
    }
}

fn failure(status: u16, title: &str, error: &OrderError) -> Refusal {
    Refusal(Problem::new(status, title, error.to_string()))
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
