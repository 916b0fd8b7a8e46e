//! `countersign audit …`: the audit trail.

use std::time::Duration;

use serde_json::Value;

use super::admin_client::{AdminClient, cell, rows};
use super::audit_verify::{self, Verify};
use super::output::{self, Column, Format, OutputOption};
use super::{Failed, Global};

/// How often a follower asks for new records.
const POLL: Duration = Duration::from_millis(500);
/// Records a follower takes at once.
const FOLLOW_LIMIT: u32 = 1000;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show the newest records
    Tail(Tail),
    /// Search the records
    Query(Query),
    /// Check that no record was edited, removed, added or moved
    Verify(Verify),
}

/// The newest records.
#[derive(Debug, clap::Args)]
pub struct Tail {
    /// How many
    #[arg(short = 'n', long = "lines", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    lines: u32,
    /// Go on showing new ones
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    output: OutputOption,
}

/// What the records must have.
#[derive(Debug, clap::Args)]
pub struct Query {
    /// Not before: RFC 3339, or how long ago (1h)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not after: RFC 3339, or how long ago
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Of this user
    #[arg(long)]
    user: Option<String>,
    /// Admitted by this policy
    #[arg(long)]
    policy: Option<String>,
    /// Of the issuer with this configured name
    #[arg(long)]
    issuer: Option<String>,
    /// With this cause, for instance claims.expired
    #[arg(long)]
    cause: Option<String>,
    /// With this trace id, as the answer had it
    #[arg(long)]
    trace_id: Option<String>,
    /// minted, refused or fault; of a reload reloaded or refused
    #[arg(long)]
    outcome: Option<String>,
    /// At most this many, the newest ones
    #[arg(long, default_value_t = 100)]
    limit: u32,
    #[command(flatten)]
    output: OutputOption,
}

const COLUMNS: &[Column<Value>] = &[
    ("time", |row| cell(row, "time")),
    ("outcome", |row| cell(row, "outcome")),
    ("cause", |row| cell(row, "cause")),
    ("user", |row| cell(row, "user")),
    ("policy", |row| cell(row, "policy")),
    ("issuer", |row| cell(row, "issuer_name")),
    ("trace id", |row| cell(row, "trace_id")),
];

/// Runs it.
///
/// # Errors
/// What failed, and the next step.
pub async fn run(global: &Global, command: Command) -> Result<(), Failed> {
    match command {
        Command::Verify(verify) => audit_verify::run(global, verify).await,
        Command::Tail(tail) => show_tail(&AdminClient::of(global)?, &tail).await,
        Command::Query(query) => {
            let (records, _) = ask(&AdminClient::of(global)?, &question(&query)).await?;
            output::print(&output::listing(query.output.output, COLUMNS, &records)?)
        }
    }
}

async fn show_tail(server: &AdminClient, tail: &Tail) -> Result<(), Failed> {
    let (records, last) = ask(server, &[("limit", tail.lines.to_string())]).await?;
    if !tail.follow {
        return output::print(&output::listing(tail.output.output, COLUMNS, &records)?);
    }
    output::print(&batch(tail.output.output, &records, true)?)?;
    let mut last = last.unwrap_or(0);
    loop {
        tokio::time::sleep(POLL).await;
        let after = [("after", last.to_string()), ("limit", FOLLOW_LIMIT.to_string())];
        let (records, newest) = ask(server, &after).await?;
        output::print(&batch(tail.output.output, &records, false)?)?;
        last = newest.unwrap_or(last);
    }
}

/// Some records of an endless listing: a JSON document a line, YAML list items, or table rows under one head.
fn batch(format: Format, records: &[Value], first: bool) -> Result<String, Failed> {
    if records.is_empty() && !(first && format == Format::Table) {
        return Ok(String::new());
    }
    match format {
        Format::Json => Ok(records.iter().map(|record| format!("{record}\n")).collect()),
        Format::Yaml => output::listing(format, COLUMNS, records),
        Format::Table => {
            let table = output::listing(format, COLUMNS, records)?;
            Ok(if first { table } else { table.lines().skip(1).map(|line| format!("{line}\n")).collect() })
        }
    }
}

fn question(query: &Query) -> Vec<(&'static str, String)> {
    let asked = [
        ("since", &query.since),
        ("until", &query.until),
        ("user", &query.user),
        ("policy", &query.policy),
        ("issuer", &query.issuer),
        ("cause", &query.cause),
        ("trace_id", &query.trace_id),
        ("outcome", &query.outcome),
    ];
    let given = asked.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    given.chain([("limit", query.limit.to_string())]).collect()
}

/// The records, and the position of the last one.
async fn ask(server: &AdminClient, question: &[(&str, String)]) -> Result<(Vec<Value>, Option<i64>), Failed> {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(question).finish();
    let found = rows(&server.get(&format!("/admin/v1/audit?{query}")).await?, "records");
    let last = found.last().and_then(|entry| entry.get("position")).and_then(Value::as_i64);
    Ok((found.iter().filter_map(|entry| entry.get("record")).cloned().collect(), last))
}
