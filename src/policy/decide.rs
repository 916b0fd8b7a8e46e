//! From verified claims to the one user they may become. A pure function: no clock, no network, no store.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::evaluate::Verdict;
use super::{Mode, Policy, PolicySet};
use crate::claims::VerifiedClaims;
use crate::issuer::TrustedIssuer;
use crate::vocab::{Audience, IssuerName, PolicyName, Scopes, Subject, UnixTime, UserName};

/// That policies admit these claims as exactly one user. Only [`decide`] makes one.
#[derive(Debug)]
pub struct Permit {
    user: UserName,
    scopes: Scopes,
    policies: Vec<PolicyName>,
    token: TokenTerms,
    attributes: BTreeMap<String, String>,
    issuer: TrustedIssuer,
    subject: Subject,
    assertion_expires_at: UnixTime,
}

/// What policies say about the token; the strictest of several wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenTerms {
    /// Its lifetime; `None`: the default.
    pub lifetime: Option<Duration>,
    /// Its audiences; `None`: the default.
    pub audiences: Option<Vec<Audience>>,
    /// Whether it may not outlive the assertion.
    pub within_assertion: bool,
}

/// Why policies refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyRefusal {
    /// None admits the claims (as the user that was named, if one was).
    #[error("no policy admits the claims")]
    NoneAdmits,
    /// Two different users are admitted; choosing one would be a guess.
    #[error("policies {first} and {second} admit the claims as different users")]
    Ambiguous {
        /// One.
        first: PolicyName,
        /// The other.
        second: PolicyName,
    },
    /// A policy whose lines hold could not be evaluated.
    #[error("policy {policy} could not be evaluated: {why}")]
    Evaluation {
        /// Which.
        policy: PolicyName,
        /// Why.
        why: &'static str,
    },
    /// Several policies admit, and no audience is in all of their lists.
    #[error("the admitting policies have no audience in common")]
    TokenTerms,
}

impl PolicyRefusal {
    /// The audit record's cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            PolicyRefusal::NoneAdmits => "policy.none",
            PolicyRefusal::Ambiguous { .. } => "policy.ambiguous",
            PolicyRefusal::Evaluation { .. } => "policy.evaluation_error",
            PolicyRefusal::TokenTerms => "policy.token_terms",
        }
    }
}

/// What a policy in shadow mode would have done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShadowVerdict {
    /// Which.
    pub policy: PolicyName,
    /// Whom it would have admitted.
    pub user: UserName,
}

/// The decision, and what shadow policies would have added to it.
#[derive(Debug)]
pub struct Decision {
    /// The permit, or why there is none.
    pub outcome: Result<Permit, PolicyRefusal>,
    /// What policies in shadow mode admit.
    pub shadow: Vec<ShadowVerdict>,
}

impl Permit {
    /// Whom the claims become.
    #[must_use]
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// The most the token may carry: what the admitting policies grant together.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// The admitting policies, by name.
    #[must_use]
    pub fn policies(&self) -> &[PolicyName] {
        &self.policies
    }

    /// What they say about the token.
    #[must_use]
    pub fn token(&self) -> &TokenTerms {
        &self.token
    }

    /// What they copy from the claims.
    #[must_use]
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    /// Who signed the claims.
    #[must_use]
    pub fn issuer(&self) -> &TrustedIssuer {
        &self.issuer
    }

    /// The claims' subject.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// When the assertion ends.
    #[must_use]
    pub fn assertion_expires_at(&self) -> UnixTime {
        self.assertion_expires_at
    }
}

/// Decides. With `wanted`, only that user's policies count.
#[must_use]
pub fn decide(policies: &PolicySet, claims: &VerifiedClaims, wanted: Option<&UserName>, now: UnixTime) -> Decision {
    let candidates = policies.candidates(claims.issuer().name(), claims.members());
    let (admitted, shadow) = match admitted(candidates, claims.members(), wanted, now) {
        Ok(found) => found,
        Err((refusal, shadow)) => return Decision { outcome: Err(refusal), shadow },
    };
    let outcome = terms(&admitted.policies).map(|token| Permit {
        scopes: admitted.scopes(),
        policies: admitted.policies.iter().map(|policy| policy.name.clone()).collect(),
        user: admitted.user,
        token,
        attributes: admitted.attributes,
        issuer: claims.issuer().clone(),
        subject: claims.subject().clone(),
        assertion_expires_at: claims.expires_at(),
    });
    Decision { outcome, shadow }
}

