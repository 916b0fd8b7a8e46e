//! Whether an audit trail is whole: no record edited, removed, added or moved since it was written.
//!
//! In: records with their links, in the order of the trail, and the audit keys' public halves. Out: what was proven and
//! what was found. It works on the store's rows and on exported lines alike.

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::Value;

use crate::store::chain::{CHECKPOINT_EVERY, Link, from_hex};
use crate::vocab::UnixMillis;

/// Records in a row without a checkpoint that are still plausible: one is due after [`CHECKPOINT_EVERY`], and a batch may
/// add some hundred.
const MOST_UNSIGNED: u64 = CHECKPOINT_EVERY + 1024;
/// Faults that are told; the rest is counted.
const MOST_FAULTS: usize = 100;

/// A record's time column, and other members with what their columns have.
pub type FoundBy = (UnixMillis, Vec<(String, Option<String>)>);

/// A record to check.
#[derive(Debug, Clone)]
pub struct Entry {
    /// How the reader finds it: `position 17`, `line 17`.
    pub place: String,
    /// The record, without its link.
    pub json: String,
    /// Its link.
    pub link: Option<Link>,
    /// What the store finds it by: its time, and members of the record with what the columns have.
    pub found_by: Option<FoundBy>,
}

/// What was proven of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// The chain's id.
    pub chain: String,
    /// The first record's number.
    pub first: u64,
    /// The last record's number.
    pub last: u64,
    /// Everything up to here is under a signature that was verified.
    pub signed_through: u64,
    /// The keys of the verified signatures.
    pub keys: Vec<String>,
    /// Checkpoints by keys that were not given; what they sign is covered by later ones, if there are any.
    pub unknown_keys: u64,
}

/// What was proven, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Each chain.
    pub chains: Vec<ChainReport>,
    /// Records from before the chain: nothing proves them.
    pub unchained: u64,
    /// What is wrong, as far as it is told.
    pub faults: Vec<String>,
    /// How many faults there are.
    pub fault_count: usize,
}

struct Seen {
    report: ChainReport,
    hash: [u8; 32],
    newest_checkpoint: u64,
}

/// Reads a trail from its beginning to its end.
pub struct TrailVerifier {
    keys: HashMap<String, Vec<u8>>,
    kept: Vec<Link>,
    chains: BTreeMap<String, Seen>,
    report: Report,
}

impl TrailVerifier {
    /// With these audit keys (JWKs), and links that were kept elsewhere and must be in the trail.
    #[must_use]
    pub fn new(keys: &[Value], kept: Vec<Link>) -> TrailVerifier {
        let key = |jwk: &Value| {
            let x = URL_SAFE_NO_PAD.decode(jwk.get("x")?.as_str()?).ok()?;
            Some((jwk.get("kid")?.as_str()?.to_owned(), x))
        };
        let keys = keys.iter().filter_map(key).collect();
        TrailVerifier { keys, kept, chains: BTreeMap::new(), report: Report::default() }
    }

    /// Takes the next record.
    pub fn read(&mut self, entry: &Entry) {
        let record = serde_json::from_str::<Value>(&entry.json).unwrap_or(Value::Null);
        if !record.is_object() {
            self.fault(&entry.place, "is not a record");
        }
        self.check_columns(entry, &record);
        let Some(link) = &entry.link else {
            self.report.unchained += 1;
            if !self.chains.is_empty() {
                self.fault(&entry.place, "has no link, and records before it have");
            }
            return;
        };
        if self.kept.iter().any(|kept| kept.chain == link.chain && kept.sequence == link.sequence && kept != link) {
            self.fault(&entry.place, "is not the record that the kept checkpoint is of");
        }
        self.kept.retain(|kept| kept != link);
        let (before, known) = self.before(entry, link);
        if Link::of(&before, &link.chain, link.sequence, &entry.json) != *link {
            self.fault(&entry.place, "is not what was written: its hash is another");
        }
        let seen = self.chains.entry(link.chain.clone()).or_insert_with(|| Seen {
            report: ChainReport { chain: link.chain.clone(), first: link.sequence, ..ChainReport::default() },
            hash: before,
            newest_checkpoint: link.sequence.saturating_sub(1),
        });
        if known && link.sequence != seen.report.last.saturating_add(1) {
            let found =
                format!("is number {} of its chain, and number {} was before it", link.sequence, seen.report.last);
            seen.report.last = link.sequence;
            seen.hash = link.hash;
            self.fault(&entry.place, &found);
            return;
        }
        seen.report.last = link.sequence;
        seen.hash = link.hash;
        if record.get("event").and_then(Value::as_str) == Some("checkpoint") {
            self.checkpoint(entry, link, &record, before);
        } else if link.sequence.saturating_sub(seen.newest_checkpoint) > MOST_UNSIGNED {
            seen.newest_checkpoint = link.sequence;
            self.fault(&entry.place, "is too far from the checkpoint before it: one is missing");
        }
    }

