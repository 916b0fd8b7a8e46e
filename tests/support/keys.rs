//! Keys of test issuers: every algorithm, signing through aws-lc-rs directly, never through the code under test.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::raw_rsa::RawRsa;

/// The 2048-bit RSA keys, made once (`keys/generate.py`) because making one takes a second.
const RSA_KEYS: [(&str, &str, &str); 3] = [
    ("rsa-a", include_str!("keys/rsa-a.pem"), include_str!("keys/rsa-a.numbers")),
    ("rsa-b", include_str!("keys/rsa-b.pem"), include_str!("keys/rsa-b.numbers")),
    ("rsa-c", include_str!("keys/rsa-c.pem"), include_str!("keys/rsa-c.numbers")),
];

/// Base64url without padding.
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of unpadded base64url.
pub fn from_base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

/// A key pair with the id and the algorithm that its JWK names.
#[derive(Clone)]
pub struct TestKey {
    pub id: String,
    pub algorithm: String,
    pair: Arc<Pair>,
}

enum Pair {
    Rsa(RsaKeyPair, RawRsa),
    Raw(RawRsa),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    P521(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl TestKey {
    /// `rsa-a`, `rsa-b` or `rsa-c`, as an RS256 key whose id is its name.
    pub fn rsa(name: &str) -> TestKey {
        let (id, text, numbers) = RSA_KEYS.iter().find(|key| key.0 == name).expect("one of the three");
        let der = pem::parse(text).expect("PEM");
        let pair = RsaKeyPair::from_pkcs8(der.contents()).expect("an RSA key");
        TestKey::new(id, "RS256", Pair::Rsa(pair, RawRsa::read(numbers)))
    }

    /// An RSA key of any quality, as numbers; it signs by hand.
    pub fn raw_rsa(id: &str, numbers: &str) -> TestKey {
        TestKey::new(id, "RS256", Pair::Raw(RawRsa::read(numbers)))
    }

    /// An ES256 key; the same one whenever this id is asked for.
    pub fn p256(id: &str) -> TestKey {
        remembered(id, || {
            let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
            TestKey::new(id, "ES256", Pair::P256(pair))
        })
    }

    /// An ES256 key from its PKCS#8 form.
    pub fn p256_from_pkcs8(id: &str, der: &[u8]) -> TestKey {
        let pair = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, der).expect("a key");
        TestKey::new(id, "ES256", Pair::P256(pair))
    }

    /// An ES384 key; the same one whenever this id is asked for.
    pub fn p384(id: &str) -> TestKey {
        remembered(id, || {
            let pair = EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key");
            TestKey::new(id, "ES384", Pair::P384(pair))
        })
    }

    /// An ES512 key; the same one whenever this id is asked for.
    pub fn p521(id: &str) -> TestKey {
        remembered(id, || {
            let pair = EcdsaKeyPair::generate(&signature::ECDSA_P521_SHA512_FIXED_SIGNING).expect("a key");
            TestKey::new(id, "ES512", Pair::P521(pair))
        })
    }

    /// An Ed25519 key; the same one whenever this id is asked for.
    pub fn ed25519(id: &str) -> TestKey {
        remembered(id, || TestKey::new(id, "EdDSA", Pair::Ed25519(Ed25519KeyPair::generate().expect("a key"))))
    }

    fn new(id: &str, algorithm: &str, pair: Pair) -> TestKey {
        TestKey { id: id.to_owned(), algorithm: algorithm.to_owned(), pair: Arc::new(pair) }
    }

    /// The same key under another id.
    pub fn named(mut self, id: &str) -> TestKey {
        id.clone_into(&mut self.id);
        self
    }

    /// The same key for another algorithm.
    pub fn for_algorithm(mut self, algorithm: &str) -> TestKey {
        algorithm.clone_into(&mut self.algorithm);
        self
    }

    /// The numbers, for signatures that no library makes.
    pub fn raw(&self) -> &RawRsa {
        match &*self.pair {
            Pair::Rsa(_, raw) | Pair::Raw(raw) => raw,
            Pair::P256(_) | Pair::P384(_) | Pair::P521(_) | Pair::Ed25519(_) => panic!("not an RSA key"),
        }
    }

    /// The public JWK as a platform publishes it: `kid`, `use` and `alg` present.
    pub fn jwk(&self) -> Value {
        let mut jwk = self.bare_jwk();
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm);
        jwk
    }

