//! One JSON Web Key (RFC 7517 §4) into prepared keys, or the reason it is left out.
//!
//! In: a member of `keys`. Out: one [`VerifyingKey`] for each algorithm it may verify. `x5c`, `x5t` and `x5u` are not
//! read: a certificate inside a key set proves nothing that the key set does not. SPIFFE's X.509 authorities are `x509`'s.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::key_set::KeySetUse;
use super::verifying_key::{KeyName, VerifyingKey};
use crate::vocab::{Algorithm, KeyId};

/// Why a key of a set is left out. The rest of the set stays (RFC 7517 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkippedKey {
    /// Not an object, or a member is missing or has the wrong type or encoding.
    Malformed,
    /// A `kty` this broker does not know.
    UnknownType,
    /// A curve this broker does not verify with.
    UnknownCurve,
    /// `kty: oct`: a shared secret is no issuer's public key (RFC 8725 §3.2).
    Symmetric,
    /// It has private members, so anybody may sign with it (RFC 7517 §9.2).
    PrivateKey,
    /// Its `use` is for something else, or missing where SPIFFE needs it.
    WrongUse,
    /// Its `key_ops` has no `verify`.
    WrongOperation,
    /// Its `kid` is no string, empty or over 256 bytes.
    BadKeyId,
    /// Its `alg` is none this broker verifies, or does not fit the key.
    WrongAlgorithm,
    /// Its algorithm is not in the issuer's list.
    AlgorithmNotAllowed,
    /// An RSA key under 2,048 or over 8,192 bits, or with an exponent under 65,537.
    WeakOrHugeRsa,
    /// Coordinates that are no point of the curve, or an Ed25519 point of small order.
    BadPoint,
    /// Another key has the same `kid` and algorithm.
    DuplicateKeyId,
    /// SPIFFE: its `x5c` is not exactly one certificate of an authority.
    BadCertificate,
}

impl SkippedKey {
    /// Every reason.
    pub const ALL: [SkippedKey; 14] = [
        SkippedKey::Malformed,
        SkippedKey::UnknownType,
        SkippedKey::UnknownCurve,
        SkippedKey::Symmetric,
        SkippedKey::PrivateKey,
        SkippedKey::WrongUse,
        SkippedKey::WrongOperation,
        SkippedKey::BadKeyId,
        SkippedKey::WrongAlgorithm,
        SkippedKey::AlgorithmNotAllowed,
        SkippedKey::WeakOrHugeRsa,
        SkippedKey::BadPoint,
        SkippedKey::DuplicateKeyId,
        SkippedKey::BadCertificate,
    ];

    /// Its name in the status and as a metric's label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SkippedKey::Malformed => "malformed",
            SkippedKey::UnknownType => "unknown_type",
            SkippedKey::UnknownCurve => "unknown_curve",
            SkippedKey::Symmetric => "symmetric",
            SkippedKey::PrivateKey => "private_key",
            SkippedKey::WrongUse => "wrong_use",
            SkippedKey::WrongOperation => "wrong_operation",
            SkippedKey::BadKeyId => "bad_key_id",
            SkippedKey::WrongAlgorithm => "wrong_algorithm",
            SkippedKey::AlgorithmNotAllowed => "algorithm_not_allowed",
            SkippedKey::WeakOrHugeRsa => "weak_or_huge_rsa",
            SkippedKey::BadPoint => "bad_point",
            SkippedKey::DuplicateKeyId => "duplicate_key_id",
            SkippedKey::BadCertificate => "bad_certificate",
        }
    }
}

impl Serialize for SkippedKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for SkippedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            SkippedKey::Malformed => "malformed",
            SkippedKey::UnknownType => "of an unknown kty",
            SkippedKey::UnknownCurve => "on an unknown curve",
            SkippedKey::Symmetric => "symmetric (kty oct)",
            SkippedKey::PrivateKey => "with private members",
            SkippedKey::WrongUse => "with a wrong use",
            SkippedKey::WrongOperation => "with wrong key_ops",
            SkippedKey::BadKeyId => "with a bad kid",
            SkippedKey::WrongAlgorithm => "with a wrong alg",
            SkippedKey::AlgorithmNotAllowed => "for algorithms this issuer may not use",
            SkippedKey::WeakOrHugeRsa => "RSA of an unsafe size",
            SkippedKey::BadPoint => "with a bad curve point",
            SkippedKey::DuplicateKeyId => "with another key's kid",
            SkippedKey::BadCertificate => "without exactly one certificate of an authority",
        })
    }
}

