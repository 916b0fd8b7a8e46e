//! The signing keys: made at the first start, kept in the store, prepared once.
//!
//! A JOSE library parses the private key again at every signature (RSA 730 µs against 265 µs with a prepared pair), so
//! the signature itself goes to aws-lc-rs; `jsonwebtoken` stays the vocabulary of headers and JWKs.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, Jwk, KeyAlgorithm, PublicKeyUse, RSAKeyParameters, RSAKeyType,
    ThumbprintHash,
};
use jsonwebtoken::{EncodingKey, Header};

use super::TokenClaims;
use crate::clock::EntropyFault;
use crate::config::SigningAlgorithm;
use crate::store::{KeyRecord, Store, StoreFault};
use crate::vocab::{UnixTime, WordFault};

/// Something on our side kept a token from being made.
#[derive(Debug, thiserror::Error)]
pub enum MintFault {
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFault),
    /// A signing key cannot be made, read or used.
    #[error("the signing key cannot be used: {0}")]
    Key(&'static str),
    /// A value of ours does not fit its own grammar.
    #[error(transparent)]
    Word(#[from] WordFault),
    /// The claims cannot be written.
    #[error("the claims cannot be written")]
    Claims,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl MintFault {
    /// The audit record's cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            MintFault::Entropy(_) => "mint.entropy",
            MintFault::Key(_) | MintFault::Word(_) | MintFault::Claims => "mint.failed",
            MintFault::Store(_) => "store.unavailable",
        }
    }
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// Signs tokens with one key and publishes all of them.
pub struct Signer {
    active: Pair,
    /// The encoded header and its dot.
    header: String,
    key_id: String,
    algorithm: SigningAlgorithm,
    random: SystemRandom,
    jwks: serde_json::Value,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The order in which keys are published.
const ALGORITHMS: [SigningAlgorithm; 3] = [SigningAlgorithm::ES256, SigningAlgorithm::EdDSA, SigningAlgorithm::RS256];

impl Signer {
    /// Opens the store's keys, making those that do not exist yet.
    ///
    /// # Errors
    /// See [`MintFault`].
    pub async fn open(store: &dyn Store, algorithm: SigningAlgorithm, now: UnixTime) -> Result<Signer, MintFault> {
        let mut records = store.signing_keys().await?;
        for missing in ALGORITHMS {
            if !records.iter().any(|record| record.algorithm == missing) {
                records.push(store.signing_key_or(generate(missing, now)?).await?);
            }
        }
        records.sort_by_key(|record| ALGORITHMS.iter().position(|algorithm| *algorithm == record.algorithm));
        let active = records.iter().find(|record| record.algorithm == algorithm);
        let active = active.ok_or(MintFault::Key("no key of the configured algorithm"))?;
        let keys = records.iter().map(public_jwk).collect::<Result<Vec<_>, _>>()?;
        Ok(Signer {
            active: pair(active)?,
            header: encoded_header(active)?,
            key_id: active.id.clone(),
            algorithm,
            random: SystemRandom::new(),
            jwks: serde_json::json!({ "keys": keys }),
        })
    }

    /// The compact JWS of these claims (RFC 7515 §7.1).
    ///
    /// # Errors
    /// When the claims cannot be written or the key cannot sign.
    pub fn sign(&self, claims: &TokenClaims) -> Result<String, MintFault> {
        let json = serde_json::to_vec(claims).map_err(|_| MintFault::Claims)?;
        let mut token = String::with_capacity(self.header.len() + json.len() * 4 / 3 + 350);
        token.push_str(&self.header);
        URL_SAFE_NO_PAD.encode_string(&json, &mut token);
        let signed = self.signature(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signed, &mut token);
        Ok(token)
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, MintFault> {
        let failed = |_| MintFault::Key("signing failed");
        match &self.active {
            Pair::Ecdsa(pair) => Ok(pair.sign(&self.random, message).map_err(failed)?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &self.random, message, &mut signed).map_err(failed)?;
                Ok(signed)
            }
        }
    }

    /// The public keys (RFC 7517 §5).
    #[must_use]
    pub fn jwks(&self) -> &serde_json::Value {
        &self.jwks
    }

    /// The active key's id.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The active key's algorithm.
    #[must_use]
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }
}

fn generate(algorithm: SigningAlgorithm, created_at: UnixTime) -> Result<KeyRecord, MintFault> {
    let failed = |_| MintFault::Key("a key cannot be generated");
    let pkcs8 = match algorithm {
        SigningAlgorithm::ES256 => {
            let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
            pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()
        }
        // Version 1 without the public key: what every reader, the JWK export included, accepts.
        SigningAlgorithm::EdDSA => {
            Ed25519KeyPair::generate().map_err(failed)?.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()
        }
        SigningAlgorithm::RS256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
            AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).map_err(failed)?.as_ref().to_vec()
        }
    };
    let mut record = KeyRecord { id: String::new(), algorithm, pkcs8: zeroize::Zeroizing::new(pkcs8), created_at };
    record.id = unnamed_jwk(&record)?
        .thumbprint(ThumbprintHash::SHA256)
        .map_err(|_| MintFault::Key("a key has no thumbprint"))?;
    Ok(record)
}

