//! How records' words are written in columns, the same in both backends.

use super::{CredentialKind, UserOrigin, UserState};
use crate::vocab::PolicyName;

pub(in crate::store) fn state_name(state: UserState) -> &'static str {
    match state {
        UserState::Enabled => "enabled",
        UserState::Disabled => "disabled",
        UserState::Deleted => "deleted",
    }
}

pub(in crate::store) fn kind_name(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::Oauth2 => "oauth2",
        CredentialKind::AccessToken => "access-token",
    }
}

pub(in crate::store) fn origin_policy(origin: &UserOrigin) -> Option<&str> {
    match origin {
        UserOrigin::Operator => None,
        UserOrigin::Policy(policy) => Some(policy.as_str()),
    }
}

/// Policy names have no spaces.
pub(in crate::store) fn policies_text(policies: &[PolicyName]) -> String {
    policies.iter().map(PolicyName::as_str).collect::<Vec<_>>().join(" ")
}
