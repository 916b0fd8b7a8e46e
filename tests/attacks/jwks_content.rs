//! jwks-content: what an issuer publishes is read key by key; what must not verify is left out, and what is no key set
//! leaves the last good one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use countersign::key::SkippedKey;

use crate::issuer_row::{as_partner, fault};
use crate::row::Row;
use crate::support::faulty::{Answer, Delivery, FaultyIssuer};
use crate::support::keys::{TestKey, base64url, jwks};
use crate::support::platform::Platform;
use crate::support::setup::Setup;
use crate::support::wire::Request;

const RIVAL: &str = "https://idp.rival.example";

/// Another issuer, whose key has the `kid` of the first one's.
fn with_rival(setup: Setup, issuer: &FaultyIssuer) -> Setup {
    let same_id = TestKey::rsa("rsa-b").named("good");
    as_partner(setup, issuer).key_file("rival", &format!("kind: oidc, url: {RIVAL}"), &[&same_id]).policy(
        "rival-build",
        "policy: rival-build
issuer: rival
match: { sub: e6a0c5c4-52b7-4c39-9d0f-3a6f1a7b2d10 }
user: rival-build
scopes: [\"service:my-api\"]
",
    )
}

/// Trusts one issuer as `partner`, and its keys as the bundle of `mesh`.
pub fn as_partner_and_mesh(setup: Setup, issuer: &FaultyIssuer) -> Setup {
    as_partner(setup, issuer).issuer("mesh", &crate::spiffe::fetched_from(issuer))
}

/// An issuer of a name that no other test has: metrics belong to the process.
const LEAKING: &str = "jw-01-leaking";

/// Trusts one issuer as `partner`, and its keys as the bundle of [`LEAKING`].
fn as_partner_and_leaking(setup: Setup, issuer: &FaultyIssuer) -> Setup {
    let settings = crate::spiffe::fetched_from(issuer).replace("prod.acme.example", "leaking.example");
    as_partner(setup, issuer).issuer(LEAKING, &settings)
}

/// The JWK with one member set.
fn with(key: &TestKey, name: &str, value: impl Into<Value>) -> Value {
    let mut jwk = key.jwk();
    jwk[name] = value.into();
    jwk
}

/// Publishes this key beside the good one: tokens of it are then refused for this reason, of the good one not.
async fn leaves_out(row: &Row, issuer: &FaultyIssuer, key: &TestKey, jwk: Value, reason: SkippedKey) {
    let what = jwk.to_string();
    issuer.publish([TestKey::p256("good").jwk(), key.jwk()]);
    row.broker.refresh_keys("partner").await.expect("a good answer");
    row.accepts("its good form", issuer.assertion().signed_by(key)).await;
    issuer.publish([TestKey::p256("good").jwk(), jwk]);
    row.broker.refresh_keys("partner").await.expect("the rest of the set is good");
    row.refuses(&what, issuer.assertion().signed_by(key), "key.unknown").await;
    row.accepts("the key beside it", issuer.assertion()).await;
    assert_eq!(row.broker.key_status("partner").skipped.get(&reason), Some(&1), "{what}");
}

issuer_rows! {
    "JW-01" a_published_private_key_verifies_nothing_from_then_on_and_raises_an_alarm(row, issuer, as_partner_and_leaking) {
        let (rsa, point) = (TestKey::rsa("rsa-b"), TestKey::p256("leaked"));
        for member in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
            leaves_out(&row, &issuer, &rsa, with(&rsa, member, "AQAB"), SkippedKey::PrivateKey).await;
        }
        leaves_out(&row, &issuer, &point, with(&point, "d", base64url([7; 32])), SkippedKey::PrivateKey).await;
        let admin = row.broker.serve_admin().await;
        let alarm = async || {
            row.broker.refresh_keys(LEAKING).await.expect("an answer");
            let name = format!("countersign_keys_skipped{{issuer=\"{LEAKING}\",reason=\"private_key\"}} ");
            let text = admin.send(&Request::get("/metrics")).await.text();
            let value = text.lines().find_map(|line| line.strip_prefix(&name));
            value.unwrap_or_else(|| panic!("no alarm in {text}")).to_owned()
        };
        assert_eq!(alarm().await, "1");
        issuer.publish([TestKey::p256("good").jwk(), with(&rsa, "use", "enc")]);
        assert_eq!(alarm().await, "0", "a key left out for another reason is none");
    }

    "JW-02" a_shared_secret_is_no_issuer_s_key(row, issuer) {
        let secret = b"a secret that everybody can read";
        let oct = json!({ "kty": "oct", "kid": "shared", "k": base64url(secret), "alg": "HS256", "use": "sig" });
        row.accepts("the good key", issuer.assertion()).await;
        issuer.publish([TestKey::p256("good").jwk(), oct]);
        row.broker.refresh_keys("partner").await.unwrap();
        let signed = issuer.assertion().header("kid", "shared").compact_with_hmac("HS256", secret);
        row.refuses("HS256", signed, "assertion.algorithm").await;
        let claimed = issuer.assertion().header("kid", "shared");
        row.refuses("ES256 with its kid", claimed, "key.unknown").await;
        assert_eq!(row.broker.key_status("partner").skipped.get(&SkippedKey::Symmetric), Some(&1));
        row.accepts("the key beside it", issuer.assertion()).await;
    }

    "JW-03" a_key_for_another_use_verifies_nothing(row, issuer) {
        let key = TestKey::p256("other-use");
        leaves_out(&row, &issuer, &key, with(&key, "use", "enc"), SkippedKey::WrongUse).await;
        leaves_out(&row, &issuer, &key, with(&key, "use", json!(["sig"])), SkippedKey::WrongUse).await;
        for operations in [json!(["encrypt"]), json!(["sign"]), json!([]), json!("verify"), Value::Null] {
            leaves_out(&row, &issuer, &key, with(&key, "key_ops", operations), SkippedKey::WrongOperation).await;
        }
    }

    "JW-07" a_kid_belongs_to_the_issuer_that_published_it(row, issuer, with_rival) {
        let rival = Platform::oidc().at(RIVAL).with_key(TestKey::rsa("rsa-b").named("good"));
        row.accepts("the first", issuer.assertion()).await;
        row.accepts("the other", rival.assertion()).await;
        let crossed = issuer.assertion().signed_by(&rival.key);
        row.refuses("the other's key of the same name", crossed, "key.algorithm").await;
        issuer.publish([TestKey::rsa("rsa-c").named("good").jwk()]);
        row.broker.refresh_keys("partner").await.unwrap();
        let crossed = issuer.assertion().signed_by(&rival.key);
        row.refuses("of the same name and type", crossed, "claims.signature").await;
    }

    "JW-09" an_empty_key_set_drops_the_old_keys(row, issuer) {
        row.accepts("good keys", issuer.assertion()).await;
        issuer.answers(Answer::keys([]));
        row.broker.refresh_keys("partner").await.expect("an empty set is an answer");
        row.refuses("after it", issuer.assertion(), "key.unknown").await;
        row.broker.advance(std::time::Duration::from_secs(600));
        row.refuses("ten minutes after it", issuer.assertion(), "key.unknown").await;
        issuer.mend();
        row.recovers().await;
        row.accepts("good keys again", issuer.assertion()).await;
    }

    "JW-10" a_document_without_one_list_of_keys_fails_the_fetch(row, issuer) {
        let key = TestKey::p256("good").jwk();
        let twice = format!("{{\"keys\":[{key}],\"keys\":[]}}");
        for (text, reason) in [
            ("{}", "no list `keys`"),
            ("{\"keys\":null}", "no list `keys`"),
            ("{\"keys\":{}}", "no list `keys`"),
            (&format!("[{key}]"), "not a JSON object"),
            (&twice, "a member twice"),
        ] {
            row.refuses_the_answer(&issuer, fault(text, Answer::json(text), reason)).await;
        }
    }

    "JW-11" a_huge_key_set_ends_at_its_bound(row, issuer) {
        let megabyte = || vec![b' '; 1024 * 1024];
        let large = Answer::json("{").and(megabyte(), 10).and("}", 1);
        row.refuses_the_answer(&issuer, fault("10 MiB", large, "larger than 1 MiB")).await;
        let many = Answer::json("{\"keys\":[{}").and(",{}", 100_000).and("]}", 1);
        row.refuses_the_answer(&issuer, fault("100,000 keys", many, "more than 100 keys")).await;
        let sent = issuer.bytes_sent();
        let endless = Answer::json("{\"keys\":[").and(vec![b' '; 64 * 1024], 1).brought(Delivery::Endless);
        row.refuses_the_answer(&issuer, fault("endless", endless, "larger than 1 MiB")).await;
        // Two fetches, each one MiB and what the sockets hold.
        assert!(issuer.bytes_sent() - sent < 32 * 1024 * 1024, "{} bytes were taken", issuer.bytes_sent() - sent);
    }

    "JW-12" a_certificate_inside_a_key_changes_nothing(row, issuer) {
        let (own, other) = (TestKey::p256("own"), rcgen::KeyPair::generate().unwrap());
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&other).unwrap();
        let other = TestKey::p256_from_pkcs8("own", &other.serialize_der());
        issuer.publish([with(&own, "x5c", json!([STANDARD.encode(certificate.der())]))]);
        row.broker.refresh_keys("partner").await.unwrap();
        row.accepts("signed by the key", issuer.assertion().signed_by(&own)).await;
        let refused = (401, "invalid_client");
        let signed = issuer.assertion().signed_by(&other);
        row.refuses_as(refused, "signed by the certificate's key", signed, "claims.signature").await;
        issuer.publish([with(&own, "x5c", json!(["rubbish", 7]))]);
        row.broker.refresh_keys("partner").await.unwrap();
        row.accepts("beside rubbish", issuer.assertion().signed_by(&own)).await;
    }

    "JW-13" an_answer_that_is_not_json_by_its_type_fails_the_fetch(row, issuer) {
        let good = jwks([TestKey::p256("good").jwk()]);
        for content_type in ["text/html; charset=utf-8", "image/png", "text/plain", "application/octet-stream", ""] {
            let answer = Answer::json(good.as_str()).replace_header("content-type", content_type);
            row.refuses_the_answer(&issuer, fault(content_type, answer, "content type is not JSON")).await;
        }
        issuer.answers(Answer::json(good).replace_header("content-type", "application/jwk-set+json"));
        row.broker.refresh_keys("partner").await.expect("RFC 7517 §8.5");
    }

    "JW-14" a_key_counts_only_where_its_use_belongs(row, issuer, as_partner_and_mesh) {
        let (good, svid_key) = (TestKey::p256("good"), TestKey::p256("svid-1"));
        issuer.publish([good.jwk(), with(&svid_key, "use", "jwt-svid")]);
        for name in ["partner", "mesh"] {
            row.broker.refresh_keys(name).await.unwrap();
        }
        row.accepts("a token by the sig key", issuer.assertion()).await;
        row.accepts("an SVID by the jwt-svid key", crate::spiffe::svid(Platform::spiffe().assertion())).await;
        let token = issuer.assertion().signed_by(&svid_key);
        row.refuses("a token by the jwt-svid key", token, "key.unknown").await;
        let svid = crate::spiffe::svid(Platform::spiffe().assertion().signed_by(&good));
        row.refuses("an SVID by the sig key", svid, "key.unknown").await;
    }
}
