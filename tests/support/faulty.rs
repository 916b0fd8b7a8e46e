//! An issuer that can do everything wrong: it drips, hangs, resets, redirects, lies, floods, and swaps its keys.
//!
//! Each one listens on a loopback address of its own (no resolver here knows `NAME.localhost`), with or without TLS. What
//! it holds back is held until the test says so, never for a time. Dropping it ends all of it.

mod answer;
mod bomb;
mod serve;
mod tls;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use countersign::clock::Clock;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::NOW;
use super::assertion::Assertion;
use super::keys::{TestKey, jwks};
use super::platform::Platform;

#[allow(unused_imports)] // each test program uses its own part
pub use answer::{Answer, Delivery};
#[allow(unused_imports)] // the same
pub use bomb::gzip_bomb;
pub use tls::Shown;
use tls::{Authority, Tls};

/// Where its metadata is (OpenID Connect Discovery §4).
pub const METADATA: &str = "/.well-known/openid-configuration";
/// Where its keys are.
pub const KEYS: &str = "/jwks";
/// What has not happened by then never will.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running issuer.
pub struct FaultyIssuer {
    pub address: SocketAddr,
    key: TestKey,
    shared: Arc<Shared>,
    accepting: Mutex<JoinHandle<()>>,
}

/// What its connections share.
struct Shared {
    /// In place of the good answers, by path.
    answers: Mutex<BTreeMap<String, Answer>>,
    good: Mutex<BTreeMap<String, Answer>>,
    hits: Mutex<Vec<Hit>>,
    connections: AtomicUsize,
    bytes_sent: AtomicUsize,
    released: watch::Sender<u64>,
    drips: Semaphore,
    authority: Option<Authority>,
    tls: Mutex<Tls>,
    clock: OnceLock<Clock>,
}

/// A request that arrived.
struct Hit {
    path: String,
    /// When, in seconds of the test's clock.
    at: i64,
    bearer: bool,
}

impl FaultyIssuer {
    /// Over plain HTTP, with these keys; its tokens are signed by the first.
    pub fn start(keys: &[&TestKey]) -> FaultyIssuer {
        FaultyIssuer::new(keys, false)
    }

    /// Over TLS, with a certificate of an authority of its own.
    pub fn start_tls(keys: &[&TestKey]) -> FaultyIssuer {
        FaultyIssuer::new(keys, true)
    }

    /// Another one over TLS on the same address, at another port.
    pub fn neighbour(&self) -> FaultyIssuer {
        FaultyIssuer::at(self.address.ip(), &[&self.key], true)
    }

    fn new(keys: &[&TestKey], over_tls: bool) -> FaultyIssuer {
        FaultyIssuer::at(own_address(), keys, over_tls)
    }

    fn at(host: IpAddr, keys: &[&TestKey], over_tls: bool) -> FaultyIssuer {
        let authority = over_tls.then(|| Authority::new(host));
        let tls = authority.as_ref().map_or(Tls::Off, |authority| authority.shows(Shown::Good));
        let shared = Arc::new(Shared {
            answers: Mutex::default(),
            good: Mutex::default(),
            hits: Mutex::default(),
            connections: AtomicUsize::new(0),
            bytes_sent: AtomicUsize::new(0),
            released: watch::Sender::new(0),
            drips: Semaphore::new(0),
            authority,
            tls: Mutex::new(tls),
            clock: OnceLock::new(),
        });
        let (address, accepting) = serve::listen(SocketAddr::new(host, 0), &shared);
        let key = keys.first().map_or_else(|| TestKey::p256("none"), |key| (*key).clone());
        let issuer = FaultyIssuer { address, key, shared, accepting: Mutex::new(accepting) };
        let metadata = json!({ "issuer": issuer.url(), "jwks_uri": issuer.keys_url() }).to_string();
        issuer.shared.good.lock().expect(UNBROKEN).insert(METADATA.to_owned(), Answer::json(metadata));
        issuer.publish(keys.iter().map(|key| key.jwk()));
        issuer
    }

