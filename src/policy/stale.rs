//! What nobody uses, and what is no longer what a policy calls it: counted from exchanges that were seen.
//!
//! In: the policies, and each exchange with the policies that admitted it and the claims that its record kept. Out: the
//! policies that admitted nothing, and pins whose names and ids have drifted apart: a name on a platform can be given to
//! somebody else, an id cannot. Not here: where exchanges come from (see `cli`).

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;

use super::matcher::{Scalar, Selector};
use super::{KeptClaims, Mode, Policy, PolicySet};
use crate::issuer::Issuers;
use crate::vocab::{IssuerName, PolicyName, UnixTime, shown};

/// Different partners of one pinned value that are kept: the newest take the place of the oldest.
const PARTNERS: usize = 8;
/// Longest claim value that is shown.
const SHOWN_CHARACTERS: usize = 120;

/// One exchange.
#[derive(Debug, Clone, Copy)]
pub struct Use<'a> {
    /// Whose token it was.
    pub issuer: &'a str,
    /// The policies that admitted it, or would have in shadow mode.
    pub policies: &'a [&'a str],
    /// The claims that its record kept.
    pub claims: Option<&'a KeptClaims>,
    /// When: RFC 3339.
    pub time: &'a str,
    /// Its trace id.
    pub trace_id: &'a str,
}

/// What was seen of the policies of a set.
pub struct Usage<'p> {
    set: &'p PolicySet,
    last_used: HashMap<&'p str, Option<String>>,
    pairs: HashMap<&'p str, Vec<Pair>>,
}

/// A policy that admitted nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unused {
    /// Which.
    pub policy: PolicyName,
    /// Its issuer.
    pub issuer: IssuerName,
    /// Why that is no wonder, where it is none.
    pub because: Option<&'static str>,
}

/// A pin whose name and id have drifted apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// The policy that pins them.
    pub policy: PolicyName,
    /// Its issuer.
    pub issuer: IssuerName,
    /// What was seen, in words.
    pub detail: String,
    /// When it was seen last.
    pub last_seen: String,
    /// The trace id of that exchange.
    pub trace_id: String,
}

/// A name claim and the claim with the same thing's id, and what was seen of the values that policies pin.
struct Pair {
    name: Selector,
    id: Selector,
    /// By pinned name: the ids that it was seen with.
    names: HashMap<String, Partners>,
    /// By pinned id: the names that it was seen with.
    ids: HashMap<String, Partners>,
}

/// Values that were seen beside another one, the latest last.
type Partners = Vec<Seen>;

#[derive(Debug, Clone)]
struct Seen {
    value: String,
    time: String,
    trace_id: String,
}

impl<'p> Usage<'p> {
    /// Nothing was seen yet.
    #[must_use]
    pub fn of(set: &'p PolicySet, issuers: &'p Issuers) -> Usage<'p> {
        let pairs = issuers.iter().map(|issuer| {
            let named = issuer.kind().names.iter();
            let watched = named.map(|(name, id)| Pair::watch(Selector::parse(name), Selector::parse(id)));
            let mut pairs: Vec<Pair> = watched.collect();
            for pair in &mut pairs {
                set.of_issuer(issuer.name()).iter().for_each(|policy| pair.pin(policy));
            }
            (issuer.name().as_str(), pairs)
        });
        let last_used = set.iter().map(|policy| (policy.name().as_str(), None));
        Usage { set, last_used: last_used.collect(), pairs: pairs.collect() }
    }

    /// Adds one exchange; they come in their order.
    pub fn add(&mut self, seen: Use<'_>) {
        for name in seen.policies {
            if let Some(last) = self.last_used.get_mut(*name) {
                *last = Some(seen.time.to_owned());
            }
        }
        if let (Some(claims), Some(pairs)) = (seen.claims, self.pairs.get_mut(seen.issuer)) {
            pairs.iter_mut().for_each(|pair| pair.add(claims, &seen));
        }
    }

    /// The policies that admitted nothing.
    #[must_use]
    pub fn unused(&self, issuers: &Issuers, now: UnixTime) -> Vec<Unused> {
        let is_used = |policy: &Policy| self.last_used.get(policy.name().as_str()).is_some_and(Option::is_some);
        let unused = self.set.iter().filter(|policy| !is_used(policy));
        let rows = unused.map(|policy| Unused {
            policy: policy.name().clone(),
            issuer: policy.issuer().clone(),
            because: why(policy, issuers, now),
        });
        rows.collect()
    }

    /// The pins that have drifted.
    #[must_use]
    pub fn drifted(&self) -> Vec<Drift> {
        let of_policy = |policy: &'p Policy| {
            let pairs = self.pairs.get(policy.issuer().as_str()).into_iter().flatten();
            pairs.flat_map(move |pair| pair.drift(policy)).map(move |(detail, seen)| Drift {
                policy: policy.name().clone(),
                issuer: policy.issuer().clone(),
                detail,
                last_seen: seen.time,
                trace_id: seen.trace_id,
            })
        };
        self.set.iter().flat_map(of_policy).collect()
    }
}

