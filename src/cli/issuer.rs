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

/// Runs it.
///
/// # Errors
/// What failed, and the next step.
pub async fn run(global: &Global, command: Command) -> Result<(), Failed> {
    let server = AdminClient::of(global)?;
    let (rows, format) = match command {
        Command::List(output) => (all(&server).await?, output),
        Command::Status(Named { name, output }) => {
            let mut found = all(&server).await?;
            found.retain(|row| row.get("issuer").and_then(Value::as_str) == Some(&name));
            if found.is_empty() {
                return Err(Failed(format!("there is no issuer {name}; `countersign issuer list` shows them")));
            }
            (found, output)
        }
        Command::Refresh(Named { name, output }) => {
            let path = format!("/admin/v1/issuers/{}/refresh", segment(&name));
            (vec![server.post(&path, &json!({})).await?], output)
        }
    };
    output::print(&output::listing(format.output, COLUMNS, &rows)?)
}

async fn all(server: &AdminClient) -> Result<Vec<Value>, Failed> {
    match server.get("/admin/v1/issuers").await? {
        Value::Array(rows) => Ok(rows),
        _ => Err(Failed("the server's answer is no list".to_owned())),
    }
}
