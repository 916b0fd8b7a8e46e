//! What is changed in a tree before it is evaluated: its patterns are compiled, and comparisons turned to their cheaper
//! side.

use std::sync::Arc;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::ConditionFault;
use super::patterns::Pattern;

/// What the call of the pattern with this index is named; no source can spell it.
pub(super) fn function_name(index: usize) -> String {
    format!("@matches{index}")
}

/// Rewrites a tree in place; what it means stays. The patterns are those that its calls now name.
pub(super) fn rewrite(expression: &mut IdedExpr) -> Result<Vec<Arc<Pattern>>, ConditionFault> {
    let mut found = Vec::new();
    visit(expression, &mut found)?;
    Ok(found)
}

fn visit(node: &mut IdedExpr, found: &mut Vec<Arc<Pattern>>) -> Result<(), ConditionFault> {
    match &mut node.expr {
        Expr::Call(call) if call.func_name == "matches" => name_pattern(call, found)?,
        Expr::Call(call) => put_the_smaller_right(call),
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

/// Turns `text.matches("pattern")` into a call of its compiled pattern.
fn name_pattern(call: &mut CallExpr, found: &mut Vec<Arc<Pattern>>) -> Result<(), ConditionFault> {
    let mut arguments: Vec<IdedExpr> = call.target.take().map(|target| *target).into_iter().collect();
    arguments.append(&mut call.args);
    let (Some(pattern), Some(text), None) = (arguments.pop(), arguments.pop(), arguments.pop()) else {
        return Err(ConditionFault::new("calls `matches` with other than a text and a pattern"));
    };
    let Expr::Literal(LiteralValue::String(pattern)) = pattern.expr else {
        return Err(ConditionFault::new("calls `matches` with a pattern that is not written out"));
    };
    let compiled = Pattern::compile(pattern.inner())
        .map_err(|fault| ConditionFault::new(format!("calls `matches` with a pattern {fault}")))?;
    call.func_name = function_name(found.len());
    call.args = vec![text];
    found.push(Arc::new(compiled));
    Ok(())
}

/// Turns `"a" == claims.b` round. Where the left side is a number and the right side is none, the interpreter copies the
/// right side into an error, with all that is in it.
fn put_the_smaller_right(call: &mut CallExpr) {
    let turned = match call.func_name.as_str() {
        same @ (operators::EQUALS | operators::NOT_EQUALS) => same,
        operators::LESS => operators::GREATER,
        operators::LESS_EQUALS => operators::GREATER_EQUALS,
        operators::GREATER => operators::LESS,
        operators::GREATER_EQUALS => operators::LESS_EQUALS,
        _ => return,
    };
    let turned = turned.to_owned();
    if let [left, right] = call.args.as_mut_slice()
        && rank(left) < rank(right)
    {
        std::mem::swap(left, right);
        call.func_name = turned;
    }
}

/// How much may be in a value, roughly: a literal, a name of a macro's or a variable's, anything else.
fn rank(side: &IdedExpr) -> u8 {
    match side.expr {
        Expr::Literal(_) => 0,
        Expr::Ident(_) => 1,
        _ => 2,
    }
}
