//! Every exit of the exchange leaves one record with the facts that were proven by then, and no secret anywhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;

use aws_lc_rs::digest;
use serde_json::{Value, json};
use support::broker::TestBroker;
use support::keys::{TestKey, from_base64url};
use support::process::{ServeProcess, client_secret, run};
use support::setup::{Platforms, Setup};
use support::wire::{Reply, Request};
use support::{BROKER, JWT_BEARER, NOW};

fn sha256_hex(text: &str) -> String {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn record(broker: &TestBroker, reply: &Reply) -> Value {
    broker.audit_of(reply).await.expect("one record")
}

#[tokio::test]
async fn a_success_is_recorded_with_every_fact_of_it() {
    let broker = TestBroker::start().await;
    let assertion = broker.github().assertion();
    let jti = assertion.claims()["jti"].clone();
    let compact = assertion.compact();
    let reply = broker.token(compact.clone()).await;
    let minted = broker.minted(&reply).await;
    let record = record(&broker, &reply).await;
    let expected = [
        ("time", json!("2026-09-21T14:13:20.000Z")),
        ("trace_id", json!(reply.trace_id())),
        ("event", json!("exchange")),
        ("outcome", json!("minted")),
        ("grant", json!("client_credentials")),
        ("method", json!("private_key_jwt")),
        ("client_address", json!("127.0.0.1")),
        ("issuer", json!("https://token.actions.githubusercontent.com")),
        ("issuer_name", json!("github")),
        ("subject", json!("repo:acme/shop:environment:production")),
        ("audience", json!(BROKER)),
        ("key_id", json!("github-1")),
        ("assertion_sha256", json!(sha256_hex(&compact))),
        ("assertion_jti", jti),
        ("policy", json!("deploy-prod")),
        ("user", json!("prod-deployer")),
        ("scopes", json!(["service:billing/*", "service:my-api"])),
        ("token_jti", json!(minted.text("jti"))),
        ("token_expires_at", json!("2026-09-21T14:28:20Z")),
    ];
    for (name, value) in expected {
        assert_eq!(record[name], value, "{name} of {record}");
    }
    assert!(record["policy_digest"].as_str().is_some_and(|digest| !digest.is_empty()));
    let unverified: Vec<&String> =
        record.as_object().unwrap().keys().filter(|name| name.starts_with("unverified_")).collect();
    assert!(unverified.is_empty(), "everything was proven: {unverified:?}");
}

#[tokio::test]
async fn a_client_secret_s_success_names_the_client_and_no_platform() {
    let broker = TestBroker::start().await;
    let client = broker.credential("ci", "legacy-job").await;
    let reply = broker.secret(&client.client_id, &client.secret).await;
    let record = record(&broker, &reply).await;
    assert_eq!((record["outcome"].as_str(), record["user"].as_str()), (Some("minted"), Some("legacy-job")));
    assert_eq!(record["method"], "client_secret_post");
    for name in ["issuer", "subject", "policy", "assertion_sha256", "cause"] {
        assert!(record.get(name).is_none_or(Value::is_null), "{name} of {record}");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_recorded_with_the_client_it_was_tried_on_by_either_method() {
    let broker = TestBroker::start().await;
    let client = broker.credential("ci", "legacy-job").await;
    let in_the_form = broker.secret(&client.client_id, "wrong").await;
    let pair =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{}:wrong", client.client_id));
    let by_basic = Request::token(&[("grant_type", "client_credentials")]);
    let by_basic = broker.send(&by_basic.header("Authorization", &format!("Basic {pair}"))).await;
    for reply in [in_the_form, by_basic] {
        let record = record(&broker, &reply).await;
        assert_eq!((record["cause"].as_str(), record.get("client_id")), (Some("secret.wrong"), None));
        assert_eq!(record["unverified_client_id"], client.client_id);
    }
}

#[tokio::test]
async fn a_refusal_names_its_stage_and_cause_and_proves_nothing_beyond_it() {
    let broker = TestBroker::start().await;
    let partner = || broker.partner().assertion();
    let stages = [
        ("client_auth", "assertion.not_compact", "x".to_owned()),
        ("issuer", "issuer.unknown", partner().claim("iss", "https://stranger.example").compact()),
        ("key", "key.unknown", partner().header("kid", "other").compact()),
        ("claims", "claims.signature", partner().secretly_signed_by(&TestKey::rsa("rsa-b")).compact()),
        ("claims", "claims.expired", partner().issued_at(NOW - 3600).compact()),
        ("policy", "policy.none", partner().claim("sub", "nobody").compact()),
    ];
    for (stage, cause, assertion) in stages {
        let reply = broker.token(assertion).await;
        let record = record(&broker, &reply).await;
        assert_eq!(record["trace_id"], reply.member("trace_id"));
        let found = (record["outcome"].as_str(), record["stage"].as_str(), record["cause"].as_str());
        assert_eq!(found, (Some("refused"), Some(stage), Some(cause)), "{record}");
        assert!(record["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{record}");
        let proven = |name: &str| record.get(name).is_some_and(|value| !value.is_null());
        assert_eq!(proven("issuer_name"), matches!(stage, "key" | "claims" | "policy"), "{cause}");
        assert_eq!(proven("subject"), stage == "policy", "a subject is proven by the signature: {cause}");
        assert!(!proven("user") && !proven("policy") && !proven("token_jti"), "{record}");
    }
    let request = Request::token(&[("grant_type", "password")]);
    let record = record(&broker, &broker.send(&request).await).await;
    assert_eq!(
        (record["stage"].as_str(), record["cause"].as_str()),
        (Some("request"), Some("request.unsupported_grant"))
    );
}

#[tokio::test]
async fn a_shadow_policy_is_recorded_and_admits_nobody() {
    let shadow =
        "policy: trial\nissuer: partner\nmatch: { azp: partner-build }\nuser: trial\nscopes: [a]\nmode: shadow\n";
    let broker = TestBroker::start_with(|setup, _| setup.policy("trial", shadow)).await;
    let reply = broker.token(broker.partner().assertion()).await;
    assert_eq!(broker.minted(&reply).await.text("sub"), "partner-build");
    let verdicts = record(&broker, &reply).await["shadow"].clone();
    assert!(verdicts.to_string().contains("trial"), "{verdicts}");
    let only_shadow = broker.token(broker.partner().assertion().claim("sub", "x")).await;
    assert_eq!(only_shadow.status, 401);
    assert!(record(&broker, &only_shadow).await["shadow"].to_string().contains("trial"));
}

#[tokio::test]
async fn a_verified_token_leaves_its_claims_whether_it_was_admitted_or_not_and_an_unverified_one_none() {
    let broker = TestBroker::start_with(|setup, platforms| {
        let partner = format!("kind: oidc, url: {}, audit_exclude: [team]", platforms.partner.issuer());
        let reads = "policy: reads\nissuer: partner\nmatch: { sub: x, azp: y, team: red }\nuser: u\n";
        setup.platform("partner", &partner, &platforms.partner).policy("reads", reads)
    })
    .await;
    let assertion = broker.github().assertion().claim("surprise", "kept-nowhere");
    let minted = record(&broker, &broker.token(assertion.clone()).await).await;
    let mut expected = assertion.claims().clone();
    expected.remove("surprise");
    assert_eq!((&minted["claims"], &minted["claims_omitted"]), (&Value::Object(expected), &json!(["surprise"])));

    let partner = || broker.partner().assertion().claim("sub", "x").claim("team", "red-canary");
    let refused = record(&broker, &broker.token(partner()).await).await;
    assert_eq!((refused["cause"].as_str(), refused["claims"]["sub"].as_str()), (Some("policy.none"), Some("x")));
    assert_eq!(refused["claims"]["azp"], partner().claims()["azp"], "a policy of this open issuer reads it");
    assert!(refused["claims_omitted"].as_array().unwrap().contains(&json!("team")), "{refused}");
    assert!(!refused.to_string().contains("red-canary"), "not in the explanation either: {refused}");

    let expired = record(&broker, &broker.token(partner().issued_at(NOW - 3600)).await).await;
    assert_eq!((expired["cause"].as_str(), expired.get("claims")), (Some("claims.expired"), None));
}

#[tokio::test]
async fn a_user_that_the_request_names_is_in_the_record() {
    let broker = TestBroker::start().await;
    let reply = broker.token_and(broker.partner().assertion(), &[("client_id", "somebody-else")]).await;
    let record = record(&broker, &reply).await;
    assert_eq!((record["cause"].as_str(), record["named_user"].as_str()), (Some("policy.none"), Some("somebody-else")));
}

#[tokio::test]
async fn hostile_text_stays_inside_one_record() {
    let broker = TestBroker::start().await;
    let hostile = "a\"},{\"outcome\":\"minted\"\u{2028}\u{1b}[31m";
    let assertion = broker.partner().assertion().claim("iss", hostile).claim("sub", "x\r\ny".repeat(400));
    let reply = broker.token(assertion).await;
    let record = record(&broker, &reply).await;
    assert_eq!(record["outcome"], "refused");
    assert!(record["unverified_subject"].as_str().is_some_and(|text| text.len() <= 256), "bounded");
}

/// Every file below a directory, read whole.
fn everything_in(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything_in(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            found.push((path.display().to_string(), bytes));
        }
    }
    found
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_secret_or_signature_is_left_anywhere() {
    let platforms = Platforms::new();
    let directory = tempfile::tempdir().unwrap();
    let mut process = ServeProcess::start(&Setup::platforms(&platforms), directory.path()).await;
    let client = client_secret(directory.path(), "legacy-job").await;
    let (client_id, secret) = (client.client_id, client.secret);
    let now = countersign::clock::Clock::system().now().0;
    let good = platforms.github.assertion().issued_at(now).claim("sub", "canary-raw-claim").compact();
    let bad = platforms.partner.assertion().issued_at(now - 7200).compact();
    let mut canaries = vec![secret.clone(), "cssecret_wrong-canary".to_owned(), good.clone(), bad.clone()];
    let mut answers = Vec::new();
    for assertion in [&good, &bad] {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion.as_str()),
        ];
        answers.push(Request::token(&fields).send(process.address).await);
    }
    for secret in [secret.as_str(), "cssecret_wrong-canary"] {
        let fields = [("grant_type", "client_credentials"), ("client_id", &client_id), ("client_secret", secret)];
        answers.push(Request::token(&fields).send(process.address).await);
    }
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 401, 200, 401]);
    canaries.extend(answers.iter().filter(|answer| answer.status == 200).map(Reply::access_token));
    for token in canaries.clone() {
        canaries.extend(token.rsplit_once('.').map(|(_, signature)| signature.to_owned()));
    }
    let decoded = canaries.iter().filter_map(|token| token.split('.').nth(1)).map(from_base64url);
    assert!(decoded.count() > 2, "the canaries are tokens");
    let tailed = run(directory.path(), &["audit", "query", "--output", "json"]).await;
    process.signal("TERM").await;
    process.says("stopping").await;
    let mut places = everything_in(&directory.path().join("data"));
    places.push(("log".to_owned(), process.log_so_far().into_bytes()));
    places.push(("audit query".to_owned(), tailed.stdout.into_bytes()));
    places.extend(
        answers.iter().filter(|answer| answer.status != 200).map(|answer| ("answer".to_owned(), answer.body.clone())),
    );
    assert!(
        contains(&places.iter().find(|(name, _)| name == "audit query").unwrap().1, "minted"),
        "nothing was searched"
    );
    for (place, bytes) in &places {
        for canary in &canaries {
            assert!(!contains(bytes, canary), "{place} has a canary of {} bytes", canary.len());
        }
    }
}
