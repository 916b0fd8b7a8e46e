//! What many policies have in common, kept once: a set of a million names few claims and fewer conditions.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use smol_str::SmolStr;

use super::matcher::{Scalar, Selector};
use super::pattern::Regular;
use crate::condition::{Condition, ConditionFault};

/// Texts and lists that are remembered: those that many policies share come early.
const MAX_REMEMBERED: usize = 10_000;

/// What was read so far, by how it is written.
#[derive(Default)]
pub(super) struct Interner {
    selectors: HashMap<Box<str>, Arc<Selector>>,
    regulars: HashMap<Box<str>, Arc<Regular>>,
    conditions: HashMap<Box<str>, Arc<Condition>>,
    files: HashMap<Box<Path>, Arc<Path>>,
    texts: HashSet<SmolStr>,
    lists: HashMap<String, Arc<[Scalar]>>,
}

impl Interner {
    pub(super) fn selector(&mut self, key: &str) -> Arc<Selector> {
        if let Some(known) = self.selectors.get(key) {
            return Arc::clone(known);
        }
        let selector = Arc::new(Selector::parse(key));
        self.selectors.insert(key.into(), Arc::clone(&selector));
        selector
    }

    pub(super) fn regular(&mut self, source: &str) -> Result<Arc<Regular>, String> {
        if let Some(known) = self.regulars.get(source) {
            return Ok(Arc::clone(known));
        }
        let regular = Arc::new(Regular::parse(source)?);
        self.regulars.insert(source.into(), Arc::clone(&regular));
        Ok(regular)
    }

    /// A condition over `claims`.
    pub(super) fn condition(&mut self, source: &str) -> Result<Arc<Condition>, ConditionFault> {
        if let Some(known) = self.conditions.get(source) {
            return Ok(Arc::clone(known));
        }
        let condition = Arc::new(Condition::compile(source, &["claims"])?);
        self.conditions.insert(source.into(), Arc::clone(&condition));
        Ok(condition)
    }

    /// A text; only a long one is worth looking for.
    pub(super) fn text(&mut self, text: &str) -> SmolStr {
        let fresh = SmolStr::new(text);
        if !fresh.is_heap_allocated() {
            return fresh;
        }
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        if self.texts.len() < MAX_REMEMBERED {
            self.texts.insert(fresh.clone());
        }
        fresh
    }

    /// A list of values, such as the events that many policies admit.
    pub(super) fn list(&mut self, values: Vec<Scalar>) -> Arc<[Scalar]> {
        let written = format!("{values:?}");
        if let Some(known) = self.lists.get(&written) {
            return Arc::clone(known);
        }
        let list: Arc<[Scalar]> = values.into();
        if self.lists.len() < MAX_REMEMBERED {
            self.lists.insert(written, Arc::clone(&list));
        }
        list
    }

    pub(super) fn file(&mut self, path: &Path) -> Arc<Path> {
        if let Some(known) = self.files.get(path) {
            return Arc::clone(known);
        }
        let file: Arc<Path> = path.into();
        self.files.insert(path.into(), Arc::clone(&file));
        file
    }
}
