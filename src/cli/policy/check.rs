//! `countersign policy check`: the set is valid, or every fault in it; and every warning.

use std::collections::HashSet;

use super::set::Set;
use crate::cli::admin_client::{AdminClient, rows};
use crate::cli::{Failed, Global, check, output};
use crate::diagnostic::Diagnostics;
use crate::gateway::Services;
use crate::policy::lint;

/// How much is asked of the policies.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Fail on warnings
    #[arg(long)]
    deny_warnings: bool,
    /// Fail on scopes of services that no file has, and on users that the running server does not have
    #[arg(long)]
    strict: bool,
}

pub(super) async fn run(global: &Global, arguments: &Arguments) -> Result<(), Failed> {
    let set = Set::read(global)?;
    let mut faults = set.warnings.clone();
    if arguments.strict || set.config.lint.strict {
        check_services(&set, &mut faults);
    }
    if arguments.strict {
        check_users(global, &set, &mut faults).await?;
    }
    if arguments.deny_warnings {
        faults.deny_warnings(&[]);
    } else if set.config.lint.deny_warnings {
        faults.deny_warnings(lint::TIMED);
    }
    if faults.has_errors() {
        return Err(Failed(check::report(&faults)));
    }
    let (count, noun) = (set.policies.len(), if set.policies.len() == 1 { "policy" } else { "policies" });
    output::print(&format!("{}: {count} {noun}, valid\n", set.config.policies.display()))?;
    if faults.is_empty() { Ok(()) } else { output::print(&format!("\n{}\n", check::report(&faults))) }
}

fn check_services(set: &Set, faults: &mut Diagnostics) {
    let services = Services::load(&set.config.services, faults);
    let names: HashSet<&str> = services.names().map(|name| name.as_str()).collect();
    lint::check_services(&set.policies, |name| names.contains(name), faults);
}

async fn check_users(global: &Global, set: &Set, faults: &mut Diagnostics) -> Result<(), Failed> {
    let answer = AdminClient::of(global)?.get("/admin/v1/users").await.map_err(|Failed(why)| {
        Failed(format!("--strict asks the running server which users there are, and that failed\n{why}"))
    })?;
    let users = rows(&answer, "users");
    let names: HashSet<&str> = users.iter().filter_map(|user| user.get("name")?.as_str()).collect();
    lint::check_users(&set.policies, |user| names.contains(user.as_str()), faults);
    Ok(())
}
