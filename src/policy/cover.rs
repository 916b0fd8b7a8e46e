//! Which policy says no more than another: for the lint on policies that do nothing, and for what a change widens.
//!
//! Every answer is on the safe side: yes is proven, no may only mean that it could not be.

use super::Policy;
use super::matcher::{Line, Matcher, Scalar};

impl Policy {
    /// Whether this policy admits whatever the other admits, going by lines and conditions.
    pub(super) fn admits_all_of(&self, other: &Policy) -> bool {
        let same_condition = match (&self.condition, &other.condition) {
            (None, _) => true,
            (Some(own), Some(others)) => own.source() == others.source(),
            (Some(_), None) => false,
        };
        same_condition && self.lines.iter().all(|own| other.lines.iter().any(|line| line.implies(own)))
    }
}

impl Line {
    /// Whether claims that satisfy this line satisfy the other as well.
    pub(super) fn implies(&self, other: &Line) -> bool {
        self.selector == other.selector && self.matcher.implies(&other.matcher)
    }
}

impl Matcher {
    fn implies(&self, other: &Matcher) -> bool {
        let own_beginning = self.beginning();
        match (self, other) {
            (Matcher::Present(own), Matcher::Present(other)) => own == other,
            (Matcher::Present(_), _) | (_, Matcher::Present(false)) => false,
            (_, Matcher::Present(true)) => true,
            // Of a list, one item decides for the one, and all items for the other.
            (Matcher::Not(own), Matcher::Not(other)) => other.implies(own),
            (Matcher::Not(_), _) | (_, Matcher::Not(_)) => false,
            (Matcher::Regex(own), Matcher::Regex(other)) => own.source() == other.source(),
            (Matcher::Glob(own), Matcher::Glob(other)) => own == other,
            (Matcher::Glob(_) | Matcher::Prefix(_), Matcher::Prefix(prefix)) => {
                own_beginning.is_some_and(|beginning| beginning.starts_with(&**prefix))
            }
            (own, other) => own
                .named_values()
                .is_some_and(|values| values.iter().map(Scalar::to_json).all(|value| other.holds(Some(&value)))),
        }
    }
}
