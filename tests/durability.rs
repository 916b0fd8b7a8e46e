//! `kill -9` at any moment loses nothing that was acknowledged.
//!
//! The test starts itself again as a child that commits in a loop and prints what was answered, kills it at random
//! moments, and looks for every printed id in the store.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::indexing_slicing, clippy::print_stdout)]

use countersign::store::unrecorded::Unrecorded as _;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use countersign::audit::{Entry, TrailVerifier};
use countersign::clock::{Clock, random_bytes};
use countersign::store::sqlite::{Sqlite, upkeep};
use countersign::store::{
    AuditFilter, AuditRow, CommitOutcome, CredentialKind, CredentialRecord, ExchangeCommit, ReplayClaim, SecretRecord,
    SessionRecord, Store, UserOrigin, UserRecord, UserState,
};
use countersign::vocab::{ClientId, CredentialName, PolicyName, Scopes, TokenId, TraceId, UnixTime, UserName};

/// Kills, unless this variable says how many (`scripts/torture`).
const KILLS: usize = 20;
const CYCLES: &str = "COUNTERSIGN_TORTURE_CYCLES";
/// Then a new store is begun: the loop is about kills, not about size.
const CYCLES_A_STORE: usize = 200;
/// Acknowledgements before a kill, at most.
const MOST_LINES: usize = 150;
const TASKS: usize = 8;
/// Tells the child where its data is.
const CHILD: &str = "COUNTERSIGN_TEST_DURABILITY_CHILD";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    if let Some(data) = std::env::var_os(CHILD) {
        return commit_until_killed(Path::new(&data)).await;
    }
    let cycles = std::env::var(CYCLES).ok().map_or(KILLS, |text| text.parse().unwrap());
    let mut reopened = Vec::with_capacity(cycles);
    let (mut data, mut acknowledged) = (tempfile::tempdir().unwrap(), Vec::new());
    let (mut total, mut minted) = (0, 0);
    for round in 0..cycles {
        let [random] = random_bytes::<1>().unwrap();
        let lines = lines_of_a_killed_child(data.path(), 1 + usize::from(random) % MOST_LINES);
        assert!(!lines.is_empty(), "round {round}: the child did nothing");
        let begun = Instant::now();
        let store = Sqlite::open(data.path()).unwrap();
        reopened.push(begun.elapsed());
        for id in &lines {
            assert_kept(&store, id).await;
        }
        total += lines.len();
        minted += lines.iter().filter(|id| id.starts_with('t')).count();
        acknowledged.extend(lines);
        if (round + 1) % CYCLES_A_STORE == 0 || round + 1 == cycles {
            all_is_whole(&store, &acknowledged).await;
            drop(store);
            let found = upkeep::check(data.path()).unwrap();
            assert_eq!(found.faults, [""; 0]);
            (data, acknowledged) = (tempfile::tempdir().unwrap(), Vec::new());
        }
    }
    assert!(minted > cycles);
    reopened.sort();
    let at = |share: usize| reopened[(reopened.len() - 1) * share / 100];
    println!(
        "{cycles} kills: {total} acknowledged, {minted} of them tokens; 0 lost, 0 double; reopened in {:?} (p50), {:?} (p99), \
         {:?} at most",
        at(50),
        at(99),
        at(100)
    );
}

/// What was acknowledged before any of the kills is still there, and so is every link of the audit chain.
async fn all_is_whole(store: &Sqlite, acknowledged: &[String]) {
    for id in acknowledged {
        assert_kept(store, id).await;
    }
    let mut verifier = TrailVerifier::new(&[], store.chain_heads().await.unwrap());
    let mut after = i64::MIN;
    loop {
        let rows = store.chained(after, 10_000).await.unwrap();
        let Some(last) = rows.last() else { break };
        after = last.position;
        for row in rows {
            let place = format!("position {}", row.position);
            verifier.read(&Entry { place, json: row.json, link: row.link, found_by: None });
        }
    }
    // Nothing signs here, so only a missing checkpoint may be missed.
    let faults = verifier.finish(None).faults;
    assert!(faults.iter().all(|fault| fault.contains("too far from the checkpoint")), "{faults:?}");
}

/// Starts a child, reads so many of its lines, kills it, and reads what it still had written: what got into the pipe
/// was acknowledged.
fn lines_of_a_killed_child(data: &Path, wanted: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["nothing_acknowledged_is_lost_when_the_process_is_killed", "--exact", "--nocapture"])
        .env(CHILD, data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n').map_while(Result::ok);
    let mut read: Vec<Vec<u8>> = Vec::new();
    while read.iter().filter(|line| is_acknowledgement(line)).count() < wanted {
        match lines.next() {
            Some(line) => read.push(line),
            None => break,
        }
    }
    child.kill().unwrap(); // SIGKILL
    read.extend(lines);
    child.wait().unwrap();
    let texts = read.iter().filter(|line| is_acknowledgement(line)).map(|line| String::from_utf8_lossy(line));
    texts.map(|text| text.trim_start_matches("ack ").trim_end_matches('.').to_owned()).collect()
}

