//! OAuth scopes (RFC 6749 §3.3) and what one covers.

use serde::{Serialize, Serializer};
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::names::WordFault;

/// One scope token (RFC 6749 §3.3). One that ends in `:*` or `/*` covers every scope that continues it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Scope(SmolStr);

impl Scope {
    /// Reads one scope token.
    ///
    /// # Errors
    /// When the text is empty, over 256 bytes or has a character that RFC 6749 §3.3 does not allow.
    pub fn parse(text: &str) -> Result<Scope, WordFault> {
        let plain = text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
        if text.is_empty() || text.len() > 256 || !plain {
            return Err(WordFault { what: "scope", rule: "must be 1 to 256 characters of RFC 6749 section 3.3" });
        }
        Ok(Scope(text.into()))
    }

    /// The scope as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether holding `self` is enough where `wanted` is asked for.
    #[must_use]
    pub fn covers(&self, wanted: &Scope) -> bool {
        if self == wanted {
            return true;
        }
        let Some(prefix) = self.0.strip_suffix('*') else { return false };
        (prefix.ends_with(':') || prefix.ends_with('/'))
            && wanted.0.len() > prefix.len()
            && wanted.0.starts_with(prefix)
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A set of scopes, sorted and without repeats. Serialized as a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes(SmallVec<[Scope; 2]>);

impl Scopes {
    /// The set of these scopes.
    #[must_use]
    pub fn new(mut scopes: Vec<Scope>) -> Scopes {
        scopes.sort();
        scopes.dedup();
        Scopes(scopes.into_iter().collect())
    }

    /// Reads the `scope` wire form: tokens with one space between them, none twice (RFC 6749 §3.3).
    ///
    /// # Errors
    /// A token that is no scope, an empty token, a repeated token, or more than 256 tokens.
    pub fn parse_wire(text: &str) -> Result<Scopes, WordFault> {
        let scopes = text.split(' ').take(257).map(Scope::parse).collect::<Result<Vec<_>, _>>()?;
        let count = scopes.len();
        let set = Scopes::new(scopes);
        if count > 256 || set.0.len() != count {
            return Err(WordFault { what: "scope", rule: "must name at most 256 scopes, each once" });
        }
        Ok(set)
    }

    /// Whether some scope of this set covers `wanted`.
    #[must_use]
    pub fn cover(&self, wanted: &Scope) -> bool {
        self.0.iter().any(|held| held.covers(wanted))
    }

    /// Both sets together.
    #[must_use]
    pub fn union(&self, other: &Scopes) -> Scopes {
        Scopes::new(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// The scopes, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The wire form: one space between scopes.
    #[must_use]
    pub fn to_wire(&self) -> String {
        self.0.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse(text).unwrap()
    }

    #[test]
    fn a_star_covers_what_continues_it_and_nothing_else() {
        assert!(scope("service:*").covers(&scope("service:my-api")));
        assert!(scope("service:billing/*").covers(&scope("service:billing/read")));
        assert!(!scope("service:billing/*").covers(&scope("service:billing")));
        assert!(!scope("service:bill*").covers(&scope("service:billing")));
        assert!(!scope("service:a").covers(&scope("service:*")));
    }

    #[test]
    fn the_wire_form_is_strict() {
        assert_eq!(Scopes::parse_wire("b a").unwrap().to_wire(), "a b");
        for bad in ["a  b", " a", "a ", "a a", "a\tb", "a\"b", "a\\b", ""] {
            assert!(Scopes::parse_wire(bad).is_err(), "{bad:?}");
        }
    }
}
