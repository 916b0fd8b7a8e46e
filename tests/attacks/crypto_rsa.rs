//! crypto, RSA: weak keys are no keys, and padding is compared, not parsed.

use aws_lc_rs::digest;
use serde_json::{Value, json};

use crate::jose_algorithm::{partner_settings, partner_with};
use crate::support::keys::{TestKey, base64url, jwks, tagged};
use crate::support::raw_rsa::{Number, SHA256_PREFIX, digest_info, forge_for_exponent_three, pkcs1, pss};
use crate::support::setup::{Platforms, Setup};

const WEAK: [(&str, &str); 3] = [
    ("rsa-512", include_str!("../support/keys/rsa-512.numbers")),
    ("rsa-1024", include_str!("../support/keys/rsa-1024.numbers")),
    ("rsa-2047", include_str!("../support/keys/rsa-2047.numbers")),
];

fn exponent_three() -> TestKey {
    TestKey::raw_rsa("e-3", include_str!("../support/keys/rsa-exponent-3.numbers"))
}

fn pss_key() -> TestKey {
    TestKey::rsa("rsa-b").named("pss").for_algorithm("PS256")
}

fn pss_partner(setup: Setup, platforms: &Platforms) -> Setup {
    partner_with(setup, &[&platforms.partner.key, &pss_key()])
}

/// A public key of this many bits, all ones but the last byte's second bit.
fn vast_key(bits: usize) -> Value {
    let mut modulus = vec![255; bits / 8];
    modulus[bits / 8 - 1] = 0xfd;
    json!({ "kty": "RSA", "kid": format!("vast-{bits}"), "use": "sig", "alg": "RS256", "n": base64url(modulus), "e": "AQAB" })
}

/// `DigestInfo` built from parts, so that one of them can be wrong.
fn digest_info_of(oid: &[u8], parameters: &[u8], hash: &[u8]) -> Vec<u8> {
    let algorithm = tagged(0x30, &[tagged(0x06, oid).as_slice(), parameters].concat());
    tagged(0x30, &[algorithm.as_slice(), &tagged(0x04, hash)].concat())
}

const SHA256_OID: [u8; 9] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const SHA512_OID: [u8; 9] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];
const NULL: [u8; 2] = [0x05, 0x00];

/// Encoded messages that a verifier that parses the padding would take for `message`.
fn broken_paddings(message: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hash = digest::digest(&digest::SHA256, message);
    let right = digest_info(&SHA256_PREFIX, message);
    let long_length = [&[0x30, 0x81, 0x31], &right[2..]].concat();
    let with_garbage = tagged(0x30, &[&right[2..], &[0x04, 0x02, 0xca, 0xfe]].concat());
    let mut after_hash = pkcs1(&right, 256 - 8);
    after_hash.extend([0xee; 8]);
    let mut short_padding = [&[0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0], right.as_slice()].concat();
    short_padding.resize(256, 0);
    let mut other_type = pkcs1(&right, 256);
    other_type[1] = 2;
    let mut not_ff = pkcs1(&right, 256);
    not_ff[20] = 0xfe;
    let mut no_separator = pkcs1(&right, 256);
    let separator = 256 - right.len() - 1;
    no_separator[separator] = 0xff;
    vec![
        ("BER length", pkcs1(&long_length, 256)),
        ("no NULL", pkcs1(&digest_info_of(&SHA256_OID, &[], hash.as_ref()), 256)),
        ("long NULL", pkcs1(&digest_info_of(&SHA256_OID, &[0x05, 0x81, 0x00], hash.as_ref()), 256)),
        ("parameters that are not NULL", pkcs1(&digest_info_of(&SHA256_OID, &[0x04, 0x00], hash.as_ref()), 256)),
        ("another hash's OID", pkcs1(&digest_info_of(&SHA512_OID, &NULL, hash.as_ref()), 256)),
        ("garbage inside", pkcs1(&with_garbage, 256)),
        ("garbage after the hash", after_hash),
        ("short padding", short_padding),
        ("no DigestInfo", pkcs1(hash.as_ref(), 256)),
        ("block type 2", other_type),
        ("padding that is not ff", not_ff),
        ("no separator", no_separator),
    ]
}

