//! The real token of each further platform becomes, by the shipped policy, that policy's user; and what such a platform
//! invites does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;

use serde_json::json;
use support::broker::TestBroker;
use support::platform::Platform;
use support::setup::Setup;

/// Issuer kind, the shipped policy's file, its user.
const PLATFORMS: [(&str, &str, &str); 7] = [
    ("gitlab", "gitlab-deploy", "gitlab-deployer"),
    ("buildkite", "buildkite-deploy", "buildkite-deployer"),
    ("circleci", "circleci-deploy", "circleci-deployer"),
    ("google", "google-payments", "google-payments-api"),
    ("aws", "aws-payments", "aws-payments-api"),
    ("terraform-cloud", "terraform-cloud-apply", "terraform-shop-prod"),
    ("fly", "fly-payments", "fly-payments-api"),
];

/// Issuers as an operator names them, with the shipped policies.
async fn broker() -> TestBroker {
    let with = |setup: Setup, (kind, file, _): &(&str, &str, &str)| {
        let platform = Platform::of(kind);
        let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("policies/{file}.yaml"));
        let needs_url = ["circleci", "aws", "fly"].contains(kind);
        let url = if needs_url { format!(", url: {}", platform.issuer()) } else { String::new() };
        setup
            .platform(kind, &format!("kind: {kind}{url}"), &platform)
            .policy(file, &std::fs::read_to_string(policy).unwrap())
    };
    TestBroker::start_with(|setup, _| PLATFORMS.iter().fold(setup, with)).await
}

#[tokio::test]
async fn the_real_token_of_every_platform_becomes_the_user_of_its_shipped_policy() {
    let broker = broker().await;
    for (kind, _, user) in PLATFORMS {
        let reply = broker.token(Platform::of(kind).assertion()).await;
        assert_eq!(reply.status, 200, "{kind}: {}", broker.cause(&reply).await);
        assert_eq!(broker.minted(&reply).await.claims["sub"], user);
    }
}

#[tokio::test]
async fn a_job_of_another_tenant_with_the_same_names_is_denied() {
    let broker = broker().await;
    for (kind, claims) in [
        ("gitlab", ["project_id", "namespace_id"].as_slice()),
        ("buildkite", &["organization_id", "pipeline_id"]),
        ("circleci", &["oidc.circleci.com/project-id"]),
        ("google", &["sub"]),
        ("aws", &["sub"]),
        ("terraform-cloud", &["terraform_organization_id", "terraform_workspace_id"]),
        ("fly", &["org_id", "app_id"]),
    ] {
        let other =
            |value: &str| claims.iter().fold(Platform::of(kind).assertion(), |one, name| one.claim(name, value));
        let value = if kind == "aws" { "arn:aws:iam::999999999999:role/payments-api" } else { "999999" };
        let reply = broker.token(other(value)).await;
        assert_eq!(
            (reply.oauth_error().as_str(), broker.cause(&reply).await.as_str()),
            ("invalid_client", "policy.none")
        );
    }
}

#[tokio::test]
async fn tokens_that_are_no_workloads_are_refused_by_their_kind() {
    let broker = broker().await;
    let of = |kind: &str| Platform::of(kind).assertion();
    for (name, assertion) in [
        ("a person at gitlab", of("gitlab").without("job_id")),
        ("a shell in a job", of("circleci").claim("oidc.circleci.com/ssh-rerun", true)),
        ("a person at google", of("google").claim("email", "octavia@acme.example")),
        ("no principal", of("aws").claim("sub", "payments-api")),
    ] {
        let reply = broker.token(assertion).await;
        assert_eq!(broker.cause(&reply).await, "claims.kind_rule", "{name}");
    }
}

#[tokio::test]
async fn every_form_of_githubs_subject_is_exchanged_because_the_claims_say_who_it_is() {
    let broker = broker().await;
    let github = |sub: &str| broker.github().assertion().claim("sub", sub);
    for sub in [
        "repo:acme/shop:environment:production",
        "repo:acme@65/shop@123456:environment:production",
        "repository_id:123456",
        "repo:acme/shop:environment:production:job_workflow_ref:acme/ci/.github/workflows/deploy.yml@refs/tags/v1",
    ] {
        let reply = broker.token(github(sub)).await;
        assert_eq!(reply.status, 200, "{sub}: {}", broker.cause(&reply).await);
        let squatter = broker.token(github(sub).claim("repository_id", "999999")).await;
        assert_eq!(broker.cause(&squatter).await, "policy.none", "{sub}");
    }
}

