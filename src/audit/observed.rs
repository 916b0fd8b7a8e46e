//! A record, read back: what reports and explanations ask the trail for.
//!
//! In: a kept line of JSON, also of an older version. Out: its facts as words. Nothing here is proven anew.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::policy::KeptClaims;

/// The facts of one exchange that reports ask for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Observed {
    /// What it is a record of: `exchange`, or something that is not about a token.
    pub event: String,
    /// When: RFC 3339.
    pub time: String,
    /// Its trace id.
    pub trace_id: String,
    /// `minted`, `refused` or `fault`.
    pub outcome: String,
    /// Where the path ended.
    pub stage: Option<String>,
    /// Why.
    pub cause: Option<String>,
    /// Why, in words.
    pub detail: Option<String>,
    /// The `iss` or trust domain, once an operator's.
    pub issuer: Option<String>,
    /// The issuer's configured name.
    pub issuer_name: Option<String>,
    /// The token's subject, once proven.
    pub subject: Option<String>,
    /// The user that the request named.
    pub named_user: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The policy that admitted it.
    pub policy: Option<String>,
    /// All policies that admitted it, where there were several.
    pub policies: Vec<String>,
    /// What shadow policies would have done.
    pub shadow: Vec<Shadowed>,
    /// Which policies decided.
    pub policy_digest: Option<String>,
    /// The assertion's `jti`.
    pub assertion_jti: Option<String>,
    /// The assertion's hash.
    pub assertion_sha256: Option<String>,
    /// What the assertion said its issuer is.
    pub unverified_issuer: Option<String>,
    /// What it said its subject is.
    pub unverified_subject: Option<String>,
    /// Which key it named.
    pub unverified_key_id: Option<String>,
    claims: Option<Map<String, Value>>,
    claims_omitted: Vec<String>,
}

/// What a shadow policy would have done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Shadowed {
    /// Which.
    pub policy: String,
    /// Whom it would have admitted.
    pub user: String,
}

impl Observed {
    /// Reads a record; `None` when it is none.
    #[must_use]
    pub fn parse(json: &str) -> Option<Observed> {
        serde_json::from_str(json).ok()
    }

    /// The claims that it kept; a record of a token that was not verified, or of an older version, has none.
    #[must_use]
    pub fn kept(&self) -> Option<KeptClaims> {
        self.claims.clone().map(|claims| KeptClaims::recorded(claims, self.claims_omitted.clone()))
    }

    /// The policies that admitted it.
    pub fn admitted_by(&self) -> impl Iterator<Item = &str> {
        let first = self.policy.iter().filter(|first| !self.policies.contains(first));
        first.chain(&self.policies).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_an_older_version_has_no_claims_and_is_read_all_the_same() {
        let old = r#"{"time":"2026-01-01T00:00:00.000Z","outcome":"minted","policy":"a","future":{"x":[1]}}"#;
        let old = Observed::parse(old).unwrap();
        assert!(old.kept().is_none() && old.admitted_by().eq(["a"]));
        let new = r#"{"policy":"a","policies":["a","b"],"claims":{"sub":"x"},"claims_omitted":["email"]}"#;
        let new = Observed::parse(new).unwrap();
        assert!(new.kept().unwrap().is_unknown("email") && new.admitted_by().eq(["a", "b"]));
        assert!(Observed::parse("7").is_none() && Observed::parse("{").is_none());
    }
}
