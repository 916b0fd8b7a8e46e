//! Why an access token was refused: one variant for each cause that an operator would act on differently.

use crate::client_auth::AssertionFault;
use crate::store::StoreFault;
use crate::vocab::UnixTime;
use crate::workload::credentials::SecretRefusal;

/// Why there is no [`super::Caller`]. Every variant but [`TokenRefusal::Store`] is RFC 6750's `invalid_token`.
#[derive(Debug, thiserror::Error)]
pub enum TokenRefusal {
    /// Not one compact JWS of ours in shape: parts, size, JSON, `alg`, a header that is never accepted.
    #[error("not a token: {0}")]
    Malformed(#[from] AssertionFault),
    /// The header's `typ` is not `at+jwt` (RFC 9068 §4): an ID token or an assertion, not an access token.
    #[error("the token's typ is not at+jwt")]
    Type,
    /// No key of ours has the header's `kid`.
    #[error("no signing key of ours has the token's kid")]
    Key,
    /// The header's `alg` is not the key's (RFC 8725 §3.1).
    #[error("the token's alg is not its key's")]
    Algorithm,
    /// The signature is not that key's.
    #[error("the signature does not verify")]
    Signature,
    /// A claim that RFC 9068 §2.2 requires is missing or has the wrong type.
    #[error("the claim {0} is missing or has the wrong type")]
    Claim(&'static str),
    /// `iss` is not our issuer identifier, byte for byte.
    #[error("the token's issuer is not this broker")]
    Issuer,
    /// Over.
    #[error("expired at {expires_at}, read at {now}")]
    Expired {
        /// The `exp` claim.
        expires_at: UnixTime,
        /// When it was read.
        now: UnixTime,
    },
    /// `nbf` or `iat` lies in the future.
    #[error("not valid before {from}, read at {now}")]
    NotYet {
        /// The later of the `nbf` and `iat` claims.
        from: UnixTime,
        /// When it was read.
        now: UnixTime,
    },
    /// Meant for another service.
    #[error("the token is for another audience")]
    Audience,
    /// Its session was ended.
    #[error("the session was revoked at {0}")]
    Revoked(UnixTime),
    /// Its user is disabled.
    #[error("the user is disabled")]
    UserDisabled,
    /// Its user is gone.
    #[error("the user the token was minted for does not exist any more")]
    UserDeleted,
    /// The long-lived credential is gone, or is another user's.
    #[error("there is no such access-token credential")]
    NoCredential,
    /// The long-lived credential is disabled, has ended, or has another token by now.
    #[error("the access-token credential: {0}")]
    Credential(SecretRefusal),
    /// Whether the token still counts cannot be known now; the caller may try again.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl TokenRefusal {
    /// The dotted cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            TokenRefusal::Malformed(_) => "token.malformed",
            TokenRefusal::Type => "token.type",
            TokenRefusal::Key => "token.key",
            TokenRefusal::Algorithm => "token.algorithm",
            TokenRefusal::Signature => "token.signature",
            TokenRefusal::Claim(_) => "token.claim",
            TokenRefusal::Issuer => "token.issuer",
            TokenRefusal::Expired { .. } => "token.expired",
            TokenRefusal::NotYet { .. } => "token.not_yet_valid",
            TokenRefusal::Audience => "token.audience",
            TokenRefusal::Revoked(_) => "token.revoked",
            TokenRefusal::UserDisabled => "token.user_disabled",
            TokenRefusal::UserDeleted => "token.user_deleted",
            TokenRefusal::NoCredential => "token.no_credential",
            TokenRefusal::Credential(SecretRefusal::Disabled) => "token.credential_disabled",
            TokenRefusal::Credential(SecretRefusal::Expired) => "token.credential_expired",
            TokenRefusal::Credential(SecretRefusal::WrongSecret | SecretRefusal::UnknownClient) => {
                "token.credential_replaced"
            }
            TokenRefusal::Store(_) => "store.unavailable",
        }
    }
}
