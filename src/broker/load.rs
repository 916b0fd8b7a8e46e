//! What a start, a reload and `check` read alike: issuers, pinned keys, policies, services.

use crate::audit::LoadedSet;
use crate::config::Config;
use crate::diagnostic::Diagnostics;
use crate::gateway::Services;
use crate::issuer::Issuers;
use crate::key::Keys;
use crate::policy::{PolicySet, lint};
use crate::vocab::UnixTime;

/// Everything that operators keep in files beside the configuration.
#[derive(Debug)]
pub struct Loaded {
    /// Who is trusted.
    pub issuers: Issuers,
    /// Who may become whom.
    pub policies: PolicySet,
    /// The protected services.
    pub services: Services,
    /// What was found that does not keep the set from loading.
    pub warnings: Diagnostics,
}

impl Loaded {
    /// It in a few words.
    #[must_use]
    pub fn summary(&self) -> LoadedSet {
        LoadedSet {
            policy_digest: self.policies.digest().to_owned(),
            policies: self.policies.len(),
            issuers: self.issuers.iter().count(),
            services: self.services.len(),
        }
    }
}

/// Reads all of it.
///
/// # Errors
/// Every fault of every file; nothing is half loaded.
pub fn load(config: &Config, now: UnixTime) -> Result<Loaded, Diagnostics> {
    let mut faults = Diagnostics::new();
    let issuers = Issuers::new(&config.issuers, &config.issuer);
    Keys::check_files(&issuers, &mut faults);
    let policies = PolicySet::load(&config.policies, &issuers, now, &mut faults);
    let services = Services::load(&config.services, &mut faults);
    services.keep_clear_of(&config.issuer, &mut faults);
    lint::check_issuers(config, &issuers, &services.hosts().collect::<Vec<_>>(), &mut faults);
    if config.lint.strict {
        lint::check_services(&policies, |name| services.names().any(|known| known.as_str() == name), &mut faults);
    }
    if config.lint.deny_warnings {
        faults.deny_warnings(lint::TIMED);
    }
    if faults.has_errors() {
        return Err(faults);
    }
    Ok(Loaded { issuers, policies, services, warnings: faults })
}
