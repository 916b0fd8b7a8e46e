//! `POST /oauth2/introspect` (RFC 7662) and `POST /oauth2/revoke` (RFC 7009), for clients with a secret.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::error;
use super::form::Form;
use crate::audit::ChangeEvent;
use crate::broker::Broker;
use crate::client_auth::{AssertionShape, UnverifiedAssertion, presented_secret};
use crate::exchange::{Failure, Refused};
use crate::relying_party::{Caller, TokenRefusal};
use crate::request::TokenQuestion;
use crate::store::{Change, ChangeRefusal, SessionsOf, StoreFault};
use crate::vocab::{Audience, ClientId};
use crate::workload::credentials::prove;
use crate::workload::{self, Admission};

/// Whether a token is active, and what it says if it is.
pub(super) async fn introspect(State(broker): State<Arc<Broker>>, request: Request) -> Response {
    let Some(form) = Form::read(request).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let (_, token) = match authenticated(&broker, &form).await {
        Ok(asked) => asked,
        Err(failure) => return refused(failure, &form),
    };
    let answer = match active(&broker, &token).await {
        Ok(Some((_, claims))) => described(claims),
        Ok(None) => json!({ "active": false }),
        Err(failure) => return refused(failure, &form),
    };
    error::no_store(Json(answer).into_response())
}

/// Ends a token of the caller's own. Unknown, ended and foreign tokens answer alike (RFC 7009 §2.2).
pub(super) async fn revoke(State(broker): State<Arc<Broker>>, request: Request) -> Response {
    let Some(form) = Form::read(request).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let (client, token) = match authenticated(&broker, &form).await {
        Ok(asked) => asked,
        Err(failure) => return refused(failure, &form),
    };
    match end(&broker, &client, &token).await {
        Ok(()) => error::no_store(StatusCode::OK.into_response()),
        Err(failure) => refused(failure, &form),
    }
}

async fn end(broker: &Broker, client: &ClientId, token: &str) -> Result<(), Failure> {
    let Some((caller, _)) = active(broker, token).await? else { return Ok(()) };
    if caller.client_id() != client {
        tracing::warn!(client.id = %client, "a client asked to revoke a token that is not its own");
        return Ok(());
    }
    let event = ChangeEvent::new("session", "revoked", "client").user(caller.user());
    let event = event.fact("client_id", client.as_str()).fact("token_id", caller.token_id().as_str());
    let made = event.made(&broker.exchange.clock).map_err(|fault| StoreFault(fault.to_string()))?;
    let change = Change::EndSessions(SessionsOf::Token(caller.token_id().clone()));
    match broker.exchange.store.change(change, made).await {
        // Somebody else ended it first.
        Ok(_) | Err(ChangeRefusal::Missing(_)) => Ok(()),
        Err(ChangeRefusal::Fault(fault)) => Err(fault.into()),
        Err(refusal) => Err(StoreFault(refusal.to_string()).into()),
    }
}

fn refused(failure: Failure, form: &Form) -> Response {
    tracing::info!(trace.id = %form.trace_id(), "a request about a token was refused: {failure}");
    error::answer(&Refused { failure, grant: None, unmet: Vec::new() }).response(form.trace_id())
}

/// The client, proven by its secret and with a user that may sign in, and the token it asks about.
async fn authenticated(broker: &Broker, form: &Form) -> Result<(ClientId, String), Failure> {
    let question = TokenQuestion::parse(form.parts()?)?;
    let secret = presented_secret(question.client, &form.authorization())?;
    let exchange = &broker.exchange;
    let now = exchange.clock.now();
    let attempt = exchange.throttle.attempt(form.client_address(), &secret.client_id, now)?;
    let proven = prove(&*exchange.store, &exchange.secrets, &secret, now).await;
    let admission = Admission::Secret(proven.inspect_err(|_| attempt.failed())?);
    workload::user(admission, &*exchange.store, now).await?;
    Ok((secret.client_id, question.token))
}

/// The token's caller and claims, if it is one of ours and still good. It is asked about, not used, so whichever
/// audience it names is accepted. A store that cannot answer is a failure: it must neither call a good token ended nor
/// let a client believe that one was revoked.
async fn active(broker: &Broker, token: &str) -> Result<Option<(Caller, Map<String, Value>)>, Failure> {
    let Ok(unverified) = UnverifiedAssertion::parse(token, AssertionShape::Unsaid) else { return Ok(None) };
    let audiences = audiences(unverified.unverified_claims());
    match broker.verifier.verify(token, &audiences, broker.exchange.clock.now()).await {
        Ok(caller) => Ok(Some((caller, unverified.into_claims()))),
        Err(TokenRefusal::Store(fault)) => Err(fault.into()),
        Err(_) => Ok(None),
    }
}

fn audiences(claims: &Map<String, Value>) -> Vec<Audience> {
    let named = match claims.get("aud") {
        Some(Value::Array(several)) => several.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    named.iter().filter_map(|one| Audience::parse(one.as_str()?).ok()).collect()
}

/// RFC 7662 §2.2.
fn described(mut claims: Map<String, Value>) -> Value {
    claims.insert("active".into(), Value::Bool(true));
    claims.insert("token_type".into(), "Bearer".into());
    if let Some(user) = claims.get("sub").cloned() {
        claims.insert("username".into(), user);
    }
    Value::Object(claims)
}
