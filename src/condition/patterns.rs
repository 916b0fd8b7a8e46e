//! The regular expressions of an expression, compiled once: the interpreter would compile them at every call.

use std::sync::Arc;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue};
use regex::{Regex, RegexBuilder};

use super::ConditionFault;

/// Largest compiled pattern; matching costs at most this, times the text.
const MAX_COMPILED_BYTES: usize = 256 * 1024;

/// What the call of the pattern with this index is named; no source can spell it.
pub(super) fn function_name(index: usize) -> String {
    format!("@matches{index}")
}

/// Turns every `text.matches("pattern")` into a call of its compiled pattern.
pub(super) fn compile(expression: &mut IdedExpr) -> Result<Vec<Arc<Regex>>, ConditionFault> {
    let mut found = Vec::new();
    visit(expression, &mut found)?;
    Ok(found)
}

fn visit(node: &mut IdedExpr, found: &mut Vec<Arc<Regex>>) -> Result<(), ConditionFault> {
    match &mut node.expr {
        Expr::Call(call) if call.func_name == "matches" => replace(call, found)?,
        _ => {}
    }
    match &mut node.expr {
        Expr::Select(select) => visit(&mut select.operand, found),
        Expr::Call(call) => {
            call.target.iter_mut().try_for_each(|target| visit(target, found))?;
            call.args.iter_mut().try_for_each(|argument| visit(argument, found))
        }
        Expr::List(list) => list.elements.iter_mut().try_for_each(|element| visit(element, found)),
        Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
            EntryExpr::MapEntry(entry) => visit(&mut entry.key, found).and_then(|()| visit(&mut entry.value, found)),
            EntryExpr::StructField(field) => visit(&mut field.value, found),
        }),
        Expr::Comprehension(part) => {
            [&mut part.iter_range, &mut part.accu_init, &mut part.loop_cond, &mut part.loop_step, &mut part.result]
                .into_iter()
                .try_for_each(|part| visit(part, found))
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => Ok(()),
    }
}

fn replace(call: &mut CallExpr, found: &mut Vec<Arc<Regex>>) -> Result<(), ConditionFault> {
    let mut arguments: Vec<IdedExpr> = call.target.take().map(|target| *target).into_iter().collect();
    arguments.append(&mut call.args);
    let (Some(pattern), Some(text), None) = (arguments.pop(), arguments.pop(), arguments.pop()) else {
        return Err(ConditionFault::new("calls `matches` with other than a text and a pattern"));
    };
    let Expr::Literal(LiteralValue::String(pattern)) = pattern.expr else {
        return Err(ConditionFault::new("calls `matches` with a pattern that is not written out"));
    };
    let compiled = RegexBuilder::new(pattern.inner()).size_limit(MAX_COMPILED_BYTES).build();
    let compiled = compiled.map_err(|error| {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        ConditionFault::new(format!("calls `matches` with a pattern that is no regular expression: {why}"))
    })?;
    call.func_name = function_name(found.len());
    call.args = vec![text];
    found.push(Arc::new(compiled));
    Ok(())
}
