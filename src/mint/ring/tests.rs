//! The ring over a real store, with a clock that the test moves.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value;

use super::*;
use crate::config::{KeySecret, KeySecretSource};
use crate::store::sqlite::Sqlite;
use crate::store::{AuditFilter, KeyPurpose, KeyState, PrivateKey};
use crate::vocab::{Algorithm, KeyId};

const NOW: UnixTime = UnixTime(1_800_000_000);
const MAX_AGE: Duration = Duration::from_secs(300);
const LIFETIME: Duration = Duration::from_secs(3600);
const ROTATE_EVERY: Duration = Duration::from_secs(24 * 3600);
const SECOND: Duration = Duration::from_secs(1);

struct Fixture {
    data: tempfile::TempDir,
    clock: Clock,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture { data: tempfile::tempdir().unwrap(), clock: Clock::manual(NOW) }
    }

    fn store(&self) -> Arc<Sqlite> {
        Arc::new(Sqlite::open(self.data.path()).unwrap())
    }

    async fn opened(&self, store: &Arc<Sqlite>, keys: &KeyEncryptionSettings) -> Result<Ring, MintFault> {
        let signing = SigningSettings { rotate_every: ROTATE_EVERY, jwks_max_age: MAX_AGE };
        let settings = RingSettings {
            algorithm: SigningAlgorithm::ES256,
            max_lifetime: LIFETIME,
            signing,
            replica: "test".to_owned(),
        };
        Ring::open(store.clone(), (keys, self.data.path()), settings, self.clock.clone()).await
    }

    async fn ring(&self, store: &Arc<Sqlite>) -> Ring {
        self.opened(store, &KeyEncryptionSettings::default()).await.unwrap()
    }

    /// The tokens' ES256 keys by state; those of one state are sorted.
    async fn states(&self, store: &Arc<Sqlite>) -> BTreeMap<&'static str, Vec<String>> {
        let mut states: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for key in store.signing_ring(self.clock.now()).await.unwrap().keys {
            if (key.purpose, key.algorithm) == (KeyPurpose::Token, SigningAlgorithm::ES256) {
                states.entry(key.state.as_str()).or_default().push(key.id);
            }
        }
        states.values_mut().for_each(|ids| ids.sort());
        states
    }
}

fn kek(byte: u8) -> KeySecret {
    let text = SecretString::from(String::from_utf8(vec![byte; 32]).unwrap());
    KeySecret { name: format!("key {}", char::from(byte)), source: KeySecretSource::Text(text) }
}

fn keks(current: u8, previous: &[u8]) -> KeyEncryptionSettings {
    KeyEncryptionSettings { current: Some(kek(current)), previous: previous.iter().map(|byte| kek(*byte)).collect() }
}

