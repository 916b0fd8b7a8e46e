//! What `POST /oauth2/token` promises to a workload that does everything right, and the refusals beside each promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

#[path = "token_endpoint/issuer_keys.rs"]
mod issuer_keys;
#[path = "token_endpoint/minted_token.rs"]
mod minted_token;

use std::collections::BTreeSet;

use countersign::store::{UserOrigin, UserState};
use minted_token::names;
use support::NOW;
use support::broker::TestBroker;
use support::wire::Request;

const JWT_BEARER_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE_GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

#[tokio::test]
async fn a_token_of_every_platform_becomes_the_user_its_policy_names() {
    let broker = TestBroker::start().await;
    let platforms = &broker.platforms;
    for (platform, user) in [
        (&platforms.github, "prod-deployer"),
        (&platforms.azure, "payments-vm"),
        (&platforms.kubernetes, "payments-pod"),
        (&platforms.partner, "partner-build"),
    ] {
        let reply = broker.token(platform.assertion()).await;
        assert_eq!(broker.minted(&reply).await.text("sub"), user, "{}", reply.text());
    }
    let reply = broker.svid(platforms.spiffe.assertion()).await;
    assert_eq!(broker.minted(&reply).await.text("sub"), "mesh-api", "{}", reply.text());
}

#[tokio::test]
async fn azure_s_version_1_token_is_the_same_identity() {
    let broker = TestBroker::start_with(|setup, platforms| {
        let settings = "kind: azure, tenant: 6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94, audiences: [\"api://countersign\", \
                        9c3e7f10-5a2b-4d8c-b6e4-1f0a3d5c7b92]";
        setup.platform("azure", settings, &platforms.azure)
    })
    .await;
    let tenant = "6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94";
    let version_1 = broker.platforms.azure.assertion().claim("iss", format!("https://sts.windows.net/{tenant}/"));
    let version_1 = broker.token(version_1.claim("ver", "1.0").claim("aud", "api://countersign")).await;
    let version_2 = broker.token(broker.platforms.azure.assertion()).await;
    let issuers = [
        (version_1, format!("https://sts.windows.net/{tenant}/")),
        (version_2, format!("https://login.microsoftonline.com/{tenant}/v2.0")),
    ];
    for (reply, issuer) in issuers {
        let minted = broker.minted(&reply).await;
        assert_eq!((minted.text("sub"), &minted.claims["workload"]["issuer"]), ("payments-vm", &issuer.clone().into()));
        assert_eq!(broker.audit_of(&reply).await.unwrap()["issuer"], issuer, "the one that the token names");
    }
    let no_slash = broker.platforms.azure.assertion().claim("iss", format!("https://sts.windows.net/{tenant}"));
    assert_eq!(broker.cause(&broker.token(no_slash).await).await, "issuer.unknown");
}

#[tokio::test]
async fn a_client_secret_works_by_basic_and_in_the_form() {
    let broker = TestBroker::start().await;
    let client = broker.credential("ci", "legacy-job").await;
    let grant = Request::token(&[("grant_type", "client_credentials")]);
    let encoded = client.client_id.replace('-', "%2D");
    let replies = [
        broker.secret(&client.client_id, &client.secret).await,
        broker.send(&grant.clone().basic(&client.client_id, &client.secret)).await,
        broker.send(&grant.clone().basic(&encoded, &client.secret.replace('_', "%5F"))).await,
    ];
    for reply in replies {
        let minted = broker.minted(&reply).await;
        assert_eq!((minted.text("sub"), minted.text("client_id")), ("legacy-job", client.client_id.as_str()));
        let claims = ["iss", "sub", "client_id", "aud", "iat", "nbf", "exp", "jti", "scope"];
        assert_eq!(names(&minted.claims), BTreeSet::from(claims), "no workload: there was no platform");
    }
    let wrong = broker.send(&grant.basic(&client.client_id, "cssecret_wrong")).await;
    assert_eq!((wrong.status, wrong.oauth_error().as_str()), (401, "invalid_client"));
    assert!(wrong.header("www-authenticate").is_some_and(|value| value.starts_with("Basic ")));
}

