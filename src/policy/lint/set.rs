//! Findings about policies taken together. They stand where the policy's document begins, and a comment anywhere in that
//! document allows them.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::findings::finding;
use super::{AMBIGUOUS_OVERLAP, Lint, SHADOWED_POLICY};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Source};
use crate::issuer::Issuer;
use crate::policy::Policy;
use crate::vocab::UnixTime;

/// Longest claims shown in a finding, in bytes.
const MAX_SHOWN: usize = 600;

/// Where lints of a whole set report to.
pub(in crate::policy) struct SetFindings<'a> {
    pub(in crate::policy) now: UnixTime,
    faults: &'a mut Diagnostics,
    /// The file that the last finding was in.
    open: Option<(PathBuf, Source)>,
}

impl<'a> SetFindings<'a> {
    pub(in crate::policy) fn new(now: UnixTime, faults: &'a mut Diagnostics) -> SetFindings<'a> {
        SetFindings { now, faults, open: None }
    }

    /// Both admit these claims, each as another user.
    pub(in crate::policy) fn ambiguous(&mut self, first: &Policy, second: &Policy, witness: &Map<String, Value>) {
        let claims = Value::Object(witness.clone()).to_string();
        let shown: String = claims.chars().take(MAX_SHOWN).collect();
        let message = format!(
            "`{}` admits tokens that `{}` ({}:{}) admits as another user; both are then refused. For instance {shown}",
            second.name(),
            first.name(),
            first.file.display(),
            first.line
        );
        let fix = "add a line that only one of them satisfies, or give both the same user";
        self.report(AMBIGUOUS_OVERLAP, (second, first), message, fix);
    }

    /// The policy could be deleted without a change.
    pub(in crate::policy) fn shadowed(&mut self, policy: &Policy, by: &Policy) {
        let message = format!(
            "`{}` adds nothing: `{}` ({}:{}) admits all that it admits, as the same user and with its scopes",
            policy.name(),
            by.name(),
            by.file.display(),
            by.line
        );
        self.report(SHADOWED_POLICY, (policy, by), message, "delete it, or narrow the other one");
    }

    /// Too many policies of an issuer could not be told apart quickly.
    pub(in crate::policy) fn unfinished(&mut self, issuer: &Issuer, pairs: usize) {
        let message = format!(
            "policies of `{}` were compared {pairs} times, and not to the end: too many share no claim that tells them \
             apart, so overlaps may be missing here",
            issuer.name()
        );
        let source = Source::new(issuer.name().as_str(), "");
        self.faults.push(Diagnostic::error(&source, &Place::File, AMBIGUOUS_OVERLAP.id, message).as_warning());
    }

    /// Either policy's comment allows it.
    fn report(&mut self, lint: Lint, (policy, other): (&Policy, &Policy), message: String, fix: &str) {
        if policy.allows(lint.id) || other.allows(lint.id) {
            return;
        }
        let place = Place::At { line: policy.line as usize, column: 1, width: 6 };
        let fault = finding(self.source(policy), &place, lint, message).fix(fix);
        self.faults.push(fault);
    }

    fn source(&mut self, policy: &Policy) -> &Source {
        let is_open = self.open.as_ref().is_some_and(|(path, _)| **path == *policy.file);
        let open = self.open.take().filter(|_| is_open).unwrap_or_else(|| {
            let read = Source::read(&policy.file, &mut Diagnostics::new());
            (policy.file.to_path_buf(), read.unwrap_or_else(|| Source::new(&*policy.file, "")))
        });
        &self.open.insert(open).1
    }
}