const RSA_FAMILY: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// Reads one key.
pub(super) fn prepare(jwk: &Value, purpose: KeySetUse, allowed: &[Algorithm]) -> Result<Vec<VerifyingKey>, SkippedKey> {
    let members = jwk.as_object().ok_or(SkippedKey::Malformed)?;
    let key_type = text(members, "kty")?;
    if key_type == "oct" {
        return Err(SkippedKey::Symmetric);
    }
    if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| members.contains_key(*name)) {
        return Err(SkippedKey::PrivateKey);
    }
    check_use(members, purpose)?;
    let id = match members.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(KeyId::parse(id).map_err(|_| SkippedKey::BadKeyId)?),
        Some(_) => return Err(SkippedKey::BadKeyId),
    };
    // One that is no text matches no tenant, for the kinds that look at it.
    let issuer = members.get("issuer").map(|issuer| issuer.as_str().unwrap_or_default().into());
    let name = KeyName { id, issuer };
    let algorithms = |family: &[Algorithm]| algorithms(members, family, allowed);
    let ready = |algorithm, key| vec![VerifyingKey::new(name.clone(), algorithm, key)];
    match key_type {
        "RSA" => rsa(members, &algorithms(&RSA_FAMILY)?, &name),
        "EC" => {
            let (algorithm, verifier, coordinate_bytes) = curve(text(members, "crv")?)?;
            algorithms(&[algorithm])?;
            Ok(ready(algorithm, ec(members, verifier, coordinate_bytes)?))
        }
        "OKP" if text(members, "crv")? == "Ed25519" => {
            algorithms(&[Algorithm::EdDSA])?;
            Ok(ready(Algorithm::EdDSA, ed25519(members)?))
        }
        "OKP" => Err(SkippedKey::UnknownCurve),
        _ => Err(SkippedKey::UnknownType),
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str, SkippedKey> {
    members.get(name).and_then(Value::as_str).ok_or(SkippedKey::Malformed)
}

/// RFC 7517 §4.2, §4.3. A SPIFFE bundle mixes keys of several uses, so there the use must be said (Trust Domain and
/// Bundle §4.2.2); many OpenID Connect issuers leave it out.
fn check_use(members: &Map<String, Value>, purpose: KeySetUse) -> Result<(), SkippedKey> {
    let fits = match (members.get("use"), purpose) {
        (None, KeySetUse::Oidc) => true,
        (Some(Value::String(name)), KeySetUse::Oidc) => name == "sig",
        (Some(Value::String(name)), KeySetUse::SpiffeJwt) => name == "jwt-svid",
        _ => false,
    };
    if !fits {
        return Err(SkippedKey::WrongUse);
    }
    match members.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => Ok(()),
        Some(_) => Err(SkippedKey::WrongOperation),
    }
}

/// What the key may verify: its own `alg`, else all of its family (Entra and SPIRE say none); always within the
/// issuer's list.
fn algorithms(
    members: &Map<String, Value>,
    family: &[Algorithm],
    allowed: &[Algorithm],
) -> Result<Vec<Algorithm>, SkippedKey> {
    let own = match members.get("alg") {
        None => family.to_vec(),
        Some(Value::String(name)) => match Algorithm::from_name(name) {
            Some(algorithm) if family.contains(&algorithm) => vec![algorithm],
            _ => return Err(SkippedKey::WrongAlgorithm),
        },
        Some(_) => return Err(SkippedKey::WrongAlgorithm),
    };
    let usable: Vec<Algorithm> = own.into_iter().filter(|algorithm| allowed.contains(algorithm)).collect();
    if usable.is_empty() { Err(SkippedKey::AlgorithmNotAllowed) } else { Ok(usable) }
}

