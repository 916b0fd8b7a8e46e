//! The shape of a client assertion: one compact JWS (RFC 7515 §7.1) with a header we understand whole.
//!
//! In: text. Out: [`UnverifiedAssertion`]. Proves: size, alphabet, three parts, strict JSON, a closed header. Leaves
//! unchecked: who signed it, and every claim.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::json::{self, JsonFault};
use crate::request::MAX_ASSERTION_BYTES;
use crate::vocab::{Algorithm, KeyId};

/// Longest header part, encoded.
const MAX_HEADER_BYTES: usize = 4 * 1024;

/// Which family of token the caller says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssertionShape {
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`: the issuer is the `iss` claim.
    JwtBearer,
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-spiffe`: the issuer is the trust domain of `sub`.
    JwtSpiffe,
    /// A grant that does not say: `iss` where there is one, else a SPIFFE ID in `sub`.
    Unsaid,
}

/// A parsed assertion. Nothing in it is proven.
pub struct UnverifiedAssertion {
    shape: AssertionShape,
    compact: Box<str>,
    signing_input_bytes: usize,
    signature: Vec<u8>,
    algorithm: Algorithm,
    key_id: Option<KeyId>,
    token_type: Option<String>,
    header_names: Vec<String>,
    claims: Map<String, Value>,
}

impl std::fmt::Debug for UnverifiedAssertion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("UnverifiedAssertion").field("shape", &self.shape).finish_non_exhaustive()
    }
}

/// What is wrong with an assertion's shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssertionFault {
    /// Over 16 KiB, or its header over 4 KiB.
    #[error("the assertion is larger than {limit} bytes")]
    TooLarge {
        /// The limit that was passed.
        limit: usize,
    },
    /// Not three non-empty base64url parts.
    #[error("the assertion is not three base64url parts")]
    NotCompact,
    /// A part is not strict JSON.
    #[error("the {part} {fault}")]
    Json {
        /// `header` or `claims set`.
        part: &'static str,
        /// How.
        fault: JsonFault,
    },
    /// `alg` is missing, no string, `none`, symmetric or unknown.
    #[error("the alg is not one this broker verifies")]
    Algorithm,
    /// `kid` is no string, empty or over 256 bytes.
    #[error("the kid is not a string of 1 to 256 bytes")]
    KeyId,
    /// `crit`, `b64`, `zip`, `enc`, `cty` or another member that changes what the token means.
    #[error("the header has {name}, which is never accepted")]
    ForbiddenHeader {
        /// Which.
        name: &'static str,
    },
    /// A member has the wrong JSON type.
    #[error("the header's {name} has the wrong type")]
    HeaderType {
        /// Which.
        name: &'static str,
    },
}

impl AssertionFault {
    /// The audit record's cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            AssertionFault::TooLarge { .. } => "assertion.too_large",
            AssertionFault::NotCompact => "assertion.not_compact",
            AssertionFault::Json { .. } => "assertion.json",
            AssertionFault::Algorithm => "assertion.algorithm",
            AssertionFault::KeyId => "assertion.key_id",
            AssertionFault::ForbiddenHeader { .. } => "assertion.forbidden_header",
            AssertionFault::HeaderType { .. } => "assertion.header_type",
        }
    }
}

impl UnverifiedAssertion {
    /// Reads a compact JWS.
    ///
    /// # Errors
    /// See [`AssertionFault`].
    pub fn parse(compact: &str, shape: AssertionShape) -> Result<UnverifiedAssertion, AssertionFault> {
        if compact.len() > MAX_ASSERTION_BYTES {
            return Err(AssertionFault::TooLarge { limit: MAX_ASSERTION_BYTES });
        }
        let [header, claims, signature] = three_parts(compact)?;
        if header.len() > MAX_HEADER_BYTES {
            return Err(AssertionFault::TooLarge { limit: MAX_HEADER_BYTES });
        }
        let header_members = json_part(header, "header")?;
        let (algorithm, key_id, token_type) = read_header(&header_members)?;
        Ok(UnverifiedAssertion {
            shape,
            signing_input_bytes: header.len() + 1 + claims.len(),
            signature: decode(signature)?,
            algorithm,
            key_id,
            token_type,
            header_names: header_members.keys().cloned().collect(),
            claims: json_part(claims, "claims set")?,
            compact: compact.into(),
        })
    }

