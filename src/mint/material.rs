//! A signing key's material: made, imported, prepared, and its public half.
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
use zeroize::Zeroizing;

use super::MintFault;
use crate::config::SigningAlgorithm;

/// A private key in the clear.
pub(super) type Pkcs8 = Zeroizing<Vec<u8>>;

/// A key, prepared for signing.
pub(super) enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Pair {
    /// The signature, as JWS has it (RFC 7518 §3).
    pub(super) fn sign(&self, random: &SystemRandom, message: &[u8]) -> Result<Vec<u8>, MintFault> {
        let failed = |_| MintFault::Key("signing failed");
        match self {
            Pair::Ecdsa(pair) => Ok(pair.sign(random, message).map_err(failed)?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, random, message, &mut signed).map_err(failed)?;
                Ok(signed)
            }
        }
    }
}

/// A new private key, as PKCS#8 DER.
pub(super) fn generate(algorithm: SigningAlgorithm) -> Result<Pkcs8, MintFault> {
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
    Ok(Zeroizing::new(pkcs8))
}

/// A private key in PEM (`PRIVATE KEY`, RFC 7468 §10), in the form that we keep, and what it signs with.
pub(super) fn import(text: &str) -> Result<(SigningAlgorithm, Pkcs8), &'static str> {
    let pem = pem::parse(text).map_err(|_| "it is no PEM text")?;
    if pem.tag() != "PRIVATE KEY" {
        return Err("it must be PKCS#8 (`BEGIN PRIVATE KEY`); `openssl pkcs8 -topk8 -nocrypt` converts other forms");
    }
    let pkcs8 = pem.contents();
    if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8) {
        let kept = pair.to_pkcs8v1().map_err(|_| "it cannot be written again")?;
        return Ok((SigningAlgorithm::ES256, Zeroizing::new(kept.as_ref().to_vec())));
    }
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8(pkcs8) {
        let kept = pair.to_pkcs8v1().map_err(|_| "it cannot be written again")?;
        return Ok((SigningAlgorithm::EdDSA, Zeroizing::new(kept.as_ref().to_vec())));
    }
    if let Ok(pair) = RsaKeyPair::from_pkcs8(pkcs8) {
        let kept = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair);
        let kept = kept.map_err(|_| "it cannot be written again")?.as_ref().to_vec();
        return Ok((SigningAlgorithm::RS256, Zeroizing::new(kept)));
    }
    Err("it is no key of P-256, Ed25519 or RSA of 2048 bits or more")
}

/// A key's id: its JWK thumbprint (RFC 7638).
pub(super) fn key_id(algorithm: SigningAlgorithm, pkcs8: &[u8]) -> Result<String, MintFault> {
    unnamed_jwk(algorithm, pkcs8)?
        .thumbprint(ThumbprintHash::SHA256)
        .map_err(|_| MintFault::Key("a key has no thumbprint"))
}

/// The key, prepared for signing.
pub(super) fn pair(algorithm: SigningAlgorithm, pkcs8: &[u8]) -> Result<Pair, MintFault> {
    let unreadable = |_| MintFault::Key("a stored key cannot be read");
    Ok(match algorithm {
        SigningAlgorithm::ES256 => Pair::Ecdsa(
            EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map_err(unreadable)?,
        ),
        SigningAlgorithm::EdDSA => Pair::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8).map_err(unreadable)?),
        SigningAlgorithm::RS256 => Pair::Rsa(Box::new(RsaKeyPair::from_pkcs8(pkcs8).map_err(unreadable)?)),
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
pub(super) fn encoded_header(algorithm: SigningAlgorithm, key_id: &str) -> Result<String, MintFault> {
    let header = Header {
        typ: Some("at+jwt".to_owned()),
        kid: Some(key_id.to_owned()),
        ..Header::new(jose_algorithm(algorithm))
    };
    let json = serde_json::to_vec(&header).map_err(|_| MintFault::Claims)?;
    Ok(format!("{}.", URL_SAFE_NO_PAD.encode(json)))
}

fn unnamed_jwk(algorithm: SigningAlgorithm, pkcs8: &[u8]) -> Result<Jwk, MintFault> {
    let key = match algorithm {
        SigningAlgorithm::ES256 => EncodingKey::from_ec_der(pkcs8),
        SigningAlgorithm::EdDSA => EncodingKey::from_ed_der(pkcs8),
        // The library would read PKCS#1 only, which is inside the PKCS#8 that is kept.
        SigningAlgorithm::RS256 => return rsa_jwk(pkcs8),
    };
    Jwk::from_encoding_key(&key, jose_algorithm(algorithm)).map_err(|_| MintFault::Key("a key has no public form"))
}

fn rsa_jwk(pkcs8: &[u8]) -> Result<Jwk, MintFault> {
    let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| MintFault::Key("a stored key cannot be read"))?;
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

/// The public half, as the JWKS shows it.
pub(super) fn public_jwk(algorithm: SigningAlgorithm, pkcs8: &[u8], key_id: &str) -> Result<Jwk, MintFault> {
    let mut jwk = unnamed_jwk(algorithm, pkcs8)?;
    jwk.common.key_id = Some(key_id.to_owned());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(jwk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_makes_a_key_that_signs_and_has_a_public_form_only() {
        for algorithm in SigningAlgorithm::ALL {
            let pkcs8 = generate(algorithm).unwrap();
            let id = key_id(algorithm, &pkcs8).unwrap();
            assert!(pair(algorithm, &pkcs8).unwrap().sign(&SystemRandom::new(), b"a").is_ok());
            let jwk = serde_json::to_value(public_jwk(algorithm, &pkcs8, &id).unwrap()).unwrap();
            assert_eq!(jwk["kid"], id);
            assert_eq!(jwk["use"], "sig");
            assert!(jwk["alg"].is_string());
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(jwk.get(private).is_none(), "{private}");
            }
            let pem = pem::encode(&pem::Pem::new("PRIVATE KEY", pkcs8.to_vec()));
            let (found, kept) = import(&pem).unwrap();
            assert_eq!((found, key_id(found, &kept).unwrap()), (algorithm, id));
        }
        assert!(import("no key").is_err());
        assert!(import(&pem::encode(&pem::Pem::new("EC PRIVATE KEY", vec![1]))).unwrap_err().contains("PKCS#8"));
        assert!(import(&pem::encode(&pem::Pem::new("PRIVATE KEY", vec![1]))).unwrap_err().contains("P-256"));
    }
}
