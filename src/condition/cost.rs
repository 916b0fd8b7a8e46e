//! What an expression may cost over the worst token, told from its tree.
//!
//! In: a tree that the fence let through. Out: nanoseconds, over every token that `values` lets through. Each operation
//! has a price, and a price for each value and each byte that it may walk or copy. How much of the token is behind a
//! claim nobody knows before; so a price counts the claims (`two copies of groups`), and the token is then taken to
//! have all it may have behind the one that costs most. Errors are operations too: the interpreter copies into some of
//! them what it could not work on.
//!
//! The prices are those of a server's core, rounded up; `benches/condition.rs` measures the worst expressions against
//! them (docs/performance.md).

mod size;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, MapExpr, operators};

use super::ConditionFault;
use super::values::{MAX_BYTES, MAX_ITEMS, MAX_VALUES};
use size::{Part, Price, Rate, Size};

/// The most that an evaluation may cost.
const BUDGET: u64 = 700_000;

/// What every evaluation costs: the variables, and each function that a pattern became.
const EVALUATION: u64 = 2_000;
const PATTERN: u64 = 300;
/// Prices of nodes and of what some of them do besides.
const NODE: u64 = 25;
const ITERATION: u64 = 250;
const CALL: u64 = 180;
const COMPARISON: u64 = 150;
const ELEMENT: u64 = 60;
const ENTRY: u64 = 150;
const NAME: u64 = 40;
const SEGMENT: u64 = 100;
/// Hashing a name, a byte.
const NAME_BYTE: u64 = 2;

/// Reading the token's JSON as values.
const CONVERT: Rate = Rate { value: 110, kibibyte: 1_500 };
/// Copying a value with all that is in it, and freeing it.
const CLONE: Rate = Rate { value: 100, kibibyte: 60 };
/// The same into an error, whose values are made anew.
const REPORT: Rate = Rate { value: 250, kibibyte: 60 };
/// Comparing; members of objects are looked up by their hash.
const EQUAL: Rate = Rate { value: 60, kibibyte: 1_500 };
/// Going through a text once.
const SCAN: Rate = Rate { value: 0, kibibyte: 150 };
/// Looking for a text in another.
const FIND: Rate = Rate { value: 0, kibibyte: 5_000 };
/// One step of an automaton a byte, over a copy of the text.
const MATCH: Rate = Rate { value: 0, kibibyte: 3_500 };

/// What one evaluation costs at most, in nanoseconds; an expression that may cost too much is refused.
pub(super) fn check(expression: &IdedExpr, variables: &[String], patterns: usize) -> Result<u64, ConditionFault> {
    let cost = of(expression, variables, patterns);
    if cost <= BUDGET {
        return Ok(cost);
    }
    Err(ConditionFault::new(format!(
        "may take {} µs over the largest token, and the most is {} µs; what costs is a list that is gone through, and a \
         claim that may be a list, used for every item (`string(claims.x)` is a text, whatever the token has)",
        cost / 1000,
        BUDGET / 1000
    )))
}

/// The cost of one evaluation over the worst token, in nanoseconds.
fn of(expression: &IdedExpr, variables: &[String], patterns: usize) -> u64 {
    let mut walk = Walk { variables, price: Price::default(), item: None };
    walk.visit(expression);
    let whole = Size::part(Part::Whole);
    walk.price.charge(&whole, CONVERT);
    let fixed = EVALUATION + PATTERN.saturating_mul(patterns as u64);
    walk.price.worst(MAX_VALUES as u64, MAX_BYTES as u64).saturating_add(fixed)
}

