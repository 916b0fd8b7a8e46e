//! `countersign credential …`: client secrets and long-lived access tokens.

use serde_json::{Map, Value, json};

use super::admin_client::{AdminClient, cell, rows, segment};
use super::output::{self, Column, OutputOption};
use super::{Failed, Global};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Create a credential, and print its secret or token this once
    Create(New),
    /// Show a credential, without its secret
    Get(Shown),
    /// List credentials, without their secrets
    List(Listed),
    /// Make a new secret or token, and end the one before
    Rotate(Rotation),
    /// Accept a credential no more, until it is enabled again
    Disable(Named),
    /// Accept a disabled credential again
    Enable(Named),
    /// Delete a credential
    Delete(Named),
}

/// A credential to create.
#[derive(Debug, clap::Args)]
pub struct New {
    /// The credential's name
    name: String,
    /// The user it signs in
    #[arg(long)]
    user: String,
    /// A client id and secret, or a long-lived bearer token
    #[arg(long = "type", value_enum, default_value_t, value_name = "TYPE")]
    kind: Kind,
    /// When it ends, from now: 90d, 12h [oauth2: never without it; access-token: 90d, at most 365d]
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<String>,
    /// The most its tokens may carry, separated by spaces or commas
    #[arg(long, value_name = "SCOPES")]
    scopes: Option<String>,
}

/// What a credential hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Kind {
    /// A client id and secret
    #[default]
    Oauth2,
    /// A long-lived bearer token
    AccessToken,
}

/// One credential.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The credential's name
    name: String,
}

/// One credential, and how to print it.
#[derive(Debug, clap::Args)]
pub struct Shown {
    /// The credential's name
    name: String,
    #[command(flatten)]
    output: OutputOption,
}

/// Which credentials, and how to print them.
#[derive(Debug, clap::Args)]
pub struct Listed {
    /// Only this user's
    #[arg(long)]
    user: Option<String>,
    #[command(flatten)]
    output: OutputOption,
}

/// How to rotate.
#[derive(Debug, clap::Args)]
pub struct Rotation {
    /// The credential's name
    name: String,
    /// How long the secret before still works
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    overlap: String,
    /// The new secret's lifetime [as long as the one before]
    #[arg(long, value_name = "DURATION")]
    expires_in: Option<String>,
}

const COLUMNS: &[Column<Value>] = &[
    ("name", |row| cell(row, "name")),
    ("client id", |row| cell(row, "client_id")),
    ("user", |row| cell(row, "user")),
    ("type", |row| cell(row, "type")),
    ("scopes", |row| cell(row, "scopes")),
    ("state", |row| cell(row, "state")),
    ("secrets", |row| rows(row, "secrets").len().to_string()),
    ("created", |row| cell(row, "created_at")),
    ("expires", |row| cell(row, "expires_at")),
];

/// Runs it.
///
/// # Errors
/// What failed, and the next step.
pub async fn run(global: &Global, command: Command) -> Result<(), Failed> {
    let server = AdminClient::of(global)?;
    let path = |name: &str| format!("/admin/v1/credentials/{}", segment(name));
    match command {
        Command::Create(new) => create(&server, &new).await,
        Command::Get(Shown { name, output }) => {
            let credential = server.get(&path(&name)).await?;
            output::print(&output::listing(output.output, COLUMNS, &[credential])?)
        }
        Command::List(Listed { user, output }) => {
            let filter = user.map(|user| format!("?user={}", segment(&user))).unwrap_or_default();
            let found = rows(&server.get(&format!("/admin/v1/credentials{filter}")).await?, "credentials");
            output::print(&output::listing(output.output, COLUMNS, &found)?)
        }
        Command::Rotate(Rotation { name, overlap, expires_in }) => {
            let mut body = json!({ "overlap": overlap });
            if let (Some(expires_in), Some(body)) = (expires_in, body.as_object_mut()) {
                body.insert("expires_in".to_owned(), expires_in.into());
            }
            hand_out(&server.post(&(path(&name) + "/rotate"), &body).await?)
        }
        Command::Disable(Named { name }) => {
            server.post(&(path(&name) + "/disable"), &json!({})).await?;
            output::print(&format!("Credential {name} disabled\n"))
        }
        Command::Enable(Named { name }) => {
            server.post(&(path(&name) + "/enable"), &json!({})).await?;
            output::print(&format!("Credential {name} enabled\n"))
        }
        Command::Delete(Named { name }) => {
            server.delete(&path(&name)).await?;
            output::print(&format!("Credential {name} deleted\n"))
        }
    }
}

async fn create(server: &AdminClient, new: &New) -> Result<(), Failed> {
    let kind = if new.kind == Kind::Oauth2 { "oauth2" } else { "access-token" };
    let scopes = new.scopes.as_deref().unwrap_or_default().split([' ', ',']).filter(|scope| !scope.is_empty());
    let mut body = Map::new();
    body.insert("name".to_owned(), new.name.clone().into());
    body.insert("user".to_owned(), new.user.clone().into());
    body.insert("type".to_owned(), kind.into());
    body.insert("scopes".to_owned(), scopes.collect());
    if let Some(expires_in) = &new.expires_in {
        body.insert("expires_in".to_owned(), expires_in.clone().into());
    }
    hand_out(&server.post("/admin/v1/credentials", &body.into()).await?)
}

/// Only the secret goes to standard output, so that a script can take it; what a person should know goes beside it.
fn hand_out(answer: &Value) -> Result<(), Failed> {
    if let Some(secret) = answer.get("client_secret").and_then(Value::as_str) {
        output::print(&format!("Client ID: {}\nClient Secret: {secret}\n", cell(answer, "client_id")))?;
    } else if let Some(token) = answer.get("access_token").and_then(Value::as_str) {
        output::print(&format!("{token}\n"))?;
    } else {
        return Err(Failed("the server's answer has no secret".to_owned()));
    }
    let ends = answer.get("expires_at").and_then(Value::as_str);
    let ends = ends.map(|end| format!(" It expires at {end}.")).unwrap_or_default();
    anstream::eprintln!("Keep it now: it is shown this once, and only a hash of it is stored.{ends}");
    Ok(())
}
