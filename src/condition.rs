//! CEL conditions, fenced.
//!
//! In: an expression an operator wrote, and values a stranger signed. Out: true, false, or an error that the caller
//! treats as a refusal. The interpreter has no budget and no type checker of its own, and its parser recurses on the
//! stack; so an expression is limited before it is parsed, parsed on a large stack, limited again as a tree, and may
//! call only what is listed.

mod cost;
mod fence;
mod parser;
mod patterns;
mod rewrite;
mod spans;
mod types;
mod values;
mod written;

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cel::common::types::CelBool;
use cel::{Context, Env, IdedExpr, Program, Value};
use patterns::Pattern;

pub use types::{Schema, Type, TypeFault, Unknown};
pub use values::Values;
pub use written::read;

/// CEL's standard functions. Building them costs more than most evaluations, so they are built once.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled condition.
pub struct Condition {
    expression: IdedExpr,
    patterns: Vec<Arc<Pattern>>,
    reads: Reads,
    spans: spans::Offsets,
    /// In nanoseconds.
    most: u64,
    source: String,
}

/// What an expression reads.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reads {
    /// Members named in the source, as `claims.NAME` or `claims["NAME"]`, by variable.
    members: BTreeSet<(String, String)>,
    /// Variables that are also used whole, as in `"x" in claims`.
    whole: BTreeSet<String>,
}

/// Why an expression is refused, or gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct ConditionFault {
    rule: String,
    span: Option<Range<usize>>,
}

impl ConditionFault {
    fn new(rule: impl Into<String>) -> ConditionFault {
        ConditionFault { rule: rule.into(), span: None }
    }

    /// The bytes of the source that it is about, where it is about a part.
    #[must_use]
    pub fn span(&self) -> Option<Range<usize>> {
        self.span.clone()
    }
}

impl std::fmt::Debug for Condition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Condition").field(&self.source).finish()
    }
}

impl Condition {
    /// Compiles an expression that may read `variables` only.
    ///
    /// # Errors
    /// The rule it breaks, for the operator who wrote it.
    pub fn compile(source: &str, variables: &[&str]) -> Result<Condition, ConditionFault> {
        fence::check_source(source)?;
        let text = source.to_owned();
        let names: Vec<String> = variables.iter().map(|name| (*name).to_owned()).collect();
        parser::on_large_stack(move || Condition::compile_here(text, &names))
    }

    /// On the large stack: a tree that the limits refuse is also walked and freed there.
    fn compile_here(source: String, variables: &[String]) -> Result<Condition, ConditionFault> {
        let program = Program::compile(&source).map_err(|errors| parser::fault(&source, &errors))?;
        let reads = fence::check_tree(program.expression(), variables)?;
        let mut expression = program.expression().clone();
        let patterns = rewrite::rewrite(&mut expression)?;
        let most = cost::check(&expression, variables, patterns.len())?;
        let spans = spans::copy(program.source_info());
        Ok(Condition { expression, patterns, reads, spans, most, source })
    }

    /// The expression as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The most that one evaluation takes, as its tree tells before any token comes.
    #[must_use]
    pub fn worst_case(&self) -> Duration {
        Duration::from_nanos(self.most)
    }

    /// The members of a variable that it names.
    pub fn members_read(&self, variable: &str) -> impl Iterator<Item = &str> {
        let of_variable = move |(of, _): &&(String, String)| of == variable;
        self.reads.members.iter().filter(of_variable).map(|(_, member)| member.as_str())
    }

    /// Whether it also uses the variable whole, as in `"x" in claims`.
    #[must_use]
    pub fn reads_whole(&self, variable: &str) -> bool {
        self.reads.whole.contains(variable)
    }

    /// Evaluates it over these values.
    ///
    /// # Errors
    /// When it does not come to a boolean: a missing member, values that do not compare, another type. And when there is
    /// more in the values than a condition may be given.
    pub fn holds(&self, values: &Values) -> Result<bool, ConditionFault> {
        let mut context = self.context();
        for (name, value) in values.borrowed()? {
            context.add_variable_as_val(name, value);
        }
        self.evaluate(&context)
    }

    /// Evaluates it over one variable, of which it converts only the members it reads.
    ///
    /// # Errors
    /// As [`Condition::holds`]; and when a member it reads has a list or an object that is too long.
    pub fn holds_over(
        &self,
        variable: &str,
        members: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<bool, ConditionFault> {
        let mut context = self.context();
        let value = if self.reads.whole.contains(variable) {
            values::borrowed_object(members.iter())?
        } else {
            let read = self.members_read(variable).filter_map(|name| members.get_key_value(name));
            values::borrowed_object(read)?
        };
        context.add_variable_as_val(variable, value);
        self.evaluate(&context)
    }

    fn context<'v>(&self) -> Context<'static, 'v> {
        let mut context = Context::with_env(STANDARD.clone());
        for (index, pattern) in self.patterns.iter().enumerate() {
            let pattern = pattern.clone();
            let is_in = move |text: Arc<String>| pattern.is_in(&text);
            // Fails only for a name the standard functions have; calling it is then an evaluation error.
            let _ = context.add_function(&rewrite::function_name(index), is_in);
        }
        context
    }

    /// A panic of the interpreter is one more way of giving no answer.
    fn evaluate(&self, context: &Context<'_, '_>) -> Result<bool, ConditionFault> {
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let value = Value::resolve_val(&self.expression, context).ok()?;
            Some(value.downcast_ref::<CelBool>().map(|holds| *holds.inner()))
        }));
        match answer {
            Ok(Some(Some(holds))) => Ok(holds),
            Ok(Some(None)) => Err(ConditionFault::new("the condition is not a boolean")),
            Ok(None) | Err(_) => Err(ConditionFault::new("the condition cannot be evaluated over these values")),
        }
    }
}

#[cfg(test)]
mod tests;
