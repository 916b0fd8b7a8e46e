//! Which policies lead to a user or to a scope.
//!
//! In: a set, and whom or what is asked for. Out: the [`Route`]s there. Not here: client secrets and access tokens, which
//! are in the store.

use serde::Serialize;

use super::{Mode, PolicySet};
use crate::vocab::{IssuerName, PolicyName, Scope, Scopes, UserName};

/// One way: whose claims become which user, with which scopes.
#[derive(Debug, Clone, Serialize)]
pub struct Route {
    /// The user, or the template.
    pub user: String,
    /// What it grants.
    pub scopes: Scopes,
    /// By which policy.
    pub policy: PolicyName,
    /// `FILE:LINE`.
    pub place: String,
    /// Whose tokens.
    pub issuer: IssuerName,
    /// Its lines, its condition and its end, each as `claim: what it must be`.
    pub when: Vec<String>,
    /// In shadow mode it only would.
    pub mode: Mode,
}

impl PolicySet {
    /// The ways to a user who has all these scopes; to any user, when none is named.
    #[must_use]
    pub fn routes_to(&self, user: Option<&UserName>, scopes: &[Scope]) -> Vec<Route> {
        let leads = self.iter().filter(|policy| {
            user.is_none_or(|user| policy.user.can_be(user)) && scopes.iter().all(|scope| policy.scopes.cover(scope))
        });
        let routes = leads.map(|policy| {
            let mut when: Vec<String> = policy.lines().map(|(claim, wanted)| format!("{claim}: {wanted}")).collect();
            when.extend(policy.condition.as_ref().map(|condition| format!("condition: {}", condition.source())));
            when.extend(policy.expires_at.map(|end| format!("until {}", end.to_rfc3339())));
            Route {
                user: policy.user.source(),
                scopes: policy.scopes.clone(),
                policy: policy.name.clone(),
                place: format!("{}:{}", policy.file.display(), policy.line),
                issuer: policy.issuer.clone(),
                when,
                mode: policy.mode,
            }
        });
        routes.collect()
    }
}
