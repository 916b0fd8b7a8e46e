//! What `POST /oauth2/introspect` (RFC 7662) and `POST /oauth2/revoke` (RFC 7009) promise to clients with a secret.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use countersign::store::UserState;
use support::broker::{Credential, TestBroker};
use support::wire::{Reply, Request};

async fn ask(broker: &TestBroker, endpoint: &str, client: &Credential, token: &str) -> Reply {
    let fields = [("token", token), ("client_id", &client.client_id), ("client_secret", &client.secret)];
    broker.send(&Request::token(&fields).to("POST", endpoint)).await
}

async fn is_active(broker: &TestBroker, client: &Credential, token: &str) -> bool {
    let asked = ask(broker, "/oauth2/introspect", client, token).await;
    assert_eq!(asked.status, 200, "{}", asked.text());
    asked.json()["active"].as_bool().unwrap()
}

/// A client, another one, and a token of the first.
async fn two_clients(broker: &TestBroker) -> (Credential, Credential, String) {
    let (client, other) = (broker.credential("ci", "legacy-job").await, broker.credential("api", "my-api").await);
    let token = broker.secret(&client.client_id, &client.secret).await.access_token();
    (client, other, token)
}

#[tokio::test]
async fn a_client_ends_its_own_token_and_no_other() {
    let broker = TestBroker::start().await;
    let (client, other, token) = two_clients(&broker).await;
    assert_eq!(ask(&broker, "/oauth2/revoke", &other, &token).await.status, 200);
    assert!(is_active(&broker, &other, &token).await, "another client's revocation changes nothing");
    assert_eq!(ask(&broker, "/oauth2/revoke", &client, &token).await.status, 200);
    assert!(!is_active(&broker, &other, &token).await);
}

#[tokio::test]
async fn what_is_no_token_of_ours_is_inactive_and_nothing_more() {
    let broker = TestBroker::start().await;
    let (client, _, token) = two_clients(&broker).await;
    for foreign in ["x", broker.github().assertion().compact().as_str(), &format!("{token}A")] {
        let asked = ask(&broker, "/oauth2/introspect", &client, foreign).await;
        assert_eq!((asked.status, asked.json()), (200, serde_json::json!({ "active": false })));
    }
}

#[tokio::test]
async fn neither_endpoint_answers_a_client_that_could_not_sign_in() {
    let broker = TestBroker::start().await;
    let (client, other, token) = two_clients(&broker).await;
    let wrong = Credential { client_id: client.client_id.clone(), secret: other.secret.clone() };
    for endpoint in ["/oauth2/introspect", "/oauth2/revoke"] {
        assert_eq!(ask(&broker, endpoint, &wrong, &token).await.status, 401, "{endpoint}");
        assert_eq!(broker.send(&Request::token(&[("token", &token)]).to("POST", endpoint)).await.status, 401);
    }
    assert!(is_active(&broker, &client, &token).await, "no refused revocation ended it");
    broker.set_user_state("legacy-job", UserState::Disabled).await;
    for endpoint in ["/oauth2/introspect", "/oauth2/revoke"] {
        let refused = ask(&broker, endpoint, &client, &token).await;
        assert_eq!((refused.status, refused.oauth_error().as_str()), (401, "invalid_client"), "{endpoint}");
    }
    broker.set_user_state("legacy-job", UserState::Enabled).await;
    assert!(!is_active(&broker, &client, &token).await, "it ended with its user");
}

#[tokio::test]
async fn a_store_that_cannot_answer_is_not_a_token_that_has_ended() {
    let broker = TestBroker::start().await;
    let (client, _, token) = two_clients(&broker).await;
    let database = rusqlite::Connection::open(broker.directory().join("data/countersign.db")).unwrap();
    database.execute_batch("ALTER TABLE sessions RENAME TO away").unwrap();
    let answer = ask(&broker, "/oauth2/revoke", &client, &token).await;
    assert_eq!(answer.status, 503, "a client must not believe that its token is revoked");
    assert_eq!(answer.oauth_error(), "temporarily_unavailable");
    assert!(is_active(&broker, &client, &token).await, "nor is it; that is known without the disk");
    database.execute_batch("ALTER TABLE away RENAME TO sessions").unwrap();
    assert!(is_active(&broker, &client, &token).await);
}
