//! `countersign user …`: workload users.

use serde_json::{Value, json};

use super::admin_client::{AdminClient, cell, rows, segment};
use super::output::{self, Column, OutputOption};
use super::{Failed, Global};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Create a user
    Create(Named),
    /// Show a user
    Get(Shown),
    /// List all users
    List(OutputOption),
    /// Let a user get no more tokens, until it is enabled again
    Disable(Named),
    /// Let a disabled user get tokens again
    Enable(Named),
    /// Delete a user and its credentials; policies do not make the name again
    Delete(Named),
}

/// One user.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The user's name
    name: String,
}

/// One user, and how to print it.
#[derive(Debug, clap::Args)]
pub struct Shown {
    /// The user's name
    name: String,
    #[command(flatten)]
    output: OutputOption,
}

const COLUMNS: &[Column<Value>] = &[
    ("name", |row| cell(row, "name")),
    ("state", |row| cell(row, "state")),
    ("origin", |row| cell(row, "origin")),
    ("policy", |row| cell(row, "policy")),
    ("created", |row| cell(row, "created_at")),
];

/// Runs it.
///
/// # Errors
/// What failed, and the next step.
pub async fn run(global: &Global, command: Command) -> Result<(), Failed> {
    let server = AdminClient::of(global)?;
    let path = |name: &str| format!("/admin/v1/users/{}", segment(name));
    match command {
        Command::Create(Named { name }) => {
            server.post("/admin/v1/users", &json!({ "name": name })).await?;
            output::print(&format!("User {name} created\n"))
        }
        Command::Get(Shown { name, output }) => {
            let user = server.get(&path(&name)).await?;
            output::print(&output::listing(output.output, COLUMNS, &[user])?)
        }
        Command::List(output) => {
            let users = rows(&server.get("/admin/v1/users").await?, "users");
            output::print(&output::listing(output.output, COLUMNS, &users)?)
        }
        Command::Disable(Named { name }) => {
            server.post(&(path(&name) + "/disable"), &json!({})).await?;
            output::print(&format!("User {name} disabled\n"))
        }
        Command::Enable(Named { name }) => {
            server.post(&(path(&name) + "/enable"), &json!({})).await?;
            output::print(&format!("User {name} enabled\n"))
        }
        Command::Delete(Named { name }) => {
            server.delete(&path(&name)).await?;
            output::print(&format!("User {name} deleted\n"))
        }
    }
}
