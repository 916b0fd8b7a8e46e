//! What an issuer's cache held at the time it did not have a key: what an operator asks first.

use std::fmt;

use crate::vocab::{KeyId, UnixTime};

/// Most key ids named; sets have two or three.
const NAMED: usize = 8;

/// The keys that were held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    ids: Vec<KeyId>,
    more: usize,
    fetched_at: UnixTime,
    /// From when a request may have the issuer asked again; `None` for a file, which is read at a reload.
    ask_again_at: Option<UnixTime>,
}

impl Held {
    pub(super) fn new(mut ids: Vec<KeyId>, fetched_at: UnixTime, ask_again_at: Option<UnixTime>) -> Held {
        ids.sort();
        ids.dedup();
        let more = ids.len().saturating_sub(NAMED);
        ids.truncate(NAMED);
        Held { ids, more, fetched_at, ask_again_at }
    }
}

/// As the end of a sentence.
pub(super) fn behind(held: Option<&Held>) -> String {
    held.map(|held| format!(": {held}")).unwrap_or_default()
}

impl fmt::Display for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.ids.iter().map(KeyId::as_str).collect();
        match (ids.is_empty(), self.more) {
            (true, _) => formatter.write_str("it has none with a kid")?,
            (false, 0) => write!(formatter, "it has {}", ids.join(", "))?,
            (false, more) => write!(formatter, "it has {} and {more} more", ids.join(", "))?,
        }
        match self.ask_again_at {
            Some(time) => write!(formatter, ", fetched at {}; it may be asked again at {time}", self.fetched_at),
            None => write!(formatter, ", read from its file at {}; a reload reads it again", self.fetched_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_keys_are_named_and_many_are_counted() {
        let ids = |count: usize| (0..count).map(|index| KeyId::parse(&format!("k{index:02}")).unwrap()).collect();
        let time = UnixTime(1_800_000_000);
        let few = Held::new(ids(2), time, Some(UnixTime(1_800_000_030))).to_string();
        assert_eq!(
            few,
            "it has k00, k01, fetched at 2027-01-15T08:00:00Z; it may be asked again at 2027-01-15T08:00:30Z"
        );
        let many = Held::new(ids(20), time, None).to_string();
        assert!(many.starts_with("it has k00, k01, k02, k03, k04, k05, k06, k07 and 12 more, read from"), "{many}");
        assert!(Held::new(ids(0), time, None).to_string().starts_with("it has none with a kid, read"));
    }
}