fn published(ring: &Ring) -> Vec<String> {
    let signer = ring.signer();
    let keys = signer.jwks()["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// A relying party that keeps the JWKS for exactly its max-age and never asks earlier.
struct Cache {
    jwks: Value,
    until: UnixTime,
}

impl Cache {
    fn kids(&mut self, ring: &Ring, now: UnixTime) -> Vec<String> {
        if now >= self.until {
            (self.jwks, self.until) = (ring.signer().jwks().clone(), now.plus(MAX_AGE));
        }
        self.jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn a_strict_cache_knows_every_live_tokens_key_through_200_rotations_of_three_replicas() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let rings = [fixture.ring(&store).await, fixture.ring(&store).await, fixture.ring(&store).await];
    // One cache a replica: a load balancer fills each from another replica.
    let mut caches = [(); 3].map(|()| Cache { jwks: Value::Null, until: UnixTime(0) });
    let mut live: Vec<(String, UnixTime)> = Vec::new();
    let (mut rotations, mut last, mut checked) = (0, rings[0].signer().key_id().to_owned(), 0_u64);
    let step = Duration::from_secs(97); // no divisor of the periods: looks fall everywhere
    while rotations < 200 {
        fixture.clock.advance(step);
        let now = fixture.clock.now();
        for ring in &rings {
            ring.look().await.unwrap();
            let signer = ring.signer();
            if live.iter().all(|(id, until)| id != signer.key_id() || *until < now.plus(LIFETIME)) {
                live.retain(|(id, _)| id != signer.key_id());
                live.push((signer.key_id().to_owned(), now.plus(LIFETIME)));
            }
        }
        live.retain(|(_, until)| *until > now);
        for (cache, ring) in caches.iter_mut().zip(&rings) {
            let kids = cache.kids(ring, now);
            for (id, _) in &live {
                assert!(kids.contains(id), "after {rotations} rotations a verifier does not know {id}");
                checked += 1;
            }
        }
        if rings[0].signer().key_id() != last {
            (rotations, last) = (rotations + 1, rings[0].signer().key_id().to_owned());
        } else if !fixture.states(&store).await.contains_key("published") {
            // Not waiting for the schedule: an operator is faster than any.
            rings[0].rotate(KeyPurpose::Token, SigningAlgorithm::ES256).await.unwrap();
        }
    }
    assert!(checked > 3000, "{checked}");
    let states = fixture.states(&store).await;
    assert!(states["gone"].len() > 150 && states["retired"].len() < 10, "{states:?}");
}

#[tokio::test]
async fn a_key_signs_after_two_max_ages_and_not_before_every_live_replica_has_it() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let (ring, slow) = (fixture.ring(&store).await, fixture.ring(&store).await);
    let first = ring.signer().key_id().to_owned();
    let next = ring.rotate(KeyPurpose::Token, SigningAlgorithm::ES256).await.unwrap();
    assert!(published(&ring).contains(&next) && !published(&slow).contains(&next));
    fixture.clock.advance(MAX_AGE * 2 - SECOND);
    slow.heartbeat().await.unwrap();
    ring.look().await.unwrap();
    assert_eq!(ring.signer().key_id(), first, "a second too early");
    fixture.clock.advance(SECOND);
    ring.look().await.unwrap();
    assert_eq!(ring.signer().key_id(), first, "a live replica does not publish it");
    slow.look().await.unwrap();
    ring.look().await.unwrap();
    assert_eq!(ring.signer().key_id(), next);
    assert!(published(&ring).contains(&first));
}

#[tokio::test]
async fn a_replica_that_has_gone_is_not_waited_for() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let ring = fixture.ring(&store).await;
    drop(fixture.ring(&store).await);
    let next = ring.rotate(KeyPurpose::Token, SigningAlgorithm::ES256).await.unwrap();
    fixture.clock.advance(MAX_AGE * 2);
    ring.look().await.unwrap();
    assert_eq!(ring.signer().key_id(), next);
}

#[tokio::test]
async fn keys_change_on_schedule_and_end_after_their_last_token() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let ring = fixture.ring(&store).await;
    let first = ring.signer().key_id().to_owned();
    fixture.clock.advance(ROTATE_EVERY - SECOND);
    ring.look().await.unwrap();
    assert_eq!(fixture.states(&store).await.keys().copied().collect::<Vec<_>>(), ["active"]);
    fixture.clock.advance(SECOND);
    ring.look().await.unwrap();
    assert!(fixture.states(&store).await.contains_key("published"));
    fixture.clock.advance(MAX_AGE * 2);
    ring.look().await.unwrap();
    assert_eq!(fixture.states(&store).await["retired"], std::slice::from_ref(&first));
    let kept = LIFETIME + MAX_AGE + Duration::from_secs(120);
    fixture.clock.advance(kept);
    ring.look().await.unwrap();
    assert!(published(&ring).contains(&first), "a cache may still need it");
    fixture.clock.advance(SECOND);
    ring.look().await.unwrap();
    assert!(!published(&ring).contains(&first));
    let keys = store.signing_ring(NOW).await.unwrap().keys;
    let gone = keys.iter().find(|key| key.id == first).unwrap();
    assert_eq!((gone.state, &gone.private), (KeyState::Gone, &PrivateKey::Erased));
}

