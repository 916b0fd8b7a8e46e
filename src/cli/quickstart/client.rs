//! The quickstart's own HTTP client: plain HTTP on loopback and over Unix sockets, small answers, never a redirect.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;

/// Everything runs on this machine; a slower answer is a fault to report.
const PATIENCE: Duration = Duration::from_secs(20);
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ClientFault(String);

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not.
    pub fn json(&self) -> Result<Value, ClientFault> {
        serde_json::from_slice(&self.body).map_err(|_| ClientFault(format!("{}, and no JSON", self.status)))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The answer itself if it is a 2xx.
    ///
    /// # Errors
    /// Its status and body otherwise.
    pub fn success(self) -> Result<Reply, ClientFault> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(ClientFault(format!("{}: {}", self.status, self.text())))
    }
}

/// Speaks HTTP on loopback.
pub struct Client {
    pooled: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
}

impl Default for Client {
    fn default() -> Client {
        Client::new()
    }
}

impl Client {
    /// A client with its own pool.
    #[must_use]
    pub fn new() -> Client {
        Client { pooled: hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When no whole answer comes in time.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Reply, ClientFault> {
        let place = request.uri().to_string();
        let answer = async {
            let response = self.pooled.request(request).await.map_err(|fault| describe(&fault))?;
            read(response).await
        };
        in_time(answer).await.map_err(|fault| ClientFault(format!("{place}: {fault}")))
    }

    /// `GET`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn get(&self, url: &str) -> Result<Reply, ClientFault> {
        self.send(request(Method::GET, url, &[], Bytes::new())?).await
    }

    /// `POST` of a form (RFC 6749 §3.2, appendix B).
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn post_form(&self, url: &str, fields: &[(&str, &str)]) -> Result<Reply, ClientFault> {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let kind = (header::CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded");
        self.send(request(Method::POST, url, &[kind], form.into())?).await
    }
}

/// Builds a request.
///
/// # Errors
/// When the URL or a header is none.
pub fn request(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>, ClientFault> {
    let with_line = Request::builder().method(method).uri(url);
    headers
        .iter()
        .fold(with_line, |builder, (name, value)| builder.header(*name, *value))
        .body(Full::new(body))
        .map_err(|fault| ClientFault(fault.to_string()))
}

/// Sends one JSON request over a Unix socket; the path is all the server sees.
///
/// # Errors
/// When the socket cannot be opened or no whole answer comes in time.
pub async fn over_socket(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Reply, ClientFault> {
    let headers = [(header::HOST.as_str(), "localhost"), (header::CONTENT_TYPE.as_str(), "application/json")];
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = request(method, path, &headers, body.into())?;
    let answer = async {
        let stream = tokio::net::UnixStream::connect(socket).await.map_err(|fault| fault.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|fault| fault.to_string())?;
        let driver = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|fault| fault.to_string())?;
        let reply = read(response).await;
        driver.abort();
        reply
    };
    in_time(answer).await.map_err(|fault| ClientFault(format!("{}: {fault}", socket.display())))
}

async fn in_time(answer: impl Future<Output = Result<Reply, String>>) -> Result<Reply, String> {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err("no answer in time".into()))
}

async fn read(response: http::Response<hyper::body::Incoming>) -> Result<Reply, String> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(|fault| fault.to_string())?;
    Ok(Reply { status: head.status, headers: head.headers, body: body.to_bytes() })
}

fn describe(fault: &hyper_util::client::legacy::Error) -> String {
    let cause = std::error::Error::source(fault).map(ToString::to_string);
    cause.unwrap_or_else(|| fault.to_string())
}
