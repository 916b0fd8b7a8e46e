//! The first command anyone runs keeps its promises: it works, it hands out assertions, it leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::disallowed_methods, missing_docs)]

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// The program, with its own temporary directory and none of ours.
fn countersign(temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.arg("quickstart").env("TMPDIR", temporary).env_remove("XDG_RUNTIME_DIR").env_remove("COUNTERSIGN_CONFIG");
    command
}

#[test]
fn once_shows_every_step_passing_exits_0_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let output = countersign(temporary.path()).args(["--once", "--listen", "127.0.0.1:0"]).output().unwrap();
    let report = readable(&output);
    assert!(output.status.success(), "{report}");
    assert!(!report.lines().any(|line| line.starts_with("  ✗ ")), "{report}");
    assert!(report.contains("│   ✗ ref: expected \"refs/heads/main\", found \"refs/heads/dev\""), "{report}");
    assert!(!report.contains('\u{1b}'), "no colour when piped: {report}");
    for step in ["github", "azure", "kubernetes", "spiffe", "client secret"] {
        let passed = report.lines().filter(|line| line.trim_start().starts_with(&format!("✓ {step} "))).count();
        assert!(passed >= 2, "{step}: exchanged and called\n{report}");
    }
    for promise in ["X-Countersign-Auth", "→ 401", "typ at+jwt", "refs/heads/dev", "invalid_client"] {
        assert!(report.contains(promise), "{promise}\n{report}");
    }
    assert_eq!(left_behind(temporary.path()), [""; 0]);
}

#[test]
fn a_running_quickstart_gives_assertions_that_its_broker_exchanges_until_it_is_interrupted() {
    let temporary = tempfile::tempdir().unwrap();
    let mut running = Running::start(temporary.path());

    let good = running.assertion(&["github"]);
    let granted = exchange(&running.broker, &good);
    assert_eq!(granted["token_type"], "Bearer", "{granted}");
    let claims = granted["access_token"].as_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["workload"]["issuer"].as_str().unwrap(), issuer_of(&good));

    let branch = running.assertion(&["github", "--claim", "ref=refs/heads/dev"]);
    assert_eq!(exchange(&running.broker, &branch)["error"], "invalid_client");

    running.interrupt();
    let status = running.child.wait().unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(left_behind(temporary.path()), [""; 0]);

    let nobody = countersign(temporary.path()).args(["token", "github"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(readable(&nobody).contains("no quickstart is running"), "{}", readable(&nobody));
}

#[test]
fn a_kept_directory_starts_again_with_its_users_and_is_a_configuration_that_check_accepts() {
    let temporary = tempfile::tempdir().unwrap();
    let kept = temporary.path().join("demo");
    for _ in 0..2 {
        let arguments = ["--once", "--listen", "127.0.0.1:0", "--data", kept.to_str().unwrap()];
        let output = countersign(temporary.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", readable(&output));
    }
    let check = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["check", "--config", kept.join("countersign.yaml").to_str().unwrap()])
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", readable(&check));
}

#[test]
fn spire_shows_a_real_svid_exchanged_where_it_is_installed_and_says_how_to_get_it_elsewhere() {
    let temporary = tempfile::tempdir().unwrap();
    let arguments = ["--spire", "--once", "--listen", "127.0.0.1:0"];
    if let Some(path) = path_with_spire() {
        let output = countersign(temporary.path()).args(arguments).env("PATH", path).output().unwrap();
        let report = readable(&output);
        assert!(output.status.success(), "{report}");
        let exchanged = "✓ spire             spiffe://quickstart.example/workload           → spire-workload ";
        assert!(report.contains(exchanged), "{report}");
        assert!(report.contains("the service sees X-Countersign-User: spire-workload"), "{report}");
        assert_eq!(left_behind(temporary.path()), [""; 0]);
    }
    let output = countersign(temporary.path()).args(arguments).env("PATH", temporary.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = readable(&output);
    assert!(said.starts_with("--spire needs spire-server and spire-agent on PATH.\n"), "{said}");
    assert!(said.contains("scripts/interop.d/build-spire"), "{said}");
    assert_eq!(left_behind(temporary.path()), [""; 0]);
}

#[test]
fn a_kept_directory_that_had_spire_starts_again_without_it() {
    let Some(path) = path_with_spire() else {
        eprintln!("SKIPPED: SPIRE is neither on PATH nor built by scripts/interop");
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let kept = temporary.path().join("demo");
    let arguments = ["--once", "--listen", "127.0.0.1:0", "--data", kept.to_str().unwrap()];
    for more in [&["--spire"][..], &["--spire"], &[]] {
        let output = countersign(temporary.path()).args(arguments).args(more).env("PATH", &path).output().unwrap();
        assert!(output.status.success(), "{}", readable(&output));
    }
}

/// `PATH` with SPIRE on it, as it is or with what `scripts/interop` has built.
fn path_with_spire() -> Option<OsString> {
    let path = std::env::var_os("PATH")?;
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let built = cache.and_then(|cache| std::fs::read_dir(cache.join("countersign-interop")).ok());
    let built = built.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let directories: Vec<PathBuf> = std::env::split_paths(&path).chain(built).collect();
    let has = |program: &str| directories.iter().any(|directory| directory.join(program).is_file());
    (has("spire-server") && has("spire-agent")).then(|| std::env::join_paths(directories).unwrap())
}

/// A quickstart that serves; killed when a test fails before it is interrupted.
struct Running {
    child: Child,
    broker: String,
    temporary: std::path::PathBuf,
    _report: BufReader<ChildStdout>,
}

impl Running {
    fn start(temporary: &Path) -> Running {
        let mut child =
            countersign(temporary).args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut report = BufReader::new(child.stdout.take().unwrap());
        let (mut broker, mut text, mut line) = (String::new(), String::new(), String::new());
        while !line.starts_with("Serving.") {
            line.clear();
            assert!(report.read_line(&mut line).unwrap() > 0, "it ended early:\n{text}");
            text.push_str(&line);
            if let Some(address) = line.trim_start().strip_prefix("broker ") {
                broker = address.trim().trim_start_matches("http://").split(' ').next().unwrap().to_owned();
            }
        }
        Running { child, broker, temporary: temporary.to_owned(), _report: report }
    }

    fn assertion(&self, arguments: &[&str]) -> String {
        let output = countersign(&self.temporary).arg("token").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", readable(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn interrupt(&self) {
        let sent = Command::new("sh").args(["-c", &format!("kill -INT {}", self.child.id())]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the printed `curl` command sends.
fn exchange(broker: &str, assertion: &str) -> Value {
    let form = format!(
        "grant_type=client_credentials&client_assertion={assertion}\
         &client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    );
    let mut stream = TcpStream::connect(broker).unwrap();
    write!(
        stream,
        "POST /oauth2/token HTTP/1.1\r\nHost: {broker}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{form}",
        form.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn issuer_of(assertion: &str) -> String {
    let claims = URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["iss"].as_str().unwrap().to_owned()
}

fn readable(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn left_behind(directory: &Path) -> Vec<String> {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
