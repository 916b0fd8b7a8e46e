//! `/healthz`: the process answers. `/readyz`: it can do its work. Neither says more than that.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::error::no_store;
use crate::broker::Broker;

/// Alive.
pub(crate) async fn live() -> Response {
    no_store(Json(json!({ "status": "ok" })).into_response())
}

/// Ready: the store can commit.
pub(crate) async fn ready(State(broker): State<Arc<Broker>>) -> Response {
    let answer = match broker.exchange.store.check().await {
        Ok(()) => (StatusCode::OK, Json(json!({ "status": "ready" }))).into_response(),
        Err(fault) => {
            tracing::error!("not ready: {fault}");
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not ready" }))).into_response()
        }
    };
    no_store(answer)
}
