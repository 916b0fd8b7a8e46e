//! CEL conditions, fenced.
//!
//! In: an expression an operator wrote, and values a stranger signed. Out: true, false, or an error that the caller
//! treats as a refusal. The interpreter has no budget and no type checker of its own, and its parser recurses on the
//! stack; so an expression is limited before it is parsed, parsed on a large stack, limited again as a tree, and may
//! call only what is listed.

mod fence;
mod parser;
mod patterns;
mod spans;
mod types;
mod values;
mod written;

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use cel::common::types::CelBool;
use cel::{Context, Env, IdedExpr, Program, Value};
use regex::Regex;

pub use types::{Schema, Type, TypeFault, Unknown};
pub use values::Values;
pub use written::read;

/// CEL's standard functions. Building them costs more than most evaluations, so they are built once.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled condition.
pub struct Condition {
    expression: IdedExpr,
    patterns: Vec<Arc<Regex>>,
    reads: Reads,
    spans: spans::Offsets,
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
        parser::on_large_stack(move || Condition::compile_here(text, names))
    }

    /// On the large stack: a tree that the limits refuse is also walked and freed there.
    fn compile_here(source: String, variables: Vec<String>) -> Result<Condition, ConditionFault> {
        let program = Program::compile(&source).map_err(|errors| parser::fault(&source, &errors))?;
        let reads = fence::check_tree(program.expression(), variables)?;
        let mut expression = program.expression().clone();
        let patterns = patterns::compile(&mut expression)?;
        let spans = spans::copy(program.source_info());
        Ok(Condition { expression, patterns, reads, spans, source })
    }

    /// The expression as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
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
    /// When it does not come to a boolean: a missing member, values that do not compare, another type.
    pub fn holds(&self, values: &Values) -> Result<bool, ConditionFault> {
        let mut context = self.context();
        for (name, value) in values.iter() {
            context.add_variable_from_value(name, value.clone());
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
            let is_match = move |text: Arc<String>| pattern.is_match(&text);
            // Fails only for a name the standard functions have; calling it is then an evaluation error.
            let _ = context.add_function(&patterns::function_name(index), is_match);
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
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(source: &str, claims: &serde_json::Value) -> Result<bool, ConditionFault> {
        let condition = Condition::compile(source, &["claims"])?;
        let answer = condition.holds_over("claims", claims.as_object().unwrap());
        let all_converted = Values::new(&[("claims", claims)]).and_then(|values| condition.holds(&values));
        assert!(answer == all_converted || all_converted.is_err(), "{source}: {answer:?}, {all_converted:?}");
        answer
    }

    #[test]
    fn conditions_read_claims_by_name_and_by_index() {
        let claims = json!({ "run_attempt": "1", "n": 5, "groups": ["a", "b"], "a/b": { "c": true } });
        for source in [
            r#"claims.run_attempt == "1""#,
            r#"claims.n == 5 && claims.n < 6"#,
            r#""a" in claims.groups && !("z" in claims.groups)"#,
            r#"claims["a/b"].c"#,
            r#"claims.groups.exists(g, g.startsWith("a"))"#,
            r#"has(claims.n) && !has(claims.absent)"#,
            r#"claims.run_attempt.matches("^[0-9]$")"#,
        ] {
            assert_eq!(holds(source, &claims), Ok(true), "{source}");
        }
    }

    #[test]
    fn what_comes_to_no_boolean_is_an_error() {
        let claims = json!({ "a": "1" });
        for source in ["claims.absent == \"1\"", "claims.a", "claims.a < 5"] {
            assert!(holds(source, &claims).is_err(), "{source}");
        }
    }

    #[test]
    fn expressions_that_could_stall_or_kill_the_process_do_not_compile() {
        let nested_maps = "claims.l.map(a, claims.l.map(b, claims.l.map(c, 1))).size() > 0";
        let bad = [
            "(".repeat(2000) + &")".repeat(2000),
            format!("claims.a == \"x\" {}", "|| true ".repeat(300)),
            "1+".repeat(2000) + "1",
            "!".repeat(2000) + "true",
            nested_maps.to_owned(),
            "x".repeat(5000),
            "claims.l.exists(x, x.matches(\"a\"))".to_owned(),
            "claims.a.matches(claims.b)".to_owned(),
            "claims.a.matches(\"(\")".to_owned(),
            "other.a == 1".to_owned(),
            "system(\"rm\")".to_owned(),
            String::new(),
        ];
        for source in bad {
            assert!(
                Condition::compile(&source, &["claims"]).is_err(),
                "{}",
                source.chars().take(60).collect::<String>()
            );
        }
    }

    #[test]
    fn a_list_longer_than_the_limit_is_an_evaluation_error() {
        let claims = json!({ "l": vec!["x"; 257] });
        assert!(holds("\"x\" in claims.l", &claims).is_err());
    }

    #[test]
    fn what_a_token_could_blow_up_does_not_compile_and_its_harmless_neighbour_does() {
        let compiles = |source: &str| Condition::compile(source, &["claims"]).is_ok();
        let doubled = (0..6).fold("claims.big".to_owned(), |text, _| format!("({text}+{text})"));
        assert!(!compiles(&format!("claims.l.map(x, {doubled}).size() > 0")));
        assert!(!compiles(&format!("size({doubled}) > 0")) && compiles("size(claims.big + \":\" + claims.a) > 0"));
        assert!(!compiles("claims.l.map(x, [claims.big, claims.big]).size() > 0"));
        assert!(compiles("claims.l.map(x, x.name).size() > 0 && claims.l.filter(x, x.n == 1).size() == 2"));
        assert!(
            !compiles("(claims.l + claims.l).exists(x, x == 1)") && compiles("claims[\"l\"].k.exists_one(x, x == 1)")
        );
        assert!(!compiles("claims.l.exists(claims, claims == 1)"));
        assert!(!compiles(&["claims.l.exists(x, x == 1)"; 9].join(" || ")));
        assert!(!compiles(&format!("claims.l.exists(x, {})", ["x == 1"; 40].join(" || "))));
        assert!(!compiles("claims.l.exists(x, x.matches(\"a\"))") && compiles("matches(claims.a, \"a\")"));
        assert!(!compiles("claims.a.matches(\"(x{1000}){1000}\")"));
    }

    /// tokio gives a worker 2 MiB; most of it is left for the rest of the request.
    #[test]
    fn the_deepest_expression_that_compiles_evaluates_on_half_a_workers_stack() {
        let claims = json!({ "n": 1, "a": "x", "l": ["x"] });
        let item = "claims.l.exists(x, x == \"x\")";
        let shapes: [fn(usize, &str) -> String; 4] = [
            |depth, item| format!("{}({item})", "!".repeat(depth)),
            |depth, item| format!("{}{item}{}", "(true && ".repeat(depth), ")".repeat(depth)),
            |depth, item| format!("{}{item}{}", "(true ? ".repeat(depth), " : false)".repeat(depth)),
            |depth, item| format!("{}{item}{}", "[".repeat(depth), "][0]".repeat(depth)),
        ];
        for shape in shapes {
            let compile = |depth| Condition::compile(&shape(depth, item), &["claims"]).ok();
            let deepest = (1..32).rev().find_map(compile).unwrap();
            let claims = claims.clone();
            let worker = std::thread::Builder::new().stack_size(1024 * 1024);
            let run = move || deepest.holds_over("claims", claims.as_object().unwrap()).is_ok();
            assert!(worker.spawn(run).unwrap().join().unwrap());
        }
    }

    #[test]
    fn it_says_which_members_it_reads() {
        let condition = Condition::compile("has(claims.b) && claims[\"a/b\"].c == claims.d[0]", &["claims"]).unwrap();
        assert_eq!(condition.members_read("claims").collect::<Vec<_>>(), ["a/b", "b", "d"]);
        assert!(condition.reads.whole.is_empty());
        let whole = Condition::compile("\"x\" in claims", &["claims"]).unwrap();
        assert_eq!(whole.holds_over("claims", json!({ "x": 1 }).as_object().unwrap()), Ok(true));
    }

    #[test]
    fn a_long_row_of_alternatives_is_no_deep_tree() {
        let row = ["claims.a == \"x\""; 40].join(" || ");
        assert_eq!(holds(&row, &json!({ "a": "x" })), Ok(true));
    }
}
