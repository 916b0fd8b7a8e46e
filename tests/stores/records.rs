//! Records as tests make them.

use std::time::Duration;

use countersign::clock::Clock;
use countersign::store::{
    AuditEntry, AuditFilter, AuditRow, CredentialKind, CredentialRecord, ExchangeCommit, ReplayClaim, SecretRecord,
    SessionRecord, Store, UsedSecret, UserOrigin, UserRecord, UserState,
};
use countersign::vocab::{
    ClientId, CredentialName, IssuerName, PolicyName, Scopes, TokenId, TraceId, UnixMillis, UnixTime, UserName,
};

/// A user that many tests have.
pub static ALICE: std::sync::LazyLock<UserName> = std::sync::LazyLock::new(|| named("alice"));

/// The time of the test: today's, because PostgreSQL's own clock decides what has ended.
pub fn now() -> UnixTime {
    Clock::system().now()
}

pub fn named(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

pub fn user(name: &str) -> UserRecord {
    UserRecord { name: named(name), origin: UserOrigin::Operator, state: UserState::Enabled, created_at: now() }
}

pub fn credential(name: &str, user: &str) -> CredentialRecord {
    let secret = |byte, expires_at| SecretRecord { hash: [byte; 32], created_at: now(), expires_at };
    CredentialRecord {
        name: CredentialName::parse(name).unwrap(),
        client_id: ClientId::parse(&format!("cs-{name}")).unwrap(),
        user: named(user),
        kind: CredentialKind::Oauth2,
        scopes: Scopes::parse_wire("service:a service:b").unwrap(),
        created_at: now(),
        expires_at: Some(now().plus(Duration::from_secs(600))),
        disabled: false,
        secrets: vec![secret(7, None), secret(8, Some(now().plus(Duration::from_secs(60))))],
    }
}

pub fn secret_of(credential: &CredentialRecord, byte: u8) -> UsedSecret {
    UsedSecret { credential: credential.name.clone(), client_id: credential.client_id.clone(), hash: [byte; 32] }
}

pub fn token(number: u32) -> TokenId {
    let [a, b, c, d] = number.to_be_bytes();
    TokenId::new(UnixMillis(now().0 * 1000), [0, 0, 0, 0, 0, 0, a, b, c, d])
}

pub fn exchange(number: u32, user: &str) -> ExchangeCommit {
    let token = token(number);
    let trace_id = TraceId::parse(token.as_str()).unwrap();
    let time = UnixMillis(now().0 * 1000 + i64::from(number));
    let json = format!(
        r#"{{"time":"{}","outcome":"minted","trace_id":"{trace_id}","user":"{user}","policy":"one","issuer_name":"github"}}"#,
        time.to_rfc3339()
    );
    ExchangeCommit {
        replay: None,
        secret: None,
        new_user: None,
        session: Some(SessionRecord {
            token,
            user: named(user),
            client_id: ClientId::parse(user).unwrap(),
            issuer: Some(IssuerName::parse("github").unwrap()),
            policies: vec![PolicyName::parse("one").unwrap(), PolicyName::parse("two").unwrap()],
            created_at: now(),
            expires_at: now().plus(Duration::from_secs(900)),
            revoked_at: None,
        }),
        audit: AuditRow {
            time,
            trace_id,
            outcome: "minted",
            cause: None,
            user: Some(named(user)),
            policy: Some(PolicyName::parse("one").unwrap()),
            issuer_name: Some(IssuerName::parse("github").unwrap()),
            json,
        },
        now: now(),
    }
}

/// An exchange of an assertion with this replay id.
pub fn single_use(number: u32, user: &str, id: [u8; 32]) -> ExchangeCommit {
    let claim = ReplayClaim { id, keep_until: now().plus(Duration::from_secs(300)) };
    ExchangeCommit { replay: Some(claim), ..exchange(number, user) }
}

/// An exchange whose policy makes its user.
pub fn just_in_time(number: u32, name: &str) -> ExchangeCommit {
    let origin = UserOrigin::Policy(PolicyName::parse("one").unwrap());
    ExchangeCommit { new_user: Some(UserRecord { origin, ..user(name) }), ..exchange(number, name) }
}

pub async fn trail(store: &dyn Store) -> Vec<AuditEntry> {
    store.audit(AuditFilter { limit: 100_000, ..AuditFilter::default() }).await.unwrap()
}
