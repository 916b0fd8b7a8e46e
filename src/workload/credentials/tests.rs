//! What a presented secret gets, against a real store.

#![allow(clippy::string_slice)]

use super::*;
use crate::store::sqlite::Sqlite;
use crate::store::unrecorded::Unrecorded as _;
use crate::store::{UserOrigin, UserRecord, UserState};

const NOW: UnixTime = UnixTime(1_800_000_000);

struct Fixture {
    store: Sqlite,
    hasher: SecretHasher,
    secret: SecretString,
    record: CredentialRecord,
    _data: tempfile::TempDir,
}

/// A store with one credential, after `change`.
async fn given(change: impl FnOnce(&mut CredentialRecord)) -> Fixture {
    let data = tempfile::tempdir().unwrap();
    let store = Sqlite::open(data.path()).unwrap();
    let hasher = SecretHasher::open(&store).await.unwrap();
    let user = UserName::parse("alice").unwrap();
    let origin = UserOrigin::Operator;
    store
        .create_user(UserRecord { name: user.clone(), origin, state: UserState::Enabled, created_at: NOW })
        .await
        .unwrap();
    let secret = fresh_secret().unwrap();
    let mut record = CredentialRecord {
        name: CredentialName::parse("ci").unwrap(),
        client_id: fresh_client_id().unwrap(),
        user,
        kind: CredentialKind::Oauth2,
        scopes: Scopes::default(),
        created_at: NOW,
        expires_at: None,
        disabled: false,
        secrets: vec![SecretRecord { hash: hasher.hash_secret(&secret), created_at: NOW, expires_at: None }],
    };
    change(&mut record);
    store.create_credential(record.clone()).await.unwrap();
    Fixture { store, hasher, secret, record, _data: data }
}

impl Fixture {
    async fn shown(&self, secret: &str, now: UnixTime) -> Result<ProvenSecret, SecretRefusal> {
        let presented = PresentedSecret { client_id: self.record.client_id.clone(), secret: secret.into() };
        match prove(&self.store, &self.hasher, &presented, now).await {
            Err(SecretFailure::Fault(fault)) => panic!("{fault}"),
            Err(SecretFailure::Refusal(refusal)) => Err(refusal),
            Ok(proven) => Ok(proven),
        }
    }

    async fn refusal(&self, secret: &str, now: UnixTime) -> Option<SecretRefusal> {
        self.shown(secret, now).await.err()
    }
}

#[tokio::test]
async fn the_right_secret_is_proven_and_its_near_misses_are_wrong() {
    let fixture = given(|_| {}).await;
    let right = fixture.secret.expose_secret();
    let proven = fixture.shown(right, NOW).await.unwrap();
    assert_eq!((proven.user().as_str(), proven.client_id()), ("alice", &fixture.record.client_id));
    let stored = URL_SAFE_NO_PAD.encode(fixture.record.secrets[0].hash);
    let padded = format!("{right}{}", "x".repeat(512));
    for wrong in ["", " ", &right[1..], &right.to_uppercase(), &format!("{right} "), &stored, &padded] {
        assert_eq!(fixture.refusal(wrong, NOW).await, Some(SecretRefusal::WrongSecret), "{wrong}");
    }
}

#[tokio::test]
async fn each_refusal_has_its_own_cause() {
    let later = NOW.plus(Duration::from_secs(60));
    let expiring = given(|record| record.expires_at = Some(later)).await;
    let secret = expiring.secret.expose_secret();
    assert_eq!(expiring.refusal(secret, UnixTime(later.0 - 1)).await, None);
    assert_eq!(expiring.refusal(secret, later).await.map(SecretRefusal::cause), Some("secret.expired"));
    assert_eq!(expiring.refusal("x", later).await.map(SecretRefusal::cause), Some("secret.wrong"));

    let disabled = given(|record| record.disabled = true).await;
    let secret = disabled.secret.expose_secret();
    assert_eq!(disabled.refusal(secret, NOW).await.map(SecretRefusal::cause), Some("secret.disabled"));

    let presented = PresentedSecret { client_id: ClientId::parse("cs-nobody").unwrap(), secret: secret.into() };
    let unknown = prove(&disabled.store, &disabled.hasher, &presented, NOW).await;
    assert!(matches!(unknown, Err(SecretFailure::Refusal(SecretRefusal::UnknownClient))));
}

