//! The broker's own settings: identifier, listeners, directories, tokens.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::diagnostic::{Diagnostics, Source, did_you_mean};
use crate::vocab::IssuerUrl;
use crate::yaml::{Node, Yaml, duration_text};

use super::section::Section;
use super::settings::{
    AdminListener, AdminSettings, ClientCertificates, Config, IssuerSettings, LintSettings, ReloadSettings,
    SigningAlgorithm, TlsFiles, TokenSettings,
};
use super::{issuers, proxy, schema, signing, store};

/// Shorter tokens would expire on the way to a service.
const SHORTEST_TOKEN: Duration = Duration::from_secs(10);
/// A token cannot be taken back everywhere before it expires, so it must not live longer than a working day's run.
const LONGEST_TOKEN: Duration = Duration::from_secs(24 * 3600);

/// Between two looks at the files: a shorter time is work for nothing, a longer one no watch.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// `token.signing_algorithm`.
pub(super) const SIGNING_ALGORITHMS: [(&str, SigningAlgorithm); 3] =
    [("ES256", SigningAlgorithm::ES256), ("EdDSA", SigningAlgorithm::EdDSA), ("RS256", SigningAlgorithm::RS256)];
/// `tls.client_certificates`.
pub(super) const CLIENT_CERTIFICATES: [(&str, ClientCertificates); 2] =
    [("none", ClientCertificates::None), ("request", ClientCertificates::Request)];

/// The whole configuration; `None` only when there are faults.
pub(super) fn read(
    path: &Path,
    source: &Source,
    (root, environment): (&Node, &[(String, String)]),
    faults: &mut Diagnostics,
) -> Option<Config> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let file = Section::open(source, root, ("the configuration", schema::CONFIG), faults)?;
    file.require("issuer", faults);
    let issuer = file.text("issuer", faults, IssuerUrl::parse);
    let listen = file.text("listen", faults, socket_address);
    let tls = tls(&file, directory, listen, faults);
    let data = file.path("data", directory, faults);
    let store = store::read(&file, directory, faults);
    let admin = admin(&file, directory, (listen, data.as_deref()), faults);
    let policies = file.path("policies", directory, faults);
    let trust_bundles = file.path("trust_bundles", directory, faults);
    let services = file.path("services", directory, faults);
    let proxy = proxy::read(&file, source, environment, faults);
    let (reload, lint) = (reload(&file, faults), lint(&file, faults));
    let token = token(&file, faults);
    let (signing, key_encryption_key) = signing::read(&file, directory, environment, faults);
    let issuers = match (&trust_bundles, file.entry("issuers")) {
        (Some(trust_bundles), Some(entry)) => {
            issuers::Reader { source, trust_bundles, own: issuer.as_ref() }.all(&entry.value, faults)
        }
        _ => Vec::new(),
    };
    let issuers = explained(&file, issuers, faults);
    Some(Config {
        file: path.to_owned(),
        issuer: issuer?,
        listen: listen?,
        tls,
        admin: admin?,
        data: data?,
        store: store?,
        policies: policies?,
        trust_bundles: trust_bundles?,
        services: services?,
        proxy,
        reload: reload?,
        lint,
        token: token?,
        signing: signing?,
        key_encryption_key: key_encryption_key?,
        issuers,
    })
}

fn socket_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8443, 0.0.0.0:8443 or [::]:8443")
}

fn tls(file: &Section<'_>, directory: &Path, listen: Option<SocketAddr>, faults: &mut Diagnostics) -> Option<TlsFiles> {
    let plain_http_is_meant = file.flag("danger_plain_http", faults);
    if file.has("tls") {
        let tls = file.section("tls", ("`tls`", schema::TLS), faults)?;
        tls.require("cert", faults);
        tls.require("key", faults);
        let cert = tls.existing_file("cert", directory, faults);
        let key = tls.existing_file("key", directory, faults);
        let client_certificates = tls.text("client_certificates", faults, |text| {
            let known = CLIENT_CERTIFICATES.into_iter().find(|(name, _)| *name == text);
            known.map(|(_, asks)| asks).ok_or("must be request (a client may show one) or none")
        });
        let client_certificates = client_certificates.unwrap_or(ClientCertificates::None);
        return Some(TlsFiles { cert: cert?, key: key?, client_certificates });
    }
    if listen.is_some_and(|listen| !listen.ip().is_loopback()) && !plain_http_is_meant {
        let message = "`listen` is reachable from other machines, and there is no `tls`";
        let fix = "add `tls: { cert: …, key: … }`, listen on 127.0.0.1, or, behind a proxy that ends TLS, set \
                   `danger_plain_http: true`";
        faults.push(file.fault("listen", "plain-http", message).fix(fix));
    }
    None
}

