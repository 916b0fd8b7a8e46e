//! How sessions end, in each store.

use std::time::Duration;

use countersign::store::unrecorded::Unrecorded as _;
use countersign::store::{
    Change, CommitOutcome, CredentialRecord, SessionFilter, SessionRecord, SessionsOf, Store, UserState,
};
use countersign::vocab::{IssuerName, PolicyName, TokenId};

use crate::backend::{Backend, for_each_store};
use crate::records::*;

for_each_store! {
    what_an_operator_takes_away_ends_what_it_minted_for_good
    sessions_of_a_policy_or_an_issuer_end_together
    an_ended_session_is_known_after_reopening_and_forgotten_when_its_token_has_ended
    sessions_are_listed_newest_first_by_what_is_asked
}

/// Commits a session of `user` and gives its token.
async fn minted(store: &dyn Store, number: u32, user: &str, change: impl FnOnce(&mut SessionRecord)) -> TokenId {
    let mut commit = exchange(number, user);
    let session = commit.session.as_mut().unwrap();
    change(session);
    let token = session.token.clone();
    assert_eq!(store.commit(commit).await.unwrap(), CommitOutcome::Committed);
    token
}

async fn what_an_operator_takes_away_ends_what_it_minted_for_good(backend: Backend) {
    let store = backend.open().await;
    for name in ["alice", "bob"] {
        store.create_user(user(name)).await.unwrap();
    }
    let credential = credential("ci", "alice");
    store.create_credential(credential.clone()).await.unwrap();
    let other = minted(&*store, 1, "bob", |_| {}).await;
    let of_secret = minted(&*store, 2, "alice", |session| session.client_id = credential.client_id.clone()).await;
    let of_user = minted(&*store, 3, "alice", |_| {}).await;

    let off = CredentialRecord { disabled: true, ..credential.clone() };
    store.update_credential(off).await.unwrap();
    assert!(store.revoked(&of_secret).is_some() && store.revoked(&of_user).is_none());
    store.update_credential(credential.clone()).await.unwrap();
    assert!(store.revoked(&of_secret).is_some(), "enabling brings no token back");
    let again = minted(&*store, 4, "alice", |session| session.client_id = credential.client_id.clone()).await;
    store.delete_credential(&credential.name).await.unwrap();
    assert!(store.revoked(&again).is_some() && store.revoked(&of_user).is_none());

    store.set_user_state(&named("alice"), UserState::Disabled).await.unwrap();
    assert!(store.revoked(&of_user).is_some());
    store.set_user_state(&named("alice"), UserState::Enabled).await.unwrap();
    assert!(store.revoked(&of_user).is_some(), "enabling brings no token back");
    let fresh = minted(&*store, 5, "alice", |_| {}).await;
    assert!(store.revoked(&fresh).is_none(), "minted in the same second, and after");
    store.set_user_state(&named("alice"), UserState::Deleted).await.unwrap();
    store.create_user(user("alice")).await.unwrap();
    assert!(store.revoked(&fresh).is_some(), "the name's next user does not inherit it");
    assert!(store.revoked(&other).is_none());
}

async fn sessions_of_a_policy_or_an_issuer_end_together(backend: Backend) {
    let store = backend.open().await;
    store.create_user(user("alice")).await.unwrap();
    let policy = |name| PolicyName::parse(name).unwrap();
    let (first, both) = (vec![policy("one")], vec![policy("two"), policy("three")]);
    let one = minted(&*store, 1, "alice", |session| session.policies = first).await;
    let two = minted(&*store, 2, "alice", |session| session.policies = both).await;
    let elsewhere = minted(&*store, 3, "alice", |session| {
        session.policies = vec![policy("three-more")];
        session.issuer = Some(IssuerName::parse("azure").unwrap());
    })
    .await;
    let end = |which| store.unrecorded(Change::EndSessions(which));
    assert_eq!(end(SessionsOf::Policies(vec![policy("three"), policy("thre")])).await.unwrap(), 1);
    assert!(store.revoked(&two).is_some() && store.revoked(&one).is_none() && store.revoked(&elsewhere).is_none());
    assert_eq!(end(SessionsOf::Issuers(vec![IssuerName::parse("github").unwrap()])).await.unwrap(), 1);
    assert!(store.revoked(&one).is_some() && store.revoked(&elsewhere).is_none());
    assert_eq!(end(SessionsOf::User(named("alice"))).await.unwrap(), 1);
    assert_eq!(end(SessionsOf::User(named("alice"))).await.unwrap(), 0);
}

async fn an_ended_session_is_known_after_reopening_and_forgotten_when_its_token_has_ended(backend: Backend) {
    let store = backend.open().await;
    store.create_user(user("alice")).await.unwrap();
    let token = minted(&*store, 1, "alice", |_| {}).await;
    assert!(store.revoke_session(&token, now()).await.unwrap());
    drop(store);
    let store = backend.open().await;
    assert!(store.revoked(&token).is_some());
    store.prune(now().plus(Duration::from_secs(10))).await.unwrap();
    assert!(store.revoked(&token).is_some());
    store.prune(now().plus(Duration::from_secs(1000))).await.unwrap();
    assert!(store.revoked(&token).is_none());
}

async fn sessions_are_listed_newest_first_by_what_is_asked(backend: Backend) {
    let store = backend.open().await;
    for name in ["alice", "bob"] {
        store.create_user(user(name)).await.unwrap();
    }
    let mut tokens = Vec::new();
    for number in 1..=4 {
        tokens.push(minted(&*store, number, if number == 3 { "bob" } else { "alice" }, |_| {}).await);
    }
    let any = || SessionFilter { limit: 10, ..SessionFilter::default() };
    let find = async |filter: SessionFilter| {
        let found = store.sessions(filter).await.unwrap().into_iter();
        found.map(|session| tokens.iter().position(|token| *token == session.token).unwrap() + 1).collect::<Vec<_>>()
    };
    assert_eq!(find(any()).await, [4, 3, 2, 1]);
    assert_eq!(find(SessionFilter { user: Some(named("alice")), ..any() }).await, [4, 2, 1]);
    assert_eq!(find(SessionFilter { limit: 1, user: Some(named("alice")), ..any() }).await, [4]);
    assert_eq!(find(SessionFilter { before: Some(tokens[2].clone()), ..any() }).await, [2, 1]);
    assert_eq!(find(SessionFilter { policy: Some(PolicyName::parse("two").unwrap()), ..any() }).await, [4, 3, 2, 1]);
    assert_eq!(find(SessionFilter { policy: Some(PolicyName::parse("tw").unwrap()), ..any() }).await, [0; 0]);
    assert_eq!(find(SessionFilter { issuer: Some(IssuerName::parse("azure").unwrap()), ..any() }).await, [0; 0]);
    assert_eq!(find(SessionFilter { since: Some(now().plus(Duration::from_secs(9))), ..any() }).await, [0; 0]);
}
