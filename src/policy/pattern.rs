//! Globs and regular expressions, both anchored at both ends and matched in linear time.

use regex::{Regex, RegexBuilder};

use super::shape::Shape;
use smol_str::SmolStr;

/// Largest compiled pattern.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// Longest pattern.
const MAX_SOURCE_BYTES: usize = 1024;

/// A glob: `*` stays inside one `/` or `:` segment, `**` crosses `/`, nothing crosses `:`. Everything else is literal.
///
/// It is its own program: a regular expression would take some kilobytes a policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Glob(SmolStr);

/// What stands next in a glob.
enum Step<'a> {
    Literal(u8, &'a [u8]),
    /// `*`.
    Within(&'a [u8]),
    /// `**`.
    Across(&'a [u8]),
    End,
}

impl Glob {
    pub(super) fn parse(source: &str) -> Result<Glob, String> {
        check_length(source)?;
        Ok(Glob(source.into()))
    }

    pub(super) fn source(&self) -> &str {
        &self.0
    }

    /// What stands before the first star.
    pub(super) fn beginning(&self) -> &str {
        self.0.split('*').next().unwrap_or_default()
    }

    /// Nothing crosses a colon, so the parts between colons match one by one.
    pub(super) fn is_match(&self, value: &str) -> bool {
        let (mut patterns, mut parts) = (self.0.as_bytes().split(is_colon), value.as_bytes().split(is_colon));
        loop {
            match (patterns.next(), parts.next()) {
                (None, None) => return true,
                (Some(pattern), Some(part)) if part_matches(pattern, part) => {}
                _ => return false,
            }
        }
    }
}

fn is_colon(byte: &u8) -> bool {
    *byte == b':'
}

fn step(pattern: &[u8]) -> Step<'_> {
    match pattern {
        [] => Step::End,
        [b'*', b'*', rest @ ..] => Step::Across(rest),
        [b'*', rest @ ..] => Step::Within(rest),
        [literal, rest @ ..] => Step::Literal(*literal, rest),
    }
}

/// Each star first takes nothing, then one byte more whenever what follows does not fit: first the last `*`, which may
/// not take a slash, then the last `**`. An earlier star need not be asked again: what it could take, the later one
/// could take as well. Bytes will do, because the special characters are ASCII.
fn part_matches(pattern: &[u8], value: &[u8]) -> bool {
    let (mut pattern, mut value) = (pattern, value);
    let (mut within, mut across) = (None, None);
    loop {
        match (step(pattern), value) {
            (Step::End, []) => return true,
            (Step::Across(rest), _) => {
                (pattern, across, within) = (rest, Some((rest, value)), None);
                continue;
            }
            (Step::Within(rest), _) => {
                (pattern, within) = (rest, Some((rest, value)));
                continue;
            }
            (Step::Literal(literal, rest), [first, others @ ..]) if literal == *first => {
                (pattern, value) = (rest, others);
                continue;
            }
            _ => {}
        }
        match (within, across) {
            (Some((after, [first, rest @ ..])), _) if *first != b'/' => {
                (pattern, value, within) = (after, rest, Some((after, rest)));
            }
            (_, Some((after, [_, rest @ ..]))) => {
                (pattern, value, within, across) = (after, rest, None, Some((after, rest)));
            }
            _ => return false,
        }
    }
}

/// A regular expression that must match the whole value, in linear time.
#[derive(Debug)]
pub(super) struct Regular {
    source: Box<str>,
    expression: Regex,
    shape: Shape,
}

impl Regular {
    pub(super) fn parse(source: &str) -> Result<Regular, String> {
        check_length(source)?;
        // By itself first: `)|(` would otherwise break out of the group.
        compile(source)?;
        let expression = compile(&format!(r"\A(?:{source})\z"))?;
        Ok(Regular { source: source.into(), expression, shape: Shape::of(source) })
    }

    /// What is known of its matches.
    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn is_match(&self, value: &str) -> bool {
        self.expression.is_match(value)
    }
}

fn check_length(source: &str) -> Result<(), String> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(format!("is longer than {MAX_SOURCE_BYTES} bytes"));
    }
    Ok(())
}