struct Walk<'a> {
    variables: &'a [String],
    price: Price<'a>,
    /// The name of a macro's item, inside of it.
    item: Option<&'a str>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, node: &'a IdedExpr) -> Size<'a> {
        self.price.add(NODE);
        match &node.expr {
            Expr::Literal(LiteralValue::String(text)) => Size::text(text.inner().len()),
            Expr::Literal(LiteralValue::Bytes(bytes)) => Size::text(bytes.inner().len()),
            Expr::Ident(name) => {
                self.price.add(NAME.saturating_add(NAME_BYTE.saturating_mul(2).saturating_mul(name.len() as u64)));
                self.named(name, None)
            }
            Expr::Select(_) => self.chain(node),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => {
                let parts: Vec<Size<'a>> = list.elements.iter().map(|element| self.visit(element)).collect();
                let count = parts.len() as u64;
                self.price.add(ELEMENT.saturating_mul(count));
                parts.iter().for_each(|part| self.price.charge(part, CLONE));
                let is_text = |element: &IdedExpr| matches!(element.expr, Expr::Literal(LiteralValue::String(_)));
                let texts = list.elements.iter().all(is_text);
                Size { items: count, texts, ..Size::sum(&parts) }
            }
            Expr::Map(map) => self.map(map),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => Size::text(32),
        }
    }

    fn map(&mut self, map: &'a MapExpr) -> Size<'a> {
        let mut parts = Vec::new();
        for entry in &map.entries {
            if let EntryExpr::MapEntry(entry) = &entry.expr {
                parts.push(self.visit(&entry.key));
                parts.push(self.visit(&entry.value));
            }
        }
        let count = map.entries.len() as u64;
        self.price.add(ENTRY.saturating_mul(count));
        parts.iter().for_each(|part| {
            self.price.charge(part, CLONE);
            self.price.charge(part, EQUAL);
        });
        Size { items: count, ..Size::sum(&parts) }
    }

    /// A name, and what is selected from it: the interpreter looks every beginning of the whole up as a name of its own.
    fn chain(&mut self, node: &'a IdedExpr) -> Size<'a> {
        let (mut segments, mut bytes, mut tested) = (1_u64, 0_u64, false);
        let (mut at, mut first_member) = (node, None);
        while let Expr::Select(select) = &at.expr {
            segments += 1;
            bytes = bytes.saturating_add(select.field.len() as u64);
            tested |= select.test;
            first_member = Some(select.field.as_str());
            at = &select.operand;
        }
        let size = match &at.expr {
            Expr::Ident(name) => {
                bytes = bytes.saturating_add(name.len() as u64);
                self.named(name, first_member)
            }
            _ => self.visit(at),
        };
        let hashed = NAME_BYTE.saturating_mul(3).saturating_mul(segments).saturating_mul(bytes);
        self.price.add(SEGMENT.saturating_mul(segments).saturating_add(hashed));
        if tested { Size::text(1) } else { size }
    }

    fn named(&self, name: &'a str, member: Option<&'a str>) -> Size<'a> {
        if self.item == Some(name) {
            return Size::part(Part::Item);
        }
        if !self.variables.iter().any(|variable| variable == name) {
            // What a macro collects: truth, or a count.
            return Size::text(1);
        }
        Size::part(member.map_or(Part::Whole, |member| Part::Member(name, member)))
    }

    fn call(&mut self, call: &'a CallExpr) -> Size<'a> {
        if let ([operand, index], operators::INDEX) = (call.args.as_slice(), call.func_name.as_str()) {
            return self.index(operand, index);
        }
        let operands = call.target.iter().map(|target| &**target).chain(&call.args);
        let sizes: Vec<Size<'a>> = operands.map(|operand| self.visit(operand)).collect();
        match (call.func_name.as_str(), sizes.as_slice()) {
            (operators::CONDITIONAL, [_, yes, no]) => yes.join(no),
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                self.price.add(NODE);
                // As much as the smaller has at most; a number reports what it is not equal to.
                self.price.charge(left.smaller(right), EQUAL);
                self.price.charge(right, REPORT);
                Size::text(1)
            }
            (operators::IN, [item, container]) => {
                self.price.add(COMPARISON);
                self.price.charge(container, EQUAL);
                // Each number among the items reports what it is not equal to; so does a key that is none.
                let reports = if container.texts { 1 } else { container.items.max(1) };
                self.price.charge(item, REPORT.times(reports));
                Size::text(1)
            }
            (operators::ADD, [left, right]) => {
                self.price.add(NODE);
                self.price.charge(left, REPORT);
                self.price.charge(right, REPORT);
                left.plus(right)
            }
            (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::NOT_STRICTLY_FALSE, _) => Size::text(1),
            (function, operands) => self.function(function, operands),
        }
    }

    /// Orderings, `-`, `!` and everything with a name.
    fn function(&mut self, name: &str, operands: &[Size<'a>]) -> Size<'a> {
        const ORDERINGS: [&str; 4] =
            [operators::LESS, operators::LESS_EQUALS, operators::GREATER, operators::GREATER_EQUALS];
        self.price.add(if name.contains('_') { COMPARISON } else { CALL });
        match (name, operands) {
            // Only what is no list and no object has an order.
            (name, [left, right]) if ORDERINGS.contains(&name) => {
                self.price.charge(&left.as_scalar(), REPORT);
                self.price.charge(right, REPORT);
            }
            ("startsWith" | "endsWith", [text, part]) => self.price.charge(text.smaller(part), SCAN),
            ("contains", [text, _]) => self.price.charge(text, FIND),
            (operators::SUBSTRACT, operands) => operands.iter().for_each(|operand| self.price.charge(operand, REPORT)),
            (name, operands) if name.starts_with('@') => {
                for operand in operands {
                    self.price.charge(operand, MATCH);
                    self.price.charge(operand, REPORT);
                }
            }
            (_, operands) => operands.iter().for_each(|operand| self.price.charge(operand, SCAN)),
        }
        match (name, operands) {
            ("string", [text]) => text.as_scalar().plus(&Size::text(32)),
            _ => Size::text(32),
        }
    }

    fn index(&mut self, operand: &'a IdedExpr, index: &'a IdedExpr) -> Size<'a> {
        self.price.add(COMPARISON);
        let by = self.visit(index);
        self.price.charge(&by, EQUAL);
        self.price.charge(&by, REPORT);
        match (&operand.expr, &index.expr) {
            (Expr::Ident(name), Expr::Literal(LiteralValue::String(member))) => {
                self.visit(operand);
                self.named(name, Some(member.inner()))
            }
            _ => self.visit(operand),
        }
    }

    /// What is done for every item is paid for as many as there may be; what is done to the items themselves, once for
    /// all of them together.
    fn comprehension(&mut self, parts: &'a ComprehensionExpr) -> Size<'a> {
        let range = self.visit(&parts.iter_range);
        let outer = std::mem::take(&mut self.price);
        let outer_item = self.item.replace(&parts.iter_var);
        let name = parts.iter_var.len() as u64;
        self.price.add(ITERATION.saturating_add(NAME_BYTE.saturating_mul(2).saturating_mul(name)));
        self.price.charge(&Size::part(Part::Item), CLONE);
        let collected = self.step(&parts.loop_step);
        self.item = outer_item;
        let each = std::mem::replace(&mut self.price, outer);
        let count = range.items.max(1);
        self.price.merge(each.repeated(count, &range));
        match collected {
            Some(item) => Size { items: count, ..item.repeated(count, &range) },
            None => Size::text(1),
        }
    }

    /// What one turn of a macro adds to a list, when that is what it collects. The macro's own parts are in the price of
    /// an iteration.
    fn step(&mut self, step: &'a IdedExpr) -> Option<Size<'a>> {
        let Expr::Call(call) = &step.expr else {
            self.visit(step);
            return None;
        };
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [_, asked]) => {
                self.visit(asked);
                None
            }
            (operators::ADD, [_, IdedExpr { expr: Expr::Literal(_), .. }]) => None,
            (operators::ADD, [_, item @ IdedExpr { expr: Expr::List(_), .. }]) => {
                let item = self.visit(item);
                self.price.charge(&item, CLONE);
                Some(item)
            }
            (operators::CONDITIONAL, [guard, step, _]) => {
                self.visit(guard);
                self.step(step)
            }
            _ => {
                self.visit(step);
                None
            }
        }
    }
}

/// How long a list may be that is part of the token.
const LONGEST: u64 = MAX_ITEMS as u64;
