//! A broker in this process, on port 0, with a clock that stands still. The only file that knows how one is started.

use countersign::store::unrecorded::Unrecorded as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use countersign::audit::Trigger;
use countersign::broker::{Broker, Origin};
use countersign::clock::Clock;
use countersign::http::{self, Listening};
use countersign::key::KeyStatus;
use countersign::store::{
    AuditFilter, CredentialKind, CredentialRecord, SecretRecord, Store, UserOrigin, UserRecord, UserState,
};
use countersign::vocab::{CredentialName, IssuerName, Scopes, TraceId, UnixTime, UserName};
use countersign::workload::credentials;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tempfile::TempDir;

use super::minted::Minted;
use super::platform::Platform;
use super::setup::{Platforms, Setup};
use super::wire::{Reply, Request};
use super::{JWT_BEARER, JWT_SPIFFE, NOW};

/// A running broker, its directory and its clock.
pub struct TestBroker {
    pub address: SocketAddr,
    pub clock: Clock,
    pub platforms: Platforms,
    broker: Arc<Broker>,
    listening: Listening,
    directory: TempDir,
}

/// A client id and its secret.
pub struct Credential {
    pub client_id: String,
    pub secret: String,
}

/// A served admin socket.
pub struct AdminSocket {
    path: std::path::PathBuf,
    _listening: countersign::admin::Listening,
}

impl AdminSocket {
    pub async fn send(&self, request: &Request) -> Reply {
        request.send_to_socket(&self.path).await
    }
}

/// A watch that ends when it is dropped.
pub struct Watching(tokio::task::JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl TestBroker {
    /// One issuer of each kind, each with a policy and a user.
    pub async fn start() -> TestBroker {
        TestBroker::start_with(|setup, _| setup).await
    }

    /// The same, after `change`.
    pub async fn start_with(change: impl FnOnce(Setup, &Platforms) -> Setup) -> TestBroker {
        let platforms = Platforms::new();
        let directory = tempfile::tempdir().expect("a directory");
        change(Setup::platforms(&platforms), &platforms).write(directory.path(), "127.0.0.1:0");
        let clock = Clock::manual(UnixTime(NOW));
        TestBroker::open(directory, platforms, clock).await
    }

    /// One of several replicas: what they share is in `change`. Its clock stands at `now`.
    pub async fn replica(platforms: &Platforms, now: UnixTime, change: impl FnOnce(Setup) -> Setup) -> TestBroker {
        let directory = tempfile::tempdir().expect("a directory");
        change(Setup::platforms(platforms)).write(directory.path(), "127.0.0.1:0");
        TestBroker::open(directory, platforms.clone(), Clock::manual(now)).await
    }

    /// Opens a broker on the configuration file there and serves it on a free port.
    async fn open(directory: TempDir, platforms: Platforms, clock: Clock) -> TestBroker {
        let origin = Origin { file: directory.path().join("countersign.yaml"), environment: Vec::new() };
        let broker = loop {
            match Broker::open(origin.clone(), clock.clone()).await {
                Ok(broker) => break broker,
                // Fetches of the last one are under way and hold its store; a process would end with them.
                Err(failure) if failure.to_string().contains("another countersign server") => {
                    tokio::task::yield_now().await;
                }
                Err(failure) => panic!("{failure}"),
            }
        };
        let listening = http::listen(&broker).await.expect("it listens");
        TestBroker { address: listening.address, clock, platforms, broker, listening, directory }
    }

    /// Stops it, lets time pass, and starts it again on the same directory.
    pub async fn restarted_after(self, pause: Duration) -> TestBroker {
        self.listening.stop().await.expect("it served");
        drop(self.broker);
        self.clock.advance(pause);
        TestBroker::open(self.directory, self.platforms, self.clock).await
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn github(&self) -> &Platform {
        &self.platforms.github
    }

    pub fn partner(&self) -> &Platform {
        &self.platforms.partner
    }

    /// Sends a request.
    pub async fn send(&self, request: &Request) -> Reply {
        request.send(self.address).await
    }

    /// Signs in with an assertion, as RFC 7523 §2.2 writes it.
    pub async fn token(&self, assertion: impl Into<String>) -> Reply {
        self.send(&self.token_request(&assertion.into(), &[])).await
    }

    /// Signs in with an assertion and more fields.
    pub async fn token_and(&self, assertion: impl Into<String>, more: &[(&str, &str)]) -> Reply {
        self.send(&self.token_request(&assertion.into(), more)).await
    }

    /// The request of [`TestBroker::token_and`], for a test to change.
    pub fn token_request(&self, assertion: &str, more: &[(&str, &str)]) -> Request {
        let base = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion),
        ];
        Request::token(&[&base, more].concat())
    }

    /// Signs in with a JWT-SVID.
    pub async fn svid(&self, assertion: impl Into<String>) -> Reply {
        let assertion = assertion.into();
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", JWT_SPIFFE),
            ("client_assertion", assertion.as_str()),
        ];
        self.post_form(&fields).await
    }

    /// Posts fields to the token endpoint.
    pub async fn post_form(&self, fields: &[(&str, &str)]) -> Reply {
        self.send(&Request::token(fields)).await
    }

    /// Signs in with a client secret in the form.
    pub async fn secret(&self, client_id: &str, secret: &str) -> Reply {
        let fields = [("grant_type", "client_credentials"), ("client_id", client_id), ("client_secret", secret)];
        self.post_form(&fields).await
    }

    /// The published keys.
    pub async fn key_set(&self) -> Value {
        self.send(&Request::get("/oauth2/jwks")).await.json()
    }

    /// The minted token of an answer, verified.
    pub async fn minted(&self, reply: &Reply) -> Minted {
        Minted::verify(&reply.access_token(), &self.key_set().await)
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// The audit record of an answer; `None` when the exit left none.
    pub async fn audit_of(&self, reply: &Reply) -> Option<Value> {
        let trace_id = TraceId::parse(reply.trace_id()).ok()?;
        let filter = AuditFilter { trace_id: Some(trace_id), limit: 10, ..AuditFilter::default() };
        let records = self.broker.exchange.store.audit(filter).await.expect("the store answers");
        assert!(records.len() < 2, "one exit left {} records", records.len());
        records.first().map(|record| serde_json::from_str(&record.json).expect("a record is JSON"))
    }

    /// The record's cause: empty for a success, `no record` where there is none.
    pub async fn cause(&self, reply: &Reply) -> String {
        match self.audit_of(reply).await {
            Some(record) => record.get("cause").and_then(Value::as_str).unwrap_or_default().to_owned(),
            None => "no record".to_owned(),
        }
    }

    /// Reads its files again, as SIGHUP makes it do; what it says when it keeps the old ones.
    pub fn reload(&self) -> Result<(), String> {
        // Reloading blocks, which a thread of the runtime may not.
        let runtime = tokio::runtime::Handle::current();
        let reload = || {
            let _within = runtime.enter();
            self.broker.reload(Trigger::Signal).map(drop).map_err(|refusal| refusal.to_string())
        };
        std::thread::scope(|threads| threads.spawn(reload).join()).expect("it does not panic")
    }
}