#[tokio::test]
async fn an_access_tokens_id_is_no_client_secret() {
    let token = TokenId::parse("0123456789abcdef").unwrap();
    let fixture = given(|record| record.kind = CredentialKind::AccessToken).await;
    assert_eq!(fixture.refusal(fixture.secret.expose_secret(), NOW).await, Some(SecretRefusal::UnknownClient));

    let hash = fixture.hasher.hash_token_id(&token);
    let secrets = vec![SecretRecord { hash, created_at: NOW, expires_at: None }];
    let record = CredentialRecord { secrets, ..fixture.record.clone() };
    assert_eq!(fixture.hasher.accept_token(&record, &token, NOW), Ok(()));
    let other = TokenId::parse("other").unwrap();
    assert_eq!(fixture.hasher.accept_token(&record, &other, NOW), Err(SecretRefusal::WrongSecret));
    let of_secret = CredentialRecord { kind: CredentialKind::Oauth2, ..record };
    assert_eq!(fixture.hasher.accept_token(&of_secret, &token, NOW), Err(SecretRefusal::UnknownClient));
    fixture.store.update_credential(of_secret).await.unwrap();
    assert_eq!(fixture.refusal(token.as_str(), NOW).await, Some(SecretRefusal::UnknownClient));
}

#[tokio::test]
async fn both_secrets_work_while_a_rotation_overlaps_and_the_old_one_ends_then() {
    let fixture = given(|_| {}).await;
    let rotate = |overlap| {
        let secret = fresh_secret().unwrap();
        let hash = fixture.hasher.hash_secret(&secret);
        let new = SecretRecord { hash, created_at: NOW, expires_at: None };
        (secret, with_new_secret(fixture.record.clone(), new, Duration::from_secs(overlap)).unwrap())
    };
    let old = fixture.secret.expose_secret();

    let (new, rotated) = rotate(3600);
    fixture.store.update_credential(rotated).await.unwrap();
    let end = NOW.plus(Duration::from_secs(3600));
    assert_eq!(fixture.refusal(old, UnixTime(end.0 - 1)).await, None);
    assert_eq!(fixture.refusal(old, end).await, Some(SecretRefusal::Expired));
    assert_eq!(fixture.refusal(new.expose_secret(), end).await, None);

    let (newest, rotated) = rotate(0);
    fixture.store.update_credential(rotated).await.unwrap();
    assert_eq!(fixture.refusal(old, NOW).await, Some(SecretRefusal::WrongSecret));
    assert_eq!(fixture.refusal(newest.expose_secret(), NOW).await, None);
}

#[test]
fn a_rotation_never_prolongs_an_old_secret_and_their_number_is_bounded() {
    let secret = |created_at| SecretRecord { hash: [1; 32], created_at, expires_at: None };
    let mut credential = CredentialRecord {
        name: CredentialName::parse("ci").unwrap(),
        client_id: fresh_client_id().unwrap(),
        user: UserName::parse("alice").unwrap(),
        kind: CredentialKind::Oauth2,
        scopes: Scopes::default(),
        created_at: NOW,
        expires_at: Some(NOW.plus(Duration::from_secs(60))),
        disabled: false,
        secrets: vec![secret(NOW)],
    };
    let day = Duration::from_secs(86_400);
    credential = with_new_secret(credential, secret(NOW), day).unwrap();
    assert_eq!(credential.secrets[0].expires_at, Some(NOW.plus(Duration::from_secs(60))));
    for _ in 2..MAX_SECRETS {
        credential = with_new_secret(credential, secret(NOW), day).unwrap();
    }
    assert_eq!(credential.secrets.len(), MAX_SECRETS);
    assert_eq!(with_new_secret(credential.clone(), secret(NOW), day), Err(TooManySecrets));
    assert_eq!(with_new_secret(credential, secret(NOW), Duration::ZERO).unwrap().secrets.len(), 1);
}

#[test]
fn a_secret_has_256_random_bits_and_a_check_that_a_scanner_can_verify() {
    let secret = fresh_secret().unwrap();
    let text = secret.expose_secret();
    assert_eq!((text.len(), text.starts_with("cssecret_")), (58, true));
    assert_eq!(URL_SAFE_NO_PAD.decode(&text[9..52]).unwrap().len(), 32);
    let check = digest::digest(&digest::SHA256, &text.as_bytes()[..52]);
    assert_eq!(URL_SAFE_NO_PAD.encode(&check.as_ref()[..4]), &text[52..]);
    assert_ne!(fresh_secret().unwrap().expose_secret(), text);
    let id = fresh_client_id().unwrap();
    assert_eq!((id.as_str().len(), id.as_str().starts_with("cs-")), (23, true));
}

#[tokio::test]
async fn no_secret_hash_or_pepper_shows_in_debug_output() {
    let fixture = given(|_| {}).await;
    let shown = PresentedSecret { client_id: fixture.record.client_id.clone(), secret: fixture.secret.clone() };
    let printed = format!("{:?} {:?} {:?} {:?}", fixture.record, fixture.hasher, shown, fixture.store);
    let hash = fixture.record.secrets[0].hash;
    assert!(!printed.contains(fixture.secret.expose_secret()), "{printed}");
    assert!(!printed.contains(&format!("{hash:?}")) && !printed.contains("hash"), "{printed}");
}
