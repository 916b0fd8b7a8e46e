//! A client id and secret as presented; not yet proven.

use crate::vocab::ClientId;

/// A client id and secret as presented.
#[derive(Debug)]
pub struct PresentedSecret {
    /// Which client the caller says it is.
    pub client_id: ClientId,
    /// The secret; its `Debug` prints nothing.
    pub secret: secrecy::SecretString,
}
