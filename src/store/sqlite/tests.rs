//! The store's promises, one function each.

mod ended;
mod paging;

use crate::store::unrecorded::Unrecorded as _;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;
use crate::store::{AuditRow, CredentialKind, ReplayClaim, SecretRecord, UsedSecret, UserOrigin};
use crate::vocab::{IssuerName, PolicyName, Scopes, TraceId, UnixMillis};

const NOW: UnixTime = UnixTime(1_800_000_000);

struct Fixture {
    store: Sqlite,
    data: tempfile::TempDir,
}

fn store() -> Fixture {
    let data = tempfile::tempdir().unwrap();
    Fixture { store: Sqlite::open(&data.path().join("data")).unwrap(), data }
}

impl Fixture {
    fn path(&self) -> std::path::PathBuf {
        self.data.path().join("data")
    }

    fn reopened(self) -> Fixture {
        let Fixture { store, data } = self;
        drop(store);
        Fixture { store: Sqlite::open(&data.path().join("data")).unwrap(), data }
    }

    async fn with_user(self, name: &str) -> Fixture {
        self.store.create_user(user(name)).await.unwrap();
        self
    }
}

fn named(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

fn user(name: &str) -> UserRecord {
    UserRecord { name: named(name), origin: UserOrigin::Operator, state: UserState::Enabled, created_at: NOW }
}

fn credential(name: &str, user: &str) -> CredentialRecord {
    CredentialRecord {
        name: CredentialName::parse(name).unwrap(),
        client_id: ClientId::parse(&format!("cs-{name}")).unwrap(),
        user: named(user),
        kind: CredentialKind::Oauth2,
        scopes: Scopes::parse_wire("service:a service:b").unwrap(),
        created_at: NOW,
        expires_at: Some(NOW.plus(Duration::from_secs(60))),
        disabled: false,
        secrets: vec![SecretRecord { hash: [7; 32], created_at: NOW, expires_at: None }],
    }
}

fn token(number: u16) -> TokenId {
    let [high, low] = number.to_be_bytes();
    TokenId::new(UnixMillis(NOW.0 * 1000), [0, 0, 0, 0, 0, 0, 0, 0, high, low])
}

fn exchange(number: u16, user: &str) -> ExchangeCommit {
    let trace_id = TraceId::parse(token(number).as_str()).unwrap();
    let json = format!(r#"{{"trace_id":"{trace_id}","user":"{user}"}}"#);
    ExchangeCommit {
        replay: None,
        secret: None,
        new_user: None,
        session: Some(SessionRecord {
            token: token(number),
            user: named(user),
            client_id: ClientId::parse(user).unwrap(),
            issuer: Some(IssuerName::parse("github").unwrap()),
            policies: vec![PolicyName::parse("one").unwrap(), PolicyName::parse("two").unwrap()],
            created_at: NOW,
            expires_at: NOW.plus(Duration::from_secs(900)),
            revoked_at: None,
        }),
        audit: AuditRow {
            time: UnixMillis(NOW.0 * 1000 + i64::from(number)),
            trace_id,
            outcome: "minted",
            cause: None,
            user: Some(named(user)),
            policy: Some(PolicyName::parse("one").unwrap()),
            issuer_name: Some(IssuerName::parse("github").unwrap()),
            json,
        },
        now: NOW,
    }
}

fn single_use(number: u16, user: &str, id: u8) -> ExchangeCommit {
    let claim = ReplayClaim { id: [id; 32], keep_until: NOW.plus(Duration::from_secs(300)) };
    ExchangeCommit { replay: Some(claim), ..exchange(number, user) }
}

fn just_in_time(number: u16, name: &str) -> ExchangeCommit {
    let origin = UserOrigin::Policy(PolicyName::parse("one").unwrap());
    ExchangeCommit { new_user: Some(UserRecord { origin, ..user(name) }), ..exchange(number, name) }
}

async fn trail(store: &Sqlite) -> Vec<AuditEntry> {
    store.audit(AuditFilter { limit: 1000, ..AuditFilter::default() }).await.unwrap()
}

#[tokio::test]
async fn users_credentials_sessions_and_audit_are_there_after_reopening() {
    let fixture = store().with_user("alice").await;
    fixture.store.create_user(user("bob")).await.unwrap();
    fixture.store.set_user_state(&named("bob"), UserState::Disabled).await.unwrap();
    fixture.store.create_credential(credential("ci", "alice")).await.unwrap();
    assert_eq!(fixture.store.commit(exchange(1, "alice")).await.unwrap(), CommitOutcome::Committed);
    let before = (fixture.store.users().await.unwrap(), fixture.store.credentials().await.unwrap());

    let again = fixture.reopened();
    assert_eq!((again.store.users().await.unwrap(), again.store.credentials().await.unwrap()), before);
    assert_eq!(again.store.session(&token(1)).await.unwrap(), exchange(1, "alice").session);
    assert_eq!(trail(&again.store).await.len(), 1);
    let found = again.store.credential_of_client(&ClientId::parse("cs-ci").unwrap()).await.unwrap();
    assert_eq!(*found.unwrap(), credential("ci", "alice"));
}

#[tokio::test]
async fn a_name_in_use_is_refused_and_a_deleted_one_is_revived_as_new() {
    let fixture = store().with_user("alice").await;
    assert!(matches!(fixture.store.create_user(user("alice")).await, Err(ChangeRefusal::Exists(_))));
    fixture.store.create_credential(credential("ci", "alice")).await.unwrap();
    fixture.store.commit(exchange(1, "alice")).await.unwrap();
    fixture.store.set_user_state(&named("alice"), UserState::Deleted).await.unwrap();

    assert_eq!(fixture.store.users().await.unwrap(), []);
    assert_eq!(fixture.store.user(&named("alice")).await.unwrap().unwrap().state, UserState::Deleted);
    assert_eq!(fixture.store.credentials().await.unwrap(), [], "its credentials went with it");

    let later = NOW.plus(Duration::from_secs(5));
    fixture.store.create_user(UserRecord { created_at: later, ..user("alice") }).await.unwrap();
    let again = fixture.reopened();
    assert_eq!(again.store.users().await.unwrap(), [UserRecord { created_at: later, ..user("alice") }]);
    assert_eq!(again.store.credentials().await.unwrap(), []);
    let session = again.store.session(&token(1)).await.unwrap().unwrap();
    assert!(session.revoked_at.is_some(), "a token of the user before is not the new one's");
    assert!(again.store.revoked(&token(1)).is_some());
}

#[tokio::test]
async fn what_is_missing_cannot_be_changed() {
    let fixture = store().with_user("alice").await;
    let name = CredentialName::parse("ci").unwrap();
    let changes = [
        fixture.store.set_user_state(&named("bob"), UserState::Disabled).await,
        fixture.store.create_credential(credential("ci", "bob")).await,
        fixture.store.update_credential(credential("ci", "alice")).await,
        fixture.store.delete_credential(&name).await,
    ];
    for change in changes {
        assert!(matches!(change, Err(ChangeRefusal::Missing(_))), "{change:?}");
    }
    fixture.store.create_credential(credential("ci", "alice")).await.unwrap();
    fixture.store.delete_credential(&name).await.unwrap();
}

#[tokio::test]
async fn an_update_keeps_who_the_credential_signs_in_and_replaces_its_secrets() {
    let fixture = store().with_user("alice").await.with_user("mallory").await;
    fixture.store.create_credential(credential("ci", "alice")).await.unwrap();
    let secrets = vec![
        SecretRecord { hash: [8; 32], created_at: NOW, expires_at: Some(NOW) },
        SecretRecord { hash: [9; 32], created_at: NOW, expires_at: None },
    ];
    let changed = CredentialRecord { disabled: true, secrets, ..credential("ci", "mallory") };
    fixture.store.update_credential(changed.clone()).await.unwrap();
    let expected = CredentialRecord { user: named("alice"), ..changed };
    assert_eq!(fixture.store.credentials().await.unwrap(), std::slice::from_ref(&expected));
    assert_eq!(fixture.reopened().store.credentials().await.unwrap(), [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_of_many_identical_claims_wins() {
    let fixture = store().with_user("alice").await;
    let shared = Arc::new(fixture.store);
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let store = Arc::clone(&shared);
            tokio::spawn(async move { store.commit(single_use(number, "alice", 1)).await.unwrap() })
        })
        .collect();
    let mut committed = 0;
    for task in tasks {
        committed += usize::from(task.await.unwrap() == CommitOutcome::Committed);
    }
    assert_eq!((committed, trail(&shared).await.len()), (1, 1));
}

#[tokio::test]
async fn a_claim_holds_until_its_time_has_passed_also_after_reopening() {
    let fixture = store().with_user("alice").await;
    fixture.store.commit(single_use(1, "alice", 1)).await.unwrap();
    let fixture = fixture.reopened();
    let at = |now| ExchangeCommit { now, ..single_use(2, "alice", 1) };
    let last = NOW.plus(Duration::from_secs(300));
    assert_eq!(fixture.store.commit(at(last)).await.unwrap(), CommitOutcome::Replayed);
    assert!(fixture.store.session(&token(2)).await.unwrap().is_none(), "nothing was written");
    assert_eq!(fixture.store.prune(last).await.unwrap(), 0, "nor may it be pruned yet");
    assert_eq!(fixture.store.commit(at(UnixTime(last.0 + 1))).await.unwrap(), CommitOutcome::Committed);
}

#[tokio::test]
async fn a_user_is_made_just_in_time_once_and_never_from_a_tombstone() {
    let fixture = store();
    assert_eq!(fixture.store.commit(just_in_time(1, "gha-1")).await.unwrap(), CommitOutcome::Committed);
    assert_eq!(fixture.store.commit(just_in_time(2, "gha-1")).await.unwrap(), CommitOutcome::Committed);
    assert_eq!(fixture.store.users().await.unwrap(), [just_in_time(1, "gha-1").new_user.unwrap()]);

    fixture.store.set_user_state(&named("gha-1"), UserState::Deleted).await.unwrap();
    let replay = single_use(3, "gha-1", 3).replay;
    let refused = ExchangeCommit { replay: replay.clone(), ..just_in_time(3, "gha-1") };
    assert_eq!(fixture.store.commit(refused).await.unwrap(), CommitOutcome::UserUnavailable);
    assert_eq!(fixture.store.users().await.unwrap(), []);
    let claimed_now = ExchangeCommit { replay, ..just_in_time(4, "gha-2") };
    assert_eq!(fixture.store.commit(claimed_now).await.unwrap(), CommitOutcome::Committed, "the claim was left free");
}

#[tokio::test]
async fn an_answered_disable_stops_every_later_exchange() {
    let fixture = store().with_user("alice").await;
    fixture.store.set_user_state(&named("alice"), UserState::Disabled).await.unwrap();
    assert_eq!(fixture.store.commit(exchange(1, "alice")).await.unwrap(), CommitOutcome::UserUnavailable);
    assert_eq!(fixture.store.commit(exchange(1, "nobody")).await.unwrap(), CommitOutcome::UserUnavailable);
    fixture.store.set_user_state(&named("alice"), UserState::Enabled).await.unwrap();
    assert_eq!(fixture.store.commit(exchange(1, "alice")).await.unwrap(), CommitOutcome::Committed);
}

#[tokio::test]
async fn an_answered_change_of_a_credential_stops_every_exchange_of_its_old_secret() {
    let fixture = store().with_user("alice").await;
    let first = credential("ci", "alice");
    fixture.store.create_credential(first.clone()).await.unwrap();
    let used = |number| {
        let (credential, client_id) = (first.name.clone(), first.client_id.clone());
        let secret = Some(UsedSecret { credential, client_id, hash: [7; 32] });
        fixture.store.commit(ExchangeCommit { secret, ..exchange(number, "alice") })
    };
    assert_eq!(used(1).await.unwrap(), CommitOutcome::Committed);

    let rotated = SecretRecord { hash: [8; 32], created_at: NOW, expires_at: None };
    let changes = [
        CredentialRecord { disabled: true, ..first.clone() },
        CredentialRecord { expires_at: Some(NOW), ..first.clone() },
        CredentialRecord { secrets: vec![rotated], ..first.clone() },
    ];
    for changed in changes {
        fixture.store.update_credential(changed).await.unwrap();
        assert_eq!(used(2).await.unwrap(), CommitOutcome::SecretUnavailable);
    }
    fixture.store.update_credential(first.clone()).await.unwrap();
    assert_eq!(used(2).await.unwrap(), CommitOutcome::Committed);

    fixture.store.delete_credential(&first.name).await.unwrap();
    assert_eq!(used(3).await.unwrap(), CommitOutcome::SecretUnavailable);
    let client_id = ClientId::parse("cs-another").unwrap();
    fixture.store.create_credential(CredentialRecord { client_id, ..first.clone() }).await.unwrap();
    assert_eq!(used(3).await.unwrap(), CommitOutcome::SecretUnavailable, "the name alone is not the credential");
    assert_eq!(trail(&fixture.store).await.len(), 2);
}

#[tokio::test]
async fn a_record_without_a_session_is_kept_whatever_the_users_state() {
    let fixture = store();
    let refused = ExchangeCommit { session: None, ..exchange(1, "nobody") };
    assert_eq!(fixture.store.commit(refused).await.unwrap(), CommitOutcome::Committed);
    assert_eq!(trail(&fixture.store).await.len(), 1);
}

#[tokio::test]
async fn one_broken_job_does_not_spoil_the_others_of_its_group() {
    let fixture = store().with_user("alice").await;
    let jobs = (0..40).map(|number| fixture.store.commit(exchange(if number == 20 { 0 } else { number }, "alice")));
    let outcomes = futures_util::future::join_all(jobs).await;
    let faults = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    assert_eq!((faults, trail(&fixture.store).await.len()), (1, 39), "only the repeated token id fails");
}

#[tokio::test]
async fn a_full_disk_fails_what_it_must_and_the_store_recovers() {
    let fixture = store().with_user("alice").await;
    let set_room = |pages: i64| {
        fixture.store.writer.run(move |group| {
            group.connection().pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0))
        })
    };
    set_room(1).await.unwrap(); // SQLite takes the present size instead: no page can be added
    let big = |number| {
        let mut big = just_in_time(number, "gha-1");
        big.audit.json = format!("\"{}\"", "x".repeat(100_000));
        big
    };
    assert!(fixture.store.commit(big(1)).await.is_err());
    assert_eq!(fixture.store.user(&named("gha-1")).await.unwrap(), None, "memory is not ahead of the disk");
    assert_eq!(trail(&fixture.store).await, []);

    set_room(1 << 30).await.unwrap();
    fixture.store.check().await.unwrap();
    assert_eq!(fixture.store.commit(big(1)).await.unwrap(), CommitOutcome::Committed);
    assert!(fixture.store.user(&named("gha-1")).await.unwrap().is_some());
    assert!(fixture.reopened().store.user(&named("gha-1")).await.unwrap().is_some());
}

#[tokio::test]
async fn only_the_owner_can_read_any_file() {
    let fixture = store().with_user("alice").await;
    fixture.store.commit(exchange(1, "alice")).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&fixture.path()), 0o700);
    let files: Vec<_> = std::fs::read_dir(fixture.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.iter().any(|file| file.ends_with("countersign.db-wal")) && files.len() >= 5, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_until_the_first_is_gone() {
    let fixture = store();
    let refused = Sqlite::open(&fixture.path()).unwrap_err();
    assert!(refused.0.contains("another countersign server is using"), "{refused}");
    fixture.reopened();
}

#[tokio::test]
async fn a_newer_schema_and_a_foreign_file_are_refused() {
    for (pragma, expected) in [("user_version = 999", "newer version"), ("application_id = 1", "another program's")] {
        let fixture = store();
        let database = fixture.path().join(files::DATABASE);
        drop(fixture.store);
        rusqlite::Connection::open(&database).unwrap().execute_batch(&format!("PRAGMA {pragma}")).unwrap();
        let refused = Sqlite::open(&fixture.data.path().join("data")).unwrap_err();
        assert!(refused.0.contains(expected), "{refused}");
    }
}

#[tokio::test]
async fn a_shared_secret_is_made_once() {
    let fixture = store();
    assert_eq!(fixture.store.shared_secret("pepper", [1; 32]).await.unwrap(), [1; 32]);
    assert_eq!(fixture.store.shared_secret("pepper", [2; 32]).await.unwrap(), [1; 32]);
    assert_eq!(fixture.store.shared_secret("other", [3; 32]).await.unwrap(), [3; 32]);
    assert_eq!(fixture.reopened().store.shared_secret("pepper", [4; 32]).await.unwrap(), [1; 32]);
}

#[tokio::test]
async fn a_check_writes() {
    let fixture = store();
    let before = std::fs::metadata(fixture.path().join("countersign.db-wal")).unwrap().len();
    fixture.store.check().await.unwrap();
    assert!(std::fs::metadata(fixture.path().join("countersign.db-wal")).unwrap().len() > before);
}
