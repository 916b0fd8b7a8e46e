//! What would become of a token, and why: the stages of the path, asked without minting; and what became of one that was
//! shown before (see `trace`).
//!
//! The same functions as the exchange, so the answer cannot differ from it. Nothing is claimed, created or signed. What is
//! here is for operators: a caller never sees any of it.

mod advice;
mod notes;
mod past;
mod trace;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Exchange, Failure, Rules};
use crate::claims::VerifiedClaims;
use crate::client_auth::{AssertionShape, UnverifiedAssertion};
use crate::issuer::{Issuer, IssuerRefusal, Issuers};
use crate::policy::{self, Depth, Explanation, KeptClaims, PolicySet, Question};
use crate::vocab::{IssuerName, UnixTime};
use notes::{Said, World};

/// The answer.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    /// Whether a token would be minted (unless the assertion is single use and was used); of a past exchange, whether one
    /// was.
    pub admitted: bool,
    /// The exchange, when a past one is explained.
    #[serde(flatten)]
    pub exchange: Option<Past>,
    /// The stage at which the path ends, when it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The dotted cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The cause in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the cause means, as `docs/causes.md` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub means: Option<&'static str>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what_to_do: Option<&'static str>,
    /// What an operator would look up next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The issuer, once found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<IssuerName>,
    /// What the subject says, where the issuer's kind has forms of it. Nothing is decided by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_says: Option<String>,
    /// What the policies in force say, once they can be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<Explanation>,
    /// The record of a past exchange, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Value>,
}

/// Which past exchange is explained.
#[derive(Debug, Serialize)]
pub struct Past {
    /// When it was.
    pub time: String,
    /// Its trace id.
    pub trace_id: String,
    /// `minted`, `refused` or `fault`.
    pub outcome: String,
    /// Who it was, once proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whom it became.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether the policies in force are those that decided; none, when none were asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_policies: Option<bool>,
}

impl Exchange {
    /// Explains a token, stage by stage.
    pub async fn explain_token(&self, token: &str, depth: Depth) -> Verdict {
        let rules = self.rules.load_full();
        let assertion = match UnverifiedAssertion::parse(token, AssertionShape::Unsaid) {
            Ok(assertion) => assertion,
            Err(fault) => return refused(&Failure::ClientAuth(fault.into())),
        };
        let claims = KeptClaims::whole(assertion.unverified_claims().clone());
        let key_id = assertion.unverified_key_id().map(ToString::to_string);
        let (mut verdict, issuer) = match self.verify_only(assertion, &rules).await {
            Ok(verified) => (self.decide_only(&verified, &rules).await, Some((**verified.issuer()).name().clone())),
            Err((failure, issuer)) => (refused(&failure), issuer),
        };
        let issuer = issuer.and_then(|name| rules.issuers.by_name(name.as_str()));
        let text = |name: &str| claims.claims().get(name).and_then(Value::as_str);
        let said = Said { issuer: text("iss"), subject: text("sub"), key_id: key_id.as_deref() };
        let world = World { issuers: &rules.issuers, keys: Some(&rules.keys) };
        let cause = verdict.cause.clone().unwrap_or_default();
        verdict.notes = world.notes(&cause, said, issuer.map(|issuer| &**issuer));
        if let Some(issuer) = issuer {
            verdict.issuer = Some(issuer.name().clone());
            verdict.notes.extend(self.earlier(issuer, &cause, (said.key_id, token)).await);
            // Of a token that the issuer did not sign, what the policies say means nothing.
            let is_signed = !matches!(&*cause, "claims.signature" | "claims.algorithm" | "claims.several_issuers");
            if is_signed && matches!(verdict.stage.as_deref(), None | Some("claims" | "policy" | "review")) {
                let question = Question { issuer: issuer.name(), claims: &claims, wanted: None, now: self.clock.now() };
                verdict.policies = Some(question.explain(&rules.policies, depth));
                verdict.subject_says = issuer.kind().subject_says(claims.claims());
            }
            if is_signed && verdict.stage.as_deref() == Some("claims") {
                verdict.notes.push("the policies were asked as if the claims had held".to_owned());
            }
        }
        verdict
    }

