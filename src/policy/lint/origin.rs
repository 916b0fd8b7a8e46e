//! Where a job's code came from: by which event, on whose machine, by which definition, of which branch.

use serde_json::Value;

use super::{Draft, FORK_EVENT, Findings, SELF_HOSTED_RUNNER, UNPROTECTED_REF, WORKFLOW_UNPINNED};
use crate::kind::{Events, Fixed};
use crate::policy::matcher::{Matcher, Scalar};

/// Warns of what the policy leaves open, where the kind's tokens would say it.
pub(super) fn check(draft: &Draft<'_>, findings: &mut Findings<'_>) {
    let lints = &draft.issuer.kind().lints;
    if let Some(events) = &lints.events {
        check_events(draft, events, findings);
    }
    if let Some(claim) = lints.runner
        && !draft.restricts(claim)
    {
        findings.report(SELF_HOSTED_RUNNER, draft.match_place(), || {
            let message = format!("`{claim}` is open: jobs on anybody's own machine are admitted");
            (message, format!("add a line for `{claim}`: the platform's own value, or self-hosted if that is meant"))
        });
    }
    if let Some(definition) = &lints.definition
        && !is_fixed(draft, definition, |claim| draft.says_who(claim))
    {
        findings.report(WORKFLOW_UNPINNED, draft.match_place(), || {
            let message = "any job of the repository is admitted, not only the one that needs the token";
            (message.to_owned(), format!("add a line for {}", listed(definition)))
        });
    }
    if let Some(reference) = &lints.reference
        && !is_fixed(draft, reference, |claim| draft.pins(claim))
    {
        findings.report(UNPROTECTED_REF, draft.match_place(), || {
            let message = "no branch or tag is named: whoever may push can make one that is admitted";
            (message.to_owned(), format!("add an exact line for {}", listed(reference)))
        });
    }
}

/// A token without scopes opens nothing by itself; whoever may run code for one that has some must be known.
fn check_events(draft: &Draft<'_>, events: &Events, findings: &mut Findings<'_>) {
    if draft.scopes.is_empty() || draft.condition_reads(events.claim) {
        return;
    }
    let on_event = || draft.written().filter(|(_, line)| line.selector.source() == events.claim);
    let is_admitted = |event: &&str| on_event().all(|(_, line)| line.matcher.holds(Some(&Value::from(*event))));
    let admitted: Vec<&str> = events.reachable.iter().copied().filter(is_admitted).collect();
    if admitted.is_empty() {
        return;
    }
    let place = on_event().next().map_or(draft.match_place(), |(entry, _)| &entry.value.place);
    findings.report(FORK_EVENT, place, || {
        let shown = admitted.iter().take(3).copied().collect::<Vec<_>>().join("`, `");
        let more = if admitted.len() > 3 { " and others" } else { "" };
        let message =
            format!("`{shown}`{more} can be caused by people who may not change the code, and get these scopes");
        (message, format!("add a line for `{}` with the values that are meant", events.claim))
    });
}

fn is_fixed(draft: &Draft<'_>, fixed: &Fixed, by_line: impl Fn(&str) -> bool) -> bool {
    let settled = |claim: &&str| by_line(claim) || draft.condition_reads(claim);
    let in_subject = |value: &Scalar| matches!(value, Scalar::Text(text) if text.contains(fixed.in_subject));
    let subject_has = || {
        let values = draft.lines.iter().find(|line| line.pins("sub")).and_then(|line| line.matcher.named_values());
        values.is_some_and(|values| values.iter().all(in_subject))
    };
    fixed.claims.iter().any(|claims| claims.iter().all(settled)) || !fixed.in_subject.is_empty() && subject_has()
}

fn listed(fixed: &Fixed) -> String {
    let ways: Vec<String> = fixed.claims.iter().map(|claims| format!("`{}`", claims.join("` and `"))).collect();
    ways.join(" or ")
}

impl Draft<'_> {
    /// Whether a line or the condition says anything about this claim's value.
    fn restricts(&self, claim: &str) -> bool {
        let says = |matcher: &Matcher| !matches!(matcher, Matcher::Present(_));
        self.lines.iter().any(|line| line.selector.source() == claim && says(&line.matcher))
            || self.condition_reads(claim)
    }
}
