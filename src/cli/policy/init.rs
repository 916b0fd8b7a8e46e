//! `countersign policy init`: from a token in hand to a policy that admits its workload and nobody else, with its tests.
//!
//! The token is decoded and not verified: it says what somebody wrote into it. It is never printed and never written.

mod advice;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::set::Set;
use crate::cli::output::{self, harmless};
use crate::cli::{Failed, Global, check, explain};
use crate::client_auth::{AssertionShape, UnverifiedAssertion};
use crate::clock::Clock;
use crate::diagnostic::{Diagnostics, Source};
use crate::issuer::Issuer;
use crate::policy::{FirstPolicy, PolicySet, TestBench, TestCases, Wish, first_policy, proposed_name};
use crate::vocab::{PolicyName, Scope, Scopes, UserName};

/// From what, and where to.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    subject: Subject,
    /// The issuer, where the token's iss does not say which of several
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// The policy's name, and its files' [default: from the issuer and the workload]
    #[arg(long, value_parser = PolicyName::parse)]
    name: Option<PolicyName>,
    /// Whom the workload becomes [default: the policy's name]
    #[arg(long, value_name = "NAME", value_parser = UserName::parse)]
    user: Option<UserName>,
    /// What its tokens may carry, for instance service:my-api [default: nothing]
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', value_parser = Scope::parse)]
    scopes: Vec<Scope>,
    /// Where the two files go [default: the policies directory]
    #[arg(long, value_name = "DIR", conflicts_with = "stdout")]
    output_dir: Option<PathBuf>,
    /// Print them instead
    #[arg(long)]
    stdout: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// A file with a token of the workload (`-`: standard input); its signature is not verified
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// A file with its claims as JSON (`-`: standard input)
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<(), Failed> {
    let claims = claims(&arguments.subject)?;
    let set = Set::read(global)?;
    let issuer = issuer(&set, arguments.issuer.as_deref(), &claims)?;
    if let Err(refusal) = issuer.check_claims(&claims) {
        return Err(Failed(format!(
            "no policy was written: the broker refuses this token before any policy: {refusal}"
        )));
    }
    let wish = wish(&set, issuer, arguments, &claims)?;
    let directory = arguments.output_dir.as_deref().unwrap_or(&set.config.policies);
    let files = Files::of(directory, &wish.name);
    let first = first_policy(issuer, &claims, &wish);
    let checked = try_out(&set, &files, &first)?;
    if arguments.stdout {
        output::print(&format!(
            "# {}\n{}\n# {}\n{}",
            name(&files.policy),
            first.policy,
            name(&files.test),
            first.test
        ))?;
    } else {
        files.write(&first)?;
        let (policy, test) = (files.policy.display(), files.test.display());
        let (lines, cases) = (first.lines, checked.cases);
        output::print(&format!("{policy}: {lines} lines\n{test}: {cases} cases, all pass\n"))?;
    }
    let notes = advice::notes(&set, (issuer, &claims), &wish, &checked.warnings);
    anstream::eprintln!("\n{notes}");
    Ok(())
}

fn claims(subject: &Subject) -> Result<Map<String, Value>, Failed> {
    match subject {
        Subject { token: Some(file), .. } => {
            let token = UnverifiedAssertion::parse(explain::read(file)?.trim(), AssertionShape::Unsaid);
            let parsed = token.map_err(|fault| Failed(format!("{}: no identity token: {fault}", file.display())))?;
            Ok(parsed.into_claims())
        }
        Subject { claims, .. } => {
            let file = claims.as_deref().unwrap_or(Path::new("-"));
            let fault = |fault| Failed(format!("{}: {fault}; a claims set is one JSON object", file.display()));
            crate::json::object(explain::read(file)?.as_bytes()).map_err(fault)
        }
    }
}

