//! Policies that have ended, or soon will.

use std::time::Duration;

use super::{Draft, EXPIRED, EXPIRES_SOON, Findings};

/// Time enough for a review and a release.
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// Warns of the end of a policy.
pub(super) fn check(draft: &Draft<'_>, findings: &mut Findings<'_>) {
    let Some((node, end)) = draft.fields.node("expires").zip(draft.expires_at) else { return };
    let now = draft.now;
    if now >= end {
        findings.report(EXPIRED, &node.place, || {
            (format!("it ended at {end}: it admits nobody"), "remove it, or give it a later day".to_owned())
        });
    } else if now.plus(SOON) >= end {
        let days = end.since(now).as_secs().div_ceil(86_400);
        findings.report(EXPIRES_SOON, &node.place, || {
            let plural = if days == 1 { "" } else { "s" };
            (format!("it ends in {days} day{plural}, at {end}"), "give it a later day, or let it end".to_owned())
        });
    }
}
