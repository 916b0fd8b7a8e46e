//! Tokens signed with a key of the test's own, against a real store.

use crate::store::unrecorded::Unrecorded as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;
use crate::config::{KeyEncryptionSettings, SigningAlgorithm, SigningSettings};
use crate::mint::{Ring, RingSettings};
use crate::store::sqlite::Sqlite;
use crate::store::{
    AuditRow, CredentialKind, CredentialRecord, ExchangeCommit, KeyPurpose, KeyRecord, KeyState, PrivateKey,
    SecretRecord, SessionRecord, Store, UserOrigin, UserRecord, UserState,
};
use crate::vocab::{
    Audience, ClientId, CredentialName, IssuerUrl, Scopes, TokenId, TraceId, UnixMillis, UnixTime, UserName,
};
use crate::workload::credentials::SecretHasher;

pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);
pub(crate) const ISSUER: &str = "https://broker.example.com";
pub(crate) const TRACE: &str = "0123456789abcdef0123456789abcdef";

/// A store with one enabled user, `deployer`, and its one session, `session-1`.
pub(crate) struct Fixture {
    pub(crate) store: Arc<Sqlite>,
    pub(crate) verifier: Arc<Verifier>,
    hasher: Arc<SecretHasher>,
    pair: EcdsaKeyPair,
    _directory: tempfile::TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(directory.path()).unwrap());
        store.create_user(user("deployer", NOW)).await.unwrap();
        store.commit(session("session-1")).await.unwrap();
        let hasher = Arc::new(SecretHasher::open(&*store).await.unwrap());
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let issuer = IssuerUrl::parse(ISSUER).unwrap();
        let ring = Arc::new(ring(directory.path(), store.clone(), &pair).await);
        let verifier = Arc::new(Verifier::new(&issuer, ring, store.clone(), Arc::clone(&hasher)));
        Fixture { store, verifier, hasher, pair, _directory: directory }
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let input = signing_input(header, claims);
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// The valid token with these claims changed; `null` leaves one out.
    pub(crate) fn token(&self, changes: &Value) -> String {
        self.sign(&header(), &changed(claims(), changes))
    }

    pub(crate) async fn disable_user(&self) {
        self.store.set_user_state(&named("deployer"), UserState::Disabled).await.unwrap();
    }

    async fn cause(&self, token: &str) -> &'static str {
        let audiences = [Audience::parse(ISSUER).unwrap(), Audience::parse("https://my-api.example.com").unwrap()];
        self.verifier.verify(token, &audiences, NOW).await.map_or_else(|refusal| refusal.cause(), |_| "accepted")
    }

    async fn with_credential(self, disabled: bool, expires_at: Option<UnixTime>) -> Fixture {
        let hash = self.hasher.hash_token_id(&TokenId::parse("long-lived-1").unwrap());
        let credential = CredentialRecord {
            name: CredentialName::parse("robot").unwrap(),
            client_id: ClientId::parse("cs-robot").unwrap(),
            user: named("deployer"),
            kind: CredentialKind::AccessToken,
            scopes: Scopes::default(),
            created_at: NOW,
            expires_at,
            disabled,
            secrets: vec![SecretRecord { hash, created_at: NOW, expires_at: None }],
        };
        self.store.create_credential(credential).await.unwrap();
        self
    }
}

/// A ring whose active key is `pair`, under the id `key-1`.
async fn ring(data: &Path, store: Arc<Sqlite>, pair: &EcdsaKeyPair) -> Ring {
    let key = KeyRecord {
        id: "key-1".to_owned(),
        algorithm: SigningAlgorithm::ES256,
        purpose: KeyPurpose::Token,
        state: KeyState::Active,
        private: PrivateKey::Plain(pair.to_pkcs8v1().unwrap().as_ref().to_vec().into()),
        created_at: NOW,
        published_at: Some(NOW),
        activated_at: Some(NOW),
        retired_at: None,
        ended_at: None,
        longest_token: Duration::from_secs(3600),
        changed: 0,
    };
    store.change_signing_keys(0, vec![key], Vec::new()).await.unwrap();
    let day = Duration::from_secs(24 * 3600);
    let settings = RingSettings {
        algorithm: SigningAlgorithm::ES256,
        max_lifetime: Duration::from_secs(3600),
        signing: SigningSettings { rotate_every: 30 * day, jwks_max_age: Duration::from_secs(300) },
        replica: "test".to_owned(),
    };
    Ring::open(store, (&KeyEncryptionSettings::default(), data), settings, Clock::manual(NOW)).await.unwrap()
}

