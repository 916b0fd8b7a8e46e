//! What operators and verifiers see of our signing keys: rotation, revocation, import.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use serde_json::json;
use support::broker::{Credential, TestBroker};
use support::wire::Request;

async fn is_active(broker: &TestBroker, client: &Credential, token: &str) -> bool {
    let fields = [("token", token), ("client_id", &client.client_id), ("client_secret", &client.secret)];
    broker.send(&Request::token(&fields).to("POST", "/oauth2/introspect")).await.json()["active"].as_bool().unwrap()
}

async fn key_ids(broker: &TestBroker) -> Vec<String> {
    let set = broker.key_set().await;
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn minted_by(broker: &TestBroker) -> (String, String) {
    let reply = broker.token(broker.partner().assertion()).await;
    let minted = broker.minted(&reply).await;
    (reply.access_token(), minted.header["kid"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn tokens_of_a_revoked_key_are_refused_at_once_and_another_key_signs() {
    let broker = TestBroker::start().await;
    let client = broker.credential("ci", "legacy-job").await;
    let (token, first) = minted_by(&broker).await;
    assert!(is_active(&broker, &client, &token).await);
    let (status, key) = broker.admin_post(&format!("/admin/v1/keys/{first}/revoke"), &json!({})).await;
    assert_eq!((status, &key["state"]), (200, &json!("revoked")));
    assert!(!is_active(&broker, &client, &token).await);
    assert!(!key_ids(&broker).await.contains(&first));
    let (token, second) = minted_by(&broker).await;
    assert!(second != first && is_active(&broker, &client, &token).await);
    assert_eq!(broker.admin_post(&format!("/admin/v1/keys/{first}/revoke"), &json!({})).await.0, 404);
}

#[tokio::test]
async fn a_rotated_key_signs_after_twice_the_max_age_that_the_jwks_says() {
    let broker = TestBroker::start_with(|setup, _| setup.setting("signing: { jwks_max_age: 90s }")).await;
    let reply = broker.send(&Request::get("/oauth2/jwks")).await;
    assert_eq!(reply.header("cache-control"), Some("public, max-age=90"));
    let first = minted_by(&broker).await.1;
    let (status, key) = broker.admin_post("/admin/v1/keys/rotate", &json!({})).await;
    assert_eq!(status, 200, "{key}");
    let next = key["id"].as_str().unwrap().to_owned();
    assert!(key_ids(&broker).await.contains(&next));
    assert_eq!(broker.admin_post("/admin/v1/keys/rotate", &json!({})).await.0, 409, "one waits already");
    for (advance, expected) in [(179, &first), (1, &next)] {
        broker.advance(Duration::from_secs(advance));
        assert_eq!(broker.admin_post("/admin/v1/keys/rewrap", &json!({})).await.1, json!({ "rewrapped": 0 }));
        assert_eq!(minted_by(&broker).await.1, *expected);
    }
    assert!(key_ids(&broker).await.contains(&first), "its tokens still live");
}

#[tokio::test]
async fn a_key_that_is_none_is_not_imported() {
    let broker = TestBroker::start().await;
    let (status, problem) = broker.admin_post("/admin/v1/keys/import", &json!({ "pem": "secret" })).await;
    assert_eq!((status, &problem["error"]), (400, &json!("invalid_request")));
    assert!(!problem.to_string().contains("secret"));
}
