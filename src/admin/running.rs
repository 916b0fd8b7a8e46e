//! The admin API of a running broker: its own routes beside those of the store's records.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, middleware};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AccessTokenRequest, AdminState, Body, Listening, Problem, TokenFault, metrics, router};
use crate::audit::Trigger;
use crate::broker::Broker;
use crate::exchange::Verdict;
use crate::key::KeyFailure;
use crate::mint::TokenClaims;
use crate::policy::Depth;
use crate::vocab::{Audience, IssuerName, TraceId};

/// Serves the admin API on the configured socket, and on the TCP listener if there is one.
///
/// # Errors
/// An address or a socket that cannot be had, or an unusable token file.
pub async fn listen(broker: &Arc<Broker>) -> std::io::Result<Listening> {
    metrics::install();
    Listening::start(&broker.config.admin, routes(broker), probes(broker)).await
}

/// What orchestrators ask, who have no token to show: whether the broker is well, and how its last reload went.
fn probes(broker: &Arc<Broker>) -> Router {
    Router::new()
        .route("/healthz", get(crate::http::live))
        .route("/readyz", get(crate::http::ready_in_full))
        .with_state(Arc::clone(broker))
        .layer(middleware::map_response(no_store))
}

/// All routes of the admin API.
pub fn routes(broker: &Arc<Broker>) -> Router {
    let own = Router::new()
        .route("/metrics", get(metrics::show))
        .route("/admin/v1/explain", post(explain))
        .route("/admin/v1/issuers", get(issuers))
        .route("/admin/v1/issuers/{name}/refresh", post(refresh))
        .route("/admin/v1/policies", get(policies))
        .route("/admin/v1/reload", post(reload).get(reloads))
        .with_state(Arc::clone(broker));
    router(state(broker))
        .merge(own)
        .merge(super::keys::routes(broker))
        .merge(super::sessions::routes(broker))
        .layer(middleware::map_response(no_store))
}

async fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

fn state(broker: &Arc<Broker>) -> AdminState {
    let exchange = &broker.exchange;
    let signing = Arc::clone(broker);
    let tokens = Arc::new(move |asked: &AccessTokenRequest| long_lived(&signing, asked));
    AdminState::new(Arc::clone(&exchange.store), exchange.clock.clone(), Arc::clone(&exchange.secrets), tokens)
}

/// A long-lived access token has the shape of every other, and names its credential.
fn long_lived(broker: &Broker, asked: &AccessTokenRequest) -> Result<SecretString, TokenFault> {
    let failed = |error: &dyn std::fmt::Display| TokenFault(error.to_string());
    let audience = Audience::parse(broker.config.issuer.as_str()).map_err(|error| failed(&error))?;
    let claims = TokenClaims {
        iss: broker.config.issuer.clone(),
        sub: asked.user.clone(),
        client_id: asked.client_id.clone(),
        aud: vec![audience],
        iat: asked.issued_at,
        nbf: asked.issued_at,
        exp: asked.expires_at,
        jti: asked.token_id.clone(),
        scope: asked.scopes.clone(),
        workload: None,
        credential: Some(asked.credential.clone()),
    };
    broker.exchange.signer.sign(&claims).map(SecretString::from).map_err(|error| failed(&error))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Explain {
    token: Option<String>,
    claims: Option<serde_json::Map<String, Value>>,
    trace: Option<String>,
    /// Every policy, however many.
    #[serde(default)]
    all: bool,
}

/// What would become of a token or of claims, or became of an exchange, and why. Nothing is minted and nothing is used up.
async fn explain(State(broker): State<Arc<Broker>>, Body(asked): Body<Explain>) -> Result<Json<Verdict>, Problem> {
    let depth = if asked.all { Depth::All } else { Depth::Listed };
    let exchange = &broker.exchange;
    match (asked.token, asked.claims, asked.trace) {
        (Some(token), None, None) => Ok(Json(exchange.explain_token(token.trim(), depth).await)),
        (None, Some(claims), None) => Ok(Json(exchange.explain_claims(&claims, depth))),
        (None, None, Some(trace)) => {
            let trace = TraceId::parse(&trace)?;
            let missing = || {
                Problem::missing(format!(
                    "no exchange has the trace id {trace}; it may be another broker's, or a reload's: `audit query` shows those"
                ))
            };
            exchange.explain_trace(&trace, depth).await?.map(Json).ok_or_else(missing)
        }
        _ => Err(Problem::invalid("send one of `token`, `claims` and `trace`")),
    }
}

async fn issuers(State(broker): State<Arc<Broker>>) -> Response {
    Json(broker.exchange.rules.load().keys.statuses()).into_response()
}

async fn refresh(State(broker): State<Arc<Broker>>, Path(name): Path<String>) -> Result<Response, Problem> {
    let name = IssuerName::parse(&name)?;
    let rules = broker.exchange.rules.load_full();
    if rules.issuers.by_name(name.as_str()).is_none() {
        return Err(Problem::missing(format!("there is no issuer {name}; `countersign issuer list` shows them")));
    }
    match rules.keys.refresh(&name).await {
        Ok(status) => Ok(Json(status).into_response()),
        Err(failure @ KeyFailure::Unavailable { .. }) => Err(Problem::unavailable(failure.to_string())),
        Err(KeyFailure::Refusal(_) | KeyFailure::Certificate(_)) => {
            Err(Problem::missing(format!("there is no issuer {name}")))
        }
    }
}

async fn policies(State(broker): State<Arc<Broker>>) -> Response {
    let rules = broker.exchange.rules.load();
    let listed: Vec<Value> = rules.policies.iter().map(|policy| json!(policy.summary())).collect();
    Json(json!({ "digest": rules.policies.digest(), "policies": listed })).into_response()
}

/// What is in force, how the last reload went, and all faults of the last one that was refused.
async fn reloads(State(broker): State<Arc<Broker>>) -> Response {
    let (standing, watch) = (broker.standing(), broker.watch_standing());
    let last_refusal = standing.last_refusal.as_ref().map(|refusal| {
        json!({
            "time": refusal.at.to_rfc3339(), "trigger": refusal.by, "cause": refusal.cause,
            "faults": refusal.faults, "text": refusal.text,
        })
    });
    let answer = json!({
        "in_force": standing.in_force,
        "loaded_at": standing.loaded_at.to_rfc3339(),
        "loaded_by": standing.loaded_by.map_or("start", Trigger::as_str),
        "reload": standing.last_reload(),
        "last_refusal": last_refusal,
        "watch": watch,
    });
    Json(answer).into_response()
}

async fn reload(State(broker): State<Arc<Broker>>) -> Result<Response, Problem> {
    match tokio::task::spawn_blocking(move || broker.reload(Trigger::AdminApi)).await {
        Ok(Ok(in_force)) => Ok(Json(json!({ "reloaded": true, "in_force": in_force })).into_response()),
        Ok(Err(refusal)) => Err(Problem::invalid(refusal.to_string())),
        Err(error) => Err(Problem::unavailable(error.to_string())),
    }
}
