//! One policy document: from YAML with positions to a compiled policy, or every fault in it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Number;
use smol_str::SmolStr;

use super::claim_types::{self, ClaimTypes};
use super::intern::Interner;
use super::lint::{Linter, Tally};
use super::matcher::{Line, Matcher, Scalar, Selector};
use super::pattern::Glob;
use super::template::Template;
use super::{Mode, Policy, TokenTerms, lint, pattern};
use crate::condition::{self, Condition};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Source, did_you_mean};
use crate::issuer::{Issuer, Issuers};
use crate::vocab::{Audience, ClaimType, PolicyName, Scope, Scopes, UnixTime, UserName};
use crate::yaml::{self, Entry, Fields, Node, Yaml};

/// The fields of a policy.
pub(super) const FIELDS: [&str; 10] =
    ["policy", "issuer", "match", "condition", "user", "scopes", "token", "attributes", "mode", "expires"];
/// The fields it cannot be without, and how each is written.
pub(super) const REQUIRED: [(&str, &str); 4] = [
    ("policy", "policy: a-unique-name"),
    ("issuer", "issuer: the name of an issuer in countersign.yaml"),
    ("match", "match: { claim: value }"),
    ("user", "user: the WORKLOAD user, or a template such as gha-{repository_id}"),
];
/// The fields of `token`.
pub(super) const TOKEN_FIELDS: [&str; 3] = ["lifetime", "audiences", "within_assertion"];
/// The words of `mode`.
pub(super) const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];
/// What a matcher that is neither a value nor a list can be.
pub(super) const MATCHERS: [&str; 5] = ["glob", "regex", "prefix", "present", "not"];
/// Claims of the token itself, which no attribute may be mistaken for (RFC 9068 §2.2).
pub(super) const RESERVED: [&str; 13] =
    ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "workload", "cnf", "act", "credential"];

/// What the documents of one file are read with.
pub(super) struct Desk<'a> {
    pub(super) source: &'a Source,
    pub(super) issuers: &'a Issuers,
    pub(super) intern: &'a mut Interner,
    pub(super) linter: Linter,
    pub(super) tally: &'a mut Tally,
}

/// Reads one document.
pub(super) fn read(node: &Node, desk: &mut Desk<'_>, faults: &mut Diagnostics) -> Option<Policy> {
    let Desk { source, issuers, intern, linter, tally } = desk;
    let fields = Fields::open(source, node, "a policy", &FIELDS, faults)?;
    REQUIRED.iter().for_each(|(name, fix)| fields.require(name, fix, faults));
    let name = fields.parse("policy", faults, PolicyName::parse);
    let issuer = issuer(&fields, issuers, faults);
    let file = intern.file(source.path());
    let mut reader = Reader { source, issuer, fields: &fields, intern };
    let lines = reader.lines(faults);
    let user = reader.user(faults);
    let attributes = reader.attributes(faults);
    let condition = reader.condition(faults);
    let scopes = fields.parse_list("scopes", faults, Scope::parse).map(Scopes::new).unwrap_or_default();
    let token = reader.token(faults);
    let mode = fields.parse("mode", faults, mode).unwrap_or(Mode::Enforce);
    let expires_at = fields.parse("expires", faults, end_of_day);
    let issuer = issuer?;
    let mode = if issuer.settings().shadow { Mode::Shadow } else { mode };
    let draft = lint::Draft {
        fields: &fields,
        issuer,
        lines: &lines,
        condition: condition.as_deref(),
        user: user.as_ref(),
        scopes: &scopes,
        lifetime: token.lifetime,
        attributes: &attributes,
        expires_at,
        now: linter.now,
    };
    lint::check(&draft, &mut linter.findings(source, (tally, faults)));
    let line = first_line(&node.place);
    Some(Policy {
        name: name?,
        issuer: issuer.name().clone(),
        // Collected anew: `into` would keep the room of the vector elsewhere.
        lines: lines.into_iter().collect(),
        condition,
        user: user?,
        scopes,
        token,
        attributes: attributes.into_iter().collect(),
        mode,
        expires_at,
        file,
        line,
        allowed: linter.allowed_bits(line),
    })
}

