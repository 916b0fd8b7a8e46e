//! Which policies some claims may satisfy together with a given one: overlaps are looked for among those only.
//!
//! In: an issuer's policies, filed. Out: numbers; one too many costs a comparison, and none is left out. Lives for one
//! load: a decision never asks it.

use super::Policy;
use super::index::{Drawer, Index};
use super::matcher::{Scalar, Selector};

/// The drawers of an index, their contents sorted by text.
pub(super) struct Compatible<'a> {
    index: &'a Index,
    drawers: Vec<Texts<'a>>,
}

/// What the members of a drawer ask of its claim.
#[derive(Default)]
struct Texts<'a> {
    /// Whole values, and what patterns begin with (`true`), ascending.
    sorted: Vec<(&'a str, bool, u32)>,
    /// How long the beginnings are, in bytes, ascending.
    lengths: Vec<usize>,
}

impl<'a> Compatible<'a> {
    /// Sorts what is filed in `index`, which was built of these policies.
    pub(super) fn of(index: &'a Index, policies: &'a [Policy]) -> Compatible<'a> {
        Compatible { index, drawers: index.drawers().iter().map(|drawer| Texts::of(drawer, policies)).collect() }
    }

    /// Visits the policies that some claims may satisfy together with this one, itself among them, until `visit` says no.
    /// A claim that may be a list can satisfy lines on several values at once.
    pub(super) fn visit(
        &self,
        policy: &Policy,
        may_be_list: impl Fn(&Selector) -> bool,
        mut visit: impl FnMut(u32) -> bool,
    ) {
        if !self.index.unfiled().iter().all(|number| visit(*number)) {
            return;
        }
        for (drawer, texts) in self.index.drawers().iter().zip(&self.drawers) {
            let line = policy.lines.iter().find(|line| line.selector == drawer.selector);
            let line = line.filter(|_| !may_be_list(&drawer.selector));
            let mut found = Vec::new();
            match line.map(|line| (line.matcher.named_values(), line.matcher.beginning())) {
                Some((Some(values), _)) => {
                    values.iter().for_each(|value| self.index.look_up(drawer, &value.to_json(), &mut found));
                }
                Some((None, Some(beginning))) => texts.meeting(beginning, &mut found),
                _ => found.clone_from(&drawer.members),
            }
            found.sort_unstable();
            found.dedup();
            if !found.into_iter().all(&mut visit) {
                return;
            }
        }
    }
}

impl<'a> Texts<'a> {
    fn of(drawer: &Drawer, policies: &'a [Policy]) -> Texts<'a> {
        let mut texts = Texts::default();
        for number in &drawer.members {
            let Some(policy) = policies.get(*number as usize) else { continue };
            let Some(line) = policy.lines.iter().find(|line| line.selector == drawer.selector) else { continue };
            match (line.matcher.named_values(), line.matcher.beginning()) {
                (Some(values), _) => texts.sorted.extend(values.iter().filter_map(|value| match value {
                    Scalar::Text(text) => Some((&**text, false, *number)),
                    // No pattern matches another type.
                    Scalar::Number(_) | Scalar::Boolean(_) => None,
                })),
                (None, beginning) => {
                    let beginning = beginning.unwrap_or_default();
                    texts.lengths.push(beginning.len());
                    texts.sorted.push((beginning, true, *number));
                }
            }
        }
        texts.sorted.sort_unstable();
        texts.lengths.sort_unstable();
        texts.lengths.dedup();
        texts
    }

    /// The members that a text with this beginning may satisfy: whole values and beginnings that go on from it, and
    /// beginnings that it goes on from.
    fn meeting(&self, beginning: &str, found: &mut Vec<u32>) {
        let from = |text: &str| self.sorted.partition_point(|(other, ..)| *other < text);
        let onward = self.sorted.iter().skip(from(beginning));
        found.extend(onward.take_while(|(text, ..)| text.starts_with(beginning)).map(|(.., number)| *number));
        for length in self.lengths.iter().take_while(|length| **length < beginning.len()) {
            let Some(shorter) = beginning.get(..*length) else { continue };
            let same = self.sorted.iter().skip(from(shorter)).take_while(|(text, ..)| *text == shorter);
            found.extend(same.filter(|(_, is_beginning, _)| *is_beginning).map(|(.., number)| *number));
        }
    }
}
