//! Workloads that sign in with an X.509-SVID over mutual TLS (draft-ietf-oauth-spiffe-client-auth §3.2), over real TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::time::Duration;

use rustls::HandshakeKind;
use serde_json::{Value, json};

use support::broker::TestBroker;
use support::certificates::{Authority, Leaf, bundle, svid, svid_with, valid};
use support::issuer::TestIssuer;
use support::mutual_tls::{API, Client, MESH, api, asking, behind_tls, sign_in};
use support::setup::Setup;
use support::wire::{Reply, Request};
use support::{JWT_SPIFFE, NOW};

/// A broker that asks for certificates, after `change`.
async fn broker(change: impl FnOnce(Setup) -> Setup) -> TestBroker {
    TestBroker::start_with(|setup, _| change(asking(setup))).await
}

/// Signs in as the workload of the policy, with this certificate.
async fn with(broker: &TestBroker, leaf: &Leaf) -> Reply {
    Client::new(Some(leaf)).send(broker, &sign_in(API)).await
}

/// The status, the error and the audit record's cause.
async fn outcome(broker: &TestBroker, leaf: &Leaf) -> (u16, String, String) {
    said(broker, &with(broker, leaf).await).await
}

async fn said(broker: &TestBroker, reply: &Reply) -> (u16, String, String) {
    (reply.status, reply.oauth_error(), broker.cause(reply).await)
}

fn refused(cause: &str) -> (u16, String, String) {
    (401, "invalid_client".to_owned(), cause.to_owned())
}

