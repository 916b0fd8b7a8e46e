//! The way to an upstream: one pooled HTTP/1.1 client, bodies streamed both ways and never collected.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

/// A service that takes longer to accept a connection is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than the 60 s after which common servers close idle connections, so that few requests meet a closed one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// Why an upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamFault {
    /// No connection.
    #[error("the upstream cannot be connected to: {0}")]
    Connect(String),
    /// The connection broke, or what came back is not HTTP.
    #[error("the upstream did not answer: {0}")]
    Broken(String),
    /// Neither an answer nor progress of the request's body in time.
    #[error("the upstream did not answer within {} s", .limit.as_secs())]
    Late {
        /// The time it had.
        limit: Duration,
    },
    /// The caller's own body broke off.
    #[error("the caller's body ended early")]
    CallerBody,
}

impl UpstreamFault {
    pub(super) fn cause(&self) -> &'static str {
        match self {
            UpstreamFault::Connect(_) => "upstream.connect",
            UpstreamFault::Broken(_) => "upstream.broken",
            UpstreamFault::Late { .. } => "upstream.timeout",
            UpstreamFault::CallerBody => "gateway.caller_body",
        }
    }
}

/// The pooled client.
pub(super) struct Upstream {
    client: Client<HttpConnector, Watched>,
    answer_within: Duration,
}

impl Upstream {
    pub(super) fn new(answer_within: Duration) -> Upstream {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Upstream { client, answer_within }
    }

    /// Sends a request; gives the answer once its header section is there. The time for that starts anew whenever a
    /// piece of the request's body was taken, so a long upload is not a late answer.
    pub(super) async fn send(&self, request: Request) -> Result<http::Response<Body>, UpstreamFault> {
        let progress = Arc::new(Progress::new());
        let request = request.map(|inner| Watched { inner, progress: Arc::clone(&progress) });
        let mut answer = std::pin::pin!(self.client.request(request));
        loop {
            let deadline = progress.latest() + self.answer_within;
            match tokio::time::timeout_at(deadline, &mut answer).await {
                Ok(Ok(response)) => return Ok(response.map(Body::new)),
                Ok(Err(_)) if progress.broken.load(Ordering::Acquire) => return Err(UpstreamFault::CallerBody),
                Ok(Err(error)) if error.is_connect() => return Err(UpstreamFault::Connect(chain(&error))),
                Ok(Err(error)) => return Err(UpstreamFault::Broken(chain(&error))),
                Err(_) if progress.latest() + self.answer_within > deadline => {}
                Err(_) => return Err(UpstreamFault::Late { limit: self.answer_within }),
            }
        }
    }
}

/// An error with its reasons; these texts are of the network, never of the message.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut reason = error.source();
    while let Some(inner) = reason {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        reason = inner.source();
    }
    text
}

/// When a request's body last moved.
struct Progress {
    started: Instant,
    moved_after_millis: AtomicU64,
    broken: AtomicBool,
}

impl Progress {
    fn new() -> Progress {
        Progress { started: Instant::now(), moved_after_millis: AtomicU64::new(0), broken: AtomicBool::new(false) }
    }

    fn moved(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_after_millis.store(millis, Ordering::Release);
    }

    fn latest(&self) -> Instant {
        self.started + Duration::from_millis(self.moved_after_millis.load(Ordering::Acquire))
    }
}

/// A request body that notes when it moves. Trailers end here (see `headers`).
pub(super) struct Watched {
    inner: Body,
    progress: Arc<Progress>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Err(_))) => self.progress.broken.store(true, Ordering::Release),
            Poll::Ready(_) => self.progress.moved(),
            Poll::Pending => {}
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => Poll::Ready(None),
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
