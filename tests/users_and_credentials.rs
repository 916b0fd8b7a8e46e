//! Users and credentials as an operator handles them: the binary against a server's admin socket.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::admin::{self, AccessTokenRequest, AdminState};
use countersign::client_auth::PresentedSecret;
use countersign::clock::Clock;
use countersign::store::sqlite::Sqlite;
use countersign::store::{AuditFilter, AuditRow, ExchangeCommit, Store};
use countersign::vocab::{ClientId, CredentialName, TraceId, UnixMillis, UnixTime, UserName};
use countersign::workload::credentials::{SecretFailure, SecretHasher, SecretRefusal, prove};
use serde_json::{Value, json};
use tokio::io::AsyncBufReadExt;

const NOW: UnixTime = UnixTime(1_800_000_000);

/// A server's admin side on a socket; tokens are the text of what they would say.
struct Server {
    data: tempfile::TempDir,
    clock: Clock,
    store: Arc<Sqlite>,
    hasher: Arc<SecretHasher>,
    tokens: Arc<Mutex<Vec<AccessTokenRequest>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn server() -> Server {
    let data = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(data.path()).unwrap());
    let hasher = Arc::new(SecretHasher::open(&*store).await.unwrap());
    let clock = Clock::manual(NOW);
    let tokens = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&tokens);
    let sign = Arc::new(move |request: &AccessTokenRequest| {
        asked.lock().unwrap().push(request.clone());
        Ok(format!("token-{}", request.token_id).into())
    });
    let state = AdminState::new(Arc::clone(&store) as Arc<dyn Store>, clock.clone(), Arc::clone(&hasher), sign);
    let serving = admin::serve_socket(&data.path().join("admin.sock"), admin::router(state)).await.unwrap();
    let serving = tokio::spawn(async move { serving.await.unwrap() });
    Server { data, clock, store, hasher, tokens, serving }
}

impl Server {
    fn socket(&self) -> PathBuf {
        self.data.path().join("admin.sock")
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(arguments).arg("--socket").arg(self.socket()).output().await.unwrap()
    }

    async fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(1), true), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(&[arguments, &["--output", "json"]].concat()).await).unwrap()
    }

    async fn refusal(&self, shown: &(String, String)) -> Option<SecretRefusal> {
        let presented =
            PresentedSecret { client_id: ClientId::parse(&shown.0).unwrap(), secret: shown.1.clone().into() };
        match prove(&*self.store, &self.hasher, &presented, self.clock.now()).await {
            Ok(_) => None,
            Err(SecretFailure::Refusal(refusal)) => Some(refusal),
            Err(SecretFailure::Fault(fault)) => panic!("{fault}"),
        }
    }
}

impl Server {
    /// Leaves the record of a refused exchange, so many hours ago.
    async fn record_refusal(&self, hours_ago: i64) {
        let trace_id = TraceId::new(UnixMillis(hours_ago), [0; 10]);
        let time = UnixMillis((NOW.0 - 3600 * hours_ago) * 1000);
        let json = json!({ "time": time.to_rfc3339(), "trace_id": trace_id, "outcome": "refused",
                           "cause": "claims.expired", "user": "alice" });
        let audit = AuditRow {
            time,
            trace_id,
            outcome: "refused",
            cause: Some("claims.expired"),
            user: UserName::parse("alice").ok(),
            policy: None,
            issuer_name: None,
            json: json.to_string(),
        };
        let exchange = ExchangeCommit { replay: None, secret: None, new_user: None, session: None, audit, now: NOW };
        self.store.commit(exchange).await.unwrap();
    }
}

