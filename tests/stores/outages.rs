//! A database that stops, crashes or hangs: 503 soon, nothing lost, nothing twice, and all by itself afterwards.

use countersign::store::unrecorded::Unrecorded as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::store::postgres::Postgres;
use countersign::store::{CommitOutcome, Store};

use crate::records::*;
use crate::support::postgres::Server;

/// What a caller is promised.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
const BACK_WITHIN: Duration = Duration::from_secs(5);

async fn until_it_commits(store: &dyn Store, number: &mut u32) -> Duration {
    let begun = Instant::now();
    loop {
        *number += 1;
        if let Ok(CommitOutcome::Committed) = store.commit(exchange(*number, "alice")).await {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it never recovers");
        tokio::task::yield_now().await;
    }
}

async fn fails_soon(store: &dyn Store, number: u32) {
    let begun = Instant::now();
    assert!(store.commit(exchange(number, "alice")).await.is_err());
    assert!(store.check().await.is_err());
    assert!(store.session(&token(number)).await.is_err());
    assert!(begun.elapsed() < 3 * TOLD_WITHIN, "three operations took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stopped_crashed_or_hung_is_an_error_soon_and_is_used_again_by_itself() {
    let server = Server::start();
    let database = server.database();
    let store = Postgres::open(&database.settings()).await.unwrap();
    store.create_user(user("alice")).await.unwrap();
    let mut number = 0;
    for how in ["fast", "immediate", "hang"] {
        assert_eq!(store.commit(exchange(1_000_000 + number, "alice")).await.unwrap(), CommitOutcome::Committed);
        match how {
            "hang" => server.signal_all("STOP"),
            mode => server.down(mode),
        }
        fails_soon(&store, 2_000_000 + number).await;
        match how {
            "hang" => server.signal_all("CONT"),
            _ => server.up(),
        }
        let took = until_it_commits(&store, &mut number).await;
        assert!(took < BACK_WITHIN, "{how}: back after {took:?}");
        store.check().await.unwrap();
    }
}

/// Senders repeat what was not answered, as a client does after a 503; the database crashes in the middle of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_under_load_loses_nothing_acknowledged_and_mints_nothing_twice() {
    const SENDERS: u32 = 16;
    let server = Server::start();
    let database = server.database();
    let store: Arc<dyn Store> = Arc::new(Postgres::open(&database.settings()).await.unwrap());
    store.create_user(user("alice")).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let senders: Vec<_> =
        (0..SENDERS).map(|sender| tokio::spawn(send_until(Arc::clone(&store), sender, stopped.clone()))).collect();
    let mut probe = 900_000_000;
    for _ in 0..5 {
        server.down("immediate");
        server.up();
        until_it_commits(&*store, &mut probe).await;
    }
    stop.send_replace(true);
    let mut acknowledged = 0;
    for sender in senders {
        for number in sender.await.unwrap() {
            let session = store.session(&token_of(number)).await.unwrap();
            assert!(session.is_some(), "exchange {number} was acknowledged and is lost");
            acknowledged += 1;
        }
    }
    assert!(acknowledged > SENDERS, "{acknowledged} exchanges are no load");
    // Each assertion has one session at most: the replay id is derived from the number that the token has.
    let (sessions, claims) = (
        database.sql("SELECT count(*) FROM sessions WHERE user_name = 'alice'"),
        database.sql("SELECT count(*) FROM replay"),
    );
    let probes: u64 = database.sql("SELECT count(*) FROM audit").parse().unwrap();
    assert_eq!(sessions.parse::<u64>().unwrap(), probes);
    assert!(claims.parse::<u64>().unwrap() >= u64::from(acknowledged));
}

fn token_of(number: u32) -> countersign::vocab::TokenId {
    let [a, b, c, d] = number.to_be_bytes();
    countersign::vocab::TokenId::new(countersign::vocab::UnixMillis(1_800_000_000_000), [0, 0, 0, 0, 0, 0, a, b, c, d])
}

/// Commits assertion after assertion until told to stop. Each is sent until it is answered; an answer that never came
/// may have been a commit, and the repetition is refused then. Gives the acknowledged ones.
async fn send_until(store: Arc<dyn Store>, sender: u32, stopped: tokio::sync::watch::Receiver<bool>) -> Vec<u32> {
    let (mut acknowledged, mut number) = (Vec::new(), sender * 1_000_000);
    while !*stopped.borrow() {
        number += 1;
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let mut commit = single_use(number, "alice", id);
        commit.session.as_mut().unwrap().token = token_of(number);
        let mut unsure = false;
        loop {
            match store.commit(commit.clone()).await {
                Ok(CommitOutcome::Committed) => {
                    acknowledged.push(number);
                    break;
                }
                Ok(CommitOutcome::Replayed) => {
                    assert!(unsure, "exchange {number} was refused though nobody sent it before");
                    break;
                }
                Ok(other) => panic!("exchange {number}: {other:?}"),
                Err(_) => unsure = true,
            }
            tokio::task::yield_now().await;
        }
    }
    acknowledged
}
