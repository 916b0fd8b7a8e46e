//! The words of the path, each parsed once at the edge.
//!
//! In: text from a configuration file, a token or a request. Out: types whose value is known to be well formed.
//! Not here: whether anything they name exists or is trusted.

mod names;
mod scopes;
mod shown;
mod time;

pub use names::{
    Audience, ClientId, CredentialName, IssuerName, IssuerUrl, KeyId, PolicyName, ServiceName, Subject, TokenId,
    TraceId, UserName, WordFault, is_loopback_host,
};
pub use scopes::{Scope, Scopes};
pub use shown::shown;
pub use time::{UnixMillis, UnixTime};

use serde::Serialize;

/// A signature algorithm that an assertion may use (RFC 7518 §3.1, RFC 8037, RFC 9864).
///
/// HMAC and `none` have no member here, so no table and no comparison can ever let them through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[allow(missing_docs)]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    /// Ed25519; accepted under both its names, `EdDSA` and `Ed25519` (RFC 9864).
    EdDSA,
}

impl Algorithm {
    /// Every algorithm this broker can verify.
    pub const ALL: [Algorithm; 10] = [
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::ES512,
        Algorithm::EdDSA,
    ];

    /// The algorithm with this registered name, compared case-sensitively (RFC 7515 §4.1.1).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Algorithm> {
        if name == "Ed25519" {
            return Some(Algorithm::EdDSA);
        }
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::RS256 => "RS256",
            Algorithm::RS384 => "RS384",
            Algorithm::RS512 => "RS512",
            Algorithm::PS256 => "PS256",
            Algorithm::PS384 => "PS384",
            Algorithm::PS512 => "PS512",
            Algorithm::ES256 => "ES256",
            Algorithm::ES384 => "ES384",
            Algorithm::ES512 => "ES512",
            Algorithm::EdDSA => "EdDSA",
        }
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The JSON type that an issuer gives a claim; matchers compare by type, never by conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum ClaimType {
    String,
    Number,
    Boolean,
    StringList,
    Object,
    /// A string or a list of strings, as `aud` is (RFC 7519 §4.1.3).
    StringOrList,
    /// Declared, but of no fixed type.
    Any,
}

impl ClaimType {
    /// Every type.
    pub const ALL: [ClaimType; 7] = [
        ClaimType::String,
        ClaimType::Number,
        ClaimType::Boolean,
        ClaimType::StringList,
        ClaimType::Object,
        ClaimType::StringOrList,
        ClaimType::Any,
    ];

    /// The name used in an issuer's `claims:`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ClaimType::String => "string",
            ClaimType::Number => "number",
            ClaimType::Boolean => "boolean",
            ClaimType::StringList => "string-list",
            ClaimType::Object => "object",
            ClaimType::StringOrList => "string-or-list",
            ClaimType::Any => "any",
        }
    }

    /// The type with this configuration name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<ClaimType> {
        ClaimType::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl std::fmt::Display for ClaimType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}