fn jwks(pair: &EcdsaKeyPair) -> Value {
    let point = pair.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
    json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "key-1", "use": "sig", "alg": "ES256", "x": x, "y": y }] })
}

fn header() -> Value {
    json!({ "alg": "ES256", "kid": "key-1", "typ": "at+jwt" })
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "deployer", "client_id": "deployer", "aud": ISSUER, "iat": NOW.0, "nbf": NOW.0,
        "exp": NOW.0 + 900, "jti": "session-1", "scope": "service:my-api",
    })
}

fn changed(mut value: Value, changes: &Value) -> Value {
    let members = value.as_object_mut().unwrap();
    for (name, change) in changes.as_object().unwrap() {
        members.insert(name.clone(), change.clone());
    }
    members.retain(|_, member| !member.is_null());
    value
}

fn signing_input(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn named(name: &str) -> UserName {
    UserName::parse(name).unwrap()
}

fn user(name: &str, created_at: UnixTime) -> UserRecord {
    UserRecord { name: named(name), origin: UserOrigin::Operator, state: UserState::Enabled, created_at }
}

fn session(token: &str) -> ExchangeCommit {
    let session = SessionRecord {
        token: TokenId::parse(token).unwrap(),
        user: named("deployer"),
        client_id: ClientId::parse("deployer").unwrap(),
        issuer: None,
        policies: Vec::new(),
        created_at: NOW,
        expires_at: NOW.plus(Duration::from_secs(900)),
        revoked_at: None,
    };
    let audit = AuditRow {
        time: UnixMillis(NOW.0 * 1000),
        trace_id: TraceId::parse(TRACE).unwrap(),
        outcome: "minted",
        cause: None,
        user: None,
        policy: None,
        issuer_name: None,
        json: "{}".into(),
    };
    ExchangeCommit { replay: None, secret: None, new_user: None, session: Some(session), audit, now: NOW }
}

#[tokio::test]
async fn a_token_of_ours_becomes_the_caller_it_was_minted_for() {
    let fixture = Fixture::new().await;
    let audiences = [Audience::parse(ISSUER).unwrap()];
    let caller = fixture.verifier.verify(&fixture.token(&json!({})), &audiences, NOW).await.unwrap();
    assert_eq!((caller.user().as_str(), caller.scopes().to_wire().as_str()), ("deployer", "service:my-api"));
    assert_eq!((caller.token_id().as_str(), caller.client_id().as_str()), ("session-1", "deployer"));
    assert_eq!((caller.expires_at(), caller.credential()), (NOW.plus(Duration::from_secs(900)), None));
}

#[tokio::test]
async fn claims_are_judged_each_for_its_own_reason() {
    let fixture = Fixture::new().await;
    for (changes, cause) in [
        (json!({}), "accepted"),
        (json!({ "aud": ["https://other.example", "https://my-api.example.com"] }), "accepted"),
        (json!({ "scope": null, "nbf": null }), "accepted"),
        (json!({ "nbf": NOW.0 + 60, "iat": NOW.0 + 60 }), "accepted"),
        (json!({ "nbf": NOW.0 + 61 }), "token.not_yet_valid"),
        (json!({ "iat": NOW.0 + 61 }), "token.not_yet_valid"),
        (json!({ "exp": NOW.0 + 1 }), "accepted"),
        (json!({ "exp": NOW.0 }), "token.expired"),
        (json!({ "iss": "https://broker.example.com/" }), "token.issuer"),
        (json!({ "iss": [ISSUER] }), "token.issuer"),
        (json!({ "aud": "https://other.example" }), "token.audience"),
        (json!({ "aud": [] }), "token.audience"),
        (json!({ "aud": null }), "token.claim"),
        (json!({ "aud": [ISSUER, 5] }), "token.claim"),
        (json!({ "exp": null }), "token.claim"),
        (json!({ "exp": "1800000900" }), "token.claim"),
        (json!({ "iat": null }), "token.claim"),
        (json!({ "sub": "two words" }), "token.claim"),
        (json!({ "jti": null }), "token.claim"),
        (json!({ "client_id": null }), "token.claim"),
        (json!({ "scope": ["service:my-api"] }), "token.claim"),
    ] {
        assert_eq!(fixture.cause(&fixture.token(&changes)).await, cause, "{changes}");
    }
}

#[tokio::test]
async fn another_kind_of_token_is_no_access_token() {
    let fixture = Fixture::new().await;
    for (token_type, cause) in [
        (json!("at+jwt"), "accepted"),
        (json!("AT+JWT"), "accepted"),
        (json!("application/at+jwt"), "accepted"),
        (json!("JWT"), "token.type"),
        (json!("client-authentication+jwt"), "token.type"),
        (Value::Null, "token.type"),
    ] {
        let token = fixture.sign(&changed(header(), &json!({ "typ": token_type })), &claims());
        assert_eq!(fixture.cause(&token).await, cause, "{token_type}");
    }
}

#[tokio::test]
async fn only_our_key_under_its_own_algorithm_signs() {
    let (fixture, other) = (Fixture::new().await, Fixture::new().await);
    assert_eq!(fixture.cause(&fixture.token(&json!({}))).await, "accepted");
    assert_eq!(fixture.cause(&other.token(&json!({}))).await, "token.signature");
    for (changes, cause) in [
        (json!({ "kid": "key-2" }), "token.key"),
        (json!({ "kid": null }), "token.key"),
        (json!({ "alg": "RS256" }), "token.algorithm"),
        (json!({ "alg": "none" }), "token.malformed"),
        (json!({ "crit": ["b64"] }), "token.malformed"),
        (json!({ "jwk": {} }), "token.malformed"),
    ] {
        let token = fixture.sign(&changed(header(), &changes), &claims());
        assert_eq!(fixture.cause(&token).await, cause, "{changes}");
    }
}

#[tokio::test]
async fn neither_no_signature_nor_a_mac_with_our_public_key_passes() {
    let fixture = Fixture::new().await;
    let unsigned = signing_input(&changed(header(), &json!({ "alg": "none" })), &claims());
    let input = signing_input(&changed(header(), &json!({ "alg": "HS256" })), &claims());
    let public = [fixture.pair.public_key().as_ref().to_vec(), jwks(&fixture.pair)["keys"][0].to_string().into()];
    let macs = public.iter().map(|key| {
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac.as_ref()))
    });
    for token in macs.chain([format!("{unsigned}."), unsigned.clone(), "garbage".into(), "a.b.c".into()]) {
        assert_eq!(fixture.cause(&token).await, "token.malformed", "{token}");
    }
}

