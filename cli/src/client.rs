//! HTTP over the unix socket of the daemon.

use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use api::Problem;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
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
        let body = self.request(Method::GET, path)?;
        serde_json::from_slice(&body).map_err(|error| {
            self.unreachable(format!(
                "its answer to {path} is not understood: {error}\nIs batonctl as new as batond?"
            ))
        })
    }

    pub(crate) fn post(&self, path: &str) -> Result<(), Failure> {
        self.request(Method::POST, path).map(drop)
    }

    fn request(&self, method: Method, path: &str) -> Result<Bytes, Failure> {
        let exchange = async { tokio::time::timeout(PATIENCE, self.exchange(method, path)).await };
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

    async fn exchange(&self, method: Method, path: &str) -> Result<(StatusCode, Bytes), String> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| not_connected(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "localhost")
            .body(Empty::<Bytes>::new())
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
