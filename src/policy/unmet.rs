//! What a caller may be told of a refusal, where an operator allows it: which claims the nearest policy wanted otherwise.
//!
//! In: claims whose signature held. Out: claim names and what they must be, of one policy. Never what the claims have, a
//! condition, a user, a scope, or anything of another policy.

use serde::Serialize;
use serde_json::{Value, json};

use super::explain::Depth;
use super::matcher::Matcher;
use super::question::Question;
use super::{Mode, Policy, PolicySet};
use crate::issuer::TenantPin;

/// Most lines told: policies have five or six.
const MAX_LINES: usize = 16;

/// One line of a policy that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unmet {
    /// The claim, or a JSON Pointer into it.
    pub claim: String,
    /// What it must be, as a policy writes it.
    pub expected: Value,
}

impl Question<'_> {
    /// The lines of the nearest policy that do not hold. An issuer that many tenants share signs for strangers too: they
    /// are told only of policies that are pinned to their own tenant. Nothing, when no line is what refuses.
    #[must_use]
    pub fn unmet(&self, policies: &PolicySet, shared: Option<&TenantPin>) -> Vec<Unmet> {
        let may_be_told = |policy: &&Policy| {
            policy.mode == Mode::Enforce
                && !policy.has_expired(self.now)
                && self.wanted.is_none_or(|wanted| policy.fixed_user().is_none_or(|user| user == wanted))
                && shared.is_none_or(|pin| self.is_of_this_tenant(policy, pin))
        };
        let Some(policy) = self.ranked(policies, Depth::Record).into_iter().find(may_be_told) else {
            return Vec::new();
        };
        let missed = policy.lines.iter().filter(|line| !line.holds(self.claims.claims()));
        let told =
            missed.map(|line| Unmet { claim: line.selector.source().to_owned(), expected: as_written(&line.matcher) });
        told.take(MAX_LINES).collect()
    }

    fn is_of_this_tenant(&self, policy: &Policy, pin: &TenantPin) -> bool {
        let claims = self.claims.claims();
        let held = |claim: &str| policy.lines.iter().any(|line| line.pins(claim) && line.holds(claims));
        pin.alternatives.iter().any(|alternative| alternative.iter().all(|claim| held(claim)))
    }
}

fn as_written(matcher: &Matcher) -> Value {
    match matcher {
        Matcher::Exact(value) => value.to_json(),
        Matcher::OneOf(values) => values.iter().map(super::matcher::Scalar::to_json).collect(),
        Matcher::Glob(glob) => json!({ "glob": glob.source() }),
        Matcher::Regex(regular) => json!({ "regex": regular.source() }),
        Matcher::Prefix(prefix) => json!({ "prefix": &**prefix }),
        Matcher::Present(wanted) => json!({ "present": wanted }),
        Matcher::Not(inner) => json!({ "not": as_written(inner) }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::KeptClaims;
    use super::super::tests::{NOW, claims, configured, load, policy};
    use super::*;
    use crate::vocab::{IssuerName, UserName};

    fn told(issuer: &str, policies: &[String], given: &Value, wanted: Option<&str>) -> Value {
        let (set, faults) = load(&[("p.yaml", &policies.join("---\n"))]);
        assert!(!faults.has_errors(), "{faults}");
        let (issuers, claims) = (configured(), KeptClaims::whole(claims(given)));
        let issuer = issuers.by_name(issuer).unwrap();
        let wanted = wanted.map(|name| UserName::parse(name).unwrap());
        let name: &IssuerName = issuer.name();
        let question = Question { issuer: name, claims: &claims, wanted: wanted.as_ref(), now: NOW };
        serde_json::to_value(question.unmet(&set, issuer.shared_by_tenants())).unwrap()
    }

    #[test]
    fn only_the_nearest_policy_that_could_admit_is_told_of_and_as_it_is_written() {
        let lines = "{ sub: x, ref: [a, b], n: 5, t: { glob: \"v*\" }, u: { prefix: p }, gone: { present: false }, e: { not: pr } }";
        let policies = [
            policy("near", "partner", lines, "user: u\ncondition: claims.secret == \"1\""),
            policy("far", "partner", "{ sub: y, a: 1, b: 2, c: 3, d: 4, f: 5, g: 6, h: 7 }", "user: far"),
            policy("shadow", "partner", "{ sub: x, other: z }", "user: s\nmode: shadow"),
            policy("ended", "partner", "{ sub: x, other: z }", "user: s\nexpires: 2020-01-01"),
        ];
        let given = json!({ "sub": "x", "ref": "c", "n": "5", "t": "x", "u": "q", "gone": "here", "e": "pr" });
        let expected = json!([
            { "claim": "ref", "expected": ["a", "b"] },
            { "claim": "n", "expected": 5 },
            { "claim": "t", "expected": { "glob": "v*" } },
            { "claim": "u", "expected": { "prefix": "p" } },
            { "claim": "gone", "expected": { "present": false } },
            { "claim": "e", "expected": { "not": "pr" } },
        ]);
        assert_eq!(told("partner", &policies, &given, None), expected);
    }

    #[test]
    fn a_request_for_a_user_is_told_of_that_user_s_policies_only() {
        let policies = [
            policy("a", "partner", "{ sub: x, team: t }", "user: one"),
            policy("b", "partner", "{ sub: x, team: t, env: e }", "user: two"),
        ];
        let given = json!({ "sub": "x" });
        let of_two = json!([{ "claim": "team", "expected": "t" }, { "claim": "env", "expected": "e" }]);
        assert_eq!(told("partner", &policies, &given, Some("two")), of_two);
        assert_eq!(told("partner", &policies, &given, Some("three")), json!([]));
    }

    #[test]
    fn a_stranger_at_an_issuer_that_all_share_is_told_nothing() {
        let policies = [policy(
            "deploy",
            "github",
            "{ repository_owner_id: \"65\", repository: acme/shop, ref: refs/heads/main }",
            "user: deployer",
        )];
        let of =
            |owner: &str| json!({ "repository_owner_id": owner, "repository": "acme/shop", "ref": "refs/heads/x" });
        assert_eq!(
            told("github", &policies, &of("65"), None),
            json!([{ "claim": "ref", "expected": "refs/heads/main" }])
        );
        assert_eq!(told("github", &policies, &of("66"), None), json!([]));
    }

    #[test]
    fn a_condition_that_refuses_is_not_told() {
        let policies = [policy("a", "partner", "{ sub: x }", "user: one\ncondition: claims.env == \"prod\"")];
        assert_eq!(told("partner", &policies, &json!({ "sub": "x", "env": "dev" }), None), json!([]));
    }
}
