//! What lints report, less what a comment in the file allows.

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

    /// Findings of the document that begins at this place.
    pub(in crate::policy) fn findings<'a>(
        &'a mut self,
        source: &'a Source,
        faults: &'a mut Diagnostics,
    ) -> Findings<'a> {
        Findings { source, allows: &mut self.allows, faults }
    }
}

/// Where lints report to.
pub(in crate::policy) struct Findings<'a> {
    source: &'a Source,
    allows: &'a mut Allows,
    faults: &'a mut Diagnostics,
}

impl Findings<'_> {
    /// Reports what was found at a place: what it is, and what to do about it. A comment may allow a warning.
    pub(super) fn report(&mut self, lint: Lint, place: &Place, say: impl FnOnce() -> (String, String)) {
        if lint.severity == Severity::Warning && self.allows.silence(lint.id, place) {
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

/// A lint's diagnostic; for lints of the whole set, whose findings `Policy::allows` silences.
pub(in crate::policy) fn finding(source: &Source, place: &Place, lint: Lint, message: String) -> Diagnostic {
    let found = Diagnostic::error(source, place, lint.id, message).explained();
    if lint.severity == Severity::Warning { found.as_warning() } else { found }
}
