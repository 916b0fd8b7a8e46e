//! Reads a minted token as a relying party would that has never seen our code: JWKS, `kid`, aws-lc-rs.

use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::{Map, Value};

use super::keys::from_base64url;

/// A token whose signature holds.
pub struct Minted {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
}

impl Minted {
    /// Verifies a token with the key of the JWKS that its header names.
    pub fn verify(token: &str, key_set: &Value) -> Minted {
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(parts.len(), 3, "a compact JWS has three parts");
        let object = |part| serde_json::from_slice::<Map<String, Value>>(&from_base64url(part)).expect("an object");
        let (header, claims) = (object(parts[0]), object(parts[1]));
        let keys = key_set["keys"].as_array().expect("a key set");
        let key = keys.iter().find(|key| key["kid"] == header["kid"]).expect("the token's key is published");
        assert_eq!(key["alg"], header["alg"], "the key names its algorithm");
        let input = format!("{}.{}", parts[0], parts[1]);
        assert!(holds(key, input.as_bytes(), &from_base64url(parts[2])), "the signature does not hold");
        Minted { header, claims }
    }

    /// A claim that is text.
    pub fn text(&self, name: &str) -> &str {
        self.claims.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A claim that is a whole number.
    pub fn number(&self, name: &str) -> i64 {
        self.claims.get(name).and_then(Value::as_i64).unwrap_or_else(|| panic!("{name} is not a number"))
    }
}

fn holds(key: &Value, input: &[u8], signed: &[u8]) -> bool {
    let number = |name: &str| from_base64url(key[name].as_str().unwrap_or_else(|| panic!("{name} is missing")));
    match key["alg"].as_str().expect("an alg") {
        "ES256" => {
            let point = [&[4], number("x").as_slice(), &number("y")].concat();
            UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(input, signed).is_ok()
        }
        "EdDSA" => UnparsedPublicKey::new(&signature::ED25519, number("x")).verify(input, signed).is_ok(),
        "RS256" => RsaPublicKeyComponents { n: number("n"), e: number("e") }
            .verify(&signature::RSA_PKCS1_2048_8192_SHA256, input, signed)
            .is_ok(),
        other => panic!("the broker signed with {other}"),
    }
}