#[tokio::test]
async fn a_revoked_key_is_gone_at_once_and_another_signs() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let (ring, other) = (fixture.ring(&store).await, fixture.ring(&store).await);
    let first = ring.signer().key_id().to_owned();
    ring.revoke(&first).await.unwrap();
    assert_ne!(ring.signer().key_id(), first);
    assert!(!published(&ring).contains(&first));
    let id = |id: &str| KeyId::parse(id).unwrap();
    let signer = ring.signer();
    assert!(signer.key_set().find(Some(&id(&first)), Algorithm::ES256, false).is_err(), "its tokens are refused");
    assert!(signer.key_set().find(Some(&id(signer.key_id())), Algorithm::ES256, false).is_ok());
    other.look().await.unwrap();
    assert_eq!(other.signer().key_id(), ring.signer().key_id());
    assert!(matches!(ring.revoke(&first).await, Err(ImportRefusal::Missing(_))));
    assert!(matches!(ring.revoke("nobody").await, Err(ImportRefusal::Missing(_))));
    let filter = AuditFilter { outcome: Some("changed".to_owned()), limit: 100, ..AuditFilter::default() };
    let trail = store.audit(filter).await.unwrap();
    let revocations = trail.iter().filter(|entry| entry.json.contains("\"change\":\"revoked\"")).count();
    assert_eq!(revocations, 1);
}

#[tokio::test]
async fn other_replicas_hear_of_a_revocation_from_the_stores_feed() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let (ring, other) = (fixture.ring(&store).await, Arc::new(fixture.ring(&store).await));
    let first = ring.signer().key_id().to_owned();
    let kept = tokio::spawn(keep(Arc::clone(&other)));
    ring.revoke(&first).await.unwrap();
    // The clock stands still: only the feed can tell it.
    while other.signer().key_id() == first {
        tokio::task::yield_now().await;
    }
    kept.abort();
}

#[tokio::test]
async fn a_restart_finds_every_state_as_it_was() {
    let fixture = Fixture::new();
    let mut last = BTreeMap::new();
    for turn in 0..12 {
        let store = fixture.store();
        let ring = fixture.ring(&store).await;
        let states = fixture.states(&store).await;
        if turn > 0 {
            assert_eq!(states, last, "turn {turn}");
        }
        match turn % 4 {
            0 => drop(ring.rotate(KeyPurpose::Token, SigningAlgorithm::ES256).await.unwrap()),
            1 => fixture.clock.advance(MAX_AGE * 2),
            2 => drop(ring.revoke(ring.signer().key_id()).await.unwrap()),
            _ => fixture.clock.advance(LIFETIME * 2),
        }
        ring.look().await.unwrap();
        last = fixture.states(&store).await;
    }
    assert!(last.contains_key("active") && last.contains_key("gone") && last.contains_key("revoked"), "{last:?}");
}

#[tokio::test]
async fn a_store_without_its_key_encryption_key_is_refused_with_the_keys_name() {
    let fixture = Fixture::new();
    drop(fixture.ring(&fixture.store()).await);
    let file = fixture.data.path().join("key-encryption.key");
    let text = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let refused = fixture.opened(&fixture.store(), &KeyEncryptionSettings::default()).await.unwrap_err().to_string();
    assert!(refused.contains("key-encryption.key is missing"), "{refused}");
    assert!(!file.exists(), "no other key is made in its place");
    let refused = fixture.opened(&fixture.store(), &keks(b'a', &[])).await.unwrap_err().to_string();
    assert!(refused.contains("configure ") && refused.contains("(key a)"), "{refused}");
    std::fs::write(&file, text).unwrap();
    fixture.ring(&fixture.store()).await;
}

#[tokio::test]
async fn rewrapping_moves_every_key_to_the_new_key_encryption_key() {
    let fixture = Fixture::new();
    let first = fixture.opened(&fixture.store(), &keks(b'a', &[])).await.unwrap().signer().key_id().to_owned();
    let moved = fixture.opened(&fixture.store(), &keks(b'b', b"a")).await.unwrap();
    assert_eq!(moved.rewrap().await.unwrap(), 4);
    assert_eq!(moved.rewrap().await.unwrap(), 0);
    drop(moved);
    let alone = fixture.opened(&fixture.store(), &keks(b'b', &[])).await.unwrap();
    assert_eq!(alone.signer().key_id(), first);
    drop(alone);
    assert!(matches!(fixture.opened(&fixture.store(), &keks(b'a', &[])).await, Err(MintFault::WrongKek { .. })));
}

