//! Where in an expression its parts are written.

use std::ops::Range;

use cel::common::ast::SourceInfo;

/// The place of every node by its number, as the parser has them: first and last byte.
pub(super) type Offsets = Box<[(u16, u16)]>;

/// Copies what the parser noted; a source has less than 64 KiB.
pub(super) fn copy(info: &SourceInfo) -> Offsets {
    let of = |id| info.offset_for(id).map(|(first, last)| (narrow(first), narrow(last)));
    (1..).map_while(of).collect()
}

fn narrow(offset: u32) -> u16 {
    u16::try_from(offset).unwrap_or(u16::MAX)
}

/// The source with the places of its nodes.
pub(super) struct Spans<'a> {
    pub(super) source: &'a str,
    pub(super) by_id: &'a [(u16, u16)],
}

impl Spans<'_> {
    /// The bytes that name a node best: an operator, a member's name, a function's name, a literal.
    pub(super) fn of(&self, id: u64) -> Range<usize> {
        let index = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        let Some((first, last)) = index.and_then(|index| self.by_id.get(index)) else { return 0..self.source.len() };
        let (first, last) = (usize::from(*first), usize::from(*last));
        let (before, after) = self.source.split_at_checked(first).unwrap_or((self.source, ""));
        match after.chars().next() {
            // A selection stands at its dot, a call at its bracket.
            Some('.') => {
                let name = after.get(1..).unwrap_or_default();
                let start = first + 1 + (name.len() - name.trim_start().len());
                start..start + name.trim_start().find(|letter| !is_of_name(letter)).unwrap_or(name.trim_start().len())
            }
            Some('(') => {
                let name = before.trim_end();
                let start = name.rfind(|letter| !is_of_name(letter)).map_or(0, |at| at + 1);
                if start < name.len() { start..name.len() } else { first..first + 1 }
            }
            _ => first..(last + 1).min(self.source.len()),
        }
    }
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}
