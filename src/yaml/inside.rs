//! Places inside one value: where in the file a part of a text stands.

use std::ops::Range;

use super::{Node, Yaml};
use crate::diagnostic::{Place, Source};

impl Node {
    /// Where these bytes of its text stand, when they are on its first line; otherwise where it begins.
    #[must_use]
    pub fn place_of(&self, source: &Source, bytes: &Range<usize>) -> Place {
        self.find(source, bytes).unwrap_or_else(|| self.place.clone())
    }

    fn find(&self, source: &Source, bytes: &Range<usize>) -> Option<Place> {
        let (Yaml::String(text), Place::At { line, column, .. }) = (&self.value, &self.place) else { return None };
        let row: Vec<char> = source.line(*line)?.chars().skip(column.checked_sub(1)?).collect();
        let starts = columns(&row, text);
        let of = |byte: usize| text.get(..byte).map(|before| before.chars().count());
        let (first, end) = (*starts.get(of(bytes.start)?)?, *starts.get(of(bytes.end)?)?);
        Some(Place::At { line: *line, column: column + first, width: end.saturating_sub(first).max(1) })
    }
}

/// For each character of `text`, and for its end, how many characters of `row` stand before it; as far as the row spells
/// the text.
fn columns(row: &[char], text: &str) -> Vec<usize> {
    let quote = row.first().copied().filter(|first| matches!(first, '"' | '\''));
    let mut starts = vec![usize::from(quote.is_some())];
    for letter in text.chars() {
        let at = starts.last().copied().unwrap_or_default();
        let (spelt, width) = match (quote, row.get(at), row.get(at + 1)) {
            (Some('\''), Some('\''), second) => (second.copied(), 2),
            (Some('"'), Some('\\'), second) => (second.and_then(|letter| escaped(*letter)), 2),
            (_, first, _) => (first.copied(), 1),
        };
        if spelt != Some(letter) {
            break;
        }
        starts.push(at + width);
    }
    starts
}

/// The escapes of one letter (YAML 1.2 §5.7) that an expression may need.
fn escaped(letter: char) -> Option<char> {
    match letter {
        '"' | '\\' | '/' | ' ' => Some(letter),
        'n' => Some('\n'),
        't' => Some('\t'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::documents;
    use super::*;
    use crate::diagnostic::Diagnostics;

    /// Where the bytes `4..6` of the value of `c` stand.
    fn place(yaml: &str) -> Place {
        let source = Source::new("a.yaml", yaml);
        let nodes = documents(&source, &mut Diagnostics::new());
        let Yaml::Mapping(entries) = &nodes[0].value else { panic!("no mapping") };
        entries[0].value.place_of(&source, &(4..6))
    }

    #[test]
    fn a_part_of_a_plain_or_quoted_value_has_its_own_column() {
        let at = |line, column, width| Place::At { line, column, width };
        assert_eq!(place("c: abcdefg\n"), at(1, 8, 2));
        assert_eq!(place("\n c: 'ab''defg'\n"), at(2, 11, 2));
        assert_eq!(place("c: \"a\\\"c\\\\efg\"\n"), at(1, 11, 2));
        assert_eq!(place("c: äbcdefg\n"), at(1, 7, 2));
    }

    #[test]
    fn a_value_over_several_lines_has_the_columns_of_its_first() {
        let at = |line, column, width| Place::At { line, column, width };
        assert_eq!(place("c: >-\n  abcdefg\n  hij\n"), at(2, 7, 2));
        assert_eq!(place("c: abcdef\n   g\n"), at(1, 8, 2));
        for elsewhere in ["c: abc\n   defg\n", "c: \"\\x61bcdefg\"\n"] {
            assert!(matches!(place(elsewhere), Place::At { line: 1, column: 4, .. }), "{elsewhere}");
        }
    }
}