/// A whole line of the child; the last one may have been cut off.
fn is_acknowledgement(line: &[u8]) -> bool {
    line.starts_with(b"ack ") && line.ends_with(b".")
}

fn acknowledge(kind: char, id: &str) {
    let line = format!("ack {kind}{id}.\n");
    // One write, past the harness's capture; a closed pipe means that the parent has gone.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
    let _ = std::io::stdout().flush();
}

async fn commit_until_killed(data: &Path) {
    let store = Arc::new(Sqlite::open(data).unwrap());
    // The harness has begun a line of its own.
    std::io::stdout().write_all(b"\n").unwrap();
    let tasks = (0..TASKS).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            loop {
                one_of_each(&store).await;
            }
        })
    });
    futures_util::future::join_all(tasks.collect::<Vec<tokio::task::JoinHandle<()>>>()).await;
}

async fn one_of_each(store: &Sqlite) {
    let token = TokenId::new(Clock::system().now_millis(), random_bytes().unwrap());
    let user = UserName::parse(token.as_str()).unwrap();
    let exchange = exchange(&token);
    assert_eq!(store.commit(exchange.clone()).await.unwrap(), CommitOutcome::Committed);
    acknowledge('t', token.as_str());
    let name = CredentialName::parse(token.as_str()).unwrap();
    let credential = CredentialRecord {
        name: name.clone(),
        client_id: ClientId::parse(name.as_str()).unwrap(),
        user: user.clone(),
        kind: CredentialKind::Oauth2,
        scopes: Scopes::default(),
        created_at: UnixTime(1),
        expires_at: None,
        disabled: false,
        secrets: vec![SecretRecord { hash: [1; 32], created_at: UnixTime(1), expires_at: None }],
    };
    store.create_credential(credential).await.unwrap();
    acknowledge('c', name.as_str());
    store.set_user_state(&user, UserState::Disabled).await.unwrap();
    acknowledge('d', user.as_str());
}

fn replay_id(token: &str) -> [u8; 32] {
    let mut id = [0; 32];
    id.iter_mut().zip(token.bytes()).for_each(|(to, from)| *to = from);
    id
}

fn exchange(token: &TokenId) -> ExchangeCommit {
    let user = UserName::parse(token.as_str()).unwrap();
    let origin = UserOrigin::Policy(PolicyName::parse("durable").unwrap());
    let now = UnixTime(1_800_000_000);
    ExchangeCommit {
        replay: Some(ReplayClaim { id: replay_id(token.as_str()), keep_until: UnixTime(i64::MAX) }),
        secret: None,
        new_user: Some(UserRecord { name: user.clone(), origin, state: UserState::Enabled, created_at: now }),
        session: Some(SessionRecord {
            token: token.clone(),
            user: user.clone(),
            client_id: ClientId::parse(user.as_str()).unwrap(),
            issuer: None,
            policies: Vec::new(),
            created_at: now,
            expires_at: UnixTime(i64::MAX),
            revoked_at: None,
        }),
        audit: AuditRow {
            time: Clock::system().now_millis(),
            trace_id: TraceId::parse(token.as_str()).unwrap(),
            outcome: "minted",
            cause: None,
            user: Some(user),
            policy: None,
            issuer_name: None,
            json: format!("{{\"trace_id\":\"{token}\"}}"),
        },
        now,
    }
}

async fn assert_kept(store: &Sqlite, acknowledged: &str) {
    let (kind, id) = acknowledged.split_at_checked(1).unwrap();
    match kind {
        "t" => {
            let token = TokenId::parse(id).unwrap();
            assert!(store.session(&token).await.unwrap().is_some(), "session {id}");
            let trace_id = TraceId::parse(id).ok();
            let found = store.audit(AuditFilter { trace_id, limit: 2, ..AuditFilter::default() }).await.unwrap();
            assert_eq!(found.len(), 1, "audit record {id}");
            let again = ExchangeCommit { session: None, new_user: None, ..exchange(&token) };
            assert_eq!(store.commit(again).await.unwrap(), CommitOutcome::Replayed, "claim {id}");
        }
        "c" => {
            let found = store.credential(&CredentialName::parse(id).unwrap()).await.unwrap();
            assert!(found.is_some_and(|credential| credential.secrets.len() == 1), "credential {id}");
        }
        _ => {
            let user = store.user(&UserName::parse(id).unwrap()).await.unwrap().unwrap();
            assert_eq!(user.state, UserState::Disabled, "user {id}");
        }
    }
}