fn bytes(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, SkippedKey> {
    URL_SAFE_NO_PAD.decode(text(members, name)?).map_err(|_| SkippedKey::Malformed)
}

/// A Base64urlUInt. RFC 7518 §2 forbids leading zeros; some issuers send one, and the number is the same.
fn unsigned(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, SkippedKey> {
    let number: Vec<u8> = bytes(members, name)?.into_iter().skip_while(|byte| *byte == 0).collect();
    if number.is_empty() { Err(SkippedKey::Malformed) } else { Ok(number) }
}

fn rsa(
    members: &Map<String, Value>,
    algorithms: &[Algorithm],
    name: &KeyName,
) -> Result<Vec<VerifyingKey>, SkippedKey> {
    let (n, e) = (unsigned(members, "n")?, unsigned(members, "e")?);
    check_rsa_size(&n, &e)?;
    let components = RsaPublicKeyComponents { n: &n, e: &e };
    let prepared = algorithms.iter().filter_map(|algorithm| Some((*algorithm, rsa_parameters(*algorithm)?)));
    prepared
        .map(|(algorithm, parameters)| {
            let key = components.to_parsed_public_key(parameters).map_err(|_| SkippedKey::Malformed)?;
            Ok(VerifyingKey::new(name.clone(), algorithm, key))
        })
        .collect()
}

/// RFC 7518 §3.3 asks for 2,048 bits; above 8,192 a verification costs too much, and aws-lc refuses anyway. A small
/// exponent invites forgeries with lax padding; nobody issues one.
fn check_rsa_size(n: &[u8], e: &[u8]) -> Result<(), SkippedKey> {
    let leading_zeros = n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = n.len() * 8 - leading_zeros;
    let exponent = e.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let odd = n.last().is_some_and(|byte| byte % 2 == 1) && exponent % 2 == 1;
    if (2048..=8192).contains(&bits) && e.len() <= 4 && exponent >= 65_537 && odd {
        return Ok(());
    }
    Err(SkippedKey::WeakOrHugeRsa)
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::RS256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 | Algorithm::ES384 | Algorithm::ES512 | Algorithm::EdDSA => None,
    }
}

type Curve = (Algorithm, &'static dyn VerificationAlgorithm, usize);

fn curve(name: &str) -> Result<Curve, SkippedKey> {
    match name {
        "P-256" => Ok((Algorithm::ES256, &ECDSA_P256_SHA256_FIXED, 32)),
        "P-384" => Ok((Algorithm::ES384, &ECDSA_P384_SHA384_FIXED, 48)),
        // 521 bits, rounded up.
        "P-521" => Ok((Algorithm::ES512, &ECDSA_P521_SHA512_FIXED, 66)),
        _ => Err(SkippedKey::UnknownCurve),
    }
}

/// RFC 7518 §6.2.1: both coordinates at the curve's full length; aws-lc refuses what is not on the curve.
fn ec(
    members: &Map<String, Value>,
    verifier: &'static dyn VerificationAlgorithm,
    coordinate_bytes: usize,
) -> Result<ParsedPublicKey, SkippedKey> {
    let (x, y) = (bytes(members, "x")?, bytes(members, "y")?);
    if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
        return Err(SkippedKey::Malformed);
    }
    let point: Vec<u8> = std::iter::once(4).chain(x).chain(y).collect();
    ParsedPublicKey::new(verifier, point).map_err(|_| SkippedKey::BadPoint)
}

fn ed25519(members: &Map<String, Value>) -> Result<ParsedPublicKey, SkippedKey> {
    let point: [u8; 32] = bytes(members, "x")?.try_into().map_err(|_| SkippedKey::Malformed)?;
    if has_small_order_or_is_not_canonical(point) {
        return Err(SkippedKey::BadPoint);
    }
    ParsedPublicKey::new(&ED25519, point).map_err(|_| SkippedKey::BadPoint)
}

/// y of the two pairs of points of order 8; the other small orders have y = 0, 1 and -1.
const ORDER_EIGHT: [[u8; 32]; 2] = [
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
];

/// With a key of small order one signature verifies for every message (RFC 8032 §5.1.7 does not refuse it), and a y of
/// 2^255 - 19 or more is a second name of another key. Only y counts: the top bit is the sign of x.
fn has_small_order_or_is_not_canonical(mut point: [u8; 32]) -> bool {
    point[31] &= 0x7f;
    let (low, high) = (point[0], point[31]);
    let middle = point.get(1..31).unwrap_or_default();
    let zero_or_one = low <= 1 && high == 0 && middle.iter().all(|byte| *byte == 0);
    // p - 1 is -1; p and above are not canonical.
    let minus_one_or_more = low >= 0xec && high == 0x7f && middle.iter().all(|byte| *byte == 0xff);
    zero_or_one || minus_one_or_more || ORDER_EIGHT.contains(&point)
}