#[tokio::test]
async fn both_versions_of_every_listed_tenants_tokens_are_exchanged_each_as_its_own() {
    const TENANTS: [&str; 2] = ["6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94", "00000002-0000-4000-8000-000000000002"];
    let azure = Platform::of("azure");
    let key = azure.clone();
    let broker = TestBroker::start_with(move |setup, _| {
        let settings = format!("kind: azure, tenants: [{}], audiences: [a]", TENANTS.join(", "));
        let policy = |name: &str, tenant: &str| {
            format!("policy: {name}\nissuer: azure\nmatch: {{ tid: {tenant}, oid: b1a6c4de-8f02-4c1b-a7d3-90e2f5c6d718 }}\nuser: {name}\n")
        };
        let setup = setup.platform("azure", &settings, &key).policy("payments-vm", &policy("first", TENANTS[0]));
        setup.policy("other-vm", &policy("second", TENANTS[1]))
    })
    .await;
    for (tenant, user) in [(TENANTS[0], "first"), (TENANTS[1], "second")] {
        for iss in
            [format!("https://sts.windows.net/{tenant}/"), format!("https://login.microsoftonline.com/{tenant}/v2.0")]
        {
            let token = || azure.clone().at(&iss).assertion().claim("aud", "a");
            let reply = broker.token(token().claim("tid", tenant)).await;
            assert_eq!(broker.minted(&reply).await.claims["sub"], user);
            let other = if user == "first" { TENANTS[1] } else { TENANTS[0] };
            let crossed = broker.token(token().claim("tid", other)).await;
            assert_eq!(broker.cause(&crossed).await, "claims.kind_rule", "{iss}");
        }
    }
    let third = "00000003-0000-4000-8000-000000000003";
    let stranger = azure.at(&format!("https://sts.windows.net/{third}/")).assertion().claim("aud", "a");
    assert_eq!(broker.cause(&broker.token(stranger.claim("tid", third)).await).await, "issuer.unknown");
}

#[tokio::test]
async fn a_further_issuer_of_an_enterprise_or_a_region_is_exchanged_too() {
    let urls = [
        ("slug", "https://token.actions.githubusercontent.com/acme-inc"),
        ("residency", "https://token.actions.acme.ghe.com"),
        ("server", "https://ghes.acme.example/_services/token"),
    ];
    let with = |setup: Setup, (name, url): &(&str, &str)| {
        let lines = "{ enterprise_id: \"7291\", repository_id: \"123456\" }";
        let policy = format!(
            "policy: {name}\nissuer: {name}\nmatch: {lines}\nuser: {name}-deployer\nscopes: [\"service:my-api\"]\n"
        );
        let platform = Platform::of("github-actions").at(url);
        setup.platform(name, &format!("kind: github-actions, url: {url}"), &platform).policy(name, &policy)
    };
    let broker = TestBroker::start_with(|setup, _| urls.iter().fold(setup, with)).await;
    for (name, url) in urls {
        let platform = Platform::of("github-actions").at(url);
        let reply = broker.token(platform.assertion()).await;
        assert_eq!(broker.minted(&reply).await.claims["sub"], format!("{name}-deployer"));
        let posing = platform.at("https://token.actions.githubusercontent.com").assertion();
        assert_eq!(broker.token(posing).await.oauth_error(), "invalid_client", "{name}'s key signs for github.com");
    }
}

#[tokio::test]
async fn an_assertion_of_a_ci_job_is_used_once_and_one_of_a_machine_again() {
    let broker = broker().await;
    for (kind, _, _) in PLATFORMS {
        let assertion = Platform::of(kind).assertion().compact();
        assert_eq!(broker.token(assertion.clone()).await.status, 200);
        let again = broker.token(assertion).await;
        match kind {
            "google" => assert_eq!(again.status, 200, "the metadata server hands out the same token again"),
            _ => assert_eq!(broker.cause(&again).await, "mint.replayed", "{kind}"),
        }
    }
}

#[tokio::test]
async fn one_audience_may_stand_in_a_list_and_a_second_one_may_not() {
    let broker = broker().await;
    let gitlab = || Platform::of("gitlab").assertion();
    assert_eq!(broker.token(gitlab().claim("aud", json!([support::BROKER]))).await.status, 200);
    let two = broker.token(gitlab().claim("aud", json!([support::BROKER, "https://vault.example.com"]))).await;
    assert_eq!(broker.cause(&two).await, "claims.additional_audience");
}
