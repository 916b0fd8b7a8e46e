//! Asking policies about claims that are at hand or that a record kept, where a decision would have verified them.
//!
//! In: claims of any provenance. Out: an [`Answer`], or line by line an explanation (see `explain`). Never a permit.

use std::collections::BTreeSet;

use super::decide::{judge, judge_among};
use super::evaluate::Verdict;
use super::{Judgement, KeptClaims, Mode, Policy, PolicyRefusal, PolicySet};
use crate::vocab::{IssuerName, UnixTime, UserName};

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Whose token it is.
    pub issuer: &'a IssuerName,
    /// Its claims, or those that are known of them.
    pub claims: &'a KeptClaims,
    /// The user that the request named; only that user's policies count.
    pub wanted: Option<&'a UserName>,
    /// The time of asking.
    pub now: UnixTime,
}

/// What policies would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// They admit the claims.
    Admitted(Judgement),
    /// They refuse them.
    Refused(PolicyRefusal),
    /// They read these claims, which were not kept.
    Unknown(BTreeSet<String>),
}

impl Question<'_> {
    /// What these policies would do, by the same rules as a decision.
    #[must_use]
    pub fn answer(&self, policies: &PolicySet) -> Answer {
        let claims = self.claims.claims();
        let judged = if policies.claims_read(self.issuer).is_some_and(|read| read.miss(self.claims)) {
            // The index files a policy under one of its lines, and the claim of that line may be what is unknown.
            let all: Vec<&Policy> = policies.of_issuer(self.issuer).iter().collect();
            let enforced = all.iter().filter(|policy| policy.mode == Mode::Enforce);
            let unknown: BTreeSet<String> =
                enforced.flat_map(|policy| self.verdict(policy).err().unwrap_or_default()).collect();
            if !unknown.is_empty() {
                return Answer::Unknown(unknown);
            }
            judge_among(all, claims, self.wanted, self.now)
        } else {
            judge(policies, self.issuer, claims, self.wanted, self.now)
        };
        judged.map_or_else(Answer::Refused, Answer::Admitted)
    }

    /// What one policy says; or the claims that it reads and that are unknown, when they could change that.
    pub(super) fn verdict(&self, policy: &Policy) -> Result<Verdict, BTreeSet<String>> {
        let unknown = policy.misses(self.claims);
        if unknown.is_empty() || self.certain_misses(policy) > 0 {
            return Ok(policy.verdict(self.claims.claims(), self.wanted, self.now));
        }
        Err(unknown)
    }

    /// How many of its lines do not hold, whatever the unknown claims are. Cheap: no condition is evaluated.
    pub(super) fn certain_misses(&self, policy: &Policy) -> usize {
        let claims = self.claims;
        let lines = policy.lines.iter().filter(|line| !claims.is_unknown(line.selector.claim()));
        let is_other = policy.fixed_user().zip(self.wanted).is_some_and(|(user, wanted)| user != wanted);
        lines.filter(|line| !line.holds(claims.claims())).count()
            + usize::from(policy.has_expired(self.now))
            + usize::from(is_other)
    }
}
