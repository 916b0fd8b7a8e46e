//! An issuer that many tenants share needs an immutable tenant claim in every policy.
//!
//! Names on such a platform are given to somebody else once their owner lets go of them; the ids are not.

use super::matcher::{Line, Matcher};
use crate::diagnostic::Diagnostics;
use crate::issuer::Issuer;
use crate::yaml::Fields;

/// Claims that say more than the tenant's own id: one of them must be a line as well.
const NARROWER: [&str; 9] = [
    "repository_id",
    "repository",
    "sub",
    "workflow_ref",
    "job_workflow_ref",
    "project_id",
    "project_path",
    "environment",
    "terraform_workspace_id",
];

/// Refuses a policy that somebody outside the tenant could satisfy.
pub(super) fn check(fields: &Fields<'_>, issuer: &Issuer, lines: &[Line], faults: &mut Diagnostics) {
    let Some(pin) = issuer.shared_by_tenants() else { return };
    let place = fields.entry("match").map_or(fields.place, |entry| &entry.key_place);
    let pinned = |claim: &str| lines.iter().any(|line| line.selector.source() == claim && line.matcher.is_exact());
    let wanted: Vec<String> = pin.alternatives.iter().map(|claims| claims.join(" and ")).collect();
    if !pin.alternatives.iter().any(|claims| claims.iter().all(|claim| pinned(claim))) {
        let message = format!(
            "`{}` signs tokens for everybody on its platform, and no line pins the tenant by an id that is never reused",
            issuer.name()
        );
        let fix = format!("add an exact line for {} (a pattern, `not` or `present` pins nothing)", wanted.join(" or "));
        faults.push(fields.fault(place, "tenant-pin", message).fix(fix));
        return;
    }
    if !lines.iter().any(is_narrower) {
        let message = "the tenant is pinned, but nothing narrower: everything in the tenant is admitted";
        let fix = "add a line for repository_id, repository, sub, job_workflow_ref or environment";
        faults.push(fields.fault(place, "tenant-pin", message).fix(fix));
    }
}

fn is_narrower(line: &Line) -> bool {
    let says_something = match &line.matcher {
        Matcher::Exact(_) | Matcher::OneOf(_) | Matcher::Pattern { .. } | Matcher::Prefix(_) => true,
        Matcher::Present(_) | Matcher::Not(_) => false,
    };
    says_something && NARROWER.contains(&line.selector.source())
}
