//! Client secrets and long-lived access tokens: how they are made, and how one is proven.
//!
//! In: a presented client id and secret. Out: [`ProvenSecret`]. Not here: whether the credential's user may sign in
//! (see `workload::user`).
//!
//! A secret is `cssecret_`, 43 characters of base64url (256 random bits) and 6 more: the first 32 bits of SHA-256 over
//! what stands before them. The prefix lets secret scanners find a leaked one, the check lets them be sure without
//! asking us. With that much randomness a keyed hash is enough; a slow one would only let strangers keep us busy.

use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use subtle::{Choice, ConstantTimeEq};

use crate::client_auth::PresentedSecret;
use crate::clock::{EntropyFault, random_bytes};
use crate::store::{CredentialKind, CredentialRecord, SecretRecord, Store, StoreFault, UsedSecret};
use crate::vocab::{ClientId, CredentialName, Scopes, TokenId, UnixTime, UserName};

/// What every client secret begins with.
pub const SECRET_PREFIX: &str = "cssecret_";
/// What every client id begins with.
pub const CLIENT_ID_PREFIX: &str = "cs-";
/// Longer secrets are refused unread; ours have 58 bytes.
const MAX_SECRET_BYTES: usize = 512;
/// Secrets of one credential that are accepted at once, during rotations that overlap.
const MAX_SECRETS: usize = 8;
/// Under which name the store keeps the pepper.
const PEPPER: &str = "client-secret-pepper";

/// The pepper that keys the hashes of secrets: a copied credential table alone does not even allow guessing.
pub struct SecretHasher {
    key: hmac::Key,
    /// What a secret of an unknown client is compared with. Nothing hashes to it but by 256 bits of luck.
    nobody: SecretRecord,
}

impl std::fmt::Debug for SecretHasher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SecretHasher").finish_non_exhaustive()
    }
}

impl SecretHasher {
    /// Takes the pepper from the store; the first caller makes it.
    ///
    /// # Errors
    /// The store or the random number generator failed.
    pub async fn open(store: &dyn Store) -> Result<SecretHasher, StoreFault> {
        let fresh = || random_bytes::<32>().map_err(|fault| StoreFault(fault.to_string()));
        let pepper = store.shared_secret(PEPPER, fresh()?).await?;
        let nobody = SecretRecord { hash: fresh()?, created_at: UnixTime(0), expires_at: None };
        Ok(SecretHasher { key: hmac::Key::new(hmac::HMAC_SHA256, &pepper), nobody })
    }

    /// The hash of a client secret.
    #[must_use]
    pub fn hash_secret(&self, secret: &SecretString) -> [u8; 32] {
        self.hash(b"secret:", secret.expose_secret())
    }

    /// The hash of a long-lived access token's `jti`. Never equal to a secret's: a `jti` is no client secret.
    #[must_use]
    pub fn hash_token_id(&self, token: &TokenId) -> [u8; 32] {
        self.hash(b"token-id:", token.as_str())
    }

    fn hash(&self, label: &[u8], text: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(label);
        context.update(text.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }

    /// Whether a long-lived access token with this `jti` is one that the credential hands out now.
    ///
    /// # Errors
    /// Why it is not.
    pub fn accept_token(
        &self,
        credential: &CredentialRecord,
        token: &TokenId,
        now: UnixTime,
    ) -> Result<(), SecretRefusal> {
        if credential.kind != CredentialKind::AccessToken {
            return Err(SecretRefusal::UnknownClient);
        }
        let hash = self.hash_token_id(token);
        judge(compare(&credential.secrets, &hash, now), credential, now)
    }
}

/// A client id and secret that belong together. Only [`prove`] makes one.
#[derive(Debug)]
pub struct ProvenSecret {
    used: UsedSecret,
    user: UserName,
    scopes: Scopes,
}

impl ProvenSecret {
    /// The credential's name.
    #[must_use]
    pub fn credential(&self) -> &CredentialName {
        &self.used.credential
    }

    /// Its client id.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.used.client_id
    }

    /// Which secret of which credential it was; the store asks for it again when the token is committed.
    #[must_use]
    pub fn used(&self) -> &UsedSecret {
        &self.used
    }

    /// Whom it signs in.
    #[must_use]
    pub fn user(&self) -> &UserName {
        &self.user
    }

    /// The most its tokens may carry.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }
}

/// Why a credential was not accepted. The wire never tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretRefusal {
    /// No credential of this kind has the client id.
    #[error("no credential has this client id")]
    UnknownClient,
    /// The secret is none of the credential's.
    #[error("the secret is not the credential's")]
    WrongSecret,
    /// The right secret, after its time.
    #[error("the credential or this secret of it has expired")]
    Expired,
    /// The right secret of a credential that an operator disabled.
    #[error("the credential is disabled")]
    Disabled,
}

impl SecretRefusal {
    /// The audit record's cause.
    #[must_use]
    pub fn cause(self) -> &'static str {
        match self {
            SecretRefusal::UnknownClient => "secret.unknown_client",
            SecretRefusal::WrongSecret => "secret.wrong",
            SecretRefusal::Expired => "secret.expired",
            SecretRefusal::Disabled => "secret.disabled",
        }
    }
}