    /// Only the key: `kty` and its numbers.
    pub fn bare_jwk(&self) -> Value {
        match &*self.pair {
            Pair::Rsa(_, raw) | Pair::Raw(raw) => json!({
                "kty": "RSA",
                "n": base64url(raw.modulus.to_bytes()),
                "e": base64url(raw.exponent.to_bytes()),
            }),
            Pair::P256(pair) => point_jwk("P-256", pair.public_key().as_ref()),
            Pair::P384(pair) => point_jwk("P-384", pair.public_key().as_ref()),
            Pair::P521(pair) => point_jwk("P-521", pair.public_key().as_ref()),
            Pair::Ed25519(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key()) }),
        }
    }

    /// The public key as the bytes a verifier might mistake for a secret: PKCS#1 DER, or the point.
    pub fn public_bytes(&self) -> Vec<u8> {
        match &*self.pair {
            Pair::Rsa(pair, _) => pair.public_key().as_ref().to_vec(),
            Pair::Raw(raw) => raw.modulus.to_bytes(),
            Pair::P256(pair) | Pair::P384(pair) | Pair::P521(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// `SubjectPublicKeyInfo` of an RSA key (RFC 3279 §2.3.1).
    pub fn spki(&self) -> Vec<u8> {
        let algorithm = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
        let bits = tagged(0x03, &[&[0], self.public_bytes().as_slice()].concat());
        tagged(0x30, &[algorithm.as_slice(), &bits].concat())
    }

    /// The signature of `input` by this JWA algorithm.
    pub fn sign(&self, algorithm: &str, input: &[u8]) -> Vec<u8> {
        match &*self.pair {
            Pair::Rsa(pair, _) => sign_rsa(pair, algorithm, input),
            Pair::Raw(raw) => raw.sign(input),
            Pair::P256(pair) | Pair::P384(pair) | Pair::P521(pair) => {
                pair.sign(&SystemRandom::new(), input).expect("a signature").as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(input).as_ref().to_vec(),
        }
    }
}

/// One key an id, so that a setup and its test speak of the same one.
fn remembered(id: &str, generate: impl FnOnce() -> TestKey) -> TestKey {
    static KEYS: Mutex<BTreeMap<String, TestKey>> = Mutex::new(BTreeMap::new());
    KEYS.lock().expect("no test panicked here").entry(id.to_owned()).or_insert_with(generate).clone()
}

fn sign_rsa(pair: &RsaKeyPair, algorithm: &str, input: &[u8]) -> Vec<u8> {
    let encoding: &dyn signature::RsaEncoding = match algorithm {
        "RS384" => &signature::RSA_PKCS1_SHA384,
        "RS512" => &signature::RSA_PKCS1_SHA512,
        "PS256" => &signature::RSA_PSS_SHA256,
        "PS384" => &signature::RSA_PSS_SHA384,
        "PS512" => &signature::RSA_PSS_SHA512,
        _ => &signature::RSA_PKCS1_SHA256,
    };
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), input, &mut signature).expect("a signature");
    signature
}

fn point_jwk(curve: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at((point.len() - 1) / 2);
    json!({ "kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y) })
}

/// One DER element.
pub fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = vec![tag];
    match length {
        0..=127 => bytes.push(length as u8),
        128..=255 => bytes.extend([0x81, length as u8]),
        _ => bytes.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    bytes.extend_from_slice(content);
    bytes
}

/// A JWKS document.
pub fn jwks(keys: impl IntoIterator<Item = Value>) -> String {
    json!({ "keys": keys.into_iter().collect::<Vec<_>>() }).to_string()
}