#[tokio::test]
async fn a_revoked_session_is_refused() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.cause(&fixture.token(&json!({}))).await, "accepted");
    fixture.store.revoke_session(&TokenId::parse("session-1").unwrap(), NOW).await.unwrap();
    assert_eq!(fixture.cause(&fixture.token(&json!({}))).await, "token.revoked");
}

#[tokio::test]
async fn a_disabled_users_tokens_have_ended_and_stay_so_when_it_is_enabled() {
    let fixture = Fixture::new().await;
    fixture.disable_user().await;
    assert_eq!(fixture.cause(&fixture.token(&json!({}))).await, "token.revoked");
    fixture.store.set_user_state(&named("deployer"), UserState::Enabled).await.unwrap();
    assert_eq!(fixture.cause(&fixture.token(&json!({}))).await, "token.revoked");
}

#[tokio::test]
async fn a_user_made_anew_does_not_inherit_tokens() {
    let fixture = Fixture::new().await;
    fixture.store.set_user_state(&named("deployer"), UserState::Deleted).await.unwrap();
    assert_ne!(fixture.cause(&fixture.token(&json!({}))).await, "accepted");
    // Within the same second.
    fixture.store.create_user(user("deployer", NOW)).await.unwrap();
    assert_eq!(fixture.cause(&fixture.token(&json!({}))).await, "token.revoked");
}

#[tokio::test]
async fn a_long_lived_token_needs_its_credential() {
    let robot = json!({ "jti": "long-lived-1", "client_id": "cs-robot", "credential": "robot" });
    let fixture = Fixture::new().await;
    assert_eq!(fixture.cause(&fixture.token(&robot)).await, "token.no_credential");
    let fixture = fixture.with_credential(false, None).await;
    assert_eq!(fixture.cause(&fixture.token(&robot)).await, "accepted");
    for (changes, cause) in [
        (json!({ "jti": "long-lived-0" }), "token.credential_replaced"),
        (json!({ "credential": "other" }), "token.no_credential"),
        (json!({ "client_id": "cs-other" }), "token.no_credential"),
        (json!({ "sub": "other" }), "token.no_credential"),
        (json!({ "credential": 5 }), "token.claim"),
    ] {
        assert_eq!(fixture.cause(&fixture.token(&changed(robot.clone(), &changes))).await, cause, "{changes}");
    }
    let ended = Fixture::new().await.with_credential(false, Some(NOW)).await;
    assert_eq!(ended.cause(&ended.token(&robot)).await, "token.credential_expired");
    let off = Fixture::new().await.with_credential(true, None).await;
    assert_eq!(off.cause(&off.token(&robot)).await, "token.credential_disabled");
}