/// The client id and secret of exactly the two promised lines.
fn two_lines(printed: &str) -> (String, String) {
    let lines: Vec<&str> = printed.lines().collect();
    let [id, secret] = lines[..] else { panic!("{printed}") };
    let id = id.strip_prefix("Client ID: ").unwrap();
    let secret = secret.strip_prefix("Client Secret: ").unwrap();
    assert!(id.starts_with("cs-") && secret.starts_with("cssecret_"), "{printed}");
    (id.to_owned(), secret.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_lives_from_create_to_delete_whatever_its_name() {
    let server = server().await;
    for name in ["prod-deployer", "spiffe://prod.example/ns/a", "a+b=c~d@e:1"] {
        server.done(&["user", "create", name]).await;
        assert!(server.refused(&["user", "create", name]).await.contains("already exists"));
        let expected = json!({ "name": name, "state": "enabled", "origin": "operator", "policy": null,
                               "created_at": "2027-01-15T08:00:00Z" });
        assert_eq!(server.json(&["user", "get", name]).await, json!([expected]));
        server.done(&["user", "disable", name]).await;
        assert_eq!(server.json(&["user", "get", name]).await[0]["state"], "disabled");
        server.done(&["user", "enable", name]).await;
        assert_eq!(server.json(&["user", "list"]).await, json!([expected]));
        server.done(&["user", "delete", name]).await;
        assert_eq!(server.json(&["user", "list"]).await, json!([]));
        for verb in ["get", "disable", "enable", "delete"] {
            assert!(server.refused(&["user", verb, name]).await.contains("there is no user"), "{verb}");
        }
    }
    assert!(server.refused(&["user", "create", "two words"]).await.contains("user name must be"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_listing_has_three_forms() {
    let server = server().await;
    server.done(&["user", "create", "alice"]).await;
    server.done(&["credential", "create", "ci", "--user", "alice", "--scopes", "b,a c"]).await;
    for noun in ["user", "credential"] {
        let table = server.done(&[noun, "list"]).await;
        assert_eq!((table.lines().count(), table.starts_with("NAME")), (2, true), "{table}");
        assert!(server.done(&[noun, "list", "--output", "yaml"]).await.starts_with("- "), "{noun}");
    }
    assert_eq!(server.json(&["credential", "list"]).await[0]["scopes"], json!(["a", "b", "c"]));
    assert_eq!(server.json(&["credential", "list", "--user", "bob"]).await, json!([]));
    assert_eq!(server.run(&["user", "list", "--output", "xml"]).await.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_secret_is_printed_once_and_works_until_it_ends() {
    let server = server().await;
    let create = ["credential", "create", "ci", "--user", "alice", "--type", "oauth2", "--expires-in", "90d"];
    assert!(server.refused(&create).await.contains("countersign user create alice"));
    server.done(&["user", "create", "alice"]).await;
    let shown = two_lines(&server.done(&create).await);
    assert!(server.refused(&create).await.contains("already exists"));
    assert_eq!(server.refusal(&shown).await, None);

    server.done(&["credential", "disable", "ci"]).await;
    assert_eq!(server.refusal(&shown).await, Some(SecretRefusal::Disabled));
    server.done(&["credential", "enable", "ci"]).await;
    assert_eq!(server.refusal(&shown).await, None);
    server.clock.advance(Duration::from_secs(90 * 86_400));
    assert_eq!(server.refusal(&shown).await, Some(SecretRefusal::Expired));
    assert_eq!(server.json(&["credential", "get", "ci"]).await[0]["state"], "expired");
    server.done(&["credential", "delete", "ci"]).await;
    assert_eq!(server.refusal(&shown).await, Some(SecretRefusal::UnknownClient));
}

#[tokio::test(flavor = "multi_thread")]
async fn rotating_ends_the_old_secret_at_once_or_after_the_overlap() {
    let server = server().await;
    server.done(&["user", "create", "alice"]).await;
    let create = ["credential", "create", "ci", "--user", "alice", "--expires-in", "2d"];
    let first = two_lines(&server.done(&create).await);
    server.clock.advance(Duration::from_secs(86_400));
    let second = two_lines(&server.done(&["credential", "rotate", "ci", "--overlap", "1h"]).await);
    assert_eq!((&first.0, server.refusal(&first).await, server.refusal(&second).await), (&second.0, None, None));
    assert_eq!(server.json(&["credential", "get", "ci"]).await[0]["secrets"].as_array().map(Vec::len), Some(2));
    server.clock.advance(Duration::from_secs(3600));
    assert_eq!(server.refusal(&first).await, Some(SecretRefusal::Expired));
    assert_eq!(server.refusal(&second).await, None);
    server.clock.advance(Duration::from_secs(86_400));
    assert_eq!(server.refusal(&second).await, None, "the new one has the whole lifetime again");

    let third = two_lines(&server.done(&["credential", "rotate", "ci"]).await);
    assert_eq!(server.refusal(&second).await, Some(SecretRefusal::WrongSecret));
    assert_eq!(server.refusal(&third).await, None);
    assert!(server.refused(&["credential", "rotate", "ci", "--overlap", "1"]).await.contains("overlap must be"));
    assert!(server.refused(&["credential", "rotate", "cd"]).await.contains("there is no credential cd"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_is_printed_alone_and_its_rotation_ends_the_one_before() {
    let server = server().await;
    server.done(&["user", "create", "alice"]).await;
    let create = ["credential", "create", "bot", "--user", "alice", "--type", "access-token", "--scopes", "service:a"];
    let printed = server.done(&create).await;
    server.done(&["credential", "rotate", "bot"]).await;
    let asked = server.tokens.lock().unwrap().clone();
    let [first, second] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(printed, format!("token-{}\n", first.token_id));
    assert_eq!(first.expires_at, NOW.plus(Duration::from_secs(90 * 86_400)));
    assert_eq!((first.user.as_str(), first.scopes.to_wire().as_str()), ("alice", "service:a"));

    let record = server.store.credential(&CredentialName::parse("bot").unwrap()).await.unwrap().unwrap();
    let accepted = |request: &AccessTokenRequest| server.hasher.accept_token(&record, &request.token_id, NOW);
    assert_eq!((accepted(first), accepted(second)), (Err(SecretRefusal::WrongSecret), Ok(())));

    let too_long = [&create[..], &["--expires-in", "366d"]].concat();
    assert!(server.refused(&too_long).await.contains("at most 365d"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_but_the_first_and_no_file_has_the_secret() {
    let server = server().await;
    server.done(&["user", "create", "alice"]).await;
    let (_, secret) = two_lines(&server.done(&["credential", "create", "ci", "--user", "alice"]).await);
    let listed = server.done(&["credential", "list", "--output", "json"]).await;
    assert!(!listed.contains(&secret) && !listed.contains("hash"), "{listed}");
    let mut read = 0;
    for file in std::fs::read_dir(server.data.path()).unwrap().map(|file| file.unwrap().path()) {
        let Ok(bytes) = std::fs::read(&file) else { continue };
        read += bytes.len();
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{}", file.display());
    }
    assert!(read > 4096, "the store's files were not read");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_is_shown_and_searched() {
    let server = server().await;
    for number in 0..3 {
        server.record_refusal(number).await;
    }
    let count = |records: Value| records.as_array().map(Vec::len);
    assert_eq!(count(server.json(&["audit", "tail", "-n", "2"]).await), Some(2));
    assert_eq!(count(server.json(&["audit", "query", "--since", "90m", "--user", "alice"]).await), Some(2));
    assert_eq!(count(server.json(&["audit", "query", "--until", "2027-01-15T06:30:00Z"]).await), Some(1));
    assert_eq!(count(server.json(&["audit", "query", "--outcome", "minted"]).await), Some(0));
    let table = server.done(&["audit", "query", "--cause", "claims.expired", "--limit", "1"]).await;
    assert!(table.starts_with("TIME") && table.contains("claims.expired"), "{table}");
    for wrong in [["--since", "yesterday"], ["--outcome", "lost"], ["--trace-id", "x"], ["--limit", "0"]] {
        assert!(server.refused(&["audit", "query", wrong[0], wrong[1]]).await.contains("must be"), "{wrong:?}");
    }
    assert_eq!(server.store.audit(AuditFilter { limit: 9, ..AuditFilter::default() }).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_sees_each_new_record_once() {
    let server = server().await;
    server.record_refusal(5).await;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(["audit", "tail", "--follow", "--output", "json", "--socket"]).arg(server.socket());
    let mut follower = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = tokio::io::BufReader::new(follower.stdout.take().unwrap()).lines();
    for hours_ago in [5, 4, 3] {
        if hours_ago != 5 {
            server.record_refusal(hours_ago).await;
        }
        let record: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        assert_eq!(record["trace_id"], json!(TraceId::new(UnixMillis(hours_ago), [0; 10])));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_the_next_step_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("admin.sock");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_countersign"));
    let output = command.args(["user", "list", "--socket"]).arg(&socket).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains(socket.to_str().unwrap()) && said.contains("countersign serve --config"), "{said}");
}
