//! How commands reach the running server: HTTP over its admin socket.
//!
//! In: the socket's path, from `--socket` or the configuration file. Out: the answer's JSON, or what is wrong and the
//! next step.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::{Failed, Global};
use crate::config;

/// How long a command waits for its answer: longer than any change takes, shorter than a person's patience.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer: an audit listing of 10,000 records fits.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The way to the running server.
#[derive(Debug)]
pub struct AdminClient {
    socket: PathBuf,
    config: PathBuf,
}

impl AdminClient {
    /// The server that the command line names.
    ///
    /// # Errors
    /// The configuration's faults, when the socket has to be looked up there.
    pub fn of(global: &Global) -> Result<AdminClient, Failed> {
        let socket = match &global.socket {
            Some(socket) => socket.clone(),
            None => configured_socket(&global.config)?,
        };
        Ok(AdminClient { socket, config: global.config.clone() })
    }

    /// Asks; `path` is everything after the host, with its names encoded by [`segment`].
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub async fn get(&self, path: &str) -> Result<Value, Failed> {
        self.send(Method::GET, path, None).await
    }

    /// Changes something.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failed> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Deletes something.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub async fn delete(&self, path: &str) -> Result<(), Failed> {
        self.send(Method::DELETE, path, None).await.map(drop)
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failed> {
        let answered = tokio::time::timeout(TIMEOUT, self.exchange(method, path, body)).await;
        let (status, bytes) = answered.unwrap_or_else(|_| Err(self.broken(&"it did not answer in time")))?;
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let answer: Option<Value> = serde_json::from_slice(&bytes).ok();
        if status.is_success() {
            return answer.ok_or_else(|| self.broken(&"the answer is not JSON"));
        }
        let message = answer.as_ref().and_then(|answer| answer.get("message")).and_then(Value::as_str);
        Err(Failed(match message {
            Some(message) => message.to_owned(),
            None => format!("the server at {} answered {status} to {path}", self.socket.display()),
        }))
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Bytes), Failed> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(&error))?;
        let broken = |error: hyper::Error| self.broken(&error);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let connection = tokio::spawn(connection);
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.broken(&error))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let collected = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        connection.abort();
        Ok((status, collected.map_err(|error| self.broken(&error))?.to_bytes()))
    }

    fn unreachable(&self, error: &io::Error) -> Failed {
        let socket = self.socket.display();
        Failed(match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
                "no countersign server answers on {socket}\n  start it: countersign serve --config {}",
                self.config.display()
            ),
            io::ErrorKind::PermissionDenied => {
                format!(
                    "the admin socket {socket} may only be opened by the server's own user\n  run this as that user"
                )
            }
            _ => format!("the admin socket {socket} cannot be opened: {error}"),
        })
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> Failed {
        Failed(format!("the server at {} cannot be understood: {error}", self.socket.display()))
    }
}

fn configured_socket(file: &Path) -> Result<PathBuf, Failed> {
    let config = config::load(file, &super::environment()).map_err(|faults| {
        Failed(format!("{faults}\n\nthe admin socket is found by the configuration file; or name it: --socket PATH"))
    })?;
    Ok(config.admin.socket)
}

/// A name as one segment of a path: `/`, `:` and the like percent-encoded.
#[must_use]
pub fn segment(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

/// A path with those parameters that are given.
#[must_use]
pub fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("{path}?{}", query.finish())
}

/// A field of an answer's row as a table shows it; `-` where there is none.
#[must_use]
pub fn cell(row: &Value, field: &str) -> String {
    match row.get(field) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            if words.is_empty() { "-".to_owned() } else { words.join(" ") }
        }
        Some(other) => other.to_string(),
    }
}

/// The list in an answer's field.
#[must_use]
pub fn rows(answer: &Value, field: &str) -> Vec<Value> {
    answer.get(field).and_then(Value::as_array).cloned().unwrap_or_default()
}
