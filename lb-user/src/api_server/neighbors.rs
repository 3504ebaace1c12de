//! BGP neighbours: what they are, and what an operator can order.

use api::Neighbor;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use bgp::{Direction, Families};
use serde::Deserialize;

use super::Context;
use super::problem::Refusal;
use crate::desired::NeighborKey;

/// RFC 9003 section 2: longer ones do not fit the NOTIFICATION.
const MESSAGE: usize = 255;

pub(super) async fn all(State(context): State<Context>) -> Json<Vec<Neighbor>> {
    Json(context.board.neighbors.newest().as_ref().clone())
}

pub(super) async fn one(
    State(context): State<Context>,
    Path(name): Path<String>,
) -> Result<Json<Neighbor>, Refusal> {
    let neighbors = context.board.neighbors.newest();
    let found = neighbors.iter().find(|neighbor| neighbor.address == name);
    match found {
        Some(neighbor) => Ok(Json(neighbor.clone())),
        None => Err(Refusal::not_found(
            "neighbor",
            format!("there is no neighbour {name}"),
        )),
    }
}

pub(super) async fn enable(
    State(context): State<Context>,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    let done = context.bgp.enable(NeighborKey::named(&name)).await;
    done.map_err(|error| Refusal::command(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DisableQuery {
    #[serde(default)]
    message: String,
}

pub(super) async fn disable(
    State(context): State<Context>,
    Path(name): Path<String>,
    query: Result<Query<DisableQuery>, QueryRejection>,
) -> Result<StatusCode, Refusal> {
    let message = query.map_err(Refusal::query)?.0.message;
    if message.len() > MESSAGE {
        let detail = format!(
            "{} bytes are more than a neighbour can be told ({MESSAGE})",
            message.len()
        );
        return Err(Refusal::bad_request("message", detail));
    }
    let done = context.bgp.disable(NeighborKey::named(&name), message).await;
    done.map_err(|error| Refusal::command(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Way {
    In,
    Out,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

impl From<Family> for bgp::Family {
    fn from(family: Family) -> Self {
        match family {
            Family::Ipv4 => bgp::Family::Ipv4,
            Family::Ipv6 => bgp::Family::Ipv6,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshQuery {
    direction: Option<Way>,
    family: Option<Family>,
}

pub(super) async fn refresh(
    State(context): State<Context>,
    Path(name): Path<String>,
    query: Result<Query<RefreshQuery>, QueryRejection>,
) -> Result<StatusCode, Refusal> {
    let query = query.map_err(Refusal::query)?.0;
    let families = match query.family {
        None => Families::BOTH,
        Some(Family::Ipv4) => Families::IPV4,
        Some(Family::Ipv6) => Families::IPV6,
    };
    let key = NeighborKey::named(&name);
    for (way, direction) in [(Way::In, Direction::In), (Way::Out, Direction::Out)] {
        if query.direction.is_none_or(|asked| asked == way) {
            let done = context.bgp.refresh(key.clone(), direction, families).await;
            done.map_err(|error| Refusal::command(&error))?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}
