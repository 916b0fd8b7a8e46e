//! What a caller hears when its request does not reach the service (RFC 6750 §3).

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use super::host::HostFault;
use super::upstream::UpstreamFault;
use crate::relying_party::{PresentedFault, TokenRefusal};
use crate::vocab::{Scopes, TraceId};

/// Why a request does not reach its service.
#[derive(Debug, thiserror::Error)]
pub(super) enum Turned {
    /// No single host, or one that is no service of ours.
    #[error(transparent)]
    Host(#[from] HostFault),
    /// The request target is no path.
    #[error("the request target is not a path")]
    Target,
    /// It cannot be said which token was shown.
    #[error(transparent)]
    Presented(#[from] PresentedFault),
    /// No token was shown.
    #[error("no token was shown")]
    NoToken,
    /// The token was refused.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    /// The caller is known, and no entry of `allow` admits it.
    #[error("no entry of the service's allow list admits the caller")]
    NotAllowed {
        /// What the entries ask for.
        wanted: Scopes,
    },
    /// The request asks for another protocol.
    #[error("upgrades are not supported")]
    Upgrade,
    /// The upstream did not answer.
    #[error(transparent)]
    Upstream(#[from] UpstreamFault),
}

/// Status, code and constant description.
type Told = (StatusCode, &'static str, &'static str);

impl Turned {
    /// The dotted cause.
    pub(super) fn cause(&self) -> &'static str {
        match self {
            Turned::Host(_) => "gateway.host",
            Turned::Target => "gateway.target",
            Turned::Presented(fault) => fault.cause(),
            Turned::NoToken => "token.missing",
            Turned::Token(refusal) => refusal.cause(),
            Turned::NotAllowed { .. } => "gateway.not_allowed",
            Turned::Upgrade => "gateway.upgrade",
            Turned::Upstream(fault) => fault.cause(),
        }
    }

    fn told(&self) -> Told {
        match self {
            Turned::Host(_) => (StatusCode::BAD_REQUEST, "invalid_request", "The request must name one host."),
            Turned::Target => (StatusCode::BAD_REQUEST, "invalid_request", "The request target must be a path."),
            Turned::Presented(_) => (StatusCode::BAD_REQUEST, "invalid_request", "Show one access token, once."),
            Turned::NoToken => (StatusCode::UNAUTHORIZED, "unauthorized", "This service needs an access token."),
            Turned::Token(TokenRefusal::Store(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "Try again later.")
            }
            Turned::Token(_) => (StatusCode::UNAUTHORIZED, "invalid_token", "The access token is not accepted."),
            Turned::NotAllowed { .. } => {
                (StatusCode::FORBIDDEN, "insufficient_scope", "The access token does not admit to this service.")
            }
            Turned::Upgrade => (StatusCode::NOT_IMPLEMENTED, "not_implemented", "Upgrades are not supported."),
            Turned::Upstream(UpstreamFault::CallerBody) => {
                (StatusCode::BAD_REQUEST, "invalid_request", "The request body ended early.")
            }
            Turned::Upstream(UpstreamFault::Late { .. }) => {
                (StatusCode::GATEWAY_TIMEOUT, "gateway_timeout", "The service did not answer in time.")
            }
            Turned::Upstream(_) => (StatusCode::BAD_GATEWAY, "bad_gateway", "The service cannot be reached."),
        }
    }

    /// The status it is answered with.
    pub(super) fn status(&self) -> StatusCode {
        self.told().0
    }

    /// The `WWW-Authenticate` challenge. No error code where no token was sent (RFC 6750 §3.1). Scopes hold neither
    /// quotes nor backslashes (RFC 6749 §3.3), so they need no escaping.
    fn challenge(&self, realm: &str) -> Option<String> {
        let bearer = format!("Bearer realm=\"{realm}\"");
        match self {
            Turned::NoToken => Some(bearer),
            Turned::Token(TokenRefusal::Store(_)) => None,
            Turned::Token(_) => Some(format!("{bearer}, error=\"invalid_token\"")),
            Turned::Presented(_) => Some(format!("{bearer}, error=\"invalid_request\"")),
            Turned::NotAllowed { wanted } if wanted.is_empty() => {
                Some(format!("{bearer}, error=\"insufficient_scope\""))
            }
            Turned::NotAllowed { wanted } => {
                Some(format!("{bearer}, error=\"insufficient_scope\", scope=\"{}\"", wanted.to_wire()))
            }
            Turned::Host(_) | Turned::Target | Turned::Upgrade | Turned::Upstream(_) => None,
        }
    }

    /// The whole answer.
    pub(super) fn response(&self, realm: &str, trace_id: &TraceId) -> Response {
        let (status, error, description) = self.told();
        let body = serde_json::json!({
            "error": error, "error_description": description, "trace_id": trace_id.as_str(),
        });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(challenge) = self.challenge(realm).and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