    /// Which family of token the caller says it is.
    #[must_use]
    pub fn shape(&self) -> AssertionShape {
        self.shape
    }

    /// The whole token: to hash it, or to show it to the cluster that issued it.
    #[must_use]
    pub fn compact(&self) -> &str {
        &self.compact
    }

    /// The signed bytes (RFC 7515 §5.2).
    #[must_use]
    pub fn signing_input(&self) -> &[u8] {
        self.compact.as_bytes().get(..self.signing_input_bytes).unwrap_or_default()
    }

    /// The signature's bytes.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The header's `alg`; the key decides whether it holds (RFC 8725 §3.1).
    #[must_use]
    pub fn unverified_algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The header's `kid`.
    #[must_use]
    pub fn unverified_key_id(&self) -> Option<&KeyId> {
        self.key_id.as_ref()
    }

    /// The header's `typ`.
    #[must_use]
    pub fn unverified_token_type(&self) -> Option<&str> {
        self.token_type.as_deref()
    }

    /// The names of the header's members.
    pub fn unverified_header_names(&self) -> impl Iterator<Item = &str> {
        self.header_names.iter().map(String::as_str)
    }

    /// The `iss` claim, if it is a string.
    #[must_use]
    pub fn unverified_issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// Whether there is any `iss` member, string or not.
    #[must_use]
    pub fn has_issuer(&self) -> bool {
        self.claims.contains_key("iss")
    }

    /// The `sub` claim, if it is a string.
    #[must_use]
    pub fn unverified_subject(&self) -> Option<&str> {
        self.claims.get("sub").and_then(Value::as_str)
    }

    /// The claims set, for `explain` and for verification.
    #[must_use]
    pub fn unverified_claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Gives up the claims set; called where the signature has been verified.
    #[must_use]
    pub fn into_claims(self) -> Map<String, Value> {
        self.claims
    }
}

fn three_parts(compact: &str) -> Result<[&str; 3], AssertionFault> {
    let mut parts = compact.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(claims), Some(signature), None)
            if !header.is_empty() && !claims.is_empty() && !signature.is_empty() =>
        {
            Ok([header, claims, signature])
        }
        _ => Err(AssertionFault::NotCompact),
    }
}

/// Base64url without padding; the engine refuses other alphabets, white space and non-zero trailing bits.
fn decode(part: &str) -> Result<Vec<u8>, AssertionFault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| AssertionFault::NotCompact)
}

fn json_part(part: &str, name: &'static str) -> Result<Map<String, Value>, AssertionFault> {
    json::object(&decode(part)?).map_err(|fault| AssertionFault::Json { part: name, fault })
}

type Header = (Algorithm, Option<KeyId>, Option<String>);

fn read_header(members: &Map<String, Value>) -> Result<Header, AssertionFault> {
    // crit and b64: RFC 7515 §4.1.11, RFC 7797 §7. zip, enc, p2c, epk: only a JWE has them. cty: nested tokens.
    for name in ["crit", "b64", "zip", "enc", "p2c", "p2s", "epk", "cty"] {
        if members.contains_key(name) {
            return Err(AssertionFault::ForbiddenHeader { name });
        }
    }
    // A key the token brings itself is never a key source (RFC 8725 §3.10). x5t is harmless and Entra sends it.
    for name in ["jwk", "jku", "x5u", "x5c"] {
        if members.contains_key(name) {
            return Err(AssertionFault::ForbiddenHeader { name });
        }
    }
    let algorithm =
        members.get("alg").and_then(Value::as_str).and_then(Algorithm::from_name).ok_or(AssertionFault::Algorithm)?;
    let key_id = match members.get("kid") {
        None => None,
        Some(Value::String(text)) => Some(KeyId::parse(text).map_err(|_| AssertionFault::KeyId)?),
        Some(_) => return Err(AssertionFault::KeyId),
    };
    let token_type = match members.get("typ") {
        None => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => return Err(AssertionFault::HeaderType { name: "typ" }),
    };
    Ok((algorithm, key_id, token_type))
}
