//! The ring of signing keys: what is due is done, and what signs and is published follows the store.
//!
//! In: a store, a clock and the key-encryption key. Out: a [`Signer`], as a snapshot that is replaced as a whole. No key
//! signs before every verifier's cache can have it, and none leaves before the last token that it signed has ended.

mod change;
mod plan;
#[cfg(test)]
mod tests;
mod view;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;

pub use self::change::ImportRefusal;
pub use self::view::KeyView;

use self::change::Draft;
use self::plan::Rules;
use super::seal::KeyEncryption;
use super::signer::{MintFault, Signer};
use super::{AuditSigner, TokenClaims};
use crate::clock::{Clock, random_bytes};
use crate::config::{KeyEncryptionSettings, SigningAlgorithm, SigningSettings};
use crate::store::chain::CheckpointSigner;
use crate::store::{CredentialKind, CredentialRecord, KeyChange, ReplicaRecord, SigningRing, Store, StoreFault};
use crate::vocab::UnixTime;

/// Between two looks at the store; a change that is heard of is looked at at once.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Steps of one look: a first start makes four keys, and another replica may be quicker at each.
const MOST_STEPS: usize = 64;

/// How the ring turns.
#[derive(Debug, Clone)]
pub struct RingSettings {
    /// What signs tokens.
    pub algorithm: SigningAlgorithm,
    /// No token lives longer.
    pub max_lifetime: Duration,
    /// When keys change.
    pub signing: SigningSettings,
    /// This replica's name, for whoever lists them.
    pub replica: String,
}

/// The signing keys of a running broker.
pub struct Ring {
    store: Arc<dyn Store>,
    clock: Clock,
    encryption: KeyEncryption,
    settings: RingSettings,
    replica_id: String,
    started_at: UnixTime,
    applied: AtomicU64,
    signer: ArcSwap<Signer>,
    /// One look at a time, so that an older one never replaces what a newer one installed.
    looking: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ring").field("replica", &self.replica_id).finish_non_exhaustive()
    }
}

impl Ring {
    /// Opens the store's keys: makes what a first start needs, and encrypts what an older version left in the clear.
    ///
    /// # Errors
    /// The store failed, or the key-encryption key does not open the keys.
    pub async fn open(
        store: Arc<dyn Store>,
        (encryption, data): (&KeyEncryptionSettings, &Path),
        settings: RingSettings,
        clock: Clock,
    ) -> Result<Ring, MintFault> {
        let started_at = clock.now();
        let encryption = KeyEncryption::open(encryption, data, &store.signing_ring(started_at).await?.keys)?;
        let draft = Draft { encryption: &encryption, by: "start" };
        let ring = turn(&*store, &draft, &settings, &clock).await?;
        let signer = Signer::of(&ring, settings.algorithm, &encryption)?;
        let replica_id = random_bytes::<8>()?.iter().map(|byte| format!("{byte:02x}")).collect();
        let opened = Ring {
            store,
            clock,
            encryption,
            settings,
            replica_id,
            started_at,
            applied: AtomicU64::new(ring.number),
            signer: ArcSwap::from_pointee(signer),
            looking: tokio::sync::Mutex::default(),
        };
        opened.heartbeat().await?;
        Ok(opened)
    }

    /// What signs and is published now.
    #[must_use]
    pub fn signer(&self) -> Arc<Signer> {
        self.signer.load_full()
    }

    /// What signs the audit trail's checkpoints now.
    #[must_use]
    pub fn audit_signer(&self) -> Arc<AuditSigner> {
        self.signer.load().audit_signer()
    }

    /// The compact JWS of these claims.
    ///
    /// # Errors
    /// When the claims cannot be written, or no key may sign.
    pub fn sign(&self, claims: &TokenClaims) -> Result<String, MintFault> {
        if !self.store.feed_fresh() {
            return Err(MintFault::Stale);
        }
        self.signer.load().sign(claims)
    }

    /// Does what is due, takes up what others did, and says that this replica lives.
    ///
    /// # Errors
    /// The store failed, or a key cannot be opened; then what was in force stays so.
    pub async fn look(&self) -> Result<(), MintFault> {
        let _one = self.looking.lock().await;
        self.look_by("schedule").await
    }

