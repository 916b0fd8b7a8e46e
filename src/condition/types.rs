//! What kind of value each part of an expression has, as far as is known before any token comes.
//!
//! In: a tree, and what is known of the variables. Out: every part that cannot mean what its author meant. What is not
//! known is [`Type::Any`], which fits everywhere.

mod calls;
mod faults;
#[cfg(test)]
mod tests;

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

pub use faults::TypeFault;

use super::Condition;
use super::spans::Spans;

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// A string.
    Text,
    /// A whole number or a fraction: JSON has one type for both.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `null`, which every claim may be.
    Null,
    /// Bytes, which only an expression has.
    Bytes,
    /// A list of such values.
    List(Box<Type>),
    /// A string or a list of strings.
    TextOrList,
    /// An object. What is known of its members the [`Schema`] says.
    Object,
    /// Not known.
    Any,
}

/// What is known of the values that an expression reads.
pub trait Schema {
    /// The type of the value at a path, which begins with a variable.
    ///
    /// # Errors
    /// When there never is such a value.
    fn type_of(&self, path: &[&str]) -> Result<Type, Unknown>;
}

/// A member that an expression names and that is never there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// A stable word for it, as diagnostics have.
    pub id: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub fix: String,
}

impl Type {
    fn name(&self) -> &'static str {
        match self {
            Type::Text => "a string",
            Type::Number => "a number",
            Type::Boolean => "a boolean",
            Type::Null => "null",
            Type::Bytes => "bytes",
            Type::List(_) => "a list",
            Type::TextOrList => "a string or a list",
            Type::Object => "an object",
            Type::Any => "not known",
        }
    }

    /// Whether some value is of both types.
    fn meets(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Any | Type::Null, _) | (_, Type::Any | Type::Null) => true,
            (Type::List(left), Type::List(right)) => left.meets(right),
            (Type::TextOrList, found) | (found, Type::TextOrList) => match found {
                Type::Text | Type::TextOrList => true,
                Type::List(item) => item.meets(&Type::Text),
                _ => false,
            },
            (left, right) => left == right,
        }
    }

    /// The type of a value that is of one type or the other.
    fn join(self, other: Type) -> Type {
        match (self, other) {
            (Type::List(one), Type::List(other)) => Type::List(Box::new(one.join(*other))),
            (one, other) if one == other => one,
            _ => Type::Any,
        }
    }

    /// What the items of a list are, or what an object is keyed by; `None` when it has neither.
    fn items(&self) -> Option<Type> {
        match self {
            Type::List(item) => Some((**item).clone()),
            Type::TextOrList | Type::Object => Some(Type::Text),
            Type::Any => Some(Type::Any),
            Type::Text | Type::Number | Type::Boolean | Type::Null | Type::Bytes => None,
        }
    }
}

impl Condition {
    /// Everything in it that cannot mean what its author meant, by what is known of the values it reads.
    #[must_use]
    pub fn check(&self, schema: &dyn Schema) -> Vec<TypeFault> {
        let spans = Spans { source: &self.source, by_id: &self.spans };
        let mut checker = Checker { schema, spans, scopes: Vec::new(), faults: Vec::new() };
        let whole = checker.infer(&self.expression);
        checker.boolean(&whole, "the condition");
        checker.faults.sort_by_key(|fault| fault.span.start);
        checker.faults
    }
}

/// What is known of one part.
struct Found {
    kind: Type,
    /// The way to it, when it is a part of a variable.
    path: Vec<String>,
    /// As written, when it is a literal.
    literal: Option<String>,
    /// Whether it depends on any variable.
    varies: bool,
    /// Which node it is.
    id: u64,
}

impl Found {
    fn new(node: &IdedExpr, kind: Type, varies: bool) -> Found {
        Found { kind, path: Vec::new(), literal: None, varies, id: node.id }
    }
}

struct Checker<'a> {
    schema: &'a dyn Schema,
    spans: Spans<'a>,
    /// The names that macros bind, innermost last.
    scopes: Vec<(String, Type)>,
    faults: Vec<TypeFault>,
}

