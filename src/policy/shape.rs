//! What a regular expression says about the values it matches: how they all begin, and whether one of its wildcards can
//! match a separator.
//!
//! In: an expression that compiles. Out: [`Shape`], worked out once for each expression. Not here: matching.

use regex_syntax::hir::{Class, Hir, HirKind};

/// What separates the names in a claim.
const SEPARATORS: [char; 2] = ['/', ':'];

/// What is known of an expression's matches.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// What each of them begins with.
    pub(super) beginning: Box<str>,
    /// Whether a wildcard of it, that is a `.` or a class that names no separator alone, matches a separator.
    pub(super) crosses: bool,
}

impl Shape {
    pub(super) fn of(source: &str) -> Shape {
        let parsed = regex_syntax::ParserBuilder::new().dot_matches_new_line(true).build().parse(source);
        parsed
            .map(|expression| Shape { beginning: beginning(&expression), crosses: crosses(&expression) })
            .unwrap_or_default()
    }
}

fn beginning(expression: &Hir) -> Box<str> {
    match expression.kind() {
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).unwrap_or_default().into(),
        HirKind::Capture(capture) => beginning(&capture.sub),
        HirKind::Concat(parts) => parts.first().map(beginning).unwrap_or_default(),
        _ => Box::default(),
    }
}

fn crosses(expression: &Hir) -> bool {
    match expression.kind() {
        HirKind::Empty | HirKind::Literal(_) | HirKind::Look(_) => false,
        HirKind::Class(class) => is_wildcard(class),
        HirKind::Repetition(repetition) => crosses(&repetition.sub),
        HirKind::Capture(capture) => crosses(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(crosses),
    }
}

/// A class of separators and nothing else is meant as such.
fn is_wildcard(class: &Class) -> bool {
    let ranges: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => {
            class.ranges().iter().map(|range| (range.start().into(), range.end().into())).collect()
        }
        Class::Bytes(class) => class.ranges().iter().map(|range| (range.start().into(), range.end().into())).collect(),
    };
    let separators = SEPARATORS.map(u32::from);
    let matches = |wanted: u32| ranges.iter().any(|(start, end)| (*start..=*end).contains(&wanted));
    let size: u64 = ranges.iter().map(|(start, end)| u64::from(end - start) + 1).sum();
    let crossed = separators.iter().filter(|separator| matches(**separator)).count() as u64;
    crossed > 0 && size > crossed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_crosses_where_it_matches_a_separator() {
        for crossing in ["acme/.*", "v1.0", "[^@]+", r"\S+", "(a|.)", "[a-z/]+", r"\PN", "(?i)[^a]"] {
            assert!(Shape::of(crossing).crosses, "{crossing}");
        }
        for within in ["acme/[^/:]*", r"v1\.0", "[a-z0-9-]+", r"\w+", r"\d+/\d+", "a[/:]b", "refs/(heads|tags)/x"] {
            assert!(!Shape::of(within).crosses, "{within}");
        }
    }

    #[test]
    fn every_match_begins_with_the_beginning() {
        for (source, beginning) in [
            ("acme/[a-z]+", "acme/"),
            ("acme", "acme"),
            ("(?:acme/)x?", "acme/"),
            ("ab?c", "a"),
            ("a|b", ""),
            ("acme/(shop|till)", "acme/"),
            ("x*acme", ""),
            ("(?i)acme", ""),
        ] {
            assert_eq!(&*Shape::of(source).beginning, beginning, "{source}");
        }
    }
}
