//! Refusals as `application/problem+json`.

use api::Problem;
use axum::extract::rejection::QueryRejection;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::bgp_driver::CommandError;

pub(super) struct Refusal(pub(super) Problem);

impl Refusal {
    pub(super) fn bad_request(field: &str, detail: impl Into<String>) -> Self {
        Refusal(Problem::new(StatusCode::BAD_REQUEST.as_u16(), "Bad Request", detail).with_field(field))
    }

    pub(super) fn not_found(field: &str, detail: impl Into<String>) -> Self {
        Refusal(Problem::new(StatusCode::NOT_FOUND.as_u16(), "Not Found", detail).with_field(field))
    }

    /// The BGP driver refused, or is gone.
    pub(super) fn command(error: &CommandError) -> Self {
        match error {
            CommandError::NoNeighbor(_) => Self::not_found("neighbor", error.to_string()),
            CommandError::Ended => {
                let status = StatusCode::SERVICE_UNAVAILABLE.as_u16();
                Refusal(Problem::new(status, "Service Unavailable", error.to_string()))
            }
        }
    }

    pub(super) fn query(rejection: QueryRejection) -> Self {
        Self::bad_request("query", rejection.body_text())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        (status, [(CONTENT_TYPE, Problem::CONTENT_TYPE)], body).into_response()
    }
}

pub(super) async fn no_such_path(uri: Uri) -> Refusal {
    let detail = format!("there is no {}", uri.path());
    Refusal(Problem::new(StatusCode::NOT_FOUND.as_u16(), "Not Found", detail).with_field("path"))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    let detail = format!("{} does not take {method}", uri.path());
    let status = StatusCode::METHOD_NOT_ALLOWED.as_u16();
    Refusal(Problem::new(status, "Method Not Allowed", detail).with_field("method"))
}
