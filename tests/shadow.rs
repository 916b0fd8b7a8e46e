//! An issuer in shadow mode: its policies are decided and recorded, and admit nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::json;
use support::broker::TestBroker;
use support::process::run;

/// The partner of every test, tried out.
async fn shadowed() -> TestBroker {
    TestBroker::start_with(|setup, platforms| {
        let settings = format!("kind: oidc, url: {}, mode: shadow", platforms.partner.issuer());
        setup.platform("partner", &settings, &platforms.partner)
    })
    .await
}

#[tokio::test]
async fn an_issuer_in_shadow_mode_admits_nobody_and_records_whom_it_would_have() {
    let broker = shadowed().await;
    let refused = broker.token(broker.partner().assertion()).await;
    assert_eq!((refused.status, refused.oauth_error().as_str()), (401, "invalid_client"));
    let record = broker.audit_of(&refused).await.unwrap();
    assert_eq!((&record["outcome"], &record["cause"]), (&json!("refused"), &json!("policy.none")));
    assert_eq!(record["shadow"], json!([{ "policy": "partner-build", "user": "partner-build" }]));
    assert!(broker.user("partner-build").await.is_none(), "nobody was made");
    let other = broker.token(broker.github().assertion()).await;
    assert_eq!(other.status, 200, "another issuer's policies are in force");
}

#[tokio::test]
async fn enforcing_the_issuer_admits_whom_the_record_named() {
    let broker = shadowed().await;
    assert_eq!(broker.token(broker.partner().assertion()).await.status, 401);
    broker.rewrite("mode: shadow", "mode: enforce");
    broker.reload().unwrap();
    let granted = broker.token(broker.partner().assertion()).await;
    assert_eq!(broker.minted(&granted).await.text("sub"), "partner-build");
}

#[tokio::test]
async fn a_listing_says_that_the_policies_of_such_an_issuer_are_in_shadow() {
    let broker = shadowed().await;
    let listed = run(broker.directory(), &["policy", "list", "--output", "json"]).await;
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let mode = |name: &str| {
        let all = listed.as_array().unwrap().iter();
        all.clone().find(|policy| policy["policy"] == name).unwrap()["mode"].clone()
    };
    assert_eq!((mode("partner-build"), mode("deploy-prod")), (json!("shadow"), json!("enforce")));
    let checked = run(broker.directory(), &["check"]).await;
    assert!(checked.stdout.contains("partner (oidc, shadow)"), "{}", checked.stdout);
}

#[tokio::test]
async fn the_tests_of_such_an_issuers_policies_are_of_what_is_written() {
    let broker = shadowed().await;
    let cases = "cases:
  - name: the build is admitted
    given: { claims: { iss: ISSUER, sub: e6a0c5c4-52b7-4c39-9d0f-3a6f1a7b2d10 } }
    expect: { user: partner-build }
  - name: nobody else is
    given: { claims: { iss: ISSUER, sub: somebody } }
    expect: denied
";
    let file = broker.directory().join("policies/partner-build.test.yaml");
    std::fs::write(file, cases.replace("ISSUER", broker.partner().issuer())).unwrap();
    let tested = run(broker.directory(), &["policy", "test"]).await;
    assert_eq!(tested.code, Some(0), "{}{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.contains("2 passed, 0 failed"), "{}", tested.stdout);
}
