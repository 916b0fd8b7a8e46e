//! Strict mode: names in policies that nothing else knows. They are errors where an operator creates users and services
//! before the policies that name them.

use std::path::PathBuf;

use super::findings::finding;
use super::{Lint, UNKNOWN_SERVICE, UNKNOWN_USER};
use crate::diagnostic::{Diagnostics, Place, Source};
use crate::policy::{Policy, PolicySet};
use crate::vocab::UserName;
use crate::yaml::{self, Node, Yaml};

/// How a scope for a service begins.
const SERVICE: &str = "service:";

/// Refuses scopes of services that are not among these.
pub fn check_services(set: &PolicySet, is_known: impl Fn(&str) -> bool, faults: &mut Diagnostics) {
    let mut pages = Pages::default();
    for policy in set.iter() {
        for scope in policy.scopes.iter() {
            let Some(name) = scope.as_str().strip_prefix(SERVICE) else { continue };
            let name = name.split('/').next().unwrap_or_default();
            if name != "*" && !is_known(name) {
                let text = (scope.as_str(), format!("no file in `services` has the service `{name}`"));
                pages.report(UNKNOWN_SERVICE, (policy, "scopes"), text, faults);
            }
        }
    }
}

/// Refuses users that are not among these. Of a template nobody knows whom it makes.
pub fn check_users(set: &PolicySet, is_known: impl Fn(&UserName) -> bool, faults: &mut Diagnostics) {
    let mut pages = Pages::default();
    for policy in set.iter() {
        if let Some(user) = policy.fixed_user().filter(|user| !is_known(user)) {
            let text = (user.as_str(), format!("there is no user `{user}`"));
            pages.report(UNKNOWN_USER, (policy, "user"), text, faults);
        }
    }
}

/// The file that was last looked into: policies keep no places, and few are faulty.
#[derive(Default)]
struct Pages(Option<(PathBuf, Source, Vec<Node>)>);

impl Pages {
    fn report(&mut self, lint: Lint, at: (&Policy, &str), text: (&str, String), faults: &mut Diagnostics) {
        let ((policy, field), (value, message)) = (at, text);
        let fix = match lint {
            UNKNOWN_USER => format!("create it: countersign user create {value}; or correct the name"),
            _ => "add the service, or correct the name".to_owned(),
        };
        let Some((_, source, documents)) = self.open(policy) else { return };
        let starts_here = |node: &&Node| matches!(node.place, Place::At { line, .. } if line == policy.line as usize);
        let place = documents.iter().find(starts_here).and_then(|node| place_of(node, field, value));
        let place = place.unwrap_or(Place::At { line: policy.line as usize, column: 1, width: 1 });
        faults.push(finding(source, &place, lint, message).fix(fix));
    }

    fn open(&mut self, policy: &Policy) -> Option<&(PathBuf, Source, Vec<Node>)> {
        if self.0.as_ref().is_none_or(|(path, ..)| **path != *policy.file) {
            let source = Source::read(&policy.file, &mut Diagnostics::new())?;
            let documents = yaml::documents(&source, &mut Diagnostics::new());
            self.0 = Some((policy.file.to_path_buf(), source, documents));
        }
        self.0.as_ref()
    }
}

/// Where a value stands in a field of a document.
fn place_of(document: &Node, field: &str, value: &str) -> Option<Place> {
    let Yaml::Mapping(entries) = &document.value else { return None };
    let node = &entries.iter().find(|entry| entry.key == field)?.value;
    let is_it = |item: &&Node| matches!(&item.value, Yaml::String(found) if found == value);
    let item = match &node.value {
        Yaml::Sequence(items) => items.iter().find(is_it),
        _ => None,
    };
    Some(item.unwrap_or(node).place.clone())
}
