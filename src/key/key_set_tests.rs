use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;

const MESSAGE: &[u8] = b"header.claims";

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa(size: aws_lc_rs::rsa::KeySize) -> (RsaKeyPair, Value) {
    let pair = RsaKeyPair::generate(size).unwrap();
    let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
    let jwk = json!({"kty": "RSA", "kid": "r", "n": encode(n.big_endian_without_leading_zero()),
        "e": encode(e.big_endian_without_leading_zero())});
    (pair, jwk)
}

fn sign_rsa(pair: &RsaKeyPair, padding: &'static dyn RsaEncoding) -> Vec<u8> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(padding, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
    signature
}

fn ec(curve: &str, algorithm: &'static EcdsaSigningAlgorithm) -> (EcdsaKeyPair, Value) {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let jwk = json!({"kty": "EC", "kid": "e", "crv": curve, "x": encode(x), "y": encode(y)});
    (pair, jwk)
}

fn p256() -> (EcdsaKeyPair, Value) {
    ec("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING)
}

fn ed25519() -> (Ed25519KeyPair, Value) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())});
    (pair, jwk)
}

fn with(jwk: &Value, name: &str, value: Value) -> Value {
    let mut changed = jwk.clone();
    changed[name] = value;
    changed
}

fn parse_for(jwks: &[Value], purpose: KeySetUse) -> KeySet {
    KeySet::parse(json!({"keys": jwks}).to_string().as_bytes(), purpose, &Algorithm::ALL).unwrap()
}

fn parse(jwks: &[Value]) -> KeySet {
    parse_for(jwks, KeySetUse::Oidc)
}

fn find(set: &KeySet, id: &str, algorithm: Algorithm) -> Result<VerifyingKey, &'static str> {
    set.find(Some(&KeyId::parse(id).unwrap()), algorithm, false).map_err(|refusal| refusal.cause())
}

#[track_caller]
fn skipped(jwk: &Value, reason: SkippedKey) {
    let (_, neighbour) = ed25519();
    let set = parse(&[jwk.clone(), with(&neighbour, "kid", json!("neighbour"))]);
    assert_eq!(set.skipped().iter().collect::<Vec<_>>(), [(&reason, &1)], "{jwk}");
    assert!(find(&set, "neighbour", Algorithm::EdDSA).is_ok());
}

