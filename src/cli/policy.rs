//! `countersign policy …`: what the policy files say, without a server; so an author can ask before they are in force.
//!
//! One file a verb; here is only which verbs there are.

mod check;
mod diff;
mod init;
mod junit;
mod lints;
mod list;
mod replay;
mod schema;
mod set;
mod shadow;
mod stale;
mod test;
mod who_can;

use super::output::OutputOption;
use super::{Failed, Global, explain};
use set::Set;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the policies
    List(OutputOption),
    /// Validate the policies, and report every fault
    Check(check::Arguments),
    /// List what is looked for in policies; docs/lints.md says more of each
    Lints(OutputOption),
    /// Run the policies' tests
    Test(test::Arguments),
    /// Show what a change of the policies does
    Diff(diff::Arguments),
    /// Show every way that policies lead to a user, a scope or a service
    WhoCan(who_can::Arguments),
    /// Show what enforcing the policies in shadow mode would change
    Shadow(shadow::Arguments),
    /// Show policies and users that nobody uses, and pins whose names and ids have drifted apart
    Stale(stale::Arguments),
    /// Say why an exchange was refused, or what would become of a token or of claims
    Explain(explain::Arguments),
    /// Write a first policy and its tests from a token in hand
    Init(Box<init::Arguments>),
    /// Print the JSON Schema of policies, their tests, the configuration or services, for an editor
    Schema(schema::Arguments),
}

/// Runs it.
///
/// # Errors
/// What failed, and the next step.
pub async fn run(global: &Global, command: Command) -> Result<(), Failed> {
    match command {
        Command::List(output) => list::run(&Set::read(global)?, output),
        Command::Check(arguments) => check::run(global, &arguments).await,
        Command::Lints(output) => lints::run(output),
        Command::Init(arguments) => init::run(global, &arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Test(arguments) => test::run(&Set::read_as_written(global)?, &arguments),
        Command::Diff(arguments) => diff::run(global, arguments).await,
        Command::WhoCan(arguments) => who_can::run(&Set::read(global)?, &arguments),
        Command::Shadow(arguments) => shadow::run(global, arguments).await,
        Command::Stale(arguments) => stale::run(global, arguments).await,
        Command::Explain(arguments) => explain::run(global, arguments).await,
    }
}
