//! `review`: a token of a pod that was deleted gets nothing, however good its signature is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::BROKER;
use support::api_server::{ApiServer, Says};
use support::broker::TestBroker;
use support::wire::Reply;

/// Far above the 3 s within which an API server must answer, for a busy machine.
const BOUND: Duration = Duration::from_secs(20);

/// A broker whose `prod` cluster has this `review`, beside the usual key file.
async fn broker_asking(review: &str, server: &ApiServer) -> TestBroker {
    TestBroker::start_with(|setup, platforms| {
        let settings = format!("kind: kubernetes, url: {}, review: {review}", platforms.kubernetes.issuer());
        let setup = setup.platform("prod", &settings, &platforms.kubernetes);
        setup.file("trust-bundles/api-ca.pem", &server.ca).file("trust-bundles/reviewer", "reviewer-token\n")
    })
    .await
}

async fn reviewed() -> (ApiServer, TestBroker) {
    let server = ApiServer::start().await;
    let review = format!("{{ url: \"{}\", ca_file: api-ca.pem, bearer_token_file: reviewer }}", server.url());
    let broker = broker_asking(&review, &server).await;
    (server, broker)
}

async fn exchange(broker: &TestBroker) -> Reply {
    broker.token(broker.platforms.kubernetes.assertion()).await
}

/// Status, code and cause of an exchange, and its detail.
async fn outcome(broker: &TestBroker) -> ((u16, String, String), String) {
    let reply = exchange(broker).await;
    let record = broker.audit_of(&reply).await.expect("every exit has a record");
    let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let code = if reply.status == 200 { String::new() } else { reply.oauth_error() };
    ((reply.status, code, text("cause")), text("detail"))
}

fn refused(status: u16, code: &str, cause: &str) -> (u16, String, String) {
    (status, code.to_owned(), cause.to_owned())
}

#[tokio::test]
async fn a_token_that_its_cluster_stands_by_is_exchanged_and_the_review_says_who_asks() {
    let (server, broker) = reviewed().await;
    let assertion = broker.platforms.kubernetes.assertion().compact();
    let reply = broker.token(assertion.clone()).await;
    assert_eq!(broker.minted(&reply).await.text("sub"), "payments-pod", "{}", reply.text());
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method_and_path, "POST /apis/authentication.k8s.io/v1/tokenreviews");
    assert_eq!(asked[0].bearer.as_deref(), Some("Bearer reviewer-token"));
    assert_eq!((asked[0].token.as_str(), &asked[0].audiences), (assertion.as_str(), &json!([BROKER])));
}

#[tokio::test]
async fn a_token_of_a_pod_that_was_deleted_is_refused_from_then_on() {
    let (server, broker) = reviewed().await;
    assert_eq!(exchange(&broker).await.status, 200);
    server.says(Says::Gone);
    let (answer, detail) = outcome(&broker).await;
    assert_eq!(answer, refused(401, "invalid_client", "review.not_authenticated"));
    assert!(detail.contains("issuer prod") && detail.contains("not authenticated"), "{detail}");
    assert!(!detail.contains("invalidated"), "the API server's own words stay out: {detail}");
}

#[tokio::test]
async fn an_answer_about_somebody_else_confirms_nothing() {
    let (server, broker) = reviewed().await;
    let other = json!({ "username": "system:serviceaccount:payments:other" });
    for (member, value) in [
        ("authenticated", json!(false)),
        ("user", other),
        ("audiences", json!(["https://kubernetes.default.svc"])),
        ("audiences", Value::Null),
    ] {
        server.says(Says::Instead(member, value.clone()));
        let expected = refused(401, "invalid_client", "review.not_authenticated");
        assert_eq!(outcome(&broker).await.0, expected, "{member}: {value}");
    }
    server.says(Says::Holds);
    assert_eq!(exchange(&broker).await.status, 200);
}

