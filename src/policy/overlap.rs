//! What only the whole set shows: policies that admit the same claims as different users, and policies that do nothing.
//!
//! In: a set. Out: warnings. The first kind would refuse such a token as ambiguous, and the author would learn it from an
//! outage; so each comes with claims that both policies were asked about and do admit.

use serde_json::{Map, Value};

use super::compatible::Compatible;
use super::evaluate::Verdict;
use super::index::Index;
use super::lint::SetFindings;
use super::witness::Typical;
use super::{Mode, Policy};
use crate::issuer::Issuer;
use crate::vocab::UnixTime;

/// Pairs that are compared in one load: about a second's work. Policies that have no claim in common with which to tell
/// them apart could otherwise be compared each with each.
const MAX_PAIRS: usize = 3_000_000;

/// Looks through the policies of one issuer.
pub(super) fn check(policies: &[Policy], index: &Index, issuer: &Issuer, findings: &mut SetFindings<'_>) {
    let typical = Typical::of(issuer);
    let compatible = Compatible::of(index, policies);
    let mut pairs = MAX_PAIRS;
    let is_asked = |policy: &&Policy| policy.mode == Mode::Enforce && !policy.has_expired(findings.now);
    let asked: Vec<bool> = policies.iter().map(|policy| is_asked(&policy)).collect();
    let is_asked = |number: usize| asked.get(number).copied().unwrap_or_default();
    for (number, policy) in policies.iter().enumerate().filter(|(number, _)| is_asked(*number)) {
        let (mut ambiguous, mut shadowed) = (false, false);
        compatible.visit(
            policy,
            |selector| typical.may_be_list(selector),
            |other_number| {
                let other_number = other_number as usize;
                if pairs == 0 || ambiguous && shadowed {
                    return false;
                }
                pairs -= 1;
                let Some(other) = policies.get(other_number).filter(|_| is_asked(other_number)) else { return true };
                if !shadowed && number != other_number && adds_nothing(policy, number, other, other_number) {
                    shadowed = true;
                    findings.shadowed(policy, other);
                }
                if !ambiguous && other_number > number {
                    ambiguous = ambiguity(policy, other, &typical, findings);
                }
                true
            },
        );
    }
    if pairs == 0 {
        findings.unfinished(issuer, MAX_PAIRS);
    }
}

/// Whether the policy could be deleted without a change. Of two that say the same, the later one could.
fn adds_nothing(policy: &Policy, number: usize, other: &Policy, other_number: usize) -> bool {
    let same_user = policy.fixed_user().is_some() && policy.fixed_user() == other.fixed_user();
    let grants = policy.scopes.iter().all(|scope| other.scopes.cover(scope));
    let terms = policy.token == other.token || policy.token == super::TokenTerms::default();
    let is_within = same_user && grants && terms && policy.attributes.is_empty() && other.admits_all_of(policy);
    let says_the_same = || policy.admits_all_of(other) && other.scopes.iter().all(|scope| policy.scopes.cover(scope));
    is_within && (other_number < number || !says_the_same())
}

/// Reports claims that both admit as different users, if there are any.
fn ambiguity(first: &Policy, second: &Policy, typical: &Typical<'_>, findings: &mut SetFindings<'_>) -> bool {
    let same_user = first.fixed_user().zip(second.fixed_user()).is_some_and(|(first, second)| first == second);
    if same_user || exclude_each_other(first, second, typical) {
        return false;
    }
    let now = findings.now;
    let witness = typical.witness(&[first, second], |claims| differ(first, second, claims, now));
    let Some(claims) = witness else { return false };
    let read = |policy: &Policy| policy.reads().map(str::to_owned).collect::<Vec<_>>();
    let names = [read(first), read(second)].concat();
    let shown: Map<String, Value> = claims.into_iter().filter(|(name, _)| names.contains(name)).collect();
    findings.ambiguous(first, second, &shown);
    true
}

fn differ(first: &Policy, second: &Policy, claims: &Map<String, Value>, now: UnixTime) -> bool {
    match (first.verdict(claims, None, now), second.verdict(claims, None, now)) {
        (Verdict::Admits { user: first, .. }, Verdict::Admits { user: second, .. }) => first != second,
        _ => false,
    }
}

/// Whether a claim, which is no list, must have one value for the one and another for the other.
fn exclude_each_other(first: &Policy, second: &Policy, typical: &Typical<'_>) -> bool {
    first.lines.iter().any(|line| {
        let others = second.lines.iter().filter(|other| other.selector == line.selector);
        let mut values = others.filter_map(|other| line.matcher.named_values().zip(other.matcher.named_values()));
        values.any(|(left, right)| !left.iter().any(|value| right.contains(value)))
            && !typical.may_be_list(&line.selector)
    })
}
