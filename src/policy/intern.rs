//! What many policies have in common, kept once: a set of a million names few claims and fewer conditions.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::matcher::Selector;
use super::pattern::Regular;
use crate::condition::{Condition, ConditionFault};

/// What was read so far, by how it is written.
#[derive(Default)]
pub(super) struct Interner {
    selectors: HashMap<Box<str>, Arc<Selector>>,
    regulars: HashMap<Box<str>, Arc<Regular>>,
    conditions: HashMap<Box<str>, Arc<Condition>>,
    files: HashMap<Box<Path>, Arc<Path>>,
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

    pub(super) fn file(&mut self, path: &Path) -> Arc<Path> {
        if let Some(known) = self.files.get(path) {
            return Arc::clone(known);
        }
        let file: Arc<Path> = path.into();
        self.files.insert(path.into(), Arc::clone(&file));
        file
    }
}