#[tokio::test]
async fn without_the_right_to_review_the_operator_learns_which_role_is_missing() {
    let (server, broker) = reviewed().await;
    server.says(Says::Status(403));
    let (answer, detail) = outcome(&broker).await;
    assert_eq!(answer, refused(503, "temporarily_unavailable", "review.unavailable"));
    assert!(detail.contains("system:auth-delegator") && detail.contains("tokenreviews"), "{detail}");
    for status in [401, 404, 429, 500, 503] {
        server.says(Says::Status(status));
        let (answer, detail) = outcome(&broker).await;
        assert_eq!(answer, refused(503, "temporarily_unavailable", "review.unavailable"), "{status}");
        assert!(detail.contains(&status.to_string()), "{detail}");
    }
    assert_eq!(server.asked().len(), 6, "nothing is asked twice");
}

#[tokio::test]
async fn an_api_server_that_cannot_be_asked_lets_nobody_in() {
    let (server, broker) = reviewed().await;
    let elsewhere = ApiServer::start().await;
    for says in [Says::Redirect(elsewhere.url()), Says::Garbage] {
        server.says(says.clone());
        let (answer, detail) = outcome(&broker).await;
        assert_eq!(answer, refused(503, "temporarily_unavailable", "review.unavailable"), "{says:?}");
        assert!(!detail.contains("eyJ"), "{detail}");
    }
    assert!(elsewhere.asked().is_empty(), "a redirect was followed");

    let vacant = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let down = format!("{{ url: \"https://{vacant}\", ca_file: api-ca.pem, bearer_token_file: reviewer }}");
    let stranger = format!("{{ url: \"{}\", ca_file: api-ca.pem, bearer_token_file: reviewer }}", elsewhere.url());
    for review in [down, stranger] {
        let broker = broker_asking(&review, &server).await;
        let (answer, detail) = outcome(&broker).await;
        assert_eq!(answer, refused(503, "temporarily_unavailable", "review.unavailable"), "{review}");
        assert!(detail.contains("cannot connect"), "{detail}");
    }
    assert!(elsewhere.asked().is_empty(), "a server of another authority was told the token");
}

#[tokio::test]
async fn an_api_server_that_hangs_costs_a_caller_three_seconds_and_other_issuers_nothing() {
    let (server, broker) = reviewed().await;
    server.says(Says::Nothing);
    let begun = Instant::now();
    let (hung, other) = tokio::join!(outcome(&broker), async {
        let reply = broker.token(broker.partner().assertion()).await;
        (reply.status, begun.elapsed())
    });
    assert_eq!(hung.0, refused(503, "temporarily_unavailable", "review.unavailable"));
    assert!(hung.1.contains("3 s"), "{}", hung.1);
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    assert!(other.0 == 200 && other.1 < begun.elapsed(), "{other:?}");
}

#[tokio::test]
async fn the_broker_s_own_token_is_read_anew_for_every_review() {
    let (server, broker) = reviewed().await;
    assert_eq!(exchange(&broker).await.status, 200);
    let file = broker.directory().join("trust-bundles/reviewer");
    std::fs::write(&file, "rotated").unwrap();
    assert_eq!(exchange(&broker).await.status, 200);
    assert_eq!(server.asked().last().unwrap().bearer.as_deref(), Some("Bearer rotated"));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(outcome(&broker).await.0.2, "review.unavailable");
}

#[tokio::test]
async fn only_a_token_that_a_policy_admits_is_shown_to_the_api_server() {
    let (server, broker) = reviewed().await;
    let nobody = broker.platforms.kubernetes.assertion().claim("sub", "system:serviceaccount:payments:nobody");
    assert_eq!(broker.cause(&broker.token(nobody).await).await, "policy.none");
    let forged = broker.platforms.kubernetes.assertion().signature([0; 256]);
    assert_eq!(broker.cause(&broker.token(forged).await).await, "claims.signature");
    assert_eq!(broker.token(broker.github().assertion()).await.status, 200, "other issuers are not reviewed");
    assert!(server.asked().is_empty());
}
