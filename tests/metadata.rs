//! What clients and verifiers discover, and that nobody can bend it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::BROKER;
use support::broker::TestBroker;
use support::wire::Request;

const DOCUMENTS: [&str; 3] =
    ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/oauth2/jwks"];

fn has(document: &Value, name: &str, value: &str) -> bool {
    document[name].as_array().is_some_and(|values| values.iter().any(|found| found == value))
}

#[tokio::test]
async fn both_metadata_documents_say_where_everything_is() {
    let broker = TestBroker::start().await;
    for path in &DOCUMENTS[..2] {
        let reply = broker.send(&Request::get(path)).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")), "{path}");
        let document = reply.json();
        assert_eq!(document["issuer"], BROKER, "byte for byte (RFC 8414 §3.3)");
        for (name, endpoint) in [
            ("token_endpoint", "/oauth2/token"),
            ("jwks_uri", "/oauth2/jwks"),
            ("introspection_endpoint", "/oauth2/introspect"),
            ("revocation_endpoint", "/oauth2/revoke"),
        ] {
            assert_eq!(document[name], format!("{BROKER}{endpoint}"), "{path}");
        }
        assert!(document["response_types_supported"].is_array(), "required by RFC 8414 §2");
        for grant in [
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ] {
            assert!(has(&document, "grant_types_supported", grant), "{grant}");
        }
        for method in ["client_secret_basic", "client_secret_post", "private_key_jwt"] {
            assert!(has(&document, "token_endpoint_auth_methods_supported", method), "{method}");
        }
        let algorithms = "token_endpoint_auth_signing_alg_values_supported";
        for algorithm in ["RS256", "ES512"] {
            assert!(has(&document, algorithms, algorithm), "{algorithm}");
        }
        assert!(!has(&document, algorithms, "none"));
        let empty = document.as_object().expect("an object").values().any(|value| *value == json!([]));
        assert!(!empty, "empty lists are left out (RFC 8414 §3.2)");
    }
}

#[tokio::test]
async fn the_key_set_has_public_members_only() {
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        let line = format!("token: {{ signing_algorithm: {algorithm} }}");
        let broker = TestBroker::start_with(|setup, _| setup.setting(&line)).await;
        let set = broker.key_set().await;
        let keys = set["keys"].as_array().expect("keys");
        assert!(keys.iter().any(|key| key["alg"] == algorithm));
        for key in keys {
            assert_eq!(key["use"], "sig");
            assert!(key["kid"].as_str().is_some_and(|id| !id.is_empty()) && key["kty"].is_string());
            for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                assert!(key.get(private).is_none(), "{private} is published");
            }
        }
    }
}

#[tokio::test]
async fn nothing_a_caller_sends_changes_the_documents() {
    let broker = TestBroker::start().await;
    for path in DOCUMENTS {
        let plain = broker.send(&Request::get(path)).await;
        for (name, value) in [
            ("Host", "evil.example"),
            ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Prefix", "/evil"),
            ("Forwarded", "host=evil.example;proto=http"),
            ("X-Original-URL", "/evil"),
            ("Accept", "text/html"),
        ] {
            let bent = broker.send(&Request::get(path).replace_header(name, value)).await;
            assert_eq!((bent.status, bent.text()), (200, plain.text()), "{path} with {name}");
        }
    }
}

#[tokio::test]
async fn an_issuer_with_a_path_has_its_metadata_where_rfc_8414_puts_it() {
    let broker = TestBroker::start_with(|setup, _| setup.under_issuer("https://broker.example.com/cluster-1")).await;
    let document = broker.send(&Request::get("/.well-known/oauth-authorization-server/cluster-1")).await.json();
    assert_eq!(document["issuer"], "https://broker.example.com/cluster-1");
    let openid = broker.send(&Request::get("/cluster-1/.well-known/openid-configuration")).await.json();
    assert_eq!(openid["issuer"], document["issuer"]);
    for name in ["token_endpoint", "jwks_uri"] {
        let url = document[name].as_str().expect("a URL");
        let path = url.strip_prefix("https://broker.example.com").expect("our own host");
        assert_ne!(broker.send(&Request::get(path)).await.status, 404, "{url} is not served");
    }
}

#[tokio::test]
async fn health_says_no_more_than_health() {
    let broker = TestBroker::start().await;
    for path in ["/healthz", "/readyz"] {
        let reply = broker.send(&Request::get(path)).await;
        assert_eq!(reply.status, 200, "{path}");
        let text = reply.text();
        for word in ["github", "partner", "https://", "kid", "policies"] {
            assert!(!text.contains(word), "{path} says {word}: {text}");
        }
    }
    for path in ["/metrics", "/debug", "/admin/v1/users", "/admin/v1/", "/"] {
        assert_eq!(broker.send(&Request::get(path)).await.status, 404, "{path} is on the public listener");
    }
}
