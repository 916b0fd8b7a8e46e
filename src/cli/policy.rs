//! `countersign policy …`: what the policy files say, without a server; so an author can ask before they are in force.

use std::path::PathBuf;

use super::output::{self, Column, OutputOption, harmless};
use super::{Failed, Global, check};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::diagnostic::Diagnostics;
use crate::issuer::Issuers;
use crate::policy::{CaseResult, PolicySet, PolicySummary, TestReport, run_tests, test_files};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the policies
    List(OutputOption),
    /// Validate the policies, and report every fault
    Check,
    /// Run the policies' tests
    Test(Tests),
}

/// Which tests.
#[derive(Debug, clap::Args)]
pub struct Tests {
    /// Test files; without any, every NAME.test.yaml below the policies directory
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

const COLUMNS: &[Column<PolicySummary>] = &[
    ("policy", |row| row.policy.to_string()),
    ("issuer", |row| row.issuer.to_string()),
    ("user", |row| row.user.clone()),
    ("scopes", |row| row.scopes.to_wire()),
    ("mode", |row| row.mode.to_string()),
    ("expires", |row| row.expires.clone().unwrap_or_default()),
    ("file", |row| row.file.display().to_string()),
];

/// Runs it.
///
/// # Errors
/// What failed, and the next step.
pub async fn run(global: &Global, command: Command) -> Result<(), Failed> {
    let set = Set::read(global)?;
    match command {
        Command::List(output) => {
            let rows: Vec<PolicySummary> = set.policies.iter().map(|policy| policy.summary()).collect();
            output::print(&output::listing(output.output, COLUMNS, &rows)?)
        }
        Command::Check => {
            let directory = set.config.policies.display();
            output::print(&format!("{directory}: {} policies, valid\n", set.policies.len()))?;
            if set.warnings.is_empty() { Ok(()) } else { output::print(&format!("\n{}\n", set.warnings)) }
        }
        Command::Test(Tests { files }) => set.test(files),
    }
}

/// The policies and what they are read with.
struct Set {
    config: Config,
    issuers: Issuers,
    policies: PolicySet,
    warnings: Diagnostics,
}

impl Set {
    fn read(global: &Global) -> Result<Set, Failed> {
        let failed = |faults: Diagnostics| Failed(check::report(&faults));
        let config = config::load(&global.config, &super::environment()).map_err(failed)?;
        let issuers = Issuers::new(&config.issuers, &config.issuer);
        let mut faults = Diagnostics::new();
        let policies = PolicySet::load(&config.policies, &issuers, Clock::system().now(), &mut faults);
        if faults.has_errors() {
            return Err(failed(faults));
        }
        Ok(Set { config, issuers, policies, warnings: faults })
    }

    fn test(&self, files: Vec<PathBuf>) -> Result<(), Failed> {
        let mut faults = Diagnostics::new();
        let files = if files.is_empty() { test_files(&self.config.policies, &mut faults) } else { files };
        let report = run_tests(&files, &self.policies, &self.issuers, Clock::system().now(), &mut faults);
        output::print(&story(&report))?;
        if faults.has_errors() {
            return Err(Failed(check::report(&faults)));
        }
        match report.failed().count() {
            0 => Ok(()),
            1 => Err(Failed("a policy test failed: mend the policy, or what its test expects".to_owned())),
            failed => {
                Err(Failed(format!("{failed} policy tests failed: mend the policies, or what their tests expect")))
            }
        }
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
