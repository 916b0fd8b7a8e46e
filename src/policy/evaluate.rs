//! One policy against claims: the function that `decide`, `explain` and `policy test` share.

use std::collections::BTreeMap;
use std::hint::black_box;

use serde_json::{Map, Value};

use super::Policy;
use super::matcher::Matcher;
use crate::vocab::{UnixTime, UserName};

/// What a policy says of some claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A line does not hold, the condition is false, or the policy has ended.
    Silent,
    /// It admits them as this user.
    Admits { user: UserName, attributes: BTreeMap<String, String> },
    /// Its lines hold, but its condition or a template cannot be evaluated.
    Error(&'static str),
}

impl Policy {
    /// Asks for all of the policy's memory at once. Of a million policies none is in a cache, and the checks of a verdict,
    /// each waiting for the one before, would wait for every piece in turn.
    pub(super) fn fetch(&self) {
        let lines = self.lines.iter().filter(|line| matches!(line.matcher, Matcher::Exact(_))).count();
        let scopes = self.scopes.iter().map(|scope| scope.as_str().len()).sum::<usize>();
        let attributes = self.attributes.iter().map(|(name, _)| name.len()).sum::<usize>();
        let user = self.fixed_user().map(|user| user.as_str().len());
        let rest = (self.expires_at, self.mode, self.token.lifetime, self.condition.is_some());
        black_box((lines, scopes, attributes, user, self.name.as_str().len(), rest));
    }

    /// What this policy says of the claims at `now`. With `wanted`, a policy whose user is always another one is not
    /// asked: only that user's policies count, and their errors.
    pub(super) fn verdict(&self, claims: &Map<String, Value>, wanted: Option<&UserName>, now: UnixTime) -> Verdict {
        let another = |user: &UserName| wanted.is_some_and(|wanted| wanted != user);
        if self.fixed_user().is_some_and(another) {
            return Verdict::Silent;
        }
        if self.has_expired(now) || !self.lines.iter().all(|line| line.holds(claims)) {
            return Verdict::Silent;
        }
        let user = self.user.user(claims);
        if user.as_ref().is_some_and(another) {
            return Verdict::Silent;
        }
        match self.condition_holds(claims) {
            Some(true) => {}
            Some(false) => return Verdict::Silent,
            None => return Verdict::Error("the condition cannot be evaluated"),
        }
        let Some(user) = user else { return Verdict::Error("the user template gives no user name") };
        let mut attributes = BTreeMap::new();
        for (name, template) in self.attributes.iter() {
            let Some(value) = template.render(claims) else {
                return Verdict::Error("an attribute's template reads an absent claim");
            };
            attributes.insert(name.to_string(), value);
        }
        Verdict::Admits { user, attributes }
    }

    /// `None` when it cannot be evaluated.
    pub(super) fn condition_holds(&self, claims: &Map<String, Value>) -> Option<bool> {
        match &self.condition {
            None => Some(true),
            Some(condition) => condition.holds_over("claims", claims).ok(),
        }
    }
}