#[test]
fn each_algorithm_verifies_its_own_signature_and_no_other() {
    let random = SystemRandom::new();
    let (rsa_pair, rsa_jwk) = rsa(aws_lc_rs::rsa::KeySize::Rsa2048);
    let (p256_pair, p256_jwk) = p256();
    let (p384_pair, p384_jwk) = ec("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING);
    let (p521_pair, p521_jwk) = ec("P-521", &ECDSA_P521_SHA512_FIXED_SIGNING);
    let (ed_pair, ed_jwk) = ed25519();
    let named = |jwk: &Value, id: &str| with(jwk, "kid", json!(id));
    let set = parse(&[rsa_jwk, p256_jwk, named(&p384_jwk, "e384"), named(&p521_jwk, "e521"), ed_jwk]);
    let signed = [
        ("r", Algorithm::RS256, sign_rsa(&rsa_pair, &RSA_PKCS1_SHA256)),
        ("r", Algorithm::PS512, sign_rsa(&rsa_pair, &RSA_PSS_SHA512)),
        ("e", Algorithm::ES256, p256_pair.sign(&random, MESSAGE).unwrap().as_ref().to_vec()),
        ("e384", Algorithm::ES384, p384_pair.sign(&random, MESSAGE).unwrap().as_ref().to_vec()),
        ("e521", Algorithm::ES512, p521_pair.sign(&random, MESSAGE).unwrap().as_ref().to_vec()),
        ("o", Algorithm::EdDSA, ed_pair.sign(MESSAGE).as_ref().to_vec()),
    ];
    for (id, algorithm, signature) in &signed {
        let key = find(&set, id, *algorithm).unwrap();
        assert!(key.verify(MESSAGE, signature), "{algorithm}");
        assert!(!key.verify(b"header.Claims", signature), "{algorithm}");
        assert!(!key.verify(MESSAGE, &signature[1..]) && !key.verify(MESSAGE, &[]), "{algorithm}");
    }
    assert!(!find(&set, "r", Algorithm::RS384).unwrap().verify(MESSAGE, &signed[0].2));
    assert_eq!(find(&set, "e", Algorithm::ES384).unwrap_err(), "key.algorithm");
    assert_eq!(find(&set, "e384", Algorithm::ES512).unwrap_err(), "key.algorithm");
    assert_eq!(find(&set, "e521", Algorithm::ES256).unwrap_err(), "key.algorithm");
    assert_eq!(find(&set, "r", Algorithm::ES256).unwrap_err(), "key.algorithm");
    assert_eq!(find(&set, "R", Algorithm::RS256).unwrap_err(), "key.unknown");
}

#[test]
fn an_ecdsa_signature_of_zeros_or_in_der_is_refused() {
    let (pair, jwk) = p256();
    let key = find(&parse(&[jwk]), "e", Algorithm::ES256).unwrap();
    assert!(!key.verify(MESSAGE, &[0; 64]));
    let good = pair.sign(&SystemRandom::new(), MESSAGE).unwrap();
    assert!(key.verify(MESSAGE, good.as_ref()));
    let padded: Vec<u8> = good.as_ref().iter().copied().chain([0]).collect();
    assert!(!key.verify(MESSAGE, &padded));
    let der_pair = EcdsaKeyPair::from_pkcs8(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        pair.to_pkcs8v1().unwrap().as_ref(),
    )
    .unwrap();
    assert!(!key.verify(MESSAGE, der_pair.sign(&SystemRandom::new(), MESSAGE).unwrap().as_ref()));
}

#[test]
fn a_key_says_its_algorithm_and_the_issuers_list_limits_it() {
    let (_, jwk) = rsa(aws_lc_rs::rsa::KeySize::Rsa2048);
    let set = parse(&[with(&jwk, "alg", json!("RS256"))]);
    assert!(find(&set, "r", Algorithm::RS256).is_ok());
    assert_eq!(find(&set, "r", Algorithm::PS256).unwrap_err(), "key.algorithm");
    let document = json!({"keys": [jwk]}).to_string();
    let set = KeySet::parse(document.as_bytes(), KeySetUse::Oidc, &[Algorithm::RS256]).unwrap();
    assert_eq!(set.keys().count(), 1);
    let set = KeySet::parse(document.as_bytes(), KeySetUse::Oidc, &[Algorithm::ES256]).unwrap();
    assert_eq!(set.skipped().get(&SkippedKey::AlgorithmNotAllowed), Some(&1));
}

#[test]
fn a_key_that_cannot_be_used_is_left_out_with_its_reason_and_the_rest_stays() {
    let (_, rsa_jwk) = rsa(aws_lc_rs::rsa::KeySize::Rsa2048);
    let (_, ec_jwk) = p256();
    let (_, p521_jwk) = ec("P-521", &ECDSA_P521_SHA512_FIXED_SIGNING);
    let (_, ed_jwk) = ed25519();
    for (jwk, reason) in [
        (json!("key"), SkippedKey::Malformed),
        (json!({"kid": "a"}), SkippedKey::Malformed),
        (json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}), SkippedKey::UnknownType),
        (json!({"kty": "oct", "k": "AAAA"}), SkippedKey::Symmetric),
        (with(&rsa_jwk, "d", json!("AAAA")), SkippedKey::PrivateKey),
        (with(&ec_jwk, "d", json!("AAAA")), SkippedKey::PrivateKey),
        (with(&rsa_jwk, "use", json!("enc")), SkippedKey::WrongUse),
        (with(&rsa_jwk, "use", json!("jwt-svid")), SkippedKey::WrongUse),
        (with(&rsa_jwk, "use", json!(null)), SkippedKey::WrongUse),
        (with(&rsa_jwk, "key_ops", json!(["sign"])), SkippedKey::WrongOperation),
        (with(&rsa_jwk, "key_ops", json!("verify")), SkippedKey::WrongOperation),
        (with(&rsa_jwk, "kid", json!(5)), SkippedKey::BadKeyId),
        (with(&rsa_jwk, "kid", json!("")), SkippedKey::BadKeyId),
        (with(&rsa_jwk, "kid", json!("a".repeat(257))), SkippedKey::BadKeyId),
        (with(&rsa_jwk, "alg", json!("RSA-OAEP")), SkippedKey::WrongAlgorithm),
        (with(&rsa_jwk, "alg", json!("ES256")), SkippedKey::WrongAlgorithm),
        (with(&ec_jwk, "alg", json!("ES384")), SkippedKey::WrongAlgorithm),
        (with(&ec_jwk, "alg", json!(["ES256"])), SkippedKey::WrongAlgorithm),
        (with(&ec_jwk, "crv", json!("secp256k1")), SkippedKey::UnknownCurve),
        (with(&ec_jwk, "crv", json!("P-384")), SkippedKey::Malformed),
        (with(&ec_jwk, "x", json!("AAAA")), SkippedKey::Malformed),
        // 521 bits are 66 bytes, also where the first one is zero (RFC 7518 §6.2.1.2).
        (with(&p521_jwk, "x", json!(encode(&[1; 65]))), SkippedKey::Malformed),
        (with(&p521_jwk, "x", p521_jwk["y"].clone()), SkippedKey::BadPoint),
        (with(&ec_jwk, "x", ec_jwk["y"].clone()), SkippedKey::BadPoint),
        (with(&with(&ec_jwk, "x", json!(encode(&[0; 32]))), "y", json!(encode(&[0; 32]))), SkippedKey::BadPoint),
        (with(&ed_jwk, "crv", json!("Ed448")), SkippedKey::UnknownCurve),
        (with(&ed_jwk, "crv", json!("X25519")), SkippedKey::UnknownCurve),
        (with(&ed_jwk, "x", json!(encode(&[9; 31]))), SkippedKey::Malformed),
        (with(&rsa_jwk, "n", json!("!")), SkippedKey::Malformed),
        (with(&rsa_jwk, "e", json!("Aw")), SkippedKey::WeakOrHugeRsa),
        (with(&rsa_jwk, "e", json!("AQ")), SkippedKey::WeakOrHugeRsa),
        (with(&rsa_jwk, "e", json!("AQAC")), SkippedKey::WeakOrHugeRsa),
        (with(&rsa_jwk, "n", json!(encode(&[0xff; 128]))), SkippedKey::WeakOrHugeRsa),
        (with(&rsa_jwk, "n", json!(encode(&[&[0x7f][..], &[0xff; 255]].concat()))), SkippedKey::WeakOrHugeRsa),
        (with(&rsa_jwk, "n", json!(encode(&[0xff; 1025]))), SkippedKey::WeakOrHugeRsa),
    ] {
        skipped(&jwk, reason);
    }
}

