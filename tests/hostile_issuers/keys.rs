//! Hostile keys, each beside the good one: it is left out, or the whole document is refused.

use serde_json::{Value, json};

use crate::support::faulty::Answer;
use crate::support::keys::{TestKey, base64url};
use crate::{Case, Effect, case, good_key};

use Effect::{Evicts, Refused, Taken};

/// The good key with this beside it.
fn beside(other: &str) -> Answer {
    Answer::json(format!("{{\"keys\":[{other},{}]}}", good_key()))
}

/// A P-256 key with one member changed.
fn point(name: &str, value: Value) -> Value {
    let mut jwk = TestKey::p256("bad").jwk();
    jwk[name] = value;
    jwk
}

/// An RSA key of these numbers.
fn rsa(n: &[u8], e: &[u8]) -> Value {
    json!({ "kty": "RSA", "kid": "bad", "alg": "RS256", "n": base64url(n), "e": base64url(e) })
}

/// An odd number of so many bytes.
fn odd(bytes: usize) -> Vec<u8> {
    vec![0xff; bytes]
}

pub(crate) fn all() -> Vec<Case> {
    let keys = [members(), numbers(), points(), certificates()].into_iter().flatten();
    keys.map(|(what, key)| case(what, beside(&key.to_string()), Taken)).chain(documents()).collect()
}

fn members() -> Vec<(&'static str, Value)> {
    vec![
        ("a key that is null", Value::Null),
        ("a key that is a number", json!(7)),
        ("a key that is a list", json!([[], {}])),
        ("an empty key", json!({})),
        ("a numeric kid", point("kid", json!(7))),
        ("a kid of null", point("kid", Value::Null)),
        ("an empty kid", point("kid", json!(""))),
        ("a kid of 900 KiB", point("kid", json!("k".repeat(900 * 1024)))),
        ("a kid of control characters", point("kid", json!("\u{0}\r\n\u{1b}[31m"))),
        ("a numeric kty", point("kty", json!(7))),
        ("kty in small letters", point("kty", json!("ec"))),
        ("an unknown kty", point("kty", json!("AKP"))),
        ("alg none", point("alg", json!("none"))),
        ("alg HS256", point("alg", json!("HS256"))),
        ("a numeric alg", point("alg", json!(256))),
        ("the alg of another curve", point("alg", json!("ES384"))),
        ("use as a list", point("use", json!(["sig"]))),
        ("key_ops as text", point("key_ops", json!("verify"))),
        ("10,000 key_ops", point("key_ops", json!(vec!["sign"; 10_000]))),
        ("a private key", point("d", json!("AQAB"))),
        ("a shared secret", json!({ "kty": "oct", "kid": "bad", "k": "c2VjcmV0" })),
        ("the good kid, another key", point("kid", json!("other"))),
    ]
}

fn numbers() -> Vec<(&'static str, Value)> {
    let e = [1, 0, 1];
    let text = |name: &str, value: Value| {
        let mut key = rsa(&odd(256), &e);
        key[name] = value;
        key
    };
    vec![
        ("a modulus of 64 KiB", rsa(&odd(64 * 1024), &e)),
        ("a modulus of 600 KiB", rsa(&odd(600 * 1024), &e)),
        ("a modulus of one byte", rsa(&[3], &e)),
        ("a modulus of zero", rsa(&[0; 256], &e)),
        ("an empty modulus", rsa(&[], &e)),
        ("an even modulus", rsa(&[0xfe; 256], &e)),
        ("a modulus behind a MiB of zeros", rsa(&[vec![0; 500 * 1024], odd(256)].concat(), &e)),
        ("e = 0", rsa(&odd(256), &[0])),
        ("e = 1", rsa(&odd(256), &[1])),
        ("e = 2", rsa(&odd(256), &[2])),
        ("e = 3", rsa(&odd(256), &[3])),
        ("e = 2^4096", rsa(&odd(256), &[vec![1], vec![0; 512]].concat())),
        ("e = 2^4096 + 1", rsa(&odd(256), &[vec![1], vec![0; 511], vec![1]].concat())),
        ("e as large as n", rsa(&odd(256), &odd(256))),
        ("a numeric e", text("e", json!(65537))),
        ("a numeric n", text("n", json!(1e300))),
        ("n in standard Base64", text("n", json!("+/+/".repeat(86)))),
        ("n with padding", text("n", json!(format!("{}==", base64url(odd(256)))))),
        ("n with a line break", text("n", json!(format!("{}\n", base64url(odd(256)))))),
        ("n that is no Base64", text("n", json!("\u{e9}".repeat(1000)))),
    ]
}