#[tokio::test]
async fn an_expired_or_disabled_credential_is_refused() {
    let broker = TestBroker::start().await;
    let client = broker.credential("ci", "legacy-job").await;
    assert_eq!(broker.secret(&client.client_id, &client.secret).await.status, 200);
    broker.set_user_state("legacy-job", UserState::Disabled).await;
    let refused = broker.secret(&client.client_id, &client.secret).await;
    assert_eq!((refused.status, broker.cause(&refused).await.as_str()), (401, "workload.user_disabled"));
}

#[tokio::test]
async fn go_s_empty_basic_header_beside_an_assertion_counts_as_absent() {
    let broker = TestBroker::start().await;
    let request = broker.token_request(&broker.github().assertion().compact(), &[]);
    let reply = broker.send(&request.header("Authorization", "Basic Og==")).await;
    assert_eq!(broker.minted(&reply).await.text("sub"), "prod-deployer");
}

#[tokio::test]
async fn the_jwt_bearer_grant_takes_the_same_assertion() {
    let broker = TestBroker::start().await;
    for assertion in [broker.github().assertion(), broker.platforms.spiffe.assertion()] {
        let fields = [("grant_type", JWT_BEARER_GRANT), ("assertion", &assertion.compact())];
        assert_eq!(broker.post_form(&fields).await.status, 200);
    }
    let expired = broker.github().assertion().issued_at(NOW - 7200).compact();
    let reply = broker.post_form(&[("grant_type", JWT_BEARER_GRANT), ("assertion", &expired)]).await;
    assert_eq!((reply.status, reply.oauth_error().as_str()), (400, "invalid_grant"), "RFC 7521 §4.1.1");
    assert_eq!(broker.cause(&reply).await, "claims.expired");
    let reply = broker.post_form(&[("grant_type", JWT_BEARER_GRANT)]).await;
    assert_eq!((reply.status, reply.oauth_error().as_str()), (400, "invalid_request"));
}

#[tokio::test]
async fn token_exchange_says_what_it_issued() {
    let broker = TestBroker::start().await;
    let subject = broker.github().assertion().compact();
    let base = [("grant_type", EXCHANGE_GRANT), ("subject_token", &subject), ("subject_token_type", JWT_TYPE)];
    let reply = broker.post_form(&base).await;
    assert_eq!(reply.member("issued_token_type"), ACCESS_TOKEN_TYPE, "{}", reply.text());
    assert_eq!(reply.member("token_type"), "Bearer");
    assert_eq!(broker.minted(&reply).await.text("sub"), "prod-deployer");
    for (name, value) in [
        ("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"),
        ("actor_token", "x"),
        ("actor_token_type", JWT_TYPE),
    ] {
        let reply = broker.post_form(&[base.as_slice(), &[(name, value)]].concat()).await;
        assert_eq!((reply.status, reply.oauth_error().as_str()), (400, "invalid_request"), "{name}");
    }
    let reply = broker.post_form(&[base[0], base[1], ("subject_token_type", "foo")]).await;
    assert_eq!((reply.status, reply.oauth_error().as_str()), (400, "invalid_request"));
}

#[tokio::test]
async fn a_client_id_beside_an_assertion_may_name_the_user_or_one_of_its_client_ids() {
    let broker = TestBroker::start().await;
    let client = broker.credential("ci", "partner-build").await;
    for client_id in ["partner-build", client.client_id.as_str()] {
        let reply = broker.token_and(broker.partner().assertion(), &[("client_id", client_id)]).await;
        assert_eq!(broker.minted(&reply).await.text("sub"), "partner-build", "{client_id}");
    }
    let reply = broker.token_and(broker.partner().assertion(), &[("client_id", "payments-pod")]).await;
    assert_eq!((reply.status, reply.oauth_error().as_str()), (401, "invalid_client"));
}

