//! What services use: an access token in, the caller it speaks for out.
//!
//! In: a token that somebody showed. Out: [`Caller`], which only [`Verifier`] makes. Proves: we signed it, for one of
//! these audiences, and it still counts (RFC 9068 §4; session, user and credential against the store). Not here:
//! what the caller may do, and how a refusal looks on the wire (`gateway`, `http`).

mod presented;
mod refusal;
mod standing;
#[cfg(test)]
pub(crate) mod tests;
mod verifier;

pub use presented::{PresentedFault, TOKEN_HEADER, presented_token};
pub use refusal::TokenRefusal;
pub use verifier::{Caller, Verifier};
