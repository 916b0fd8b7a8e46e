//! What clients and verifiers discover: RFC 8414 and OpenID Connect Discovery documents, and the JWKS.
//!
//! Built from the configured issuer identifier alone; `Host` and `X-Forwarded-*` change nothing (RFC 9700 §4.13).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::broker::Broker;
use crate::config::{ClientCertificates, TlsFiles};
use crate::request::GrantName;
use crate::vocab::Algorithm;

/// How long a client may keep the documents; the JWKS says `signing.jwks_max_age`.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// `/.well-known/oauth-authorization-server` (RFC 8414 §3).
pub(super) async fn authorization_server(State(broker): State<Arc<Broker>>) -> Response {
    cached(Value::Object(document(&broker)))
}

/// `/.well-known/openid-configuration`, for verifiers that look only there.
pub(super) async fn openid_configuration(State(broker): State<Arc<Broker>>) -> Response {
    let mut document = document(&broker);
    // OpenID Connect Discovery §3 requires both; there are no ID tokens, the values describe the access token.
    document.insert("subject_types_supported".into(), json!(["public"]));
    document.insert("id_token_signing_alg_values_supported".into(), json!(["ES256", "EdDSA", "RS256"]));
    cached(Value::Object(document))
}

/// `/oauth2/jwks` (RFC 7517 §5).
pub(super) async fn jwks(State(broker): State<Arc<Broker>>) -> Response {
    let max_age = broker.config.signing.jwks_max_age.as_secs();
    let cache_control = format!("public, max-age={max_age}");
    ([(header::CACHE_CONTROL, cache_control)], Json(broker.exchange.signer.signer().jwks().clone())).into_response()
}

fn document(broker: &Broker) -> Map<String, Value> {
    let issuer = broker.config.issuer.as_str();
    let endpoint = |path: &str| format!("{}{path}", issuer.trim_end_matches('/'));
    let mut methods = vec!["client_secret_basic", "client_secret_post", "private_key_jwt", "spiffe_jwt"];
    let asks = |tls: &TlsFiles| tls.client_certificates == ClientCertificates::Request;
    methods.extend(broker.config.tls.as_ref().filter(|tls| asks(tls)).map(|_| "spiffe_x509"));
    let algorithms: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
    let document = json!({
        "issuer": issuer,
        "token_endpoint": endpoint("/oauth2/token"),
        "jwks_uri": endpoint("/oauth2/jwks"),
        "introspection_endpoint": endpoint("/oauth2/introspect"),
        "revocation_endpoint": endpoint("/oauth2/revoke"),
        // Required by RFC 8414 §2 although there is no authorization endpoint; `none` is the registered value for that.
        "response_types_supported": ["none"],
        "grant_types_supported": GrantName::ALL.map(GrantName::as_str),
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    });
    match document {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn cached(document: Value) -> Response {
    ([(header::CACHE_CONTROL, CACHE_CONTROL)], Json(document)).into_response()
}
