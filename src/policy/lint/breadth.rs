//! How much of the platform a policy lets in: one repository, project, account or identity, or more than its author sees.

use super::{Draft, Findings, find};
use crate::kind::Workload;
use crate::policy::matcher::{Line, Matcher};
use crate::yaml::Entry;

/// Warns of a policy that is not about one workload, and answers which entries of `match` it found too wide.
pub(super) fn check<'a>(draft: &Draft<'a>, findings: &mut Findings<'_>) -> Vec<&'a Entry> {
    let Some(workload) = &draft.issuer.kind().lints.workload else { return Vec::new() };
    let Some(lint) = find(workload.lint) else { return Vec::new() };
    if workload.ids.iter().any(|claims| claims.iter().all(|claim| draft.settles(claim))) {
        return Vec::new();
    }
    let mut wide = Vec::new();
    for (entry, line) in draft.written().filter(|(_, line)| line.matcher.says_who()) {
        match workload.names.iter().find(|(claim, _)| *claim == line.selector.source()) {
            Some((_, shape)) if is_wide(line, shape) => wide.push(entry),
            Some(_) => return Vec::new(),
            None => {}
        }
    }
    for entry in &wide {
        findings.report(*lint, &entry.value.place, || {
            (format!("this pattern admits more than one {}", workload.noun), advice(workload))
        });
    }
    let says_otherwise = |claim: &&str| draft.says_who(claim) || draft.condition_reads(claim);
    let mut named = workload.names.iter().map(|(claim, _)| claim).chain(workload.others);
    if wide.is_empty() && !named.any(says_otherwise) {
        findings.report(*lint, draft.match_place(), || {
            (format!("nothing here names one {}", workload.noun), advice(workload))
        });
    }
    wide
}

fn advice(workload: &Workload) -> String {
    let ids: Vec<String> = workload.ids.iter().map(|claims| claims.join(" and ")).collect();
    match workload.names.first() {
        None => format!("add lines for {}", ids.join(" or ")),
        Some((name, _)) if ids.is_empty() => format!("write the values of `{name}` out, one or a list of them"),
        Some((name, _)) => {
            format!("add a line for {}, or write the values of `{name}` out, one or a list of them", ids.join(" or "))
        }
    }
}

/// Whether a pattern leaves the one workload that its beginning names.
fn is_wide(line: &Line, shape: &str) -> bool {
    let beginning = match &line.matcher {
        Matcher::Glob(glob) if glob.beginning().len() == glob.source().len() => return false,
        Matcher::Glob(glob) => glob.beginning(),
        Matcher::Prefix(prefix) => prefix,
        Matcher::Regex(regular) => &*regular.shape().beginning,
        Matcher::Exact(_) | Matcher::OneOf(_) | Matcher::Present(_) | Matcher::Not(_) => return false,
    };
    shape.is_empty() || !begins_so(beginning, shape)
}

/// Whether a text begins with this shape, in which `*` is any text that does not have what follows the star.
fn begins_so(text: &str, shape: &str) -> bool {
    let mut parts = shape.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    for part in parts {
        match rest.split_once(part) {
            Some((name, after)) if !name.is_empty() => rest = after,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_has_the_shape_when_it_names_the_whole_workload() {
        for whole in ["repo:acme/shop:", "repo:acme@65/shop@7:ref:refs/heads/"] {
            assert!(begins_so(whole, "repo:*/*:"), "{whole}");
        }
        for part in ["repo:acme/", "repo:acme/shop", "repo:acme/shop-", "repo:/:", "", "repo:acme:"] {
            assert!(!begins_so(part, "repo:*/*:"), "{part}");
        }
        assert!(begins_so("project_path:acme/shop/api:ref", "project_path:*:"));
    }
}
