//! The only file that knows OAuth's error codes.
//!
//! In: why there is no token. Out: a status, a code and a constant sentence. The cause stays in the audit record: an
//! unknown issuer, a bad signature and a disabled user answer alike, byte for byte apart from the trace id.

use axum::Json;
use axum::extract::Extension;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Trace;
use crate::client_auth::ClientAuthRefusal;
use crate::exchange::{Failure, Refused};
use crate::key::KeyFailure;
use crate::mint::{CommitRefusal, GrantRefusal};
use crate::policy::Unmet;
use crate::request::{GrantName, RequestRefusal};
use crate::review::ReviewFailure;
use crate::vocab::TraceId;
use crate::workload::WorkloadFailure;
use crate::workload::credentials::SecretFailure;

/// When a caller should try again after a fault of ours.
const RETRY_AFTER_SECONDS: u64 = 5;

/// What a refused caller learns. Every text is constant (RFC 6749 §5.2: printable ASCII without `"` and `\`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Answer {
    InvalidClient,
    InvalidRequest,
    /// A failed assertion of the jwt-bearer grant (RFC 7521 §4.1.1).
    InvalidGrant,
    InvalidScope,
    InvalidTarget,
    UnauthorizedClient,
    UnsupportedGrantType,
    TooLarge,
    ContentCoding,
    TimedOut,
    TooManyAttempts {
        retry_after_seconds: u64,
    },
    Unavailable,
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'static str,
    error_description: &'static str,
    trace_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    unmet: &'a [Unmet],
}

impl Answer {
    /// The status, the code and the sentence.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Answer::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client", "Client authentication failed."),
            Answer::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request", "The request is malformed."),
            Answer::InvalidGrant => (StatusCode::BAD_REQUEST, "invalid_grant", "The grant is not acceptable."),
            Answer::InvalidScope => {
                (StatusCode::BAD_REQUEST, "invalid_scope", "The scope is malformed or exceeds what is granted.")
            }
            Answer::InvalidTarget => {
                (StatusCode::BAD_REQUEST, "invalid_target", "The resource or audience is not granted.")
            }
            Answer::UnauthorizedClient => {
                (StatusCode::BAD_REQUEST, "unauthorized_client", "The client may not use this grant type.")
            }
            Answer::UnsupportedGrantType => {
                (StatusCode::BAD_REQUEST, "unsupported_grant_type", "The grant type is not supported.")
            }
            Answer::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", "The request is too large."),
            Answer::ContentCoding => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request", "The body must not have a content coding.")
            }
            Answer::TimedOut => (StatusCode::REQUEST_TIMEOUT, "invalid_request", "The request took too long."),
            Answer::TooManyAttempts { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "invalid_client", "Too many failed attempts.")
            }
            Answer::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "Try again in a few seconds.")
            }
        }
    }

    /// The whole response.
    #[must_use]
    pub fn response(self, trace_id: &TraceId) -> Response {
        self.response_with(trace_id, &[])
    }

    /// The same with what an operator lets callers of an issuer know (`explain_to_caller`); without any, byte for byte the
    /// same.
    pub(super) fn response_with(self, trace_id: &TraceId, unmet: &[Unmet]) -> Response {
        let (status, error, error_description) = self.parts();
        let body = Body { error, error_description, trace_id: trace_id.as_str(), unmet };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        // RFC 9110 §11.6.1 wants a challenge on every 401; Basic is the scheme this endpoint offers.
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"countersign\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        match self {
            Answer::TooManyAttempts { retry_after_seconds } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_seconds));
            }
            Answer::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
            }
            Answer::TimedOut => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Answer::InvalidClient
            | Answer::InvalidRequest
            | Answer::InvalidGrant
            | Answer::InvalidScope
            | Answer::InvalidTarget
            | Answer::UnauthorizedClient
            | Answer::UnsupportedGrantType
            | Answer::TooLarge
            | Answer::ContentCoding => {}
        }
        no_store(response)
    }
}