fn issuer<'a>(set: &'a Set, named: Option<&str>, claims: &Map<String, Value>) -> Result<&'a Issuer, Failed> {
    let found = set.issuers.by_claims(claims);
    let names = || found.iter().map(|issuer| issuer.name().to_string()).collect::<Vec<_>>().join(", ");
    match (named, found) {
        (Some(name), _) if set.issuers.by_name(name).is_none() => {
            let known: Vec<&str> = set.issuers.iter().map(|issuer| issuer.name().as_str()).collect();
            Err(Failed(format!("no issuer `{name}` is configured; there are: {}", known.join(", "))))
        }
        (_, []) => Err(Failed(advice::unknown_issuer(set, claims))),
        (None, [one]) => Ok(one),
        (None, _) => Err(Failed(format!("the token can be of several issuers: {}; say which with --issuer", names()))),
        (Some(name), several) => {
            let meant = several.iter().find(|issuer| issuer.name().as_str() == name);
            let other = || Failed(format!("the token is not of `{name}`: its iss is that of {}", names()));
            meant.map(|issuer| &**issuer).ok_or_else(other)
        }
    }
}

fn wish(set: &Set, issuer: &Issuer, arguments: &Arguments, claims: &Map<String, Value>) -> Result<Wish, Failed> {
    let nameless = || Failed("the token names no workload; give the policy a name with --name".to_owned());
    let name = arguments.name.clone().or_else(|| proposed_name(issuer, claims)).ok_or_else(nameless)?;
    if let Some(taken) = set.policies.iter().find(|policy| *policy.name() == name) {
        let file = taken.summary().file;
        return Err(Failed(format!("policy `{name}` is in {} already; choose another --name", file.display())));
    }
    let user = match &arguments.user {
        Some(user) => user.clone(),
        None => UserName::parse(name.as_str()).map_err(|fault| Failed(fault.to_string()))?,
    };
    Ok(Wish { name, user, scopes: Scopes::new(arguments.scopes.clone()) })
}

/// What was found when the texts were read and run.
struct Checked {
    cases: usize,
    warnings: Diagnostics,
}

/// Loads the policy and runs its tests, before anything is written.
fn try_out(set: &Set, files: &Files, first: &FirstPolicy) -> Result<Checked, Failed> {
    let mut faults = Diagnostics::new();
    let now = Clock::system().now();
    let policies = PolicySet::of_text(&Source::new(&files.policy, &*first.policy), &set.issuers, now, &mut faults);
    if faults.has_errors() {
        let report = check::report(&faults);
        let why = "no policy was written: this token does not have what a policy for its issuer needs";
        return Err(Failed(format!("{report}\n\n{why}")));
    }
    let cases = TestCases::of(&[Source::new(&files.test, &*first.test)], &mut faults);
    let report = TestBench::new(&policies, &set.issuers, now).run(&cases);
    if let Some(failed) = report.failed().next() {
        let details: Vec<String> = failed.failure.iter().flat_map(super::test::details).collect();
        return Err(Failed(format!(
            "no policy was written: its own test would fail: {}",
            harmless(&details.join("; "))
        )));
    }
    Ok(Checked { cases: report.cases.len(), warnings: faults })
}

/// Where the texts go.
struct Files {
    policy: PathBuf,
    test: PathBuf,
}

impl Files {
    fn of(directory: &Path, name: &PolicyName) -> Files {
        let directory = directory.strip_prefix(".").unwrap_or(directory);
        Files { policy: directory.join(format!("{name}.yaml")), test: directory.join(format!("{name}.test.yaml")) }
    }

    /// Both or none: nothing that is there already is touched.
    fn write(&self, first: &FirstPolicy) -> Result<(), Failed> {
        create(&self.policy, &first.policy)?;
        create(&self.test, &first.test).inspect_err(|_| {
            let _ = std::fs::remove_file(&self.policy);
        })
    }
}

fn create(file: &Path, text: &str) -> Result<(), Failed> {
    let created = std::fs::OpenOptions::new().write(true).create_new(true).open(file);
    created.and_then(|mut created| created.write_all(text.as_bytes())).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failed(format!("{} is there already; choose another --name, or remove it", file.display()))
        }
        _ => Failed(format!("{}: cannot be written: {error}", file.display())),
    })
}

fn name(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
