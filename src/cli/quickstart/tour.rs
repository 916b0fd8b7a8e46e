//! Starts everything, takes the steps, and keeps serving.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Arguments;
use super::client::Client;
use super::echo::EchoService;
use super::files;
use super::operator::Operator;
use super::place::Place;
use super::platforms::{Issuers, Platform};
use super::report::Report;
use super::spire::{self, Spire, SpireFault};
use super::steps::{SERVICE_HOST, Stage};
use super::tokens::TokenSocket;
use crate::broker::Origin;
use crate::cli::Failed;
use crate::cli::serve::Running;
use crate::clock::Clock;

/// The port of the documentation; loopback, so plain HTTP is allowed.
const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8443);

/// Runs the demonstration in this place until Ctrl-C, or until the report is done.
///
/// # Errors
/// What could not start, or how many steps failed.
pub(super) async fn run(place: &Place, arguments: &Arguments) -> Result<(), Failed> {
    let mut stop = Stop::listen().map_err(|fault| Failed(format!("signals cannot be received: {fault}")))?;
    let mut report = Report::new(Box::new(anstream::stdout()));
    let shown = async {
        let demonstration = Box::pin(Demonstration::start(place, arguments)).await?;
        demonstration.show(place, &mut report).await;
        Ok(demonstration)
    };
    let demonstration = tokio::select! {
        started = shown => started?,
        () = stop.requested() => return Ok(()),
    };
    if !arguments.once {
        demonstration.invite(place, &mut report);
        stop.requested().await;
        report.say("\nStopping.");
    }
    demonstration.running.stop().await?;
    match report.failures() {
        0 => Ok(()),
        1 => Err(Failed("a step failed; the report says why".into())),
        many => Err(Failed(format!("{many} steps failed; the report says why"))),
    }
}

struct Demonstration {
    stage: Stage,
    listen: SocketAddr,
    running: Running,
    _echo: EchoService,
    _tokens: TokenSocket,
}

impl Demonstration {
    async fn start(place: &Place, arguments: &Arguments) -> Result<Demonstration, Failed> {
        let clock = Clock::system();
        let issuers = Arc::new(Issuers::start(&clock).await.map_err(failed("the issuers"))?);
        let echo = EchoService::start().await.map_err(failed("the echo service"))?;
        let spire = match arguments.spire {
            true => Some(Spire::start(place).await.map_err(|fault| match fault {
                SpireFault::Missing => Failed(fault.to_string()),
                fault => failed("SPIRE")(fault),
            })?),
            false => None,
        };
        let listen = free_port(arguments.listen).await.map_err(failed("the public listener"))?;
        files::write(place, listen, &issuers, spire.as_ref(), echo.url())
            .map_err(failed("the configuration directory"))?;
        // No environment: a COUNTERSIGN__… variable of another broker has no say here.
        let origin = Origin { file: place.config_file(), environment: Vec::new() };
        let running = Running::start(origin).await.map_err(failed("the broker"))?;
        let url = format!("http://{listen}");
        let tokens =
            TokenSocket::open(&place.token_socket(), issuers.clone(), &url).map_err(failed("the token socket"))?;
        let operator = Operator { socket: place.admin_socket(), broker: Arc::clone(&running.broker) };
        let stage = Stage { broker: url, operator, issuers, spire, client: Client::new() };
        Ok(Demonstration { stage, listen, running, _echo: echo, _tokens: tokens })
    }

    async fn show(&self, place: &Place, report: &mut Report) {
        report.section("Countersign quickstart", "everything on this machine, everything real but the platforms");
        let taken = if self.listen.port() == USUAL.port() { "" } else { "  (another port than 8443)" };
        report.fact("broker", &format!("{}{taken}", self.stage.broker));
        for platform in Platform::ALL {
            let issuer = self.stage.issuers.of(platform);
            report.fact(platform.name(), &format!("{}  ({}-shaped issuer)", issuer.url(), issuer.kind()));
        }
        if let Some(spire) = &self.stage.spire {
            report.fact(spire::NAME, &spire.describe());
        }
        let stays = if place.is_temporary() { "gone when this ends" } else { "stays" };
        report.fact("files", &format!("{}  ({stays})", place.root().display()));
        self.stage.run(report).await;
    }

    /// Commands to paste, with this program's name as it was called.
    fn invite(&self, place: &Place, report: &mut Report) {
        let program = std::env::args().next().unwrap_or_else(|| "countersign".into());
        let broker = &self.stage.broker;
        report.section("Your turn", "from another terminal; Ctrl-C here ends everything");
        report.command(
            "a GitHub Actions token in, a cluster access token out",
            &format!(
                "TOKEN=$(curl -s {broker}/oauth2/token \\\n  \
                   -d grant_type=client_credentials \\\n  \
                   -d client_assertion_type={jwt_bearer} \\\n  \
                   -d client_assertion=$({program} quickstart token github) \\\n  \
                   | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')",
                jwt_bearer = Platform::Github.assertion_type(),
            ),
        );
        report.command(
            "call the protected service with it",
            &format!("curl -s {broker}/hello -H 'Host: {SERVICE_HOST}' -H \"Authorization: Bearer $TOKEN\""),
        );
        report.command(
            "a refusal: another branch",
            &format!(
                "curl -s {broker}/oauth2/token -d grant_type=client_credentials \\\n  \
                   -d client_assertion_type={jwt_bearer} \\\n  \
                   -d client_assertion=$({program} quickstart token github --claim ref=refs/heads/dev)",
                jwt_bearer = Platform::Github.assertion_type(),
            ),
        );
        if let Some(spire) = &self.stage.spire {
            report.command("a JWT-SVID, as any program of yours gets it from SPIRE", &spire.svid_command(broker));
        }
        report.command(
            "and why, which only the operator learns",
            &format!("{program} --config {} audit tail", place.config_file().display()),
        );
        report.say("\nServing. Ctrl-C to stop.");
    }
}

/// The address asked for; else the usual one; else any free port. It is closed again: the broker opens it by its file.
async fn free_port(asked: Option<SocketAddr>) -> io::Result<SocketAddr> {
    let listener = match asked {
        Some(address) => TcpListener::bind(address).await?,
        None => match TcpListener::bind(USUAL).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((USUAL.ip(), 0)).await?,
        },
    };
    listener.local_addr()
}

fn failed<F: std::fmt::Display>(what: &'static str) -> impl FnOnce(F) -> Failed {
    move |fault| Failed(format!("{what} could not start: {fault}"))
}

/// Ctrl-C or SIGTERM, caught from the beginning so that the temporary directory always goes.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> io::Result<Stop> {
        Ok(Stop { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn requested(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
