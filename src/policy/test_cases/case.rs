//! One case of a test file, from YAML with positions.

use std::fmt;
use std::path::PathBuf;

use super::given::{self, Given};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Source};
use crate::vocab::{Scope, Scopes, UnixTime, UserName};
use crate::yaml::{self, Fields, Node, Yaml};

/// The fields of a test file.
pub(in crate::policy) const FILE_FIELDS: [&str; 2] = ["given", "cases"];
/// The fields of a case.
pub(in crate::policy) const CASE_FIELDS: [&str; 5] = ["name", "given", "now", "client_id", "expect"];
/// The fields of `given`.
pub(in crate::policy) const GIVEN_FIELDS: [&str; 3] = ["fixture", "issuer", "claims"];
/// The fields of `expect`, where it is more than `denied`.
pub(in crate::policy) const EXPECT_FIELDS: [&str; 4] = ["user", "scopes", "denied", "shadow"];
/// What a case may expect a denial to be for.
pub(in crate::policy) const CAUSES: [&str; 4] =
    ["policy.none", "policy.ambiguous", "policy.evaluation_error", "policy.token_terms"];

/// One case.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) given: Given,
    /// When the claims are decided; without it, at the time of the run.
    pub(super) now: Option<UnixTime>,
    /// The user that the request names.
    pub(super) wanted: Option<UserName>,
    pub(super) expected: Expected,
}

/// What should come of the claims.
#[derive(Debug)]
pub(super) enum Expected {
    Denied { cause: Option<&'static str>, shadow: Option<UserName> },
    Admitted { user: UserName, scopes: Option<Scopes>, shadow: Option<UserName> },
}

impl Expected {
    /// Whom the claims should become.
    pub(super) fn user(&self) -> Option<&UserName> {
        match self {
            Expected::Admitted { user, .. } => Some(user),
            Expected::Denied { .. } => None,
        }
    }

    /// Whom a policy in shadow mode should admit them as.
    pub(super) fn shadow(&self) -> Option<&UserName> {
        match self {
            Expected::Admitted { shadow, .. } | Expected::Denied { shadow, .. } => shadow.as_ref(),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Denied { cause: None, .. } => formatter.write_str("denied")?,
            Expected::Denied { cause: Some(cause), .. } => write!(formatter, "denied ({cause})")?,
            Expected::Admitted { user, scopes: None, .. } => write!(formatter, "admitted as {user}")?,
            Expected::Admitted { user, scopes: Some(scopes), .. } => {
                write!(formatter, "admitted as {user} with scopes [{}]", scopes.to_wire())?;
            }
        }
        match self.shadow() {
            Some(user) => write!(formatter, "; in shadow mode {user}"),
            None => Ok(()),
        }
    }
}

/// The cases of one file. A case with a fault is reported and left out.
pub(super) fn read(source: &Source, faults: &mut Diagnostics) -> Vec<Case> {
    let mut cases = Vec::new();
    for document in yaml::documents(source, faults) {
        let Some(fields) = Fields::open(source, &document, "a test file", &FILE_FIELDS, faults) else { continue };
        fields.require("cases", "cases: [{ name: …, given: …, expect: … }]", faults);
        let base = match fields.node("given") {
            Some(node) => given::read(source, node, None, faults),
            None => None,
        };
        // What the cases build on could not be read: every one of them would be another question than is written.
        if base.is_none() && fields.entry("given").is_some() {
            continue;
        }
        match fields.node("cases").map(|node| (&node.value, &node.place)) {
            Some((Yaml::Sequence(nodes), _)) => {
                cases.extend(nodes.iter().filter_map(|node| case(source, node, base.as_ref(), faults)));
            }
            Some((_, place)) => {
                faults.push(Diagnostic::error(source, place, "type", "`cases` must be a list"));
            }
            None => {}
        }
    }
    cases
}

fn case(source: &Source, node: &Node, base: Option<&Given>, faults: &mut Diagnostics) -> Option<Case> {
    let fields = Fields::open(source, node, "a case", &CASE_FIELDS, faults)?;
    if base.is_none() {
        fields.require("given", "given: { fixture: github-actions, claims: { ref: refs/heads/dev } }", faults);
    }
    fields.require("expect", "expect: denied, or expect: { user: …, scopes: […] }", faults);
    let name = fields.parse("name", faults, |text| Ok::<_, String>(text.to_owned())).unwrap_or_default();
    let has_faults = |name: &str, read: bool| fields.entry(name).is_some() && !read;
    let now = fields.parse("now", faults, moment);
    let wanted = fields.parse("client_id", faults, UserName::parse);
    let given = match fields.node("given") {
        Some(node) => given::read(source, node, base, faults),
        None => base.cloned(),
    };
    let expected = fields.node("expect").and_then(|node| expected(source, node, faults));
    if has_faults("now", now.is_some()) || has_faults("client_id", wanted.is_some()) {
        return None;
    }
    let line = if let Place::At { line, .. } = node.place { line } else { 1 };
    Some(Case { file: source.path().to_owned(), line, name, given: given?, now, wanted, expected: expected? })
}

/// A day's first second in UTC, or a time.
fn moment(text: &str) -> Result<UnixTime, &'static str> {
    const RULE: &str = "must be a date such as 2027-06-30, or a time such as 2027-06-30T12:00:00Z";
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(UnixTime(time.as_second()));
    }
    let date: jiff::civil::Date = text.parse().map_err(|_| RULE)?;
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| RULE)?;
    Ok(UnixTime(midnight.timestamp().as_second()))
}

fn expected(source: &Source, node: &Node, faults: &mut Diagnostics) -> Option<Expected> {
    if node.value == Yaml::String("denied".to_owned()) {
        return Some(Expected::Denied { cause: None, shadow: None });
    }
    let fields = Fields::open(source, node, "`expect` (`denied`, or a user)", &EXPECT_FIELDS, faults)?;
    let shadow = fields.parse("shadow", faults, UserName::parse);
    let denied = fields.parse("denied", faults, |text| {
        let known = CAUSES.into_iter().find(|cause| *cause == text);
        known.ok_or_else(|| format!("must be one of {}", CAUSES.join(", ")))
    });
    if fields.entry("shadow").is_some() && shadow.is_none() || fields.entry("denied").is_some() && denied.is_none() {
        return None;
    }
    let Some(user) = fields.entry("user") else {
        if let Some(scopes) = fields.entry("scopes") {
            let fault = fields.fault(&scopes.key_place, "conflict", "`scopes` are a user's, and there is no `user`");
            faults.push(fault.fix("add `user`, or remove `scopes`"));
            return None;
        }
        if denied.is_none() && shadow.is_none() {
            fields.require("user", "user: the name the claims should become", faults);
            return None;
        }
        return Some(Expected::Denied { cause: denied, shadow });
    };
    if denied.is_some() {
        let fault = fields.fault(&user.key_place, "conflict", "a case is admitted as a user, or denied");
        faults.push(fault.fix("keep `user` or `denied`"));
        return None;
    }
    let user = fields.parse("user", faults, UserName::parse);
    let scopes = fields.parse_list("scopes", faults, Scope::parse).map(Scopes::new);
    Some(Expected::Admitted { user: user?, scopes, shadow })
}
