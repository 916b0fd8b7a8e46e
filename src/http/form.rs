//! A form off the wire: bounded in size and time, with the headers that say what it is.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum_server::tls::TlsInfo;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Trace;
use crate::request::{MAX_BODY_BYTES, RequestParts, RequestRefusal};
use crate::vocab::TraceId;

/// A caller that sends a form slower than this is not waited for.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Forms up to this size are read as they come: four times the longest assertion.
const SMALL_BODY_BYTES: usize = 64 * 1024;
/// Larger forms held at one time. They are read only to say in which way they are wrong, so 64 MiB are enough for all.
const LARGE_BODIES: usize = 32;

/// Places for large forms: strangers cannot make the process hold more of them at once.
#[derive(Debug, Clone)]
pub(super) struct LargeForms(Arc<Semaphore>);

impl Default for LargeForms {
    fn default() -> LargeForms {
        LargeForms(Arc::new(Semaphore::new(LARGE_BODIES)))
    }
}

/// A request whose body has been read, or could not be.
pub(super) struct Form {
    parts: Parts,
    body: Result<ReadBody, RequestRefusal>,
    trace_id: TraceId,
}

impl Form {
    /// Reads the body. `None` when the router gave the request no trace id and no [`LargeForms`], which it always does.
    pub(super) async fn read(request: Request) -> Option<Form> {
        let (parts, body) = request.into_parts();
        let Trace(trace_id) = parts.extensions.get::<Trace>()?.clone();
        let body = read(body, parts.extensions.get::<LargeForms>()?).await;
        Some(Form { body, parts, trace_id })
    }

    pub(super) fn trace_id(&self) -> &TraceId {
        &self.trace_id
    }

    pub(super) fn client_address(&self) -> Option<IpAddr> {
        let peer = self.parts.extensions.get::<ConnectInfo<SocketAddr>>();
        peer.map(|info| info.0.ip().to_canonical())
    }

    /// Every `Authorization` header.
    pub(super) fn authorization(&self) -> Vec<&[u8]> {
        self.parts.headers.get_all(header::AUTHORIZATION).iter().map(|value| value.as_bytes()).collect()
    }

    /// The chain that the client showed on this connection, in DER, leaf first. From TLS itself: headers that a proxy may
    /// have set mean nothing (RFC 9440 §4).
    pub(super) fn client_chain(&self) -> &[Vec<u8>] {
        let tls = self.parts.extensions.get::<Arc<TlsInfo>>();
        tls.map(|info| info.peer_certificates.as_slice()).unwrap_or_default()
    }

    pub(super) fn parts(&self) -> Result<RequestParts<'_>, RequestRefusal> {
        let codings = self.parts.headers.get_all(header::CONTENT_ENCODING);
        self.body.as_ref().map_err(Clone::clone).map(|body| RequestParts {
            content_type: single(&self.parts.headers, &header::CONTENT_TYPE),
            has_content_coding: codings.iter().any(|value| value != "identity"),
            query: self.parts.uri.query(),
            body: &body.bytes,
        })
    }
}

struct ReadBody {
    bytes: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

async fn read(body: Body, large: &LargeForms) -> Result<ReadBody, RequestRefusal> {
    let read = tokio::time::timeout(BODY_DEADLINE, read_all(body, large));
    read.await.unwrap_or(Err(RequestRefusal::TimedOut))
}

async fn read_all(mut body: Body, large: &LargeForms) -> Result<ReadBody, RequestRefusal> {
    let (mut bytes, mut place) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| RequestRefusal::Malformed)?.into_data() else { continue };
        let size = bytes.len() + data.len();
        // Twice the limit: an assertion that is itself too large is a failed authentication, not a large request.
        if size > 2 * MAX_BODY_BYTES {
            return Err(RequestRefusal::TooLarge);
        }
        if size > SMALL_BODY_BYTES && place.is_none() {
            place = Some(Arc::clone(&large.0).try_acquire_owned().map_err(|_| RequestRefusal::Busy)?);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(ReadBody { bytes: bytes.freeze(), _place: place })
}

/// The value of a header that stands once.
fn single<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_so_many_large_forms_are_held_and_small_ones_never_wait() {
        let large = LargeForms::default();
        let form = |size: usize| Body::from(vec![b'x'; size]);
        let mut held = Vec::new();
        for _ in 0..LARGE_BODIES {
            held.push(read(form(SMALL_BODY_BYTES + 1), &large).await.ok().unwrap());
        }
        assert_eq!(read(form(SMALL_BODY_BYTES + 1), &large).await.err(), Some(RequestRefusal::Busy));
        assert!(read(form(SMALL_BODY_BYTES), &large).await.is_ok());
        held.pop();
        assert!(read(form(2 * MAX_BODY_BYTES), &large).await.is_ok());
        assert_eq!(read(form(2 * MAX_BODY_BYTES + 1), &large).await.err(), Some(RequestRefusal::TooLarge));
    }
}
