//! Claims that several policies admit at once: what proves that they overlap.
//!
//! In: policies of one issuer. Out: claims that satisfy every line of all of them, or nothing when none are found. Line
//! by line the search is complete for values, beginnings and pairs of globs; a regular expression is tried on likely
//! values only. Not here: whether the policies admit the claims in the end (see `overlap`, which asks them).

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value, json};

use super::Policy;
use super::matcher::{Matcher, Selector};
use crate::issuer::Issuer;
use crate::vocab::ClaimType;

/// Texts that no policy is likely to name, for lines that only say what a claim is not.
const OTHERS: [&str; 3] = ["x", "other", "another"];
/// Values tried for the claims that only conditions read.
const MAX_TRIED: usize = 16;

/// One issuer's claims, as a real token has them.
pub(super) struct Typical<'a> {
    issuer: &'a Issuer,
    claims: Map<String, Value>,
}

impl<'a> Typical<'a> {
    /// Of this issuer: its kind's fixture, with the issuer's own name.
    pub(super) fn of(issuer: &'a Issuer) -> Typical<'a> {
        let mut claims = crate::json::object(issuer.kind().fixture.claims.as_bytes()).unwrap_or_default();
        if let Some(identifier) = issuer.identifiers().first().filter(|_| claims.contains_key("iss")) {
            claims.insert("iss".to_owned(), identifier.clone().into());
        }
        Typical { issuer, claims }
    }

    /// Whether tokens may have a list here.
    pub(super) fn may_be_list(&self, selector: &Selector) -> bool {
        matches!(self.claim_type(selector), ClaimType::StringList | ClaimType::StringOrList)
    }

    fn claim_type(&self, selector: &Selector) -> ClaimType {
        self.issuer.schema().type_at(&selector.path()).unwrap_or(ClaimType::Any)
    }

    /// Claims that `accept` accepts, among those that satisfy all lines of these policies.
    pub(super) fn witness(
        &self,
        policies: &[&Policy],
        accept: impl Fn(&Map<String, Value>) -> bool,
    ) -> Option<Map<String, Value>> {
        let mut lines: BTreeMap<&str, (&Selector, Vec<&Matcher>)> = BTreeMap::new();
        for line in policies.iter().flat_map(|policy| policy.lines.iter()) {
            let selector = &*line.selector;
            lines.entry(selector.source()).or_insert((selector, Vec::new())).1.push(&line.matcher);
        }
        let mut claims = self.claims.clone();
        for (selector, matchers) in lines.values() {
            let value = common_value(matchers, self.claim_type(selector), selector.select(&self.claims))?;
            set(&mut claims, selector, value)?;
        }
        if accept(&claims) {
            return Some(claims);
        }
        let is_free = |member: &&str| !lines.values().any(|(selector, _)| selector.claim() == *member);
        let conditions = policies.iter().filter_map(|policy| policy.condition.as_deref());
        conditions.into_iter().find_map(|condition| {
            let members = condition.members_read("claims").filter(is_free);
            let tries = members.flat_map(|member| literals(condition.source()).map(move |literal| (member, literal)));
            tries.take(MAX_TRIED).find_map(|(member, literal)| {
                let mut changed = claims.clone();
                changed.insert(member.to_owned(), literal.into());
                accept(&changed).then_some(changed)
            })
        })
    }
}

/// What an expression has between quotes.
fn literals(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(['"', '\'']).skip(1).step_by(2)
}

/// A value that all these lines accept; `Some(None)`: the claim's absence. `None`: none was found.
fn common_value(matchers: &[&Matcher], claim: ClaimType, typical: Option<&Value>) -> Option<Option<Value>> {
    let all_hold = |value: Option<&Value>| matchers.iter().all(|matcher| matcher.holds(value));
    if all_hold(typical) {
        return Some(typical.cloned());
    }
    let candidates = candidates(matchers, claim);
    if let Some(single) = candidates.iter().find(|value| all_hold(Some(value))) {
        return Some(Some(single.clone()));
    }
    if matches!(claim, ClaimType::StringList | ClaimType::StringOrList) {
        let each = matchers.iter().map(|matcher| candidates.iter().find(|value| matcher.holds(Some(value))));
        let list = each.map(|value| value.cloned()).collect::<Option<Vec<Value>>>().map(Value::from);
        return list.filter(|list| all_hold(Some(list))).map(Some);
    }
    all_hold(None).then_some(None)
}

/// Values that are worth trying.
fn candidates(matchers: &[&Matcher], claim: ClaimType) -> Vec<Value> {
    let mut found: Vec<Value> = matchers.iter().flat_map(|matcher| named(matcher)).collect();
    let patterns: Vec<Vec<Step>> = matchers.iter().filter_map(|matcher| steps(matcher)).collect();
    let anything = [Step::Any(Class::All)];
    for (place, pattern) in patterns.iter().enumerate() {
        let others = patterns.get(place + 1..).unwrap_or_default().iter().map(Vec::as_slice);
        found.extend(others.chain([&anything[..]]).filter_map(|other| common_text(pattern, other)).map(Value::from));
    }
    match claim {
        ClaimType::Number => found.extend((0..4).map(Value::from)),
        ClaimType::Boolean => found.extend([json!(true), json!(false)]),
        ClaimType::Object => found.push(json!({})),
        _ => found.extend(OTHERS.map(Value::from)),
    }
    found
}

/// The values that a line names, also as what it must not be.
fn named(matcher: &Matcher) -> Vec<Value> {
    match matcher {
        Matcher::Not(inner) => named(inner),
        other => other.named_values().unwrap_or_default().iter().map(super::matcher::Scalar::to_json).collect(),
    }
}

/// What a pattern says of the next character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Is(char),
    /// As many as one likes of these.
    Any(Class),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// `*`.
    Segment,
    /// `**`.
    Path,
    /// What follows a prefix.
    All,
}