/// What policies would do with claims of any provenance. It is an answer, and no [`Permit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// Whom they would become.
    pub user: UserName,
    /// What their token could carry.
    pub scopes: Scopes,
    /// By which policies.
    pub policies: Vec<PolicyName>,
}

/// The same rules as [`decide`], over claims that nobody need have verified.
///
/// # Errors
/// Why the policies refuse.
pub fn judge(
    policies: &PolicySet,
    issuer: &IssuerName,
    claims: &Map<String, Value>,
    wanted: Option<&UserName>,
    now: UnixTime,
) -> Result<Judgement, PolicyRefusal> {
    judge_among(policies.candidates(issuer, claims), claims, wanted, now)
}

/// The same, when it is known which policies can admit the claims.
pub(super) fn judge_among(
    candidates: Vec<&Policy>,
    claims: &Map<String, Value>,
    wanted: Option<&UserName>,
    now: UnixTime,
) -> Result<Judgement, PolicyRefusal> {
    let (admitted, _) = admitted(candidates, claims, wanted, now).map_err(|(refusal, _)| refusal)?;
    terms(&admitted.policies)?;
    Ok(Judgement {
        scopes: admitted.scopes(),
        policies: admitted.policies.iter().map(|policy| policy.name.clone()).collect(),
        user: admitted.user,
    })
}

/// One user, and the policies that admit it.
pub(super) struct Admitted<'a> {
    pub(super) user: UserName,
    pub(super) policies: Vec<&'a Policy>,
    attributes: BTreeMap<String, String>,
}

impl Admitted<'_> {
    /// What the policies grant together.
    pub(super) fn scopes(&self) -> Scopes {
        self.policies.iter().fold(Scopes::default(), |scopes, policy| scopes.union(&policy.scopes))
    }
}

type Shadow = Vec<ShadowVerdict>;

/// The rules of deciding, over claims of any provenance; `decide` alone turns the answer into a permit.
pub(super) fn admitted<'a>(
    candidates: Vec<&'a Policy>,
    claims: &Map<String, Value>,
    wanted: Option<&UserName>,
    now: UnixTime,
) -> Result<(Admitted<'a>, Shadow), (PolicyRefusal, Shadow)> {
    candidates.iter().for_each(|policy| policy.fetch());
    let mut shadow = Vec::new();
    let mut found: Option<Admitted<'a>> = None;
    let mut refusal = None;
    for policy in candidates {
        let (user, attributes) = match policy.verdict(claims, wanted, now) {
            Verdict::Silent => continue,
            Verdict::Error(why) => {
                if policy.mode == Mode::Enforce && refusal.is_none() {
                    refusal = Some(PolicyRefusal::Evaluation { policy: policy.name.clone(), why });
                }
                continue;
            }
            Verdict::Admits { user, .. } if policy.mode == Mode::Shadow => {
                shadow.push(ShadowVerdict { policy: policy.name.clone(), user });
                continue;
            }
            Verdict::Admits { user, attributes } => (user, attributes),
        };
        match &mut found {
            None => found = Some(Admitted { user, policies: vec![policy], attributes }),
            Some(admitted) if admitted.user == user => {
                admitted.policies.push(policy);
                admitted.attributes.extend(attributes);
            }
            Some(admitted) => {
                let first = admitted.policies.first().map_or(&policy.name, |first| &first.name).clone();
                let second = policy.name.clone();
                refusal = refusal.or(Some(PolicyRefusal::Ambiguous { first, second }));
            }
        }
    }
    match (refusal, found) {
        (Some(refusal), _) => Err((refusal, shadow)),
        (None, None) => Err((PolicyRefusal::NoneAdmits, shadow)),
        (None, Some(admitted)) => Ok((admitted, shadow)),
    }
}

/// The strictest of the policies' terms: the shortest lifetime, the audiences they all allow.
pub(super) fn terms(policies: &[&Policy]) -> Result<TokenTerms, PolicyRefusal> {
    let mut terms = TokenTerms::default();
    for policy in policies {
        let (more, within) = (&policy.token, policy.token.within_assertion);
        terms.within_assertion |= within;
        terms.lifetime = [terms.lifetime, more.lifetime].into_iter().flatten().min();
        terms.audiences = match (terms.audiences.take(), &more.audiences) {
            (None, audiences) => audiences.clone(),
            (some, None) => some,
            (Some(mut both), Some(audiences)) => {
                both.retain(|audience| audiences.contains(audience));
                Some(both)
            }
        };
    }
    match &terms.audiences {
        Some(audiences) if audiences.is_empty() => Err(PolicyRefusal::TokenTerms),
        _ => Ok(terms),
    }
}
