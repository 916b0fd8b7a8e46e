//! Test results as the XML that CI systems read: what JUnit's Ant task writes, of which nobody has a specification.

use std::fmt::Write as _;

use super::test::{details, missing};
use crate::diagnostic::Diagnostics;
use crate::policy::{CaseResult, Coverage, TestReport};

/// The whole document: a suite a test file, one for test files that cannot be read, and one for what is not covered, where
/// that counts as a failure.
pub(super) fn document(report: &TestReport, denied: Option<&Coverage>, faults: &Diagnostics) -> String {
    let mut suites: Vec<Suite> = Vec::new();
    for case in &report.cases {
        let name = case.file.display().to_string();
        match suites.last_mut().filter(|suite| suite.name == name) {
            Some(suite) => suite.cases.push(of_case(case)),
            None => suites.push(Suite { name, cases: vec![of_case(case)] }),
        }
    }
    let faults = faults.iter().map(|fault| Case {
        name: format!("{}: {}", fault.path().display(), fault.id()),
        line: None,
        failure: Some(("error", fault.to_string())),
    });
    let gaps = denied.into_iter().flat_map(|coverage| &coverage.gaps).map(|gap| {
        let text = format!("{}:{}: {}: {}", gap.file.display(), gap.line, gap.policy, missing(gap));
        let name = format!("{}: {}", gap.policy, gap.part.as_deref().unwrap_or("admits"));
        Case { name, line: Some(gap.line), failure: Some(("failure", text)) }
    });
    for (name, cases) in [("test files", faults.collect::<Vec<_>>()), ("coverage", gaps.collect())] {
        if !cases.is_empty() {
            suites.push(Suite { name: name.to_owned(), cases });
        }
    }
    let (tests, failures, errors) = suites
        .iter()
        .map(Suite::counts)
        .fold((0, 0, 0), |sum, suite| (sum.0 + suite.0, sum.1 + suite.1, sum.2 + suite.2));
    let suites: String = suites.iter().map(Suite::xml).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"countersign policy test\" tests=\"{tests}\" \
         failures=\"{failures}\" errors=\"{errors}\">\n{suites}</testsuites>\n"
    )
}

struct Suite {
    name: String,
    cases: Vec<Case>,
}

struct Case {
    name: String,
    line: Option<usize>,
    /// The element that says so, and what it says.
    failure: Option<(&'static str, String)>,
}

fn of_case(case: &CaseResult) -> Case {
    let text = case.failure.as_ref().map(|failure| details(failure).collect::<Vec<_>>().join("\n"));
    Case { name: case.name.clone(), line: Some(case.line), failure: text.map(|text| ("failure", text)) }
}

impl Suite {
    /// Tests, failures, errors.
    fn counts(&self) -> (usize, usize, usize) {
        let of = |element: &str| {
            self.cases.iter().filter(|case| case.failure.as_ref().is_some_and(|(name, _)| *name == element)).count()
        };
        (self.cases.len(), of("failure"), of("error"))
    }

    fn xml(&self) -> String {
        let (tests, failures, errors) = self.counts();
        let name = escape(&self.name);
        let mut text = format!(
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\">\n"
        );
        for case in &self.cases {
            let line = case.line.map(|line| format!(" line=\"{line}\"")).unwrap_or_default();
            let _ = write!(
                text,
                "    <testcase name=\"{}\" classname=\"{name}\" file=\"{name}\"{line}",
                escape(&case.name)
            );
            match &case.failure {
                None => text.push_str("/>\n"),
                Some((element, what)) => {
                    let (first, what) = (escape(what.lines().next().unwrap_or_default()), escape(what));
                    let _ =
                        writeln!(text, ">\n      <{element} message=\"{first}\">{what}</{element}>\n    </testcase>");
                }
            }
        }
        text + "  </testsuite>\n"
    }
}

/// Text for an attribute or an element. What XML cannot have at all (XML 1.0 §2.2) is written as its escape.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            other if other.is_control() || matches!(other, '\u{fffe}' | '\u{ffff}') => {
                escaped.extend(other.escape_default());
            }
            other => escaped.push(other),
        }
    }
    escaped
}
