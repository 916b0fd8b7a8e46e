//! `--spire`: a real SPIRE server and agent beside the demonstration, whose agent gives this user's programs an SVID and the
//! broker the bundles, also new ones.
//!
//! Both run in a directory of their own under the demonstration's and are found through `PATH`. All paths that they are
//! given are relative to it, so its name needs no quoting and the sockets' paths stay short.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use super::place::{self, Place};

/// The issuer's name in the configuration.
pub const NAME: &str = "spire";
/// SPIFFE-ID §2.1; nobody's.
const TRUST_DOMAIN: &str = "quickstart.example";
/// What the policy admits: whatever this user runs.
pub const POLICY: &str = "# Every program of the user who started the quickstart: SPIRE's agent attests the user id.
policy: spire-workload
issuer: spire
match: { sub: \"spiffe://quickstart.example/workload\" }
user: spire-workload
scopes: [\"service:my-api\"]
";
const WORKLOAD: &str = "spiffe://quickstart.example/workload";
const NODE: &str = "spiffe://quickstart.example/node";

const HOW_TO_GET_IT: &str = "--spire needs spire-server and spire-agent on PATH.\n\
    Get them from https://spiffe.io/downloads, or build them (Go and a C compiler, some minutes):\n  \
    PATH=$(scripts/interop.d/build-spire):$PATH countersign quickstart --spire";

/// SPIRE is there within a few seconds; a machine that builds something else takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// Why there is no SPIRE.
#[derive(Debug, thiserror::Error)]
pub enum SpireFault {
    /// Not installed.
    #[error("{HOW_TO_GET_IT}")]
    Missing,
    /// A file, a port or a process.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// One of its commands.
    #[error("{command}: {said}")]
    Command {
        /// The program and its words.
        command: String,
        /// Its error output.
        said: String,
    },
}

/// A running SPIRE server and agent; both end when this is dropped.
pub struct Spire {
    directory: PathBuf,
    version: String,
    _server: Process,
    _agent: Process,
}

impl Spire {
    /// Starts both and registers this user's programs.
    ///
    /// # Errors
    /// See [`SpireFault`].
    pub async fn start(place: &Place) -> Result<Spire, SpireFault> {
        let directory = std::path::absolute(place.root())?.join("spire");
        let version = installed_version()?;
        // A kept directory has an earlier demonstration's, whose join token is spent.
        match fs::remove_dir_all(&directory) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault.into()),
            _ => fs::create_dir_all(directory.join("agent"))?,
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        fs::write(directory.join("server.conf"), server_configuration(port))?;
        fs::write(directory.join("agent.conf"), agent_configuration(port))?;
        let at = Tools { directory: &directory };
        let server = at.start("spire-server", &["run", "-config", "server.conf"])?;
        at.server_once_ready(&["healthcheck"]).await?;
        fs::write(directory.join("bootstrap.pem"), at.server(&["bundle", "show"]).await?)?;
        let token = join_token(&at.server(&["token", "generate", "-spiffeID", NODE]).await?)?;
        let user = format!("unix:uid:{}", place::own_user_id()?);
        at.server(&["entry", "create", "-parentID", NODE, "-spiffeID", WORKLOAD, "-selector", &user]).await?;
        // In a file: a command line is for everybody to read.
        fs::write(directory.join("join-token"), token)?;
        let agent = at.start("spire-agent", &["run", "-config", "agent.conf", "-joinTokenFile", "join-token"])?;
        let spire = Spire { version, _server: server, _agent: agent, directory };
        // The broker follows the bundles as a workload of this user: it finds them at once when the agent knows the entry.
        spire.svid("readiness").await?;
        Ok(spire)
    }

    /// For the report.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("SPIRE {}, a real server and agent of trust domain {TRUST_DOMAIN}", self.version)
    }

    /// Its entry under `issuers`.
    #[must_use]
    pub fn configuration(&self) -> String {
        // JSON's quotes are YAML's.
        let agent = serde_json::Value::from(format!("unix://{}", self.socket()));
        format!("  {NAME}: {{ kind: spiffe, trust_domain: {TRUST_DOMAIN}, bundle: {{ workload_api: {agent} }} }}\n")
    }

    /// A JWT-SVID for this process, from the Workload API: it is a program of this user.
    ///
    /// # Errors
    /// See [`SpireFault`].
    pub async fn svid(&self, audience: &str) -> Result<String, SpireFault> {
        let at = Tools { directory: &self.directory };
        let arguments = ["api", "fetch", "jwt", "-socketPath", "agent.sock", "-audience", audience];
        let shown = at.once_ready("spire-agent", &arguments).await?;
        let svid = shown.split_whitespace().find(|word| word.starts_with("ey") && word.matches('.').count() == 2);
        svid.map(str::to_owned).ok_or_else(|| unexpected("spire-agent api fetch jwt", &shown))
    }

    /// A shell command that prints a fresh SVID.
    #[must_use]
    pub fn svid_command(&self, audience: &str) -> String {
        let socket = self.socket();
        format!(
            "spire-agent api fetch jwt -socketPath {socket} -audience {audience} -output json | jq -r '.[0].svids[0].svid'"
        )
    }

    fn socket(&self) -> String {
        self.directory.join("agent.sock").display().to_string()
    }
}

