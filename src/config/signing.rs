//! `signing:` and `key_encryption_key:`: when signing keys change, and what encrypts them in the store.
//!
//! Here the environment and systemd's credentials are looked up; the key's bytes are parsed by `mint`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret as _;
use secrecy::SecretString;

use crate::diagnostic::Diagnostics;
use crate::yaml::duration_text;

use super::schema;
use super::section::Section;

/// A shorter period is a test's; a longer one is no rotation.
const ROTATIONS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(366 * 24 * 3600));
/// Verifiers ask again at least once an hour, so that a rotation takes hours at most.
const MAX_AGES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// A key is in the JWKS for two max-ages before it signs, and two may not overlap.
const LEAST_MAX_AGES: u32 = 4;
/// The shape of an entry of `previous`.
const PREVIOUS: &str = "must be file:PATH, environment:NAME or credential:NAME";

/// When signing keys change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningSettings {
    /// How long a key signs.
    pub rotate_every: Duration,
    /// How long verifiers may keep the JWKS.
    pub jwks_max_age: Duration,
}

/// What encrypts the private keys in the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyEncryptionSettings {
    /// The key in use; `None`: a file that the embedded store makes beside itself.
    pub current: Option<KeySecret>,
    /// Keys that older rows may still be encrypted under.
    pub previous: Vec<KeySecret>,
}

/// One key-encryption key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySecret {
    /// What an operator calls it: `file /etc/…`, `environment variable NAME`.
    pub name: String,
    /// Where its bytes are.
    pub source: KeySecretSource,
}

/// Where a key's bytes are.
#[derive(Clone)]
pub enum KeySecretSource {
    /// In this file.
    File(PathBuf),
    /// They were in the environment.
    Text(SecretString),
}

impl PartialEq for KeySecretSource {
    fn eq(&self, other: &KeySecretSource) -> bool {
        match (self, other) {
            (KeySecretSource::File(left), KeySecretSource::File(right)) => left == right,
            // Both are our own configuration; no caller measures this comparison.
            (KeySecretSource::Text(left), KeySecretSource::Text(right)) => {
                left.expose_secret() == right.expose_secret()
            }
            _ => false,
        }
    }
}

impl Eq for KeySecretSource {}

impl std::fmt::Debug for KeySecretSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeySecretSource::File(path) => formatter.debug_tuple("File").field(path).finish(),
            KeySecretSource::Text(_) => formatter.write_str("Text(…)"),
        }
    }
}

/// Both sections.
pub(super) fn read(
    file: &Section<'_>,
    directory: &Path,
    environment: &[(String, String)],
    faults: &mut Diagnostics,
) -> (Option<SigningSettings>, Option<KeyEncryptionSettings>) {
    (signing(file, faults), key_encryption(file, Places { directory, environment }, faults))
}

fn signing(file: &Section<'_>, faults: &mut Diagnostics) -> Option<SigningSettings> {
    let signing = file.section("signing", ("`signing`", schema::SIGNING), faults)?;
    let rotate_every = signing.duration("rotate_every", ROTATIONS, faults);
    let jwks_max_age = signing.duration("jwks_max_age", MAX_AGES, faults);
    let (rotate_every, jwks_max_age) = (rotate_every?, jwks_max_age?);
    let least = jwks_max_age * LEAST_MAX_AGES;
    if rotate_every < least {
        let message = format!("`rotate_every` is shorter than {LEAST_MAX_AGES} times `jwks_max_age`");
        let fix = format!("write at least {}, or lower `jwks_max_age`", duration_text(least));
        faults.push(signing.fault("rotate_every", "conflict", message).fix(fix));
        return None;
    }
    Some(SigningSettings { rotate_every, jwks_max_age })
}

fn key_encryption(file: &Section<'_>, places: Places<'_>, faults: &mut Diagnostics) -> Option<KeyEncryptionSettings> {
    if !file.has("key_encryption_key") {
        return Some(KeyEncryptionSettings::default());
    }
    let section = ("`key_encryption_key`", schema::KEY_ENCRYPTION_KEY);
    let section = file.section("key_encryption_key", section, faults)?;
    let kinds = ["file", "environment", "credential"];
    let given: Vec<&str> = kinds.into_iter().filter(|kind| section.has(kind)).collect();
    if given.len() != 1 {
        let message = "`key_encryption_key` needs one of `file`, `environment` and `credential`";
        let fault = file.fault_at_key("key_encryption_key", "value", message);
        faults.push(fault.fix("write `key_encryption_key: { file: /etc/countersign/key-encryption.key }`"));
    }
    let mut current = None;
    for kind in given {
        current = section.text(kind, faults, |name| places.find(kind, name));
    }
    let previous = section.list("previous", faults, |text| match text.split_once(':') {
        Some((kind, name)) if kinds.contains(&kind) => places.find(kind, name),
        _ => Err(PREVIOUS.to_owned()),
    });
    Some(KeyEncryptionSettings { current: Some(current?), previous: previous.unwrap_or_default() })
}

/// Where names are looked up.
#[derive(Clone, Copy)]
struct Places<'a> {
    directory: &'a Path,
    environment: &'a [(String, String)],
}

impl<'a> Places<'a> {
    fn variable(self, wanted: &str) -> Option<&'a str> {
        self.environment.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    fn find(self, kind: &str, name: &str) -> Result<KeySecret, String> {
        match kind {
            "environment" => {
                let text = self.variable(name).ok_or_else(|| format!("there is no environment variable {name}"))?;
                let source = KeySecretSource::Text(SecretString::from(text.to_owned()));
                Ok(KeySecret { name: format!("environment variable {name}"), source })
            }
            "credential" => {
                let missing = "systemd gives no credentials here ($CREDENTIALS_DIRECTORY is not set)";
                let directory = self.variable("CREDENTIALS_DIRECTORY").ok_or(missing)?;
                if name.is_empty() || name.contains('/') || name.starts_with('.') {
                    return Err("must be a credential's name, as in LoadCredential=NAME:…".to_owned());
                }
                existing(format!("credential {name}"), Path::new(directory).join(name))
            }
            _ => {
                let path = self.directory.join(name);
                existing(format!("file {}", path.display()), path)
            }
        }
    }
}

fn existing(name: String, path: PathBuf) -> Result<KeySecret, String> {
    match std::fs::metadata(&path) {
        Ok(found) if found.is_file() => Ok(KeySecret { name, source: KeySecretSource::File(path) }),
        Ok(_) => Err(format!("{} is no file", path.display())),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}
