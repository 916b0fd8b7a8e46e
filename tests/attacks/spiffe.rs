//! spiffe: a JWT-SVID speaks for one workload of one configured trust domain, by a key that the bundle has for that.

use serde_json::{Value, json};

use crate::row::Row;
use crate::support::JWT_SPIFFE;
use crate::support::assertion::Assertion;
use crate::support::faulty::FaultyIssuer;
use crate::support::keys::TestKey;
use crate::support::platform::Platform;
use crate::support::setup::{Platforms, Setup};
use crate::support::wire::Request;

/// The settings of `mesh` with its bundle fetched from there.
pub fn fetched_from(issuer: &FaultyIssuer) -> String {
    format!(
        "{{ kind: spiffe, trust_domain: prod.acme.example, danger_allow_http: true, \
         bundle: {{ url: \"{}\", profile: https_web }} }}",
        issuer.keys_url()
    )
}

/// The request that signs in with a JWT-SVID.
pub fn svid(assertion: impl Into<String>) -> Request {
    let assertion = assertion.into();
    Request::token(&[
        ("grant_type", "client_credentials"),
        ("client_assertion_type", JWT_SPIFFE),
        ("client_assertion", &assertion),
    ])
}

/// The key as a bundle has it (SPIFFE Trust Domain and Bundle §4.2.2).
pub fn bundle_key(key: &TestKey) -> Value {
    let mut jwk = key.jwk();
    jwk["use"] = json!("jwt-svid");
    jwk
}

fn valid() -> Assertion {
    Platform::spiffe().assertion()
}

/// The longest trust domain (SPIFFE-ID §2.3).
fn long_domain() -> String {
    "d".repeat(255)
}

fn other_domain() -> Platform {
    Platform::spiffe().with_key(TestKey::p256("other-svid"))
}

