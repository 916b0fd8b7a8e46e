//! One store alone: what it keeps, what it refuses.

use countersign::config::SigningAlgorithm;
use countersign::store::unrecorded::Unrecorded as _;
use countersign::store::{
    AuditFilter, Change, ChangeRefusal, CommitOutcome, CredentialRecord, ExchangeCommit, KeyChange, KeyPurpose,
    KeyRecord, KeySetRecord, KeyState, Made, PrivateKey, ReplayClaim, ReplicaRecord, UserState,
};
use countersign::vocab::{IssuerName, UnixMillis};
use std::time::Duration;

use crate::backend::{Backend, for_each_store};
use crate::records::*;

for_each_store! {
    all_of_it_is_there_after_reopening
    a_replay_id_is_claimed_once_until_it_ends
    a_refused_commit_writes_nothing
    a_user_that_may_not_sign_in_gets_no_token
    a_secret_that_is_not_accepted_any_more_gets_no_token
    a_name_is_taken_once
    a_deleted_user_takes_its_credentials_along
    a_shared_secret_is_the_same_for_everybody
    key_sets_are_kept_one_an_issuer
    signing_keys_change_only_from_the_state_that_was_seen
    audit_records_are_found_by_what_they_say
    what_has_ended_is_pruned
    a_session_is_revoked_once
    a_credential_that_somebody_else_changed_is_not_overwritten
    a_change_is_recorded_with_it_or_not_at_all
}

async fn all_of_it_is_there_after_reopening(backend: Backend) {
    let store = backend.open().await;
    for name in ["alice", "bob", "carol"] {
        store.create_user(user(name)).await.unwrap();
    }
    store.set_user_state(&named("bob"), UserState::Disabled).await.unwrap();
    store.set_user_state(&named("carol"), UserState::Deleted).await.unwrap();
    let credential = credential("ci", "alice");
    store.create_credential(credential.clone()).await.unwrap();
    let commit = exchange(1, "alice");
    assert_eq!(store.commit(commit.clone()).await.unwrap(), CommitOutcome::Committed);
    drop(store);
    let store = backend.open().await;
    let names: Vec<_> = store.users().await.unwrap().into_iter().map(|user| user.name.to_string()).collect();
    assert_eq!(names, ["alice", "bob"]);
    assert_eq!(store.user(&named("bob")).await.unwrap().unwrap().state, UserState::Disabled);
    assert_eq!(store.user(&named("carol")).await.unwrap().unwrap().state, UserState::Deleted);
    assert_eq!(store.credential(&credential.name).await.unwrap().as_ref(), Some(&credential));
    assert_eq!(*store.credential_of_client(&credential.client_id).await.unwrap().unwrap(), credential);
    assert_eq!(store.credentials().await.unwrap(), [credential]);
    let session = commit.session.unwrap();
    assert_eq!(store.session(&session.token).await.unwrap(), Some(session));
    assert_eq!(trail(&*store).await.last().unwrap().json, commit.audit.json);
    store.check().await.unwrap();
}

async fn a_replay_id_is_claimed_once_until_it_ends(backend: Backend) {
    let store = backend.open().await;
    store.create_user(user("alice")).await.unwrap();
    assert_eq!(store.commit(single_use(1, "alice", [1; 32])).await.unwrap(), CommitOutcome::Committed);
    assert_eq!(store.commit(single_use(2, "alice", [1; 32])).await.unwrap(), CommitOutcome::Replayed);
    assert_eq!(store.commit(single_use(3, "alice", [2; 32])).await.unwrap(), CommitOutcome::Committed);
    let over = ReplayClaim { id: [3; 32], keep_until: now().minus(Duration::from_secs(10)) };
    let ended = ExchangeCommit { replay: Some(over), ..exchange(4, "alice") };
    assert_eq!(store.commit(ended.clone()).await.unwrap(), CommitOutcome::Committed);
    let again = ExchangeCommit { replay: ended.replay, ..exchange(5, "alice") };
    assert_eq!(store.commit(again).await.unwrap(), CommitOutcome::Committed);
    // At once, in one transaction or several: one of them.
    let many = (10..60).map(|number| store.commit(single_use(number, "alice", [9; 32])));
    let outcomes = futures_util::future::try_join_all(many).await.unwrap();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == CommitOutcome::Committed).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == CommitOutcome::Replayed).count(), 49);
}

