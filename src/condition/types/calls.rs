//! The types of operators and functions.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::{Checker, Found, Type, faults};

const ORDERING: [&str; 4] = [operators::LESS, operators::LESS_EQUALS, operators::GREATER, operators::GREATER_EQUALS];

impl Checker<'_> {
    /// Every operator and function that the fence lets through; operands come first, whatever the style of the call.
    pub(super) fn call(&mut self, node: &IdedExpr, call: &CallExpr) -> Found {
        let operands = call.target.iter().map(|target| &**target).chain(&call.args);
        let found: Vec<Found> = operands.map(|operand| self.infer(operand)).collect();
        let varies = found.iter().any(|operand| operand.varies);
        let kind = match (call.func_name.as_str(), found.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, sides) => {
                sides.iter().for_each(|side| self.boolean(side, "each side of `&&` and `||`"));
                Type::Boolean
            }
            (operators::LOGICAL_NOT, [operand]) => {
                self.boolean(operand, "what `!` turns round");
                Type::Boolean
            }
            (operators::CONDITIONAL, [question, yes, no]) => {
                self.boolean(question, "what stands before `?`");
                yes.kind.clone().join(no.kind.clone())
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                self.equality(node, left, right);
                Type::Boolean
            }
            (operator, [left, right]) if ORDERING.contains(&operator) => {
                self.ordering(node, left, right);
                Type::Boolean
            }
            (operators::IN, [item, container]) => {
                self.membership(node, item, container);
                Type::Boolean
            }
            (operators::ADD, [left, right]) => self.sum(node, left, right),
            (operators::SUBSTRACT | operators::NEGATE, sides) => {
                sides.iter().for_each(|side| self.must_be(side, &[Type::Number], "`-` is for numbers"));
                Type::Number
            }
            (function, operands) => self.function(function, operands),
        };
        Found::new(node, kind, varies)
    }

    fn function(&mut self, name: &str, operands: &[Found]) -> Type {
        const TEXTS: &str = "`startsWith`, `endsWith`, `contains` and `matches` are for strings";
        match name {
            "startsWith" | "endsWith" | "contains" => {
                operands.iter().for_each(|operand| self.must_be(operand, &[Type::Text], TEXTS));
                Type::Boolean
            }
            // Its pattern was checked when it was compiled.
            name if name == "matches" || name.starts_with('@') => {
                if name != operators::NOT_STRICTLY_FALSE {
                    operands.iter().for_each(|operand| self.must_be(operand, &[Type::Text], TEXTS));
                }
                Type::Boolean
            }
            "size" => {
                let sized = [Type::Text, Type::List(Box::new(Type::Any)), Type::Object, Type::Bytes];
                let rule = "`size` is for strings, lists and objects";
                operands.iter().for_each(|operand| self.must_be(operand, &sized, rule));
                Type::Number
            }
            "int" | "double" => {
                let rule = "`int` and `double` are for strings and numbers";
                operands.iter().for_each(|operand| self.must_be(operand, &[Type::Text, Type::Number], rule));
                Type::Number
            }
            "bool" => {
                let rule = "`bool` is for strings and booleans";
                operands.iter().for_each(|operand| self.must_be(operand, &[Type::Text, Type::Boolean], rule));
                Type::Boolean
            }
            "string" => {
                let simple = [Type::Text, Type::Number, Type::Boolean, Type::Bytes];
                let rule = "`string` is for strings, numbers and booleans";
                operands.iter().for_each(|operand| self.must_be(operand, &simple, rule));
                Type::Text
            }
            _ => Type::Any,
        }
    }

    fn must_be(&mut self, operand: &Found, wanted: &[Type], rule: &str) {
        if !wanted.iter().any(|kind| kind.meets(&operand.kind)) {
            self.fault(operand.id, format!("{rule}; {}", faults::is(operand)), None);
        }
    }

    fn equality(&mut self, node: &IdedExpr, left: &Found, right: &Found) {
        if !left.path.is_empty() && left.path == right.path {
            self.constant(node.id, "both sides are the same claim, so this is always the same");
            return;
        }
        self.comparable(node.id, left, right, "they are never equal");
    }

    fn ordering(&mut self, node: &IdedExpr, left: &Found, right: &Found) {
        let ordered = [Type::Text, Type::Number, Type::Boolean, Type::Bytes];
        let rule = "`<` and `>` are for numbers and strings";
        for side in [left, right] {
            self.must_be(side, &ordered, rule);
        }
        if [left, right].iter().all(|side| ordered.iter().any(|kind| kind.meets(&side.kind))) {
            self.comparable(node.id, left, right, "they have no order");
        }
    }

    fn membership(&mut self, node: &IdedExpr, item: &Found, container: &Found) {
        let Some(items) = container.kind.items() else {
            let fix = match container.kind {
                Type::Text => Some(format!("write {}.contains(…), or ==", shown(container))),
                _ => None,
            };
            self.fault(container.id, format!("`in` looks into lists and objects; {}", faults::is(container)), fix);
            return;
        };
        if !items.meets(&item.kind) {
            let message = format!("{}, and the items are not: it is never among them", faults::is(item));
            let fix = match (&item.literal, &item.kind, items) {
                (Some(text), Type::Number | Type::Boolean, Type::Text) => Some(format!("quote it: \"{text}\"")),
                _ => None,
            };
            self.fault(if item.literal.is_some() { item.id } else { node.id }, message, fix);
        }
    }

    fn sum(&mut self, node: &IdedExpr, left: &Found, right: &Found) -> Type {
        let summed = [Type::Text, Type::Number, Type::Bytes, Type::List(Box::new(Type::Any))];
        for side in [left, right] {
            self.must_be(side, &summed, "`+` is for numbers, strings and lists");
        }
        match (&left.kind, &right.kind) {
            (Type::List(one), Type::List(other)) => Type::List(Box::new(join_items(one, other))),
            (Type::Any | Type::Null | Type::TextOrList, Type::Any | Type::Null | Type::TextOrList) => Type::Any,
            (Type::Any | Type::Null | Type::TextOrList, known) => known.clone(),
            (known, _) => {
                self.comparable(node.id, left, right, "they have no sum");
                known.clone()
            }
        }
    }

    /// `operand[index]`; a name that is written out is a member.
    pub(super) fn index(&mut self, node: &IdedExpr, call: &CallExpr) -> Found {
        let [operand, index] = call.args.as_slice() else { return Found::new(node, Type::Any, true) };
        let found = self.infer(operand);
        if let (Expr::Literal(LiteralValue::String(name)), Type::Object | Type::Any) = (&index.expr, &found.kind) {
            return self.member(node, found, name.inner(), index.id);
        }
        let by = self.infer(index);
        let varies = found.varies || by.varies;
        let kind = match &found.kind {
            Type::List(item) => {
                self.must_be(&by, &[Type::Number], "a list is indexed by a number");
                (**item).clone()
            }
            Type::TextOrList => Type::Text,
            Type::Object | Type::Any => Type::Any,
            _ => {
                self.fault(node.id, format!("{}, which has no members", faults::is(&found)), None);
                Type::Any
            }
        };
        Found::new(node, kind, varies)
    }
}

/// An empty list has items of every type.
fn join_items(one: &Type, other: &Type) -> Type {
    match (one, other) {
        (Type::Any, known) | (known, Type::Any) => known.clone(),
        (one, other) => one.clone().join(other.clone()),
    }
}

fn shown(found: &Found) -> String {
    if found.path.is_empty() { "it".to_owned() } else { faults::written(&found.path) }
}