    /// The hash that the record has to follow, and whether a record of its chain was read before.
    fn before(&mut self, entry: &Entry, link: &Link) -> ([u8; 32], bool) {
        if let Some(seen) = self.chains.get(&link.chain) {
            return (seen.hash, true);
        }
        if link.sequence != 1 {
            self.fault(&entry.place, &format!("is the first of its chain that is left, and number {}", link.sequence));
        }
        ([0; 32], false)
    }

    fn checkpoint(&mut self, entry: &Entry, link: &Link, record: &Value, before: [u8; 32]) {
        let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
        let signed = Link { chain: link.chain.clone(), sequence: link.sequence.saturating_sub(1), hash: before };
        let says = (record.get("signed_sequence").and_then(Value::as_u64), from_hex(text("signed_hash")));
        let (mut wrong, mut by) = (says != (Some(signed.sequence), Some(before)), None);
        match (self.keys.get(text("signing_key_id")), URL_SAFE_NO_PAD.decode(text("signature"))) {
            (Some(key), Ok(signature)) => {
                let statement = signed.statement(text("time"));
                wrong |= UnparsedPublicKey::new(&ED25519, key).verify(statement.as_bytes(), &signature).is_err();
                by = Some(text("signing_key_id").to_owned());
            }
            (_, Err(_)) => wrong = true,
            (None, _) => {}
        }
        if let Some(seen) = self.chains.get_mut(&link.chain) {
            seen.newest_checkpoint = link.sequence;
            match by {
                Some(_) if wrong => {}
                Some(key) => {
                    seen.report.signed_through = link.sequence;
                    if !seen.report.keys.contains(&key) {
                        seen.report.keys.push(key);
                    }
                }
                None => seen.report.unknown_keys += 1,
            }
        }
        if wrong {
            self.fault(&entry.place, "is a checkpoint that does not sign the records before it");
        }
    }

    /// The columns that the store searches say what the record says.
    fn check_columns(&mut self, entry: &Entry, record: &Value) {
        let Some((time, columns)) = &entry.found_by else { return };
        let mut differ: Vec<&str> = columns
            .iter()
            .filter(|(name, value)| record.get(name).and_then(Value::as_str) != value.as_deref())
            .map(|(name, _)| name.as_str())
            .collect();
        if record.get("time").and_then(Value::as_str) != Some(time.to_rfc3339().as_str()) {
            differ.push("time");
        }
        for name in differ {
            self.fault(&entry.place, &format!("is filed under another {name} than it says"));
        }
    }

    /// These links must be in the trail as well: for instance where the store says that its chains end.
    pub fn expect(&mut self, links: Vec<Link>) {
        self.kept.extend(links);
    }

    /// The end of the trail. `heads` is where the store says, after it was read, that its chains end; `None` where nobody
    /// says.
    #[must_use]
    pub fn finish(mut self, heads: Option<&[Link]>) -> Report {
        if let Some(heads) = heads {
            let known = |seen: &Seen| {
                let head = heads.iter().find(|head| head.chain == seen.report.chain);
                head.is_some_and(|head| seen.report.last <= head.sequence)
            };
            let added: Vec<String> =
                self.chains.values().filter(|seen| !known(seen)).map(|seen| seen.report.chain.clone()).collect();
            for chain in added {
                self.fault(&format!("chain {chain}"), "has records that the store did not write");
            }
        }
        for kept in std::mem::take(&mut self.kept) {
            self.fault(&format!("chain {}", kept.chain), &format!("has no number {} any more", kept.sequence));
        }
        self.report.chains = self.chains.into_values().map(|seen| seen.report).collect();
        self.report
    }

    fn fault(&mut self, place: &str, what: &str) {
        self.report.fault_count += 1;
        if self.report.faults.len() < MOST_FAULTS {
            self.report.faults.push(format!("{place} {what}"));
        }
    }
}