#[test]
fn an_ed25519_point_of_small_order_or_with_a_second_name_is_left_out() {
    let (_, jwk) = ed25519();
    let low = |first: u8, rest: u8, last: u8| {
        let mut point = [rest; 32];
        (point[0], point[31]) = (first, last);
        point
    };
    let mut points = vec![
        low(0, 0, 0),
        low(0, 0, 0x80),
        low(1, 0, 0),
        low(1, 0, 0x80),
        low(0xec, 0xff, 0x7f),
        low(0xec, 0xff, 0xff),
        low(0xed, 0xff, 0x7f),
        low(0xee, 0xff, 0xff),
        low(0xff, 0xff, 0x7f),
    ];
    for text in [
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    ] {
        let byte = |index: usize| u8::from_str_radix(text.get(index * 2..index * 2 + 2).unwrap(), 16).unwrap();
        let mut point: [u8; 32] = std::array::from_fn(byte);
        points.push(point);
        point[31] |= 0x80;
        points.push(point);
    }
    for point in points {
        skipped(&with(&jwk, "x", json!(encode(&point))), SkippedKey::BadPoint);
    }
}

#[test]
fn x5c_is_not_read() {
    let (pair, jwk) = p256();
    let set = parse(&[with(&jwk, "x5c", json!([5, "not a certificate"]))]);
    let signature = pair.sign(&SystemRandom::new(), MESSAGE).unwrap();
    assert!(find(&set, "e", Algorithm::ES256).unwrap().verify(MESSAGE, signature.as_ref()));
}

