//! The audit trail's hash chain: whole when nobody touched it, and never whole when somebody did.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod support;
#[path = "stores/records.rs"]
#[allow(unreachable_pub, dead_code)]
mod records;

use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::audit::{Entry, Report, TrailVerifier};
use countersign::store::chain::{CheckpointSigner, Link};
use countersign::store::postgres::Postgres;
use countersign::store::sqlite::Sqlite;
use countersign::store::{ChainedRow, Store, StoreFault};
use records::just_in_time;
use serde_json::{Value, json};
use support::process::{ServeProcess, run};

const MUTATIONS: usize = 10_000;
const RECORDS: u32 = 90;

struct Key(Ed25519KeyPair);

impl Key {
    fn new() -> Key {
        Key(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap())
    }

    fn jwks(&self) -> [Value; 1] {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref());
        [json!({ "kty": "OKP", "crv": "Ed25519", "kid": "audit-1", "x": x })]
    }
}

impl CheckpointSigner for Key {
    fn sign(&self, bytes: &[u8]) -> Result<(String, Vec<u8>), StoreFault> {
        Ok(("audit-1".to_owned(), self.0.sign(bytes).as_ref().to_vec()))
    }
}

/// Always the same numbers (SplitMix64), so that a mutation that was not found can be looked at.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}

/// A trail as whoever wants to change it has it in hands.
#[derive(Clone)]
struct Trail {
    rows: Vec<ChainedRow>,
    heads: Vec<Link>,
}

async fn fill(store: &dyn Store, from: u32) {
    for number in from..from + RECORDS {
        store.commit(just_in_time(number, "alice")).await.unwrap();
        if number % 25 == 0 {
            store.checkpoint().await.unwrap();
        }
    }
}

async fn trail(store: &dyn Store) -> Trail {
    Trail { rows: store.chained(i64::MIN, 1_000_000).await.unwrap(), heads: store.chain_heads().await.unwrap() }
}

fn entry(row: &ChainedRow) -> Entry {
    let columns = row.found_by.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Entry {
        place: format!("position {}", row.position),
        json: row.json.clone(),
        link: row.link.clone(),
        found_by: Some((row.time, columns)),
    }
}

fn verified(trail: &Trail, keys: &[Value]) -> Report {
    let mut verifier = TrailVerifier::new(keys, trail.heads.clone());
    trail.rows.iter().for_each(|row| verifier.read(&entry(row)));
    verifier.finish(Some(&trail.heads))
}

