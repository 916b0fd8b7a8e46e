//! `countersign check`: everything that can be known of a configuration without starting.

use std::fmt::Write as _;
use std::path::Path;

use crate::broker::{self, Loaded};
use crate::clock::Clock;
use crate::config::{self, Config, SigningAlgorithm};
use crate::diagnostic::{Diagnostics, Severity};
use crate::key::{Keys, Previous};
use crate::review::Reviews;
use crate::yaml::duration_text;

use super::{Failed, Global, output};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Fetch every issuer's keys as well, ask the API servers that review tokens, and report each
    #[arg(long)]
    online: bool,
    /// Fail on warnings
    #[arg(long)]
    deny_warnings: bool,
}

/// Runs it.
///
/// # Errors
/// Every fault found.
pub async fn run(global: &Global, arguments: Arguments) -> Result<(), Failed> {
    let checked = offline(&global.config, &super::environment()).map_err(|faults| Failed(report(&faults)))?;
    if arguments.deny_warnings && !checked.loaded.warnings.is_empty() {
        let mut faults = checked.loaded.warnings;
        faults.deny_warnings(&[]);
        return Err(Failed(report(&faults)));
    }
    output::print(&checked.summary())?;
    if !checked.loaded.warnings.is_empty() {
        output::print(&format!("\n{}\n", report(&checked.loaded.warnings)))?;
    }
    if arguments.online { online(&checked).await } else { Ok(()) }
}

/// Fetches the keys of every issuer, one line each.
async fn online(checked: &Checked) -> Result<(), Failed> {
    let issuers = &checked.loaded.issuers;
    let keys = Keys::start(issuers, Previous::Nothing, &Clock::system(), None, checked.config.proxy.as_ref());
    let reviews = Reviews::new(issuers);
    let mut failed = 0;
    for issuer in issuers.iter().filter(|issuer| !issuer.settings().disabled) {
        let fetched = match keys.refresh(issuer.name()).await {
            Ok(status) => format!("{} keys", status.keys.len()),
            Err(failure) => {
                failed += 1;
                format!("FAILED: {failure}")
            }
        };
        output::print(&format!("  keys     {}: {}\n", issuer.name(), output::harmless(&fetched)))?;
        if let Some(asked) = reviews.probe(issuer.name()).await {
            failed += usize::from(asked.is_err());
            let said = asked.map_or_else(|fault| format!("FAILED: {fault}"), |()| "the API server answers".to_owned());
            output::print(&format!("  review   {}: {}\n", issuer.name(), output::harmless(&said)))?;
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(Failed(format!("{failed} keys or reviews cannot be had; assertions that need them get 503"))),
    }
}

/// What was checked, for the summary.
#[derive(Debug)]
pub struct Checked {
    /// The configuration.
    pub config: Config,
    /// Everything beside it.
    pub loaded: Loaded,
}

/// Checks the files that a configuration consists of; nothing is started, nothing is written, no network is used.
///
/// # Errors
/// Every fault of every file.
pub fn offline(path: &Path, environment: &[(String, String)]) -> Result<Checked, Diagnostics> {
    let config = config::load(path, environment)?;
    let loaded = broker::load(&config, Clock::system().now())?;
    Ok(Checked { config, loaded })
}

/// The faults, each with its fix, and how many they are.
#[must_use]
pub fn report(faults: &Diagnostics) -> String {
    let count = |severity: Severity, noun: &str| {
        let count = faults.iter().filter(|fault| fault.severity() == severity).count();
        let plural = if count == 1 { "" } else { "s" };
        (count > 0).then(|| format!("{count} {noun}{plural}"))
    };
    let counts = [count(Severity::Error, "error"), count(Severity::Warning, "warning")];
    format!("{faults}\n\n{}", counts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

impl Checked {
    /// What the configuration says, in a few lines.
    #[must_use]
    pub fn summary(&self) -> String {
        let Config { file, issuer, listen, tls, admin, data, proxy, token, issuers, .. } = &self.config;
        let transport = if tls.is_some() { "TLS" } else { "plain HTTP" };
        let algorithm = match token.signing_algorithm {
            SigningAlgorithm::ES256 => "ES256",
            SigningAlgorithm::EdDSA => "EdDSA",
            SigningAlgorithm::RS256 => "RS256",
        };
        let (usual, longest) = (duration_text(token.lifetime), duration_text(token.max_lifetime));
        let mut text = format!("{}: valid\n", file.display());
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<8} {}", output::harmless(&value));
        };
        line("issuer", issuer.to_string());
        line("listen", format!("{listen} ({transport})"));
        line(
            "admin",
            match &admin.listener {
                Some(listener) => format!("{}, {}", admin.socket.display(), listener.listen),
                None => admin.socket.display().to_string(),
            },
        );
        line("data", data.display().to_string());
        if let Some(proxy) = proxy {
            line("proxy", format!("{proxy}, for fetching keys"));
        }
        line("tokens", format!("{usual}, at most {longest}, signed with {algorithm}"));
        line("issuers", issuers.len().to_string());
        for issuer in issuers {
            let disabled = if issuer.disabled { ", disabled" } else { "" };
            let shadow = if issuer.shadow { ", shadow" } else { "" };
            line("", format!("{} ({}{shadow}{disabled})", issuer.name, issuer.kind));
        }
        line("policies", self.loaded.policies.len().to_string());
        line("services", self.loaded.services.len().to_string());
        text
    }
}
