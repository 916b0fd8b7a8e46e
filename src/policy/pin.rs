//! An issuer that many tenants share needs an immutable tenant claim in every policy.
//!
//! Names on such a platform are given to somebody else once their owner lets go of them; the ids are not.

use super::matcher::Line;
use crate::diagnostic::Diagnostics;
use crate::issuer::{Issuer, TenantPin};
use crate::yaml::Fields;

/// Refuses a policy that somebody outside the tenant could satisfy.
pub(super) fn check(fields: &Fields<'_>, issuer: &Issuer, lines: &[Line], faults: &mut Diagnostics) {
    let Some(pin) = issuer.shared_by_tenants() else { return };
    let place = fields.entry("match").map_or(fields.place, |entry| &entry.key_place);
    let pinned = |claim: &str| lines.iter().any(|line| line.pins(claim));
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
    if !lines.iter().any(|line| is_narrower(line, pin)) {
        let message = "the tenant is pinned, but nothing narrower: everything in the tenant is admitted";
        let fix = format!("add a line for one of {}", pin.narrower.join(", "));
        faults.push(fields.fault(place, "tenant-pin", message).fix(fix));
    }
}

fn is_narrower(line: &Line, pin: &TenantPin) -> bool {
    line.matcher.says_who() && pin.narrower.contains(&line.selector.source())
}
