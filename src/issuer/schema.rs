//! The claims that an issuer's tokens have, with their types.

use std::collections::BTreeMap;

use crate::vocab::ClaimType;

/// The claims of one issuer: its kind's and those the operator declared.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimSchema {
    /// Name to type. A name that ends in `*` stands for every name with that beginning.
    pub claims: BTreeMap<String, ClaimType>,
    /// Whether tokens have further claims, of which nothing is known.
    pub open: bool,
}

/// The claims of RFC 7519 §4.1, which every kind has.
const REGISTERED: [(&str, ClaimType); 7] = [
    ("iss", ClaimType::String),
    ("sub", ClaimType::String),
    ("aud", ClaimType::StringOrList),
    ("exp", ClaimType::Number),
    ("nbf", ClaimType::Number),
    ("iat", ClaimType::Number),
    ("jti", ClaimType::String),
];

impl ClaimSchema {
    pub(super) fn new(kind: &[(&str, ClaimType)], declared: &BTreeMap<String, ClaimType>, open: bool) -> ClaimSchema {
        let known = REGISTERED.iter().chain(kind).map(|(name, claim_type)| ((*name).to_owned(), *claim_type));
        let declared = declared.iter().map(|(name, claim_type)| (name.clone(), *claim_type));
        ClaimSchema { claims: known.chain(declared).collect(), open }
    }

    /// The type of a top-level claim; `None` when the issuer's tokens have no such claim, as far as is known.
    #[must_use]
    pub fn type_of(&self, name: &str) -> Option<ClaimType> {
        let exact = self.claims.get(name).copied();
        exact.or_else(|| {
            let mut patterns = self.claims.iter().filter_map(|(key, found)| Some((key.strip_suffix('*')?, *found)));
            patterns.find(|(prefix, _)| name.len() > prefix.len() && name.starts_with(prefix)).map(|(_, found)| found)
        })
    }
}