#[tokio::test]
async fn a_changed_row_does_not_open() {
    let fixture = Fixture::new();
    let store = fixture.store();
    drop(fixture.ring(&store).await);
    let ring = store.signing_ring(NOW).await.unwrap();
    let of = |purpose, algorithm| {
        ring.keys.iter().find(|key| (key.purpose, key.algorithm) == (purpose, algorithm)).unwrap().clone()
    };
    let mut token = of(KeyPurpose::Token, SigningAlgorithm::EdDSA);
    token.private = of(KeyPurpose::Audit, SigningAlgorithm::EdDSA).private;
    store.change_signing_keys(ring.number, vec![token], Vec::new()).await.unwrap();
    let refused = fixture.opened(&store, &KeyEncryptionSettings::default()).await.unwrap_err();
    assert!(matches!(refused, MintFault::SpoiledKey { .. }), "{refused}");
}

#[tokio::test]
async fn plain_keys_of_an_older_version_are_encrypted_at_the_start_and_go_on_signing() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let pkcs8 = crate::mint::material::generate(SigningAlgorithm::ES256).unwrap();
    drop(fixture.ring(&store).await);
    let ring = store.signing_ring(NOW).await.unwrap();
    let plain = |key: &crate::store::KeyRecord| {
        let is_token = (key.purpose, key.algorithm) == (KeyPurpose::Token, SigningAlgorithm::ES256);
        is_token.then(|| {
            let private = PrivateKey::Plain(pkcs8.clone());
            crate::store::KeyRecord { private, id: "old".to_owned(), created_at: NOW.plus(SECOND), ..key.clone() }
        })
    };
    let old = ring.keys.iter().find_map(plain).unwrap();
    store.change_signing_keys(ring.number, vec![old], Vec::new()).await.unwrap();
    let opened = fixture.ring(&store).await;
    assert_eq!(opened.signer().key_id(), "old");
    let keys = store.signing_ring(NOW).await.unwrap().keys;
    assert!(keys.iter().all(|key| matches!(key.private, PrivateKey::Wrapped { .. })), "{keys:?}");
    drop((opened, store));
    let database = std::fs::read(fixture.data.path().join("countersign.db")).unwrap();
    let holds = database.windows(pkcs8.len()).any(|part| part == pkcs8.as_slice());
    assert!(!holds, "the plain key is still in the file");
}

#[tokio::test]
async fn an_imported_key_signs_after_its_turn() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let ring = fixture.ring(&store).await;
    let pkcs8 = crate::mint::material::generate(SigningAlgorithm::ES256).unwrap();
    let pem = pem::encode(&pem::Pem::new("PRIVATE KEY", pkcs8.to_vec()));
    let id = ring.import(&pem).await.unwrap();
    assert!(published(&ring).contains(&id));
    assert!(matches!(ring.import(&pem).await, Err(ImportRefusal::Known(_))));
    assert!(matches!(ring.import("no key").await, Err(ImportRefusal::Unusable(_))));
    let waiting = ring.rotate(KeyPurpose::Token, SigningAlgorithm::ES256).await;
    assert!(matches!(waiting, Err(ImportRefusal::Waiting(found)) if found == id));
    fixture.clock.advance(MAX_AGE * 2);
    ring.look().await.unwrap();
    assert_eq!(ring.signer().key_id(), id);
}

#[tokio::test]
async fn the_audit_key_is_in_the_ring_and_not_in_the_jwks() {
    let fixture = Fixture::new();
    let ring = fixture.ring(&fixture.store()).await;
    let (key_id, signature) = ring.audit_signer().sign(b"head").unwrap();
    let signer = ring.signer();
    let key = signer.audit_keys().iter().find(|key| key["kid"] == key_id.as_str()).unwrap();
    let public = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, key["x"].as_str().unwrap());
    let public = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, public.unwrap());
    assert!(public.verify(b"head", &signature).is_ok() && public.verify(b"tail", &signature).is_err());
    assert!(!published(&ring).contains(&key_id));
}
