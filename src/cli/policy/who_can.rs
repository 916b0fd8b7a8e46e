//! `countersign policy who-can NAME`: every way that policies lead to a user, a scope or a service.

use serde::Serialize;

use super::set::Set;
use crate::cli::output::{self, Format, OutputOption, harmless};
use crate::cli::{Failed, check};
use crate::diagnostic::Diagnostics;
use crate::gateway::{Allowed, Services};
use crate::policy::{Mode, Route};
use crate::vocab::{Scope, UserName};

/// Whom or what.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A user, a scope or a service
    #[arg(value_name = "USER|SCOPE|SERVICE")]
    name: String,
    /// What NAME is; without it, whatever it can be
    #[arg(long = "as", value_enum, value_name = "WHAT")]
    what: Option<What>,
    #[command(flatten)]
    output: OutputOption,
}

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum What {
    /// A WORKLOAD user
    User,
    /// A scope
    Scope,
    /// A protected service
    Service,
}

/// The answer for one meaning of the name.
#[derive(Debug, Serialize)]
struct Answer {
    what: What,
    name: String,
    ways: Vec<Way>,
}

/// One way in, and the policies that lead there.
#[derive(Debug, Serialize)]
struct Way {
    /// What a token must have; nothing for a user or a scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<Allowed>,
    routes: Vec<Route>,
}

pub(super) fn run(set: &Set, arguments: &Arguments) -> Result<(), Failed> {
    let mut faults = Diagnostics::new();
    let services = Services::load(&set.config.services, &mut faults);
    if faults.has_errors() {
        return Err(Failed(check::report(&faults)));
    }
    let asked = [What::Service, What::User, What::Scope].into_iter();
    let asked = asked.filter(|what| arguments.what.is_none_or(|wanted| wanted == *what));
    let answers: Vec<Answer> = asked.filter_map(|what| answer(set, &services, what, &arguments.name)).collect();
    if answers.is_empty() {
        let name = harmless(&arguments.name);
        return Err(Failed(format!(
            "no policy leads to `{name}`: it is no service, no user that a policy names, and no scope that one grants\n  \
             client secrets and access tokens are not in these files: countersign credential list"
        )));
    }
    output::print(&match arguments.output.output {
        Format::Table => answers.iter().map(story).collect(),
        Format::Json => serde_json::to_string_pretty(&answers).map_err(|error| Failed(error.to_string()))? + "\n",
        Format::Yaml => serde_saphyr::to_string(&answers).map_err(|error| Failed(error.to_string()))?,
    })
}

/// `None`, when the name is not the name of such a thing.
fn answer(set: &Set, services: &Services, what: What, name: &str) -> Option<Answer> {
    let ways = match what {
        What::User => {
            vec![Way { allowed: None, routes: set.policies.routes_to(Some(&UserName::parse(name).ok()?), &[]) }]
        }
        What::Scope => vec![Way { allowed: None, routes: set.policies.routes_to(None, &[Scope::parse(name).ok()?]) }],
        What::Service => {
            let service = services.by_name(name)?;
            service.allowed().map(|allowed| Way { routes: routes_for(set, &allowed), allowed: Some(allowed) }).collect()
        }
    };
    let is_known = what == What::Service || ways.iter().any(|way| !way.routes.is_empty());
    is_known.then(|| Answer { what, name: name.to_owned(), ways })
}

fn routes_for(set: &Set, allowed: &Allowed) -> Vec<Route> {
    match &allowed.users {
        None => set.policies.routes_to(None, &allowed.scopes),
        Some(users) => users.iter().flat_map(|user| set.policies.routes_to(Some(user), &allowed.scopes)).collect(),
    }
}

/// The answer as a tree.
fn story(answer: &Answer) -> String {
    let what = match answer.what {
        What::User => "user",
        What::Scope => "scope",
        What::Service => "service",
    };
    let mut lines = vec![format!("{what} {}", harmless(&answer.name))];
    for (place, way) in answer.ways.iter().enumerate() {
        let Some(allowed) = &way.allowed else {
            lines.extend(branches(&way.routes));
            continue;
        };
        let (branch, trunk) = if place + 1 == answer.ways.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        lines.push(format!("{branch}{}", harmless(&allowed.to_string())));
        lines.extend(branches(&way.routes).map(|line| format!("{trunk}{line}")));
    }
    lines.join("\n") + "\n"
}

fn branches(routes: &[Route]) -> impl Iterator<Item = String> {
    let nobody = routes.is_empty().then(|| "└─ no policy leads here".to_owned());
    let all = routes.iter().enumerate().flat_map(|(place, route)| {
        let (branch, trunk) = if place + 1 == routes.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let shadow = if route.mode == Mode::Shadow { ", in shadow mode: admits nobody" } else { "" };
        let head = format!("{branch}policy {} ({}){shadow}", route.policy, route.place);
        let becomes =
            format!("tokens of {} become {} with [{}] when", route.issuer, route.user, route.scopes.to_wire());
        let when = route.when.iter().map(|line| format!("  {line}"));
        let body = std::iter::once(becomes).chain(when).map(move |line: String| format!("{trunk}{}", harmless(&line)));
        std::iter::once(head).chain(body).collect::<Vec<_>>()
    });
    nobody.into_iter().chain(all).collect::<Vec<_>>().into_iter()
}
