//! What would become of a token, and why: the stages of the path, asked without minting.
//!
//! The same functions as the exchange, so the answer cannot differ from it. Nothing is claimed, created or signed.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Exchange, Failure};
use crate::claims::VerifiedClaims;
use crate::client_auth::{AssertionShape, UnverifiedAssertion};
use crate::issuer::{Issuer, IssuerRefusal, Issuers};
use crate::policy::{self, Explanation};
use crate::vocab::{IssuerName, UnixTime};

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
    /// What the subject says, where the issuer's kind has forms of it. Nothing is decided by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_says: Option<String>,
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
        let issuers = match rules.issuers.trusted(&assertion) {
            Ok(issuers) => issuers,
            Err(refusal) => return refused(&refusal.into(), None),
        };
        let name = issuers.only().map(|issuer| issuer.name().clone());
        let keys = match rules.keys.find(&issuers, &assertion).await {
            Ok(keys) => keys,
            Err(failure) => return refused(&failure.into(), name),
        };
        let now = self.clock.now();
        let claims = match VerifiedClaims::verify(assertion, &keys, now) {
            Ok(claims) => claims,
            Err(refusal) => return refused(&refusal.into(), name),
        };
        let name = Some(claims.issuer().name().clone());
        let explanation = policy::explain(&rules.policies, claims.issuer(), claims.members(), None, now);
        let decided = policy::decide(&rules.policies, &claims, None, now).outcome;
        let verdict = match decided {
            Ok(permit) => match rules.reviews.confirm(permit, &claims).await {
                Ok(_) => admitted(name),
                Err(failure) => refused(&failure.into(), name),
            },
            Err(refusal) => refused(&refusal.into(), name),
        };
        let subject_says = claims.issuer().kind().subject_says(claims.members());
        Verdict { policies: Some(explanation), subject_says, ..verdict }
    }

    /// Explains claims as if they had been verified.
    #[must_use]
    pub fn explain_claims(&self, claims: &Map<String, Value>) -> Verdict {
        let rules = self.rules.load_full();
        super::explain_claims(&rules.issuers, &rules.policies, claims, self.clock.now())
    }
}

/// Explains claims as if they had been verified, against rules that need not be a running broker's. Where clusters share
/// the `iss`, as claims of the first one whose policies admit them: a signature would have told.
#[must_use]
pub fn explain_claims(
    issuers: &Issuers,
    policies: &policy::PolicySet,
    claims: &Map<String, Value>,
    now: UnixTime,
) -> Verdict {
    let mut verdicts = issuers.by_claims(claims).iter().map(|issuer| explain_of(issuer, policies, claims, now));
    let Some(first) = verdicts.next() else { return refused(&IssuerRefusal::Unknown.into(), None) };
    if first.admitted { first } else { verdicts.find(|verdict| verdict.admitted).unwrap_or(first) }
}

fn explain_of(issuer: &Issuer, policies: &policy::PolicySet, claims: &Map<String, Value>, now: UnixTime) -> Verdict {
    let name = Some(issuer.name().clone());
    if let Err(refusal) = issuer.check_claims(claims) {
        return refused(&Failure::Claims(refusal.into()), name);
    }
    let explanation = policy::explain(policies, issuer, claims, None, now);
    let verdict = match explanation.refusal() {
        None => admitted(name),
        Some(cause) => Verdict { stage: Some("policy"), cause: Some(cause), admitted: false, ..admitted(name) },
    };
    Verdict { policies: Some(explanation), subject_says: issuer.kind().subject_says(claims), ..verdict }
}

fn admitted(issuer: Option<IssuerName>) -> Verdict {
    Verdict { admitted: true, stage: None, cause: None, detail: None, issuer, subject_says: None, policies: None }
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
        subject_says: None,
        policies: None,
    }
}