    /// issuer → key → claims; on a refusal with the issuer, where it is known.
    async fn verify_only(
        &self,
        assertion: UnverifiedAssertion,
        rules: &Rules,
    ) -> Result<VerifiedClaims, (Failure, Option<IssuerName>)> {
        let issuers = rules.issuers.trusted(&assertion).map_err(|refusal| (refusal.into(), None))?;
        let name = || issuers.only().map(|issuer| issuer.name().clone());
        let keys = rules.keys.find(&issuers, &assertion).await.map_err(|failure| (failure.into(), name()))?;
        VerifiedClaims::verify(assertion, &keys, self.clock.now()).map_err(|refusal| (refusal.into(), name()))
    }

    /// policy → review.
    async fn decide_only(&self, claims: &VerifiedClaims, rules: &Rules) -> Verdict {
        match policy::decide(&rules.policies, claims, None, self.clock.now()).outcome {
            Ok(permit) => match rules.reviews.confirm(permit, claims).await {
                Ok(_) => Verdict { admitted: true, ..Verdict::default() },
                Err(failure) => refused(&failure.into()),
            },
            Err(refusal) => refused(&refusal.into()),
        }
    }

    /// Explains claims as if they had been verified.
    #[must_use]
    pub fn explain_claims(&self, claims: &Map<String, Value>, depth: Depth) -> Verdict {
        let rules = self.rules.load_full();
        super::explain_claims((&rules.issuers, &rules.policies), claims, depth, self.clock.now())
    }
}

/// Explains claims as if they had been verified, against rules that need not be a running broker's. Where clusters share
/// the `iss`, as claims of the first one whose policies admit them: a signature would have told.
#[must_use]
pub fn explain_claims(
    (issuers, policies): (&Issuers, &PolicySet),
    claims: &Map<String, Value>,
    depth: Depth,
    now: UnixTime,
) -> Verdict {
    let kept = KeptClaims::whole(claims.clone());
    let of = |issuer: &Issuer| {
        let question = Question { issuer: issuer.name(), claims: &kept, wanted: None, now };
        explain_of(issuer, policies, &question, depth)
    };
    let mut verdicts = issuers.by_claims(claims).iter().map(|issuer| of(issuer));
    let Some(first) = verdicts.next() else {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let said = Said { issuer: text("iss"), subject: text("sub"), key_id: None };
        let verdict = refused(&IssuerRefusal::Unknown.into());
        let notes = World { issuers, keys: None }.notes("issuer.unknown", said, None);
        return Verdict { notes, ..verdict };
    };
    if first.admitted { first } else { verdicts.find(|verdict| verdict.admitted).unwrap_or(first) }
}

fn explain_of(issuer: &Issuer, policies: &PolicySet, question: &Question<'_>, depth: Depth) -> Verdict {
    let verdict = match issuer.check_claims(question.claims.claims()) {
        Err(refusal) => refused(&Failure::Claims(refusal.into())),
        Ok(()) => {
            let explanation = question.explain(policies, depth);
            let verdict = match explanation.refusal() {
                None => Verdict { admitted: true, ..Verdict::default() },
                Some(cause) => caused("policy", cause, explanation.refusal.clone()),
            };
            let subject_says = issuer.kind().subject_says(question.claims.claims());
            Verdict { policies: Some(explanation), subject_says, ..verdict }
        }
    };
    Verdict { issuer: Some(issuer.name().clone()), ..verdict }
}

fn refused(failure: &Failure) -> Verdict {
    let detail = failure.to_string();
    let cause = failure.cause(&detail);
    caused(cause.stage, cause.cause, Some(detail.clone()))
}

fn caused(stage: &str, cause: &str, detail: Option<String>) -> Verdict {
    let advice = advice::of(cause);
    Verdict {
        stage: Some(stage.to_owned()),
        cause: Some(cause.to_owned()),
        detail,
        means: advice.map(|advice| advice.means),
        what_to_do: advice.map(|advice| advice.what_to_do),
        ..Verdict::default()
    }
}