#[tokio::test]
async fn a_template_makes_the_user_just_in_time_and_says_who_made_it() {
    let broker = TestBroker::start_with(|setup, _| {
        setup.policy(
            "deploy-prod",
            "policy: deploy-prod
issuer: github
match: { repository_owner_id: \"65\", repository_id: \"123456\", ref: refs/heads/main }
user: \"gha-{repository_id}\"
scopes: [\"service:my-api\"]
",
        )
    })
    .await;
    assert!(broker.user("gha-123456").await.is_none());
    let reply = broker.token(broker.github().assertion()).await;
    assert_eq!(broker.minted(&reply).await.text("sub"), "gha-123456");
    let user = broker.user("gha-123456").await.expect("it was made");
    assert!(matches!(&user.origin, UserOrigin::Policy(policy) if policy.as_str() == "deploy-prod"), "{user:?}");
    broker.set_user_state("gha-123456", UserState::Disabled).await;
    let refused = broker.token(broker.github().assertion()).await;
    assert_eq!((refused.status, broker.cause(&refused).await.as_str()), (401, "workload.user_disabled"));
    broker.set_user_state("gha-123456", UserState::Deleted).await;
    let refused = broker.token(broker.github().assertion()).await;
    assert_eq!(refused.status, 401, "a deleted name is not given away again");
}

#[tokio::test]
async fn two_users_for_one_workload_are_nobody() {
    let second = "policy: second\nissuer: partner\nmatch: { azp: partner-build }\nuser: somebody-else\nscopes: [a]\n";
    let broker = TestBroker::start_with(|setup, _| setup.policy("second", second)).await;
    let refused = broker.token(broker.partner().assertion()).await;
    assert_eq!((refused.status, broker.cause(&refused).await.as_str()), (401, "policy.ambiguous"));
    let named = broker.token_and(broker.partner().assertion(), &[("client_id", "somebody-else")]).await;
    assert_eq!(broker.minted(&named).await.text("sub"), "somebody-else");
}

#[tokio::test]
async fn a_ci_platform_s_assertion_works_once_and_a_mesh_s_again() {
    let broker = TestBroker::start().await;
    let once = broker.github().assertion().compact();
    assert_eq!(broker.token(once.clone()).await.status, 200);
    let again = broker.token(once).await;
    assert_eq!((again.status, again.oauth_error().as_str()), (401, "invalid_client"));
    assert_eq!(broker.cause(&again).await, "mint.replayed");
    let platforms = &broker.platforms;
    for assertion in [platforms.azure.assertion().compact(), platforms.kubernetes.assertion().compact()] {
        for _ in 0..2 {
            assert_eq!(broker.token(assertion.clone()).await.status, 200);
        }
    }
    let svid = platforms.spiffe.assertion().compact();
    for _ in 0..2 {
        assert_eq!(broker.svid(svid.clone()).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_parallel_uses_of_one_assertion_exactly_one_gets_a_token() {
    let broker = TestBroker::start().await;
    let request = broker.token_request(&broker.github().assertion().compact(), &[]);
    let uses = (0..100).map(|_| broker.send(&request));
    let replies = futures_util::future::join_all(uses).await;
    let minted = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(minted, 1);
    assert!(replies.iter().all(|reply| matches!(reply.status, 200 | 401)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_tokens_of_one_client_are_all_valid() {
    let broker = TestBroker::start().await;
    let client = broker.credential("ci", "legacy-job").await;
    let replies =
        futures_util::future::join_all((0..20).map(|_| broker.secret(&client.client_id, &client.secret))).await;
    let mut ids = BTreeSet::new();
    for reply in &replies {
        ids.insert(broker.minted(reply).await.text("jti").to_owned());
        let fields = [("token", reply.access_token()), ("client_id", client.client_id.clone())];
        let fields = fields.iter().map(|(name, value)| (*name, value.as_str()));
        let fields: Vec<_> = fields.chain([("client_secret", client.secret.as_str())]).collect();
        let asked = broker.send(&Request::token(&fields).to("POST", "/oauth2/introspect")).await;
        assert_eq!(asked.json()["active"], true, "{}", asked.text());
    }
    assert_eq!(ids.len(), 20, "each token has its own id");
}
