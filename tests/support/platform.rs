//! The platforms whose tokens the tests sign: real claim shapes from `fixtures/`, keys of our own.

use serde_json::{Map, Value};

use super::assertion::Assertion;
use super::keys::TestKey;

/// A platform: what its tokens look like, and the key it signs with.
#[derive(Clone)]
pub struct Platform {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
    pub key: TestKey,
}

impl Platform {
    /// `https://token.actions.githubusercontent.com`, a push to `main` of `acme/shop`.
    pub fn github() -> Platform {
        let header = include_str!("../../fixtures/github-actions/header.json");
        let claims = include_str!("../../fixtures/github-actions/claims.json");
        Platform::new(header, claims, TestKey::rsa("rsa-a").named("github-1"))
    }

    /// A managed identity, version 2 token.
    pub fn azure() -> Platform {
        let header = include_str!("../../fixtures/azure/header.json");
        Platform::new(header, include_str!("../../fixtures/azure/claims.json"), TestKey::rsa("rsa-b").named("azure-1"))
    }

    /// A pod's projected token.
    pub fn kubernetes() -> Platform {
        let header = include_str!("../../fixtures/kubernetes/header.json");
        let claims = include_str!("../../fixtures/kubernetes/claims.json");
        Platform::new(header, claims, TestKey::rsa("rsa-c").named("cluster-1"))
    }

    /// A JWT-SVID as SPIRE issues it.
    pub fn spiffe() -> Platform {
        let header = include_str!("../../fixtures/spiffe/header.json");
        Platform::new(header, include_str!("../../fixtures/spiffe/claims.json"), TestKey::p256("svid-1"))
    }

    /// An ordinary OpenID provider.
    pub fn oidc() -> Platform {
        let header = include_str!("../../fixtures/oidc/header.json");
        Platform::new(header, include_str!("../../fixtures/oidc/claims.json"), TestKey::rsa("rsa-a").named("partner-1"))
    }

    /// The platform of a fixture's directory.
    pub fn of(kind: &str) -> Platform {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(kind);
        let file = |name: &str| std::fs::read_to_string(directory.join(name)).expect("a fixture");
        Platform::new(&file("header.json"), &file("claims.json"), TestKey::rsa("rsa-a").named(kind))
    }

    fn new(header: &str, claims: &str, key: TestKey) -> Platform {
        let object = |text| serde_json::from_str::<Map<String, Value>>(text).expect("a fixture is an object");
        Platform { header: object(header), claims: object(claims), key }
    }

    /// The same platform under another `iss`.
    pub fn at(mut self, issuer: &str) -> Platform {
        self.claims.insert("iss".to_owned(), issuer.into());
        self
    }

    /// The same platform with another key.
    pub fn with_key(mut self, key: TestKey) -> Platform {
        self.key = key;
        self
    }

    /// The `iss` of its tokens; empty for SPIFFE.
    pub fn issuer(&self) -> &str {
        self.claims.get("iss").and_then(Value::as_str).unwrap_or_default()
    }

    /// A valid assertion, new at every call.
    pub fn assertion(&self) -> Assertion {
        Assertion::new(&self.header, &self.claims, &self.key)
    }
}