fn why(policy: &Policy, issuers: &Issuers, now: UnixTime) -> Option<&'static str> {
    if policy.has_expired(now) {
        return Some("it has ended");
    }
    if issuers.by_name(policy.issuer().as_str()).is_some_and(|issuer| issuer.settings().disabled) {
        return Some("its issuer is disabled");
    }
    (policy.mode == Mode::Shadow).then_some("it is in shadow mode, and would have admitted nothing")
}

impl Pair {
    fn watch(name: Selector, id: Selector) -> Pair {
        Pair { name, id, names: HashMap::new(), ids: HashMap::new() }
    }

    /// The values that a policy pins are those that are watched.
    fn pin(&mut self, policy: &Policy) {
        let values = |selector: &Selector| pinned(policy, selector).into_iter().map(|value| (value, Partners::new()));
        let (names, ids): (Vec<_>, Vec<_>) = (values(&self.name).collect(), values(&self.id).collect());
        self.names.extend(names);
        self.ids.extend(ids);
    }

    fn add(&mut self, claims: &KeptClaims, seen: &Use<'_>) {
        let value = |selector: &Selector| selector.select(claims.claims()).and_then(plain);
        let (Some(name), Some(id)) = (value(&self.name), value(&self.id)) else { return };
        let beside = |value: String| Seen { value, time: seen.time.to_owned(), trace_id: seen.trace_id.to_owned() };
        if let Some(ids) = self.names.get_mut(&name) {
            latest(ids, beside(id.clone()));
        }
        if let Some(names) = self.ids.get_mut(&id) {
            latest(names, beside(name));
        }
    }

    /// What of a policy's pins has drifted.
    fn drift(&self, policy: &Policy) -> Vec<(String, Seen)> {
        let (names, ids) = (pinned(policy, &self.name), pinned(policy, &self.id));
        let (name_claim, id_claim) = (self.name.source(), self.id.source());
        let mut found = Vec::new();
        // A subject has many forms for one id: that another one is seen says nothing.
        for id in ids.iter().filter(|_| !names.is_empty() && name_claim != "sub") {
            let Some(last) = self.ids.get(id).and_then(|names| names.last()) else { continue };
            if !names.contains(&last.value) {
                let detail = format!(
                    "renamed: tokens with {id_claim} {} now say {name_claim} {}, the policy says {}",
                    short(id),
                    short(&last.value),
                    list(&names)
                );
                found.push((detail, last.clone()));
            }
        }
        for name in &names {
            let seen = self.names.get(name).map(Vec::as_slice).unwrap_or_default();
            let strange = seen.iter().rev().find(|seen| !ids.contains(&seen.value));
            match (strange, ids.is_empty()) {
                (Some(other), false) => {
                    let detail = format!(
                        "given to somebody else: tokens that say {name_claim} {} have {id_claim} {}, the policy pins {}",
                        short(name),
                        short(&other.value),
                        list(&ids)
                    );
                    found.push((detail, other.clone()));
                }
                (Some(last), true) if seen.len() > 1 => {
                    let all: Vec<String> = seen.iter().map(|seen| seen.value.clone()).collect();
                    let detail = format!(
                        "had by several: tokens that say {name_claim} {} have {id_claim} {}; pin one of them",
                        short(name),
                        list(&all)
                    );
                    found.push((detail, last.clone()));
                }
                _ => {}
            }
        }
        found
    }
}

/// Puts a value last, where it may stand already.
fn latest(partners: &mut Partners, seen: Seen) {
    partners.retain(|partner| partner.value != seen.value);
    if partners.len() >= PARTNERS {
        partners.remove(0);
    }
    partners.push(seen);
}

/// The values of a claim that a policy names one by one.
fn pinned(policy: &Policy, selector: &Selector) -> Vec<String> {
    let lines = policy.lines.iter().filter(|line| *line.selector == *selector);
    let values = lines.filter_map(|line| line.matcher.named_values()).flatten();
    values.filter_map(|value: &Scalar| plain(&value.to_json())).collect()
}

/// A claim's value as a name or an id.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn short(text: &str) -> String {
    shown(text, SHOWN_CHARACTERS)
}

fn list(values: &[String]) -> String {
    values.iter().map(|value| short(value)).collect::<Vec<_>>().join(", ")
}

impl std::fmt::Debug for Usage<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Usage").field("policies", &self.last_used.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "stale_tests.rs"]
mod tests;