fn pair(record: &KeyRecord) -> Result<Pair, MintFault> {
    let unreadable = |_| MintFault::Key("a stored key cannot be read");
    Ok(match record.algorithm {
        SigningAlgorithm::ES256 => Pair::Ecdsa(
            EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &record.pkcs8).map_err(unreadable)?,
        ),
        SigningAlgorithm::EdDSA => Pair::Ed25519(Ed25519KeyPair::from_pkcs8(&record.pkcs8).map_err(unreadable)?),
        SigningAlgorithm::RS256 => Pair::Rsa(Box::new(RsaKeyPair::from_pkcs8(&record.pkcs8).map_err(unreadable)?)),
    })
}

fn jose_algorithm(algorithm: SigningAlgorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        SigningAlgorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        SigningAlgorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        SigningAlgorithm::RS256 => jsonwebtoken::Algorithm::RS256,
    }
}

/// RFC 9068 §2.1: `typ` is `at+jwt`.
fn encoded_header(record: &KeyRecord) -> Result<String, MintFault> {
    let header = Header {
        typ: Some("at+jwt".to_owned()),
        kid: Some(record.id.clone()),
        ..Header::new(jose_algorithm(record.algorithm))
    };
    let json = serde_json::to_vec(&header).map_err(|_| MintFault::Claims)?;
    Ok(format!("{}.", URL_SAFE_NO_PAD.encode(json)))
}

fn unnamed_jwk(record: &KeyRecord) -> Result<Jwk, MintFault> {
    let key = match record.algorithm {
        SigningAlgorithm::ES256 => EncodingKey::from_ec_der(&record.pkcs8),
        SigningAlgorithm::EdDSA => EncodingKey::from_ed_der(&record.pkcs8),
        // The library would read PKCS#1 only, which is inside the PKCS#8 that is kept.
        SigningAlgorithm::RS256 => return rsa_jwk(record),
    };
    Jwk::from_encoding_key(&key, jose_algorithm(record.algorithm))
        .map_err(|_| MintFault::Key("a key has no public form"))
}

fn rsa_jwk(record: &KeyRecord) -> Result<Jwk, MintFault> {
    let pair = RsaKeyPair::from_pkcs8(&record.pkcs8).map_err(|_| MintFault::Key("a stored key cannot be read"))?;
    let public = pair.public_key();
    let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    Ok(Jwk {
        common: CommonParameters { key_algorithm: Some(KeyAlgorithm::RS256), ..CommonParameters::default() },
        algorithm: AlgorithmParameters::RSA(RSAKeyParameters {
            key_type: RSAKeyType::RSA,
            n: number(public.modulus().big_endian_without_leading_zero()),
            e: number(public.exponent().big_endian_without_leading_zero()),
        }),
    })
}

fn public_jwk(record: &KeyRecord) -> Result<Jwk, MintFault> {
    let mut jwk = unnamed_jwk(record)?;
    jwk.common.key_id = Some(record.id.clone());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(jwk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_makes_a_key_that_signs_and_has_a_public_form_only() {
        for algorithm in ALGORITHMS {
            let record = generate(algorithm, UnixTime(0)).unwrap();
            assert!(pair(&record).is_ok());
            let jwk = serde_json::to_value(public_jwk(&record).unwrap()).unwrap();
            assert_eq!(jwk["kid"], record.id);
            assert_eq!(jwk["use"], "sig");
            assert!(jwk["alg"].is_string());
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(jwk.get(private).is_none(), "{private}");
            }
        }
    }
}
