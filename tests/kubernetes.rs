//! Kubernetes as its distributions really are: each shape of token is exchanged, however the cluster's keys are had.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::NOW;
use support::assertion::Assertion;
use support::broker::TestBroker;
use support::cluster::TestCluster;
use support::keys::TestKey;
use support::platform::Platform;

/// A distribution: its name, the path of its issuer, its token's claims, and the settings its tokens need.
struct Shape {
    name: &'static str,
    path: &'static str,
    claims: &'static str,
    settings: &'static str,
}

const SHAPES: [Shape; 5] = [
    Shape {
        name: "eks",
        path: "/id/9A3D5E7F1B2C4D6E8F0A1B2C3D4E5F60",
        claims: include_str!("../fixtures/kubernetes/claims-eks.json"),
        settings: "",
    },
    Shape {
        name: "aks",
        path: "/6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94/3c1e7a90-5b2d-4f68-8a13-9d0e1f2a3b4c/",
        claims: include_str!("../fixtures/kubernetes/claims-aks.json"),
        settings: "",
    },
    Shape {
        name: "gke",
        path: "/v1/projects/acme-prod/locations/europe-west4/clusters/payments",
        claims: include_str!("../fixtures/kubernetes/claims-gke.json"),
        settings: "",
    },
    Shape {
        name: "k3s",
        path: "",
        claims: include_str!("../fixtures/kubernetes/claims-k3s.json"),
        settings: ", audiences: [\"https://kubernetes.default.svc.cluster.local\"], allow_additional_audiences: true",
    },
    Shape { name: "plain", path: "", claims: include_str!("../fixtures/kubernetes/claims.json"), settings: "" },
];

impl Shape {
    fn platform(&self) -> Platform {
        let claims = serde_json::from_str::<Value>(self.claims).unwrap().as_object().unwrap().clone();
        let key = TestKey::rsa("rsa-c").named("cluster-1");
        Platform { claims, ..Platform::kubernetes() }.with_key(key)
    }
}

const POLICY: &str = "policy: payments
issuer: cluster
match:
  sub: system:serviceaccount:payments:payments-api
  /kubernetes.io/pod/uid: { present: true }
  /kubernetes.io/node/name: { present: true }
