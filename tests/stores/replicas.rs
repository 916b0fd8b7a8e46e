//! Several replicas on one PostgreSQL.

use countersign::store::unrecorded::Unrecorded as _;
use std::sync::Arc;

use countersign::store::{CommitOutcome, ExchangeCommit, Store, UserState};

use crate::backend::Backend;
use crate::records::*;

const REPLICAS: usize = 3;

async fn replicas(backend: &Backend) -> Vec<Arc<dyn Store>> {
    futures_util::future::join_all((0..REPLICAS).map(|_| backend.open())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_at_once_agree_on_the_schema_and_the_secrets() {
    let backend = Backend::postgres();
    let stores = replicas(&backend).await;
    let fresh = (0..3_u8).zip(&stores).map(|(byte, store)| store.shared_secret("pepper", [byte; 32]));
    let secrets = futures_util::future::try_join_all(fresh).await.unwrap();
    assert!(secrets.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_that_is_sent_to_every_replica_at_once_mints_once() {
    let backend = Backend::postgres();
    let stores = replicas(&backend).await;
    stores[0].create_user(user("alice")).await.unwrap();
    let mut minted = 0;
    for round in 0..50_u32 {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&round.to_be_bytes());
        let senders = (0..64_u32).map(|sender| {
            let store = &stores[sender as usize % REPLICAS];
            store.commit(single_use(round * 64 + sender, "alice", id))
        });
        let outcomes = futures_util::future::try_join_all(senders).await.unwrap();
        minted += outcomes.iter().filter(|outcome| **outcome == CommitOutcome::Committed).count();
    }
    assert_eq!(minted, 50);
    assert_eq!(trail(&*stores[1]).await.len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_disabled_on_one_replica_gets_no_token_from_another_from_that_moment_on() {
    let backend = Backend::postgres();
    let stores = replicas(&backend).await;
    stores[0].create_user(user("alice")).await.unwrap();
    for round in 0..50_u32 {
        stores[0].set_user_state(&named("alice"), UserState::Disabled).await.unwrap();
        let refused = stores[1].commit(exchange(2 * round, "alice")).await.unwrap();
        assert_eq!(refused, CommitOutcome::UserUnavailable, "round {round}");
        stores[2].set_user_state(&named("alice"), UserState::Enabled).await.unwrap();
        let minted = stores[1].commit(exchange(2 * round + 1, "alice")).await.unwrap();
        assert_eq!(minted, CommitOutcome::Committed, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_made_while_every_replica_is_busy_with_exchanges() {
    let backend = Backend::postgres();
    let stores = replicas(&backend).await;
    for name in ["alice", "bob"] {
        stores[0].create_user(user(name)).await.unwrap();
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let busy: Vec<_> = (0..REPLICAS * 8)
        .map(|sender| {
            let (store, stopped) = (Arc::clone(&stores[sender % REPLICAS]), stopped.clone());
            tokio::spawn(async move {
                let mut number = 1_000_000 * u32::try_from(sender).unwrap();
                while !*stopped.borrow() {
                    number += 1;
                    assert_eq!(store.commit(exchange(number, "alice")).await.unwrap(), CommitOutcome::Committed);
                }
            })
        })
        .collect();
    for _ in 0..20 {
        stores[0].set_user_state(&named("bob"), UserState::Disabled).await.unwrap();
        stores[1].set_user_state(&named("bob"), UserState::Enabled).await.unwrap();
    }
    stop.send_replace(true);
    for task in busy {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_made_just_in_time_on_one_replica_is_known_on_the_others() {
    let backend = Backend::postgres();
    let stores = replicas(&backend).await;
    let together = (0..3_u32).zip(&stores).map(|(number, store)| store.commit(just_in_time(number, "fresh")));
    let outcomes = futures_util::future::try_join_all(together).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == CommitOutcome::Committed));
    stores[0].commit(just_in_time(3, "only-here")).await.unwrap();
    // No policy offers to make it: the replica has to ask.
    assert!(stores[1].user(&named("only-here")).await.unwrap().is_some());
    assert_eq!(stores[1].commit(exchange(4, "only-here")).await.unwrap(), CommitOutcome::Committed);
    stores[2].set_user_state(&named("only-here"), UserState::Disabled).await.unwrap();
    assert_eq!(stores[0].commit(exchange(5, "only-here")).await.unwrap(), CommitOutcome::UserUnavailable);
    assert_eq!(stores[1].commit(just_in_time(6, "only-here")).await.unwrap(), CommitOutcome::UserUnavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_rotated_away_on_one_replica_is_refused_by_another() {
    let backend = Backend::postgres();
    let stores = replicas(&backend).await;
    stores[0].create_user(user("alice")).await.unwrap();
    let mut credential = credential("ci", "alice");
    stores[0].create_credential(credential.clone()).await.unwrap();
    let old = secret_of(&credential, 7);
    let with = |number| ExchangeCommit { secret: Some(old.clone()), ..exchange(number, "alice") };
    assert_eq!(stores[1].commit(with(1)).await.unwrap(), CommitOutcome::Committed);
    credential.secrets.retain(|secret| secret.hash != [7; 32]);
    stores[0].update_credential(credential).await.unwrap();
    assert_eq!(stores[1].commit(with(2)).await.unwrap(), CommitOutcome::SecretUnavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_hear_of_each_others_changes() {
    let backend = Backend::postgres();
    let stores = replicas(&backend).await;
    let mut heard = stores[2].changes();
    stores[0].create_user(user("alice")).await.unwrap();
    let number = *stores[0].changes().borrow();
    heard.wait_for(|seen| *seen >= number).await.unwrap();
    assert!(stores[2].user(&named("alice")).await.unwrap().is_some());
    assert!(stores[2].feed_fresh());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ended_on_one_replica_is_ended_on_all_and_none_minted_meanwhile_escapes() {
    let backend = Backend::postgres();
    let stores = replicas(&backend).await;
    stores[0].create_user(user("alice")).await.unwrap();
    for round in 0..20_u32 {
        let mint = (0..30_u32).map(|sender| {
            let commit = exchange(round * 30 + sender, "alice");
            let (store, token) = (&stores[sender as usize % REPLICAS], commit.session.as_ref().unwrap().token.clone());
            async move { (token, store.commit(commit).await.unwrap()) }
        });
        let disable = stores[1].set_user_state(&crate::records::ALICE, UserState::Disabled);
        let (minted, disabled) = futures_util::future::join(futures_util::future::join_all(mint), disable).await;
        disabled.unwrap();
        let number = *stores[1].changes().borrow();
        for store in &stores {
            store.changes().wait_for(|seen| *seen >= number).await.unwrap();
            for (token, outcome) in &minted {
                let ended = store.revoked(token).is_some();
                assert_eq!(ended, *outcome == CommitOutcome::Committed, "round {round}: {token} {outcome:?}");
            }
        }
        stores[2].set_user_state(&crate::records::ALICE, UserState::Enabled).await.unwrap();
    }
}
