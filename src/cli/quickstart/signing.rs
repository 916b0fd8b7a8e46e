//! A demo issuer's key pair: made in memory, gone with the process.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

/// The key could not be made, or would not sign: the random number generator failed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the cryptographic library could not make or use a key")]
pub struct SigningFault;

/// A key pair of the type that the platform uses.
pub struct DemoKey {
    pair: Pair,
    key_id: String,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl DemoKey {
    /// A fresh key, P-256 or RSA 2048. Takes a while; block a thread.
    ///
    /// # Errors
    /// When the generator fails.
    pub fn generate(is_ec: bool) -> Result<DemoKey, SigningFault> {
        let pair = if is_ec {
            Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| SigningFault)?)
        } else {
            Pair::Rsa(RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).map_err(|_| SigningFault)?)
        };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pair.public_bytes());
        Ok(DemoKey { pair, key_id: URL_SAFE_NO_PAD.encode(digest) })
    }

    /// The `kid`: the hash of the public key, as Kubernetes does it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.key_id
    }

    /// The key's own members of a JWK (RFC 7517 §4): `kty`, `kid` and the public numbers; no `use`, no `alg`.
    #[must_use]
    pub fn public_members(&self) -> Map<String, Value> {
        let public = self.pair.public_bytes();
        let part = |from: usize, to: usize| URL_SAFE_NO_PAD.encode(public.get(from..to).unwrap_or_default());
        let members = match &self.pair {
            // PKCS #1 RSAPublicKey of 2048 bits: nine bytes of DER headers, the modulus, then the exponent 65537.
            Pair::Rsa(_) => json!({ "kty": "RSA", "kid": self.key_id, "n": part(9, 265), "e": "AQAB" }),
            // SEC 1 uncompressed point: 0x04, x, y.
            Pair::Ec(_) => {
                json!({ "kty": "EC", "kid": self.key_id, "crv": "P-256", "x": part(1, 33), "y": part(33, 65) })
            }
        };
        members.as_object().cloned().unwrap_or_default()
    }

    /// A compact JWS of these two objects (RFC 7515 §7.1).
    ///
    /// # Errors
    /// When signing fails.
    pub fn sign(&self, header: &Map<String, Value>, claims: &Map<String, Value>) -> Result<String, SigningFault> {
        let encode = |part: &Map<String, Value>| {
            serde_json::to_vec(part).map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).map_err(|_| SigningFault)
        };
        let input = format!("{}.{}", encode(header)?, encode(claims)?);
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature).map_err(|_| SigningFault)?;
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, input.as_bytes()).map_err(|_| SigningFault)?.as_ref().to_vec(),
        };
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Pair {
    fn public_bytes(&self) -> &[u8] {
        match self {
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::Ec(pair) => pair.public_key().as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{Algorithm, DecodingKey};

    use super::*;

    #[test]
    fn another_library_verifies_what_each_key_type_signs() {
        for (is_ec, algorithm) in [(false, Algorithm::RS256), (true, Algorithm::ES256)] {
            let key = DemoKey::generate(is_ec).unwrap();
            let claims = json!({ "sub": "me" });
            let token = key.sign(&Map::new(), claims.as_object().unwrap()).unwrap();
            let (input, signature) = token.rsplit_once('.').unwrap();
            let jwk: Jwk = serde_json::from_value(Value::Object(key.public_members())).unwrap();
            let public = DecodingKey::from_jwk(&jwk).unwrap();
            let verified =
                |input: &str| jsonwebtoken::crypto::verify(signature, input.as_bytes(), &public, algorithm).unwrap();
            assert!(verified(input));
            assert!(!verified(&input.replace('.', "x.")));
        }
    }
}
