//! `proxy`: what key fetches go through. The only place that reads proxy variables, and only for `proxy: system`: a
//! variable that somebody set for another program must not move where keys come from.

use std::fmt;

use url::Url;

use crate::diagnostic::{Diagnostic, Diagnostics, Source};
use crate::yaml::Yaml;

use super::section::Section;

/// How the field is written.
const FIX: &str = "write it as in `proxy: http://proxy.example.com:3128`, or `proxy: system`";

/// A forward proxy. Its URL may have a password, which nothing prints.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxySettings {
    url: Url,
    exceptions: String,
}

impl ProxySettings {
    /// The URL with its user information; for the client alone.
    #[must_use]
    pub fn secret_url(&self) -> &Url {
        &self.url
    }

    /// The hosts that are reached without it, as `NO_PROXY` lists them.
    #[must_use]
    pub fn exceptions(&self) -> &str {
        &self.exceptions
    }
}

impl fmt::Display for ProxySettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.url.origin().ascii_serialization())
    }
}

impl fmt::Debug for ProxySettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ProxySettings({self})")
    }
}

/// Reads the field; what is faulty is reported without being quoted.
pub(super) fn read(
    file: &Section<'_>,
    source: &Source,
    environment: &[(String, String)],
    faults: &mut Diagnostics,
) -> Option<ProxySettings> {
    let entry = file.entry("proxy")?;
    let read = match &entry.value.value {
        Yaml::String(text) if text == "system" => of_system(environment),
        Yaml::String(text) => parse(text).map(|url| Some(ProxySettings { url, exceptions: String::new() })),
        _ => Err("`proxy` must be a string".to_owned()),
    };
    read.unwrap_or_else(|message| {
        // Without the line: it may have a password.
        let without_text = Source::new(source.path(), "");
        faults.push(Diagnostic::error(&without_text, &entry.value.place, "value", message).fix(FIX));
        None
    })
}

/// The first variable that is set to something, in the order that reqwest, curl and most others agree on for `https`
/// targets. Plain http goes to this machine only, never through a proxy.
fn of_system(environment: &[(String, String)]) -> Result<Option<ProxySettings>, String> {
    let set = |name: &&str| {
        let found = environment.iter().find(|(variable, _)| variable == name).map(|(_, value)| value.trim());
        found.filter(|value| !value.is_empty())
    };
    let first = |names: &[&'static str]| names.iter().find_map(|name| Some((*name, set(name)?)));
    let Some((name, text)) = first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]) else { return Ok(None) };
    // A variable often has only a host and a port.
    let url = if text.contains("://") { parse(text) } else { parse(&format!("http://{text}")) };
    let url = url.map_err(|message| format!("the variable {name}, which `proxy: system` reads: {message}"))?;
    let exceptions = first(&["NO_PROXY", "no_proxy"]).map(|(_, hosts)| hosts.to_owned()).unwrap_or_default();
    Ok(Some(ProxySettings { url, exceptions }))
}

fn parse(text: &str) -> Result<Url, String> {
    const RULE: &str =
        "`proxy` must be an http:// URL of a host and a port; TLS to the target goes through it unopened";
    match Url::parse(text) {
        Ok(url) if url.scheme() == "http" && url.path() == "/" && url.query().is_none() && url.fragment().is_none() => {
            Ok(url)
        }
        _ => Err(RULE.to_owned()),
    }
}
