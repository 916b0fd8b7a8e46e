//! What lints report, less what a comment in the file allows.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::allow::Allows;
use super::{LINT_ALLOW, Lint, Reach, find};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Severity, Source};
use crate::vocab::UnixTime;

/// The lints' view of one file.
pub(in crate::policy) struct Linter {
    pub(in crate::policy) now: UnixTime,
    allows: Allows,
}

impl Linter {
    /// Reads the comments that allow something.
    pub(in crate::policy) fn open(source: &Source, now: UnixTime) -> Linter {
        Linter { now, allows: Allows::read(source) }
    }

    /// The lints that comments of the document at this line allow, as bits.
    pub(in crate::policy) fn allowed_bits(&self, line: u32) -> u32 {
        self.allows.of_document(line as usize).fold(0, |bits, allow| bits | allow.bits())
    }

    /// Where the lints of one of its documents report to.
    pub(in crate::policy) fn findings<'a>(
        &'a mut self,
        source: &'a Source,
        (tally, faults): (&'a mut Tally, &'a mut Diagnostics),
    ) -> Findings<'a> {
        Findings { source, allows: &mut self.allows, tally, faults }
    }
}

/// Where lints report to.
pub(in crate::policy) struct Findings<'a> {
    source: &'a Source,
    allows: &'a mut Allows,
    tally: &'a mut Tally,
    faults: &'a mut Diagnostics,
}

impl Findings<'_> {
    /// Reports what was found at a place: what it is, and what to do about it. A comment may allow a warning.
    pub(super) fn report(&mut self, lint: Lint, place: &Place, say: impl FnOnce() -> (String, String)) {
        let is_warning = lint.severity == Severity::Warning;
        if is_warning && (self.allows.silence(lint.id, place) || !self.tally.has_room(lint.id)) {
            return;
        }
        let (message, fix) = say();
        self.faults.push(finding(self.source, place, lint, message).fix(fix));
    }

    /// Reports comments of the document at this place that are wrong, or that nothing was found for.
    pub(super) fn check_allows(&mut self, document: &Place) {
        let Place::At { line, .. } = document else { return };
        for allow in self.allows.of_document(*line) {
            let fault = |message: String, fix: String| finding(self.source, &allow.place, LINT_ALLOW, message).fix(fix);
            if let Some(rule) = allow.malformed {
                let fix = "write it as in `# lint: allow fork-event because only maintainers can comment`";
                self.faults.push(fault(format!("this comment {rule}"), fix.to_owned()));
                continue;
            }
            for (id, used) in &allow.ids {
                let message = match find(id) {
                    None => format!("there is no lint `{id}`"),
                    Some(lint) if lint.severity == Severity::Error => {
                        format!("`{id}` is an error, which no comment allows")
                    }
                    // Whether the set has such a finding is not known yet.
                    Some(lint) if *used || lint.reach == Reach::Set => continue,
                    Some(_) => format!("`{id}` finds nothing here"),
                };
                self.faults.push(fault(message, allow.advice(id)));
            }
        }
    }
}

/// The most findings of one id that are kept: a million policies may share a habit, and nobody reads a million warnings.
const MOST: usize = 200;

/// What one reader of files found so far. Each reads its files in their order, so whatever is among the first of all is
/// among the first of its reader: the others need not even be written down.
#[derive(Default)]
pub(in crate::policy) struct Tally {
    seen: HashMap<&'static str, usize>,
    unwritten: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn has_room(&mut self, id: &'static str) -> bool {
        let seen = self.seen.entry(id).or_default();
        *seen += 1;
        if *seen > MOST {
            *self.unwritten.entry(id).or_default() += 1;
        }
        *seen <= MOST
    }

    /// What was not written down since the last time.
    pub(in crate::policy) fn unwritten(&mut self) -> BTreeMap<&'static str, usize> {
        std::mem::take(&mut self.unwritten)
    }
}

/// Keeps the first findings of each id.
#[derive(Default)]
pub(in crate::policy) struct Most(BTreeMap<&'static str, usize>);

impl Most {
    /// These, without those that are too many; `unwritten` are those that were already too many for their reader.
    pub(in crate::policy) fn keep(
        &mut self,
        mut faults: Diagnostics,
        unwritten: BTreeMap<&'static str, usize>,
    ) -> Diagnostics {
        faults.retain(|fault| {
            let is_warning = fault.severity() == Severity::Warning;
            let seen = self.0.entry(fault.id()).or_default();
            *seen += usize::from(is_warning);
            !is_warning || *seen <= MOST
        });
        for (id, count) in unwritten {
            *self.0.entry(id).or_default() += count;
        }
        faults
    }

    /// How many were left out, one fault an id.
    pub(in crate::policy) fn rest(self, directory: &Path, faults: &mut Diagnostics) {
        let source = Source::new(directory, "");
        for (id, count) in self.0.into_iter().filter(|(_, count)| *count > MOST) {
            let message = format!("{} more findings of this kind are not shown", count - MOST);
            faults.push(Diagnostic::error(&source, &Place::File, id, message).as_warning());
        }
    }
}

/// A lint's diagnostic; for lints of the whole set, whose findings `Policy::allows` silences.
pub(in crate::policy) fn finding(source: &Source, place: &Place, lint: Lint, message: String) -> Diagnostic {
    let found = Diagnostic::error(source, place, lint.id, message).explained();
    if lint.severity == Severity::Warning { found.as_warning() } else { found }
}
