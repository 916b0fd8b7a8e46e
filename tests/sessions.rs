//! Sessions as operators and relying parties see them: listed, ended by hand, ended with what they came from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use countersign::store::UserState;
use serde_json::{Value, json};
use support::broker::{Credential, TestBroker};
use support::process::{ServeProcess, run};
use support::wire::Request;

async fn is_active(broker: &TestBroker, client: &Credential, token: &str) -> bool {
    let fields = [("token", token), ("client_id", &client.client_id), ("client_secret", &client.secret)];
    broker.send(&Request::token(&fields).to("POST", "/oauth2/introspect")).await.json()["active"].as_bool().unwrap()
}

/// Until the introspection endpoint calls the token ended; what ends in the background may take a moment.
async fn ends(broker: &TestBroker, client: &Credential, token: &str) {
    let waiting = async {
        while is_active(broker, client, token).await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), waiting).await.expect("the session ends");
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_what_they_are_of() {
    let broker = TestBroker::start().await;
    let client = broker.credential("ci", "legacy-job").await;
    let mint = async || broker.token(broker.partner().assertion()).await.access_token();
    let first = mint().await;
    let listed = broker.admin_get("/admin/v1/sessions").await;
    let session = listed["sessions"][0].clone();
    assert_eq!((&session["state"], &session["issuer"]), (&json!("live"), &json!("partner")), "{listed}");
    assert_eq!(broker.admin_get("/admin/v1/sessions?user=nobody").await, json!({ "sessions": [] }));
    let by_id = json!({ "token_id": session["token_id"] });
    assert_eq!(broker.admin_post("/admin/v1/sessions/revoke", &by_id).await, (200, json!({ "revoked": 1 })));
    assert!(!is_active(&broker, &client, &first).await);
    assert_eq!(broker.admin_post("/admin/v1/sessions/revoke", &by_id).await.0, 404, "it has ended");
    let selectors = [
        json!({ "user": session["user"] }),
        json!({ "policy": session["policies"][0] }),
        json!({ "issuer": "partner" }),
    ];
    for selector in selectors {
        let (one, other) = (mint().await, mint().await);
        let (status, answer) = broker.admin_post("/admin/v1/sessions/revoke", &selector).await;
        assert_eq!((status, answer), (200, json!({ "revoked": 2 })), "{selector}");
        assert!(!is_active(&broker, &client, &one).await && !is_active(&broker, &client, &other).await);
    }
    assert!(is_active(&broker, &client, &mint().await).await, "whoever may sign in gets a new one");
    for wrong in [json!({}), json!({ "user": "a", "policy": "b" }), json!({ "user": "" })] {
        assert_eq!(broker.admin_post("/admin/v1/sessions/revoke", &wrong).await.0, 400, "{wrong}");
    }
    let records = broker.admin_get("/admin/v1/audit?outcome=changed&limit=1000").await;
    let ended = records["records"].as_array().unwrap().iter().filter(|entry| entry["record"]["event"] == "session");
    assert_eq!(ended.count(), 4, "{records}");
}

#[tokio::test]
async fn a_client_secrets_sessions_end_with_it() {
    let broker = TestBroker::start().await;
    let (asking, client) = (broker.credential("asks", "asker").await, broker.credential("ci", "legacy-job").await);
    let token = broker.secret(&client.client_id, &client.secret).await.access_token();
    assert!(is_active(&broker, &asking, &token).await);
    assert_eq!(broker.admin_post("/admin/v1/credentials/ci/disable", &json!({})).await.0, 200);
    assert!(!is_active(&broker, &asking, &token).await);
    assert_eq!(broker.admin_post("/admin/v1/credentials/ci/enable", &json!({})).await.0, 200);
    assert!(!is_active(&broker, &asking, &token).await, "enabling brings no token back");
    let token = broker.secret(&client.client_id, &client.secret).await.access_token();
    broker.set_user_state("legacy-job", UserState::Disabled).await;
    assert!(!is_active(&broker, &asking, &token).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_or_issuer_that_a_reload_takes_away_ends_its_sessions_and_no_others() {
    let broker = TestBroker::start().await;
    let client = broker.credential("ci", "legacy-job").await;
    let of_partner = broker.token(broker.partner().assertion()).await.access_token();
    let of_github = broker.token(broker.github().assertion()).await.access_token();
    let sessions = broker.admin_get("/admin/v1/sessions?issuer=partner").await;
    let policy = sessions["sessions"][0]["policies"][0].as_str().unwrap().to_owned();
    let file = broker.directory().join(format!("policies/{policy}.yaml"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let reloading = &broker;
    tokio::task::block_in_place(|| reloading.reload()).unwrap();
    ends(&broker, &client, &of_partner).await;
    assert!(is_active(&broker, &client, &of_github).await);
    std::fs::write(&file, text).unwrap();
    tokio::task::block_in_place(|| reloading.reload()).unwrap();
    assert!(!is_active(&broker, &client, &of_partner).await, "a policy that comes back brings no token back");
    broker.rewrite("github: {", "github: { disabled: true,");
    tokio::task::block_in_place(|| reloading.reload()).unwrap();
    ends(&broker, &client, &of_github).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_was_removed_while_no_broker_ran_ends_its_sessions_at_the_start() {
    let broker = TestBroker::start().await;
    let client = broker.credential("ci", "legacy-job").await;
    let of_partner = broker.token(broker.partner().assertion()).await.access_token();
    let of_github = broker.token(broker.github().assertion()).await.access_token();
    let sessions = broker.admin_get("/admin/v1/sessions?issuer=partner").await;
    let policy = sessions["sessions"][0]["policies"][0].as_str().unwrap();
    std::fs::remove_file(broker.directory().join(format!("policies/{policy}.yaml"))).unwrap();
    let broker = broker.restarted_after(std::time::Duration::from_secs(1)).await;
    ends(&broker, &client, &of_partner).await;
    assert!(is_active(&broker, &client, &of_github).await);
}

#[tokio::test]
async fn the_command_line_lists_and_ends_sessions() {
    let directory = tempfile::tempdir().unwrap();
    let platforms = support::setup::Platforms::new();
    let setup = support::setup::Setup::platforms(&platforms);
    let server = ServeProcess::start(&setup, directory.path()).await;
    let client = support::process::client_secret(directory.path(), "alice").await;
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", client.client_id.as_str()),
        ("client_secret", client.secret.as_str()),
    ];
    for _ in 0..2 {
        assert_eq!(Request::token(&fields).send(server.address).await.status, 200);
    }
    let listed = run(directory.path(), &["session", "list", "--user", "alice", "--output", "json"]).await;
    let sessions: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
    let id = sessions[0]["token_id"].as_str().unwrap();
    let ended = run(directory.path(), &["session", "revoke", id]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "1 sessions ended\n"), "{}", ended.stderr);
    let ended = run(directory.path(), &["session", "revoke", "--credential", "ci"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "1 sessions ended\n"), "{}", ended.stderr);
    let listed = run(directory.path(), &["session", "list", "--since", "1h"]).await;
    assert_eq!(listed.stdout.matches("revoked").count(), 2, "{}", listed.stdout);
    assert_eq!(run(directory.path(), &["session", "revoke"]).await.code, Some(2), "nothing says which");
}
