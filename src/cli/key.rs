//! `countersign key …`: the keys that sign tokens, as the running server has them.

use std::io::Read as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::admin_client::{AdminClient, cell, rows, segment};
use super::output::{self, Column, OutputOption};
use super::{Failed, Global};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the keys, those that have ended included
    List(OutputOption),
    /// Make a new key; it is published now and signs when every verifier can know it
    Rotate(Rotate),
    /// End a key at once, with every token that it signed
    Revoke(Named),
    /// Put a PKCS#8 key into the ring
    Import(Import),
    /// Encrypt the private keys in the store under the current key-encryption key
    Rewrap,
}

/// Which key.
#[derive(Debug, clap::Args)]
pub struct Rotate {
    /// ES256, EdDSA or RS256 [default: the one that signs]
    #[arg(long)]
    algorithm: Option<String>,
    /// token or audit
    #[arg(long, default_value = "token")]
    purpose: String,
    #[command(flatten)]
    output: OutputOption,
}

/// One key.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The key's id (`kid`)
    id: String,
    #[command(flatten)]
    output: OutputOption,
}

/// A key to import.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// A PEM file (`BEGIN PRIVATE KEY`), or - for standard input
    file: PathBuf,
    #[command(flatten)]
    output: OutputOption,
}

const COLUMNS: &[Column<Value>] = &[
    ("id", |row| cell(row, "id")),
    ("algorithm", |row| cell(row, "algorithm")),
    ("purpose", |row| cell(row, "purpose")),
    ("state", |row| cell(row, "state")),
    ("created", |row| cell(row, "created_at")),
    ("next", |row| cell(row, "next")),
    ("encrypted under", |row| cell(row, "key_encryption_key")),
];

/// Runs it.
///
/// # Errors
/// What failed, and the next step.
pub async fn run(global: &Global, command: Command) -> Result<(), Failed> {
    let server = AdminClient::of(global)?;
    let (keys, format) = match command {
        Command::List(output) => (rows(&server.get("/admin/v1/keys").await?, "keys"), output),
        Command::Rotate(Rotate { algorithm, purpose, output }) => {
            let asked = json!({ "algorithm": algorithm, "purpose": purpose });
            (vec![server.post("/admin/v1/keys/rotate", &asked).await?], output)
        }
        Command::Revoke(Named { id, output }) => {
            let path = format!("/admin/v1/keys/{}/revoke", segment(&id));
            (vec![server.post(&path, &json!({})).await?], output)
        }
        Command::Import(Import { file, output }) => {
            let pem = read(&file)?;
            (vec![server.post("/admin/v1/keys/import", &json!({ "pem": pem.as_str() })).await?], output)
        }
        Command::Rewrap => {
            let answer = server.post("/admin/v1/keys/rewrap", &json!({})).await?;
            return output::print(&format!("{} private keys encrypted anew\n", cell(&answer, "rewrapped")));
        }
    };
    output::print(&output::listing(format.output, COLUMNS, &keys)?)
}

fn read(file: &std::path::Path) -> Result<Zeroizing<String>, Failed> {
    let failed = |error: std::io::Error| Failed(format!("{} cannot be read: {error}", file.display()));
    let mut text = Zeroizing::new(String::new());
    if file == std::path::Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
    } else {
        *text = std::fs::read_to_string(file).map_err(failed)?;
    }
    Ok(text)
}
