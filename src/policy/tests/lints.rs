//! `docs/lints.md` is run: each bad example has the finding it is about and no other, each good one has none.

use std::collections::BTreeSet;

use super::*;
use crate::config;
use crate::policy::lint::{self, LINTS, Lint, Reach};

const PAGE: &str = include_str!("../../../docs/lints.md");

/// The section of a lint.
fn section(lint: &Lint) -> &'static str {
    let heading = format!("\n## {}\n", lint.id);
    let rest = PAGE.split_once(&heading).unwrap_or_else(|| panic!("docs/lints.md has no section {}", lint.id)).1;
    rest.split("\n## ").next().unwrap()
}

/// The example that begins with this comment.
fn example(lint: &Lint, which: &str) -> &'static str {
    let mut blocks = section(lint).split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let is_it = |block: &&str| block.starts_with(&format!("# {which}\n"));
    blocks.find(is_it).unwrap_or_else(|| panic!("{} has no {which} example", lint.id))
}

/// Everything that is found in an example: in a configuration, or in policies in strict mode, where `build`, `deployer`
/// and `payments` are users and `my-api` is a service.
fn findings(text: &str) -> Diagnostics {
    let directory = tempfile::tempdir().unwrap();
    if text.contains("\nissuers:\n") {
        let file = directory.path().join("countersign.yaml");
        std::fs::write(&file, text).unwrap();
        for name in ["policies", "services", "trust-bundles"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let config = config::load(&file, &[]).unwrap();
        let issuers = Issuers::new(&config.issuers, &config.issuer);
        let mut faults = Diagnostics::new();
        lint::check_issuers(&config, &issuers, &["my-api.example.com"], &mut faults);
        return faults;
    }
    std::fs::write(directory.path().join("p.yaml"), text).unwrap();
    let mut faults = Diagnostics::new();
    let set = PolicySet::load(directory.path(), &configured(), NOW, &mut faults);
    lint::check_services(&set, |name| name == "my-api", &mut faults);
    lint::check_users(&set, |user| ["build", "deployer", "payments"].contains(&user.as_str()), &mut faults);
    faults
}

fn ids(faults: &Diagnostics) -> BTreeSet<&'static str> {
    faults.iter().map(crate::diagnostic::Diagnostic::id).collect()
}

#[test]
fn every_lint_has_a_section_in_the_order_of_the_table_and_no_section_is_of_no_lint() {
    let headings: Vec<&str> = PAGE.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(headings, LINTS.iter().map(|lint| lint.id).collect::<Vec<_>>());
    for lint in LINTS {
        let severity = if lint.severity == Severity::Error { "**Error.** " } else { "**Warning.** " };
        let text = section(lint);
        assert!(text.trim_start().starts_with(severity) && text.contains("\n**Why.** "), "{}", lint.id);
    }
}

#[test]
fn every_bad_example_has_the_finding_it_is_about_and_no_other() {
    for lint in LINTS {
        let faults = findings(example(lint, "bad"));
        assert_eq!(ids(&faults), BTreeSet::from([lint.id]), "{}:\n{faults}", lint.id);
        for fault in faults.iter() {
            assert_eq!(fault.severity(), lint.severity, "{fault}");
            assert!(fault.to_string().ends_with(&format!("= see docs/lints.md#{}", lint.id)), "{fault}");
        }
    }
}

#[test]
fn every_good_example_has_no_finding_at_all() {
    for lint in LINTS {
        let faults = findings(example(lint, "good"));
        assert!(faults.is_empty(), "{}:\n{faults}", lint.id);
    }
}

#[test]
fn a_comment_at_the_line_or_above_it_allows_every_warning_and_no_error() {
    for lint in LINTS.iter().filter(|lint| lint.reach == Reach::Document && lint.id != "lint-allow") {
        let text = example(lint, "bad");
        let found = findings(text);
        let shown = found.to_string();
        let line: usize = shown.split(": ").next().and_then(|at| at.rsplit(':').nth(1)).unwrap().parse().unwrap();
        let comment = format!("# lint: allow {} because the test says so", lint.id);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[line - 1] += &format!("   {comment}");
        let beside = findings(&lines.join("\n"));
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.insert(line - 1, comment);
        let above = findings(&lines.join("\n"));
        for allowed in [beside, above] {
            let expected = match lint.severity {
                Severity::Warning => BTreeSet::new(),
                Severity::Error => BTreeSet::from([lint.id, "lint-allow"]),
            };
            assert_eq!(ids(&allowed), expected, "{}:\n{allowed}", lint.id);
        }
    }
}

#[test]
fn a_comment_that_allows_nothing_is_a_warning_that_says_why() {
    let with = |comment: &str| {
        let text = format!("{}{comment}\n", example(LINTS.first().unwrap(), "good"));
        let found = findings(&text);
        assert_eq!(ids(&found), BTreeSet::from(["lint-allow"]), "{comment}: {found}");
        found.to_string()
    };
    assert!(with("# lint: allow all-scopes").contains("gives no reason"));
    assert!(with("# lint: allow all-scopes because ").contains("gives no reason"));
    assert!(with("# lint: allow because it must").contains("gives no reason"));
    assert!(with("# lint: ignore all-scopes because x").contains("not `allow`"));
    assert!(with("# lint: allow all-scope because x").contains("did you mean `all-scopes`?"));
    assert!(with("# lint: allow tenant-pin because x").contains("an error, which no comment allows"));
    assert!(with("# lint: allow all-scopes because x").contains("finds nothing here"));
    assert_eq!(with("# lint: allow all-scopes, expired because x").matches("finds nothing here").count(), 2);
}

#[test]
fn a_comment_allows_its_own_document_and_line_only() {
    let wild = |name: &str, comment: &str| {
        format!(
            "policy: {name}\nissuer: partner\nmatch: {{ sub: \"{name} # lint: allow expired because a\" }}\nuser: u\nscopes: [\"service:*\"]{comment}\n"
        )
    };
    let allowed = "   # lint: allow all-scopes because x";
    let (set, faults) = load(&[("p.yaml", &format!("# header\n{}---\n{}", wild("a", allowed), wild("b", "")))]);
    let shown = faults.to_string();
    assert!(ids(&faults) == BTreeSet::from(["all-scopes"]) && shown.contains("p.yaml:12:10"), "{shown}");
    let allows: Vec<bool> = set.iter().map(|policy| policy.allows("all-scopes")).collect();
    assert_eq!(allows, [true, false]);
    assert!(set.iter().all(|policy| !policy.allows("expired")), "a comment in a string is none");
}

#[test]
fn findings_of_a_kind_are_counted_once_there_are_too_many() {
    let wild = |number: usize| {
        policy(&format!("p{number}"), "partner", &format!("{{ sub: s{number} }}"), "user: u\nscopes: [\"service:*\"]")
    };
    let text = (0..250).map(wild).collect::<Vec<_>>().join("---\n");
    let (_, faults) = load(&[("p.yaml", &text)]);
    assert_eq!(faults.iter().count(), 201);
    assert!(faults.to_string().ends_with("warning[all-scopes]: 50 more findings of this kind are not shown"));
}
