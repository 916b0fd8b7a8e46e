//! `explain` tells an operator the whole story of an exchange, of a token or of claims; a caller learns none of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::broker::TestBroker;
use support::keys::TestKey;
use support::process::{ServeProcess, run, run_with};
use support::setup::{Platforms, Setup};
use support::wire::Request;
use support::{JWT_BEARER, NOW};

/// All notes as one text.
fn notes(verdict: &Value) -> String {
    verdict["notes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

fn verdicts(verdict: &Value) -> Vec<(&str, &str)> {
    let policies = verdict["policies"]["policies"].as_array().unwrap();
    policies.iter().map(|row| (row["policy"].as_str().unwrap(), row["verdict"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_refused_trace_shows_every_policy_of_its_issuer_asked_again_the_nearest_miss_first() {
    let broker = TestBroker::start_with(|setup, _| {
        let far = "policy: far\nissuer: partner\nmatch: { sub: a, azp: b, team: c }\nuser: far\n";
        setup.policy("far", far)
    })
    .await;
    let reply = broker.token(broker.partner().assertion().claim("sub", "nobody")).await;
    let told = broker.explain_reply(&reply).await;
    assert_eq!((told["admitted"].as_bool(), told["cause"].as_str()), (Some(false), Some("policy.none")));
    assert_eq!((told["trace_id"].as_str(), told["subject"].as_str()), (Some(reply.trace_id()), Some("nobody")));
    assert_eq!((told["same_policies"].as_bool(), told["issuer"].as_str()), (Some(true), Some("partner")));
    assert_eq!(verdicts(&told), [("partner-build", "refuses"), ("far", "refuses")]);
    let line = &told["policies"]["policies"][0]["lines"][0];
    let expected = json!({
        "line": "sub", "expected": "\"e6a0c5c4-52b7-4c39-9d0f-3a6f1a7b2d10\"", "found": "\"nobody\"", "holds": false
    });
    assert_eq!(line, &expected);
    assert!(told["what_to_do"].as_str().is_some_and(|text| text.contains("line by line")), "{told}");
    assert_eq!(told["recorded"]["outcome"], "refused");
}

#[tokio::test]
async fn after_a_reload_a_trace_says_that_other_policies_decided_and_what_was_said_then() {
    let broker = TestBroker::start().await;
    let reply = broker.token(broker.partner().assertion().claim("sub", "nobody")).await;
    let wide = "policy: wide\nissuer: partner\nmatch: { sub: nobody }\nuser: somebody\nscopes: [a]\n";
    std::fs::write(broker.directory().join("policies/wide.yaml"), wide).unwrap();
    broker.reload().unwrap();
    let told = broker.explain_reply(&reply).await;
    assert_eq!((told["admitted"].as_bool(), told["same_policies"].as_bool()), (Some(false), Some(false)));
    assert!(notes(&told).contains("the policies in force are not those that decided"), "{told}");
    let admitting = json!([{ "policy": "wide", "user": "somebody", "scopes": ["a"], "mode": "enforce" }]);
    assert_eq!((&told["policies"]["user"], &told["policies"]["admitting"]), (&json!("somebody"), &admitting));
    assert_eq!(told["recorded"]["explanation"]["policies"][0]["policy"], "partner-build");
}

#[tokio::test]
async fn every_policy_that_admits_is_named_with_its_user_also_when_they_are_two() {
    let broker = TestBroker::start_with(|setup, _| {
        let other = "policy: other\nissuer: partner\nmatch: { azp: { present: true } }\nuser: other\n";
        let shadow = "policy: trial\nissuer: partner\nmatch: { azp: { present: true } }\nuser: trial\nmode: shadow\n";
        setup.policy("other", other).policy("trial", shadow)
    })
    .await;
    let told = broker.explain_reply(&broker.token(broker.partner().assertion()).await).await;
    assert_eq!(told["cause"], "policy.ambiguous");
    let admitting = told["policies"]["admitting"].as_array().unwrap();
    let mut who: Vec<_> =
        admitting.iter().map(|row| (row["policy"].as_str(), row["user"].as_str(), row["mode"].as_str())).collect();
    who.sort_unstable();
    let row = |policy, user, mode| (Some(policy), Some(user), Some(mode));
    let expected = [
        row("other", "other", "enforce"),
        row("partner-build", "partner-build", "enforce"),
        row("trial", "trial", "shadow"),
    ];
    assert_eq!(who, expected);
}

#[tokio::test]
async fn a_request_that_named_a_user_is_asked_again_for_that_user() {
    let broker = TestBroker::start().await;
    let reply = broker.token_and(broker.partner().assertion(), &[("client_id", "somebody-else")]).await;
    let told = broker.explain_reply(&reply).await;
    assert_eq!(told["policies"]["cause"], "policy.none");
    assert!(notes(&told).contains("the request named the user somebody-else"), "{told}");
}

#[tokio::test]
async fn an_unknown_issuer_is_shown_with_those_configured_and_the_one_that_was_meant() {
    let broker = TestBroker::start().await;
    let issuer = broker.partner().issuer().to_owned();
    for (said, expected) in [
        (format!("{issuer}/"), "they differ only by a final slash or capitals"),
        (issuer.replace("idp", "ipd"), "did you mean"),
    ] {
        let assertion = broker.partner().assertion().claim("iss", said.as_str()).compact();
        let reply = broker.token(assertion.clone()).await;
        for told in [broker.explain_reply(&reply).await, broker.explain(json!({ "token": assertion })).await] {
            assert_eq!(told["cause"], "issuer.unknown", "{told}");
            let notes = notes(&told);
            assert!(notes.contains(expected) && notes.contains(&format!("partner ({issuer})")), "{notes}");
            assert!(notes.contains("issuer partner has a key with this kid now"), "{notes}");
        }
        assert!(!reply.text().contains("partner"), "a caller learns none of it");
    }
    let svid = broker.platforms.spiffe.assertion().claim("sub", "spiffe://prod.acme.exmaple/ns/a/sa/b");
    let told = broker.explain_reply(&broker.svid(svid).await).await;
    assert_eq!(told["cause"], "issuer.trust_domain_unknown");
    assert!(notes(&told).contains("did you mean prod.acme.example?"), "{told}");
}

#[tokio::test]
async fn an_unknown_key_is_shown_with_those_held_and_since_when_it_is_unknown() {
    let broker = TestBroker::start().await;
    let strange = broker.partner().assertion().header("kid", "rotated-2").compact();
    broker.token(strange.clone()).await;
    broker.advance(Duration::from_secs(30));
    let reply = broker.token(strange.clone()).await;
    for told in [broker.explain_reply(&reply).await, broker.explain(json!({ "token": strange })).await] {
        assert_eq!(told["cause"], "key.unknown");
        let detail = told["detail"].as_str().unwrap();
        assert!(detail.contains("it has partner-1, read from its file at 2026-09-21T14:13:20Z"), "{detail}");
        let notes = notes(&told);
        assert!(notes.contains("unknown since 2026-09-21T14:13:20.000Z: 2 exchanges"), "{notes}");
        assert!(notes.contains("the header's kid is rotated-2"), "{notes}");
    }
}

#[tokio::test]
async fn refused_claims_say_by_how_much_and_what_was_expected_and_found() {
    let broker = TestBroker::start().await;
    let partner = || broker.partner().assertion();
    for (assertion, cause, expected) in [
        (partner().issued_at(NOW - 3600), "claims.expired", "s ago, at "),
        (
            partner().claim("nbf", NOW + 600).claim("exp", NOW + 900),
            "claims.not_yet_valid",
            "not valid for another 600 s",
        ),
        (partner().claim("aud", "https://other.example"), "claims.audience", "found https://other.example"),
        (partner().claim("exp", NOW + 40 * 3600), "claims.lifetime", "s over the 86400 s that are allowed"),
        (partner().header("typ", "at+jwt"), "claims.token_type", "typ is \"at+jwt\""),
        (partner().without("sub"), "claims.malformed", "the claim sub is missing"),
        (partner().claim("exp", "soon"), "claims.malformed", "the claim exp is no number"),
    ] {
        let compact = assertion.compact();
        let reply = broker.token(compact.clone()).await;
        for told in [broker.explain_reply(&reply).await, broker.explain(json!({ "token": compact })).await] {
            assert_eq!(told["cause"], cause, "{told}");
            assert!(told["detail"].as_str().unwrap().contains(expected), "{cause}: {}", told["detail"]);
        }
    }
    let expired = broker.explain(json!({ "token": partner().issued_at(NOW - 3600).compact() })).await;
    assert_eq!(
        (expired["admitted"].as_bool(), expired["policies"]["user"].as_str()),
        (Some(false), Some("partner-build"))
    );
    assert!(notes(&expired).contains("the policies were asked as if the claims had held"), "{expired}");
}

#[tokio::test]
async fn a_scope_or_an_audience_that_is_not_granted_is_named_beside_what_is() {
    let broker = TestBroker::start().await;
    for (field, asked, cause, expected) in [
        (
            "scope",
            "service:my-api admin",
            "mint.scope",
            "scope admin is not granted; granted: service:billing/* service:my-api",
        ),
        (
            "resource",
            "https://other.example/",
            "mint.target",
            "https://other.example/ is not granted; granted: https://broker.example.com",
        ),
    ] {
        let reply = broker.token_and(broker.partner().assertion(), &[(field, asked)]).await;
        let told = broker.explain_reply(&reply).await;
        assert_eq!((told["cause"].as_str(), told["policies"]["user"].as_str()), (Some(cause), Some("partner-build")));
        assert!(told["detail"].as_str().unwrap().contains(expected), "{}", told["detail"]);
        assert!(!reply.text().contains("granted:"), "a caller learns none of it");
    }
}

#[tokio::test]
async fn a_signature_that_does_not_hold_says_nothing_of_policies() {
    let broker = TestBroker::start().await;
    let forged = broker.partner().assertion().secretly_signed_by(&TestKey::rsa("rsa-b")).compact();
    let told = broker.explain(json!({ "token": forged })).await;
    assert_eq!((told["cause"].as_str(), told.get("policies")), (Some("claims.signature"), None));
}

#[tokio::test]
async fn a_used_assertion_is_shown_with_where_it_was_used() {
    let broker = TestBroker::start().await;
    let compact = broker.github().assertion().compact();
    let first = broker.token(compact.clone()).await;
    let again = broker.token(compact.clone()).await;
    let used = format!("it was used at 2026-09-21T14:13:20.000Z, trace id {}", first.trace_id());
    let told = broker.explain_reply(&again).await;
    assert_eq!(told["cause"], "mint.replayed");
    assert!(notes(&told).contains(&used), "{told}");
    assert!(notes(&broker.explain(json!({ "token": compact })).await).contains(&used));
}

#[tokio::test]
async fn fifty_policies_are_listed_unless_all_are_asked_for() {
    let broker = TestBroker::start_with(|setup, _| {
        (0..60).fold(setup, |setup, index| {
            let text = format!("policy: p{index}\nissuer: partner\nmatch: {{ sub: s{index} }}\nuser: u{index}\n");
            setup.policy(&format!("p{index}"), &text)
        })
    })
    .await;
    let claims = broker.partner().assertion().claim("sub", "s59").claims().clone();
    let some = broker.explain(json!({ "claims": claims })).await;
    assert_eq!((verdicts(&some).len(), some["policies"]["omitted"].as_u64()), (50, Some(11)));
    assert_eq!(verdicts(&some)[0], ("p59", "admits"));
    let all = broker.explain(json!({ "claims": claims, "all": true })).await;
    assert_eq!((verdicts(&all).len(), all["policies"]["omitted"].as_u64()), (61, Some(0)));
}

#[tokio::test]
async fn the_admin_api_wants_one_question_and_knows_its_own_traces_only() {
    let broker = TestBroker::start().await;
    let broker = &broker;
    let ask = |question: Value| async move { broker.admin_post("/admin/v1/explain", &question).await };
    assert_eq!(ask(json!({})).await.0, 400);
    assert_eq!(ask(json!({ "token": "a", "claims": {} })).await.0, 400);
    assert_eq!(ask(json!({ "trace": "no-trace-id" })).await.0, 400);
    let (status, problem) = ask(json!({ "trace": "0".repeat(32) })).await;
    assert_eq!(status, 404);
    assert!(problem["message"].as_str().unwrap().contains("it may be another broker's"), "{problem}");
}

#[tokio::test]
async fn the_command_line_tells_the_same_story_under_both_its_names() {
    let platforms = Platforms::new();
    let directory = tempfile::tempdir().unwrap();
    let broker = ServeProcess::start(&Setup::platforms(&platforms), directory.path()).await;
    let now = countersign::clock::Clock::system().now().0;
    let assertion = platforms.github.assertion().issued_at(now).claim("ref", "refs/heads/dev").compact();
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion.as_str()),
    ];
    let reply = Request::token(&fields).send(broker.address).await;
    let expected = [
        "refused\n",
        "  cause     policy.none\n",
        "  means     no policy admits the claims\n",
        "  issuer    github\n",
        "  policy deploy-prod refuses\n",
        "    ✗ ref: expected \"refs/heads/main\", found \"refs/heads/dev\"\n",
        "    ✓ repository_id: expected \"123456\", found \"123456\"\n",
    ];
    let by_trace = run(directory.path(), &["explain", "--trace", reply.trace_id()]).await;
    let of_policy = run(directory.path(), &["policy", "explain", "--trace", reply.trace_id()]).await;
    assert_eq!((by_trace.code, &by_trace.stdout), (Some(0), &of_policy.stdout), "{}", by_trace.stderr);
    let by_token = run_with(directory.path(), &["policy", "explain", "--token", "-"], &assertion).await;
    let claims = Value::Object(platforms.github.assertion().claim("ref", "refs/heads/dev").claims().clone());
    let by_claims = run_with(directory.path(), &["explain", "--claims", "-"], &claims.to_string()).await;
    for told in [&by_trace, &by_token, &by_claims] {
        for line in expected {
            assert!(told.stdout.contains(line), "no {line:?} in:\n{}{}", told.stdout, told.stderr);
        }
    }
    let json = run(directory.path(), &["explain", "--trace", reply.trace_id(), "--output", "json"]).await;
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (json["cause"].as_str(), json["policies"]["cause"].as_str()),
        (Some("policy.none"), Some("policy.none"))
    );
}
