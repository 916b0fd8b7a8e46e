//! Issuers whose tokens are meant for somebody else as well: whoever receives one there could show it here.
//!
//! In: the configured issuers, and the hosts of the protected services. Out: warnings at the lines of the configuration,
//! without its text, which may have secrets.

use super::findings::{Linter, Tally};
use super::{Findings, SHARED_AUDIENCE};
use crate::config::Config;
use crate::diagnostic::{Diagnostics, Place, Source};
use crate::issuer::{Issuer, Issuers};
use crate::vocab::UnixTime;
use crate::yaml::{self, Node, Yaml};

/// Audiences that other services have by default, so that tokens for them are about.
const OF_OTHERS: [&str; 9] = [
    "api://AzureADTokenExchange",
    "api://AzureADTokenExchangeUSGov",
    "api://AzureADTokenExchangeChina",
    "sts.amazonaws.com",
    "sigstore",
    "vault",
    "pypi",
    "npm:registry.npmjs.org",
    "crates.io",
];

/// How such audiences begin, where they have the customer's name in them.
const BEGINNINGS_OF_OTHERS: [&str; 7] = [
    "https://github.com/",
    "https://gitlab.com",
    "https://buildkite.com/",
    "https://fly.io/",
    "https://iam.googleapis.com/",
    "//iam.googleapis.com/",
    "https://kubernetes.default.svc",
];

/// Warns of audiences that are not this broker's alone. `hosts` are those of the protected services.
pub fn check_issuers(config: &Config, issuers: &Issuers, hosts: &[&str], faults: &mut Diagnostics) {
    let Ok(text) = std::fs::read_to_string(&config.file) else { return };
    let whole = Source::new(&config.file, text);
    let file = yaml::documents(&whole, &mut Diagnostics::new()).into_iter().next();
    let mut linter = Linter::open(&whole, UnixTime(0));
    let unquoted = Source::new(&config.file, "");
    let mut tally = Tally::default();
    let mut findings = linter.findings(&unquoted, (&mut tally, faults));
    for issuer in issuers.iter().filter(|issuer| !issuer.settings().disabled) {
        let field = |name: &str| {
            file.as_ref().and_then(|file| member(member(member(file, "issuers")?, issuer.name().as_str())?, name))
        };
        check_audiences(issuer, (issuers, hosts, config.issuer.as_str()), field("audiences"), &mut findings);
        if issuer.settings().allow_additional_audiences {
            let place = field("allow_additional_audiences").map_or(&Place::File, |node| &node.place);
            findings.report(SHARED_AUDIENCE, place, || {
                let message = format!("`{}`: its tokens may be for others beside this broker", issuer.name());
                (message, "have tokens made for this broker alone, and remove it".to_owned())
            });
        }
    }
    if let Some(file) = &file {
        findings.check_allows(&file.place);
    }
}

fn check_audiences(
    issuer: &Issuer,
    (issuers, hosts, own): (&Issuers, &[&str], &str),
    written: Option<&Node>,
    findings: &mut Findings<'_>,
) {
    for audience in issuer.settings().audiences.iter().flatten().map(|audience| audience.as_str()) {
        let Some(whose) = owner(audience, issuer, issuers, hosts).filter(|_| audience != own) else { continue };
        let place = written.map_or(&Place::File, |node| place_of(node, audience));
        findings.report(SHARED_AUDIENCE, place, || {
            let message = format!("`{}`: `{audience}` is {whose}: tokens for that would be good here", issuer.name());
            (message, format!("ask for tokens with the audience {own}, and remove this one"))
        });
    }
}

/// Whom else an audience belongs to.
fn owner(audience: &str, issuer: &Issuer, issuers: &Issuers, hosts: &[&str]) -> Option<String> {
    let host = audience.strip_prefix("https://").map_or(audience, |rest| rest.trim_end_matches('/'));
    if OF_OTHERS.contains(&audience) || BEGINNINGS_OF_OTHERS.iter().any(|start| audience.starts_with(start)) {
        return Some("what other services are called by default".to_owned());
    }
    if hosts.contains(&host) {
        return Some("a protected service".to_owned());
    }
    // Where each customer has an issuer, its last part is the default audience.
    if issuer.identifiers().iter().any(|own| own.rsplit('/').next() == Some(audience)) {
        return Some("what its tokens are for by default".to_owned());
    }
    let named = issuers.iter().find(|other| other.identifiers().iter().any(|identifier| identifier == audience));
    named.map(|other| format!("the issuer `{}` itself", other.name()))
}

fn member<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let Yaml::Mapping(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key == name).map(|entry| &entry.value)
}

/// Where this text stands in a list, or in place of one.
fn place_of<'a>(node: &'a Node, text: &str) -> &'a Place {
    let is_it = |item: &&Node| matches!(&item.value, Yaml::String(found) if found == text);
    match &node.value {
        Yaml::Sequence(items) => items.iter().find(is_it).map_or(&node.place, |item| &item.place),
        _ => &node.place,
    }
}