impl Checker<'_> {
    fn infer(&mut self, node: &IdedExpr) -> Found {
        match &node.expr {
            Expr::Literal(value) => literal(node, value),
            Expr::Ident(name) => self.name(node, name),
            Expr::Select(select) => {
                let operand = self.infer(&select.operand);
                let member = self.member(node, operand, &select.field, node.id);
                if select.test { Found::new(node, Type::Boolean, true) } else { member }
            }
            Expr::Call(call) if call.func_name == operators::INDEX => self.index(node, call),
            Expr::Call(call) => self.call(node, call),
            Expr::List(list) => {
                let items: Vec<Found> = list.elements.iter().map(|element| self.infer(element)).collect();
                let varies = items.iter().any(|item| item.varies);
                let item = items.into_iter().map(|item| item.kind).reduce(Type::join).unwrap_or(Type::Any);
                Found::new(node, Type::List(Box::new(item)), varies)
            }
            Expr::Map(map) => {
                let mut varies = false;
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        varies |= self.infer(&entry.key).varies | self.infer(&entry.value).varies;
                    }
                }
                Found::new(node, Type::Object, varies)
            }
            Expr::Comprehension(comprehension) => self.comprehension(node, comprehension),
            Expr::Struct(_) | Expr::Unspecified => Found::new(node, Type::Any, true),
        }
    }

    fn name(&mut self, node: &IdedExpr, name: &str) -> Found {
        if let Some((_, kind)) = self.scopes.iter().rev().find(|(known, _)| known == name) {
            return Found::new(node, kind.clone(), true);
        }
        let kind = self.schema.type_of(&[name]).unwrap_or(Type::Any);
        Found { path: vec![name.to_owned()], ..Found::new(node, kind, true) }
    }

    /// A member of an object, by the name that stands at `name_id`.
    fn member(&mut self, node: &IdedExpr, operand: Found, name: &str, name_id: u64) -> Found {
        let mut found = Found::new(node, Type::Any, operand.varies);
        match operand.kind {
            Type::Object if operand.path.is_empty() => {}
            Type::Object | Type::Any if !operand.path.is_empty() => {
                found.path = operand.path;
                found.path.push(name.to_owned());
                let path: Vec<&str> = found.path.iter().map(String::as_str).collect();
                match self.schema.type_of(&path) {
                    Ok(kind) => found.kind = kind,
                    Err(unknown) => self.faults.push(TypeFault {
                        id: unknown.id,
                        message: unknown.message,
                        fix: Some(unknown.fix),
                        span: self.spans.of(name_id),
                    }),
                }
            }
            Type::Object | Type::Any => {}
            _ => {
                let message = format!("{}, which has no members", faults::is(&operand));
                self.fault(name_id, message, None);
            }
        }
        found
    }

    fn comprehension(&mut self, node: &IdedExpr, parts: &ComprehensionExpr) -> Found {
        let range = self.infer(&parts.iter_range);
        let item = range.kind.items().unwrap_or_else(|| {
            let fix = "`exists`, `all`, `map` and `filter` are for lists".to_owned();
            self.fault(range.id, format!("{}, not a list", faults::is(&range)), Some(fix));
            Type::Any
        });
        let outer = self.scopes.len();
        let started = self.infer(&parts.accu_init);
        self.scopes.push((parts.iter_var.clone(), item));
        self.scopes.extend(parts.iter_var2.iter().map(|name| (name.clone(), Type::Any)));
        self.scopes.push((parts.accu_var.clone(), started.kind));
        let step = self.infer(&parts.loop_step);
        if let Some((_, collected)) = self.scopes.last_mut() {
            *collected = step.kind;
        }
        let result = self.infer(&parts.result);
        self.scopes.truncate(outer);
        Found::new(node, result.kind, true)
    }
}

fn literal(node: &IdedExpr, value: &LiteralValue) -> Found {
    let (kind, written) = match value {
        LiteralValue::Boolean(value) => (Type::Boolean, value.inner().to_string()),
        LiteralValue::Int(value) => (Type::Number, value.inner().to_string()),
        LiteralValue::UInt(value) => (Type::Number, value.inner().to_string()),
        LiteralValue::Double(value) => (Type::Number, value.inner().to_string()),
        LiteralValue::String(text) => (Type::Text, text.inner().to_owned()),
        LiteralValue::Bytes(_) => (Type::Bytes, String::new()),
        LiteralValue::Null => (Type::Null, "null".to_owned()),
    };
    Found { literal: Some(written), ..Found::new(node, kind, false) }
}
