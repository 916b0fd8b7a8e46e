//! The claims that an audit record keeps of a verified token, so that policies can be asked about it again.
//!
//! In: verified claims; later, a record. Out: [`KeptClaims`]: the claims that are known for the issuer's kind or that its
//! policies read, at most 8 KiB of them, and the names of all others. Never the token. A claim that was not kept is
//! unknown, not absent: whoever asks again must tell the two apart.

use serde::Serialize;
use serde_json::{Map, Value};

use super::PolicySet;
use crate::claims::VerifiedClaims;
use crate::issuer::Issuer;

/// Most bytes of kept claims, as JSON: the largest real tokens have about three.
const MAX_BYTES: usize = 8 * 1024;
/// Most names of left-out claims, and the longest of them.
const MAX_NAMES: usize = 64;
const MAX_NAME_BYTES: usize = 128;
/// Stands in the list of names for further ones that did not fit.
const AND_MORE: &str = "*";

/// Claims in an audit record.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct KeptClaims {
    claims: Map<String, Value>,
    #[serde(rename = "claims_omitted", skip_serializing_if = "Vec::is_empty")]
    omitted: Vec<String>,
}

impl KeptClaims {
    /// What is kept of verified claims.
    #[must_use]
    pub fn of(claims: &VerifiedClaims, policies: &PolicySet) -> KeptClaims {
        KeptClaims::select(claims.members(), claims.issuer(), policies)
    }

    /// Claims that are all there, for asking about them as about kept ones.
    #[must_use]
    pub fn whole(claims: Map<String, Value>) -> KeptClaims {
        KeptClaims { claims, omitted: Vec::new() }
    }

    /// What a record has: its `claims` and its `claims_omitted`.
    #[must_use]
    pub fn recorded(claims: Map<String, Value>, omitted: Vec<String>) -> KeptClaims {
        KeptClaims { claims, omitted }
    }

    fn select(members: &Map<String, Value>, issuer: &Issuer, policies: &PolicySet) -> KeptClaims {
        let read = policies.claims_read(issuer.name());
        let is_read = |name: &str| read.is_some_and(|read| read.names(name));
        let excluded = &issuer.settings().audit_exclude;
        let may_be_kept =
            |name: &str| !excluded.contains(name) && (is_read(name) || issuer.schema().type_of(name).is_some());
        let mut kept = KeptClaims::default();
        let mut bytes = 2;
        // What policies read comes first: those are the claims that an explanation needs.
        let (first, then): (Vec<_>, Vec<_>) = members.iter().partition(|(name, _)| is_read(name));
        for (name, value) in first.into_iter().chain(then) {
            let size = if may_be_kept(name) { size_of(name, value) } else { usize::MAX };
            if size <= MAX_BYTES.saturating_sub(bytes) {
                bytes += size;
                kept.claims.insert(name.clone(), value.clone());
            } else {
                kept.omit(name);
            }
        }
        kept
    }

    fn omit(&mut self, name: &str) {
        match self.omitted.len() {
            fits if fits < MAX_NAMES && name.len() <= MAX_NAME_BYTES => self.omitted.push(name.to_owned()),
            _ if self.omitted.iter().any(|name| name == AND_MORE) => {}
            _ => self.omitted.push(AND_MORE.to_owned()),
        }
    }

    /// The claims.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The names of those that were left out; a last `*` stands for further ones.
    #[must_use]
    pub fn omitted(&self) -> &[String] {
        &self.omitted
    }

    /// Whether the token may have had this claim although it is not here.
    #[must_use]
    pub fn is_unknown(&self, name: &str) -> bool {
        let is_left_out = |left_out: &String| left_out == name || left_out == AND_MORE;
        !self.claims.contains_key(name) && self.omitted.iter().any(is_left_out)
    }
}

/// The claim's share of the JSON text: both, with quotes, colon and comma.
fn size_of(name: &str, value: &Value) -> usize {
    /// Counts what is written.
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(2);
    match serde_json::to_writer(&mut counter, name).and_then(|()| serde_json::to_writer(&mut counter, value)) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX,
    }
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
