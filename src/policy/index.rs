//! Which of an issuer's policies can admit some claims at all: a decision looks at those only.
//!
//! Every policy is filed under one of its `match` lines: the equality that the fewest others share, else the beginning
//! of a pattern, else under nothing. Claims that do not have that value cannot satisfy the line, so leaving the policy
//! out cannot change a decision; finding one too many costs an evaluation and nothing else.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Policy;
use super::matcher::{Scalar, Selector};

/// Beginnings are compared at these lengths only, so that a claim costs at most so many look-ups.
const BEGINNING_STEP: usize = 4;
/// Longest beginning looked at, in bytes.
const MAX_BEGINNING: usize = 128;

/// The files of one issuer's policies.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// What policies are filed by.
    drawers: Vec<Drawer>,
    /// By a value's hash. Equal hashes of different values only find a policy too many.
    folders: Folders,
    /// The contents of the folders that have several policies.
    filed: Vec<u32>,
    /// The policies that no value leads to.
    unfiled: Vec<u32>,
    /// Keyed anew at every load: nobody can choose claims that collide.
    hasher: RandomState,
}

/// One claim that policies are filed by.
#[derive(Debug)]
pub(super) struct Drawer {
    /// Where the claim is.
    pub(super) selector: Arc<Selector>,
    /// Whether whole values are filed.
    whole: bool,
    /// The lengths of beginnings that are filed, ascending.
    beginnings: Vec<usize>,
    /// The policies that are filed by it.
    pub(super) members: Vec<u32>,
}

/// The policies of one value: the only one's number, or a stretch of `filed`. Without any: an empty place.
#[derive(Debug, Default, Clone, Copy)]
struct Folder {
    hash: u64,
    start: u32,
    length: u32,
}

/// A hash table with its entries in one piece of memory: a look-up waits once, where the standard one waits twice.
#[derive(Debug, Default)]
struct Folders(Box<[Folder]>);

impl Folders {
    fn with_room_for(count: usize) -> Folders {
        // A third stays empty, so that a search is short.
        Folders(vec![Folder::default(); count + count / 2 + 1].into())
    }

    fn insert(&mut self, folder: Folder) {
        let start = self.place(folder.hash);
        let (before, after) = self.0.split_at_mut(start);
        if let Some(place) = after.iter_mut().chain(before).find(|place| place.length == 0) {
            *place = folder;
        }
    }

    fn find(&self, hash: u64) -> Option<Folder> {
        let (before, after) = self.0.split_at(self.place(hash));
        let filled = after.iter().chain(before).take_while(|place| place.length > 0);
        filled.copied().find(|place| place.hash == hash)
    }

    /// Where a search begins: the hash, scaled to the table.
    fn place(&self, hash: u64) -> usize {
        let scaled = (u128::from(hash) * self.0.len() as u128) >> 64;
        usize::try_from(scaled).unwrap_or_default()
    }
}

