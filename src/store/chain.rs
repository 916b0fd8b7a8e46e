//! The audit trail's hash chain: every record's hash covers the record before it, so none can be changed, taken out or
//! moved without showing; a signed checkpoint says that all of it up to there was so.
//!
//! In: records as they are committed, by the one writer of a chain. Out: their links. Not here: who checks (`audit`).

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{AuditRow, StoreFault};
use crate::clock::random_bytes;
use crate::vocab::{TraceId, UnixMillis};

/// What is hashed before everything else, so that no other hash of ours can be taken for a link.
const DOMAIN: &[u8] = b"countersign audit record 1\0";
/// The first line of what a checkpoint's signature is over.
const CHECKPOINT: &str = "countersign audit checkpoint 1";
/// Records after which a checkpoint is written with the next ones; a batch may make it some hundred more.
pub const CHECKPOINT_EVERY: u64 = 256;

/// Where a record stands in its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The chain's id.
    pub chain: String,
    /// The record's number in it, from 1.
    pub sequence: u64,
    /// SHA-256 over the hash before, the place and the record.
    pub hash: [u8; 32],
}

impl Link {
    /// The link that a record has which follows this hash.
    #[must_use]
    pub fn of(before: &[u8; 32], chain: &str, sequence: u64, json: &str) -> Link {
        let mut context = Context::new(&SHA256);
        context.update(DOMAIN);
        context.update(before);
        context.update(chain.as_bytes());
        context.update(b"\0");
        context.update(&sequence.to_be_bytes());
        context.update(json.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Link { chain: chain.to_owned(), sequence, hash }
    }

    /// The record as a line that carries its link: the same JSON with three more members at its end.
    #[must_use]
    pub fn exported(&self, json: &str) -> String {
        let open = json.strip_suffix('}').unwrap_or(json);
        format!("{open}{MARK}{}\",\"sequence\":{},\"hash\":\"{}\"}}", self.chain, self.sequence, hex(&self.hash))
    }

    /// A line of [`Link::exported`] taken apart: the record as it was hashed, and its link.
    #[must_use]
    pub fn parse(line: &str) -> Option<(String, Link)> {
        let at = line.rfind(MARK)?;
        let (open, rest) = (line.get(..at)?, line.get(at + MARK.len()..)?);
        let (chain, rest) = rest.split_once("\",\"sequence\":")?;
        let (sequence, rest) = rest.split_once(",\"hash\":\"")?;
        let hash = from_hex(rest.strip_suffix("\"}")?)?;
        let link = Link { chain: chain.to_owned(), sequence: sequence.parse().ok()?, hash };
        let json = format!("{open}}}");
        // Only the very bytes that we would write: what parses in another way has been touched.
        (link.exported(&json) == line).then_some((json, link))
    }

    /// What a checkpoint's signature is over.
    #[must_use]
    pub fn statement(&self, time: &str) -> String {
        format!("{CHECKPOINT}\n{}\n{}\n{}\n{time}\n", self.chain, self.sequence, hex(&self.hash))
    }
}

const MARK: &str = ",\"chain\":\"";

/// Signs checkpoints.
pub trait CheckpointSigner: Send + Sync {
    /// The key's id and the signature over these bytes.
    ///
    /// # Errors
    /// When the key cannot sign.
    fn sign(&self, bytes: &[u8]) -> Result<(String, Vec<u8>), StoreFault>;
}

/// Set once, when the signing keys are open; until then no checkpoint is written.
pub(super) type SignerCell = Arc<OnceLock<Arc<dyn CheckpointSigner>>>;

/// The chain of one writer. It is copied for a transaction, and the copy counts once that is committed.
#[derive(Clone)]
pub(super) struct Chain {
    head: Link,
    unsigned: u64,
    time: UnixMillis,
    signer: SignerCell,
}

impl Chain {
    /// A chain that goes on after this link.
    pub(super) fn after(head: Link, unsigned: u64, signer: SignerCell) -> Chain {
        Chain { head, unsigned, time: UnixMillis(0), signer }
    }

    /// A new chain.
    pub(super) fn fresh(signer: SignerCell) -> Result<Chain, StoreFault> {
        let bytes = random_bytes::<8>().map_err(|fault| StoreFault(fault.to_string()))?;
        let head = Link { chain: hex(&bytes), sequence: 0, hash: [0; 32] };
        Ok(Chain::after(head, 0, signer))
    }

    /// Goes on from the link that the store has, which a transaction whose end was not heard may have moved.
    pub(super) fn resume(&mut self, kept: Option<Link>) {
        match kept {
            Some(kept) => self.head = kept,
            None => self.head = Link { chain: self.head.chain.clone(), sequence: 0, hash: [0; 32] },
        }
    }

    /// The newest link.
    pub(super) fn head(&self) -> &Link {
        &self.head
    }

    /// Puts a record at the end.
    pub(super) fn link(&mut self, row: &AuditRow) -> Link {
        self.head = Link::of(&self.head.hash, &self.head.chain, self.head.sequence + 1, &row.json);
        self.unsigned += 1;
        self.time = self.time.max(row.time);
        self.head.clone()
    }

    /// The checkpoint that is due after so many records, to be linked as well.
    pub(super) fn checkpoint_after(&mut self, records: u64) -> Result<Option<AuditRow>, StoreFault> {
        let Some(signer) = self.signer.get().filter(|_| self.unsigned >= records.max(1)) else { return Ok(None) };
        let failed = |fault: &dyn std::fmt::Display| StoreFault(fault.to_string());
        let trace_id = TraceId::new(self.time, random_bytes().map_err(|fault| failed(&fault))?);
        let time = self.time.to_rfc3339();
        let (key, signature) = signer.sign(self.head.statement(&time).as_bytes())?;
        let json = serde_json::json!({
            "time": time, "event": "checkpoint", "outcome": "changed", "trace_id": trace_id.as_str(),
            "signed_sequence": self.head.sequence, "signed_hash": hex(&self.head.hash), "signing_key_id": key,
            "signature": URL_SAFE_NO_PAD.encode(signature),
        });
        self.unsigned = 0;
        Ok(Some(AuditRow {
            time: self.time,
            trace_id,
            outcome: "changed",
            cause: None,
            user: None,
            policy: None,
            issuer_name: None,
            json: json.to_string(),
        }))
    }

    /// A checkpoint was linked: it is not signed itself, and needs no other one.
    pub(super) fn settled(&mut self) {
        self.unsigned = 0;
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// 32 bytes of lower-case hexadecimal.
#[must_use]
pub fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}
