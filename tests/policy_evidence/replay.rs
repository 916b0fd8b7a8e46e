use std::path::Path;

use serde_json::{Value, json};

use super::support::process::run;
use super::support::setup::{Platforms, Setup};
use super::support::wire::Request;
use super::trail::{minted, policy, refused, serving, table};

const WIDE: &str = "policy: builds\nissuer: partner\nmatch: { team: red }\nuser: builder\nscopes: [a, b]\n";
const NARROW: &str = "policy: builds\nissuer: partner\nmatch: { team: red, env: prod }\nuser: builder\nscopes: [a]\n";

/// Two directories of policies, and the names of their files' only policy.
fn sets(directory: &Path, old: &str, new: &str) {
    for (name, text) in [("old", old), ("new", new)] {
        std::fs::create_dir_all(directory.join(name)).unwrap();
        std::fs::write(directory.join(name).join("builds.yaml"), text).unwrap();
    }
}

#[tokio::test]
async fn a_narrower_policy_names_the_workloads_that_would_lose_access() {
    let directory = tempfile::tempdir().unwrap();
    sets(directory.path(), WIDE, NARROW);
    let red = |env: &str| json!({ "team": "red", "env": env });
    let trail = vec![
        minted(20, "builds", "builder").of("old-one", red("dev")),
        minted(6, "builds", "builder").of("dev-1", red("dev")),
        minted(5, "builds", "builder").of("dev-2", red("dev")),
        minted(4, "builds", "builder").of("dev-1", red("dev")),
        minted(3, "builds", "builder").of("prod", red("prod")),
        refused(2).of("stranger", json!({ "team": "blue", "env": "prod" })),
        minted(1, "builds", "builder").of("hidden", json!({ "team": "red" })).with("claims_omitted", json!(["env"])),
        minted(1, "builds", "builder").with("subject", "of-an-older-version"),
        minted(1, "builds", "builder").with("event", "reload"),
        refused(1).with("policy_digest", Value::Null).with("stage", "claims").with("cause", "claims.expired"),
    ];
    let _broker = serving(&Setup::platforms(&Platforms::new()), directory.path(), trail).await;
    let report = policy(directory.path(), &["diff", "old", "new", "--replay", "7d"]).await;
    let rows: Vec<_> = report["workloads"].as_array().unwrap().iter().collect();
    let who: Vec<_> =
        rows.iter().map(|row| (row["change"].as_str().unwrap(), row["subject"].as_str().unwrap())).collect();
    assert_eq!(who, [("loses", "dev-1"), ("loses", "dev-2"), ("scopes", "prod")]);
    assert_eq!(
        (&rows[0]["exchanges"], &rows[0]["user"], &rows[0]["cause"]),
        (&json!(2), &json!("builder"), &json!("policy.none"))
    );
    assert_eq!(rows[0]["trace_id"], format!("{:032x}", 3), "its last exchange");
    assert_eq!((&rows[2]["lost"], &rows[2]["gained"]), (&json!(["b"]), &json!([])));
    assert_eq!((&report["replayed"], &report["not_replayed"]), (&json!(5), &json!(2)));

    let told = table(directory.path(), &["diff", "old", "new", "--replay", "7d"]).await.stdout;
    assert!(told.contains("2 workloads would lose access, no workload would gain it"), "{told}");
    assert!(told.contains("5 exchanges of the last 7d replayed; 2 could not be"), "{told}");
    let back = table(directory.path(), &["diff", "new", "old", "--replay", "30d"]).await.stdout;
    assert!(back.contains("no workload would lose access, 3 workloads would gain it"), "{back}");
}

#[tokio::test]
async fn a_user_that_the_request_named_is_asked_for_again() {
    let directory = tempfile::tempdir().unwrap();
    let other = "---\npolicy: other\nissuer: partner\nmatch: { team: red }\nuser: other\n";
    sets(directory.path(), WIDE, &format!("{WIDE}{other}"));
    let red = json!({ "team": "red" });
    let trail = vec![
        minted(1, "builds", "builder").of("named", red.clone()).with("named_user", "builder"),
        minted(1, "builds", "builder").of("unnamed", red),
    ];
    let _broker = serving(&Setup::platforms(&Platforms::new()), directory.path(), trail).await;
    let report = policy(directory.path(), &["diff", "old", "new", "--replay", "7d"]).await;
    let rows = report["workloads"].as_array().unwrap();
    assert_eq!(
        (rows.len(), &rows[0]["subject"], &rows[0]["cause"]),
        (1, &json!("unnamed"), &json!("policy.ambiguous"))
    );
}

#[tokio::test]
async fn more_than_a_page_of_exchanges_is_replayed() {
    let directory = tempfile::tempdir().unwrap();
    sets(directory.path(), WIDE, NARROW);
    let trail = (0..2345).map(|_| minted(1, "builds", "builder").of("dev", json!({ "team": "red" }))).collect();
    let _broker = serving(&Setup::platforms(&Platforms::new()), directory.path(), trail).await;
    let report = policy(directory.path(), &["diff", "old", "new", "--replay", "7d"]).await;
    assert_eq!((&report["replayed"], &report["workloads"][0]["exchanges"]), (&json!(2345), &json!(2345)));
}

#[tokio::test]
async fn an_exchange_over_http_is_replayed_from_its_record() {
    let (directory, platforms) = (tempfile::tempdir().unwrap(), Platforms::new());
    let broker = serving(&Setup::platforms(&platforms), directory.path(), Vec::new()).await;
    let now = countersign::clock::Clock::system().now().0;
    let assertion = platforms.partner.assertion().issued_at(now).compact();
    let fields = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion.as_str())];
    let reply = Request::token(&fields).send(broker.address).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let subject = &platforms.partner.claims["sub"];
    let with = |subject: &Value| format!("policy: p\nissuer: partner\nmatch: {{ sub: {subject} }}\nuser: u\n");
    sets(directory.path(), &with(subject), &with(&json!("other")));
    let report = policy(directory.path(), &["diff", "old", "new", "--replay", "1h"]).await;
    let row = &report["workloads"][0];
    assert_eq!(
        (&row["change"], &row["subject"], &row["trace_id"]),
        (&json!("loses"), subject, &json!(reply.trace_id()))
    );
}

#[tokio::test]
async fn a_set_with_faults_is_not_compared_and_a_window_is_a_duration() {
    let directory = tempfile::tempdir().unwrap();
    Setup::platforms(&Platforms::new()).write(directory.path(), "127.0.0.1:0");
    sets(directory.path(), WIDE, "policy: builds\nissuer: partnr\nmatch: { team: red }\nuser: u\n");
    let told = run(directory.path(), &["policy", "diff", "old", "new", "--replay", "7d"]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("did you mean `partner`?"), "{}", told.stderr);
    sets(directory.path(), WIDE, NARROW);
    let told = run(directory.path(), &["policy", "diff", "old", "new", "--replay", "week"]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.stderr.contains("for instance 7d or 12h"), "{}", told.stderr);
}