#[tokio::test]
async fn a_trail_that_nobody_touched_is_whole_over_restarts_and_signed() {
    let (data, key) = (tempfile::tempdir().unwrap(), Arc::new(Key::new()));
    for start in 0..3 {
        let store = Sqlite::open(data.path()).unwrap();
        store.sign_checkpoints(Arc::clone(&key) as Arc<dyn CheckpointSigner>);
        fill(&store, start * 1000).await;
        store.checkpoint().await.unwrap();
    }
    let trail = trail(&Sqlite::open(data.path()).unwrap()).await;
    let report = verified(&trail, &key.jwks());
    assert_eq!(report.faults, [""; 0]);
    assert_eq!(report.chains.len(), 1, "one chain over all restarts");
    assert!(report.chains[0].last > 3 * u64::from(RECORDS));
    assert_eq!((report.chains[0].signed_through, report.unchained), (report.chains[0].last, 0));
    let stranger = verified(&trail, &[]);
    assert_eq!((stranger.chains[0].signed_through, stranger.fault_count), (0, 0), "nothing is proven without a key");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_have_a_chain_each_and_all_are_whole() {
    let database = support::postgres::Server::shared().database();
    let key = Arc::new(Key::new());
    let mut stores = Vec::new();
    for replica in 0..3 {
        let store = Postgres::open(&database.settings()).await.unwrap();
        store.sign_checkpoints(Arc::clone(&key) as Arc<dyn CheckpointSigner>);
        stores.push((store, replica * 1000));
    }
    futures_util::future::join_all(stores.iter().map(|(store, from)| fill(store, *from))).await;
    for (store, _) in &stores {
        store.checkpoint().await.unwrap();
    }
    let report = verified(&trail(&stores[0].0).await, &key.jwks());
    assert_eq!(report.faults, [""; 0]);
    assert_eq!(report.chains.len(), 3);
    assert!(report.chains.iter().all(|chain| chain.signed_through == chain.last && chain.last > RECORDS.into()));
}

/// One change of a trail that leaves another trail, and its name.
fn mutated(trail: &Trail, random: &mut Random) -> (Trail, &'static str) {
    let mut trail = trail.clone();
    let at = random.below(trail.rows.len());
    let other = random.below(trail.rows.len());
    let kinds = [
        "text", "column", "time", "hash", "number", "chain", "unlink", "remove", "swap", "repeat", "cut", "head",
        "front",
    ];
    let kind = kinds[random.below(kinds.len())];
    match kind {
        "text" => flip(&mut trail.rows[at].json, random),
        "column" => {
            let column = random.below(6);
            let value = &mut trail.rows[at].found_by[column].1;
            *value = match value.take() {
                Some(text) if random.below(2) == 0 => Some(text + "x"),
                Some(_) => None,
                None => Some("x".to_owned()),
            };
        }
        "time" => trail.rows[at].time.0 += 1 + i64::try_from(random.below(1000)).unwrap(),
        "hash" => trail.rows[at].link.as_mut().unwrap().hash[random.below(32)] ^= 1 << random.below(8),
        "number" => trail.rows[at].link.as_mut().unwrap().sequence ^= 1 << random.below(20),
        "chain" => flip(&mut trail.rows[at].link.as_mut().unwrap().chain, random),
        "unlink" => trail.rows[at].link = None,
        "remove" => drop(trail.rows.remove(at)),
        "swap" if at != other => trail.rows.swap(at, other),
        "swap" | "repeat" => trail.rows.insert(other, trail.rows[at].clone()),
        "cut" => trail.rows.truncate(at),
        "head" => trail.heads[0].hash[random.below(32)] ^= 1,
        _ => drop(trail.rows.drain(..=at)),
    }
    (trail, kind)
}

/// Changes one character into another one.
fn flip(text: &mut String, random: &mut Random) {
    let mut characters: Vec<char> = text.chars().collect();
    let at = random.below(characters.len());
    let old = characters[at];
    while characters[at] == old {
        characters[at] = char::from(b' ' + u8::try_from(random.below(94)).unwrap());
    }
    *text = characters.into_iter().collect();
}

#[tokio::test]
async fn ten_thousand_mutations_of_the_stored_trail_are_all_found() {
    let (data, key) = (tempfile::tempdir().unwrap(), Arc::new(Key::new()));
    let store = Sqlite::open(data.path()).unwrap();
    store.sign_checkpoints(Arc::clone(&key) as Arc<dyn CheckpointSigner>);
    fill(&store, 0).await;
    store.checkpoint().await.unwrap();
    let (trail, keys) = (trail(&store).await, key.jwks());
    assert_eq!(verified(&trail, &keys).fault_count, 0, "before anybody touched it");
    let mut random = Random(1);
    for number in 0..MUTATIONS {
        let (touched, kind) = mutated(&trail, &mut random);
        assert_ne!(verified(&touched, &keys).fault_count, 0, "mutation {number} ({kind}) was not found");
    }
}

/// Whoever can write the store can also compute hashes; what is under a signature it cannot make anew.
#[tokio::test]
async fn a_chain_that_is_computed_anew_fails_at_its_checkpoints() {
    let (data, key) = (tempfile::tempdir().unwrap(), Arc::new(Key::new()));
    let store = Sqlite::open(data.path()).unwrap();
    store.sign_checkpoints(Arc::clone(&key) as Arc<dyn CheckpointSigner>);
    fill(&store, 0).await;
    let mut trail = trail(&store).await;
    trail.rows.remove(3);
    let mut before = Link { hash: [0; 32], sequence: 0, ..trail.heads[0].clone() };
    for row in &mut trail.rows {
        before = Link::of(&before.hash, &before.chain, before.sequence + 1, &row.json);
        row.link = Some(before.clone());
    }
    trail.heads = vec![before];
    let report = verified(&trail, &key.jwks());
    assert!(report.faults.iter().all(|fault| fault.contains("checkpoint")) && report.fault_count > 0, "{report:?}");
}

#[tokio::test]
async fn the_command_verifies_a_running_servers_trail_and_its_exported_lines() {
    let directory = tempfile::tempdir().unwrap();
    let platforms = support::setup::Platforms::new();
    let server = ServeProcess::start(&support::setup::Setup::platforms(&platforms), directory.path()).await;
    support::process::client_secret(directory.path(), "alice").await;
    let of_store = run(directory.path(), &["audit", "verify"]).await;
    assert_eq!(of_store.code, Some(0), "{}{}", of_store.stdout, of_store.stderr);
    let keys = run(directory.path(), &["key", "list", "--output", "json"]).await;
    assert_eq!(keys.code, Some(0));
    let lines = directory.path().join("data/audit.jsonl");
    let kept = directory.path().join("kept.jsonl");
    let text = std::fs::read_to_string(&lines).unwrap();
    std::fs::write(&kept, text.lines().last().unwrap()).unwrap();
    let of_file = run(directory.path(), &["audit", "verify", "data/audit.jsonl", "--checkpoint", "kept.jsonl"]).await;
    assert_eq!(of_file.code, Some(0), "{}{}", of_file.stdout, of_file.stderr);
    let shorter: String = text.lines().take(text.lines().count() - 1).map(|line| format!("{line}\n")).collect();
    let edited = text.replacen("\"alice\"", "\"alicf\"", 1);
    for touched in [shorter, edited] {
        assert_ne!(touched, text);
        std::fs::write(directory.path().join("touched.jsonl"), touched).unwrap();
        let found = run(directory.path(), &["audit", "verify", "touched.jsonl", "--checkpoint", "kept.jsonl"]).await;
        assert_eq!(found.code, Some(1), "{}", found.stdout);
        assert!(found.stdout.contains("FAULT: "), "{}", found.stdout);
    }
    server.kill().await;
}