fn issuer<'a>(fields: &Fields<'_>, issuers: &'a Issuers, faults: &mut Diagnostics) -> Option<&'a Issuer> {
    let name = fields.parse("issuer", faults, |text| Ok::<_, String>(text.to_owned()))?;
    if let Some(issuer) = issuers.by_name(&name) {
        return Some(issuer);
    }
    let known: Vec<&str> = issuers.iter().map(|issuer| issuer.name().as_str()).collect();
    let place = &fields.node("issuer")?.place;
    let fault = fields.fault(place, "issuer", format!("no issuer `{name}` is configured"));
    faults.push(match did_you_mean(&name, known.iter().copied()) {
        Some(near) => fault.fix(format!("did you mean `{near}`?")),
        None if known.is_empty() => fault.fix(format!("add `{name}` to `issuers` in the configuration")),
        None => fault.fix(format!("configured issuers: {}", known.join(", "))),
    });
    None
}

fn mode(text: &str) -> Result<Mode, &'static str> {
    MODES.into_iter().find(|(name, _)| *name == text).map(|(_, mode)| mode).ok_or("must be `enforce` or `shadow`")
}

fn first_line(place: &Place) -> u32 {
    match place {
        Place::At { line, .. } => u32::try_from(*line).unwrap_or(u32::MAX),
        Place::Environment(_) | Place::File => 1,
    }
}

/// The end of the day, in UTC.
fn end_of_day(text: &str) -> Result<UnixTime, &'static str> {
    const RULE: &str = "must be a date such as 2027-06-30";
    let date: jiff::civil::Date = text.parse().map_err(|_| RULE)?;
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| RULE)?;
    Ok(UnixTime(midnight.timestamp().as_second()).plus(Duration::from_secs(86_400)))
}

/// What reading the parts of one document needs.
struct Reader<'a> {
    source: &'a Source,
    issuer: Option<&'a Issuer>,
    fields: &'a Fields<'a>,
    intern: &'a mut Interner,
}