/// Also trusts two other domains, each with workloads of its own.
fn with_other_domains(setup: Setup, _: &Platforms) -> Setup {
    let keys = json!({ "keys": [bundle_key(&other_domain().key)] }).to_string();
    let setup = [("other", "other.example".to_owned()), ("long", long_domain())].into_iter().fold(
        setup,
        |setup, (name, domain)| {
            let settings = format!("{{ kind: spiffe, trust_domain: {domain}, bundle: {{ file: {name}.json }} }}");
            let policy = format!(
                "policy: {name}\nissuer: {name}\nmatch: {{ sub: {{ glob: \"spiffe://{domain}/**\" }} }}\n\
                 user: {name}\nscopes: [\"service:my-api\"]\n"
            );
            setup.issuer(name, &settings).file(&format!("trust-bundles/{name}.json"), &keys).policy(name, &policy)
        },
    );
    setup.policy(
        "mesh-all",
        "policy: mesh-all
issuer: mesh
match: { sub: { glob: \"spiffe://prod.acme.example/long/**\" } }
user: mesh-all
scopes: [\"service:my-api\"]
",
    )
}

/// The bundle of `mesh` with these keys in place of its own.
fn with_bundle(keys: Vec<Value>) -> impl FnOnce(Setup, &Platforms) -> Setup {
    move |setup, platforms| {
        let keys = [vec![bundle_key(&platforms.spiffe.key)], keys].concat();
        setup.file("trust-bundles/mesh.json", &json!({ "keys": keys }).to_string())
    }
}

fn named(mut jwk: Value, id: &str, purpose: Value) -> Value {
    jwk["kid"] = json!(id);
    jwk["use"] = purpose;
    if jwk["use"].is_null() {
        jwk.as_object_mut().unwrap().remove("use");
    }
    jwk
}

async fn refuses_subject(row: &Row, sub: &str, cause: &str) {
    row.refuses(sub, svid(valid().claim("sub", sub)), cause).await;
}

rows! {
    "SP-01" a_subject_that_is_no_spiffe_id_is_refused(row) {
        row.accepts("a SPIFFE ID", svid(valid())).await;
        let domain = "prod.acme.example";
        for sub in [
            "http://prod.acme.example/x",
            "prod.acme.example/x",
            "spiffe:/prod.acme.example/x",
            "spiffe:prod.acme.example/x",
            "spiffe:///a",
            "spiffe://",
            "spiffe",
        ] {
            refuses_subject(&row, sub, "issuer.malformed").await;
        }
        for rest in [":8080/a", "?q", "#f", "/a?q", "/a#f", "/%41", "//a", "/a//b", "/.", "/..", "/a/../b", "/a/", "/",
            "/a b", "/\u{e4}", "/a\\b", "/a:b", "/a@b"]
        {
            refuses_subject(&row, &format!("spiffe://{domain}{rest}"), "issuer.malformed").await;
        }
        for before in ["u@", "u:p@", "@", " ", "%70"] {
            refuses_subject(&row, &format!("spiffe://{before}{domain}/a"), "issuer.malformed").await;
        }
        row.refuses("empty", svid(valid().claim("sub", "")), "issuer.malformed").await;
    }

    "SP-02" capitals_in_scheme_or_trust_domain_are_refused(row) {
        row.accepts("lower case", svid(valid())).await;
        let sub = valid().claims()["sub"].as_str().unwrap().to_owned();
        refuses_subject(&row, &sub.replace("prod.acme.example", "Prod.acme.example"), "issuer.malformed").await;
        refuses_subject(&row, &sub.replace("prod.acme.example", "PROD.ACME.EXAMPLE"), "issuer.malformed").await;
        refuses_subject(&row, &sub.replace("spiffe:", "SPIFFE:"), "issuer.malformed").await;
        refuses_subject(&row, &sub.replace("spiffe:", "Spiffe:"), "issuer.malformed").await;
    }

    "SP-03" the_longest_spiffe_id_and_trust_domain_are_served(row, with_other_domains) {
        let of_length = |length: usize| {
            let start = "spiffe://prod.acme.example/long/";
            format!("{start}{}", "x".repeat(length - start.len()))
        };
        row.accepts("2,048 bytes", svid(valid().claim("sub", of_length(2048)))).await;
        let in_domain = |domain: &str| other_domain().assertion().claim("sub", format!("spiffe://{domain}/ns/x"));
        row.accepts("a domain of 255 bytes", svid(in_domain(&long_domain()))).await;
        let refused = (401, "invalid_client");
        let longer = svid(valid().claim("sub", of_length(2049)));
        row.refuses_as(refused, "2,049 bytes", longer, "issuer.malformed").await;
        let longer = svid(in_domain(&format!("{}d", long_domain())));
        row.refuses_as(refused, "a domain of 256 bytes", longer, "issuer.malformed").await;
    }

    "SP-04" a_trust_domain_s_own_id_is_no_workload(row) {
        row.accepts("a workload's", svid(valid())).await;
        refuses_subject(&row, "spiffe://prod.acme.example", "issuer.malformed").await;
        refuses_subject(&row, "spiffe://prod.acme.example/", "issuer.malformed").await;
    }

    "SP-05" a_trust_domain_speaks_only_for_itself(row, with_other_domains) {
        row.accepts("its own", svid(valid())).await;
        let sub = "spiffe://other.example/ns/x";
        row.accepts("the other's own", svid(other_domain().assertion().claim("sub", sub))).await;
        row.refuses("its key, the other's subject", svid(valid().claim("sub", sub)), "key.unknown").await;
        let disguised = TestKey::p256("svid-1").named("other-svid");
        let posing = other_domain().assertion().claim("sub", sub).secretly_signed_by(&disguised);
        row.refuses("under the other's kid", svid(posing), "claims.signature").await;
        let own_name = valid().claim("sub", sub).claim("iss", "spiffe://prod.acme.example");
        row.refuses("with an iss of its own", svid(own_name), "key.unknown").await;
    }

    "SP-06" a_trust_domain_nobody_configured_is_refused(row) {
        row.accepts("the configured one", svid(valid())).await;
        let others =
            ["staging.acme.example", "acme.example", "prod.acme.example.evil", "prod.acme.exampl", "xprod.acme"];
        for domain in others {
            let sub = format!("spiffe://{domain}/ns/payments/sa/api");
            refuses_subject(&row, &sub, "issuer.trust_domain_unknown").await;
        }
    }

    "SP-07" a_key_that_is_not_for_jwt_svids_signs_none(row, with_bundle(vec![
        named(TestKey::p256("k").jwk(), "x509", json!("x509-svid")),
        named(TestKey::p256("k").jwk(), "none", Value::Null),
        named(TestKey::p256("k").jwk(), "sig", json!("sig")),
        named(TestKey::p256("k").jwk(), "list", json!(["jwt-svid"])),
        named(TestKey::p256("k").jwk(), "capitals", json!("JWT-SVID")),
        named(TestKey::p256("k").jwk(), "right", json!("jwt-svid")),
    ])) {
        let by = |id: &str| svid(valid().signed_by(&TestKey::p256("k").named(id)));
        row.accepts("use jwt-svid", by("right")).await;
        for id in ["x509", "none", "sig", "list", "capitals"] {
            row.refuses(id, by(id), "key.unknown").await;
        }
    }

    "SP-08" a_wit_svid_is_no_bearer_token(row, with_bundle(vec![
        named(TestKey::p256("k").jwk(), "wit-1", json!("wit-svid")),
    ])) {
        let confirmation = json!({ "jwk": TestKey::p256("holder").bare_jwk() });
        row.accepts("a JWT-SVID", svid(valid())).await;
        let by_wit_key = valid().signed_by(&TestKey::p256("k").named("wit-1")).header("typ", "wit+jwt");
        let whole = by_wit_key.clone().without("aud").claim("cnf", confirmation.clone());
        row.refuses("as issued", svid(whole), "key.unknown").await;
        row.refuses("with an audience", svid(by_wit_key), "key.unknown").await;
        row.refuses("by its typ alone", svid(valid().header("typ", "wit+jwt")), "claims.token_type").await;
        row.refuses("by its cnf alone", svid(valid().claim("cnf", confirmation)), "claims.kind_rule").await;
        row.refuses("by its aud alone", svid(valid().without("aud")), "claims.malformed").await;
    }

    "SP-09" eddsa_signs_no_svid(row, with_bundle(vec![
        bundle_key(&TestKey::ed25519("ed-1")), bundle_key(&TestKey::p384("p384")), bundle_key(&TestKey::p521("p521")),
    ])) {
        row.accepts("ES256", svid(valid())).await;
        for key in [TestKey::p384("p384"), TestKey::p521("p521")] {
            row.accepts(&key.algorithm, svid(valid().signed_by(&key))).await;
        }
        let signed = svid(valid().signed_by(&TestKey::ed25519("ed-1")));
        row.refuses("EdDSA", signed, "key.algorithm_not_allowed").await;
        let posing = valid().signed_by(&TestKey::ed25519("ed-1")).header("alg", "ES256");
        row.refuses("as ES256", svid(posing), "key.unknown").await;
    }

    "SP-13" a_token_id_is_not_what_tells_svids_apart(row) {
        // JWT-SVID §7.1, WIT-SVID §3.3: agents cache an SVID and show it again.
        let once = valid().claim("jti", "the same").compact();
        row.accepts("first", svid(once.as_str())).await;
        row.accepts("again", svid(once.as_str())).await;
        row.accepts("another with its jti", svid(valid().claim("jti", "the same").claim("x", 1))).await;
        let wit = valid().claim("jti", "the same").header("typ", "wit+jwt").compact();
        for time in ["first", "again"] {
            let refused = (401, "invalid_client");
            row.refuses_as(refused, time, svid(wit.as_str()), "claims.token_type").await;
        }
    }

    "SP-21" a_bundle_url_has_no_user_information(row) {
        row.accepts("as configured", svid(valid())).await;
        let fetched = |url: &str| format!("bundle: {{ url: \"{url}\", profile: https_web }}");
        let configured = "bundle: { file: mesh.json }";
        for url in ["https://u:p@spire.example/bundle", "https://u@spire.example/bundle", "https://:p@spire.example"] {
            row.is_no_configuration(configured, &fetched(url), "must have no user information").await;
        }
        let others = ["http://spire.example/bundle", "https://spire.example/bundle#f", "file:///etc", "spire.example"];
        for url in others {
            row.is_no_configuration(configured, &fetched(url), "url").await;
        }
        row.accepts("afterwards", svid(valid())).await;
    }

    "SP-22" a_trust_domain_is_never_guessed(row) {
        row.accepts("as configured", svid(valid())).await;
        row.is_no_configuration("trust_domain: prod.acme.example, ", "", "trust_domain").await;
        row.is_no_configuration("trust_domain: prod.acme.example, bundle: { file: mesh.json }",
            "bundle: { url: \"https://prod.acme.example/bundle\", profile: https_web }", "trust_domain").await;
        // Nor is the profile, by what a URL looks like (SPIFFE Federation §5.1).
        row.is_no_configuration("bundle: { file: mesh.json }",
            "bundle: { url: \"https://prod.acme.example/bundle\" }", "profile").await;
        for written in ["\"\"", "\"spiffe://prod.acme.example\"", "Prod.acme.example", "\"prod.acme.example/x\"", "7"] {
            let written = format!("trust_domain: {written}");
            row.is_no_configuration("trust_domain: prod.acme.example", &written, "trust_domain").await;
        }
        row.accepts("afterwards", svid(valid())).await;
    }

    "SP-24" the_assertion_type_says_what_the_token_is(row) {
        row.accepts("an SVID as jwt-spiffe", svid(valid())).await;
        row.accepts("a token as jwt-bearer", row.partner().assertion()).await;
        row.refuses("an SVID as jwt-bearer", valid(), "issuer.shape").await;
        row.refuses("a token as jwt-spiffe", svid(row.partner().assertion()), "issuer.shape").await;
        row.refuses("GitHub's as jwt-spiffe", svid(row.github().assertion()), "issuer.shape").await;
        let both = row.partner().assertion().claim("sub", "spiffe://prod.acme.example/ns/payments/sa/api");
        row.refuses("a token whose sub is a SPIFFE ID, as jwt-spiffe", svid(both), "key.unknown").await;
        let iss = row.partner().issuer().to_owned();
        row.refuses("an SVID with a trusted iss, as jwt-bearer", valid().claim("iss", iss), "key.unknown").await;
    }
}