/// Why a secret was not proven.
#[derive(Debug, thiserror::Error)]
pub enum SecretFailure {
    /// The caller's fault.
    #[error(transparent)]
    Refusal(#[from] SecretRefusal),
    /// Ours.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// Proves a client id and secret. Every refusal takes the same work: one look-up in memory, one hash, one comparison
/// in constant time, with a secret that nobody has where there is no such client.
///
/// # Errors
/// See [`SecretFailure`].
pub async fn prove(
    store: &dyn Store,
    hasher: &SecretHasher,
    presented: &PresentedSecret,
    now: UnixTime,
) -> Result<ProvenSecret, SecretFailure> {
    let found = store.credential_of_client(&presented.client_id).await?;
    let known = found.as_ref().filter(|credential| credential.kind == CredentialKind::Oauth2);
    // An overlong secret is replaced by an empty one, which is no credential's either.
    let fits = presented.secret.expose_secret().len() <= MAX_SECRET_BYTES;
    let hash = hasher.hash(b"secret:", if fits { presented.secret.expose_secret() } else { "" });
    let secrets = known.map_or(std::slice::from_ref(&hasher.nobody), |credential| &credential.secrets);
    let matched = compare(secrets, &hash, now);
    let Some(credential) = known else { return Err(SecretRefusal::UnknownClient.into()) };
    judge(matched, credential, now)?;
    Ok(ProvenSecret {
        used: UsedSecret { credential: credential.name.clone(), client_id: credential.client_id.clone(), hash },
        user: credential.user.clone(),
        scopes: credential.scopes.clone(),
    })
}

/// Which of a credential's secrets a hash belongs to.
#[derive(Clone, Copy)]
enum Matched {
    None,
    Expired,
    Accepted,
}

/// Compares with every secret, whichever matches.
fn compare(secrets: &[SecretRecord], hash: &[u8; 32], now: UnixTime) -> Matched {
    let (mut known, mut accepted) = (Choice::from(0), Choice::from(0));
    for secret in secrets {
        let same = secret.hash.ct_eq(hash);
        let in_time = Choice::from(u8::from(secret.expires_at.is_none_or(|end| now < end)));
        known |= same;
        accepted |= same & in_time;
    }
    match (bool::from(known), bool::from(accepted)) {
        (false, _) => Matched::None,
        (true, false) => Matched::Expired,
        (true, true) => Matched::Accepted,
    }
}

fn judge(matched: Matched, credential: &CredentialRecord, now: UnixTime) -> Result<(), SecretRefusal> {
    match matched {
        Matched::None => Err(SecretRefusal::WrongSecret),
        Matched::Expired => Err(SecretRefusal::Expired),
        Matched::Accepted if credential.expires_at.is_some_and(|end| end <= now) => Err(SecretRefusal::Expired),
        Matched::Accepted if credential.disabled => Err(SecretRefusal::Disabled),
        Matched::Accepted => Ok(()),
    }
}

/// A fresh client secret.
///
/// # Errors
/// The random number generator failed.
pub fn fresh_secret() -> Result<SecretString, EntropyFault> {
    let random = zeroize::Zeroizing::new(random_bytes::<32>()?);
    let mut text = String::with_capacity(SECRET_PREFIX.len() + 49);
    text.push_str(SECRET_PREFIX);
    URL_SAFE_NO_PAD.encode_string(random.as_slice(), &mut text);
    let check = digest::digest(&digest::SHA256, text.as_bytes());
    URL_SAFE_NO_PAD.encode_string(check.as_ref().get(..4).unwrap_or_default(), &mut text);
    Ok(SecretString::from(text))
}

/// A fresh client id: `cs-` and 100 random bits in lower-case base32 (RFC 4648 §6).
///
/// # Errors
/// The random number generator failed.
pub fn fresh_client_id() -> Result<ClientId, EntropyFault> {
    const ALPHABET: [char; 32] = [
        'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v',
        'w', 'x', 'y', 'z', '2', '3', '4', '5', '6', '7',
    ];
    let random = random_bytes::<20>()?;
    let letters = random.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 31)));
    let text: String = CLIENT_ID_PREFIX.chars().chain(letters.copied()).collect();
    ClientId::parse(&text).map_err(|_| EntropyFault)
}

/// Too many secrets of one credential are still accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_SECRETS} earlier secrets of this credential are still accepted; rotate without an overlap to end them")]
pub struct TooManySecrets;

/// The credential with a new secret, accepted until `expires_at`. The earlier ones end when `overlap` has passed, or
/// at their own time if that is sooner; without an overlap they end at once.
///
/// # Errors
/// See [`TooManySecrets`].
pub fn with_new_secret(
    mut credential: CredentialRecord,
    new: SecretRecord,
    overlap: Duration,
) -> Result<CredentialRecord, TooManySecrets> {
    let now = new.created_at;
    for old in &mut credential.secrets {
        let ends = [old.expires_at, credential.expires_at, Some(now.plus(overlap))];
        old.expires_at = ends.into_iter().flatten().min();
    }
    credential.secrets.retain(|old| old.expires_at.is_none_or(|end| now < end));
    if credential.secrets.len() >= MAX_SECRETS {
        return Err(TooManySecrets);
    }
    credential.expires_at = new.expires_at;
    credential.secrets.push(new);
    Ok(credential)
}

#[cfg(test)]
mod tests;
