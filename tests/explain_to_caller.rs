//! `explain_to_caller`: callers of a named issuer are told which lines of the nearest policy refuse them; nobody else is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::broker::TestBroker;
use support::keys::TestKey;
use support::{BROKER, NOW};

async fn telling(issuers: &str) -> TestBroker {
    let line = format!("explain_to_caller: {issuers}");
    TestBroker::start_with(|setup, _| setup.setting(&line)).await
}

fn unmet(reply: &support::wire::Reply) -> Option<Value> {
    reply.json().get("unmet").cloned()
}

#[tokio::test]
async fn a_caller_of_a_named_issuer_learns_which_line_refuses_and_nothing_else() {
    let broker = telling("[github, partner]").await;
    let reply = broker.token(broker.github().assertion().claim("ref", "refs/heads/dev")).await;
    assert_eq!((reply.status, reply.oauth_error().as_str()), (401, "invalid_client"));
    let expected = json!({
        "error": "invalid_client",
        "error_description": "Client authentication failed.",
        "trace_id": reply.trace_id(),
        "unmet": [{ "claim": "ref", "expected": "refs/heads/main" }],
    });
    assert_eq!(reply.json(), expected);
    let record = broker.audit_of(&reply).await.unwrap();
    assert_eq!((&record["cause"], &record["told_caller"]), (&json!("policy.none"), &expected["unmet"]));
    let assertion = broker.github().assertion().claim("event_name", "pull_request").compact();
    let fields = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion.as_str())];
    let reply = broker.post_form(&fields).await;
    let event = json!([{ "claim": "event_name", "expected": ["push", "workflow_dispatch"] }]);
    assert_eq!((reply.status, unmet(&reply)), (400, Some(event)));
}

#[tokio::test]
async fn without_the_setting_and_at_other_issuers_answers_are_byte_for_byte_the_constant_ones() {
    let (silent, telling) = (TestBroker::start().await, telling("[github]").await);
    let constant = |reply: &support::wire::Reply| {
        format!(
            "{{\"error\":\"invalid_client\",\"error_description\":\"Client authentication failed.\",\"trace_id\":\"{}\"}}",
            reply.trace_id()
        )
    };
    let github = silent.token(silent.github().assertion().claim("ref", "refs/heads/dev")).await;
    assert_eq!(github.text(), constant(&github));
    let partner = telling.token(telling.partner().assertion().claim("sub", "nobody")).await;
    assert_eq!(partner.text(), constant(&partner));
    assert!(telling.audit_of(&partner).await.unwrap().get("told_caller").is_none());
}

#[tokio::test]
async fn whoever_has_not_proven_a_signature_is_told_nothing() {
    let broker = telling("[github, partner]").await;
    let dev = || broker.github().assertion().claim("ref", "refs/heads/dev");
    for (assertion, cause) in [
        (dev().secretly_signed_by(&TestKey::rsa("rsa-b")), "claims.signature"),
        (dev().header("kid", "other"), "key.unknown"),
        (dev().issued_at(NOW - 3600), "claims.expired"),
        (dev().claim("aud", format!("{BROKER}/other")), "claims.audience"),
        (dev().claim("iss", "https://stranger.example"), "issuer.unknown"),
    ] {
        let reply = broker.token(assertion).await;
        assert_eq!((broker.cause(&reply).await.as_str(), unmet(&reply)), (cause, None));
    }
    let secret = broker.secret("nobody", "wrong").await;
    assert_eq!((secret.status, unmet(&secret)), (401, None));
}

#[tokio::test]
async fn a_stranger_on_a_shared_platform_is_told_nothing_and_two_users_are_no_missing_line() {
    let other = "policy: other\nissuer: partner\nmatch: { azp: { present: true } }\nuser: other\n";
    let broker =
        TestBroker::start_with(|setup, _| setup.setting("explain_to_caller: [github, partner]").policy("other", other))
            .await;
    let stranger = broker.github().assertion().claim("repository_owner_id", "666").claim("repository_id", "777");
    let reply = broker.token(stranger).await;
    assert_eq!((broker.cause(&reply).await.as_str(), unmet(&reply)), ("policy.none", None));
    let reply = broker.token(broker.partner().assertion()).await;
    assert_eq!((broker.cause(&reply).await.as_str(), unmet(&reply)), ("policy.ambiguous", None));
}

#[tokio::test]
async fn a_reload_switches_it_on_and_a_misspelt_issuer_is_a_fault() {
    let broker = telling("[github]").await;
    broker.rewrite("explain_to_caller: [github]", "explain_to_caller: [githb]");
    let fault = broker.reload().unwrap_err();
    assert!(fault.contains("no issuer `githb` is configured; did you mean `github`?"), "{fault}");
    broker.rewrite("explain_to_caller: [githb]", "explain_to_caller: [partner]");
    broker.reload().unwrap();
    let partner = broker.token(broker.partner().assertion().claim("sub", "nobody")).await;
    assert_eq!(unmet(&partner).unwrap()[0]["claim"], "sub");
    let github = broker.token(broker.github().assertion().claim("ref", "refs/heads/dev")).await;
    assert_eq!(unmet(&github), None);
}