/// What an operator does, without the command line.
impl TestBroker {
    /// Serves the admin API on its socket until it is dropped.
    pub async fn serve_admin(&self) -> AdminSocket {
        let listening = countersign::admin::listen(&self.broker).await.expect("the socket is free");
        AdminSocket { path: self.broker.config.admin.socket.clone(), _listening: listening }
    }

    /// Begins to watch its files, as a server does, with a first look.
    pub async fn watch(&self) -> Watching {
        let watching = Watching(tokio::spawn(countersign::broker::watch(Arc::clone(&self.broker))));
        self.has_looked_since(0, &watching).await;
        watching
    }

    /// Lets just so much time pass that the files are looked at once more, and waits until that is over.
    pub async fn looks(&self, watching: &Watching) {
        let before = self.broker.watch_standing().looks;
        self.clock.advance(self.broker.config.reload.every);
        self.has_looked_since(before, watching).await;
    }

    async fn has_looked_since(&self, before: u64, watching: &Watching) {
        let looked = async {
            while self.broker.watch_standing().looks == before {
                assert!(!watching.0.is_finished(), "the watch ended");
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), looked).await.expect("it looks");
    }

    /// The records of reloads, oldest first.
    pub async fn reload_records(&self) -> Vec<Value> {
        let filter = AuditFilter { limit: 1000, ..AuditFilter::default() };
        let all = self.store().audit(filter).await.expect("the store answers");
        let records = all.iter().map(|entry| serde_json::from_str::<Value>(&entry.json).expect("a record is JSON"));
        records.filter(|record| record["event"] == "reload").collect()
    }

    /// How an issuer's keys stand.
    pub fn key_status(&self, issuer: &str) -> KeyStatus {
        let statuses = self.broker.exchange.rules.load().keys.statuses();
        statuses.into_iter().find(|status| status.issuer.as_str() == issuer).expect("the issuer is enabled")
    }

