//! What operators and their probes learn of a reload: `/readyz`, the admin API, the audit trail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::broker::{AdminSocket, TestBroker};
use support::process::{ServeProcess, run};
use support::setup::{Platforms, Setup};
use support::wire::Request;

const OTHER: &str =
    "policy: other\nissuer: partner\nmatch: { sub: other }\nuser: other\nscopes: [\"service:my-api\"]\n";
const BAD: &str = "policy: bad\nissuer: nobody\nmatch: { sub: x }\nuser: x\nscopes: []\n";

fn write(broker: &TestBroker, path: &str, text: &str) {
    std::fs::write(broker.directory().join(path), text).unwrap();
}

async fn asked(admin: &AdminSocket, path: &str) -> Value {
    let reply = admin.send(&Request::get(path)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[tokio::test]
async fn a_broker_that_refuses_its_files_is_ready_and_says_so_to_operators_only() {
    let broker = TestBroker::start().await;
    let admin = broker.serve_admin().await;
    let ready = asked(&admin, "/readyz").await;
    let digest = ready["policy_digest"].as_str().unwrap().to_owned();
    let expected = json!({
        "status": "ready", "policy_digest": digest, "policies": 5,
        "loaded_at": "2026-09-21T14:13:20.000Z", "reload": { "status": "ok" },
    });
    assert_eq!((digest.len(), &ready), (64, &expected));

    write(&broker, "policies/other.yaml", OTHER);
    write(&broker, "policies/bad.yaml", BAD);
    broker.advance(Duration::from_secs(10));
    broker.reload().unwrap_err();
    broker.advance(Duration::from_secs(10));
    broker.reload().unwrap_err();
    let refused = asked(&admin, "/readyz").await;
    let since = "2026-09-21T14:13:30.000Z";
    assert_eq!(refused["reload"], json!({ "status": "refused", "since": since, "faults": 1 }));
    assert_eq!((&refused["policy_digest"], &refused["policies"]), (&json!(digest), &json!(5)));
    let public = broker.send(&Request::get("/readyz")).await;
    assert_eq!((public.status, public.json()), (200, json!({ "status": "ready", "policy_digest": digest })));

    std::fs::remove_file(broker.directory().join("policies/bad.yaml")).unwrap();
    broker.reload().unwrap();
    let mended = asked(&admin, "/readyz").await;
    assert_eq!((&mended["reload"], &mended["policies"]), (&json!({ "status": "ok" }), &json!(6)));
    assert_eq!(mended["loaded_at"], "2026-09-21T14:13:40.000Z");
    assert_ne!(mended["policy_digest"], json!(digest));
}

#[tokio::test]
async fn the_admin_api_reloads_and_tells_how_it_went_with_every_fault() {
    let broker = TestBroker::start().await;
    let admin = broker.serve_admin().await;
    let fresh = asked(&admin, "/admin/v1/reload").await;
    assert_eq!((&fresh["loaded_by"], &fresh["last_refusal"]), (&json!("start"), &Value::Null));
    assert_eq!(fresh["in_force"]["issuers"], 5);

    write(&broker, "policies/bad.yaml", BAD);
    let refused = admin.send(&Request::new("POST", "/admin/v1/reload")).await;
    assert_eq!(refused.status, 400);
    assert!(refused.json()["message"].as_str().unwrap().contains("bad.yaml:2:9: error[issuer]"), "{}", refused.text());
    let told = asked(&admin, "/admin/v1/reload").await;
    let last = &told["last_refusal"];
    assert_eq!(
        (&last["trigger"], &last["cause"], &last["faults"]),
        (&json!("admin_api"), &json!("reload.faults"), &json!(1))
    );
    assert!(last["text"].as_str().unwrap().contains("bad.yaml:2:9"), "{told}");
    assert_eq!(told["in_force"], fresh["in_force"]);

    write(&broker, "policies/bad.yaml", OTHER);
    let reloaded = admin.send(&Request::new("POST", "/admin/v1/reload")).await;
    assert_eq!((reloaded.status, &reloaded.json()["in_force"]["policies"]), (200, &json!(6)));
    let told = asked(&admin, "/admin/v1/reload").await;
    assert_eq!((&told["loaded_by"], &told["reload"]), (&json!("admin_api"), &json!({ "status": "ok" })));
    assert_eq!(told["last_refusal"]["faults"], 1, "the last refusal can still be read");
}

#[tokio::test]
async fn every_reload_is_recorded_with_what_was_in_force_before_and_after_and_who_asked() {
    let broker = TestBroker::start().await;
    let admin = broker.serve_admin().await;
    let before = asked(&admin, "/readyz").await["policy_digest"].clone();
    write(&broker, "policies/other.yaml", OTHER);
    broker.reload().unwrap();
    write(&broker, "policies/bad.yaml", BAD);
    admin.send(&Request::new("POST", "/admin/v1/reload")).await;
    let reply = broker.token(broker.partner().assertion().claim("sub", "other")).await;
    let after = broker.audit_of(&reply).await.unwrap()["policy_digest"].clone();
    assert_ne!(before, after);

    let records = broker.reload_records().await;
    let [reloaded, refused] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((&reloaded["outcome"], &reloaded["trigger"]), (&json!("reloaded"), &json!("signal")));
    assert_eq!((&reloaded["policy_digest"], &reloaded["in_force"]["policies"]), (&after, &json!(6)));
    assert_eq!((&reloaded["before"]["policy_digest"], &reloaded["before"]["policies"]), (&before, &json!(5)));
    assert_eq!(reloaded["trace_id"].as_str().unwrap().len(), 32);
    let explain = Request::new("POST", "/admin/v1/explain").header("Content-Type", "application/json");
    let explained = admin.send(&explain.body(format!("{{\"trace\":{}}}", refused["trace_id"]))).await;
    assert_eq!(explained.status, 404, "a reload is no exchange: {}", explained.text());
    assert_eq!((&refused["outcome"], &refused["trigger"]), (&json!("refused"), &json!("admin_api")));
    assert_eq!((&refused["cause"], &refused["faults"]), (&json!("reload.faults"), &json!(1)));
    assert_eq!((&refused["policy_digest"], &refused["before"]), (&after, &Value::Null));
    assert!(refused["detail"].as_str().unwrap().contains("bad.yaml:2:9"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_follows_its_files_and_the_command_line_shows_the_records() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::platforms(&Platforms::new()).setting("reload: { every: 1s }");
    let mut process = ServeProcess::start(&setup, directory.path()).await;
    std::fs::write(directory.path().join("policies/other.yaml"), OTHER).unwrap();
    let said = process.says("reloaded").await;
    assert!(said.contains("file_watch"), "{said}");
    std::fs::write(directory.path().join("policies/bad.yaml"), BAD).unwrap();
    let said = process.says("old configuration stays").await;
    assert!(said.contains("bad.yaml:2:9"), "{said}");
    process.signal("HUP").await;
    process.says("old configuration stays").await;

    let table = run(directory.path(), &["audit", "tail"]).await.stdout;
    assert!(table.contains("reloaded") && table.contains("reload.faults"), "{table}");
    let query = ["audit", "query", "--outcome", "reloaded", "--output", "json"];
    let found: Vec<Value> = serde_json::from_str(&run(directory.path(), &query).await.stdout).unwrap();
    assert_eq!((found.len(), &found[0]["trigger"]), (1, &json!("file_watch")));
    let query = ["audit", "query", "--cause", "reload.faults", "--output", "json"];
    let found: Vec<Value> = serde_json::from_str(&run(directory.path(), &query).await.stdout).unwrap();
    let triggers: Vec<&Value> = found.iter().map(|record| &record["trigger"]).collect();
    assert_eq!(triggers, ["file_watch", "signal"]);
}
