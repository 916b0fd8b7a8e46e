//! Protected services: which host, which upstream, who may call.
//!
//! In: a directory of YAML files. Out: [`Services`], and every fault found in them. Not here: whether an upstream
//! answers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::Request;
use http::uri::Authority;
use http::{Method, Uri};
use serde::Serialize;
use serde_json::json;

use super::host::Host;
use crate::condition::{self, Condition, Schema, Type, Unknown, Values};
use crate::diagnostic::{Diagnostic, Diagnostics, Source};
use crate::relying_party::Caller;
use crate::vocab::{Audience, IssuerUrl, Scope, Scopes, ServiceName, UserName};
use crate::yaml::{self, Fields, Node, Yaml};

/// The protected services, found by host.
#[derive(Debug, Default)]
pub struct Services {
    by_host: HashMap<Host, Arc<Service>>,
}

/// One protected service.
#[derive(Debug)]
pub struct Service {
    name: ServiceName,
    file: PathBuf,
    hosts: Vec<Host>,
    upstream: UpstreamAddress,
    allow: Vec<Entry>,
    audiences: Vec<Audience>,
}

/// Where a service's requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UpstreamAddress {
    pub(super) authority: Authority,
    /// Goes before the request's path; empty, or `/base` without a final slash.
    pub(super) base: String,
}

/// One entry of `allow`. All its lines must hold; an absent line asks for nothing.
#[derive(Debug)]
struct Entry {
    scopes: Vec<Scope>,
    users: Option<Vec<UserName>>,
    condition: Option<Condition>,
}

/// An entry of `allow`, to be shown. All its lines must hold.
#[derive(Debug, Clone, Serialize)]
pub struct Allowed {
    /// Scopes that a token must have.
    pub scopes: Vec<Scope>,
    /// Users, one of which it must be for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<UserName>>,
    /// What else must be true of the caller and its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

impl std::fmt::Display for Allowed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = |items: Vec<&str>| items.join(" ");
        let scopes = (!self.scopes.is_empty())
            .then(|| format!("scope {}", words(self.scopes.iter().map(Scope::as_str).collect())));
        let users =
            self.users.as_ref().map(|users| format!("user {}", words(users.iter().map(UserName::as_str).collect())));
        let condition = self.condition.as_ref().map(|condition| format!("condition {condition}"));
        let all: Vec<String> = [scopes, users, condition].into_iter().flatten().collect();
        formatter.write_str(&if all.is_empty() { "any token".to_owned() } else { all.join(", ") })
    }
}

/// The fields of a service.
pub(super) const FIELDS: [&str; 5] = ["service", "hosts", "upstream", "allow", "audiences"];
/// The fields it cannot be without, and how each is written.
pub(super) const REQUIRED: [(&str, &str); 4] = [
    ("service", "service: my-api"),
    ("hosts", "hosts: [my-api.example.com]"),
    ("upstream", "upstream: http://127.0.0.1:9000"),
    ("allow", "allow: [{ scopes: [\"service:my-api\"] }]"),
];
/// The fields of an entry of `allow`.
pub(super) const ENTRY_FIELDS: [&str; 3] = ["scopes", "users", "condition"];

/// What a condition may read.
const CONDITION_VARIABLES: [&str; 2] = ["request", "caller"];

/// What [`Facts`] has.
struct FactTypes;

impl Schema for FactTypes {
    fn type_of(&self, path: &[&str]) -> Result<Type, Unknown> {
        match path {
            ["request"] | ["caller"] => Ok(Type::Object),
            ["request", "method" | "path" | "host"] | ["caller", "user"] => Ok(Type::Text),
            ["caller", "scopes"] => Ok(Type::List(Box::new(Type::Text))),
            _ => Err(Unknown {
                id: "condition-name",
                message: format!("there is no `{}`", path.join(".")),
                fix: "there are request.method, request.path, request.host, caller.user and caller.scopes".to_owned(),
            }),
        }
    }
}

/// The facts of one request, as conditions read them: made when the first condition asks.
pub(super) struct Facts<'a> {
    caller: &'a Caller,
    method: &'a Method,
    uri: &'a Uri,
    host: &'a Host,
}

