//! What a change of the policies does, going by the files alone: policy by policy, and user by user.
//!
//! In: two sets for the same issuers. Out: a [`Difference`]. Not here: what it would have meant for the exchanges that
//! were seen (see `replay`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Mode, Policy, PolicySet};
use crate::vocab::{PolicyName, Scope};
use crate::yaml;

/// What is different.
#[derive(Debug, Default, Serialize)]
pub struct Difference {
    /// The policies that changed, by name.
    pub policies: Vec<PolicyChange>,
    /// The users, or templates of users, that can come to more or less, by name.
    pub users: Vec<UserChange>,
}

/// One policy that changed.
#[derive(Debug, Serialize)]
pub struct PolicyChange {
    /// Which.
    pub policy: PolicyName,
    /// `FILE:LINE`, in the new set where it is there.
    pub place: String,
    /// What it means for who is admitted.
    pub effect: Effect,
    /// Its fields, as far as they changed.
    pub fields: Vec<FieldChange>,
}

/// What a change means for who is admitted by a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It admitted nobody.
    NewlyAdmits,
    /// It admits nobody any longer.
    NoLongerAdmits,
    /// Everybody it admitted, and perhaps others.
    AdmitsMore,
    /// Nobody it did not admit, and perhaps fewer.
    AdmitsLess,
    /// Perhaps others than before.
    AdmitsOthers,
    /// The same.
    AdmitsTheSame,
    /// Nobody, before and after.
    AdmitsNobody,
}

/// One field that changed.
#[derive(Debug, Serialize)]
pub struct FieldChange {
    /// Its name; a line of `match` as `match ref`.
    pub field: String,
    /// As it was.
    pub old: Option<String>,
    /// As it is.
    pub new: Option<String>,
}

/// What one user can come to.
#[derive(Debug, Serialize)]
pub struct UserChange {
    /// The user, or the template.
    pub user: String,
    /// Scopes that no policy gave it.
    pub gains: BTreeSet<Scope>,
    /// Scopes that no policy gives it any longer.
    pub loses: BTreeSet<Scope>,
    /// Whether policies admitted it, and whether they do.
    pub admitted: (bool, bool),
}

impl Difference {
    /// From one set to another.
    #[must_use]
    pub fn between(old: &PolicySet, new: &PolicySet) -> Difference {
        Difference { policies: policies(old, new), users: users(old, new) }
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.users.is_empty()
    }
}

fn policies(old: &PolicySet, new: &PolicySet) -> Vec<PolicyChange> {
    let mut pairs: BTreeMap<&PolicyName, (Option<&Policy>, Option<&Policy>)> = BTreeMap::new();
    for policy in old.iter() {
        pairs.entry(policy.name()).or_default().0 = Some(policy);
    }
    for policy in new.iter() {
        pairs.entry(policy.name()).or_default().1 = Some(policy);
    }
    let changed = pairs.into_iter().filter_map(|(name, (old, new))| {
        let fields = fields(&old.map(described).unwrap_or_default(), &new.map(described).unwrap_or_default());
        let shown = new.or(old)?;
        let place = format!("{}:{}", shown.file.display(), shown.line);
        (!fields.is_empty()).then(|| PolicyChange { policy: name.clone(), place, effect: effect(old, new), fields })
    });
    changed.collect()
}

fn effect(old: Option<&Policy>, new: Option<&Policy>) -> Effect {
    let admits = |policy: &&Policy| policy.mode == Mode::Enforce;
    match (old.filter(admits), new.filter(admits)) {
        (None, None) => Effect::AdmitsNobody,
        (None, Some(_)) => Effect::NewlyAdmits,
        (Some(_), None) => Effect::NoLongerAdmits,
        (Some(old), Some(new)) if old.issuer != new.issuer => Effect::AdmitsOthers,
        (Some(old), Some(new)) => {
            let (longer, shorter) = (lasts(new) > lasts(old), lasts(new) < lasts(old));
            let (more, less) = (new.admits_all_of(old) && !shorter, old.admits_all_of(new) && !longer);
            match (more, less) {
                (true, true) => Effect::AdmitsTheSame,
                (true, false) => Effect::AdmitsMore,
                (false, true) => Effect::AdmitsLess,
                (false, false) => Effect::AdmitsOthers,
            }
        }
    }
}

fn lasts(policy: &Policy) -> i64 {
    policy.expires_at.map_or(i64::MAX, |end| end.0)
}

/// A policy's fields as texts, in the order of the documentation.
fn described(policy: &Policy) -> Vec<(String, String)> {
    let mut fields = vec![("issuer".to_owned(), policy.issuer.to_string())];
    fields.extend(policy.lines().map(|(claim, wanted)| (format!("match {claim}"), wanted)));
    fields.extend(policy.condition.as_ref().map(|condition| ("condition".to_owned(), condition.source().to_owned())));
    fields.push(("user".to_owned(), policy.user.source()));
    fields.push(("scopes".to_owned(), policy.scopes.to_wire()));
    let token = &policy.token;
    fields.extend(token.lifetime.map(|time| ("token lifetime".to_owned(), yaml::duration_text(time))));
    fields.extend(token.audiences.as_ref().map(|audiences| {
        let audiences: Vec<&str> = audiences.iter().map(crate::vocab::Audience::as_str).collect();
        ("token audiences".to_owned(), audiences.join(" "))
    }));
    fields.extend(token.within_assertion.then(|| ("token within_assertion".to_owned(), "true".to_owned())));
    fields.extend(policy.attributes.iter().map(|(name, value)| (format!("attribute {name}"), value.source())));
    fields.push(("mode".to_owned(), policy.mode.to_string()));
    fields.extend(policy.expires_at.map(|end| ("expires".to_owned(), end.to_rfc3339())));
    fields
}

/// What differs. A claim that `match` names twice, as a name and as a pointer, has two names here as well.
fn fields(old: &[(String, String)], new: &[(String, String)]) -> Vec<FieldChange> {
    let value = |fields: &[(String, String)], wanted: &str| {
        fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    let gone = old.iter().filter(|(name, _)| value(new, name).is_none());
    let names = new.iter().chain(gone).map(|(name, _)| name);
    let changes = names.map(|name| FieldChange { field: name.clone(), old: value(old, name), new: value(new, name) });
    changes.filter(|change| change.old != change.new).collect()
}

fn users(old: &PolicySet, new: &PolicySet) -> Vec<UserChange> {
    let granted = |set: &PolicySet| {
        let mut users: BTreeMap<String, BTreeSet<Scope>> = BTreeMap::new();
        for policy in set.iter().filter(|policy| policy.mode == Mode::Enforce) {
            users.entry(policy.user.source()).or_default().extend(policy.scopes.iter().cloned());
        }
        users
    };
    let (old, new) = (granted(old), granted(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let nothing = BTreeSet::new();
    let changes = names.into_iter().map(|user| {
        let (before, after) = (old.get(user), new.get(user));
        let (held, holds) = (before.unwrap_or(&nothing), after.unwrap_or(&nothing));
        UserChange {
            user: user.clone(),
            gains: holds.difference(held).cloned().collect(),
            loses: held.difference(holds).cloned().collect(),
            admitted: (before.is_some(), after.is_some()),
        }
    });
    let is_change = |change: &UserChange| {
        !change.gains.is_empty() || !change.loses.is_empty() || change.admitted.0 != change.admitted.1
    };
    changes.filter(is_change).collect()
}
