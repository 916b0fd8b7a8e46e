//! crypto, elliptic curves and what every algorithm shares.

use serde_json::json;

use crate::jose_algorithm::{partner_settings, partner_with};
use crate::support::keys::{TestKey, base64url, jwks, tagged};
use crate::support::raw_rsa::Number;
use crate::support::setup::{Platforms, Setup};

/// The order of P-256's group (FIPS 186-4 D.1.2.3).
const P256_ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
/// The order of Ed25519's group, least significant byte first (RFC 8032 §5.1).
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn ec() -> TestKey {
    TestKey::p256("ec-1")
}

fn ec_partner(setup: Setup, _: &Platforms) -> Setup {
    partner_with(setup, &[&ec()])
}

/// r and s as DER integers in a sequence, as X.509 has them.
fn der_of(signature: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let bytes: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        let padded = if bytes.first().is_none_or(|first| *first > 127) { [&[0], &bytes[..]].concat() } else { bytes };
        tagged(0x02, &padded)
    };
    let (r, s) = signature.split_at(signature.len() / 2);
    tagged(0x30, &[integer(r), integer(s)].concat())
}

rows! {
    "CR-01" one_changed_bit_is_refused(row) {
        let valid = row.partner().assertion().header("x5t", "AAAA").claim("note", "AAAA");
        row.accepts("unchanged", valid.compact()).await;
        let signed = row.partner().assertion().header("x5t", "AAAA").claim("note", "AAAA");
        let signature = row.partner().key.sign("RS256", signed.signing_input().as_bytes());
        let header = signed.clone().header("x5t", "AAAB").signature(signature.clone());
        row.refuses("header", header, "claims.signature").await;
        let claims = signed.clone().claim("note", "AAAB").signature(signature.clone());
        row.refuses("claims", claims, "claims.signature").await;
        for at in [0, 100, 255] {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            row.refuses("signature", signed.clone().signature(changed), "claims.signature").await;
        }
        let zeros = signed.clone().signature([0; 256]);
        row.refuses("all zeros", zeros, "claims.signature").await;
    }

    "CR-02" an_empty_signature_is_refused(row, |setup, platforms: &Platforms| {
        partner_with(setup, &[&platforms.partner.key, &ec()])
    }) {
        for key in [&row.partner().key, &ec()] {
            let valid = || row.partner().assertion().signed_by(key);
            row.accepts(&key.algorithm, valid()).await;
            row.refuses(&key.algorithm, valid().signature(b""), "assertion.not_compact").await;
            row.refuses("one byte", valid().signature(b"\0"), "claims.signature").await;
        }
    }

    "CR-03" a_psychic_signature_is_refused(row, ec_partner) {
        let valid = || row.partner().assertion().signed_by(&ec());
        row.accepts("ES256", valid()).await;
        let order = Number::from_hex(P256_ORDER);
        let (zero, order, above) = (vec![0; 32], order.to_bytes(), order.plus_one().to_bytes());
        let real = ec().sign("ES256", valid().signing_input().as_bytes());
        let (r, s) = (real[..32].to_vec(), real[32..].to_vec());
        let pairs = [
            ("both zero", &zero, &zero),
            ("r zero", &zero, &s),
            ("s zero", &r, &zero),
            ("r is the order", &order, &s),
            ("s is the order", &r, &order),
            ("both the order", &order, &order),
            ("r above the order", &above, &s),
            ("s above the order", &r, &above),
            ("both ones", &vec![255; 32], &vec![255; 32]),
        ];
        for (what, r, s) in pairs {
            row.refuses(what, valid().signature([r.as_slice(), s].concat()), "claims.signature").await;
        }
    }

    "CR-04" an_ecdsa_signature_has_its_fixed_form(row, ec_partner) {
        let valid = || row.partner().assertion().signed_by(&ec());
        row.accepts("r and s", valid()).await;
        let sign = |input: &[u8]| ec().sign("ES256", input);
        row.refuses("DER", valid().compact_with(|input| der_of(&sign(input))), "claims.signature").await;
        let padded = |input: &[u8]| {
            let real = sign(input);
            [&[0; 16], &real[..32], &[0; 16], &real[32..]].concat()
        };
        row.refuses("96 bytes", valid().compact_with(padded), "claims.signature").await;
        let shorter = valid().compact_with(|input| sign(input)[..63].to_vec());
        row.refuses("63 bytes", shorter, "claims.signature").await;
        let longer = valid().compact_with(|input| [sign(input).as_slice(), &[0]].concat());
        row.refuses("65 bytes", longer, "claims.signature").await;
    }

    "CR-06" an_algorithm_goes_with_its_own_curve(row, |setup, platforms: &Platforms| {
        let mut mixed = TestKey::p384("crv").jwk();
        mixed["crv"] = json!("P-256");
        mixed["alg"] = json!("ES256");
        let mut bare = TestKey::p384("p384").bare_jwk();
        bare["kid"] = json!("bare-384");
        let large = [TestKey::p384("p384").jwk(), TestKey::p521("p521").jwk()];
        let keys = [platforms.partner.key.jwk(), ec().jwk(), mixed, bare].into_iter().chain(large);
        setup.key_set("partner", &partner_settings(""), &jwks(keys))
    }) {
        let valid = |key: &TestKey| row.partner().assertion().signed_by(key);
        let large = TestKey::p384("p384");
        row.accepts("ES256", valid(&ec())).await;
        row.accepts("ES384", valid(&large)).await;
        let largest = TestKey::p521("p521");
        row.accepts("ES512", valid(&largest)).await;
        row.accepts("ES384 by a key without alg", valid(&large).header("kid", "bare-384")).await;
        row.refuses("ES384 by P-256", valid(&ec()).header("alg", "ES384"), "key.algorithm").await;
        row.refuses("ES256 by P-384", valid(&large).header("alg", "ES256"), "key.algorithm").await;
        row.refuses("ES384 by P-521", valid(&largest).header("alg", "ES384"), "key.algorithm").await;
        row.refuses("ES512 by P-384", valid(&large).header("alg", "ES512"), "key.algorithm").await;
        let bare = valid(&large).header("kid", "bare-384").header("alg", "ES256");
        row.refuses("ES256 by P-384 without alg", bare, "key.algorithm").await;
        let mixed = TestKey::p384("crv").for_algorithm("ES256");
        row.refuses("P-384's point as P-256", valid(&mixed), "key.unknown").await;
    }

    "CR-07" a_point_off_its_curve_is_no_key(row, |setup, platforms: &Platforms| {
        let mut off = ec().jwk();
        off["kid"] = json!("off");
        off["y"] = off["x"].clone();
        let mut zero = ec().jwk();
        zero["kid"] = json!("zero");
        zero["x"] = json!(base64url([0; 32]));
        zero["y"] = json!(base64url([0; 32]));
        setup.key_set("partner", &partner_settings(""), &jwks([platforms.partner.key.jwk(), ec().jwk(), off, zero]))
    }) {
        let valid = || row.partner().assertion().signed_by(&ec());
        row.accepts("the good point beside them", valid()).await;
        row.refuses("off the curve", valid().header("kid", "off"), "key.unknown").await;
        row.refuses("at zero", valid().header("kid", "zero"), "key.unknown").await;
    }

    "CR-09" an_ed25519_signature_is_reduced(row, |setup, platforms: &Platforms| {
        let mut small = TestKey::ed25519("ed-1").jwk();
        small["kid"] = json!("small-order");
        small["x"] = json!(base64url([&[1][..], &[0; 31]].concat()));
        let keys = [platforms.partner.key.jwk(), TestKey::ed25519("ed-1").jwk(), small];
        setup.key_set("partner", &partner_settings(""), &jwks(keys))
    }) {
        let key = TestKey::ed25519("ed-1");
        let valid = || row.partner().assertion().signed_by(&key);
        row.accepts("reduced", valid()).await;
        let raised = valid().compact_with(|input| {
            let mut signature = key.sign("EdDSA", input);
            let mut carry = 0u16;
            for (byte, order) in signature[32..].iter_mut().zip(ED25519_ORDER) {
                let sum = u16::from(*byte) + u16::from(order) + carry;
                *byte = (sum & 255) as u8;
                carry = sum >> 8;
            }
            signature
        });
        row.refuses("S plus the order", raised, "claims.signature").await;
        let universal = [&[1][..], &[0; 63]].concat();
        let by_small = valid().header("kid", "small-order").signature(universal);
        row.refuses("a key of small order", by_small, "key.unknown").await;
    }
}