impl Step {
    fn takes(self, character: char) -> bool {
        match self {
            Step::Is(own) => own == character,
            Step::Any(Class::Segment) => character != '/' && character != ':',
            Step::Any(Class::Path) => character != ':',
            Step::Any(Class::All) => true,
        }
    }
}

fn steps(matcher: &Matcher) -> Option<Vec<Step>> {
    match matcher {
        Matcher::Prefix(prefix) => Some(prefix.chars().map(Step::Is).chain([Step::Any(Class::All)]).collect()),
        Matcher::Glob(glob) => {
            let mut steps = Vec::new();
            for character in glob.source().chars() {
                match (character, steps.last()) {
                    ('*', Some(Step::Any(Class::Segment))) => {
                        steps.pop();
                        steps.push(Step::Any(Class::Path));
                    }
                    ('*', _) => steps.push(Step::Any(Class::Segment)),
                    (other, _) => steps.push(Step::Is(other)),
                }
            }
            Some(steps)
        }
        _ => None,
    }
}

/// How a place in two patterns was reached: from where, and over which character.
type Steps = BTreeMap<(usize, usize), ((usize, usize), Option<char>)>;

/// The shortest text that both patterns match, by walking through both at once.
fn common_text(left: &[Step], right: &[Step]) -> Option<String> {
    let mut came_from = Steps::new();
    let mut next = VecDeque::from([(0, 0)]);
    let goal = (left.len(), right.len());
    while let Some(here) = next.pop_front() {
        if here == goal {
            return Some(text_to(goal, &came_from));
        }
        for (there, character) in moves(here, left, right) {
            if there != (0, 0) && !came_from.contains_key(&there) {
                came_from.insert(there, (here, character));
                next.push_back(there);
            }
        }
    }
    None
}