async fn a_refused_commit_writes_nothing(backend: Backend) {
    let store = backend.open().await;
    let first = ExchangeCommit { replay: single_use(1, "alice", [1; 32]).replay, ..just_in_time(1, "alice") };
    assert_eq!(store.commit(first).await.unwrap(), CommitOutcome::Committed);
    let second = ExchangeCommit { replay: single_use(2, "bob", [1; 32]).replay, ..just_in_time(2, "bob") };
    let token = second.session.as_ref().unwrap().token.clone();
    assert_eq!(store.commit(second).await.unwrap(), CommitOutcome::Replayed);
    assert!(store.user(&named("bob")).await.unwrap().is_none());
    assert!(store.session(&token).await.unwrap().is_none());
    assert_eq!(trail(&*store).await.len(), 1);
    // A refused one does not use up a replay id either.
    let unknown = single_use(3, "nobody", [3; 32]);
    assert_eq!(store.commit(unknown).await.unwrap(), CommitOutcome::UserUnavailable);
    assert_eq!(store.commit(single_use(4, "alice", [3; 32])).await.unwrap(), CommitOutcome::Committed);
}

async fn a_user_that_may_not_sign_in_gets_no_token(backend: Backend) {
    let store = backend.open().await;
    store.create_user(user("alice")).await.unwrap();
    store.set_user_state(&named("alice"), UserState::Disabled).await.unwrap();
    assert_eq!(store.commit(exchange(1, "alice")).await.unwrap(), CommitOutcome::UserUnavailable);
    store.set_user_state(&named("alice"), UserState::Enabled).await.unwrap();
    assert_eq!(store.commit(exchange(2, "alice")).await.unwrap(), CommitOutcome::Committed);
    store.set_user_state(&named("alice"), UserState::Deleted).await.unwrap();
    assert_eq!(store.commit(exchange(3, "alice")).await.unwrap(), CommitOutcome::UserUnavailable);
    // A policy does not give the name to another workload.
    assert_eq!(store.commit(just_in_time(4, "alice")).await.unwrap(), CommitOutcome::UserUnavailable);
    store.create_user(user("alice")).await.unwrap();
    assert_eq!(store.commit(exchange(5, "alice")).await.unwrap(), CommitOutcome::Committed);
}

async fn a_secret_that_is_not_accepted_any_more_gets_no_token(backend: Backend) {
    let store = backend.open().await;
    store.create_user(user("alice")).await.unwrap();
    let mut credential = credential("ci", "alice");
    store.create_credential(credential.clone()).await.unwrap();
    let with =
        |number, byte| ExchangeCommit { secret: Some(secret_of(&credential, byte)), ..exchange(number, "alice") };
    let (first, second, third, fourth) = (with(1, 7), with(2, 99), with(3, 7), with(4, 8));
    assert_eq!(store.commit(first).await.unwrap(), CommitOutcome::Committed);
    assert_eq!(store.commit(second).await.unwrap(), CommitOutcome::SecretUnavailable);
    credential.secrets.retain(|secret| secret.hash == [8; 32]);
    store.update_credential(credential.clone()).await.unwrap();
    assert_eq!(store.commit(third).await.unwrap(), CommitOutcome::SecretUnavailable);
    assert_eq!(store.commit(fourth.clone()).await.unwrap(), CommitOutcome::Committed);
    store.delete_credential(&credential.name).await.unwrap();
    let fifth = ExchangeCommit { secret: fourth.secret, ..exchange(5, "alice") };
    assert_eq!(store.commit(fifth).await.unwrap(), CommitOutcome::SecretUnavailable);
    assert!(store.credential_of_client(&credential.client_id).await.unwrap().is_none());
    // The name is free again, for a credential with another client id.
    let mut anew = credential;
    anew.client_id = countersign::vocab::ClientId::parse("cs-other").unwrap();
    store.create_credential(anew.clone()).await.unwrap();
    assert_eq!(*store.credential_of_client(&anew.client_id).await.unwrap().unwrap(), anew);
}

async fn a_name_is_taken_once(backend: Backend) {
    let store = backend.open().await;
    store.create_user(user("alice")).await.unwrap();
    assert!(matches!(store.create_user(user("alice")).await, Err(ChangeRefusal::Exists(_))));
    store.create_credential(credential("ci", "alice")).await.unwrap();
    assert!(matches!(store.create_credential(credential("ci", "alice")).await, Err(ChangeRefusal::Exists(_))));
    assert!(matches!(store.create_credential(credential("cd", "nobody")).await, Err(ChangeRefusal::Missing(_))));
    assert!(matches!(store.update_credential(credential("cd", "alice")).await, Err(ChangeRefusal::Missing(_))));
    let missing = credential("cd", "alice").name;
    assert!(matches!(store.delete_credential(&missing).await, Err(ChangeRefusal::Missing(_))));
    let nobody = store.set_user_state(&named("nobody"), UserState::Disabled).await;
    assert!(matches!(nobody, Err(ChangeRefusal::Missing(_))));
}

