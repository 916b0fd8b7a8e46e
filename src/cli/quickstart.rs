//! `countersign quickstart`: four platforms, the broker and a protected service on loopback, and a tour of them.
//!
//! Everything is real: the issuers sign what their platforms sign, the broker starts through the same code as `serve`,
//! and every step is an HTTP request. Only the platforms' signatures are made here.

pub mod client;
pub mod echo;
pub mod files;
pub mod issuers;
pub mod operator;
pub mod place;
pub mod platforms;
pub mod report;
pub mod signing;
pub mod spire;
pub mod steps;
pub mod tokens;

mod tour;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Map, Value};

use super::{Failed, Global};
use place::{Place, Pointer};
use platforms::Platform;

/// Arguments of `quickstart`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Exit after the report; non-zero if a step failed
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    directory: Directory,
    /// Also start a real SPIRE server and agent, from PATH, and exchange a JWT-SVID of theirs
    #[arg(long)]
    spire: bool,
    /// Where the broker listens [default: 127.0.0.1:8443, or a free port when that is taken]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print a fresh assertion from the running quickstart
    Token(TokenArguments),
}

#[derive(Debug, clap::Args)]
struct TokenArguments {
    /// Whose
    platform: Platform,
    /// Replace a claim, for instance ref=refs/heads/dev
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
    #[command(flatten)]
    directory: Directory,
}

#[derive(Debug, clap::Args)]
struct Directory {
    /// Keep configuration and store in this directory [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where a running quickstart leaves word of itself
    #[arg(long, value_name = "DIR", env = "XDG_RUNTIME_DIR", hide = true)]
    runtime_dir: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
/// What failed, and the next step.
pub async fn run(_global: &Global, arguments: Arguments) -> Result<(), Failed> {
    match arguments.command {
        Some(Command::Token(arguments)) => token(arguments).await,
        None => {
            let place = match &arguments.directory.data {
                Some(root) => Place::kept(root),
                None => Place::temporary(),
            };
            let place = place.map_err(|fault| Failed(format!("no place for the quickstart: {fault}")))?;
            let runtime = arguments.directory.runtime_dir.as_deref();
            let pointer = Pointer::write(runtime, &place)
                .map_err(|fault| Failed(format!("`quickstart token` would not find this quickstart: {fault}")))?;
            let toured = Box::pin(tour::run(&place, &arguments)).await;
            drop((pointer, place));
            toured
        }
    }
}

async fn token(arguments: TokenArguments) -> Result<(), Failed> {
    let none = |fault: &dyn std::fmt::Display| {
        Failed(format!("no quickstart is running ({fault}); start one in another terminal: countersign quickstart"))
    };
    let root = match arguments.directory.data {
        Some(root) => root,
        None => Pointer::read(arguments.directory.runtime_dir.as_deref()).map_err(|fault| none(&fault))?,
    };
    let replaced: Map<String, Value> = arguments.claims.into_iter().collect();
    let assertion = tokens::ask(&place::token_socket(&root), arguments.platform, replaced).await;
    anstream::println!("{}", assertion.map_err(|fault| none(&fault))?);
    Ok(())
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), Value::String(value.to_owned())))
}
