//! jose-header, the `alg` and the key: what a token says about how it is signed never decides how it is verified.

use serde_json::{Value, json};

use crate::support::issuer::TestIssuer;
use crate::support::keys::{TestKey, base64url, from_base64url};
use crate::support::setup::{Platforms, Setup};

/// The partner with these keys and every algorithm.
pub(crate) fn partner_with(setup: Setup, keys: &[&TestKey]) -> Setup {
    setup.key_file("partner", &partner_settings(""), keys)
}

/// The partner's settings with every algorithm and something more.
pub(crate) fn partner_settings(more: &str) -> String {
    format!(
        "kind: oidc, url: https://idp.partner.example, \
         algorithms: [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA]{more}"
    )
}

/// `SubjectPublicKeyInfo` of a key as PEM text.
fn pem_of(key: &TestKey) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("PUBLIC KEY", key.spki()), config)
}

rows! {
    "JH-01" alg_none_is_refused(row) {
        let valid = || row.partner().assertion();
        row.accepts("RS256", valid()).await;
        row.refuses("no signature", valid().header("alg", "none").signature(b""), "assertion.not_compact").await;
        row.refuses("a leftover signature", valid().header("alg", "none"), "assertion.algorithm").await;
    }

    "JH-02" alg_none_is_refused_in_any_letter_case(row) {
        let valid = || row.partner().assertion();
        row.accepts("RS256", valid()).await;
        for name in ["nOnE", "NONE", "None"] {
            let unsigned = valid().header("alg", name).signature(b"");
            row.refuses(name, unsigned.clone(), "assertion.not_compact").await;
            row.refuses(name, format!("{}.", unsigned.compact()), "assertion.not_compact").await;
            row.refuses(name, valid().header("alg", name), "assertion.algorithm").await;
        }
    }

    "JH-03" alg_must_be_a_known_name(row) {
        let valid = || row.partner().assertion();
        row.accepts("RS256", valid()).await;
        row.refuses("missing", valid().without_header("alg"), "assertion.algorithm").await;
        for alg in [json!(""), Value::Null, json!(["RS256"]), json!(256)] {
            row.refuses(&alg.to_string(), valid().header("alg", alg.clone()), "assertion.algorithm").await;
        }
    }

    "JH-04" a_mac_keyed_with_the_public_key_s_pem_is_refused(row) {
        let valid = || row.partner().assertion();
        row.accepts("RS256", valid()).await;
        let text = pem_of(&row.partner().key);
        for secret in [text.as_str(), text.trim_end()] {
            row.refuses("PEM", valid().compact_with_hmac("HS256", secret.as_bytes()), "assertion.algorithm").await;
            row.refuses("PEM", valid().compact_with_hmac("HS512", secret.as_bytes()), "assertion.algorithm").await;
        }
    }

    "JH-05" a_mac_keyed_with_any_form_of_the_public_key_is_refused(row) {
        let valid = || row.partner().assertion();
        row.accepts("RS256", valid()).await;
        let key = &row.partner().key;
        let modulus = key.jwk()["n"].as_str().unwrap_or_default().to_owned();
        let secrets: [(&str, Vec<u8>); 6] = [
            ("JWK", key.jwk().to_string().into()),
            ("modulus", from_base64url(&modulus)),
            ("encoded modulus", modulus.into()),
            ("SPKI", key.spki()),
            ("PKCS#1", key.public_bytes()),
            ("indented PEM", format!("  {}", pem_of(key)).into()),
        ];
        for (what, secret) in secrets {
            row.refuses(what, valid().compact_with_hmac("HS256", &secret), "assertion.algorithm").await;
        }
    }

    "JH-06" a_mac_keyed_with_an_ec_key_s_point_is_refused(row, |setup, _| partner_with(setup, &[&TestKey::p256("ec")])) {
        let key = TestKey::p256("ec");
        let valid = || row.partner().assertion().signed_by(&key);
        row.accepts("ES256", valid()).await;
        let point = key.public_bytes();
        row.refuses("x and y", valid().compact_with_hmac("HS256", &point[1..]), "assertion.algorithm").await;
        row.refuses("point", valid().compact_with_hmac("HS256", &point), "assertion.algorithm").await;
    }

    "JH-09" a_published_key_of_an_algorithm_the_issuer_may_not_use_is_refused(row, |setup, platforms: &Platforms| {
        let settings = "kind: oidc, url: https://idp.partner.example, algorithms: [RS256]";
        setup.key_file("partner", settings, &[&platforms.partner.key, &TestKey::p256("ec")])
    }) {
        row.accepts("RS256", row.partner().assertion()).await;
        let by_other = row.partner().assertion().signed_by(&TestKey::p256("ec"));
        row.refuses("ES256", by_other, "key.algorithm_not_allowed").await;
    }

    "JH-10" deprecated_and_unlisted_algorithms_are_refused(row) {
        let valid = || row.partner().assertion();
        row.accepts("RS256", valid()).await;
        for name in ["RS1", "HS1", "RSA1_5", "ES256K", "rs256"] {
            row.refuses(name, valid().header("alg", name), "assertion.algorithm").await;
        }
    }

    "JH-11" ed25519_is_accepted_under_both_its_names(row, |setup, _| {
        partner_with(setup, &[&TestKey::ed25519("ed-1"), &TestKey::ed25519("ed-2").for_algorithm("Ed25519")])
    }) {
        for id in ["ed-1", "ed-2"] {
            let valid = || row.partner().assertion().signed_by(&TestKey::ed25519(id));
            row.accepts("EdDSA", valid().header("alg", "EdDSA")).await;
            row.accepts("Ed25519", valid().header("alg", "Ed25519")).await;
        }
    }

    "JH-12" a_key_in_the_header_is_never_used(row) {
        row.accepts("no jwk", row.partner().assertion()).await;
        let attacker = TestKey::rsa("rsa-b");
        let forged = row.partner().assertion().secretly_signed_by(&attacker);
        row.refuses("its own key", forged.clone().header("jwk", attacker.jwk()), "assertion.forbidden_header").await;
        row.refuses("without jwk", forged, "claims.signature").await;
    }

    "JH-13" a_key_set_url_in_the_header_is_never_fetched(row) {
        row.accepts("no jku", row.partner().assertion()).await;
        let attacker_key = TestKey::rsa("rsa-b");
        let attacker = TestIssuer::start(&[&attacker_key]).await;
        let urls = [
            format!("{}/jwks", attacker.url()),
            format!("https://idp.partner.example/redirect?to={}/jwks", attacker.url()),
            format!("http://idp.partner.example@{}/jwks", attacker.address),
        ];
        for url in urls {
            let forged = row.partner().assertion().signed_by(&attacker_key).header("jku", url.as_str());
            row.refuses(&url, forged, "assertion.forbidden_header").await;
        }
        assert_eq!(attacker.hits(), 0, "somebody asked the attacker for keys");
    }

    "JH-14" a_certificate_url_in_the_header_is_never_fetched(row) {
        row.accepts("no x5u", row.partner().assertion()).await;
        let attacker_key = TestKey::rsa("rsa-b");
        let attacker = TestIssuer::start(&[&attacker_key]).await;
        let url = format!("{}/chain.pem", attacker.url());
        let forged = row.partner().assertion().signed_by(&attacker_key).header("x5u", url.as_str());
        row.refuses("x5u", forged, "assertion.forbidden_header").await;
        assert_eq!(attacker.hits(), 0, "somebody asked the attacker for a certificate");
    }

    "JH-15" a_certificate_in_the_header_is_never_used(row, |setup, _| partner_with(setup, &[&TestKey::p256("ec")])) {
        row.accepts("no x5c", row.partner().assertion().signed_by(&TestKey::p256("ec"))).await;
        let pair = rcgen::KeyPair::generate().expect("a key");
        let names = rcgen::CertificateParams::new(vec!["idp.partner.example".to_owned()]).expect("a name");
        let certificate = names.self_signed(&pair).expect("a certificate");
        let attacker = TestKey::p256_from_pkcs8("ec", pair.serialized_der());
        let chain = [base64::Engine::encode(&base64::engine::general_purpose::STANDARD, certificate.der())];
        let forged = row.partner().assertion().signed_by(&attacker).header("x5c", json!(chain));
        row.refuses("x5c", forged, "assertion.forbidden_header").await;
    }

    "JH-16" a_certificate_thumbprint_beside_the_kid_is_harmless(row) {
        let thumbprint = base64url([7; 20]);
        row.accepts("GitHub", row.github().assertion().header("x5t", thumbprint.as_str())).await;
        let azure = row.broker.platforms.azure.assertion();
        row.accepts("Entra", azure.header("x5t", thumbprint.as_str())).await;
    }
}