async fn a_deleted_user_takes_its_credentials_along(backend: Backend) {
    let store = backend.open().await;
    store.create_user(user("alice")).await.unwrap();
    let credential = credential("ci", "alice");
    store.create_credential(credential.clone()).await.unwrap();
    store.set_user_state(&named("alice"), UserState::Deleted).await.unwrap();
    assert!(store.credentials().await.unwrap().is_empty());
    assert!(store.credential(&credential.name).await.unwrap().is_none());
    assert!(store.credential_of_client(&credential.client_id).await.unwrap().is_none());
}

async fn a_shared_secret_is_the_same_for_everybody(backend: Backend) {
    let store = backend.open().await;
    assert_eq!(store.shared_secret("pepper", [1; 32]).await.unwrap(), [1; 32]);
    assert_eq!(store.shared_secret("pepper", [2; 32]).await.unwrap(), [1; 32]);
    assert_eq!(store.shared_secret("salt", [2; 32]).await.unwrap(), [2; 32]);
}

async fn key_sets_are_kept_one_an_issuer(backend: Backend) {
    let store = backend.open().await;
    let set = |body: &[u8], max_age| KeySetRecord {
        issuer: IssuerName::parse("github").unwrap(),
        source: "oidc https://issuer.example".to_owned(),
        body: body.to_vec(),
        fetched_at: UnixMillis(1_800_000_000_123),
        max_age,
    };
    store.keep_key_set(set(b"{}", None)).await.unwrap();
    let newer = set(b"{\"keys\":[]}", Some(Duration::from_secs(600)));
    store.keep_key_set(newer.clone()).await.unwrap();
    assert_eq!(store.key_sets().await.unwrap(), [newer]);
}

async fn signing_keys_change_only_from_the_state_that_was_seen(backend: Backend) {
    let store = backend.open().await;
    let before = store.signing_ring(now()).await.unwrap();
    assert!(before.keys.is_empty());
    let key = KeyRecord {
        id: "key-1".to_owned(),
        algorithm: SigningAlgorithm::ES256,
        purpose: KeyPurpose::Token,
        state: KeyState::Pending,
        private: PrivateKey::Wrapped { kek_id: "kek".to_owned(), sealed: vec![1, 2, 3] },
        created_at: now(),
        published_at: None,
        activated_at: None,
        retired_at: None,
        ended_at: None,
        longest_token: Duration::from_secs(900),
        changed: 0,
    };
    let write = |expected, key: &KeyRecord| store.change_signing_keys(expected, vec![key.clone()], Vec::new());
    assert_eq!(write(before.number, &key).await.unwrap(), KeyChange::Made);
    assert_eq!(write(before.number, &key).await.unwrap(), KeyChange::Outrun);
    let seen = store.signing_ring(now()).await.unwrap();
    assert_eq!(seen.keys, [KeyRecord { changed: seen.number, ..key.clone() }]);
    let ended = KeyRecord { state: KeyState::Gone, private: PrivateKey::Erased, ended_at: Some(now()), ..key };
    assert_eq!(write(seen.number, &ended).await.unwrap(), KeyChange::Made);
    let after = store.signing_ring(now()).await.unwrap();
    assert_eq!(after.keys, [KeyRecord { changed: after.number, ..ended }]);
    assert!(after.number > seen.number && *store.changes().borrow() >= after.number);
    let replica = ReplicaRecord {
        id: "r1".to_owned(),
        name: "127.0.0.1:1".to_owned(),
        software: "1".to_owned(),
        started_at: now(),
        seen_at: now(),
        applied: after.number,
    };
    store.heartbeat(replica).await.unwrap();
    let replicas = store.signing_ring(now()).await.unwrap().replicas;
    assert_eq!(
        replicas.iter().map(|replica| (&*replica.id, replica.applied)).collect::<Vec<_>>(),
        [("r1", after.number)]
    );
}

