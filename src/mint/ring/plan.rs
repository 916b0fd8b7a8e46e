//! What is due in the ring, decided from what the store has and nothing else.
//!
//! In: the ring at a moment of the store's clock. Out: the next step, or none. Every replica decides alike; the store
//! lets one of them make the step.

use std::time::Duration;

use crate::config::SigningAlgorithm;
use crate::store::{KeyPurpose, KeyRecord, KeyState, ReplicaRecord, SigningRing};
use crate::vocab::UnixTime;

/// A replica that was not seen for so long is not waited for: it does not sign either.
pub(super) const LIVE_WITHIN: Duration = Duration::from_secs(10);
/// What verifiers may allow on `exp`, and a replica that heard of a retirement late.
const LEEWAY: Duration = Duration::from_secs(120);

/// A kind of key of which one is active.
pub(super) type Lane = (KeyPurpose, SigningAlgorithm);

/// Every algorithm keeps an active key, so that `token.signing_algorithm` can change at a restart.
pub(super) const LANES: [Lane; 4] = [
    (KeyPurpose::Token, SigningAlgorithm::ES256),
    (KeyPurpose::Token, SigningAlgorithm::EdDSA),
    (KeyPurpose::Token, SigningAlgorithm::RS256),
    (KeyPurpose::Audit, SigningAlgorithm::EdDSA),
];

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A key is made; at once active where no other signs.
    Make(Lane, KeyState),
    /// The key goes into the JWKS.
    Publish(String),
    /// The key begins to sign; the active one of its lane retires.
    Activate(String),
    /// The key ends.
    Remove(String),
    /// The key's tokens live longer than was known.
    Lengthen(String),
}

/// What the steps depend on besides the ring.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// How long a key signs.
    pub(super) rotate_every: Duration,
    /// How long verifiers keep the JWKS.
    pub(super) jwks_max_age: Duration,
    /// No token lives longer.
    pub(super) max_lifetime: Duration,
    /// What signs tokens.
    pub(super) algorithm: SigningAlgorithm,
    /// The long-lived access tokens: when the oldest of each credential's was made, and when the last ends.
    pub(super) long_lived: Vec<(UnixTime, UnixTime)>,
}

/// The next step that is due.
pub(super) fn due(ring: &SigningRing, rules: &Rules) -> Option<Step> {
    LANES.into_iter().find_map(|lane| Due { ring, rules, lane }.step())
}

struct Due<'a> {
    ring: &'a SigningRing,
    rules: &'a Rules,
    lane: Lane,
}

impl<'a> Due<'a> {
    fn keys(&self, state: KeyState) -> impl Iterator<Item = &'a KeyRecord> + use<'a> {
        let lane = self.lane;
        self.ring.keys.iter().filter(move |key| key.state == state && (key.purpose, key.algorithm) == lane)
    }

    fn step(&self) -> Option<Step> {
        let pending = self.keys(KeyState::Pending).next();
        let published = self.keys(KeyState::Published).min_by_key(|key| (key.published_at, &key.id));
        let Some(active) = self.keys(KeyState::Active).last() else {
            // The first start, or the active key was revoked: nobody's cached keys are of use, so there is no waiting.
            return Some(match published.or(pending) {
                Some(next) => Step::Activate(next.id.clone()),
                None => Step::Make(self.lane, KeyState::Active),
            });
        };
        if active.longest_token < self.rules.max_lifetime {
            return Some(Step::Lengthen(active.id.clone()));
        }
        if let Some(pending) = pending {
            return Some(Step::Publish(pending.id.clone()));
        }
        if let Some(next) = published.filter(|next| self.is_known_everywhere(next)) {
            return Some(Step::Activate(next.id.clone()));
        }
        if published.is_none() && self.is_worn(active) {
            return Some(Step::Make(self.lane, KeyState::Pending));
        }
        let ended = self.keys(KeyState::Retired).find(|key| self.ring.now > removal(key, self.rules));
        ended.map(|key| Step::Remove(key.id.clone()))
    }

    /// Every verifier's cache has it, whichever replica filled it.
    fn is_known_everywhere(&self, key: &KeyRecord) -> bool {
        let since = key.published_at.unwrap_or(self.ring.now);
        let mut live = self.ring.replicas.iter().filter(|replica| is_live(replica, self.ring.now));
        self.ring.now >= since.plus(self.rules.jwks_max_age * 2) && live.all(|replica| replica.applied >= key.changed)
    }

    /// Keys that do not sign are not worn: the other algorithms' wait for their day.
    fn is_worn(&self, active: &KeyRecord) -> bool {
        let signs = self.lane.0 == KeyPurpose::Audit || self.lane.1 == self.rules.algorithm;
        signs && self.ring.now >= active.activated_at.unwrap_or(active.created_at).plus(self.rules.rotate_every)
    }
}

/// Whether the replica was seen lately.
pub(super) fn is_live(replica: &ReplicaRecord, now: UnixTime) -> bool {
    now.since(replica.seen_at) <= LIVE_WITHIN
}

/// Until when a retired key is needed by verifiers: its last token's `exp`, their leeway, and their cache.
pub(super) fn removal(key: &KeyRecord, rules: &Rules) -> UnixTime {
    let retired = key.retired_at.unwrap_or(key.created_at);
    let last = retired.plus(key.longest_token.max(rules.max_lifetime));
    let signed = rules.long_lived.iter().filter(|(made_at, _)| *made_at <= retired.plus(LEEWAY));
    let signed = signed.filter(|_| key.purpose == KeyPurpose::Token).map(|(_, ends_at)| *ends_at);
    let last = signed.fold(last, UnixTime::max);
    last.plus(LEEWAY).plus(rules.jwks_max_age)
}
