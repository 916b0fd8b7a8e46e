//! `# lint: allow ID because …`: on the line of what it allows, or alone above it.

use super::{LINTS, bit, find};
use crate::diagnostic::{Place, Source, did_you_mean};
use crate::yaml;

/// What every such comment begins with.
const MARK: &str = "lint:";

/// The comments of a file that allow something.
pub(super) struct Allows {
    all: Vec<Allow>,
    /// The first lines of the documents, ascending.
    documents: Vec<usize>,
}

/// One comment.
pub(super) struct Allow {
    pub(super) place: Place,
    line: usize,
    /// The line whose findings it allows.
    target: usize,
    /// The lints it names, and whether there was one to allow.
    pub(super) ids: Vec<(String, bool)>,
    /// Why it allows nothing at all, as the end of a sentence.
    pub(super) malformed: Option<&'static str>,
}

impl Allows {
    pub(super) fn read(source: &Source) -> Allows {
        if !source.text().contains(MARK) {
            return Allows { all: Vec::new(), documents: Vec::new() };
        }
        let notes = yaml::notes(source);
        let alone: Vec<usize> = notes.comments.iter().filter(|note| note.alone).map(|note| note.line).collect();
        let all = notes.comments.iter().filter_map(|note| {
            let directive = note.text.trim().strip_prefix(MARK)?.trim();
            let mut target = note.line;
            while note.alone && alone.binary_search(&target).is_ok() {
                target += 1;
            }
            let width = note.text.chars().count() + 1;
            let place = Place::At { line: note.line, column: note.column, width };
            let (ids, malformed) = match parse(directive) {
                Ok(ids) => (ids.into_iter().map(|id| (id.to_owned(), false)).collect(), None),
                Err(rule) => (Vec::new(), Some(rule)),
            };
            Some(Allow { place, line: note.line, target, ids, malformed })
        });
        Allows { all: all.collect(), documents: notes.documents }
    }

    /// Whether a comment allows this finding.
    pub(super) fn silence(&mut self, id: &str, place: &Place) -> bool {
        let Place::At { line, .. } = place else { return false };
        let here = self.all.iter_mut().filter(|allow| allow.target == *line);
        let mut silenced = false;
        for (_, used) in here.flat_map(|allow| &mut allow.ids).filter(|(named, _)| named == id) {
            *used = true;
            silenced = true;
        }
        silenced
    }

    /// The comments of the document that this line is in; what stands above the first document belongs to it.
    pub(super) fn of_document(&self, line: usize) -> impl Iterator<Item = &Allow> {
        let after = self.documents.partition_point(|start| *start <= line);
        let start = if after <= 1 { 0 } else { self.documents.get(after - 1).copied().unwrap_or_default() };
        let end = self.documents.get(after).copied().unwrap_or(usize::MAX);
        self.all.iter().filter(move |allow| (start..end).contains(&allow.line))
    }
}

impl Allow {
    /// The lints that it allows, as bits.
    pub(super) fn bits(&self) -> u32 {
        self.ids.iter().fold(0, |bits, (id, _)| bits | bit(id))
    }

    /// What to do about an id that is not allowed anything.
    pub(super) fn advice(&self, id: &str) -> String {
        match find(id) {
            None => {
                let near = did_you_mean(id, LINTS.iter().map(|lint| lint.id));
                near.map_or_else(
                    || "`countersign policy lints` lists them".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                )
            }
            Some(_) => "remove it, or move it to the line that the finding names".to_owned(),
        }
    }
}

/// `allow ID[, ID…] because REASON`.
fn parse(directive: &str) -> Result<Vec<&str>, &'static str> {
    let rest = directive.strip_prefix("allow ").ok_or("says `lint:`, but not `allow`")?;
    let (ids, reason) = rest.split_once(" because ").ok_or("gives no reason: `because …` is missing")?;
    let ids: Vec<&str> = ids.split([',', ' ']).filter(|id| !id.is_empty()).collect();
    if ids.is_empty() {
        return Err("names no lint");
    }
    if reason.trim().is_empty() { Err("gives no reason behind `because`") } else { Ok(ids) }
}
