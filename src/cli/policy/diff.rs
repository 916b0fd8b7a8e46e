//! `countersign policy diff OLD NEW`: what a change of the policies does.

use std::path::{Path, PathBuf};

use super::replay;
use crate::cli::output::OutputOption;
use crate::cli::{Failed, Global, check, environment};
use crate::clock::Clock;
use crate::config;
use crate::diagnostic::Diagnostics;
use crate::issuer::Issuers;
use crate::policy::PolicySet;

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
    #[arg(long, value_name = "DURATION", required = true)]
    replay: String,
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
    replay::run(global, &pair, &arguments.replay, arguments.output).await
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
