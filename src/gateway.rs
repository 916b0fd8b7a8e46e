//! Protected services: a caller's token is verified here, and the service behind hears only who calls.
//!
//! In: a request for a service's host. Out: the upstream's answer, or a refusal (RFC 6750 §3). Proves to the upstream:
//! `X-Countersign-User`, `-Scopes` and `-Trace-Id` come from us. Not here: what the service does with them, and any
//! reading of paths, which cross byte for byte.

mod answer;
mod headers;
mod host;
mod json_schema;
mod services;
#[cfg(test)]
mod tests;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::Request;
use axum::response::Response;
use http::header::{HeaderName, HeaderValue, UPGRADE};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, StatusCode, Uri, Version};

use crate::clock::Clock;
use crate::relying_party::{Caller, Verifier, presented_token};
use crate::vocab::TraceId;
use answer::Turned;
use headers::Introduction;
use upstream::{Upstream, UpstreamFault};

pub use host::{Host, HostFault, requested};
pub use json_schema::json_schema;
use services::Facts;
pub use services::{Allowed, Service, Services};

/// How long a service may take until its answer begins.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// The protection space of every challenge (RFC 9110 §11.5).
const REALM: &str = "countersign";
const TRACE_ID_HEADER: HeaderName = HeaderName::from_static("x-trace-id");

/// The authenticating proxy in front of the protected services.
pub struct Gateway {
    services: ArcSwap<Services>,
    verifier: Arc<Verifier>,
    clock: Clock,
    upstream: Upstream,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Gateway").field("hosts", &self.services.load().len()).finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway to these services.
    #[must_use]
    pub fn new(services: Services, verifier: Arc<Verifier>, clock: Clock) -> Gateway {
        Gateway { services: ArcSwap::from_pointee(services), verifier, clock, upstream: Upstream::new(ANSWER_WITHIN) }
    }

    /// Takes other services from now on; requests under way go on, and so do pooled connections.
    pub fn replace(&self, services: Services) {
        self.services.store(Arc::new(services));
    }

    /// Whether some reader could take the request to be for a protected service. An ambiguous one is ours too, to be
    /// refused, so that it never reaches the broker's own endpoints.
    #[must_use]
    pub fn matches(&self, request: &Request) -> bool {
        let services = self.services.load();
        host::candidates(request).any(|host| services.of_host(&host).is_some())
    }

    /// Verifies the caller and passes the request on.
    pub async fn handle(&self, request: Request, trace_id: &TraceId, peer: Option<SocketAddr>) -> Response {
        let service = host::requested(&request)
            .map_err(Turned::from)
            .and_then(|host| self.services.load().of_host(&host).cloned().ok_or(Turned::Host(HostFault)));
        let name = service.as_ref().map_or("", |service| service.name().as_str()).to_owned();
        let outcome = match service {
            Ok(service) => self.pass(&service, request, trace_id, peer).await,
            Err(turned) => Err(turned),
        };
        let label = outcome.as_ref().map_or_else(|turned| turned.cause(), |_| "passed");
        metrics::counter!("countersign_gateway_requests_total", "service" => name.clone(), "outcome" => label)
            .increment(1);
        let mut response = outcome.unwrap_or_else(|turned| {
            log(&turned, &name, trace_id);
            turned.response(REALM, trace_id)
        });
        if let Ok(value) = HeaderValue::from_str(trace_id.as_str()) {
            response.headers_mut().insert(TRACE_ID_HEADER, value);
        }
        response
    }

    async fn pass(
        &self,
        service: &Service,
        mut request: Request,
        trace_id: &TraceId,
        peer: Option<SocketAddr>,
    ) -> Result<Response, Turned> {
        let caller = self.caller(service, request.headers()).await?;
        let host = host::requested(&request)?;
        if service.has_conditions() && is_ambiguous_path(request.uri().path()) {
            return Err(Turned::Target);
        }
        if !service.admits(&Facts::new(&caller, &request, &host)) {
            return Err(Turned::NotAllowed { wanted: service.wanted_scopes() });
        }
        if request.headers().contains_key(UPGRADE) {
            return Err(Turned::Upgrade);
        }
        let host = named_host(&request)?;
        let https = !self.verifier.issuer().is_plain_http();
        let introduction = Introduction { caller: &caller, trace_id, peer, host: &host, https };
        headers::for_upstream(request.headers_mut(), &introduction).ok_or(Turned::Target)?;
        *request.uri_mut() = upstream_uri(service, request.uri()).ok_or(Turned::Target)?;
        *request.version_mut() = Version::HTTP_11;
        let mut response = self.upstream.send(request).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(UpstreamFault::Broken("it switched protocols unasked".into()).into());
        }
        headers::for_caller(response.headers_mut());
        Ok(response)
    }

    async fn caller(&self, service: &Service, headers: &HeaderMap) -> Result<Caller, Turned> {
        let token = presented_token(headers)?.ok_or(Turned::NoToken)?;
        let audiences = service.audiences(self.verifier.issuer());
        Ok(self.verifier.verify(token, &audiences, self.clock.now()).await?)
    }
}

/// The host as the caller wrote it, with its port.
fn named_host(request: &Request) -> Result<String, HostFault> {
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.as_str().to_owned());
    }
    let field = request.headers().get(http::header::HOST).and_then(|value| value.to_str().ok());
    field.map(str::to_owned).ok_or(HostFault)
}

/// Whether an upstream might read the path as another than the one a condition was asked about: dot segments, empty
/// segments, path parameters, and encoded characters that need no encoding or separate (RFC 3986 §6.2.2). Only services
/// with conditions refuse them; elsewhere paths decide nothing and cross as they are.
fn is_ambiguous_path(path: &str) -> bool {
    let encoded = |part: &str| {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.is_none_or(|byte| byte.is_ascii_alphanumeric() || b"-._~/\\%;\0".contains(&byte))
    };
    path.contains(['\\', ';'])
        || path.contains("//")
        || path.split('/').any(|segment| matches!(segment, "." | ".."))
        || path.split('%').skip(1).any(encoded)
}

/// The target at the upstream: its base, then path and query as they came. `*` and an authority alone are no path.
fn upstream_uri(service: &Service, asked: &Uri) -> Option<Uri> {
    let target = asked.path_and_query().map(PathAndQuery::as_str).filter(|target| target.starts_with('/'))?;
    let upstream = service.upstream();
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(upstream.authority.clone());
    parts.path_and_query = Some(if upstream.base.is_empty() {
        asked.path_and_query()?.clone()
    } else {
        format!("{}{target}", upstream.base).parse().ok()?
    });
    Uri::from_parts(parts).ok()
}

/// One event a refusal; faults of ours and of upstreams are worth a warning.
fn log(turned: &Turned, service: &str, trace_id: &TraceId) {
    let (status, cause) = (turned.status().as_u16(), turned.cause());
    if turned.status().is_server_error() {
        tracing::warn!(trace.id = %trace_id, service, status, cause, "request not passed on: {turned}");
    } else {
        tracing::info!(trace.id = %trace_id, service, status, cause, "request refused: {turned}");
    }
}
