//! Sessions: list them, end them.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::audit::time;
use super::{Asked, Body, MAX_BODY_BYTES, Problem};
use crate::audit::ChangeEvent;
use crate::broker::Broker;
use crate::store::{Change, ChangeRefusal, SessionFilter, SessionRecord, SessionsOf};
use crate::vocab::{CredentialName, IssuerName, PolicyName, TokenId, UnixTime, UserName};

/// Sessions in an answer when the request does not say, and at most.
const LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 10_000;

/// The routes.
pub(super) fn routes(broker: &Arc<Broker>) -> Router {
    Router::new()
        .route("/admin/v1/sessions", get(list))
        .route("/admin/v1/sessions/revoke", post(revoke))
        .route("/admin/v1/sessions/{token}", get(one))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Arc::clone(broker))
}

/// Which sessions are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    user: Option<String>,
    policy: Option<String>,
    issuer: Option<String>,
    since: Option<String>,
    /// The last token id of the page before.
    before: Option<String>,
    limit: Option<u32>,
}

async fn list(State(broker): State<Arc<Broker>>, Asked(asked): Asked<Filter>) -> Result<Json<Value>, Problem> {
    let exchange = &broker.exchange;
    let limit = asked.limit.unwrap_or(LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::invalid(format!("limit must be 1 to {MAX_LIMIT}")));
    }
    let since = asked.since.map(|text| time(&text, exchange.clock.now_millis())).transpose()?;
    let filter = SessionFilter {
        user: asked.user.as_deref().map(UserName::parse).transpose()?,
        policy: asked.policy.as_deref().map(PolicyName::parse).transpose()?,
        issuer: asked.issuer.as_deref().map(IssuerName::parse).transpose()?,
        since: since.map(|since| UnixTime(since.0.div_euclid(1000))),
        before: asked.before.as_deref().map(TokenId::parse).transpose()?,
        limit,
    };
    let (now, found) = (exchange.clock.now(), exchange.store.sessions(filter).await?);
    let sessions: Vec<Value> = found.iter().map(|session| view(session, now)).collect();
    Ok(Json(json!({ "sessions": sessions })))
}

async fn one(State(broker): State<Arc<Broker>>, Path(token): Path<String>) -> Result<Json<Value>, Problem> {
    let token = TokenId::parse(&token)?;
    let found = broker.exchange.store.session(&token).await?;
    let session = found.ok_or_else(|| Problem::missing(format!("there is no session {token}")))?;
    Ok(Json(view(&session, broker.exchange.clock.now())))
}

fn view(session: &SessionRecord, now: UnixTime) -> Value {
    let state = match session.revoked_at {
        Some(_) => "revoked",
        None if session.expires_at <= now => "expired",
        None => "live",
    };
    json!({
        "token_id": session.token, "user": session.user, "client_id": session.client_id, "issuer": session.issuer,
        "policies": session.policies, "state": state, "created_at": session.created_at.to_rfc3339(),
        "expires_at": session.expires_at.to_rfc3339(), "revoked_at": session.revoked_at.map(|at| at.to_rfc3339()),
    })
}

/// What is to end: exactly one of these.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    token_id: Option<String>,
    user: Option<String>,
    credential: Option<String>,
    policy: Option<String>,
    issuer: Option<String>,
}

async fn revoke(State(broker): State<Arc<Broker>>, Body(asked): Body<Revoke>) -> Result<Json<Value>, Problem> {
    let exchange = &broker.exchange;
    let event = ChangeEvent::new("session", "revoked", "admin_api");
    let (which, event) = asked.read(&broker, event).await?;
    let ended = exchange.store.change(Change::EndSessions(which), event.made(&exchange.clock)?).await?;
    tracing::info!(sessions.ended = ended, "{ended} sessions ended");
    Ok(Json(json!({ "revoked": ended })))
}

impl Revoke {
    async fn read(self, broker: &Broker, event: ChangeEvent) -> Result<(SessionsOf, ChangeEvent), Problem> {
        Ok(match (self.token_id, self.user, self.credential, self.policy, self.issuer) {
            (Some(token), None, None, None, None) => {
                let token = TokenId::parse(&token)?;
                let event = event.fact("token_id", token.as_str());
                (SessionsOf::Token(token), event)
            }
            (None, Some(user), None, None, None) => {
                let user = UserName::parse(&user)?;
                let event = event.user(&user);
                (SessionsOf::User(user), event)
            }
            (None, None, Some(name), None, None) => {
                let name = CredentialName::parse(&name)?;
                let found = broker.exchange.store.credential(&name).await?;
                let found = found.ok_or_else(|| ChangeRefusal::Missing(format!("credential {name}")))?;
                let event = event.user(&found.user).fact("credential", name.as_str());
                (SessionsOf::Credential(found.user, found.client_id), event)
            }
            (None, None, None, Some(policy), None) => {
                let policy = PolicyName::parse(&policy)?;
                let event = event.policy(&policy);
                (SessionsOf::Policies(vec![policy]), event)
            }
            (None, None, None, None, Some(issuer)) => {
                let issuer = IssuerName::parse(&issuer)?;
                let event = event.fact("issuer", issuer.as_str());
                (SessionsOf::Issuers(vec![issuer]), event)
            }
            _ => return Err(Problem::invalid("send one of `token_id`, `user`, `credential`, `policy` and `issuer`")),
        })
    }
}
