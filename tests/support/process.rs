//! The real program: `countersign` as a child process, read by its log lines, so that no test waits by the clock.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use super::broker::Credential;
use super::setup::Setup;

/// A program that has not said it by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `countersign serve`. Dropping it kills it with SIGKILL.
pub struct ServeProcess {
    pub address: SocketAddr,
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    seen: VecDeque<String>,
}

/// What a command printed and how it ended.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl ServeProcess {
    /// Writes the setup and starts the program on it.
    pub async fn start(setup: &Setup, directory: &Path) -> ServeProcess {
        let address = free_address();
        setup.write(directory, &address.to_string());
        ServeProcess::restart(directory, address).await
    }

    /// Starts the program on a directory that is there already.
    pub async fn restart(directory: &Path, address: SocketAddr) -> ServeProcess {
        let mut child = command(directory)
            .arg("serve")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut process = ServeProcess { address, child, log, seen: VecDeque::new() };
        process.says("serves").await;
        process
    }

    /// Waits for a log line with this text.
    pub async fn says(&mut self, text: &str) -> String {
        let wait = async {
            while let Ok(Some(line)) = self.log.next_line().await {
                self.seen.push_back(line.clone());
                if line.contains(text) {
                    return Some(line);
                }
            }
            None
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(Some(line)) => line,
            _ => panic!("it never said {text:?}:\n{}", self.log_so_far()),
        }
    }

    /// Everything it has logged up to the last [`ServeProcess::says`].
    pub fn log_so_far(&self) -> String {
        self.seen.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Sends a signal by name, for instance `HUP`.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await.expect("kill runs");
        assert!(sent.success(), "SIG{name} was not sent");
    }

    /// Waits until it has ended by itself; true when with success.
    pub async fn ended(&mut self) -> bool {
        self.child.wait().await.expect("it ends").success()
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it dies");
    }
}

/// Runs a command of the program to its end.
pub async fn run(directory: &Path, arguments: &[&str]) -> Finished {
    let output = command(directory).args(arguments).stdin(Stdio::null()).output().await.expect("the program runs");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The same with this standard input.
pub async fn run_with(directory: &Path, arguments: &[&str], input: &str) -> Finished {
    use tokio::io::AsyncWriteExt as _;
    let mut command = command(directory);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).await.expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().await.expect("the program ends");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A client id and secret, made with the command line as an operator would.
pub async fn client_secret(directory: &Path, user: &str) -> Credential {
    let made = run(directory, &["user", "create", user]).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let arguments = ["credential", "create", "ci", "--user", user, "--type", "oauth2", "--scopes", "service:my-api"];
    let made = run(directory, &arguments).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let line = |label: &str| {
        let found = made.stdout.lines().find_map(|line| line.strip_prefix(label));
        found.map(|value| value.trim().to_owned()).unwrap_or_else(|| panic!("no {label:?} in {}", made.stdout))
    };
    Credential { client_id: line("Client ID:"), secret: line("Client Secret:") }
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.current_dir(directory).arg("--config").arg(directory.join("countersign.yaml"));
    command
}

/// A port that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}
