//! An issuer that many tenants share needs an immutable tenant claim in every policy.
//!
//! Names on such a platform are given to somebody else once their owner lets go of them; the ids are not.

use super::{Draft, Findings, TENANT_PIN};
use crate::issuer::TenantPin;
use crate::policy::matcher::Line;

/// Refuses a policy that somebody outside the tenant could satisfy; true, when nobody could.
pub(super) fn check(draft: &Draft<'_>, findings: &mut Findings<'_>) -> bool {
    let Some(pin) = draft.issuer.shared_by_tenants() else { return true };
    let place = draft.match_place();
    if !pin.alternatives.iter().any(|claims| claims.iter().all(|claim| draft.pins(claim))) {
        findings.report(TENANT_PIN, place, || {
            let wanted: Vec<String> = pin.alternatives.iter().map(|claims| claims.join(" and ")).collect();
            let message = format!(
                "`{}` signs tokens for everybody on its platform, and no line pins the tenant by an id that is never \
                 reused",
                draft.issuer.name()
            );
            (
                message,
                format!("add an exact line for {} (a pattern, `not` or `present` pins nothing)", wanted.join(" or ")),
            )
        });
        return false;
    }
    let is_narrow = draft.lines.iter().any(|line| is_narrower(line, pin));
    if !is_narrow {
        findings.report(TENANT_PIN, place, || {
            let message = "the tenant is pinned, but nothing narrower: everything in the tenant is admitted".to_owned();
            (message, format!("add a line for one of {}", pin.narrower.join(", ")))
        });
    }
    is_narrow
}

fn is_narrower(line: &Line, pin: &TenantPin) -> bool {
    line.matcher.says_who() && pin.narrower.contains(&line.selector.source())
}