async fn audit_records_are_found_by_what_they_say(backend: Backend) {
    let store = backend.open().await;
    for (number, name) in [(1, "alice"), (2, "bob"), (3, "alice")] {
        store.commit(just_in_time(number, name)).await.unwrap();
    }
    let any = || AuditFilter { limit: 10, ..AuditFilter::default() };
    let find = async |filter: AuditFilter| store.audit(filter).await.unwrap().len();
    assert_eq!(find(any()).await, 3);
    assert_eq!(find(AuditFilter { limit: 2, ..any() }).await, 2);
    assert_eq!(find(AuditFilter { user: Some(named("alice")), ..any() }).await, 2);
    assert_eq!(find(AuditFilter { trace_id: Some(exchange(2, "bob").audit.trace_id), ..any() }).await, 1);
    assert_eq!(find(AuditFilter { outcome: Some("refused".to_owned()), ..any() }).await, 0);
    assert_eq!(find(AuditFilter { cause: Some("' OR 1=1 --".to_owned()), ..any() }).await, 0);
    assert_eq!(find(AuditFilter { issuer_name: Some(IssuerName::parse("github").unwrap()), ..any() }).await, 3);
    assert_eq!(find(AuditFilter { until: Some(UnixMillis(0)), ..any() }).await, 0);
    let all = store.audit(any()).await.unwrap();
    assert!(all.windows(2).all(|pair| pair[0].position < pair[1].position));
}

async fn what_has_ended_is_pruned(backend: Backend) {
    let store = backend.open().await;
    store.create_user(user("alice")).await.unwrap();
    let over = now().minus(Duration::from_secs(60));
    let mut ended = single_use(1, "alice", [1; 32]);
    ended.replay.as_mut().unwrap().keep_until = over;
    ended.session.as_mut().unwrap().expires_at = over;
    let token = ended.session.as_ref().unwrap().token.clone();
    store.commit(ended).await.unwrap();
    let living = single_use(2, "alice", [2; 32]);
    let kept = living.session.as_ref().unwrap().token.clone();
    store.commit(living).await.unwrap();
    assert_eq!(store.prune(now()).await.unwrap(), 2);
    assert!(store.session(&token).await.unwrap().is_none());
    assert!(store.session(&kept).await.unwrap().is_some());
    assert_eq!(store.commit(single_use(3, "alice", [2; 32])).await.unwrap(), CommitOutcome::Replayed);
    assert_eq!(store.prune(now()).await.unwrap(), 0);
}

async fn a_session_is_revoked_once(backend: Backend) {
    let store = backend.open().await;
    store.create_user(user("alice")).await.unwrap();
    let commit = exchange(1, "alice");
    let token = commit.session.as_ref().unwrap().token.clone();
    store.commit(commit).await.unwrap();
    assert!(store.revoke_session(&token, now()).await.unwrap());
    assert!(store.session(&token).await.unwrap().unwrap().revoked_at.is_some());
    assert!(!store.revoke_session(&crate::records::token(7), now()).await.unwrap());
}

async fn a_credential_that_somebody_else_changed_is_not_overwritten(backend: Backend) {
    let store = backend.open().await;
    store.create_user(user("alice")).await.unwrap();
    let read = credential("ci", "alice");
    store.create_credential(read.clone()).await.unwrap();
    let off = CredentialRecord { disabled: true, ..read.clone() };
    store.update_credential(off.clone()).await.unwrap();
    let rotated = CredentialRecord { secrets: Vec::new(), ..read.clone() };
    let change = |from: &CredentialRecord| Change::UpdateCredential {
        from: Some(Box::new(from.clone())),
        to: Box::new(rotated.clone()),
    };
    assert!(matches!(store.unrecorded(change(&read)).await, Err(ChangeRefusal::Outrun(_))));
    assert_eq!(store.credential(&read.name).await.unwrap(), Some(off.clone()));
    store.unrecorded(change(&off)).await.unwrap();
    assert_eq!(store.credential(&read.name).await.unwrap(), Some(rotated.clone()));
}

async fn a_change_is_recorded_with_it_or_not_at_all(backend: Backend) {
    let store = backend.open().await;
    let made = |number| Made { at: now(), audit: Some(exchange(number, "alice").audit) };
    store.change(Change::CreateUser(user("alice")), made(1)).await.unwrap();
    assert!(store.change(Change::CreateUser(user("alice")), made(2)).await.is_err());
    store.change(Change::UserState(named("alice"), UserState::Disabled), made(3)).await.unwrap();
    let written: Vec<_> = trail(&*store).await.into_iter().map(|entry| entry.json).collect();
    assert_eq!(written, [made(1), made(3)].map(|made| made.audit.unwrap().json));
}
