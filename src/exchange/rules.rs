//! What operators configured, as one snapshot that one decision uses from its first step to its last.

use crate::issuer::Issuers;
use crate::key::Keys;
use crate::policy::PolicySet;
use crate::review::Reviews;

/// Issuers, their keys, and policies that belong together. A reload replaces all of them at once.
pub struct Rules {
    /// Who is trusted.
    pub issuers: Issuers,
    /// Their keys.
    pub keys: Keys,
    /// Which clusters are asked about their tokens.
    pub reviews: Reviews,
    /// Who may become whom.
    pub policies: PolicySet,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Rules").field("policies", &self.policies.digest()).finish_non_exhaustive()
    }
}
