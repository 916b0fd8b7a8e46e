//! `countersign session …`: the tokens that were minted, as the running server has them.

use serde_json::{Map, Value};

use super::admin_client::{AdminClient, cell, rows, with_query};
use super::output::{self, Column, OutputOption};
use super::{Failed, Global};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List sessions, newest first
    List(List),
    /// End sessions: relying parties that ask refuse their tokens within a second
    Revoke(Revoke),
}

/// Which sessions.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Of this user
    #[arg(long)]
    user: Option<String>,
    /// Admitted by this policy
    #[arg(long)]
    policy: Option<String>,
    /// From this issuer
    #[arg(long)]
    issuer: Option<String>,
    /// Minted since: RFC 3339, or how long ago (1h)
    #[arg(long)]
    since: Option<String>,
    /// Older than this token id: the last one of the page before
    #[arg(long, value_name = "TOKEN_ID")]
    before: Option<String>,
    /// At most this many (1 to 10000)
    #[arg(long, default_value_t = 100)]
    limit: u32,
    #[command(flatten)]
    output: OutputOption,
}

/// What is to end.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Revoke {
    /// The session of this token (its `jti`)
    token_id: Option<String>,
    /// All sessions of this user; it may sign in again
    #[arg(long)]
    user: Option<String>,
    /// All sessions of this credential
    #[arg(long)]
    credential: Option<String>,
    /// All sessions that this policy admitted
    #[arg(long)]
    policy: Option<String>,
    /// All sessions that came from this issuer
    #[arg(long)]
    issuer: Option<String>,
}

const COLUMNS: &[Column<Value>] = &[
    ("token id", |row| cell(row, "token_id")),
    ("user", |row| cell(row, "user")),
    ("policies", |row| {
        let names = row.get("policies").and_then(Value::as_array).into_iter().flatten();
        names.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
    }),
    ("issuer", |row| cell(row, "issuer")),
    ("state", |row| cell(row, "state")),
    ("minted", |row| cell(row, "created_at")),
    ("ends", |row| cell(row, "expires_at")),
];

/// Runs it.
///
/// # Errors
/// What failed, and the next step.
pub async fn run(global: &Global, command: Command) -> Result<(), Failed> {
    let server = AdminClient::of(global)?;
    match command {
        Command::List(List { user, policy, issuer, since, before, limit, output }) => {
            let limit = Some(limit.to_string());
            let asked = [
                ("user", user),
                ("policy", policy),
                ("issuer", issuer),
                ("since", since),
                ("before", before),
                ("limit", limit),
            ];
            let sessions = rows(&server.get(&with_query("/admin/v1/sessions", &asked)).await?, "sessions");
            output::print(&output::listing(output.output, COLUMNS, &sessions)?)
        }
        Command::Revoke(Revoke { token_id, user, credential, policy, issuer }) => {
            let parts = [
                ("token_id", token_id),
                ("user", user),
                ("credential", credential),
                ("policy", policy),
                ("issuer", issuer),
            ];
            let asked: Map<String, Value> =
                parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect();
            let answer = server.post("/admin/v1/sessions/revoke", &Value::Object(asked)).await?;
            output::print(&format!("{} sessions ended\n", cell(&answer, "revoked")))
        }
    }
}