/// SPIRE's programs, run where their files are.
struct Tools<'a> {
    directory: &'a PathBuf,
}

impl Tools<'_> {
    fn start(&self, program: &str, arguments: &[&str]) -> io::Result<Process> {
        let log = File::create(self.directory.join(format!("{program}.log")))?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.directory).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log).spawn().map(Process)
    }

    async fn server(&self, arguments: &[&str]) -> Result<String, SpireFault> {
        self.run("spire-server", &with_server_socket(arguments)).await
    }

    async fn server_once_ready(&self, arguments: &[&str]) -> Result<String, SpireFault> {
        self.once_ready("spire-server", &with_server_socket(arguments)).await
    }

    /// Tries it until it succeeds or the patience ends.
    async fn once_ready(&self, program: &str, arguments: &[&str]) -> Result<String, SpireFault> {
        let mut outcome = self.run(program, arguments).await;
        let again = async {
            while outcome.is_err() {
                tokio::time::sleep(PAUSE).await;
                outcome = self.run(program, arguments).await;
            }
        };
        // The last answer tells more than that time is up.
        let _ = tokio::time::timeout(PATIENCE, again).await;
        outcome
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Result<String, SpireFault> {
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).current_dir(self.directory).stdin(Stdio::null()).kill_on_drop(true);
        text(program, arguments, &command.output().await?)
    }
}

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    /// Waits for its end, which SIGKILL does not put off: its directory goes next.
    fn drop(&mut self) {
        if let Err(fault) = self.0.kill().and_then(|()| self.0.wait()) {
            tracing::warn!("process {} may be left behind: {fault}", self.0.id());
        }
    }
}

fn installed_version() -> Result<String, SpireFault> {
    let version = |program: &str| match Command::new(program).arg("--version").stdin(Stdio::null()).output() {
        // The version is on standard output or standard error, by its own version.
        Ok(output) => Ok([output.stdout, output.stderr].concat()),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Err(SpireFault::Missing),
        Err(fault) => Err(fault.into()),
    };
    version("spire-agent")?;
    Ok(String::from_utf8_lossy(&version("spire-server")?).trim().to_owned())
}

/// The words of a command come first, then its options.
fn with_server_socket<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let words = arguments.iter().take_while(|argument| !argument.starts_with('-')).count();
    let (words, options) = arguments.split_at(words);
    [words, &["-socketPath", "server.sock"], options].concat()
}

fn text(program: &str, arguments: &[&str], output: &Output) -> Result<String, SpireFault> {
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(shown);
    }
    let words: Vec<&str> = arguments.iter().copied().take_while(|argument| !argument.starts_with('-')).collect();
    let said = String::from_utf8_lossy(&output.stderr) + shown.as_str();
    Err(SpireFault::Command { command: format!("{program} {}", words.join(" ")), said: said.trim().to_owned() })
}

/// `Token: …`
fn join_token(shown: &str) -> Result<String, SpireFault> {
    let token = shown.lines().find_map(|line| line.strip_prefix("Token: "));
    token.map(|token| token.trim().to_owned()).ok_or_else(|| unexpected("spire-server token generate", shown))
}

fn unexpected(command: &str, shown: &str) -> SpireFault {
    SpireFault::Command { command: command.to_owned(), said: format!("unexpected answer: {}", shown.trim()) }
}

fn server_configuration(port: u16) -> String {
    format!(
        "server {{
    bind_address = \"127.0.0.1\"
    bind_port = \"{port}\"
    socket_path = \"server.sock\"
    trust_domain = \"{TRUST_DOMAIN}\"
    data_dir = \".\"
}}
plugins {{
    DataStore \"sql\" {{
        plugin_data {{
            database_type = \"sqlite3\"
            connection_string = \"datastore.sqlite3\"
        }}
    }}
    NodeAttestor \"join_token\" {{ plugin_data {{}} }}
    KeyManager \"memory\" {{ plugin_data {{}} }}
}}
"
    )
}

fn agent_configuration(port: u16) -> String {
    format!(
        "agent {{
    data_dir = \"agent\"
    server_address = \"127.0.0.1\"
    server_port = \"{port}\"
    socket_path = \"agent.sock\"
    trust_bundle_path = \"bootstrap.pem\"
    trust_domain = \"{TRUST_DOMAIN}\"
}}
plugins {{
    NodeAttestor \"join_token\" {{ plugin_data {{}} }}
    KeyManager \"memory\" {{ plugin_data {{}} }}
    WorkloadAttestor \"unix\" {{ plugin_data {{}} }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_socket_goes_between_a_commands_words_and_its_options() {
        let arguments = with_server_socket(&["token", "generate", "-spiffeID", NODE]);
        assert_eq!(arguments, ["token", "generate", "-socketPath", "server.sock", "-spiffeID", NODE]);
        assert_eq!(with_server_socket(&["healthcheck"]), ["healthcheck", "-socketPath", "server.sock"]);
    }

    #[test]
    fn a_join_token_is_read_from_its_line_and_from_nothing_else() {
        assert_eq!(join_token("Token: 0a1b\n").unwrap(), "0a1b");
        assert!(join_token("Error: no\n").is_err());
    }
}