#[test]
fn two_keys_with_one_kid_and_algorithm_are_both_left_out() {
    let ((_, one), (_, two), (_, other_curve)) = (p256(), p256(), ec("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING));
    let set = parse(&[one.clone(), two, other_curve]);
    assert_eq!(find(&set, "e", Algorithm::ES256).unwrap_err(), "key.algorithm");
    assert!(find(&set, "e", Algorithm::ES384).is_ok());
    assert_eq!(set.skipped().get(&SkippedKey::DuplicateKeyId), Some(&2));
    let same_twice = parse(&[one.clone(), one]);
    assert!(find(&same_twice, "e", Algorithm::ES256).is_ok() && same_twice.keys().count() == 1);
}

#[test]
fn without_a_kid_exactly_one_key_must_fit_and_the_issuer_must_allow_it() {
    let ((_, one), (_, two), (_, ed)) = (p256(), p256(), ed25519());
    let set = parse(&[one.clone(), ed.clone()]);
    assert_eq!(set.find(None, Algorithm::ES256, false).unwrap_err(), KeyRefusal::MissingKeyId);
    assert!(set.find(None, Algorithm::ES256, true).is_ok());
    assert_eq!(set.find(None, Algorithm::RS256, true).unwrap_err(), KeyRefusal::NoneFits);
    let set = parse(&[one, with(&two, "kid", json!("f")), ed]);
    assert_eq!(set.find(None, Algorithm::ES256, true).unwrap_err(), KeyRefusal::Ambiguous);
}

#[test]
fn of_a_spiffe_bundle_only_jwt_svid_keys_count() {
    let (_, jwk) = p256();
    let of_use = |kid: &str, name: Value| with(&with(&jwk, "kid", json!(kid)), "use", name);
    let bundle =
        [of_use("a", json!("jwt-svid")), of_use("b", json!("x509-svid")), of_use("c", json!("sig")), jwk.clone()];
    let set = parse_for(&bundle, KeySetUse::SpiffeJwt);
    assert!(find(&set, "a", Algorithm::ES256).is_ok());
    assert_eq!((set.keys().count(), set.skipped().get(&SkippedKey::WrongUse)), (1, Some(&2)));
    assert_eq!(set.skipped().get(&SkippedKey::BadCertificate), Some(&1), "`b` has no x5c");
}

#[test]
fn a_bundles_sequence_and_hint_never_wrap_and_the_hint_is_bounded() {
    let read = |sequence: Value, hint: Value| {
        let text = json!({"keys": [], "spiffe_sequence": sequence, "spiffe_refresh_hint": hint}).to_string();
        let set = KeySet::parse(text.as_bytes(), KeySetUse::SpiffeJwt, &Algorithm::ALL).unwrap();
        (set.sequence(), set.refresh_hint().unwrap().as_secs())
    };
    assert_eq!(read(json!(u64::MAX), json!(600)), (Some(u64::MAX), 600));
    for bad in [json!(1.5), json!("7"), json!(-1), json!(1e30)] {
        assert_eq!(read(bad.clone(), bad), (None, 300));
    }
    assert_eq!((read(json!(0), json!(0)).1, read(json!(0), json!(2_419_200)).1), (60, 86_400));
}

#[test]
fn what_is_no_key_set_is_a_fault_and_an_empty_one_is_not() {
    let read = |text: &str| KeySet::parse(text.as_bytes(), KeySetUse::Oidc, &Algorithm::ALL);
    assert!(read(r#"{"keys":[]}"#).unwrap().is_empty());
    for bad in ["{}", r#"{"keys":null}"#, r#"{"keys":{}}"#] {
        assert_eq!(read(bad).unwrap_err(), KeySetFault::NoKeys, "{bad}");
    }
    assert_eq!(read(r#"{"keys":[],"keys":[]}"#).unwrap_err(), KeySetFault::Json(JsonFault::Duplicate));
    assert_eq!(read("<html>").unwrap_err(), KeySetFault::Json(JsonFault::Malformed));
    assert!(read(&json!({"keys": vec![json!({}); 100]}).to_string()).is_ok());
    assert_eq!(read(&json!({"keys": vec![json!({}); 101]}).to_string()).unwrap_err(), KeySetFault::TooManyKeys);
    assert_eq!(read(&" ".repeat(MAX_BYTES + 1)).unwrap_err(), KeySetFault::TooLarge);
}

#[test]
fn every_platforms_key_set_has_the_key_of_its_token_and_only_signature_keys() {
    for kind in crate::kind::IssuerKind::ALL {
        let is_spiffe = *kind == crate::kind::IssuerKind::SPIFFE;
        let purpose = if is_spiffe { KeySetUse::SpiffeJwt } else { KeySetUse::Oidc };
        let set = KeySet::parse(kind.fixture.keys.as_bytes(), purpose, kind.algorithms).unwrap();
        let header = json::object(kind.fixture.header.as_bytes()).unwrap();
        let named = KeyId::parse(header["kid"].as_str().unwrap()).unwrap();
        let algorithm = Algorithm::from_name(header["alg"].as_str().unwrap()).unwrap();
        assert!(set.find(Some(&named), algorithm, false).is_ok(), "{kind}");
        let published = json::object(kind.fixture.keys.as_bytes()).unwrap()["keys"].as_array().unwrap().len();
        assert_eq!(set.keys().count(), published - usize::from(is_spiffe), "{kind}");
    }
}

#[test]
fn every_reason_for_leaving_a_key_out_is_in_the_table_of_the_key_cache() {
    let page = include_str!("../../docs/key-cache.md");
    for reason in SkippedKey::ALL {
        assert!(page.lines().any(|line| line.starts_with('|') && line.contains(&format!("`{}`", reason.name()))));
    }
}
