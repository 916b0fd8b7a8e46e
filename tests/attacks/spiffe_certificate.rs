//! Client certificates over real TLS: X.509-SVIDs that break a rule, and certificates beside another method.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};

use crate::support::certificates::{Authority, Leaf, svid_with, uri, valid};
use crate::support::mutual_tls::{API, MESH, api, asking, sign_in};
use crate::support::wire::Request;
use crate::support::{JWT_BEARER, NOW};

/// The workload's certificate with one thing changed, and the request it goes with.
fn changed(change: impl FnOnce(&mut CertificateParams)) -> (Request, Leaf) {
    (sign_in(API), MESH.issue(&svid_with(API, change)))
}

fn named(names: &[&str]) -> (Request, Leaf) {
    changed(|params| params.subject_alt_names = names.iter().copied().map(uri).collect())
}

fn used(usages: &[KeyUsagePurpose]) -> (Request, Leaf) {
    changed(|params| params.key_usages = usages.to_vec())
}

rows! {
    "SP-26" a_certificate_that_is_no_leaf_of_a_workload_is_refused(row, |setup, _| asking(setup)) {
        row.accepts("as SPIRE issues it", (sign_in(API), api())).await;
        let beside = |params: &mut CertificateParams| {
            params.subject_alt_names.push(SanType::Rfc822Name("a@acme.example".try_into().unwrap()));
            params.subject_alt_names.push(SanType::DnsName("api.acme.example".try_into().unwrap()));
        };
        row.accepts("other names beside", changed(beside)).await;

        row.refuses("two URI names", named(&[API, "spiffe://prod.acme.example/b"]), "certificate.uri_names").await;
        row.refuses("one URI name twice", named(&[API, API]), "certificate.uri_names").await;
        row.refuses("a web URI beside", named(&["https://acme.example", API]), "certificate.uri_names").await;
        row.refuses("no URI name", named(&[]), "certificate.uri_names").await;
        row.refuses("no path", named(&["spiffe://prod.acme.example"]), "certificate.spiffe_id").await;
        row.refuses("capitals", named(&["spiffe://PROD.acme.example/a"]), "certificate.spiffe_id").await;
        row.refuses("a port", named(&["spiffe://prod.acme.example:1/a"]), "certificate.spiffe_id").await;
        row.refuses("a web URI", named(&["https://prod.acme.example/a"]), "certificate.spiffe_id").await;
        row.refuses("another workload", named(&["spiffe://prod.acme.example/b"]), "certificate.client_id").await;

        let ca = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        row.refuses("CA true", changed(ca), "certificate.authority").await;
        use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign, KeyEncipherment};
        row.refuses("keyCertSign", used(&[DigitalSignature, KeyCertSign]), "certificate.key_usage").await;
        row.refuses("cRLSign", used(&[DigitalSignature, CrlSign]), "certificate.key_usage").await;
        row.refuses("no digitalSignature", used(&[KeyEncipherment]), "certificate.key_usage").await;
        row.refuses("no key usage", used(&[]), "certificate.key_usage").await;
        let server = |params: &mut CertificateParams| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        };
        row.refuses("for servers only", changed(server), "certificate.chain").await;
        row.refuses("ended", changed(|params| valid(params, NOW - 60, NOW - 1)), "certificate.expired").await;
        row.refuses("not begun", changed(|params| valid(params, NOW + 60, NOW + 99)), "certificate.not_yet_valid").await;

        let stranger = Authority::new("prod.acme.example");
        let forged = || stranger.issue(&svid_with(API, |_| ()));
        row.refuses("another CA", (sign_in(API), forged()), "certificate.chain").await;
        row.refuses("that CA sent along", (sign_in(API), forged().behind(&[&stranger])), "certificate.chain").await;
        // A workload's own key signs another workload's name.
        let leaf_as_ca = MESH.intermediate("leaf", |params| params.is_ca = IsCa::ExplicitNoCa);
        let promoted = leaf_as_ca.issue(&svid_with(API, |_| ())).behind(&[&leaf_as_ca]);
        row.refuses("a leaf as CA", (sign_in(API), promoted), "certificate.chain").await;
        let long = api().behind(&[&*MESH; 8]);
        row.refuses("nine certificates", (sign_in(API), long), "certificate.too_long").await;
    }

    // The rule: a certificate is a method only where there is no other. A mesh shows one on every connection.
    "OA-22" a_certificate_beside_another_method_is_not_looked_at(row, |setup, _| asking(setup)) {
        let assertion = |text: &str| {
            let fields =
                [("grant_type", "client_credentials"), ("client_assertion_type", JWT_BEARER), ("client_assertion", text)];
            Request::token(&fields)
        };
        let good = || assertion(&row.partner().assertion().compact());
        let reply = row.accepts("beside an assertion", (good(), api())).await;
        let record = row.broker.audit_of(&reply).await.unwrap();
        assert_eq!((record["method"].as_str(), record["user"].as_str()), (Some("private_key_jwt"), Some("partner-build")));
        assert_eq!(record.get("certificate_sha256"), None);
        let client = row.broker.credential("secret", "partner-build").await;
        let secret = || {
            let fields =
                [("grant_type", "client_credentials"), ("client_id", &client.client_id), ("client_secret", &client.secret)];
            Request::token(&fields)
        };
        row.accepts("beside a secret", (secret(), api())).await;
        let bad = named(&[]).1;
        row.accepts("no SVID, beside an assertion", (good(), bad)).await;

        // What is wrong with the other method stays wrong, whatever the certificate would have proven.
        let denied = (401, "invalid_client");
        let expired = || row.partner().assertion().expires_in(-3600).compact();
        row.refuses_as(denied, "a bad assertion", (assertion(&expired()), api()), "claims.expired").await;
        let as_api = [("grant_type", "client_credentials"), ("client_id", API), ("client_secret", "wrong")];
        row.refuses_as(denied, "a bad secret", (Request::token(&as_api), api()), "secret.unknown_client").await;
        let two = (400, "invalid_request");
        let both = good().basic(&client.client_id, &client.secret);
        row.refuses_as(two, "two others", (both, api()), "client_auth.several_methods").await;
        let half = Request::token(&[
            ("grant_type", "client_credentials"),
            ("client_id", API),
            ("client_assertion_type", JWT_BEARER),
        ]);
        row.refuses_as(two, "half an assertion", (half, api()), "client_auth.incomplete").await;
    }
}