impl Reader<'_> {
    fn fault(&self, place: &Place, id: &'static str, message: impl Into<String>) -> Diagnostic {
        let fault = Diagnostic::error(self.source, place, id, message);
        if lint::find(id).is_some() { fault.explained() } else { fault }
    }

    fn lines(&mut self, faults: &mut Diagnostics) -> Vec<Line> {
        let Some(node) = self.fields.node("match") else { return Vec::new() };
        let Yaml::Mapping(entries) = &node.value else {
            let message = format!("`match` must be a mapping of claims, found {}", node.value.type_name());
            faults.push(self.fault(&node.place, "type", message));
            return Vec::new();
        };
        if entries.is_empty() {
            let fault = self.fault(&node.place, "matches-everything", "`match` is empty: it admits every token");
            faults.push(fault.fix("name the claims that tell this workload from all others"));
        }
        entries.iter().filter_map(|entry| self.line(entry, faults)).collect()
    }

    fn line(&mut self, entry: &Entry, faults: &mut Diagnostics) -> Option<Line> {
        let selector = self.intern.selector(&entry.key);
        let claim_type = self.claim_type(&selector, &entry.key_place, faults)?;
        let matcher = self.matcher(&entry.value, claim_type, faults)?;
        Some(Line { selector, matcher })
    }

    /// The type of the selected claim, as far as it is known.
    fn claim_type(&self, selector: &Selector, place: &Place, faults: &mut Diagnostics) -> Option<ClaimType> {
        match ClaimTypes(self.issuer).at(&selector.path(), claim_types::key_spelling) {
            Ok(found) => Some(found),
            Err(unknown) => {
                faults.push(self.fault(place, unknown.id, unknown.message).fix(unknown.fix));
                None
            }
        }
    }

    fn matcher(&mut self, node: &Node, claim: ClaimType, faults: &mut Diagnostics) -> Option<Matcher> {
        match &node.value {
            Yaml::Sequence(items) => {
                if items.is_empty() {
                    let fault = self.fault(&node.place, "contradiction", "an empty list admits nothing");
                    faults.push(fault.fix("name the values that are admitted"));
                }
                let values: Vec<Scalar> = items.iter().filter_map(|item| self.value(item, claim, faults)).collect();
                Some(Matcher::OneOf(self.intern.list(values)))
            }
            Yaml::Mapping(entries) => match entries.as_slice() {
                [entry] => self.operator(entry, claim, faults),
                _ => {
                    let message = format!("a matcher is one of {}", MATCHERS.join(", "));
                    faults.push(
                        self.fault(&node.place, "matcher", message).fix("keep one; two conditions go into `condition`"),
                    );
                    None
                }
            },
            _ => self.value(node, claim, faults).map(Matcher::Exact),
        }
    }

    fn operator(&mut self, entry: &Entry, claim: ClaimType, faults: &mut Diagnostics) -> Option<Matcher> {
        match entry.key.as_str() {
            "not" => self.matcher(&entry.value, claim, faults).map(|inner| Matcher::Not(Box::new(inner))),
            "present" => match entry.value.value {
                Yaml::Bool(wanted) => Some(Matcher::Present(wanted)),
                _ => {
                    let fault = self.fault(&entry.value.place, "type", "`present` must be true or false");
                    faults.push(fault.fix("write true or false, without quotes"));
                    None
                }
            },
            "glob" => {
                let glob = self.pattern(entry, claim, faults, |_, source| Glob::parse(source))?;
                self.check_pattern(entry, |value| glob.is_match(value), faults);
                Some(Matcher::Glob(glob))
            }
            "regex" => {
                let regular = self.pattern(entry, claim, faults, Interner::regular)?;
                self.check_pattern(entry, |value| regular.is_match(value), faults);
                Some(Matcher::Regex(regular))
            }
            "prefix" => {
                let text = self.text(entry, claim, faults)?;
                if text.is_empty() {
                    faults.push(self.everything(&entry.value.place));
                }
                Some(Matcher::Prefix(text.into()))
            }
            other => {
                let fault = self.fault(&entry.key_place, "matcher", format!("there is no matcher `{other}`"));
                faults.push(match did_you_mean(other, MATCHERS) {
                    Some(near) => fault.fix(format!("did you mean `{near}`?")),
                    None => fault.fix(format!("matchers: a value, a list, {}", MATCHERS.join(", "))),
                });
                None
            }
        }
    }

    fn pattern<T>(
        &mut self,
        entry: &Entry,
        claim: ClaimType,
        faults: &mut Diagnostics,
        compile: impl FnOnce(&mut Interner, &str) -> Result<T, String>,
    ) -> Option<T> {
        let source = self.text(entry, claim, faults)?;
        let compiled = compile(self.intern, &source).map_err(|error| {
            let message = format!("the {}: {}", entry.key, error.trim_start_matches("error: "));
            let fault = self.fault(&entry.value.place, "pattern", message);
            faults.push(fault.fix("correct the pattern; `\\` before a character takes its special meaning away"));
        });
        compiled.ok()
    }

    fn check_pattern(&self, entry: &Entry, is_match: impl Fn(&str) -> bool, faults: &mut Diagnostics) {
        if pattern::matches_everything(is_match) {
            faults.push(self.everything(&entry.value.place));
        }
    }

    fn everything(&self, place: &Place) -> Diagnostic {
        self.fault(place, "matches-everything", "this matches every value, so it says nothing about the caller")
            .fix("write the part that tells this workload from others, or `present: true`")
    }

    /// A pattern's text; patterns are for strings.
    fn text(&self, entry: &Entry, claim: ClaimType, faults: &mut Diagnostics) -> Option<String> {
        if matches!(claim, ClaimType::Number | ClaimType::Boolean | ClaimType::Object) {
            let message = format!("`{}` is for strings; the claim is a {claim}", entry.key);
            faults.push(self.fault(&entry.key_place, "claim-type", message));
            return None;
        }
        self.fields.parse_node(&entry.key, &entry.value, faults, |text| Ok::<_, String>(text.to_owned()))
    }

    /// A value to compare with, of the claim's type.
    fn value(&mut self, node: &Node, claim: ClaimType, faults: &mut Diagnostics) -> Option<Scalar> {
        let (value, fits) = match &node.value {
            Yaml::String(text) => (Scalar::Text(self.intern.text(text)), is_textual(claim)),
            Yaml::Int(number) => (Scalar::Number((*number).into()), is_or_any(claim, ClaimType::Number)),
            Yaml::Float(number) if number.is_finite() => {
                (Scalar::Number(Number::from_f64(*number)?), is_or_any(claim, ClaimType::Number))
            }
            Yaml::Bool(value) => (Scalar::Boolean(*value), is_or_any(claim, ClaimType::Boolean)),
            Yaml::Float(_) | Yaml::Null | Yaml::Sequence(_) | Yaml::Mapping(_) => {
                let message = format!("expected one value, found {}", node.value.type_name());
                faults.push(self.fault(&node.place, "claim-type", message));
                return None;
            }
        };
        if fits {
            return Some(value);
        }
        let message = format!("the claim is a {claim}, this is {}", node.value.type_name());
        let fault = self.fault(&node.place, "claim-type", message);
        faults.push(match (&node.value, is_textual(claim)) {
            (Yaml::Int(_) | Yaml::Bool(_) | Yaml::Float(_), true) => fault.fix(format!("quote it: \"{value}\"")),
            _ => fault.fix(format!("write a {claim}")),
        });
        None
    }

    fn template(&mut self, name: &str, node: &Node, faults: &mut Diagnostics) -> Option<Template> {
        let read = |text: &str| Template::parse(text, |key| self.intern.selector(key));
        let template = self.fields.parse_node(name, node, faults, read)?;
        for selector in template.selectors() {
            let found = self.claim_type(selector, &node.place, faults);
            if let Some(kind @ (ClaimType::Object | ClaimType::StringList)) = found {
                let message = format!("`{}` is of the type {kind}, which no template can write", selector.source());
                faults.push(
                    self.fault(&node.place, "claim-type", message).fix("name one of its members, or another claim"),
                );
            }
        }
        Some(template)
    }

    /// What cannot mean what its author meant is a fault here, not an evaluation error in every decision.
    fn condition(&mut self, faults: &mut Diagnostics) -> Option<Arc<Condition>> {
        condition::read(self.fields, &ClaimTypes(self.issuer), faults, |text| self.intern.condition(text))
    }

    fn user(&mut self, faults: &mut Diagnostics) -> Option<Template> {
        let node = self.fields.node("user")?;
        let template = self.template("user", node, faults)?;
        if template.selectors().next().is_none() && template.fixed_user().is_none() {
            let rule = UserName::parse(&template.source()).err().map(|fault| fault.to_string()).unwrap_or_default();
            faults.push(self.fault(&node.place, "value", rule));
        }
        Some(template)
    }

    fn attributes(&mut self, faults: &mut Diagnostics) -> Vec<(SmolStr, Template)> {
        let Some(node) = self.fields.node("attributes") else { return Vec::new() };
        let Yaml::Mapping(entries) = &node.value else {
            faults.push(self.fault(&node.place, "type", "`attributes` must be a mapping of names to templates"));
            return Vec::new();
        };
        let mut attributes = Vec::new();
        for entry in entries {
            if RESERVED.contains(&entry.key.as_str()) {
                let message = format!("`{}` is a claim of the token itself", entry.key);
                faults.push(self.fault(&entry.key_place, "reserved-name", message).fix("choose another name"));
            }
            let template = self.template(&entry.key, &entry.value, faults);
            attributes.extend(template.map(|template| (entry.key.as_str().into(), template)));
        }
        attributes
    }

    fn token(&self, faults: &mut Diagnostics) -> TokenTerms {
        let Some(node) = self.fields.node("token") else { return TokenTerms::default() };
        let Some(fields) = Fields::open(self.source, node, "`token`", &TOKEN_FIELDS, faults) else {
            return TokenTerms::default();
        };
        let lifetime = |text: &str| match yaml::duration(text) {
            Ok(duration) if duration.is_zero() => Err("must be longer than nothing"),
            other => other,
        };
        TokenTerms {
            lifetime: fields.parse("lifetime", faults, lifetime),
            audiences: fields.parse_list("audiences", faults, Audience::parse),
            within_assertion: fields.boolean("within_assertion", faults).unwrap_or(false),
        }
    }
}

fn is_or_any(claim: ClaimType, wanted: ClaimType) -> bool {
    claim == wanted || claim == ClaimType::Any
}

fn is_textual(claim: ClaimType) -> bool {
    matches!(claim, ClaimType::String | ClaimType::StringList | ClaimType::StringOrList | ClaimType::Any)
}
