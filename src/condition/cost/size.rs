//! Sizes and prices that are known but for how much of the token is behind each claim.

use std::collections::BTreeMap;

use super::LONGEST;

/// A part of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part<'a> {
    /// The item of a macro; all items together are what it goes through.
    Item,
    /// A member of a variable.
    Member(&'a str, &'a str),
    /// Everything.
    Whole,
}

/// How large a value may be.
#[derive(Debug, Clone, Default)]
pub(super) struct Size<'a> {
    /// Values that do not depend on the input.
    pub(super) values: u64,
    /// Bytes that do not depend on the input.
    pub(super) bytes: u64,
    /// How often each part of the input may be in it.
    pub(super) copies: BTreeMap<Part<'a>, u64>,
    /// How many items it may have itself.
    pub(super) items: u64,
    /// Whether it is no list and no object, or an error.
    pub(super) scalar: bool,
    /// Whether it is a list of texts that is written out.
    pub(super) texts: bool,
}

/// The price of an operation for what it goes through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) value: u64,
    pub(super) kibibyte: u64,
}

impl Rate {
    pub(super) fn times(self, count: u64) -> Rate {
        Rate { value: self.value.saturating_mul(count), kibibyte: self.kibibyte.saturating_mul(count) }
    }
}

impl<'a> Size<'a> {
    pub(super) fn text(bytes: usize) -> Size<'a> {
        Size { values: 1, bytes: bytes as u64, scalar: true, ..Size::default() }
    }

    pub(super) fn part(part: Part<'a>) -> Size<'a> {
        Size { values: 1, copies: [(part, 1)].into(), items: LONGEST, ..Size::default() }
    }

    /// Of a list or an object with these in it.
    pub(super) fn sum(parts: &[Size<'a>]) -> Size<'a> {
        parts.iter().fold(Size { values: 1, ..Size::default() }, |sum, part| sum.with(part, u64::saturating_add))
    }

    /// The same, of which it is known that it is no list and no object.
    pub(super) fn as_scalar(&self) -> Size<'a> {
        Size { items: 0, scalar: true, ..self.clone() }
    }

    /// The one in which less of the input is.
    pub(super) fn smaller<'s>(&'s self, other: &'s Size<'a>) -> &'s Size<'a> {
        if other.rank() < self.rank() { other } else { self }
    }

    /// Of `left + right`: a text, a number, or a list of both.
    pub(super) fn plus(&self, other: &Size<'a>) -> Size<'a> {
        let items = self.items.saturating_add(other.items);
        Size { items, scalar: self.scalar || other.scalar, ..self.with(other, u64::saturating_add) }
    }

    /// Of one value or the other.
    pub(super) fn join(&self, other: &Size<'a>) -> Size<'a> {
        let items = self.items.max(other.items);
        Size { items, scalar: self.scalar && other.scalar, ..self.with(other, u64::max) }
    }

    fn with(&self, other: &Size<'a>, merge: fn(u64, u64) -> u64) -> Size<'a> {
        let mut copies = self.copies.clone();
        for (part, count) in &other.copies {
            let mine = copies.entry(*part).or_default();
            *mine = merge(*mine, *count);
        }
        let (values, bytes) = (merge(self.values, other.values), merge(self.bytes, other.bytes));
        Size { values, bytes, copies, ..Size::default() }
    }

    /// Smaller where less of the input is in it: nothing, an item, more.
    fn rank(&self) -> (u64, u64) {
        let of_input = self.copies.iter().map(|(part, count)| if *part == Part::Item { *count } else { 1000 });
        (of_input.fold(0, u64::saturating_add), self.bytes)
    }

    /// Of as many of these as a macro makes, whose items come from `range`.
    pub(super) fn repeated(&self, count: u64, range: &Size<'a>) -> Size<'a> {
        let copies = repeated(&self.copies, count, &range.copies);
        let items = self.copies.get(&Part::Item).copied().unwrap_or_default();
        let of = |fixed: u64, ranged: u64| fixed.saturating_mul(count).saturating_add(items.saturating_mul(ranged));
        let (values, bytes) = (of(self.values, range.values), of(self.bytes, range.bytes));
        Size { values, bytes, copies, ..Size::default() }
    }
}

/// Every part as often as it was in all turns, and the items' part once for what they come from.
fn repeated<'a>(
    each: &BTreeMap<Part<'a>, u64>,
    count: u64,
    range: &BTreeMap<Part<'a>, u64>,
) -> BTreeMap<Part<'a>, u64> {
    let mut all = BTreeMap::new();
    for (part, rate) in each {
        if *part == Part::Item {
            for (from, copies) in range {
                let sum: &mut u64 = all.entry(*from).or_default();
                *sum = sum.saturating_add(rate.saturating_mul(*copies));
            }
        } else {
            let sum: &mut u64 = all.entry(*part).or_default();
            *sum = sum.saturating_add(rate.saturating_mul(count));
        }
    }
    all
}

/// A price in nanoseconds, but for what is behind the claims.
#[derive(Debug, Clone, Default)]
pub(super) struct Price<'a> {
    fixed: u64,
    /// For each value of a part.
    values: BTreeMap<Part<'a>, u64>,
    /// For each kibibyte of a part.
    kibibytes: BTreeMap<Part<'a>, u64>,
}

impl<'a> Price<'a> {
    pub(super) fn add(&mut self, price: u64) {
        self.fixed = self.fixed.saturating_add(price);
    }

    /// Adds the price of going through a value.
    pub(super) fn charge(&mut self, size: &Size<'a>, rate: Rate) {
        let values = if size.scalar { 0 } else { size.values };
        self.add(values.saturating_mul(rate.value));
        self.add(size.bytes.saturating_mul(rate.kibibyte) / 1024);
        for (part, copies) in &size.copies {
            if !size.scalar {
                let sum = self.values.entry(*part).or_default();
                *sum = sum.saturating_add(copies.saturating_mul(rate.value));
            }
            let sum = self.kibibytes.entry(*part).or_default();
            *sum = sum.saturating_add(copies.saturating_mul(rate.kibibyte));
        }
    }

    pub(super) fn merge(&mut self, other: Price<'a>) {
        self.add(other.fixed);
        for (mine, other) in [(&mut self.values, other.values), (&mut self.kibibytes, other.kibibytes)] {
            for (part, rate) in other {
                let sum = mine.entry(part).or_default();
                *sum = sum.saturating_add(rate);
            }
        }
    }

    /// Of all turns of a macro, whose items come from `range`.
    pub(super) fn repeated(&self, count: u64, range: &Size<'a>) -> Price<'a> {
        let of_items = |rates: &BTreeMap<Part<'a>, u64>| rates.get(&Part::Item).copied().unwrap_or_default();
        let fixed = self.fixed.saturating_mul(count);
        let values = range.values.saturating_mul(of_items(&self.values));
        let bytes = range.bytes.saturating_mul(of_items(&self.kibibytes)) / 1024;
        Price {
            fixed: fixed.saturating_add(values).saturating_add(bytes),
            values: repeated(&self.values, count, &range.copies),
            kibibytes: repeated(&self.kibibytes, count, &range.copies),
        }
    }

    /// Over the token that has all its values and all its bytes where they cost most.
    pub(super) fn worst(&self, values: u64, bytes: u64) -> u64 {
        let most = |rates: &BTreeMap<Part<'a>, u64>| {
            let whole = rates.get(&Part::Whole).copied().unwrap_or_default();
            let parts = rates.iter().filter(|(part, _)| **part != Part::Whole).map(|(_, rate)| *rate);
            whole.saturating_add(parts.max().unwrap_or_default())
        };
        let of_values = most(&self.values).saturating_mul(values);
        let of_bytes = most(&self.kibibytes).saturating_mul(bytes) / 1024;
        self.fixed.saturating_add(of_values).saturating_add(of_bytes)
    }
}