/// Where one can go: past a star that takes nothing more, or over a character that both take.
fn moves((at_left, at_right): (usize, usize), left: &[Step], right: &[Step]) -> Vec<((usize, usize), Option<char>)> {
    let (first, second) = (left.get(at_left).copied(), right.get(at_right).copied());
    let mut moves = Vec::new();
    if let Some(Step::Any(_)) = first {
        moves.push(((at_left + 1, at_right), None));
    }
    if let Some(Step::Any(_)) = second {
        moves.push(((at_left, at_right + 1), None));
    }
    let (Some(first), Some(second)) = (first, second) else { return moves };
    let character = match (first, second) {
        (Step::Is(character), _) | (_, Step::Is(character)) => character,
        (Step::Any(_), Step::Any(_)) => return moves,
    };
    if first.takes(character) && second.takes(character) {
        let past = |at: usize, step: Step| if matches!(step, Step::Is(_)) { at + 1 } else { at };
        moves.push(((past(at_left, first), past(at_right, second)), Some(character)));
    }
    moves
}

fn text_to(goal: (usize, usize), came_from: &Steps) -> String {
    let mut here = goal;
    let mut characters = Vec::new();
    while let Some((before, character)) = came_from.get(&here) {
        characters.extend(*character);
        here = *before;
    }
    characters.into_iter().rev().collect()
}

/// Puts a value, or its absence, where the selector looks; `None` when something else is in the way.
fn set(claims: &mut Map<String, Value>, selector: &Selector, value: Option<Value>) -> Option<()> {
    let path = selector.path();
    let (last, way) = path.split_last()?;
    let mut members = claims;
    for step in way {
        members = members.entry(*step).or_insert_with(|| json!({})).as_object_mut()?;
    }
    match value {
        Some(value) => members.insert((*last).to_owned(), value),
        None => members.remove(*last),
    };
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pattern::Glob;
    use super::*;

    fn glob(source: &str) -> Matcher {
        Matcher::Glob(Glob::parse(source).unwrap())
    }

    #[test]
    fn two_globs_meet_in_the_shortest_text_that_both_match() {
        let common = |left: &str, right: &str| common_text(&steps(&glob(left)).unwrap(), &steps(&glob(right)).unwrap());
        assert_eq!(common("acme/*", "*/shop").as_deref(), Some("acme/shop"));
        assert_eq!(common("refs/heads/*", "refs/**/x").as_deref(), Some("refs/heads/x"));
        assert_eq!(common("a/*", "a/b/c"), None);
        assert_eq!(common("a:*", "a**"), None);
    }

    proptest! {
        #[test]
        fn what_two_globs_have_in_common_is_found_and_is_real(left in "[ab/:*]{0,6}", right in "[ab/:*]{0,6}", value in "[ab/:]{0,6}") {
            let (left, right) = (glob(&left), glob(&right));
            let both = |text: &str| [&left, &right].iter().all(|glob| glob.holds(Some(&Value::from(text))));
            let found = common_text(&steps(&left).unwrap(), &steps(&right).unwrap());
            if both(&value) { prop_assert!(found.is_some()); }
            if let Some(found) = found { prop_assert!(both(&found), "{found}"); }
        }
    }

    #[test]
    fn a_value_that_all_lines_accept_is_found() {
        let exact = |text: &str| Matcher::Exact(super::super::matcher::Scalar::Text(text.into()));
        let not = |matcher: Matcher| Matcher::Not(Box::new(matcher));
        let text = |matchers: &[&Matcher]| common_value(matchers, ClaimType::String, Some(&json!("typical")));
        assert_eq!(text(&[&not(exact("x"))]), Some(Some(json!("typical"))));
        assert_eq!(text(&[&not(exact("typical")), &not(exact("x"))]), Some(Some(json!("other"))));
        assert_eq!(text(&[&exact("a"), &exact("b")]), None);
        assert_eq!(text(&[&Matcher::Present(false)]), Some(None));
        let list = common_value(&[&exact("a"), &exact("b")], ClaimType::StringList, None);
        assert_eq!(list, Some(Some(json!(["a", "b"]))));
    }
}
