//! Why an issuer is not trusted, or a token is not one of its kind. Nothing the caller wrote is in here.

use crate::kind::IssuerKind;
use crate::vocab::IssuerName;

/// Why an assertion's issuer is not trusted. Carries nothing the caller wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerRefusal {
    /// No `iss`, or no `sub` where the trust domain is read from it.
    #[error("the assertion has no {claim}, which names its issuer")]
    Missing {
        /// `iss` or `sub`.
        claim: &'static str,
    },
    /// `iss` is no string, or `sub` is no SPIFFE ID with a path.
    #[error("the assertion's {claim} {rule}")]
    Malformed {
        /// `iss` or `sub`.
        claim: &'static str,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// Nobody configured this `iss`, byte for byte.
    #[error("no issuer is configured with the assertion's iss")]
    Unknown,
    /// A Kubernetes secret's token from before bound tokens; its `iss` is the same in every cluster.
    #[error("a legacy Kubernetes secret token: those never expire and no setting admits them; project a bound token")]
    LegacyToken,
    /// Nobody configured this trust domain.
    #[error("no SPIFFE issuer is configured with the trust domain of the assertion's sub")]
    TrustDomainUnknown,
    /// Configured and switched off.
    #[error("issuer {name} is disabled")]
    Disabled {
        /// The operator's name for it.
        name: IssuerName,
    },
    /// A JWT-SVID sent as `jwt-bearer`, or another token sent as `jwt-spiffe`.
    #[error("the client_assertion_type does not fit the assertion")]
    Shape,
}

impl IssuerRefusal {
    /// The cause in the audit record.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            IssuerRefusal::Missing { .. } => "issuer.missing",
            IssuerRefusal::Malformed { .. } => "issuer.malformed",
            IssuerRefusal::Unknown => "issuer.unknown",
            IssuerRefusal::LegacyToken => "issuer.legacy_token",
            IssuerRefusal::TrustDomainUnknown => "issuer.trust_domain_unknown",
            IssuerRefusal::Disabled { .. } => "issuer.disabled",
            IssuerRefusal::Shape => "issuer.shape",
        }
    }
}

/// A rule of the issuer's kind that a token breaks. Carries nothing the caller wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KindRefusal {
    /// A claim does not have the form this kind gives it.
    #[error("a token of kind {kind} must have {rule}")]
    Claim {
        /// The issuer's kind.
        kind: IssuerKind,
        /// The rule, as the end of a sentence.
        rule: &'static str,
    },
    /// The header is not one that this kind's tokens have.
    #[error("a token of kind {kind} must have a header with {rule}")]
    Header {
        /// The issuer's kind.
        kind: IssuerKind,
        /// The rule, as the end of a sentence.
        rule: &'static str,
    },
}

impl KindRefusal {
    /// The cause in the audit record.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            KindRefusal::Claim { .. } | KindRefusal::Header { .. } => "claims.kind_rule",
        }
    }
}
