//! What a refused admin request gets, and how requests are read: strictly, with an answer that says what is wrong.

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::TokenFault;
use crate::clock::EntropyFault;
use crate::json::{self, JsonFault};
use crate::store::{ChangeRefusal, StoreFault};
use crate::vocab::WordFault;

/// An answer of `{"error": …, "message": …}`.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    error: &'static str,
    message: String,
}

impl Problem {
    /// The request is malformed: 400.
    pub fn invalid(message: impl Into<String>) -> Problem {
        Problem { status: StatusCode::BAD_REQUEST, error: "invalid_request", message: message.into() }
    }

    /// What it names does not exist: 404.
    pub fn missing(message: impl Into<String>) -> Problem {
        Problem { status: StatusCode::NOT_FOUND, error: "not_found", message: message.into() }
    }

    /// It contradicts what exists: 409.
    pub fn conflict(message: impl Into<String>) -> Problem {
        Problem { status: StatusCode::CONFLICT, error: "conflict", message: message.into() }
    }

    /// Our fault, for now: 503.
    pub fn unavailable(message: impl Into<String>) -> Problem {
        Problem { status: StatusCode::SERVICE_UNAVAILABLE, error: "unavailable", message: message.into() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.error, "message": self.message });
        (self.status, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
    }
}

impl From<ChangeRefusal> for Problem {
    fn from(refusal: ChangeRefusal) -> Problem {
        match refusal {
            ChangeRefusal::Exists(_) | ChangeRefusal::Outrun(_) => Problem::conflict(refusal.to_string()),
            ChangeRefusal::Missing(_) => Problem::missing(refusal.to_string()),
            ChangeRefusal::Fault(fault) => fault.into(),
        }
    }
}

impl From<StoreFault> for Problem {
    fn from(fault: StoreFault) -> Problem {
        Problem::unavailable(fault.to_string())
    }
}

impl From<EntropyFault> for Problem {
    fn from(fault: EntropyFault) -> Problem {
        Problem::unavailable(fault.to_string())
    }
}

impl From<TokenFault> for Problem {
    fn from(fault: TokenFault) -> Problem {
        Problem::unavailable(fault.to_string())
    }
}

impl From<WordFault> for Problem {
    fn from(fault: WordFault) -> Problem {
        Problem::invalid(fault.to_string())
    }
}

/// A JSON body; an empty one counts as `{}`. Unknown fields are refused by the types that are read.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        let bytes = Bytes::from_request(request, state).await.map_err(|error| Problem::invalid(error.body_text()))?;
        let text = if bytes.is_empty() { b"{}" } else { bytes.as_ref() };
        // A member twice, and deep nesting, are refused here too: `explain` must read claims as the exchange does.
        if let Err(fault @ (JsonFault::Duplicate | JsonFault::TooDeep)) = json::value(text) {
            return Err(Problem::invalid(format!("the body {fault}")));
        }
        serde_json::from_slice(text).map(Body).map_err(|error| Problem::invalid(format!("the body: {error}")))
    }
}

/// The query's parameters. Unknown ones are refused by the types that are read.
#[derive(Debug)]
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asked<T>, Problem> {
        let query = Query::try_from_uri(&parts.uri).map_err(|error| Problem::invalid(error.body_text()))?;
        Ok(Asked(query.0))
    }
}