rows! {
    "CR-10" a_published_rsa_key_below_2048_bits_is_no_key(row, |setup, platforms: &Platforms| {
        let weak = WEAK.map(|(id, numbers)| TestKey::raw_rsa(id, numbers).jwk());
        setup.key_set("partner", &partner_settings(""), &jwks([vec![platforms.partner.key.jwk()], weak.to_vec()].concat()))
    }) {
        row.accepts("2048 bits beside them", row.partner().assertion()).await;
        for (id, numbers) in WEAK {
            let signed = row.partner().assertion().signed_by(&TestKey::raw_rsa(id, numbers));
            row.refuses(id, signed, "key.unknown").await;
        }
    }

    "CR-12" an_rsa_key_with_exponent_3_is_no_key(row, |setup, platforms: &Platforms| {
        partner_with(setup, &[&platforms.partner.key, &exponent_three()])
    }) {
        let key = exponent_three();
        row.accepts("65537 beside it", row.partner().assertion()).await;
        let valid = || row.partner().assertion().signed_by(&key);
        row.refuses("an honest signature", valid(), "key.unknown").await;
        let forge = |input: &[u8]| {
            let forged = forge_for_exponent_three(input, 256);
            let opened = key.raw().public(&forged);
            assert_eq!(opened[..55], [&[0, 1, 0xff, 0], digest_info(&SHA256_PREFIX, input).as_slice()].concat()[..]);
            forged
        };
        row.refuses("a cube root", valid().compact_with(forge), "key.unknown").await;
    }

    "CR-13" a_vast_rsa_key_is_no_key(row, |setup, platforms: &Platforms| {
        let keys = [platforms.partner.key.jwk(), vast_key(16_384), vast_key(65_536)];
        setup.key_set("partner", &partner_settings(""), &jwks(keys))
    }) {
        row.accepts("2048 bits beside it", row.partner().assertion()).await;
        for bits in [16_384, 65_536] {
            let signed = row.partner().assertion().header("kid", format!("vast-{bits}")).signature(vec![1; bits / 8]);
            row.refuses("a signature as long as the key", signed, "key.unknown").await;
        }
    }

    "CR-15" pkcs1_padding_is_compared_not_parsed(row) {
        let key = &row.partner().key;
        let valid = || row.partner().assertion();
        row.accepts("right, by hand", valid().compact_with(|input| key.raw().sign(input))).await;
        for (what, _) in broken_paddings(b"") {
            let broken = valid().compact_with(|input| {
                let paddings = broken_paddings(input);
                let (_, encoded) = paddings.iter().find(|(name, _)| *name == what).expect("the same names");
                key.raw().sign_encoded(encoded)
            });
            row.refuses(what, broken, "claims.signature").await;
        }
    }

    "CR-16" a_pss_signature_has_the_salt_length_and_mask_of_its_algorithm(row, pss_partner) {
        let key = pss_key();
        let valid = || row.partner().assertion().signed_by(&key);
        row.accepts("right", valid()).await;
        let by_hand = |input: &[u8]| key.raw().sign_encoded(&pss(input, &[7; 32], &digest::SHA256));
        row.accepts("right, by hand", valid().compact_with(by_hand)).await;
        for length in [0, 20, 31, 33, 64, 222] {
            let salted = |input: &[u8]| key.raw().sign_encoded(&pss(input, &vec![7; length], &digest::SHA256));
            row.refuses(&format!("salt of {length}"), valid().compact_with(salted), "claims.signature").await;
        }
        for (what, hash) in [("SHA-1", &digest::SHA1_FOR_LEGACY_USE_ONLY), ("SHA-512", &digest::SHA512)] {
            let masked = |input: &[u8]| key.raw().sign_encoded(&pss(input, &[7; 32], hash));
            row.refuses(&format!("mask by {what}"), valid().compact_with(masked), "claims.signature").await;
        }
        let led = |input: &[u8]| [&[0], by_hand(input).as_slice()].concat();
        row.refuses("a zero in front", valid().compact_with(led), "claims.signature").await;
        let raised = |input: &[u8]| Number::from_bytes(&by_hand(input)).plus(&key.raw().modulus).to_bytes();
        row.refuses("not below the modulus", valid().compact_with(raised), "claims.signature").await;
    }

    "CR-17" pkcs1_and_pss_are_never_taken_for_each_other(row, pss_partner) {
        let plain = &row.partner().key;
        let valid = |key: &TestKey| row.partner().assertion().signed_by(key);
        row.accepts("RS256", valid(plain)).await;
        row.accepts("PS256", valid(&pss_key())).await;
        let as_pss = valid(plain).compact_with(|input| plain.sign("PS256", input));
        row.refuses("PSS under RS256", as_pss, "claims.signature").await;
        let as_plain = valid(&pss_key()).compact_with(|input| pss_key().sign("RS256", input));
        row.refuses("PKCS#1 under PS256", as_plain, "claims.signature").await;
        row.refuses("PS256 by an RS256 key", valid(plain).algorithm("PS256"), "key.algorithm").await;
        row.refuses("RS256 by a PS256 key", valid(&pss_key()).algorithm("RS256"), "key.algorithm").await;
    }

    "CR-18" an_rsa_signature_is_as_long_as_its_modulus(row) {
        let key = &row.partner().key;
        let valid = || row.partner().assertion();
        row.accepts("256 bytes", valid()).await;
        let sign = |input: &[u8]| key.sign("RS256", input);
        let led = valid().compact_with(|input| [&[0], sign(input).as_slice()].concat());
        row.refuses("a zero in front", led, "claims.signature").await;
        let followed = valid().compact_with(|input| [sign(input).as_slice(), &[0]].concat());
        row.refuses("a zero behind", followed, "claims.signature").await;
        let cut = valid().compact_with(|input| sign(input)[..255].to_vec());
        row.refuses("without its last byte", cut, "claims.signature").await;
        let lucky = (0..20_000).map(|count| valid().claim("count", count));
        let lucky = lucky.into_iter().find(|token| sign(token.signing_input().as_bytes())[0] == 0);
        let stripped = lucky.expect("one in 256 starts with a zero").compact_with(|input| sign(input)[1..].to_vec());
        row.refuses("without its leading zero", stripped, "claims.signature").await;
    }
}
