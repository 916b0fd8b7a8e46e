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
        let failed = |faults: Diagnostics| Failed(check::report(&faults));
        let config = config::load(&global.config, &environment()).map_err(failed)?;
        let issuers = Issuers::new(&config.issuers, &config.issuer);
        let mut faults = Diagnostics::new();
        let policies = PolicySet::load(&config.policies, &issuers, Clock::system().now(), &mut faults);
        if faults.has_errors() {
            return Err(failed(faults));
        }
        Ok(Set { config, issuers, policies, warnings: faults })
    }
}
