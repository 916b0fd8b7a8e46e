//! Globs and regular expressions, both anchored at both ends and matched in linear time.

use regex::{Regex, RegexBuilder};

/// Largest compiled pattern.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// Longest pattern.
const MAX_SOURCE_BYTES: usize = 1024;

/// A glob: `*` stays inside one `/` or `:` segment, `**` crosses `/`, nothing crosses `:`. Everything else is literal.
pub(super) fn glob(source: &str) -> Result<Regex, String> {
    let mut translated = String::with_capacity(source.len() * 2);
    let mut rest = source;
    while let Some(star) = rest.find('*') {
        let (literal, stars) = rest.split_at_checked(star).unwrap_or((rest, ""));
        translated.push_str(&regex::escape(literal));
        if let Some(after) = stars.strip_prefix("**") {
            translated.push_str("[^:]*");
            rest = after;
        } else {
            translated.push_str("[^/:]*");
            rest = stars.strip_prefix('*').unwrap_or_default();
        }
    }
    translated.push_str(&regex::escape(rest));
    compile(source, &translated)
}

/// A regular expression that must match the whole value.
pub(super) fn regular(source: &str) -> Result<Regex, String> {
    // By itself first: `)|(` would otherwise break out of the group.
    compile(source, source)?;
    compile(source, &format!("(?:{source})"))
}

fn compile(source: &str, expression: &str) -> Result<Regex, String> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(format!("is longer than {MAX_SOURCE_BYTES} bytes"));
    }
    RegexBuilder::new(&format!(r"\A{expression}\z"))
        .dot_matches_new_line(true)
        .size_limit(MAX_COMPILED_BYTES)
        .build()
        .map_err(|error| error.to_string().lines().last().unwrap_or("is no regular expression").to_owned())
}

/// Whether a pattern lets through values that have nothing in common: then it says nothing about the caller. What
/// matches every name with one slash, or every one with one colon, is as empty: all values of a claim look like that.
pub(super) fn matches_everything(pattern: &Regex) -> bool {
    const PROBES: [[&str; 5]; 3] = [
        ["x", "Zq9-_.", "repo-a", "0", "~!$"],
        ["x/y", "Zq9-_./a", "acme/repo-a", "0/1", "~/$"],
        ["x:y", "Zq9-_.:a", "acme:repo-a", "0:1", "~:$"],
    ];
    PROBES.iter().any(|probes| probes.iter().all(|probe| pattern.is_match(probe)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(source: &str, value: &str) -> bool {
        glob(source).unwrap().is_match(value)
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
        assert!(regular("a|b").unwrap().is_match("b") && !regular("a|b").unwrap().is_match("b-evil"));
        assert!(!regular("a").unwrap().is_match("a\n"));
        assert!(regular("a)|(b").is_err() && regular("(").is_err());
        assert!(regular("(a+)+").unwrap().is_match(&"a".repeat(10_000)));
    }

    #[test]
    fn what_matches_everything_is_known() {
        assert!(matches_everything(&regular(".*").unwrap()) && matches_everything(&regular(".+").unwrap()));
        assert!(matches_everything(&glob("*").unwrap()) && matches_everything(&glob("**").unwrap()));
        assert!(matches_everything(&glob("*/*").unwrap()) && matches_everything(&regular("[^/]+/.+").unwrap()));
        assert!(matches_everything(&glob("*:**").unwrap()) && !matches_everything(&glob("acme/*").unwrap()));
        assert!(!matches_everything(&glob("refs/*").unwrap()) && !matches_everything(&regular("[0-9]+").unwrap()));
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
        fn a_glob_matches_as_the_rule_says(pattern in "[ab/:*.]{0,7}", value in "[ab/:.]{0,7}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &value), reference(&chars(&pattern), &chars(&value)));
        }
    }
}
