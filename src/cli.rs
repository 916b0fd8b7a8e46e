//! The command line: noun, then verb; one file a command.
//!
//! Exit 0: done. 1: refused or failed. 2: wrong usage.

pub mod admin_client;
pub mod audit;
pub mod audit_verify;
pub mod check;
pub mod credential;
pub mod explain;
pub mod issuer;
pub mod key;
pub mod output;
pub mod policy;
pub mod quickstart;
pub mod serve;
pub mod session;
pub mod store;
pub mod trail;
pub mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A workload's own identity token in, a short-lived cluster access token out.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, propagate_version = true, arg_required_else_help = true)]
pub struct CommandLine {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

impl CommandLine {
    /// What is logged unless `RUST_LOG` says otherwise: a server's events, but a command's warnings only.
    #[must_use]
    pub fn log_level(&self) -> &'static str {
        match self.command {
            Command::Serve(_) => "info",
            _ => "warn",
        }
    }
}

/// Options that every command takes.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// The configuration file
    #[arg(long, global = true, env = "COUNTERSIGN_CONFIG", default_value = "./countersign.yaml", value_name = "FILE")]
    pub config: PathBuf,
    /// The running server's admin socket, instead of the configuration's
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker
    Serve(serve::Arguments),
    /// Validate configuration, policies, bundles and services without starting
    Check(check::Arguments),
    /// See it work: four issuers, the broker and a protected service on loopback
    Quickstart(quickstart::Arguments),
    /// Say why an exchange was refused, or what would become of a token or of claims
    Explain(explain::Arguments),
    /// Trust policies
    #[command(subcommand)]
    Policy(policy::Command),
    /// Workload users
    #[command(subcommand)]
    User(user::Command),
    /// Client secrets and long-lived access tokens
    #[command(subcommand)]
    Credential(credential::Command),
    /// Issuers and their keys
    #[command(subcommand)]
    Issuer(issuer::Command),
    /// The keys that sign tokens
    #[command(subcommand)]
    Key(key::Command),
    /// Sessions: the tokens that were minted
    #[command(subcommand)]
    Session(session::Command),
    /// The store: back up, restore, migrate, check
    #[command(subcommand)]
    Store(store::Command),
    /// The audit trail
    #[command(subcommand)]
    Audit(audit::Command),
}

/// Why a command did not do what it was asked; shown on standard error, exit 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub String);

/// The environment variables that may be settings.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Runs the command line.
pub async fn run(line: CommandLine) -> ExitCode {
    let global = line.global;
    let done = match line.command {
        Command::Serve(arguments) => serve::run(&global, arguments).await,
        Command::Check(arguments) => check::run(&global, arguments).await,
        Command::Quickstart(arguments) => quickstart::run(&global, arguments).await,
        Command::Explain(arguments) => explain::run(&global, arguments).await,
        Command::Policy(command) => policy::run(&global, command).await,
        Command::User(command) => user::run(&global, command).await,
        Command::Credential(command) => credential::run(&global, command).await,
        Command::Issuer(command) => issuer::run(&global, command).await,
        Command::Key(command) => key::run(&global, command).await,
        Command::Session(command) => session::run(&global, command).await,
        Command::Store(command) => store::run(&global, command).await,
        Command::Audit(command) => audit::run(&global, command).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            anstream::eprintln!("{failed}");
            ExitCode::FAILURE
        }
    }
}
