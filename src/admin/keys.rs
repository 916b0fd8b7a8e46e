//! Signing keys: list, rotate, revoke, import, re-wrap.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Body, MAX_BODY_BYTES, Problem};
use crate::broker::Broker;
use crate::config::SigningAlgorithm;
use crate::mint::{ImportRefusal, MintFault};
use crate::store::KeyPurpose;

/// The routes.
pub(super) fn routes(broker: &Arc<Broker>) -> Router {
    Router::new()
        .route("/admin/v1/keys", get(list))
        .route("/admin/v1/keys/rotate", post(rotate))
        .route("/admin/v1/keys/import", post(import))
        .route("/admin/v1/keys/rewrap", post(rewrap))
        .route("/admin/v1/keys/{id}/revoke", post(revoke))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Arc::clone(broker))
}

impl From<ImportRefusal> for Problem {
    fn from(refusal: ImportRefusal) -> Problem {
        match refusal {
            ImportRefusal::Unusable(_) => Problem::invalid(refusal.to_string()),
            ImportRefusal::Known(_) | ImportRefusal::Waiting(_) => Problem::conflict(refusal.to_string()),
            ImportRefusal::Missing(_) => Problem::missing(refusal.to_string()),
            ImportRefusal::Fault(fault) => fault.into(),
        }
    }
}

impl From<MintFault> for Problem {
    fn from(fault: MintFault) -> Problem {
        Problem::unavailable(fault.to_string())
    }
}

async fn list(State(broker): State<Arc<Broker>>) -> Result<Json<Value>, Problem> {
    let ring = &broker.exchange.signer;
    let (keys, replicas) = ring.view().await?;
    let signer = ring.signer();
    let replicas: Vec<Value> = replicas
        .iter()
        .map(|replica| {
            json!({
                "id": replica.id, "name": replica.name, "software": replica.software,
                "started_at": replica.started_at.to_rfc3339(), "seen_at": replica.seen_at.to_rfc3339(),
                "applied": replica.applied,
            })
        })
        .collect();
    Ok(Json(json!({
        "active": signer.key_id(), "keys": keys, "jwks": signer.jwks()["keys"], "audit_jwks": signer.audit_keys(),
        "replicas": replicas,
    })))
}

/// Which key is to change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotate {
    /// Default: the algorithm that signs.
    algorithm: Option<String>,
    /// Default: tokens.
    purpose: Option<String>,
}

async fn rotate(State(broker): State<Arc<Broker>>, Body(asked): Body<Rotate>) -> Result<Json<Value>, Problem> {
    let ring = &broker.exchange.signer;
    let purpose = match asked.purpose.as_deref() {
        None | Some("token") => KeyPurpose::Token,
        Some("audit") => KeyPurpose::Audit,
        Some(_) => return Err(Problem::invalid("purpose must be token or audit")),
    };
    let named = |name: &str| SigningAlgorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == name);
    let algorithm = match (asked.algorithm.as_deref(), purpose) {
        (None | Some("EdDSA"), KeyPurpose::Audit) => SigningAlgorithm::EdDSA,
        (Some(_), KeyPurpose::Audit) => return Err(Problem::invalid("the audit key is an EdDSA key")),
        (None, KeyPurpose::Token) => ring.signer().algorithm(),
        (Some(name), KeyPurpose::Token) => {
            named(name).ok_or_else(|| Problem::invalid("algorithm must be ES256, EdDSA or RS256"))?
        }
    };
    let id = ring.rotate(purpose, algorithm).await?;
    shown(&broker, &id).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Import {
    /// PKCS#8 in PEM.
    pem: String,
}

async fn import(State(broker): State<Arc<Broker>>, Body(asked): Body<Import>) -> Result<Json<Value>, Problem> {
    let id = broker.exchange.signer.import(&zeroize::Zeroizing::new(asked.pem)).await?;
    shown(&broker, &id).await
}

async fn revoke(State(broker): State<Arc<Broker>>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    broker.exchange.signer.revoke(&id).await?;
    shown(&broker, &id).await
}

async fn rewrap(State(broker): State<Arc<Broker>>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "rewrapped": broker.exchange.signer.rewrap().await? })))
}

/// One key, as the list shows it.
async fn shown(broker: &Broker, id: &str) -> Result<Json<Value>, Problem> {
    let (keys, _) = broker.exchange.signer.view().await?;
    let found = keys.into_iter().find(|key| key.id == id);
    found.map(|key| Json(json!(key))).ok_or_else(|| Problem::missing(format!("there is no key {id}")))
}
