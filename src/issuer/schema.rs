//! The claims that an issuer's tokens have, with their types.

use std::collections::BTreeMap;

use crate::diagnostic::did_you_mean;
use crate::vocab::ClaimType;

/// The claims of one issuer: its kind's and those the operator declared.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimSchema {
    /// Name to type, of the top-level claims. A name that ends in `*` stands for every name with that beginning.
    pub claims: BTreeMap<String, ClaimType>,
    /// JSON Pointer to type, of what is inside them. An object of which no member is here may have any.
    pub members: BTreeMap<String, ClaimType>,
    /// Whether tokens have further claims, of which nothing is known.
    pub open: bool,
}

/// Why a path leads to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoClaim<'a> {
    /// There is no claim, or no member, of this name.
    Unknown {
        /// How many steps of the path are known.
        depth: usize,
        /// The known name that is nearest to it.
        near: Option<&'a str>,
    },
    /// What the first steps lead to has no members.
    NoMembers {
        /// How many steps lead to it.
        depth: usize,
    },
}

/// The claims of RFC 7519 §4.1, which every kind has.
pub const REGISTERED: [(&str, ClaimType); 7] = [
    ("iss", ClaimType::String),
    ("sub", ClaimType::String),
    ("aud", ClaimType::StringOrList),
    ("exp", ClaimType::Number),
    ("nbf", ClaimType::Number),
    ("iat", ClaimType::Number),
    ("jti", ClaimType::String),
];

impl ClaimSchema {
    /// A name that begins with `/` is a pointer; what it leads through is an object.
    pub(super) fn new(kind: &[(&str, ClaimType)], declared: &BTreeMap<String, ClaimType>, open: bool) -> ClaimSchema {
        let known = REGISTERED.iter().chain(kind).map(|(name, claim_type)| ((*name).to_owned(), *claim_type));
        let declared = declared.iter().map(|(name, claim_type)| (name.clone(), *claim_type));
        let (members, mut claims): (BTreeMap<_, _>, BTreeMap<_, _>) =
            known.chain(declared).partition(|(name, _)| name.starts_with('/'));
        for pointer in members.keys() {
            let first = pointer.split('/').nth(1).unwrap_or_default();
            claims.entry(unescape(first)).or_insert(ClaimType::Object);
        }
        ClaimSchema { claims, members, open }
    }

    /// The type of a top-level claim; `None` when the issuer's tokens have no such claim, as far as is known.
    #[must_use]
    pub fn type_of(&self, name: &str) -> Option<ClaimType> {
        self.claims.get(name).copied().or_else(|| by_pattern(&self.claims, "", name))
    }

    /// The type of what a path leads to: a claim, and members of it.
    ///
    /// # Errors
    /// When the issuer's tokens have no such claim, as far as is known.
    pub fn type_at(&self, path: &[&str]) -> Result<ClaimType, NoClaim<'_>> {
        let Some((claim, steps)) = path.split_first() else { return Ok(ClaimType::Object) };
        let mut found = match self.type_of(claim) {
            Some(found) => found,
            None if self.open => return Ok(ClaimType::Any),
            None => return Err(unknown(0, claim, self.claims.keys().map(String::as_str))),
        };
        if steps.is_empty() {
            return Ok(found);
        }
        let mut pointer = format!("/{}", escape(claim));
        for (index, step) in steps.iter().enumerate() {
            found = self.member(&pointer, found, step, index + 1)?;
            pointer = format!("{pointer}/{}", escape(step));
        }
        Ok(found)
    }

    /// The type of one member of what a pointer leads to.
    fn member(&self, pointer: &str, of: ClaimType, step: &str, depth: usize) -> Result<ClaimType, NoClaim<'_>> {
        let (within, name) = (format!("{pointer}/"), escape(step));
        let exact = self.members.get(&format!("{within}{name}")).copied();
        if let Some(found) = exact.or_else(|| by_pattern(&self.members, &within, &name)) {
            return Ok(found);
        }
        if self.inside(&format!("{within}{name}/")).next().is_some() {
            return Ok(ClaimType::Object);
        }
        match of {
            ClaimType::Object => {
                let mut names = self.inside(&within).peekable();
                match names.peek() {
                    Some(_) => Err(unknown(depth, step, names.filter(|name| !name.contains('*')))),
                    None => Ok(ClaimType::Any),
                }
            }
            ClaimType::StringList | ClaimType::StringOrList if step.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(ClaimType::String)
            }
            ClaimType::Any => Ok(ClaimType::Any),
            _ => Err(NoClaim::NoMembers { depth }),
        }
    }

    /// The names declared directly inside what this pointer, with its final slash, leads to.
    fn inside<'a>(&'a self, within: &str) -> impl Iterator<Item = &'a str> {
        let below = self.members.range(within.to_owned()..).map(|(key, _)| key.as_str());
        let below = below.map_while(move |key| key.strip_prefix(within)).map(|rest| rest.split('/').next());
        below.map(Option::unwrap_or_default)
    }
}

fn unknown<'a>(depth: usize, name: &str, known: impl Iterator<Item = &'a str>) -> NoClaim<'a> {
    NoClaim::Unknown { depth, near: did_you_mean(name, known) }
}

/// The type of a name that some key with a `*` at its end stands for.
fn by_pattern(types: &BTreeMap<String, ClaimType>, within: &str, name: &str) -> Option<ClaimType> {
    let mut patterns =
        types.iter().filter_map(|(key, found)| Some((key.strip_prefix(within)?.strip_suffix('*')?, *found)));
    patterns.find(|(prefix, _)| name.len() > prefix.len() && name.starts_with(prefix)).map(|(_, found)| found)
}

/// A name as one step of a JSON Pointer (RFC 6901 §3).
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(declared: &[(&str, ClaimType)]) -> ClaimSchema {
        let declared = declared.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        ClaimSchema::new(&[("groups", ClaimType::StringList), ("any", ClaimType::Any)], &declared, false)
    }

    #[test]
    fn a_declared_member_makes_its_object_known_and_closes_it() {
        let schema = schema(&[("/a~1b/c/d", ClaimType::Number), ("/a~1b/tag/*", ClaimType::String)]);
        assert_eq!(schema.type_of("a/b"), Some(ClaimType::Object));
        assert_eq!(schema.type_at(&["a/b", "c", "d"]), Ok(ClaimType::Number));
        assert_eq!(schema.type_at(&["a/b", "tag", "x/y"]), Ok(ClaimType::String));
        assert_eq!(schema.type_at(&["a/b", "tagg"]), Err(NoClaim::Unknown { depth: 1, near: Some("tag") }));
        assert_eq!(schema.type_at(&["a/b", "c", "e"]), Err(NoClaim::Unknown { depth: 2, near: Some("d") }));
        assert_eq!(schema.type_at(&["a/b", "c", "d", "e"]), Err(NoClaim::NoMembers { depth: 3 }));
    }

    #[test]
    fn of_what_nobody_declared_everything_may_be_there() {
        let schema = schema(&[("o", ClaimType::Object)]);
        assert_eq!(schema.type_at(&["o", "x", "y"]), Ok(ClaimType::Any));
        assert_eq!(schema.type_at(&["any", "x"]), Ok(ClaimType::Any));
        assert_eq!(schema.type_at(&["groups", "0"]), Ok(ClaimType::String));
        assert_eq!(schema.type_at(&["groups", "x"]), Err(NoClaim::NoMembers { depth: 1 }));
        assert_eq!(schema.type_at(&["group"]), Err(NoClaim::Unknown { depth: 0, near: Some("groups") }));
    }
}
