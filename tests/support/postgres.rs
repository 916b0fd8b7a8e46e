//! A real PostgreSQL on a Unix socket: one server a test program, a database of its own for each test.
//!
//! Its programs come from Debian's `postgresql` package (`scripts/test` installs it). It refuses to run as root, so root
//! starts it as the user `postgres`. It ends with the test program, however that ends: a shell beside it waits for the
//! end of a pipe that only the program holds.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use countersign::config::PostgresSettings;

/// A server that is not ready by then never will be.
const PATIENCE: Duration = Duration::from_secs(60);
const PORT: u16 = 5432;

/// A database server of a test.
pub struct Server {
    directory: tempfile::TempDir,
    binaries: PathBuf,
    guard: Mutex<Option<Child>>,
    databases: AtomicUsize,
}

impl Server {
    /// The server that all tests of a program share; only for tests that leave it running.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Server::start)
    }

    /// A server that the test may stop.
    pub fn start() -> Server {
        let directory = tempfile::Builder::new().prefix("cs-pg-").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let databases = AtomicUsize::new(0);
        let server = Server { directory, binaries: binaries(), guard: Mutex::default(), databases };
        let made = server
            .program("initdb")
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D"])
            .arg(server.data())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        server.up();
        server.sql("postgres", "CREATE ROLE countersign LOGIN");
        server
    }

    /// A fresh database: its connection URL, and its name.
    pub fn database(&self) -> Database<'_> {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER countersign"));
        Database { server: self, name }
    }

    /// Starts it on its data; returns once it answers.
    pub fn up(&self) {
        let script = "\"$0\" -D \"$1\" -k \"$2\" -p \"$3\" -c listen_addresses= -c max_connections=100 2>\"$4\" & \
                      child=$!; cat >/dev/null; kill -QUIT $child 2>/dev/null; wait $child";
        let child = as_user("sh")
            .args(["-c", script])
            .arg(self.binaries.join("postgres"))
            .arg(self.data())
            .arg(self.directory.path())
            .arg(PORT.to_string())
            .arg(self.directory.path().join("log"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        *self.guard.lock().unwrap() = Some(child);
        let begun = Instant::now();
        while !self.answers() {
            assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not start: {}", self.log());
            std::thread::yield_now();
        }
    }

    /// Stops it: `fast` rolls back and closes, `immediate` is a crash.
    pub fn down(&self, mode: &str) {
        let stopped = self.program("pg_ctl").args(["stop", "-m", mode, "-D"]).arg(self.data()).output().unwrap();
        assert!(stopped.status.success(), "pg_ctl stop failed");
        if let Some(mut child) = self.guard.lock().unwrap().take() {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }

    /// Stops (`STOP`) or continues (`CONT`) the server and every process of its: it hangs, connections stay.
    pub fn signal_all(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let postmaster = pid.lines().next().unwrap().trim().to_owned();
        let children = Command::new("pgrep").args(["-P", &postmaster]).output().unwrap();
        let mut pids = vec![postmaster];
        pids.extend(String::from_utf8_lossy(&children.stdout).lines().map(str::to_owned));
        // Some of them may have ended meanwhile.
        Command::new("kill").args(["-s", signal]).args(&pids).stderr(Stdio::null()).status().unwrap();
    }

    /// Runs SQL as the superuser and gives what it printed.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let done = Command::new(self.binaries.join("psql"))
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-c", sql, "-h"])
            .arg(self.directory.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    fn answers(&self) -> bool {
        let mut asked = Command::new(self.binaries.join("pg_isready"));
        let asked = asked.arg("-q").arg("-h").arg(self.directory.path()).status();
        asked.is_ok_and(|status| status.success())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        as_user(self.binaries.join(name))
    }
}

/// A database of a test.
pub struct Database<'a> {
    server: &'a Server,
    pub name: String,
}

impl Database<'_> {
    /// Its connection URL.
    pub fn url(&self) -> String {
        let socket = self.server.directory.path().display().to_string().replace('/', "%2F");
        format!("postgres://countersign@{socket}:{PORT}/{}", self.name)
    }

    /// What the store is opened with.
    pub fn settings(&self) -> PostgresSettings {
        PostgresSettings::of_url(&self.url()).unwrap()
    }

    /// Runs SQL in it, as the superuser.
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }
}

/// The directory of the newest installed PostgreSQL.
fn binaries() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("postgres").exists())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL is not installed: scripts/test installs Debian's `postgresql`")
}

/// PostgreSQL refuses root; root becomes the user that Debian's package made.
fn as_user(program: impl AsRef<Path>) -> Command {
    let user = Command::new("id").arg("-u").output().unwrap();
    if user.stdout.trim_ascii() != b"0" {
        return Command::new(program.as_ref());
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program.as_ref());
    command
}