fn points() -> Vec<(&'static str, Value)> {
    let edwards = |x: &[u8]| json!({ "kty": "OKP", "crv": "Ed25519", "kid": "bad", "x": base64url(x) });
    vec![
        ("a point off the curve", point("y", json!(base64url([7; 32])))),
        (
            "the point at infinity",
            json!({ "kty": "EC", "crv": "P-256", "kid": "bad", "x": base64url([0; 32]), "y": base64url([0; 32]) }),
        ),
        ("coordinates of the field's size", point("x", json!(base64url([0xff; 32])))),
        ("a short coordinate", point("x", json!(base64url([7; 31])))),
        ("a long coordinate", point("x", json!(base64url([7; 33])))),
        ("a coordinate of 500 KiB", point("x", json!(base64url(odd(500 * 1024))))),
        ("another curve's name", point("crv", json!("P-384"))),
        ("an unknown curve", point("crv", json!("secp256k1"))),
        ("a numeric curve", point("crv", json!(256))),
        ("an Ed25519 point of small order", edwards(&[0; 32])),
        ("an Ed25519 point with a second name", edwards(&[0xff; 32])),
        ("a short Ed25519 point", edwards(&[1; 31])),
        ("X25519", json!({ "kty": "OKP", "crv": "X25519", "kid": "bad", "x": base64url([9; 32]) })),
    ]
}

/// On a key of another name that is good itself: they are not read.
fn certificates() -> Vec<(&'static str, Value)> {
    vec![
        ("x5c that is text", point("x5c", json!("MIIB"))),
        ("x5c of numbers", point("x5c", json!([1, 2, 3]))),
        ("x5c of rubbish", point("x5c", json!(["////", "\u{0}", ""]))),
        ("10,000 certificates", point("x5c", json!(vec!["MIIB"; 10_000]))),
        ("x5u to a metadata service", point("x5u", json!("http://169.254.169.254/"))),
        ("jku to ourselves", point("jku", json!("http://127.0.0.1/"))),
    ]
}

fn documents() -> Vec<Case> {
    let same_kid = json!({ "keys": [TestKey::p256("good").jwk(), TestKey::p256("x").named("good").jwk()] });
    let twice = json!({ "keys": [TestKey::p256("good").jwk(), TestKey::p256("good").jwk()] });
    let hundred: Vec<Value> = (0..99).map(|index| TestKey::p256("x").named(&format!("k{index}")).jwk()).collect();
    vec![
        case("a key with a member twice", beside("{\"kty\":\"EC\",\"kty\":\"RSA\"}"), Refused),
        case("a key with NaN", beside("{\"kty\":NaN}"), Refused),
        case(
            "a key nested 1,000 deep",
            beside(&format!("{{\"x\":{}{}}}", "[".repeat(1000), "]".repeat(1000))),
            Refused,
        ),
        case("two keys with the good kid", Answer::json(same_kid.to_string()), Refused),
        case("the good key twice", Answer::json(twice.to_string()), Taken),
        case("a hundred keys", beside(json!(hundred).to_string().trim_matches(['[', ']'])), Taken),
        case(
            "an even hundred and one",
            beside(&format!("{{}},{}", json!(hundred).to_string().trim_matches(['[', ']']))),
            Refused,
        ),
        case("only a private key", Answer::json(json!({ "keys": [point("d", json!("AQAB"))] }).to_string()), Evicts),
    ]
}
