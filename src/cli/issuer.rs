//! `countersign issuer …`: issuers and their keys, as the running server has them.

use serde_json::{Value, json};

use super::admin_client::{AdminClient, cell, segment};
use super::output::{self, Column, OutputOption};
use super::{Failed, Global};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List all issuers with the state of their keys
    List(OutputOption),
    /// Show one issuer's keys
    Status(Named),
    /// Fetch one issuer's keys now
    Refresh(Named),
}

/// One issuer, and how to print it.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The issuer's name in the configuration
    name: String,
    #[command(flatten)]
    output: OutputOption,
}

const COLUMNS: &[Column<Value>] = &[
    ("name", |row| cell(row, "issuer")),
    ("source", |row| cell(row, "source")),
    ("usable", |row| cell(row, "usable")),
    ("keys", |row| row.get("keys").and_then(Value::as_array).map_or(0, Vec::len).to_string()),
    ("last fetch", |row| cell(row, "last_fetch")),
    ("next fetch", |row| cell(row, "next_fetch")),
    ("last error", |row| cell(row, "last_error")),
];

/// What `status` and `refresh` show beyond the list.
const DETAILS: &[Column<Value>] = &[
    ("name", |row| cell(row, "issuer")),
    ("source", |row| cell(row, "source")),
    ("usable", |row| cell(row, "usable")),
    ("keys", |row| key_lines(row).join(", ")),
    ("x509 authorities", |row| cell(row, "x509_authorities")),
    ("left out", |row| left_out(row).join(", ")),
    ("last fetch", |row| cell(row, "last_fetch")),
    ("age", |row| row.get("age_seconds").and_then(Value::as_u64).map_or(String::new(), |age| format!("{age}s"))),
    ("next fetch", |row| cell(row, "next_fetch")),
    ("sequence", |row| cell(row, "sequence")),
    ("last error", |row| cell(row, "last_error")),
];

/// `kid (alg)` of each key.
fn key_lines(row: &Value) -> Vec<String> {
    let keys = row.get("keys").and_then(Value::as_array).into_iter().flatten();
    keys.map(|key| format!("{} ({})", cell(key, "id"), cell(key, "algorithm"))).collect()
}

/// How many keys were left out, by reason.
fn left_out(row: &Value) -> Vec<String> {
    let reasons = row.get("skipped").and_then(Value::as_object).into_iter().flatten();
    reasons.map(|(reason, count)| format!("{count} {reason}")).collect()
}

/// Runs it.
///
/// # Errors
/// What failed, and the next step.
pub async fn run(global: &Global, command: Command) -> Result<(), Failed> {
    let server = AdminClient::of(global)?;
    let (rows, format, columns) = match command {
        Command::List(output) => (all(&server).await?, output, COLUMNS),
        Command::Status(Named { name, output }) => {
            let mut found = all(&server).await?;
            found.retain(|row| row.get("issuer").and_then(Value::as_str) == Some(&name));
            if found.is_empty() {
                return Err(Failed(format!("there is no issuer {name}; `countersign issuer list` shows them")));
            }
            (found, output, DETAILS)
        }
        Command::Refresh(Named { name, output }) => {
            let path = format!("/admin/v1/issuers/{}/refresh", segment(&name));
            (vec![server.post(&path, &json!({})).await?], output, DETAILS)
        }
    };
    output::print(&output::listing(format.output, columns, &rows)?)
}

async fn all(server: &AdminClient) -> Result<Vec<Value>, Failed> {
    match server.get("/admin/v1/issuers").await? {
        Value::Array(rows) => Ok(rows),
        _ => Err(Failed("the server's answer is no list".to_owned())),
    }
}
