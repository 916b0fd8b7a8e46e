//! `countersign policy schema`: what an editor completes and checks files with. It needs no configuration.

use crate::cli::{Failed, output};
use crate::{config, gateway, policy};

/// Which schema.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Of which files
    #[arg(value_enum, default_value_t)]
    of: Of,
}

/// The files that an operator writes.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Of {
    /// `policies/NAME.yaml`
    #[default]
    Policy,
    /// `policies/NAME.test.yaml`
    Test,
    /// `countersign.yaml`
    Config,
    /// `services/NAME.yaml`
    Service,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failed> {
    let schema = match arguments.of {
        Of::Policy => policy::policy_json_schema(),
        Of::Test => policy::test_json_schema(),
        Of::Config => config::json_schema(),
        Of::Service => gateway::json_schema(),
    };
    let text = serde_json::to_string_pretty(&schema);
    output::print(&(text.map_err(|error| Failed(format!("the schema cannot be written: {error}")))? + "\n"))
}
