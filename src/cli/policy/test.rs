//! `countersign policy test`: what the policies' tests expect, what came, and what no test would notice.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::junit;
use super::set::Set;
use crate::cli::output::{self, Format, OutputOption, harmless};
use crate::cli::{Failed, check};
use crate::clock::Clock;
use crate::diagnostic::Diagnostics;
use crate::policy::{CaseResult, Coverage, Failure, Gap, TestBench, TestCases, TestReport, test_files};

/// Which tests.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Test files; without any, every NAME.test.yaml below the policies directory
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputOption,
    /// Also write the results to a file that CI systems read
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Also list the policies that no case is admitted by, and the lines that no case would miss
    #[arg(long)]
    coverage: bool,
    /// Fail when there are any; implies --coverage
    #[arg(long)]
    deny_uncovered: bool,
}

/// What is printed as JSON and YAML.
#[derive(Serialize)]
struct Printed<'a> {
    passed: usize,
    failed: usize,
    cases: &'a [CaseResult],
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<&'a Coverage>,
}

pub(super) fn run(set: &Set, arguments: &Arguments) -> Result<(), Failed> {
    let mut faults = Diagnostics::new();
    let files = match arguments.files.as_slice() {
        [] => test_files(&set.config.policies, &mut faults),
        named => named.to_vec(),
    };
    let cases = TestCases::read(&files, &mut faults);
    let bench = TestBench::new(&set.policies, &set.issuers, Clock::system().now());
    let report = bench.run(&cases);
    let is_wanted = arguments.coverage || arguments.deny_uncovered;
    let coverage = is_wanted.then(|| {
        let beside: HashSet<PathBuf> = arguments.files.iter().filter_map(|file| beside(file)).collect();
        bench.coverage(&cases, |policy| beside.is_empty() || beside.contains(&policy.summary().file))
    });
    output::print(&printed(&report, coverage.as_ref(), arguments.output.output)?)?;
    let denied = coverage.as_ref().filter(|_| arguments.deny_uncovered);
    if let Some(file) = &arguments.junit {
        let written = std::fs::write(file, junit::document(&report, denied, &faults));
        written.map_err(|error| Failed(format!("{}: cannot be written: {error}", file.display())))?;
    }
    if faults.has_errors() {
        return Err(Failed(check::report(&faults)));
    }
    verdict(&report, denied)
}

/// The policy file that a test file is of.
fn beside(test: &Path) -> Option<PathBuf> {
    let name = test.file_name()?.to_str()?.replace(".test.", ".");
    let path = test.with_file_name(name);
    Some(path.strip_prefix(".").map(Path::to_owned).unwrap_or(path))
}

fn verdict(report: &TestReport, denied: Option<&Coverage>) -> Result<(), Failed> {
    match (report.failed().count(), denied.map_or(0, |coverage| coverage.gaps.len())) {
        (0, 0) => Ok(()),
        (0, 1) => Err(Failed("one thing is not covered: write the case that it needs".to_owned())),
        (0, gaps) => Err(Failed(format!("{gaps} things are not covered: write the cases that they need"))),
        (1, _) => Err(Failed("a policy test failed: mend the policy, or what its test expects".to_owned())),
        (failed, _) => {
            Err(Failed(format!("{failed} policy tests failed: mend the policies, or what their tests expect")))
        }
    }
}

fn printed(report: &TestReport, coverage: Option<&Coverage>, format: Format) -> Result<String, Failed> {
    let failed = report.failed().count();
    let whole = Printed { passed: report.cases.len() - failed, failed, cases: &report.cases, coverage };
    match format {
        Format::Table => Ok(story(report) + &coverage.map(uncovered).unwrap_or_default()),
        Format::Json => serde_json::to_string_pretty(&whole).map(|text| text + "\n").map_err(|error| error.to_string()),
        Format::Yaml => serde_saphyr::to_string(&whole).map_err(|error| error.to_string()),
    }
    .map_err(|error| Failed(format!("the report cannot be written: {error}")))
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
            let details = details(failure).map(|line| format!("        {}\n", harmless(&line)));
            format!("FAILED  {file}:{}: {name}\n{}", case.line, details.collect::<String>())
        }
    }
}

/// A failure, line by line: expected, found, and the lines that refuse.
pub(super) fn details(failure: &Failure) -> impl Iterator<Item = String> {
    let head = [format!("expected: {}", failure.expected), format!("found:    {}", failure.found)];
    let nearest = failure.nearest.iter().map(|miss| {
        let place = format!("{}:{}", miss.file.display(), miss.line);
        format!("{place}: {}: {} must be {}, is {}", miss.policy, miss.part, miss.expected, miss.found)
    });
    head.into_iter().chain(nearest)
}

/// What is missing of one gap.
pub(super) fn missing(gap: &Gap) -> String {
    match &gap.part {
        None => "no case is admitted by this policy".to_owned(),
        Some(part) => format!("no case would fail without `{part}`"),
    }
}

fn uncovered(coverage: &Coverage) -> String {
    let Coverage { policies, lines, gaps } = coverage;
    let shown = gaps.iter().map(|gap| {
        let (place, policy) = (format!("{}:{}", gap.file.display(), gap.line), &gap.policy);
        harmless(&format!("{place}: {policy}: {}", missing(gap))) + "\n"
    });
    let unused = gaps.iter().filter(|gap| gap.part.is_none()).count();
    let covered = lines - (gaps.len() - unused);
    let shown: String = shown.collect();
    format!("\n{shown}covered: {} of {policies} policies, {covered} of {lines} lines\n", policies - unused)
}