user: payments
scopes: [\"service:my-api\"]
";

/// A broker with this one cluster beside the usual issuers.
async fn broker_of(settings: &str, files: &[(&str, &str)]) -> TestBroker {
    TestBroker::start_with(|setup, _| {
        let setup = setup.issuer("cluster", &format!("{{ kind: kubernetes, {settings} }}")).policy("payments", POLICY);
        files.iter().fold(setup, |setup, (path, text)| setup.file(path, text))
    })
    .await
}

async fn is_exchanged(broker: &TestBroker, assertion: Assertion, what: &str) {
    let reply = broker.token(assertion).await;
    let cause = broker.cause(&reply).await;
    assert_eq!((reply.status, cause.as_str()), (200, ""), "{what}: {}", reply.text());
    assert_eq!(broker.minted(&reply).await.text("sub"), "payments", "{what}");
}

async fn is_refused(broker: &TestBroker, assertion: Assertion, cause: &str) -> String {
    let reply = broker.token(assertion).await;
    assert_eq!((reply.status, reply.oauth_error().as_str()), (401, "invalid_client"));
    assert_eq!(broker.cause(&reply).await, cause);
    broker.audit_of(&reply).await.unwrap()["detail"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn every_distribution_s_token_is_exchanged_with_pinned_keys() {
    for shape in SHAPES.iter().filter(|shape| shape.name != "plain") {
        let platform = shape.platform();
        let keys = support::keys::jwks([platform.key.jwk()]);
        let settings = format!("url: \"{}\", keys: {{ file: cluster.json }}{}", platform.issuer(), shape.settings);
        let broker = broker_of(&settings, &[("trust-bundles/cluster.json", &keys)]).await;
        is_exchanged(&broker, platform.assertion(), shape.name).await;
    }
}

#[tokio::test]
async fn every_distribution_s_token_is_exchanged_with_keys_at_a_url_of_their_own() {
    for shape in SHAPES.iter().filter(|shape| shape.name != "plain") {
        let platform = shape.platform();
        let cluster = TestCluster::start(shape.path, &[&platform.key]).await;
        let settings = format!(
            "url: \"{}\", keys: {{ url: \"{}\" }}, danger_allow_http: true{}",
            platform.issuer(),
            cluster.keys_url(),
            shape.settings
        );
        is_exchanged(&broker_of(&settings, &[]).await, platform.assertion(), shape.name).await;
        assert!(!cluster.asked_for_keys().is_empty(), "{}", shape.name);
    }
}

#[tokio::test]
async fn every_distribution_s_token_is_exchanged_with_keys_by_discovery() {
    for shape in &SHAPES {
        let platform = shape.platform();
        let cluster = TestCluster::start(shape.path, &[&platform.key]).await;
        let settings = format!("url: \"{}\", danger_allow_http: true{}", cluster.url(), shape.settings);
        let broker = broker_of(&settings, &[]).await;
        is_exchanged(&broker, platform.clone().at(&cluster.url()).assertion(), shape.name).await;
        let other = match cluster.url().strip_suffix('/') {
            Some(without) => without.to_owned(),
            None => format!("{}/", cluster.url()),
        };
        is_refused(&broker, platform.at(&other).assertion(), "issuer.unknown").await;
    }
}

#[tokio::test]
async fn k3s_s_two_audiences_need_the_operator_s_word() {
    let platform = SHAPES[3].platform();
    let keys = support::keys::jwks([platform.key.jwk()]);
    let own = "url: \"https://kubernetes.default.svc.cluster.local\", keys: { file: cluster.json }";
    let broker = broker_of(own, &[("trust-bundles/cluster.json", &keys)]).await;
    is_refused(&broker, platform.assertion(), "claims.audience").await;
    let one = format!("{own}, audiences: [\"https://kubernetes.default.svc.cluster.local\"]");
    let broker = broker_of(&one, &[("trust-bundles/cluster.json", &keys)]).await;
    is_refused(&broker, platform.assertion(), "claims.additional_audience").await;
}

#[tokio::test]
async fn an_api_server_s_keys_are_asked_for_with_the_bearer_token_and_no_other_server_sees_it() {
    let key = TestKey::rsa("rsa-c").named("cluster-1");
    let closed = TestCluster::start("", &[&key]).await.asking_for("reviewer-token");
    let platform = Platform::kubernetes().at(&closed.url()).with_key(key.clone());
    let settings = |cluster: &TestCluster| {
        format!("url: \"{}\", danger_allow_http: true, bearer_token_file: bearer", cluster.url())
    };
    let bearer = [("trust-bundles/bearer", "reviewer-token\n")];
    is_exchanged(&broker_of(&settings(&closed), &bearer).await, platform.assertion(), "closed").await;

    let elsewhere = TestCluster::start("", &[&key]).await;
    let pointing =
        TestCluster::start("", &[&key]).await.asking_for("reviewer-token").keys_are_at(&elsewhere.keys_url());
    let platform = Platform::kubernetes().at(&pointing.url()).with_key(key);
    is_exchanged(&broker_of(&settings(&pointing), &bearer).await, platform.assertion(), "elsewhere").await;
    assert_eq!(elsewhere.asked_for_keys(), [None], "the token went to another origin");
}

#[tokio::test]
async fn a_cluster_may_sign_with_any_of_the_three_curves() {
    let keys = [TestKey::p256("es256"), TestKey::p384("es384"), TestKey::p521("es512")];
    let cluster = TestCluster::start("", &keys.each_ref()).await;
    let broker = broker_of(&format!("url: \"{}\", danger_allow_http: true", cluster.url()), &[]).await;
    for key in keys {
        let what = key.algorithm.clone();
        is_exchanged(&broker, Platform::kubernetes().at(&cluster.url()).with_key(key).assertion(), &what).await;
    }
}

#[tokio::test]
async fn the_year_of_a_default_mount_is_refused_and_says_what_is_allowed() {
    let platform = Platform::kubernetes();
    let api = "https://kubernetes.default.svc";
    let keys = support::keys::jwks([platform.key.jwk()]);
    let settings =
        format!("url: \"{}\", keys: {{ file: cluster.json }}, audiences: [\"{api}\"]", "https://mount.example");
    let broker = broker_of(&settings, &[("trust-bundles/cluster.json", &keys)]).await;
    let mut inner = platform.claims["kubernetes.io"].clone();
    inner["warnafter"] = json!(NOW + 3607);
    let mounted =
        platform.at("https://mount.example").assertion().claim("aud", json!([api])).claim("kubernetes.io", inner);
    is_exchanged(&broker, mounted.clone(), "an hour").await;
    let detail = is_refused(&broker, mounted.expires_in(31_536_000), "claims.lifetime").await;
    assert!(detail.contains("90000 s"), "{detail}");
}

#[tokio::test]
async fn a_legacy_secret_token_is_refused_by_what_it_is() {
    let broker = TestBroker::start().await;
    let legacy = || {
        let bare = broker.platforms.kubernetes.assertion().without("exp").without("iat").without("nbf").without("aud");
        bare.without("kubernetes.io").claim("kubernetes.io/serviceaccount/namespace", "payments")
    };
    let detail = is_refused(&broker, legacy().claim("iss", "kubernetes/serviceaccount"), "issuer.legacy_token").await;
    assert!(detail.contains("never expire"), "{detail}");
    let detail = is_refused(&broker, legacy(), "claims.kind_rule").await;
    assert!(detail.contains("never expire"), "{detail}");
}