impl<'a> Facts<'a> {
    pub(super) fn new(caller: &'a Caller, request: &'a Request, host: &'a Host) -> Facts<'a> {
        Facts { caller, method: request.method(), uri: request.uri(), host }
    }

    fn values(&self) -> Values {
        let request = json!({
            "method": self.method.as_str(), "path": self.uri.path(), "host": self.host.as_str(),
        });
        let caller = json!({ "user": self.caller.user(), "scopes": self.caller.scopes() });
        Values::new(vec![("request", request), ("caller", caller)])
    }
}

impl Entry {
    /// A condition that comes to no answer does not admit.
    fn admits(&self, facts: &Facts<'_>) -> bool {
        self.scopes.iter().all(|scope| facts.caller.scopes().cover(scope))
            && self.users.as_ref().is_none_or(|users| users.contains(facts.caller.user()))
            && self.condition.as_ref().is_none_or(|condition| condition.holds(&facts.values()).unwrap_or(false))
    }
}

impl Services {
    /// Reads `*.yaml` and `*.yml` of a directory and of those below it. A directory that does not exist has no services.
    pub fn load(directory: &Path, faults: &mut Diagnostics) -> Services {
        let mut services = Services::default();
        let mut names: HashMap<ServiceName, PathBuf> = HashMap::new();
        for file in yaml_files(directory, faults) {
            let Some(source) = Source::read(&file, faults) else { continue };
            for document in yaml::documents(&source, faults) {
                if document.value == Yaml::Null {
                    continue;
                }
                services.add(&source, &document, &mut names, faults);
            }
        }
        services
    }

    /// The service of this host.
    #[must_use]
    pub fn of_host(&self, host: &Host) -> Option<&Arc<Service>> {
        self.by_host.get(host)
    }

    /// The service of this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<Service>> {
        self.by_host.values().find(|service| service.name.as_str() == name)
    }

    /// Reports a service that claims the broker's own host: it would take the token endpoint's requests.
    pub fn keep_clear_of(&self, issuer: &IssuerUrl, faults: &mut Diagnostics) {
        let authority = issuer.as_str().parse::<Uri>().ok().and_then(|uri| uri.authority().cloned());
        let ours = authority.and_then(|authority| Host::parse(authority.as_str()).ok());
        if let Some(service) = ours.and_then(|host| self.by_host.get(&host)) {
            let message = format!("the service `{}` claims the broker's own host, that of {issuer}", service.name);
            faults.push(Diagnostic::file(&service.file, message).fix("give the service a host of its own"));
        }
    }

    /// The names of the services, one for each host.
    pub fn names(&self) -> impl Iterator<Item = &ServiceName> {
        self.by_host.values().map(|service| &service.name)
    }

    /// The hosts that are served.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.by_host.keys().map(Host::as_str)
    }

    /// How many hosts are served.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_host.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_host.is_empty()
    }

    fn add(
        &mut self,
        source: &Source,
        document: &Node,
        names: &mut HashMap<ServiceName, PathBuf>,
        faults: &mut Diagnostics,
    ) {
        let Some(fields) = Fields::open(source, document, "a service", &FIELDS, faults) else { return };
        REQUIRED.iter().for_each(|(name, fix)| fields.require(name, fix, faults));
        let name = fields.parse("service", faults, ServiceName::parse);
        let hosts = fields.parse_list("hosts", faults, Host::parse);
        let upstream = fields.parse("upstream", faults, upstream_address);
        let audiences = fields.parse_list("audiences", faults, Audience::parse).unwrap_or_default();
        let allow = fields.node("allow").map(|node| entries(source, &fields, node, faults));
        let (Some(name), Some(hosts), Some(upstream), Some(allow)) = (name, hosts, upstream, allow) else { return };
        if let Some(first) = names.insert(name.clone(), source.path().to_owned()) {
            let place = fields.node("service").map_or(fields.place, |node| &node.place);
            let message = format!("the service `{name}` is already in {}", first.display());
            faults.push(fields.fault(place, "duplicate-service", message).fix("give each service its own name"));
        }
        let service = Arc::new(Service { name, file: source.path().to_owned(), hosts, upstream, allow, audiences });
        self.claim_hosts(&service, &fields, faults);
    }

    fn claim_hosts(&mut self, service: &Arc<Service>, fields: &Fields<'_>, faults: &mut Diagnostics) {
        let place = fields.node("hosts").map_or(fields.place, |node| &node.place);
        if service.hosts.is_empty() {
            let fault = fields.fault(place, "hosts", "`hosts` names no host, so nothing reaches the service");
            faults.push(fault.fix("hosts: [my-api.example.com]"));
        }
        for host in &service.hosts {
            if let Some(other) = self.by_host.insert(host.clone(), Arc::clone(service)) {
                let message = format!("the host {} is already that of the service `{}`", host.as_str(), other.name);
                faults.push(fields.fault(place, "duplicate-host", message).fix("name each host once"));
            }
        }
    }
}

impl Service {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ServiceName {
        &self.name
    }

    /// Its entries of `allow`: any of them admits.
    pub fn allowed(&self) -> impl Iterator<Item = Allowed> {
        self.allow.iter().map(|entry| Allowed {
            scopes: entry.scopes.clone(),
            users: entry.users.clone(),
            condition: entry.condition.as_ref().map(|condition| condition.source().to_owned()),
        })
    }