    async fn look_by(&self, by: &'static str) -> Result<(), MintFault> {
        let draft = Draft { encryption: &self.encryption, by };
        let ring = turn(&*self.store, &draft, &self.settings, &self.clock).await?;
        if ring.number != self.applied.load(Ordering::Acquire) {
            let signer = Signer::of(&ring, self.settings.algorithm, &self.encryption)?;
            self.signer.store(Arc::new(signer));
            self.applied.store(ring.number, Ordering::Release);
        }
        self.heartbeat().await
    }

    async fn heartbeat(&self) -> Result<(), MintFault> {
        let replica = ReplicaRecord {
            id: self.replica_id.clone(),
            name: self.settings.replica.clone(),
            software: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
            seen_at: self.clock.now(),
            applied: self.applied.load(Ordering::Acquire),
        };
        Ok(self.store.heartbeat(replica).await?)
    }

    async fn rules(&self) -> Result<Rules, MintFault> {
        rules(&*self.store, &self.settings).await
    }
}

/// Looks every second and at every change, for as long as the future is polled.
pub async fn keep(ring: Arc<Ring>) {
    let mut changes = ring.store.changes();
    loop {
        if let Err(fault) = ring.look().await {
            tracing::warn!("the signing keys could not be looked at, it will be tried again: {fault}");
        }
        let asleep = ring.clock.sleep(LOOK_EVERY);
        tokio::select! {
            () = asleep => {}
            heard = changes.changed() => {
                if heard.is_err() {
                    return; // the store is closed
                }
            }
        }
    }
}

/// Makes every step that is due; gives the ring as it is then.
async fn turn(
    store: &dyn Store,
    draft: &Draft<'_>,
    settings: &RingSettings,
    clock: &Clock,
) -> Result<SigningRing, MintFault> {
    let rules = rules(store, settings).await?;
    for _ in 0..MOST_STEPS {
        let ring = store.signing_ring(clock.now()).await?;
        let plain = draft.wrapped_plain(&ring)?;
        let change = match (plain, plan::due(&ring, &rules)) {
            (Some(plain), _) => plain,
            (None, Some(step)) => draft.step(&ring, &step, &rules)?,
            (None, None) => return Ok(ring),
        };
        draft.make(store, &ring, change, clock.now_millis()).await?;
    }
    Err(MintFault::Key("the ring does not come to rest"))
}

async fn rules(store: &dyn Store, settings: &RingSettings) -> Result<Rules, MintFault> {
    let credentials = store.credentials().await?;
    Ok(Rules {
        rotate_every: settings.signing.rotate_every,
        jwks_max_age: settings.signing.jwks_max_age,
        max_lifetime: settings.max_lifetime,
        algorithm: settings.algorithm,
        long_lived: credentials.iter().filter_map(long_lived).collect(),
    })
}

/// When a long-lived access token was made, and when it ends.
fn long_lived(credential: &CredentialRecord) -> Option<(UnixTime, UnixTime)> {
    if credential.kind != CredentialKind::AccessToken {
        return None;
    }
    let made_at = credential.secrets.iter().map(|secret| secret.created_at).min().unwrap_or(credential.created_at);
    let ends_at = credential.secrets.iter().map(|secret| secret.expires_at).max().flatten();
    Some((made_at, ends_at.max(credential.expires_at)?))
}

/// Whether a change was written, or has to be drafted again on the ring as it is now.
fn was_made(change: KeyChange) -> bool {
    change == KeyChange::Made
}

/// Signs the audit trail's checkpoints as long as the ring is there. The ring has the store, so the store may not have
/// the ring.
pub struct Checkpoints(Weak<Ring>);

impl Checkpoints {
    /// A signer with whichever audit key is active.
    #[must_use]
    pub fn by(ring: &Arc<Ring>) -> Arc<Checkpoints> {
        Arc::new(Checkpoints(Arc::downgrade(ring)))
    }
}

impl CheckpointSigner for Checkpoints {
    fn sign(&self, bytes: &[u8]) -> Result<(String, Vec<u8>), StoreFault> {
        let ring = self.0.upgrade().ok_or_else(|| StoreFault("the signing keys are closed".to_owned()))?;
        ring.audit_signer().sign(bytes).map_err(|fault| StoreFault(fault.to_string()))
    }
}
