//! What would become of a token, and why: the stages of the path, asked without minting.
//!
//! The same functions as the exchange, so the answer cannot differ from it. Nothing is claimed, created or signed.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Exchange, Failure};
use crate::claims::VerifiedClaims;
use crate::client_auth::{AssertionShape, UnverifiedAssertion};
use crate::policy::{self, Explanation};
use crate::vocab::IssuerName;

/// The answer.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// Whether a token would be minted (unless the assertion is single use and was used).
    pub admitted: bool,
    /// The stage at which the path ends, when it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'static str>,
    /// The dotted cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// The cause in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The issuer, once found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<IssuerName>,
    /// What the policies say, once they could be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<Explanation>,
}

impl Exchange {
    /// Explains a token, stage by stage.
    pub async fn explain_token(&self, token: &str) -> Verdict {
        let rules = self.rules.load_full();
        let assertion = match UnverifiedAssertion::parse(token, AssertionShape::Unsaid) {
            Ok(assertion) => assertion,
            Err(fault) => return refused(&Failure::ClientAuth(fault.into()), None),
        };
        let issuer = match rules.issuers.trusted(&assertion) {
            Ok(issuer) => issuer,
            Err(refusal) => return refused(&refusal.into(), None),
        };
        let name = Some(issuer.name().clone());
        let key = match rules.keys.find(&issuer, &assertion).await {
            Ok(key) => key,
            Err(failure) => return refused(&failure.into(), name),
        };
        let now = self.clock.now();
        let claims = match VerifiedClaims::verify(assertion, &key, &issuer, now) {
            Ok(claims) => claims,
            Err(refusal) => return refused(&refusal.into(), name),
        };
        let explanation = policy::explain(&rules.policies, &issuer, claims.members(), None, now);
        let decided = policy::decide(&rules.policies, &claims, None, now).outcome;
        let verdict = match decided {
            Ok(_) => admitted(name),
            Err(refusal) => refused(&refusal.into(), name),
        };
        Verdict { policies: Some(explanation), ..verdict }
    }

    /// Explains claims as if they had been verified.
    #[must_use]
    pub fn explain_claims(&self, claims: &Map<String, Value>) -> Verdict {
        let rules = self.rules.load_full();
        super::explain_claims(&rules.issuers, &rules.policies, claims, self.clock.now())
    }
}

/// Explains claims as if they had been verified, against rules that need not be a running broker's.
#[must_use]
pub fn explain_claims(
    issuers: &crate::issuer::Issuers,
    policies: &policy::PolicySet,
    claims: &Map<String, Value>,
    now: crate::vocab::UnixTime,
) -> Verdict {
    let Some(issuer) = issuers.by_claims(claims) else {
        return refused(&crate::issuer::IssuerRefusal::Unknown.into(), None);
    };
    let name = Some(issuer.name().clone());
    if let Err(refusal) = issuer.check_claims(claims) {
        return refused(&Failure::Claims(refusal.into()), name);
    }
    let explanation = policy::explain(policies, issuer, claims, None, now);
    let verdict = match explanation.refusal() {
        None => admitted(name),
        Some(cause) => Verdict { stage: Some("policy"), cause: Some(cause), admitted: false, ..admitted(name) },
    };
    Verdict { policies: Some(explanation), ..verdict }
}

fn admitted(issuer: Option<IssuerName>) -> Verdict {
    Verdict { admitted: true, stage: None, cause: None, detail: None, issuer, policies: None }
}

fn refused(failure: &Failure, issuer: Option<IssuerName>) -> Verdict {
    let detail = failure.to_string();
    let cause = failure.cause(&detail);
    Verdict {
        admitted: false,
        stage: Some(cause.stage),
        cause: Some(cause.cause),
        detail: Some(detail.clone()),
        issuer,
        policies: None,
    }
}
