//! What a minted token says, and how much of it a request may choose.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::broker::TestBroker;
use crate::support::minted::Minted;
use crate::support::{BROKER, NOW};

pub(crate) fn names(members: &serde_json::Map<String, Value>) -> BTreeSet<&str> {
    members.keys().map(String::as_str).collect()
}

/// The values of an `aud`, in either of its forms.
fn audiences(minted: &Minted) -> Vec<&str> {
    match &minted.claims["aud"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        other => panic!("aud is {other}"),
    }
}

#[tokio::test]
async fn the_answer_is_exactly_what_rfc_6749_says() {
    let broker = TestBroker::start().await;
    let reply = broker.token(broker.github().assertion()).await;
    let body = reply.json();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!((reply.header("cache-control"), reply.header("pragma")), (Some("no-store"), Some("no-cache")));
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 900);
    assert_eq!(body["scope"], "service:billing/* service:my-api");
    let members: BTreeSet<&str> = body.as_object().map(names).unwrap_or_default();
    assert_eq!(members, BTreeSet::from(["access_token", "expires_in", "scope", "token_type"]));
}

#[tokio::test]
async fn a_minted_token_has_these_claims_and_no_others() {
    let broker = TestBroker::start().await;
    let reply = broker.token(broker.github().assertion()).await;
    let minted = broker.minted(&reply).await;
    assert_eq!(names(&minted.header), BTreeSet::from(["alg", "kid", "typ"]));
    assert_eq!((minted.header["typ"].as_str(), minted.header["alg"].as_str()), (Some("at+jwt"), Some("ES256")));
    let claims = ["iss", "sub", "client_id", "aud", "iat", "nbf", "exp", "jti", "scope", "workload"];
    assert_eq!(names(&minted.claims), BTreeSet::from(claims));
    assert_eq!(minted.text("iss"), BROKER);
    assert_eq!((minted.text("sub"), minted.text("client_id")), ("prod-deployer", "prod-deployer"));
    assert_eq!(audiences(&minted), [BROKER]);
    assert_eq!((minted.number("iat"), minted.number("nbf"), minted.number("exp")), (NOW, NOW, NOW + 900));
    assert!(!minted.text("jti").is_empty());
    assert_eq!(minted.text("scope"), "service:billing/* service:my-api");
    let workload = json!({
        "issuer": "https://token.actions.githubusercontent.com",
        "subject": "repo:acme/shop:environment:production",
        "policy": "deploy-prod",
        "attributes": { "repository": "acme/shop", "run": "8714503298" },
    });
    assert_eq!(minted.claims["workload"], workload);
}

#[tokio::test]
async fn a_request_may_narrow_its_scopes_and_never_widen_them() {
    let broker = TestBroker::start().await;
    let ask = async |scope: &str| broker.token_and(broker.partner().assertion(), &[("scope", scope)]).await;
    let narrowed = ask("service:my-api").await;
    assert_eq!(narrowed.member("scope"), "service:my-api");
    assert_eq!(broker.minted(&narrowed).await.text("scope"), "service:my-api");
    assert_eq!(broker.minted(&ask("service:billing/read").await).await.text("scope"), "service:billing/read");
    let wider = ask("service:*").await;
    assert_eq!((wider.status, wider.oauth_error().as_str()), (400, "invalid_scope"));
    assert_eq!(broker.cause(&wider).await, "mint.scope");
}

#[tokio::test]
async fn a_request_may_choose_among_the_audiences_of_its_policy() {
    let broker = TestBroker::start_with(|setup, _| {
        setup.policy(
            "partner-build",
            "policy: partner-build
issuer: partner
match: { sub: e6a0c5c4-52b7-4c39-9d0f-3a6f1a7b2d10 }
user: partner-build
scopes: [\"service:my-api\"]
token: { lifetime: 10m, audiences: [\"https://my-api.example.com\", \"https://billing.example.com\"] }
",
        )
    })
    .await;
    let ask = async |fields: &[(&str, &str)]| broker.token_and(broker.partner().assertion(), fields).await;
    let all = broker.minted(&ask(&[]).await).await;
    assert_eq!(audiences(&all).len(), 2);
    assert_eq!(all.number("exp"), NOW + 600, "the policy's lifetime");
    for name in ["resource", "audience"] {
        let one = broker.minted(&ask(&[(name, "https://my-api.example.com")]).await).await;
        assert_eq!(audiences(&one), ["https://my-api.example.com"], "{name}");
        let other = ask(&[(name, "https://other.example.com")]).await;
        assert_eq!((other.status, other.oauth_error().as_str()), (400, "invalid_target"), "{name}");
    }
}

#[tokio::test]
async fn a_token_ends_with_its_assertion_where_the_policy_says_so() {
    let policy = |token: &str| {
        format!(
            "policy: partner-build\nissuer: partner\nmatch: {{ sub: e6a0c5c4-52b7-4c39-9d0f-3a6f1a7b2d10 }}\n\
             user: partner-build\nscopes: [\"service:my-api\"]\ntoken: {{ {token} }}\n"
        )
    };
    for (token, expected) in [("within_assertion: true", NOW + 300), ("lifetime: 30m", NOW + 1800)] {
        let broker = TestBroker::start_with(|setup, _| setup.policy("partner-build", &policy(token))).await;
        let reply = broker.token(broker.partner().assertion()).await;
        assert_eq!(broker.minted(&reply).await.number("exp"), expected, "{token}");
    }
}

#[tokio::test]
async fn tokens_are_signed_with_the_configured_algorithm() {
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        let line = format!("token: {{ signing_algorithm: {algorithm} }}");
        let broker = TestBroker::start_with(|setup, _| setup.setting(&line)).await;
        let reply = broker.token(broker.partner().assertion()).await;
        let minted = broker.minted(&reply).await;
        assert_eq!(minted.header["alg"], algorithm);
    }
}

#[tokio::test]
async fn no_token_outlives_the_configured_limit() {
    let broker = TestBroker::start_with(|setup, _| {
        let limited = setup.setting("token: { lifetime: 5m, max_lifetime: 10m }");
        limited.policy(
            "partner-build",
            "policy: partner-build\nissuer: partner\nmatch: { sub: e6a0c5c4-52b7-4c39-9d0f-3a6f1a7b2d10 }\n\
             user: partner-build\nscopes: [a]\ntoken: { lifetime: 10m }\n",
        )
    })
    .await;
    let github = broker.minted(&broker.token(broker.github().assertion()).await).await;
    assert_eq!(github.number("exp"), NOW + 300);
    let partner = broker.minted(&broker.token(broker.partner().assertion()).await).await;
    assert_eq!(partner.number("exp"), NOW + 600);
}
