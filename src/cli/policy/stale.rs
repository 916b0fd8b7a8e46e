//! `countersign policy stale`: what nobody uses, and pins whose names and ids have drifted apart.
//!
//! In: the policy files, the running server's users and its audit trail. Out: a row for each policy and user that had no
//! exchange, and for each drifted pin.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::set::Set;
use crate::audit::Observed;
use crate::cli::admin_client::{AdminClient, cell, rows};
use crate::cli::output::{self, Column, Format, OutputOption};
use crate::cli::trail::{self, Window};
use crate::cli::{Failed, Global};
use crate::policy::stale::{Drift, Unused, Usage, Use};

/// What to look at.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Unused for so many days
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    #[command(flatten)]
    output: OutputOption,
}

#[derive(Debug, Serialize)]
struct Row {
    /// `policy`, `user` or `drift`.
    what: &'static str,
    /// The policy, or the user.
    name: String,
    issuer: Option<String>,
    detail: String,
    last_seen: Option<String>,
    trace_id: Option<String>,
}

const COLUMNS: &[Column<Row>] = &[
    ("what", |row| row.what.to_owned()),
    ("name", |row| row.name.clone()),
    ("issuer", |row| row.issuer.clone().unwrap_or_else(|| "-".to_owned())),
    ("detail", |row| row.detail.clone()),
    ("last seen", |row| row.last_seen.clone().unwrap_or_else(|| "-".to_owned())),
    ("trace id", |row| row.trace_id.clone().unwrap_or_else(|| "-".to_owned())),
];

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<(), Failed> {
    let set = Set::read(global)?;
    let server = AdminClient::of(global)?;
    let window = Window::days(arguments.days);
    let mut usage = Usage::of(&set.policies, &set.issuers);
    let mut users = BTreeSet::new();
    trail::each(&server, &window, |record| add(&mut usage, &mut users, &record)).await?;
    let mut rows: Vec<Row> = usage.drifted().into_iter().map(drift).collect();
    rows.extend(usage.unused(&set.issuers, window.until).iter().map(|unused| policy(unused, arguments.days)));
    rows.extend(unused_users(&server, &window, &users).await?);
    let format = arguments.output.output;
    output::print(&output::listing(format, COLUMNS, &rows)?)?;
    match trail::beginning(&server).await?.filter(|_| format == Format::Table) {
        Some(begins) if begins > window.since.to_rfc3339() => {
            output::print(&format!("\nthe audit trail begins at {begins}: what was used before that is not known\n"))
        }
        _ => Ok(()),
    }
}

fn add(usage: &mut Usage<'_>, users: &mut BTreeSet<String>, record: &Observed) {
    let shadow = record.shadow.iter().map(|found| &*found.policy);
    let policies: Vec<&str> = record.admitted_by().chain(shadow).collect();
    let claims = record.kept();
    usage.add(Use {
        issuer: record.issuer_name.as_deref().unwrap_or_default(),
        policies: &policies,
        claims: claims.as_ref(),
        time: &record.time,
        trace_id: &record.trace_id,
    });
    if record.outcome == "minted"
        && let Some(user) = &record.user
        && !users.contains(user)
    {
        users.insert(user.clone());
    }
}

fn drift(drift: Drift) -> Row {
    Row {
        what: "drift",
        name: drift.policy.to_string(),
        issuer: Some(drift.issuer.to_string()),
        detail: drift.detail,
        last_seen: Some(drift.last_seen),
        trace_id: Some(drift.trace_id),
    }
}

fn policy(unused: &Unused, days: u32) -> Row {
    let because = unused.because.map(|because| format!(": {because}")).unwrap_or_default();
    Row {
        what: "policy",
        name: unused.policy.to_string(),
        issuer: Some(unused.issuer.to_string()),
        detail: format!("admitted nothing in {days} days{because}"),
        last_seen: None,
        trace_id: None,
    }
}

/// Users that were there before the window and had no token in it.
async fn unused_users(server: &AdminClient, window: &Window, used: &BTreeSet<String>) -> Result<Vec<Row>, Failed> {
    let listed = server.get("/admin/v1/users").await?;
    let credentials = server.get("/admin/v1/credentials").await?;
    let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for credential in rows(&credentials, "credentials") {
        kinds.entry(cell(&credential, "user")).or_default().insert(cell(&credential, "type"));
    }
    let since = window.since.to_rfc3339();
    let is_stale = |user: &Value| cell(user, "created_at") < since && !used.contains(&cell(user, "name"));
    let stale = rows(&listed, "users").into_iter().filter(is_stale);
    Ok(stale.map(|found| user(&found, &kinds, &window.text)).collect())
}

fn user(found: &Value, kinds: &BTreeMap<String, BTreeSet<String>>, span: &str) -> Row {
    let name = cell(found, "name");
    let mut detail = format!("no token in {span}, {}, made by {}", cell(found, "state"), cell(found, "origin"));
    if kinds.get(&name).is_some_and(|kinds| kinds.contains("access-token")) {
        detail.push_str("; it has a long-lived access token, whose use leaves no record");
    }
    Row { what: "user", name, issuer: None, detail, last_seen: None, trace_id: None }
}
