//! HTTP over the unix socket of the daemon.

use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use api::Problem;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use crate::failure::Failure;

/// A daemon that takes longer is as good as unreachable.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer that is read.
const LONGEST: usize = 256 << 20;

pub(crate) struct Client {
    socket: PathBuf,
    runtime: Runtime,
}

impl Client {
    pub(crate) fn new(socket: PathBuf) -> Result<Self, Failure> {
        match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => Ok(Client { socket, runtime }),
            Err(error) => Err(Failure::Unreachable {
                socket,
                reason: error.to_string(),
            }),
        }
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let body = self.request(Method::GET, path, None)?;
        serde_json::from_slice(&body).map_err(|error| {
            self.unreachable(format!(
                "its answer to {path} is not understood: {error}\nIs batonctl as new as batond?"
            ))
        })
    }

    pub(crate) fn post(&self, path: &str) -> Result<(), Failure> {
        self.request(Method::POST, path, None).map(drop)
    }

    pub(crate) fn delete(&self, path: &str) -> Result<(), Failure> {
        self.request(Method::DELETE, path, None).map(drop)
    }

    pub(crate) fn patch<T: Serialize>(&self, path: &str, change: &T) -> Result<(), Failure> {
        let body = serde_json::to_vec(change).map_err(|error| Failure::Output(error.into()))?;
        self.request(Method::PATCH, path, Some(body)).map(drop)
    }

    fn request(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Bytes, Failure> {
        let exchange = async { tokio::time::timeout(PATIENCE, self.exchange(method, path, body)).await };
        let (status, body) = self
            .runtime
            .block_on(exchange)
            .map_err(|_| {
                self.unreachable(format!(
                    "nothing for {} s; its log may say why",
                    PATIENCE.as_secs()
                ))
            })?
            .map_err(|reason| self.unreachable(reason))?;
        if status.is_success() {
            return Ok(body);
        }
        Err(Failure::Refused(serde_json::from_slice(&body).unwrap_or_else(
            |_| {
                let title = status.canonical_reason().unwrap_or("error");
                Problem::new(status.as_u16(), title, format!("{path}: {status}"))
            },
        )))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<(StatusCode, Bytes), String> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| not_connected(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "localhost");
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|error| error.to_string())?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    }

    fn unreachable(&self, reason: String) -> Failure {
        Failure::Unreachable {
            socket: self.socket.clone(),
            reason,
        }
    }
}

fn not_connected(error: &Error) -> String {
    let next = if error.kind() == ErrorKind::PermissionDenied {
        "The socket belongs to the user of batond; api.mode = \"0660\" lets its group in."
    } else {
        "Is batond running? Its socket is api.socket of its configuration; --socket names another one."
    };
    format!("{error}\n{next}")
}

/// A part of a path or of a query: whatever is not plainly harmless as `%XX`.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.';
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