/// What a policy may be filed under: one claim, and the values or the beginning that it must have.
enum Label<'a> {
    Values(&'a [Scalar]),
    Beginning(&'a str),
}

impl Index {
    /// Files these policies; their numbers are their places in the slice.
    pub(super) fn build(policies: &[Policy]) -> Index {
        let mut index = Index::default();
        let shared = index.how_many_share(policies);
        let mut filed: Vec<(u64, u32)> = Vec::with_capacity(policies.len());
        for (number, policy) in (0_u32..).zip(policies) {
            let best = labels(policy).min_by_key(|(selector, label)| match label {
                Label::Values(values) => (0, values.iter().map(|value| shared.of(index.value(selector, value))).sum()),
                Label::Beginning(text) => (1, usize::MAX - text.len()),
            });
            let Some((selector, label)) = best else {
                index.unfiled.push(number);
                continue;
            };
            match label {
                Label::Values(values) => {
                    index.change_drawer(selector, number, |drawer| drawer.whole = true);
                    filed.extend(values.iter().map(|value| (index.value(selector, value), number)));
                }
                Label::Beginning(text) => {
                    index.change_drawer(selector, number, |drawer| drawer.add(text.len()));
                    filed.push((index.beginning(selector, text.as_bytes()), number));
                }
            }
        }
        filed.sort_unstable();
        filed.dedup();
        index.put_away(&filed);
        index
    }

    /// The policies that these claims may satisfy, ascending and each once.
    pub(super) fn candidates(&self, claims: &Map<String, Value>) -> Vec<u32> {
        let mut found = self.unfiled.clone();
        for drawer in &self.drawers {
            match drawer.selector.select(claims) {
                Some(Value::Array(items)) => items.iter().for_each(|item| self.look_up(drawer, item, &mut found)),
                Some(value) => self.look_up(drawer, value, &mut found),
                None => {}
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// What policies are filed by.
    pub(super) fn drawers(&self) -> &[Drawer] {
        &self.drawers
    }

    /// The policies that no value leads to.
    pub(super) fn unfiled(&self) -> &[u32] {
        &self.unfiled
    }

    /// The policies of a drawer that a claim of this value may satisfy.
    pub(super) fn look_up(&self, drawer: &Drawer, value: &Value, found: &mut Vec<u32>) {
        let mut open = |hash: u64| match self.folders.find(hash) {
            Some(Folder { start, length: 1, .. }) => found.push(start),
            Some(Folder { start, length, .. }) => {
                let (start, length) = (start as usize, length as usize);
                found.extend(self.filed.get(start..start + length).unwrap_or_default());
            }
            None => {}
        };
        match value {
            Value::String(text) => {
                if drawer.whole {
                    open(self.text(&drawer.selector, text));
                }
                for length in &drawer.beginnings {
                    let Some(beginning) = text.as_bytes().get(..*length) else { break };
                    open(self.beginning(&drawer.selector, beginning));
                }
            }
            Value::Bool(value) if drawer.whole => open(self.boolean(&drawer.selector, *value)),
            _ => {}
        }
    }

    /// How many policies name each value.
    fn how_many_share(&self, policies: &[Policy]) -> Counts {
        let mut hashes = Vec::with_capacity(policies.len() * 4);
        for (selector, label) in policies.iter().flat_map(labels) {
            if let Label::Values(values) = label {
                hashes.extend(values.iter().map(|value| self.value(selector, value)));
            }
        }
        hashes.sort_unstable();
        Counts(hashes)
    }

    fn change_drawer(&mut self, selector: &Arc<Selector>, number: u32, change: impl FnOnce(&mut Drawer)) {
        if let Some(drawer) = self.drawers.iter_mut().find(|drawer| drawer.selector == *selector) {
            drawer.members.push(number);
            return change(drawer);
        }
        let selector = Arc::clone(selector);
        let mut drawer = Drawer { selector, whole: false, beginnings: Vec::new(), members: vec![number] };
        change(&mut drawer);
        self.drawers.push(drawer);
    }

    fn put_away(&mut self, filed: &[(u64, u32)]) {
        let count = |items: usize| u32::try_from(items).unwrap_or(u32::MAX);
        self.folders = Folders::with_room_for(filed.len());
        for folder in filed.chunk_by(|left, right| left.0 == right.0) {
            let Some((hash, number)) = folder.first() else { continue };
            if let [_] = folder {
                self.folders.insert(Folder { hash: *hash, start: *number, length: 1 });
                continue;
            }
            self.folders.insert(Folder { hash: *hash, start: count(self.filed.len()), length: count(folder.len()) });
            self.filed.extend(folder.iter().map(|(_, number)| *number));
        }
        self.filed.shrink_to_fit();
    }

    fn value(&self, selector: &Selector, value: &Scalar) -> u64 {
        match value {
            Scalar::Text(text) => self.text(selector, text),
            Scalar::Boolean(value) => self.boolean(selector, *value),
            // Numbers are not filed: equal ones have several forms.
            Scalar::Number(_) => 0,
        }
    }

    fn text(&self, selector: &Selector, text: &str) -> u64 {
        self.hasher.hash_one((selector.source(), 's', text))
    }

    fn boolean(&self, selector: &Selector, value: bool) -> u64 {
        self.hasher.hash_one((selector.source(), 'b', value))
    }

    fn beginning(&self, selector: &Selector, text: &[u8]) -> u64 {
        self.hasher.hash_one((selector.source(), 'p', text))
    }
}

impl Drawer {
    fn add(&mut self, length: usize) {
        if let Err(place) = self.beginnings.binary_search(&length) {
            self.beginnings.insert(place, length);
        }
    }
}

/// The hashes of all values, sorted.
struct Counts(Vec<u64>);

impl Counts {
    fn of(&self, hash: u64) -> usize {
        let start = self.0.partition_point(|other| *other < hash);
        self.0.get(start..).unwrap_or_default().partition_point(|other| *other == hash)
    }
}

/// Under what a policy could be filed.
fn labels(policy: &Policy) -> impl Iterator<Item = (&Arc<Selector>, Label<'_>)> {
    policy.lines.iter().filter_map(|line| {
        let is_filed = |value: &Scalar| !matches!(value, Scalar::Number(_));
        match (line.matcher.named_values(), line.matcher.beginning()) {
            (Some(values), _) if values.iter().all(is_filed) => Some((&line.selector, Label::Values(values))),
            (None, Some(text)) => {
                let length = text.len().min(MAX_BEGINNING) / BEGINNING_STEP * BEGINNING_STEP;
                let beginning = text.get(..length).filter(|text| !text.is_empty())?;
                Some((&line.selector, Label::Beginning(beginning)))
            }
            _ => None,
        }
    })
}
