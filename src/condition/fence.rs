//! The limits of an expression, before it is parsed and as a tree.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::{ConditionFault, Reads};

/// Longest source.
const MAX_SOURCE_BYTES: usize = 4096;
/// Deepest brackets in the source.
const MAX_BRACKETS: usize = 32;
/// Most operator characters in the source.
const MAX_OPERATORS: usize = 256;
/// Deepest tree: a debug build evaluates it on half a worker's stack.
const MAX_DEPTH: usize = 24;
/// Most nodes in the tree.
const MAX_NODES: usize = 500;
/// The functions that may be called: cheap, total or failing, and of bounded result.
const FUNCTIONS: [&str; 26] = [
    "_?_:_",
    "_&&_",
    "_||_",
    "!_",
    "_==_",
    "_!=_",
    "_>=_",
    "_<=_",
    "_>_",
    "_<_",
    "_+_",
    "_-_",
    "_[_]",
    "-_",
    "@in",
    "in",
    "@not_strictly_false",
    "size",
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "string",
    "int",
    "double",
    "bool",
];

fn fault(rule: impl Into<String>) -> ConditionFault {
    ConditionFault::new(rule)
}

/// Holds what the parser's recursion depends on (an attack on the process, not on the policy).
pub(super) fn check_source(source: &str) -> Result<(), ConditionFault> {
    if source.trim().is_empty() {
        return Err(fault("is empty"));
    }
    if source.len() > MAX_SOURCE_BYTES {
        return Err(fault(format!("is longer than {MAX_SOURCE_BYTES} bytes")));
    }
    let (mut depth, mut operators) = (0_usize, 0_usize);
    for character in source.chars() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '+' | '-' | '*' | '/' | '%' | '!' | '=' | '<' | '>' | '&' | '|' | '?' | '.' => operators += 1,
            _ => {}
        }
        if depth > MAX_BRACKETS {
            return Err(fault(format!("nests brackets deeper than {MAX_BRACKETS}")));
        }
    }
    if operators > MAX_OPERATORS {
        return Err(fault(format!("has more than {MAX_OPERATORS} operators")));
    }
    Ok(())
}

/// Holds what evaluation costs, and says what it reads.
pub(super) fn check_tree(expression: &IdedExpr, variables: &[String]) -> Result<Reads, ConditionFault> {
    let mut walk = Walk { names: variables.to_vec(), ..Walk::default() };
    walk.visit(expression, MAX_DEPTH)?;
    Ok(walk.reads)
}

#[derive(Default)]
struct Walk {
    nodes: usize,
    names: Vec<String>,
    inside: bool,
    reads: Reads,
}

impl Walk {
    fn visit(&mut self, node: &IdedExpr, depth: usize) -> Result<(), ConditionFault> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(fault(format!("is nested deeper than {MAX_DEPTH} levels")));
        };
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(fault(format!("has more than {MAX_NODES} parts")));
        }
        match &node.expr {
            Expr::Ident(name) => {
                self.reads.whole.insert(name.clone());
                self.check_name(name)
            }
            Expr::Literal(_) => Ok(()),
            Expr::Select(select) => self.visit_member(&select.operand, Some(&select.field), depth),
            Expr::Call(call) => self.visit_call(call, depth),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.visit(element, depth)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key, depth).and_then(|()| self.visit(&entry.value, depth))
                }
                EntryExpr::StructField(_) => Err(fault("builds a structure")),
            }),
            Expr::Comprehension(comprehension) => self.visit_comprehension(comprehension, depth),
            Expr::Struct(_) | Expr::Unspecified => Err(fault("builds a structure")),
        }
    }

    /// `operand.member`, where the member's name is known.
    fn visit_member(&mut self, operand: &IdedExpr, member: Option<&str>, depth: usize) -> Result<(), ConditionFault> {
        match (&operand.expr, member) {
            (Expr::Ident(name), Some(member)) => {
                self.reads.members.insert((name.clone(), member.to_owned()));
                self.check_name(name)
            }
            _ => self.visit(operand, depth),
        }
    }

    fn visit_call(&mut self, call: &CallExpr, depth: usize) -> Result<(), ConditionFault> {
        check_call(&call.func_name)?;
        if let ([operand, index], operators::INDEX) = (call.args.as_slice(), call.func_name.as_str()) {
            let member = match &index.expr {
                Expr::Literal(LiteralValue::String(member)) => Some(member.inner()),
                _ => None,
            };
            self.visit_member(operand, member, depth)?;
            return self.visit(index, depth);
        }
        call.target.iter().try_for_each(|target| self.visit(target, depth))?;
        call.args.iter().try_for_each(|argument| self.visit(argument, depth))
    }

    fn visit_comprehension(&mut self, comprehension: &ComprehensionExpr, depth: usize) -> Result<(), ConditionFault> {
        if self.inside {
            return Err(fault("nests exists, all, map or filter in one another"));
        }
        let variables = [Some(&comprehension.iter_var), comprehension.iter_var2.as_ref()];
        if let Some(taken) = variables.into_iter().flatten().find(|name| self.names.contains(name)) {
            return Err(fault(format!("names an item `{taken}`, which is something else already")));
        }
        self.visit(&comprehension.iter_range, depth)?;
        self.inside = true;
        let outer = self.names.len();
        self.names.extend([comprehension.iter_var.clone(), comprehension.accu_var.clone()]);
        self.names.extend(comprehension.iter_var2.clone());
        let parts =
            [&comprehension.accu_init, &comprehension.loop_cond, &comprehension.loop_step, &comprehension.result];
        parts.into_iter().try_for_each(|part| self.visit(part, depth))?;
        self.names.truncate(outer);
        self.inside = false;
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<(), ConditionFault> {
        if self.names.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(fault(format!("reads `{name}`; it may read {}", self.names.join(", "))))
    }
}

fn check_call(function: &str) -> Result<(), ConditionFault> {
    if FUNCTIONS.contains(&function) {
        return Ok(());
    }
    Err(fault(format!("calls `{function}`, which conditions do not have")))
}
