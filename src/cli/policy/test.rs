//! `countersign policy test`: what the policies' tests expect, and what came.

use std::path::PathBuf;

use super::set::Set;
use crate::cli::output::{self, harmless};
use crate::cli::{Failed, check};
use crate::clock::Clock;
use crate::diagnostic::Diagnostics;
use crate::policy::{CaseResult, TestReport, run_tests, test_files};

/// Which tests.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Test files; without any, every NAME.test.yaml below the policies directory
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn run(set: &Set, arguments: Arguments) -> Result<(), Failed> {
    let mut faults = Diagnostics::new();
    let files = arguments.files;
    let files = if files.is_empty() { test_files(&set.config.policies, &mut faults) } else { files };
    let report = run_tests(&files, &set.policies, &set.issuers, Clock::system().now(), &mut faults);
    output::print(&story(&report))?;
    if faults.has_errors() {
        return Err(Failed(check::report(&faults)));
    }
    match report.failed().count() {
        0 => Ok(()),
        1 => Err(Failed("a policy test failed: mend the policy, or what its test expects".to_owned())),
        failed => Err(Failed(format!("{failed} policy tests failed: mend the policies, or what their tests expect"))),
    }
}

/// One line a case, with what was expected and found under those that failed.
fn story(report: &TestReport) -> String {
    let lines: String = report.cases.iter().map(line).collect();
    let failed = report.failed().count();
    format!("{lines}\n{} passed, {failed} failed\n", report.cases.len() - failed)
}

fn line(case: &CaseResult) -> String {
    let (file, name) = (case.file.display(), harmless(&case.name));
    match &case.failure {
        None => format!("ok      {file}: {name}\n"),
        Some(failure) => {
            let detail: String = failure.lines().map(|line| format!("        {}\n", harmless(line))).collect();
            format!("FAILED  {file}: {name}\n{detail}")
        }
    }
}
