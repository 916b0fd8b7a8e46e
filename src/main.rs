//! The `countersign` program.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use countersign::cli;
use tracing_subscriber::EnvFilter;

/// An exchange makes some hundred small allocations; this allocator makes it a tenth cheaper.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let line = cli::CommandLine::parse();
    log_to_standard_error(line.log_level());
    // One provider for every TLS connection, in and out. It can only be installed twice by a bug; the first one stays.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    cli::run(line).await
}

/// For people on a terminal, as JSON lines otherwise; `RUST_LOG` chooses what.
fn log_to_standard_error(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.with_target(false).init();
    } else {
        logs.json().flatten_event(true).init();
    }
}