fn accepted() -> (u16, String, String) {
    (200, "-".to_owned(), String::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_signs_in_with_its_certificate_and_its_spiffe_id() {
    let broker = broker(|setup| setup).await;
    let reply = with(&broker, &api()).await;
    let minted = support::minted::Minted::verify(
        &reply.access_token(),
        &Client::new(None).send(&broker, &Request::get("/oauth2/jwks")).await.json(),
    );
    assert_eq!(minted.text("sub"), "mesh-api");
    let record = broker.audit_of(&reply).await.unwrap();
    assert_eq!(record["method"], "spiffe_x509");
    assert_eq!((&record["issuer_name"], &record["issuer"]), (&json!("mesh"), &json!("prod.acme.example")));
    assert_eq!((&record["subject"], &record["policy"]), (&json!(API), &json!("mesh-api")));
    assert_eq!(record["certificate_sha256"].as_str().map(str::len), Some(64));
    for absent in ["audience", "key_id", "assertion_sha256", "unverified_subject", "unverified_client_id"] {
        assert_eq!(record.get(absent), None, "{absent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intermediate_that_is_sent_along_leads_to_the_authority() {
    let broker = broker(|setup| setup).await;
    let middle = MESH.intermediate("middle", |_| ());
    let leaf = || middle.issue(&svid(API));
    assert_eq!(outcome(&broker, &leaf().behind(&[&middle])).await, accepted());
    assert_eq!(outcome(&broker, &leaf()).await, refused("certificate.chain"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_id_is_the_certificates_spiffe_id() {
    let broker = broker(|setup| setup).await;
    let client = Client::new(Some(&api()));
    let own = client.send(&broker, &sign_in(API)).await;
    assert_eq!(said(&broker, &own).await, accepted());
    for other in ["mesh-api", "spiffe://prod.acme.example/ns/payments/sa/API", "spiffe://prod.acme.example"] {
        let reply = client.send(&broker, &sign_in(other)).await;
        assert_eq!(said(&broker, &reply).await, refused("certificate.client_id"), "{other}");
    }
    let silent = client.send(&broker, &Request::token(&[("grant_type", "client_credentials")])).await;
    assert_eq!(said(&broker, &silent).await, refused("certificate.no_client_id"));
    let (accepted, refused) = (broker.audit_of(&own).await.unwrap(), broker.audit_of(&silent).await.unwrap());
    assert_eq!(
        (&refused["method"], &refused["certificate_sha256"]),
        (&json!("spiffe_x509"), &accepted["certificate_sha256"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_way_works_on_the_same_listener_with_any_certificate_or_none() {
    let broker = broker(|setup| setup).await;
    let credential = broker.credential("secret", "partner-build").await;
    let web = rcgen::CertificateParams::new(vec!["laptop.example".to_owned()]).unwrap();
    let foreign = Authority::new("somebody").issue(&web);
    for client in [Client::new(None), Client::new(Some(&foreign)), Client::new(Some(&api()))] {
        let assertion = broker.partner().assertion().compact();
        let with_assertion = client.send(&broker, &broker.token_request(&assertion, &[])).await;
        assert_eq!(said(&broker, &with_assertion).await, accepted());
        let svid = broker.platforms.spiffe.assertion().compact();
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", JWT_SPIFFE),
            ("client_assertion", svid.as_str()),
        ];
        assert_eq!(client.send(&broker, &Request::token(&fields)).await.status, 200);
        let basic = Request::token(&[("grant_type", "client_credentials")]);
        let basic = basic.basic(&credential.client_id, &credential.secret);
        assert_eq!(client.send(&broker, &basic).await.status, 200);
        assert_eq!(client.send(&broker, &Request::get("/healthz")).await.status, 200);
    }
    let nobody = Client::new(None).send(&broker, &sign_in(API)).await;
    assert_eq!(said(&broker, &nobody).await, refused("client_auth.none"));
    assert_eq!(outcome(&broker, &foreign).await, refused("certificate.uri_names"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_its_private_key_gets_no_answer() {
    let broker = broker(|setup| setup).await;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let own = Client::speaking(Some(&api()), &[version]);
        assert_eq!(own.send(&broker, &sign_in(API)).await.status, 200, "{version:?}");
        let stolen = Client::speaking(Some(&api().with_a_stolen_name()), &[version]);
        assert_eq!(stolen.send(&broker, &sign_in(API)).await.status, 0, "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_session_brings_its_certificate_along() {
    let broker = broker(|setup| setup).await;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let client = Client::speaking(Some(&api()), &[version]);
        let (first, _) = client.converse(&broker, &sign_in(API)).await;
        let (second, handshake) = client.converse(&broker, &sign_in(API)).await;
        assert_eq!((first.status, second.status), (200, 200), "{version:?}");
        assert_eq!(handshake, Some(HandshakeKind::Resumed), "{version:?}");
        let other = client.send(&broker, &sign_in("spiffe://prod.acme.example/other")).await;
        assert_eq!(said(&broker, &other).await, refused("certificate.client_id"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_counts_until_it_ends_also_on_a_resumed_session() {
    let broker = broker(|setup| setup).await;
    let client = Client::new(Some(&MESH.issue(&svid_with(API, |params| valid(params, NOW - 10, NOW + 60)))));
    assert_eq!(client.send(&broker, &sign_in(API)).await.status, 200);
    broker.advance(Duration::from_secs(61));
    let (late, handshake) = client.converse(&broker, &sign_in(API)).await;
    assert_eq!(handshake, Some(HandshakeKind::Resumed));
    assert_eq!(said(&broker, &late).await, refused("certificate.expired"));
    let early = MESH.issue(&svid_with(API, |params| valid(params, NOW + 62, NOW + 600)));
    assert_eq!(outcome(&broker, &early).await, refused("certificate.not_yet_valid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_within_the_assertion_ends_with_the_certificate() {
    let policy = "policy: mesh-api
issuer: mesh
match: { sub: \"spiffe://prod.acme.example/ns/payments/sa/api\" }
user: mesh-api
scopes: [\"service:my-api\"]
token: { within_assertion: true }
";
    let broker = broker(|setup| setup.policy("mesh-api", policy)).await;
    let leaf = MESH.issue(&svid_with(API, |params| valid(params, NOW - 10, NOW + 60)));
    assert_eq!(with(&broker, &leaf).await.json()["expires_in"], 60);
    assert_eq!(with(&broker, &api()).await.json()["expires_in"], 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_configured_trust_domains_own_authorities_count() {
    let strangers = Authority::new("prod.acme.example");
    let stage = "spiffe://stage.acme.example/api";
    let broker = broker(|setup| {
        setup
            .issuer("stage", "{ kind: spiffe, trust_domain: stage.acme.example, bundle: { file: stage.json } }")
            .file("trust-bundles/stage.json", &bundle(&[&strangers]))
            .issuer(
                "shut",
                "{ kind: spiffe, trust_domain: shut.example, bundle: { file: stage.json }, disabled: true }",
            )
    })
    .await;
    assert_eq!(outcome(&broker, &strangers.issue(&svid(API))).await, refused("certificate.chain"));
    let as_itself = async |leaf: Leaf, id: &str| {
        let reply = Client::new(Some(&leaf)).send(&broker, &sign_in(id)).await;
        said(&broker, &reply).await
    };
    let borrowed = MESH.issue(&svid(stage));
    assert_eq!(as_itself(borrowed, stage).await, refused("certificate.chain"));
    // Its own authority stands behind it; that no policy names it is the next stage's word.
    assert_eq!(as_itself(strangers.issue(&svid(stage)), stage).await, refused("policy.none"));
    let unknown = "spiffe://unknown.example/api";
    assert_eq!(as_itself(MESH.issue(&svid(unknown)), unknown).await, refused("issuer.trust_domain_unknown"));
    let shut = "spiffe://shut.example/api";
    assert_eq!(as_itself(strangers.issue(&svid(shut)), shut).await, refused("issuer.disabled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_of_x509_authorities_alone_is_enough_and_one_without_admits_no_certificate() {
    let x509_only = broker(|setup| setup.file("trust-bundles/mesh.json", &bundle(&[&MESH]))).await;
    assert_eq!(outcome(&x509_only, &api()).await, accepted());
    let status = x509_only.key_status("mesh");
    assert_eq!((status.usable, status.keys.len(), status.x509_authorities), (true, 0, 1));
    std::fs::write(x509_only.directory().join("trust-bundles/mesh.json"), bundle(&[])).unwrap();
    x509_only.reload().unwrap();
    assert_eq!(outcome(&x509_only, &api()).await, refused("certificate.chain"));
}

/// An issuer `mesh` whose bundle is at this server.
fn fetched_from(issuer: &TestIssuer) -> String {
    let url = format!("{}/jwks", issuer.url());
    format!(
        "{{ kind: spiffe, trust_domain: prod.acme.example, bundle: {{ url: \"{url}\", profile: https_web }}, \
         danger_allow_http: true }}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_not_known_yet_is_asked_for_once_in_a_cooldown() {
    let issuer = TestIssuer::start(&[]).await;
    issuer.publish([MESH.jwk()]);
    let broker = broker(|setup| setup.issuer("mesh", &fetched_from(&issuer))).await;
    assert_eq!(outcome(&broker, &api()).await, accepted());
    let next = Authority::new("prod.acme.example");
    issuer.publish([MESH.jwk(), next.jwk()]);
    assert_eq!(outcome(&broker, &next.issue(&svid(API))).await, accepted());
    let asked = issuer.key_hits();
    let forged = Authority::new("prod.acme.example").issue(&svid(API));
    for _ in 0..10 {
        assert_eq!(outcome(&broker, &forged).await, refused("certificate.chain"));
    }
    assert!(issuer.key_hits() <= asked + 1, "{} fetches", issuer.key_hits() - asked);
    assert_eq!(outcome(&broker, &api()).await, accepted());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_bundle_a_certificate_can_only_come_back_later() {
    let issuer = TestIssuer::start(&[]).await;
    issuer.set_down(true);
    let broker = broker(|setup| setup.issuer("mesh", &fetched_from(&issuer))).await;
    let reply = with(&broker, &api()).await;
    let unavailable = (503, "temporarily_unavailable".to_owned(), "key.unavailable".to_owned());
    assert_eq!(said(&broker, &reply).await, unavailable);
    assert!(reply.header("retry-after").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_for_a_certificate_unless_it_is_configured() {
    let methods = async |broker: &TestBroker| {
        let document = Client::new(None).send(broker, &Request::get("/.well-known/oauth-authorization-server")).await;
        let methods = document.json()["token_endpoint_auth_methods_supported"].clone();
        methods.as_array().unwrap().contains(&Value::from("spiffe_x509"))
    };
    for more in ["", ", client_certificates: none"] {
        let silent = TestBroker::start_with(|setup, _| behind_tls(setup, more)).await;
        assert_eq!(outcome(&silent, &api()).await, refused("client_auth.none"));
        assert!(!methods(&silent).await);
    }
    assert!(methods(&broker(|setup| setup).await).await);
}
