//! An assertion that is valid until a test changes one thing.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;
use serde_json::{Map, Value, json};

use super::NOW;
use super::keys::{TestKey, base64url};

/// The parts of a compact JWS before it is signed.
#[derive(Clone)]
pub struct Assertion {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    raw_header: Option<Vec<u8>>,
    raw_claims: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
    key: TestKey,
}

impl Assertion {
    /// These claims, signed by this key. A `jti` becomes a new one, since CI platforms' assertions are single use.
    pub fn new(header: &Map<String, Value>, claims: &Map<String, Value>, key: &TestKey) -> Assertion {
        let mut claims = claims.clone();
        if claims.contains_key("jti") {
            claims.insert("jti".to_owned(), json!(fresh_token_id()));
        }
        let (raw_header, raw_claims, signature) = (None, None, None);
        Assertion { header: header.clone(), claims, raw_header, raw_claims, signature, key: key.clone() }.signed_by(key)
    }

    /// Sets a claim.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Assertion {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a claim.
    pub fn without(mut self, name: &str) -> Assertion {
        self.claims.remove(name);
        self
    }

    /// Sets a header member. Setting `alg` changes what is said, not how it is signed.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Assertion {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a header member.
    pub fn without_header(mut self, name: &str) -> Assertion {
        self.header.remove(name);
        self
    }

    /// These bytes as the header part, before base64url.
    pub fn raw_header(mut self, bytes: impl Into<Vec<u8>>) -> Assertion {
        self.raw_header = Some(bytes.into());
        self
    }

    /// These bytes as the claims part, before base64url.
    pub fn raw_claims(mut self, bytes: impl Into<Vec<u8>>) -> Assertion {
        self.raw_claims = Some(bytes.into());
        self
    }

    /// Moves `exp` to this many seconds after the beginning (negative: before it).
    pub fn expires_in(self, seconds: i64) -> Assertion {
        self.claim("exp", NOW + seconds)
    }

    /// Moves `iat`, `nbf` and `exp` together, as if issued at this time.
    pub fn issued_at(mut self, time: i64) -> Assertion {
        for name in ["iat", "nbf", "exp"] {
            if let Some(value) = self.claims.get_mut(name) {
                *value = json!(value.as_i64().expect("whole seconds") - NOW + time);
            }
        }
        self
    }

    /// Signs with this key, and names it: `kid` and `alg` follow.
    pub fn signed_by(mut self, key: &TestKey) -> Assertion {
        self.header.insert("kid".to_owned(), json!(key.id));
        self.header.insert("alg".to_owned(), json!(key.algorithm));
        self.key = key.clone();
        self
    }

    /// Signs with this key but keeps the header as it is.
    pub fn secretly_signed_by(mut self, key: &TestKey) -> Assertion {
        self.key = key.clone();
        self
    }

    /// Says and uses this algorithm.
    pub fn algorithm(mut self, name: &str) -> Assertion {
        self.header.insert("alg".to_owned(), json!(name));
        self.key = self.key.for_algorithm(name);
        self
    }

    /// These bytes as the signature.
    pub fn signature(mut self, bytes: impl Into<Vec<u8>>) -> Assertion {
        self.signature = Some(bytes.into());
        self
    }

    /// What is signed: both parts and the dot between them.
    pub fn signing_input(&self) -> String {
        let header = self.raw_header.clone().unwrap_or_else(|| Value::Object(self.header.clone()).to_string().into());
        let claims = self.raw_claims.clone().unwrap_or_else(|| Value::Object(self.claims.clone()).to_string().into());
        format!("{}.{}", base64url(header), base64url(claims))
    }

    /// The claims as they stand.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The header as it stands.
    pub fn header_members(&self) -> &Map<String, Value> {
        &self.header
    }

    /// The compact form, with a signature made by hand from the signing input.
    pub fn compact_with(&self, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        let input = self.signing_input();
        let signature = base64url(sign(input.as_bytes()));
        format!("{input}.{signature}")
    }

    /// The compact form with an HMAC in place of the signature, and the header saying so.
    pub fn compact_with_hmac(self, algorithm: &str, secret: &[u8]) -> String {
        let hash = if algorithm == "HS512" { hmac::HMAC_SHA512 } else { hmac::HMAC_SHA256 };
        let key = hmac::Key::new(hash, secret);
        self.header("alg", algorithm).compact_with(|input| hmac::sign(&key, input).as_ref().to_vec())
    }

    /// The compact form.
    pub fn compact(&self) -> String {
        self.compact_with(|input| match &self.signature {
            Some(bytes) => bytes.clone(),
            None => self.key.sign(&self.key.algorithm, input),
        })
    }
}

impl From<Assertion> for String {
    fn from(assertion: Assertion) -> String {
        assertion.compact()
    }
}

/// An id that no other assertion of this run has.
pub fn fresh_token_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    format!("00000000-0000-4000-8000-{:012x}", COUNT.fetch_add(1, Ordering::Relaxed))
}