/// RFC 6749 §5.1: no answer is kept by anyone.
pub(super) fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// What a refused caller learns.
#[must_use]
pub(super) fn answer(refused: &Refused) -> Answer {
    match &refused.failure {
        Failure::Request(refusal) => request_answer(refusal),
        Failure::ClientAuth(refusal) if refusal.is_malformed_request() => Answer::InvalidRequest,
        Failure::ClientAuth(ClientAuthRefusal::Assertion(_)) => failed_assertion(refused.grant),
        Failure::ClientAuth(_) => Answer::InvalidClient,
        Failure::Throttled(throttled) => Answer::TooManyAttempts { retry_after_seconds: throttled.retry_after_seconds },
        Failure::Secret(SecretFailure::Fault(_)) => Answer::Unavailable,
        Failure::Secret(_) => Answer::InvalidClient,
        Failure::GrantNotAllowed => Answer::UnauthorizedClient,
        Failure::Key(KeyFailure::Unavailable { .. }) | Failure::Review(ReviewFailure::Unavailable { .. }) => {
            Answer::Unavailable
        }
        Failure::Issuer(_)
        | Failure::Key(KeyFailure::Refusal(_) | KeyFailure::Certificate(_))
        | Failure::Claims(_)
        | Failure::ClientIdMismatch
        | Failure::Policy(_)
        | Failure::Review(ReviewFailure::NotAuthenticated { .. }) => failed_assertion(refused.grant),
        Failure::Workload(WorkloadFailure::Fault(_)) => Answer::Unavailable,
        Failure::Workload(_) => failed_assertion(refused.grant),
        Failure::Grant(GrantRefusal::Scope { .. }) => Answer::InvalidScope,
        Failure::Grant(GrantRefusal::Target { .. }) => Answer::InvalidTarget,
        Failure::Grant(GrantRefusal::WithinAssertion) => failed_assertion(refused.grant),
        Failure::Grant(GrantRefusal::Fault(_)) => Answer::Unavailable,
        Failure::Commit(CommitRefusal::Fault(_)) | Failure::Store(_) => Answer::Unavailable,
        Failure::Commit(
            CommitRefusal::Replayed | CommitRefusal::UserUnavailable | CommitRefusal::SecretUnavailable,
        ) => failed_assertion(refused.grant),
    }
}

fn request_answer(refusal: &RequestRefusal) -> Answer {
    match refusal {
        RequestRefusal::NotAForm
        | RequestRefusal::Malformed
        | RequestRefusal::Repeated(_)
        | RequestRefusal::InQuery
        | RequestRefusal::Missing(_)
        | RequestRefusal::Value(_) => Answer::InvalidRequest,
        RequestRefusal::ContentCoding => Answer::ContentCoding,
        RequestRefusal::TooLarge => Answer::TooLarge,
        RequestRefusal::TimedOut => Answer::TimedOut,
        RequestRefusal::Busy => Answer::Unavailable,
        RequestRefusal::UnsupportedGrant => Answer::UnsupportedGrantType,
        RequestRefusal::Scope => Answer::InvalidScope,
        RequestRefusal::Target => Answer::InvalidTarget,
    }
}

/// An assertion that authenticates a client fails as a client; one that is the grant itself fails as a grant
/// (RFC 7521 §4.1.1; RFC 8693 §2.2.2 says `invalid_request`).
fn failed_assertion(grant: Option<GrantName>) -> Answer {
    match grant {
        None | Some(GrantName::ClientCredentials) => Answer::InvalidClient,
        Some(GrantName::JwtBearer) => Answer::InvalidGrant,
        Some(GrantName::TokenExchange) => Answer::InvalidRequest,
    }
}

/// No such path.
pub(super) async fn not_found(Extension(trace): Extension<Trace>) -> Response {
    plain(StatusCode::NOT_FOUND, "not_found", "There is nothing here.", &trace)
}

/// The path exists for another method; the router adds `Allow`.
pub(super) async fn method_not_allowed(_: Method, Extension(trace): Extension<Trace>) -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "The method is not allowed.", &trace)
}

fn plain(status: StatusCode, error: &'static str, error_description: &'static str, trace: &Trace) -> Response {
    let body = Body { error, error_description, trace_id: trace.0.as_str(), unmet: &[] };
    no_store((status, Json(body)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_stay_inside_the_characters_of_rfc_6749() {
        let all = [
            Answer::InvalidClient,
            Answer::InvalidRequest,
            Answer::InvalidGrant,
            Answer::InvalidScope,
            Answer::InvalidTarget,
            Answer::UnauthorizedClient,
            Answer::UnsupportedGrantType,
            Answer::TooLarge,
            Answer::ContentCoding,
            Answer::TimedOut,
            Answer::TooManyAttempts { retry_after_seconds: 1 },
            Answer::Unavailable,
        ];
        for answer in all {
            let (_, error, description) = answer.parts();
            let allowed = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            assert!(error.bytes().chain(description.bytes()).all(allowed), "{answer:?}");
        }
    }
}