    /// Fetches an issuer's keys now, as `issuer refresh` does; what it says when that fails.
    pub async fn refresh_keys(&self, issuer: &str) -> Result<(), String> {
        let name = IssuerName::parse(issuer).expect("an issuer name");
        let rules = self.broker.exchange.rules.load_full();
        rules.keys.refresh(&name).await.map(drop).map_err(|failure| failure.to_string())
    }

    /// Posts to the admin API, as the command line does: the status and the answer.
    pub async fn admin_post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.admin(axum::http::Request::post(path).body(axum::body::Body::from(body.to_string()))).await
    }

    /// What the admin API shows.
    pub async fn admin_get(&self, path: &str) -> Value {
        let (status, answer) = self.admin(axum::http::Request::get(path).body(axum::body::Body::empty())).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn admin(&self, request: axum::http::Result<axum::http::Request<axum::body::Body>>) -> (u16, Value) {
        use http_body_util::BodyExt as _;
        use tower::ServiceExt as _;
        let routes = countersign::admin::routes(&self.broker);
        let response = routes.oneshot(request.expect("a request")).await.expect("it answers");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    /// The explanation of a token, of claims or of a trace.
    pub async fn explain(&self, question: Value) -> Value {
        let (status, answer) = self.admin_post("/admin/v1/explain", &question).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// The explanation of an answer.
    pub async fn explain_reply(&self, reply: &Reply) -> Value {
        self.explain(serde_json::json!({ "trace": reply.trace_id() })).await
    }

    /// Replaces a text of `countersign.yaml`; it counts after a reload.
    pub fn rewrite(&self, old: &str, new: &str) {
        let file = self.directory().join("countersign.yaml");
        let text = std::fs::read_to_string(&file).expect("it is there");
        assert!(text.contains(old), "no {old:?} in {text}");
        std::fs::write(&file, text.replace(old, new)).expect("it can be written");
    }

    /// Disables, enables or deletes a user.
    pub async fn set_user_state(&self, name: &str, state: UserState) {
        let name = UserName::parse(name).expect("a user name");
        self.store().set_user_state(&name, state).await.expect("the user is there");
    }

    /// The user's record.
    pub async fn user(&self, name: &str) -> Option<UserRecord> {
        let name = UserName::parse(name).expect("a user name");
        self.store().user(&name).await.expect("the store answers")
    }

    /// A client secret for this user, who is made if need be.
    pub async fn credential(&self, name: &str, user: &str) -> Credential {
        let user = UserName::parse(user).expect("a user name");
        let record = UserRecord {
            name: user.clone(),
            origin: UserOrigin::Operator,
            state: UserState::Enabled,
            created_at: self.clock.now(),
        };
        let _ = self.store().create_user(record).await; // it may exist
        let client_id = credentials::fresh_client_id().expect("random");
        let (secret, kept) = self.fresh_secret();
        let record = CredentialRecord {
            name: CredentialName::parse(name).expect("a credential name"),
            client_id: client_id.clone(),
            user,
            kind: CredentialKind::Oauth2,
            scopes: Scopes::parse_wire("service:my-api service:billing/*").expect("scopes"),
            created_at: self.clock.now(),
            expires_at: None,
            disabled: false,
            secrets: vec![kept],
        };
        self.store().create_credential(record).await.expect("the credential is new");
        Credential { client_id: client_id.to_string(), secret }
    }

    /// Gives a credential a new secret; the old one goes on for `overlap`.
    pub async fn rotate(&self, name: &str, overlap: Duration) -> String {
        let (secret, kept) = self.fresh_secret();
        let rotated = credentials::with_new_secret(self.credential_record(name).await, kept, overlap);
        self.store().update_credential(rotated.expect("few secrets")).await.expect("the credential is there");
        secret
    }

    /// What the store keeps of a credential's first secret.
    pub async fn stored_hash(&self, name: &str) -> [u8; 32] {
        self.credential_record(name).await.secrets[0].hash
    }

    async fn credential_record(&self, name: &str) -> CredentialRecord {
        let name = CredentialName::parse(name).expect("a credential name");
        self.store().credential(&name).await.expect("the store answers").expect("the credential is there")
    }

    fn fresh_secret(&self) -> (String, SecretRecord) {
        let secret = credentials::fresh_secret().expect("random");
        let hash = self.broker.exchange.secrets.hash_secret(&secret);
        let kept = SecretRecord { hash, created_at: self.clock.now(), expires_at: None };
        (secret.expose_secret().to_owned(), kept)
    }

    fn store(&self) -> &dyn Store {
        &*self.broker.exchange.store
    }
}
