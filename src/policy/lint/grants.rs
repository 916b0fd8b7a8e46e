//! What a policy gives: scopes, a lifetime, an end of its own.

use std::time::Duration;

use super::{ALL_SCOPES, Draft, EXPIRED, EXPIRES_SOON, Findings, LONG_LIFETIME};
use crate::yaml::{Node, Yaml, duration_text};

/// What a stolen token should be worth at most.
const LONG: Duration = Duration::from_secs(3600);
/// Time enough for a review and a release.
const SOON: Duration = Duration::from_secs(30 * 86_400);

/// Warns of more than a job should need.
pub(super) fn check(draft: &Draft<'_>, findings: &mut Findings<'_>) {
    for (node, scope) in draft.fields.node("scopes").into_iter().flat_map(texts) {
        if scope == "*" || scope.ends_with(":*") {
            findings.report(ALL_SCOPES, &node.place, || {
                let message = format!("`{scope}` covers everything, also what is added tomorrow");
                (message, "name what the workload needs, such as service:my-api".to_owned())
            });
        }
    }
    if let Some(lifetime) = draft.lifetime.filter(|lifetime| *lifetime > LONG)
        && let Some(node) = draft.token_field("lifetime")
    {
        findings.report(LONG_LIFETIME, &node.place, || {
            let message = format!("a token of this policy is worth stealing for {}", duration_text(lifetime));
            (message, "write at most 1h; a workload asks again when it needs another".to_owned())
        });
    }
    check_end(draft, findings);
}

fn check_end(draft: &Draft<'_>, findings: &mut Findings<'_>) {
    let Some((node, end)) = draft.fields.node("expires").zip(draft.expires_at) else { return };
    let now = draft.now;
    if now >= end {
        findings.report(EXPIRED, &node.place, || {
            (format!("it ended at {end}: it admits nobody"), "remove the policy, or give it a later day".to_owned())
        });
    } else if now.plus(SOON) >= end {
        let days = end.since(now).as_secs().div_ceil(86_400);
        findings.report(EXPIRES_SOON, &node.place, || {
            let plural = if days == 1 { "" } else { "s" };
            (format!("it ends in {days} day{plural}, at {end}"), "give it a later day, or let it end".to_owned())
        });
    }
}

/// A text, or the texts of a list.
fn texts(node: &Node) -> Vec<(&Node, &str)> {
    match &node.value {
        Yaml::String(text) => vec![(node, text)],
        Yaml::Sequence(items) => items.iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

impl<'a> Draft<'a> {
    fn token_field(&self, name: &str) -> Option<&'a Node> {
        let Yaml::Mapping(entries) = &self.fields.node("token")?.value else { return None };
        entries.iter().find(|entry| entry.key == name).map(|entry| &entry.value)
    }
}