    /// Its identifier.
    pub fn url(&self) -> String {
        let scheme = if self.shared.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Where its keys are.
    pub fn keys_url(&self) -> String {
        format!("{}{KEYS}", self.url())
    }

    /// The settings under which a broker trusts it by discovery.
    pub fn settings(&self) -> String {
        let network = if self.shared.authority.is_some() { "allow_private_network" } else { "danger_allow_http" };
        format!("kind: oidc, url: \"{}\", {network}: true", self.url())
    }

    /// The certificate authority, in PEM.
    pub fn authority(&self) -> &str {
        self.shared.authority.as_ref().expect("it is a TLS issuer").pem()
    }

    /// What its tokens look like.
    pub fn platform(&self) -> Platform {
        Platform::oidc().at(&self.url()).with_key(self.key.clone())
    }

    /// A valid token of it, issued now.
    pub fn assertion(&self) -> Assertion {
        self.platform().assertion().issued_at(self.shared.now())
    }

    /// A token with a `kid` that it never had. Its signature is not one.
    pub fn with_unknown_key(&self, id: &str) -> Assertion {
        self.assertion().header("kid", id).signature([7; 64])
    }

    /// From now on, time is this clock's; tokens are issued and hits are written down by it.
    pub fn follow(&self, clock: &Clock) {
        self.shared.clock.set(clock.clone()).expect("it follows one clock");
    }
}

/// What it answers.
impl FaultyIssuer {
    /// Publishes these keys; also what a mended issuer answers.
    pub fn publish(&self, keys: impl IntoIterator<Item = Value>) {
        let answer = Answer::json(jwks(keys));
        self.shared.good.lock().expect(UNBROKEN).insert(KEYS.to_owned(), answer);
    }

    /// Answers so about its keys.
    pub fn answers(&self, answer: Answer) {
        self.answers_at(KEYS, answer);
    }

    /// Answers so at this path.
    pub fn answers_at(&self, path: &str, answer: Answer) {
        self.shared.answers.lock().expect(UNBROKEN).insert(path.to_owned(), answer);
    }

    /// Metadata that names these keys.
    pub fn names_keys_at(&self, keys: impl Into<Value>) {
        let metadata = json!({ "issuer": self.url(), "jwks_uri": keys.into() }).to_string();
        self.answers_at(METADATA, Answer::json(metadata));
    }

    /// Is well again.
    pub fn mend(&self) {
        self.shared.answers.lock().expect(UNBROKEN).clear();
    }

    /// Lets everything go that is held back now.
    pub fn release(&self) {
        self.shared.released.send_modify(|count| *count += 1);
    }

    /// Lets so many dripping bytes through.
    pub fn drip(&self, bytes: usize) {
        self.shared.drips.add_permits(bytes);
    }

    /// What its TLS shows from now on.
    pub fn shows(&self, shown: Shown) {
        let authority = self.shared.authority.as_ref().expect("it is a TLS issuer");
        *self.shared.tls.lock().expect(UNBROKEN) = authority.shows(shown);
    }

    /// Refuses connections, and ends those that it has.
    pub async fn close(&self) {
        let accepting = std::mem::replace(&mut *self.accepting.lock().expect(UNBROKEN), tokio::spawn(async {}));
        accepting.abort();
        let _ = accepting.await;
    }

    /// Accepts connections again, at the same address.
    pub fn open(&self) {
        let (_, accepting) = serve::listen(self.address, &self.shared);
        *self.accepting.lock().expect(UNBROKEN) = accepting;
    }
}

/// What it saw.
impl FaultyIssuer {
    /// How many requests asked for its metadata.
    pub fn metadata_hits(&self) -> usize {
        self.hits_at(METADATA).len()
    }

    /// How many requests asked for its keys.
    pub fn key_hits(&self) -> usize {
        self.hits_at(KEYS).len()
    }

    /// When this path was asked for, in seconds of the clock.
    pub fn hits_at(&self, path: &str) -> Vec<i64> {
        let hits = self.shared.hits.lock().expect(UNBROKEN);
        hits.iter().filter(|hit| hit.path == path).map(|hit| hit.at).collect()
    }

    /// How many requests brought credentials.
    pub fn bearer_hits(&self) -> usize {
        self.shared.hits.lock().expect(UNBROKEN).iter().filter(|hit| hit.bearer).count()
    }

    /// How many connections it accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many bytes it sent, heads included.
    pub fn bytes_sent(&self) -> usize {
        self.shared.bytes_sent.load(Ordering::SeqCst)
    }
}

impl Drop for FaultyIssuer {
    fn drop(&mut self) {
        self.accepting.lock().expect(UNBROKEN).abort();
    }
}

impl Shared {
    fn now(&self) -> i64 {
        self.clock.get().map_or(NOW, |clock| clock.now().0)
    }

    fn tls(&self) -> Tls {
        self.tls.lock().expect(UNBROKEN).clone()
    }

    fn answer_to(&self, path: &str) -> Answer {
        let find = |answers: &Mutex<BTreeMap<String, Answer>>| answers.lock().expect(UNBROKEN).get(path).cloned();
        find(&self.answers).or_else(|| find(&self.good)).unwrap_or_else(|| Answer::status(404))
    }
}

const UNBROKEN: &str = "no test panicked here";

/// A loopback address that no other issuer of this program has.
fn own_address() -> IpAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 7, high, low))
}

/// Waits until something has happened.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}