fn admin(
    file: &Section<'_>,
    directory: &Path,
    (listen, data): (Option<SocketAddr>, Option<&Path>),
    faults: &mut Diagnostics,
) -> Option<AdminSettings> {
    let default_socket = data.map(|data| data.join("admin.sock"));
    if !file.has("admin") {
        return Some(AdminSettings { socket: default_socket?, listener: None });
    }
    let admin = file.section("admin", ("`admin`", schema::ADMIN), faults)?;
    let socket = if admin.has("socket") { admin.path("socket", directory, faults) } else { default_socket };
    if admin.has("listen") != admin.has("token_file") {
        admin.require("listen", faults);
        admin.require("token_file", faults);
    }
    let address = admin.text("listen", faults, |text| match socket_address(text)? {
        address if address.ip().is_loopback() => Ok(address),
        _ => Err("must be a loopback address; reach it from elsewhere through an SSH tunnel"),
    });
    if let (Some(address), Some(public)) = (address, listen)
        && address.port() == public.port()
        && address.port() != 0
        && (address.ip() == public.ip() || public.ip().is_unspecified())
    {
        let message = "`listen` of the admin API is the public listener's address";
        faults.push(admin.fault("listen", "conflict", message).fix("choose another port"));
    }
    let token_file = admin.existing_file("token_file", directory, faults);
    let listener = address.zip(token_file).map(|(listen, token_file)| AdminListener { listen, token_file });
    Some(AdminSettings { socket: socket?, listener })
}

fn reload(file: &Section<'_>, faults: &mut Diagnostics) -> Option<ReloadSettings> {
    let reload = file.section("reload", ("`reload`", schema::RELOAD), faults)?;
    let (watch, every) = (reload.boolean("watch", faults), reload.duration("every", LOOKS, faults));
    Some(ReloadSettings { watch: watch?, every: every? })
}

fn lint(file: &Section<'_>, faults: &mut Diagnostics) -> LintSettings {
    if !file.has("lint") {
        return LintSettings::default();
    }
    let Some(lint) = file.section("lint", ("`lint`", schema::LINT), faults) else { return LintSettings::default() };
    LintSettings { deny_warnings: lint.flag("deny_warnings", faults), strict: lint.flag("strict", faults) }
}

fn token(file: &Section<'_>, faults: &mut Diagnostics) -> Option<TokenSettings> {
    let token = file.section("token", ("`token`", schema::TOKEN), faults)?;
    let limits = (SHORTEST_TOKEN, LONGEST_TOKEN);
    let lifetime = token.duration("lifetime", limits, faults);
    let max_lifetime = token.duration("max_lifetime", limits, faults);
    let signing_algorithm = token.text("signing_algorithm", faults, |text| {
        let known = SIGNING_ALGORITHMS.into_iter().find(|(name, _)| *name == text);
        known.map(|(_, algorithm)| algorithm).ok_or("must be ES256, EdDSA or RS256")
    });
    let (mut lifetime, max_lifetime) = (lifetime?, max_lifetime?);
    if lifetime > max_lifetime {
        if !token.is_default("lifetime") {
            let message = format!("`lifetime` is longer than `max_lifetime`, which is {}", duration_text(max_lifetime));
            let fix = format!("write at most {}, or raise `max_lifetime`", duration_text(max_lifetime));
            faults.push(token.fault("lifetime", "conflict", message).fix(fix));
        }
        lifetime = max_lifetime;
    }
    Some(TokenSettings { lifetime, max_lifetime, signing_algorithm: signing_algorithm? })
}

/// Marks the issuers whose callers are told why. A name that no issuer has would leave them puzzled, so it is a fault.
fn explained(file: &Section<'_>, mut issuers: Vec<IssuerSettings>, faults: &mut Diagnostics) -> Vec<IssuerSettings> {
    let known: Vec<&str> = match file.entry("issuers").map(|entry| &entry.value.value) {
        Some(Yaml::Mapping(entries)) => entries.iter().map(|entry| entry.key.as_str()).collect(),
        _ => Vec::new(),
    };
    let names = file.list("explain_to_caller", faults, |name| match known.contains(&name) {
        true => Ok(name.to_owned()),
        false => {
            let near = did_you_mean(name, known.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
            Err(format!("no issuer `{name}` is configured{}", near.unwrap_or_default()))
        }
    });
    for issuer in &mut issuers {
        issuer.explain_to_caller = names.iter().flatten().any(|name| name == issuer.name.as_str());
    }
    issuers
}
