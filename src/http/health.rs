//! `/healthz`: the process answers. `/readyz`: it can do its work, and by which policies. Anyone may ask, so the public
//! listener says no more than that; the admin listener also says how the last reload went.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::error::no_store;
use crate::broker::{Broker, LastReload, Standing};

/// Alive.
pub(crate) async fn live() -> Response {
    no_store(Json(json!({ "status": "ok" })).into_response())
}

#[derive(Serialize)]
struct Readiness<'a> {
    status: &'static str,
    policy_digest: &'a str,
    #[serde(flatten)]
    more: Option<More>,
}

/// What only the admin listener says: still no name of a file or an issuer.
#[derive(Serialize)]
struct More {
    policies: usize,
    loaded_at: String,
    reload: LastReload,
}

/// Ready: the store can commit.
pub(crate) async fn ready(State(broker): State<Arc<Broker>>) -> Response {
    readiness(&broker, &broker.standing(), None).await
}

/// The same, and how the last reload went. A refused one changes nothing of the answer's status: the old set serves.
pub(crate) async fn ready_in_full(State(broker): State<Arc<Broker>>) -> Response {
    let standing = broker.standing();
    let loaded_at = standing.loaded_at.to_rfc3339();
    let more = More { policies: standing.in_force.policies, loaded_at, reload: standing.last_reload() };
    readiness(&broker, &standing, Some(more)).await
}

async fn readiness(broker: &Broker, standing: &Standing, more: Option<More>) -> Response {
    let policy_digest = standing.in_force.policy_digest.as_str();
    let answer = match broker.exchange.store.check().await {
        Ok(()) => (StatusCode::OK, Json(Readiness { status: "ready", policy_digest, more })).into_response(),
        Err(fault) => {
            tracing::error!("not ready: {fault}");
            let readiness = Readiness { status: "not ready", policy_digest, more };
            (StatusCode::SERVICE_UNAVAILABLE, Json(readiness)).into_response()
        }
    };
    no_store(answer)
}