fn compile(expression: &str) -> Result<Regex, String> {
    RegexBuilder::new(expression)
        .dot_matches_new_line(true)
        .size_limit(MAX_COMPILED_BYTES)
        .build()
        .map_err(|error| error.to_string().lines().last().unwrap_or("is no regular expression").to_owned())
}

/// Whether a pattern lets through values that have nothing in common: then it says nothing about the caller. What
/// matches every name with one slash, or every one with one colon, is as empty: all values of a claim look like that.
pub(super) fn matches_everything(is_match: impl Fn(&str) -> bool) -> bool {
    const PROBES: [[&str; 5]; 3] = [
        ["x", "Zq9-_.", "repo-a", "0", "~!$"],
        ["x/y", "Zq9-_./a", "acme/repo-a", "0/1", "~/$"],
        ["x:y", "Zq9-_.:a", "acme:repo-a", "0:1", "~:$"],
    ];
    PROBES.iter().any(|probes| probes.iter().all(|probe| is_match(probe)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(source: &str, value: &str) -> bool {
        Glob::parse(source).unwrap().is_match(value)
    }

    #[test]
    fn a_star_stays_in_its_segment_and_nothing_crosses_a_colon() {
        assert!(matches("repo:org/*", "repo:org/app"));
        for other in
            ["repo:org-evil/x", "repo:org/../evil", "repo:orgX/y", "repo:org/a:b", "xrepo:org/a", "repo:org/a/b"]
        {
            assert!(!matches("repo:org/*", other), "{other}");
        }
        assert!(matches("refs/**", "refs/heads/a/b") && !matches("refs/**", "refs/heads/a:b"));
        assert!(matches("a.b", "a.b") && !matches("a.b", "axb"));
        assert!(!matches("v1", "v1\n"));
    }

    #[test]
    fn a_regular_expression_is_anchored_whatever_it_is_made_of() {
        let regular = |source: &str| Regular::parse(source);
        assert!(regular("a|b").unwrap().is_match("b") && !regular("a|b").unwrap().is_match("b-evil"));
        assert!(!regular("a").unwrap().is_match("a\n"));
        assert!(regular("a)|(b").is_err() && regular("(").is_err());
        assert!(regular("(a+)+").unwrap().is_match(&"a".repeat(10_000)));
    }

    #[test]
    fn what_matches_everything_is_known() {
        let regular = |source: &str| {
            let regular = Regular::parse(source).unwrap();
            matches_everything(|value| regular.is_match(value))
        };
        let glob = |source: &str| matches_everything(|value| matches(source, value));
        assert!(regular(".*") && regular(".+") && regular("[^/]+/.+") && !regular("[0-9]+"));
        assert!(glob("*") && glob("**") && glob("*/*") && glob("*:**"));
        assert!(!glob("acme/*") && !glob("refs/*"));
    }

    /// The rule again, slow and obvious.
    fn reference(pattern: &[char], value: &[char]) -> bool {
        match pattern {
            [] => value.is_empty(),
            ['*', '*', rest @ ..] => {
                (0..=value.len()).any(|end| !value[..end].contains(&':') && reference(rest, &value[end..]))
            }
            ['*', rest @ ..] => (0..=value.len())
                .any(|end| !value[..end].iter().any(|c| *c == ':' || *c == '/') && reference(rest, &value[end..])),
            [first, rest @ ..] => value.first() == Some(first) && reference(rest, &value[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_glob_matches_as_the_rule_says(pattern in "[ab/:*]{0,9}", value in "[ab/:]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &value), reference(&chars(&pattern), &chars(&value)));
        }
    }
}