    pub(super) fn upstream(&self) -> &UpstreamAddress {
        &self.upstream
    }

    /// What a token for this service may be meant for: the broker's default audience, the service's own URLs, and what
    /// its file adds.
    pub(super) fn audiences(&self, issuer: &IssuerUrl) -> Vec<Audience> {
        let urls = self.hosts.iter().map(|host| format!("https://{}", host.as_str()));
        std::iter::once(issuer.as_str().to_owned())
            .chain(urls)
            .filter_map(|text| Audience::parse(&text).ok())
            .chain(self.audiences.iter().cloned())
            .collect()
    }

    /// Whether some entry of `allow` admits the request.
    pub(super) fn admits(&self, facts: &Facts<'_>) -> bool {
        self.allow.iter().any(|entry| entry.admits(facts))
    }

    /// Whether some entry reads the request, and so perhaps its path.
    pub(super) fn has_conditions(&self) -> bool {
        self.allow.iter().any(|entry| entry.condition.is_some())
    }

    /// Every scope that some entry asks for.
    pub(super) fn wanted_scopes(&self) -> Scopes {
        Scopes::new(self.allow.iter().flat_map(|entry| entry.scopes.iter().cloned()).collect())
    }
}

fn entries(source: &Source, fields: &Fields<'_>, node: &Node, faults: &mut Diagnostics) -> Vec<Entry> {
    let Yaml::Sequence(items) = &node.value else {
        let message = format!("`allow` must be a list of entries, found {}", node.value.type_name());
        faults.push(fields.fault(&node.place, "type", message).fix("allow: [{ scopes: [\"service:my-api\"] }]"));
        return Vec::new();
    };
    if items.is_empty() {
        let fault = fields.fault(&node.place, "empty-allow", "`allow` is empty, so nobody may call the service");
        faults.push(fault.fix("name who may call: allow: [{ scopes: [\"service:my-api\"] }]"));
    }
    items.iter().filter_map(|item| entry(source, item, faults)).collect()
}

/// An entry that asks for nothing would admit every token; it is a fault, not a wildcard.
fn entry(source: &Source, node: &Node, faults: &mut Diagnostics) -> Option<Entry> {
    let fields = Fields::open(source, node, "an entry of allow", &ENTRY_FIELDS, faults)?;
    let scopes = fields.parse_list("scopes", faults, Scope::parse);
    let users = fields.parse_list("users", faults, UserName::parse);
    let condition = condition::read(&fields, &FactTypes, faults, |text| Condition::compile(text, &CONDITION_VARIABLES));
    for (name, empty) in
        [("scopes", scopes.as_ref().is_some_and(Vec::is_empty)), ("users", users.as_ref().is_some_and(Vec::is_empty))]
    {
        if let (true, Some(set)) = (empty, fields.node(name)) {
            let message = format!("`{name}` is empty; leave it out, or name what it asks for");
            faults.push(fields.fault(&set.place, "empty-allow", message));
        }
    }
    if ENTRY_FIELDS.iter().all(|name| fields.entry(name).is_none()) {
        let fault =
            fields.fault(fields.place, "empty-allow", "an entry of `allow` that asks for nothing admits everyone");
        faults.push(fault.fix("{ scopes: [\"service:my-api\"] }"));
    }
    Some(Entry { scopes: scopes.unwrap_or_default(), users, condition })
}

fn upstream_address(text: &str) -> Result<UpstreamAddress, &'static str> {
    const RULE: &str = "must be http://HOST:PORT, with a base path or without";
    if text.starts_with("https://") {
        return Err(
            "must be http://: the gateway does not speak TLS to upstreams yet; put it on the same host, or in a \
                    network you trust",
        );
    }
    let uri: http::Uri = text.parse().map_err(|_| RULE)?;
    let authority = uri.authority().ok_or(RULE)?;
    if uri.scheme_str() != Some("http") || authority.as_str().contains('@') || text.contains(['?', '#']) {
        return Err(RULE);
    }
    Host::parse(authority.as_str())?;
    if authority.port_u16().is_none() {
        return Err("needs a port, such as http://127.0.0.1:9000");
    }
    Ok(UpstreamAddress { authority: authority.clone(), base: uri.path().trim_end_matches('/').to_owned() })
}

/// The YAML files below a directory, in the order of their names. Hidden ones are left out: a mounted ConfigMap has its
/// files twice, once below `..data`.
fn yaml_files(directory: &Path, faults: &mut Diagnostics) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            faults.push(Diagnostic::file(directory, format!("cannot be read: {error}")));
            return Vec::new();
        }
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| !name.starts_with('.')));
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(yaml_files(&path, faults));
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    files
}
