//! A Kubernetes API server on loopback that answers `TokenReview`s over TLS, under a CA of its own. It reads the token as
//! the real one does, and lies only when a test says how.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum_server::tls_rustls::RustlsConfig;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};

use super::keys::from_base64url;

/// What it says of every token.
#[derive(Clone, Debug)]
pub enum Says {
    /// The token holds.
    Holds,
    /// The pod was deleted.
    Gone,
    /// It holds, with this member of `status` replaced.
    Instead(&'static str, Value),
    /// This status and no review.
    Status(u16),
    /// Another server has the answer.
    Redirect(String),
    /// No answer at all.
    Nothing,
    /// A 201 that is no TokenReview.
    Garbage,
}

/// One review that was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method_and_path: String,
    pub bearer: Option<String>,
    pub token: String,
    pub audiences: Value,
}

/// A running API server. It stops with the test's runtime.
#[derive(Clone)]
pub struct ApiServer {
    pub address: SocketAddr,
    /// The CA, as PEM.
    pub ca: String,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    says: Says,
    asked: Vec<Asked>,
}

impl ApiServer {
    pub async fn start() -> ApiServer {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let (ca, config) = certificates();
        let shared = Arc::new(Mutex::new(Shared { says: Says::Holds, asked: Vec::new() }));
        let server = ApiServer { address, ca, shared };
        let router = Router::new().fallback(answer).with_state(server.clone());
        let serving = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(Arc::new(config)));
        tokio::spawn(async move { serving.expect("a listener").serve(router.into_make_service()).await });
        server
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// From now on.
    pub fn says(&self, says: Says) {
        self.shared.lock().expect("no test panicked here").says = says;
    }

    /// Every review so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.lock().expect("no test panicked here").asked.clone()
    }
}

/// A CA, and a server's certificate of it for 127.0.0.1.
fn certificates() -> (String, rustls::ServerConfig) {
    let ca_key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).expect("a certificate").pem();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
    let certificate = certificate.signed_by(&key, &issuer).expect("a certificate");
    let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.expect("TLS 1.2 and 1.3").with_no_client_auth();
    (ca, config.with_single_cert(vec![certificate.der().clone()], private).expect("the certificate's key"))
}

async fn answer(
    State(server): State<ApiServer>,
    method: axum::http::Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let token = review["spec"]["token"].as_str().unwrap_or_default().to_owned();
    let asked = Asked {
        method_and_path: format!("{method} {}", uri.path()),
        bearer: headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned),
        audiences: review["spec"]["audiences"].clone(),
        token: token.clone(),
    };
    let says = {
        let mut shared = server.shared.lock().expect("no test panicked here");
        shared.asked.push(asked);
        shared.says.clone()
    };
    let mut status = holds(&token, &review["spec"]["audiences"]);
    match says {
        Says::Holds => {}
        Says::Gone => status = json!({ "error": "[invalid bearer token, service account token has been invalidated]" }),
        Says::Instead(member, value) => status[member] = value,
        Says::Status(code) => return StatusCode::from_u16(code).expect("a status").into_response(),
        Says::Redirect(to) => return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
        Says::Nothing => return std::future::pending().await,
        Says::Garbage => return (StatusCode::CREATED, format!("not JSON, and it repeats {token}")).into_response(),
    }
    let mut reviewed = review;
    reviewed["status"] = status;
    (StatusCode::CREATED, axum::Json(reviewed)).into_response()
}

/// What the real one says of a token that holds.
fn holds(token: &str, audiences: &Value) -> Value {
    let Some(part) = token.split('.').nth(1) else { return json!({ "error": "not a token" }) };
    let claims: Value = serde_json::from_slice(&from_base64url(part)).expect("claims");
    let bound = &claims["kubernetes.io"];
    json!({
        "authenticated": true,
        "audiences": audiences,
        "user": {
            "username": claims["sub"],
            "uid": bound["serviceaccount"]["uid"],
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/pod-name": [bound["pod"]["name"]],
                "authentication.kubernetes.io/pod-uid": [bound["pod"]["uid"]],
                "authentication.kubernetes.io/credential-id": [format!("JTI={}", claims["jti"].as_str().unwrap_or_default())],
            },
        },
    })
}
