//! `countersign policy diff OLD NEW`: what a change of the policies does.
//!
//! From the files, or with `--replay` to the exchanges that were seen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::replay;
use crate::cli::output::{self, Format, OutputOption, harmless};
use crate::cli::{Failed, Global, check, environment};
use crate::clock::Clock;
use crate::config;
use crate::diagnostic::Diagnostics;
use crate::issuer::Issuers;
use crate::policy::PolicySet;
use crate::policy::difference::{Difference, Effect};
use crate::vocab::Scope;

/// Which sets, and how.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The policies as they are: a directory
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The policies as they would be: a directory
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Ask both sets about the exchanges of so long ago until now, for instance 7d
    #[arg(long, value_name = "DURATION")]
    replay: Option<String>,
    #[command(flatten)]
    output: OutputOption,
}

/// Two sets for the same issuers.
pub(super) struct Pair {
    pub(super) old: PolicySet,
    pub(super) new: PolicySet,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<(), Failed> {
    let pair = Pair::read(global, &arguments.old, &arguments.new)?;
    match arguments.replay {
        Some(span) => replay::run(global, &pair, &span, arguments.output).await,
        None => {
            let difference = Difference::between(&pair.old, &pair.new);
            output::print(&match arguments.output.output {
                Format::Table => story(&difference),
                Format::Json => {
                    serde_json::to_string_pretty(&difference).map_err(|error| Failed(error.to_string()))? + "\n"
                }
                Format::Yaml => serde_saphyr::to_string(&difference).map_err(|error| Failed(error.to_string()))?,
            })
        }
    }
}

fn story(difference: &Difference) -> String {
    if difference.is_empty() {
        return "the policies say the same\n".to_owned();
    }
    let policies = difference.policies.iter().flat_map(|change| {
        let head = format!("policy {} ({}): {}", change.policy, change.place, word(change.effect));
        let fields = change.fields.iter().map(|field| {
            let change = match (&field.old, &field.new) {
                (Some(old), Some(new)) => format!("{old} → {new}"),
                (None, Some(new)) => format!("+ {new}"),
                (Some(old), None) => format!("- {old}"),
                (None, None) => String::new(),
            };
            format!("  {:<24} {}", harmless(&field.field), harmless(&change))
        });
        std::iter::once(head).chain(fields).chain([String::new()]).collect::<Vec<_>>()
    });
    let users = difference.users.iter().map(|change| {
        let listed = |mark: char, scopes: &BTreeSet<Scope>| {
            scopes.iter().map(|scope| format!(" {mark}{scope}")).collect::<String>()
        };
        let admitted = match change.admitted {
            (false, true) => " (new: no policy admitted it)",
            (true, false) => " (no policy admits it any longer)",
            _ => "",
        };
        let scopes = listed('+', &change.gains) + &listed('-', &change.loses);
        format!("user {}{admitted}:{}", harmless(&change.user), if scopes.is_empty() { " no scopes" } else { &scopes })
    });
    policies.chain(users).map(|line| line + "\n").collect()
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::NewlyAdmits => "newly admits",
        Effect::NoLongerAdmits => "no longer admits",
        Effect::AdmitsMore => "admits more",
        Effect::AdmitsLess => "admits less",
        Effect::AdmitsOthers => "admits others",
        Effect::AdmitsTheSame => "admits the same",
        Effect::AdmitsNobody => "admits nobody, as before",
    }
}

impl Pair {
    /// Both are read with the issuers of the configuration as it is now.
    fn read(global: &Global, old: &Path, new: &Path) -> Result<Pair, Failed> {
        let failed = |faults: Diagnostics| Failed(check::report(&faults));
        let config = config::load(&global.config, &environment()).map_err(failed)?;
        let issuers = Issuers::new(&config.issuers, &config.issuer);
        let mut faults = Diagnostics::new();
        let now = Clock::system().now();
        let old = PolicySet::load(old, &issuers, now, &mut faults);
        let new = PolicySet::load(new, &issuers, now, &mut faults);
        if faults.has_errors() { Err(failed(faults)) } else { Ok(Pair { old, new }) }
    }
}
