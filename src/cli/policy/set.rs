//! The policies in the files, and what they are read with. In: the configuration. Out: a set without errors.

use crate::cli::{Failed, Global, check, environment};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::diagnostic::Diagnostics;
use crate::issuer::Issuers;
use crate::policy::PolicySet;

/// The policies and what they are read with.
pub(super) struct Set {
    pub(super) config: Config,
    pub(super) issuers: Issuers,
    pub(super) policies: PolicySet,
    pub(super) warnings: Diagnostics,
}

impl Set {
    pub(super) fn read(global: &Global) -> Result<Set, Failed> {
        Set::of(config::load(&global.config, &environment()).map_err(|faults| failed(&faults))?)
    }

    /// The same, as if no issuer were in shadow mode: a test is of what a policy says, and holds before and after its
    /// issuer's trial.
    pub(super) fn read_as_written(global: &Global) -> Result<Set, Failed> {
        let mut config = config::load(&global.config, &environment()).map_err(|faults| failed(&faults))?;
        config.issuers.iter_mut().for_each(|issuer| issuer.shadow = false);
        Set::of(config)
    }

    fn of(config: Config) -> Result<Set, Failed> {
        let issuers = Issuers::new(&config.issuers, &config.issuer);
        let mut faults = Diagnostics::new();
        let policies = PolicySet::load(&config.policies, &issuers, Clock::system().now(), &mut faults);
        if faults.has_errors() {
            return Err(failed(&faults));
        }
        Ok(Set { config, issuers, policies, warnings: faults })
    }
}

fn failed(faults: &Diagnostics) -> Failed {
    Failed(check::report(faults))
}
