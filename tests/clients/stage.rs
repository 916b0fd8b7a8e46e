//! A broker process with one user, one credential, one trusted issuer and one protected echo service.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::clock::Clock;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// The broker's issuer identifier; it listens elsewhere, as behind a load balancer.
pub const BROKER: &str = "https://broker.example.com";
const PARTNER: &str = "https://idp.partner.example";
const SERVICE_HOST: &str = "my-api.example.com";
/// A debug build on a busy machine starts in well under a second.
const PATIENCE: Duration = Duration::from_secs(60);

const POLICY: &str = r#"policy: partner-build
issuer: partner
match: { sub: "pipeline:42" }
user: partner-build
scopes: ["service:my-api"]
"#;

/// The running parts; they end with it.
pub struct Stage {
    directory: TempDir,
    address: SocketAddr,
    issuer_key: EcdsaKeyPair,
    client_id: String,
    client_secret: String,
    _broker: Child,
}

impl Stage {
    /// Writes a configuration, starts `countersign serve`, makes the users and the credential by command line.
    pub async fn start() -> Stage {
        let directory = tempfile::tempdir().unwrap();
        let issuer_key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let address = free_address();
        configure(directory.path(), address, echo_service().await, &issuer_key);
        let log = fs::File::create(directory.path().join("broker.log")).unwrap();
        let broker = countersign(directory.path())
            .arg("serve")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (client_id, client_secret) = (String::new(), String::new());
        let mut stage = Stage { directory, address, issuer_key, client_id, client_secret, _broker: broker };
        stage.wait_until_ready().await;
        stage.command(&["user", "create", "build-bot"]).await;
        stage.command(&["user", "create", "partner-build"]).await;
        let credential = ["credential", "create", "ci", "--user", "build-bot", "--type", "oauth2"];
        let printed = stage.command(&[&credential[..], &["--scopes", "service:my-api"]].concat()).await;
        stage.client_id = labelled(&printed, "Client ID: ");
        stage.client_secret = labelled(&printed, "Client Secret: ");
        stage
    }

    /// A client program that knows where the broker and the service are, and nothing else of this environment.
    pub fn client(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        clients();
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(["PATH", "HOME"].iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("BROKER_URL", format!("http://{}", self.address))
            .env("SERVICE_URL", format!("http://{}/hello", self.address))
            .env("SERVICE_HOST", SERVICE_HOST)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// The shell client.
    pub fn shell(&self) -> Command {
        self.client(example("clients/shell/exchange.sh"))
    }

    /// Where `scripts/prepare-clients` put a program.
    pub fn built(&self, name: &str) -> PathBuf {
        clients().join(name)
    }

    /// Gives a client the id and secret.
    pub fn with_secret<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("CLIENT_ID", &self.client_id).env("CLIENT_SECRET", &self.client_secret)
    }

    /// Gives a client a new identity token of the partner's.
    pub fn with_assertion<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("CLIENT_ASSERTION", self.assertion())
    }

    fn assertion(&self) -> String {
        let now = Clock::system().now().0;
        let header = json!({ "alg": "ES256", "kid": "partner-1", "typ": "JWT" });
        let claims = json!({
            "iss": PARTNER, "sub": "pipeline:42", "aud": BROKER, "iat": now, "nbf": now, "exp": now + 300,
            "jti": format!("{now}-{}", self.address.port()),
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.issuer_key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Starts `examples/service`, which verifies tokens by itself.
    pub async fn verifying_service(&self, environment: &[(&str, &str)]) -> VerifyingService {
        let mut process = self
            .client(self.built("venv/bin/python"))
            .arg("-B")
            .arg(example("service/service.py"))
            .env("JWKS_URL", format!("http://{}/oauth2/jwks", self.address))
            .env("LISTEN", "127.0.0.1:0")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut said).await.unwrap();
        let address = said.trim().strip_prefix("listening on http://").and_then(|address| address.parse().ok());
        VerifyingService { address: address.unwrap_or_else(|| panic!("it said {said:?}")), _process: process }
    }

    async fn command(&self, arguments: &[&str]) -> String {
        let output = countersign(self.directory.path()).args(arguments).output().await.unwrap();
        assert!(output.status.success(), "countersign {arguments:?}: {output:?}\n{}", self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Another process becomes ready without telling us, so this asks again until it has.
    async fn wait_until_ready(&self) {
        let begin = Instant::now();
        let socket = self.directory.path().join("admin.sock");
        loop {
            let answer = get(self.address, "/readyz", None).await;
            if socket.exists() && answer.is_some_and(|(status, _)| status == 200) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "the broker is not ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("broker.log")).unwrap_or_default()
    }
}

/// A running `examples/service`.
pub struct VerifyingService {
    address: SocketAddr,
    _process: Child,
}

impl VerifyingService {
    /// Calls it with a token: status and answer.
    pub async fn call(&self, token: &str) -> (u16, Value) {
        let (status, body) = get(self.address, "/", Some(token)).await.unwrap();
        (status, serde_json::from_str(&body).unwrap())
    }
}

/// A file of `examples/`.
pub fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(path)
}

/// What a program printed, once it has succeeded.
pub fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The directory of the built clients; the first caller builds them.
fn clients() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/prepare-clients");
        let output = std::process::Command::new(script).arg(&directory).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        directory
    })
}

fn countersign(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.arg("--config").arg(directory.join("countersign.yaml")).stdin(Stdio::null());
    command
}

fn labelled(printed: &str, label: &str) -> String {
    let found = printed.lines().find_map(|line| line.strip_prefix(label));
    found.unwrap_or_else(|| panic!("no line {label:?} in {printed:?}")).to_owned()
}

fn configure(directory: &Path, listen: SocketAddr, upstream: SocketAddr, issuer_key: &EcdsaKeyPair) {
    let write = |path: &str, text: &str| {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "countersign.yaml",
        &format!(
            "issuer: {BROKER}\nlisten: {listen}\nadmin: {{ socket: ./admin.sock }}\ndata: ./data\nissuers:\n  \
             partner: {{ kind: oidc, url: \"{PARTNER}\", algorithms: [ES256], keys: {{ file: partner.json }} }}\n"
        ),
    );
    write("policies/partner-build.yaml", POLICY);
    write("trust-bundles/partner.json", &key_set(issuer_key).to_string());
    write(
        "services/my-api.yaml",
        &format!(
            "service: my-api\nhosts: [{SERVICE_HOST}]\nupstream: http://{upstream}\n\
             allow:\n  - {{ scopes: [\"service:my-api\"] }}\n"
        ),
    );
}

fn key_set(key: &EcdsaKeyPair) -> Value {
    // RFC 7518 §6.2.1: the uncompressed point is 4, x, y.
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    json!({ "keys": [
        { "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "partner-1", "use": "sig", "alg": "ES256" }
    ] })
}

/// Answers every request with what arrived: method, path, and the headers by lower-case name.
async fn echo_service() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(|request: Request| async move {
        let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
            (name.to_string(), Value::from(String::from_utf8_lossy(value.as_bytes())))
        };
        let headers: Map<String, Value> = request.headers().iter().map(header).collect();
        axum::Json(json!({ "method": request.method().as_str(), "path": request.uri().path(), "headers": headers }))
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A port that was free a moment ago: the broker is another process and is told its address by file.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// One GET as bytes on a connection of its own; nothing where nobody listens.
async fn get(address: SocketAddr, path: &str, token: Option<&str>) -> Option<(u16, String)> {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Connection: close\r\n\r\n");
    let mut connection = TcpStream::connect(address).await.ok()?;
    connection.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
