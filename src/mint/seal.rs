//! Private keys at rest: AES-256-GCM under a key-encryption key (KEK) that is not in the store.
//!
//! In: a key record. Out: its private half, encrypted or opened. What the key is for is authenticated with it, so that a
//! row's private half does not work in another row.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::MintFault;
use crate::clock::random_bytes;
use crate::config::{KeyEncryptionSettings, KeySecret, KeySecretSource};
use crate::store::{KeyRecord, PrivateKey};

/// The embedded store's own key-encryption key, in the data directory.
const OWN_FILE: &str = "key-encryption.key";
/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a nonce; it stands before the ciphertext.
const NONCE_BYTES: usize = 12;

/// The key-encryption keys: the first encrypts, all open.
pub struct KeyEncryption {
    current: Kek,
    previous: Vec<Kek>,
}

struct Kek {
    id: String,
    name: String,
    key: RandomizedNonceKey,
}

impl std::fmt::Debug for KeyEncryption {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KeyEncryption").field("id", &self.current.id).finish_non_exhaustive()
    }
}

impl KeyEncryption {
    /// Reads the configured keys; without any, the file in `data`, which is made when `keys` has no row that would need
    /// an older one.
    ///
    /// # Errors
    /// A key that cannot be read, or is none.
    pub fn open(settings: &KeyEncryptionSettings, data: &Path, keys: &[KeyRecord]) -> Result<KeyEncryption, MintFault> {
        let current = match &settings.current {
            Some(secret) => read(secret)?,
            None => own(&data.join(OWN_FILE), keys)?,
        };
        let previous = settings.previous.iter().map(read).collect::<Result<_, _>>()?;
        Ok(KeyEncryption { current, previous })
    }

    /// The id of the key that encrypts.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.current.id
    }

    /// Encrypts a private half for this record.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn wrap(&self, record: &KeyRecord, pkcs8: &[u8]) -> Result<PrivateKey, MintFault> {
        let failed = |_| MintFault::Key("a private key cannot be encrypted");
        let mut text = Zeroizing::new(pkcs8.to_vec());
        text.reserve_exact(AES_256_GCM.tag_len());
        let nonce =
            self.current.key.seal_in_place_append_tag(Aad::from(context(record)), &mut *text).map_err(failed)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.extend_from_slice(&text);
        Ok(PrivateKey::Wrapped { kek_id: self.current.id.clone(), sealed })
    }

    /// Opens a record's private half; `None` when it was erased.
    ///
    /// # Errors
    /// A key that is not configured encrypted it, or somebody changed the row.
    pub fn open_key(&self, record: &KeyRecord) -> Result<Option<Zeroizing<Vec<u8>>>, MintFault> {
        let (kek_id, sealed) = match &record.private {
            PrivateKey::Erased => return Ok(None),
            PrivateKey::Plain(pkcs8) => return Ok(Some(pkcs8.clone())),
            PrivateKey::Wrapped { kek_id, sealed } => (kek_id, sealed),
        };
        let mut known = std::iter::once(&self.current).chain(&self.previous);
        let kek = known.find(|kek| kek.id == *kek_id).ok_or_else(|| MintFault::WrongKek {
            key: record.id.clone(),
            needed: kek_id.clone(),
            current: self.current.id.clone(),
            name: self.current.name.clone(),
        })?;
        let changed = || MintFault::SpoiledKey { key: record.id.clone() };
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES).ok_or_else(changed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| changed())?;
        let mut text = Zeroizing::new(sealed.to_vec());
        let opened = kek.key.open_in_place(nonce, Aad::from(context(record)), &mut text).map_err(|_| changed())?;
        Ok(Some(Zeroizing::new(opened.to_vec())))
    }

    /// Whether the record is not encrypted under the current key.
    #[must_use]
    pub fn is_outdated(&self, record: &KeyRecord) -> bool {
        match &record.private {
            PrivateKey::Erased => false,
            PrivateKey::Plain(_) => true,
            PrivateKey::Wrapped { kek_id, .. } => *kek_id != self.current.id,
        }
    }
}

/// What is authenticated with a private half. None of the parts has a zero byte.
fn context(record: &KeyRecord) -> Vec<u8> {
    let parts = ["countersign signing key 1", &record.id, record.algorithm.as_str(), record.purpose.as_str()];
    parts.join("\0").into_bytes()
}

fn read(secret: &KeySecret) -> Result<Kek, MintFault> {
    let text = match &secret.source {
        KeySecretSource::File(path) => Zeroizing::new(std::fs::read(path).map_err(|error| unusable(secret, &error))?),
        KeySecretSource::Text(text) => Zeroizing::new(text.expose_secret().as_bytes().to_vec()),
    };
    let key = parse(&text)
        .ok_or_else(|| unusable(secret, &"it must be 32 bytes, raw or as base64 (`openssl rand -base64 32`)"))?;
    kek(&secret.name, &key)
}

fn unusable(secret: &KeySecret, error: &dyn std::fmt::Display) -> MintFault {
    MintFault::Kek(format!("{} cannot be used: {error}", secret.name))
}

fn parse(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() == KEY_BYTES {
        return Some(Zeroizing::new(text.to_vec()));
    }
    let text = text.trim_ascii();
    let decoded = STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok().map(Zeroizing::new)?;
    (decoded.len() == KEY_BYTES).then_some(decoded)
}

fn kek(name: &str, key: &[u8]) -> Result<Kek, MintFault> {
    let mut hash = Context::new(&SHA256);
    hash.update(b"countersign key-encryption key id\0");
    hash.update(key);
    let hash = URL_SAFE_NO_PAD.encode(hash.finish().as_ref());
    let id = hash.chars().take(16).collect();
    let key =
        RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| MintFault::Key("a key-encryption key is refused"))?;
    Ok(Kek { id, name: name.to_owned(), key })
}

/// The embedded store's own key. Made once, and never beside rows that it could not open.
fn own(path: &Path, keys: &[KeyRecord]) -> Result<Kek, MintFault> {
    let name = format!("file {}", path.display());
    let needed = keys.iter().find_map(|key| match &key.private {
        PrivateKey::Wrapped { kek_id, .. } => Some(kek_id),
        _ => None,
    });
    match (path.try_exists(), needed) {
        (Ok(false), Some(needed)) => Err(MintFault::Kek(format!(
            "the signing keys in the store are encrypted under the key-encryption key {needed}, and {} is missing; put it \
             back, or name the key with `key_encryption_key`",
            path.display()
        ))),
        (Ok(false), None) => {
            let failed = |error| MintFault::Kek(format!("{name} cannot be made: {error}"));
            let key = Zeroizing::new(random_bytes::<KEY_BYTES>()?);
            let text = Zeroizing::new(STANDARD.encode(*key) + "\n");
            let made = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
            let mut file = made.map_err(failed)?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
            if let Some(directory) = path.parent() {
                // Without it the name may be lost at a power cut, and the store with it.
                std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
            }
            tracing::info!(
                "made the key-encryption key {name}; back it up apart from the store, which is useless without it"
            );
            kek(&name, &*key)
        }
        _ => read(&KeySecret { name, source: KeySecretSource::File(path.to_owned()) }),
    }
}
