//! What the checker finds, with the part of the expression that it points at.

use super::{Schema, Type, Unknown};
use crate::condition::Condition;

/// Claims of every type; `id` and `object.name` are strings, `object` has no other member.
struct Claims;

impl Schema for Claims {
    fn type_of(&self, path: &[&str]) -> Result<Type, Unknown> {
        match path {
            ["claims"] | ["claims", "object" | "any_object"] => Ok(Type::Object),
            ["claims", "id" | "name" | "é"] | ["claims", "object", "name"] => Ok(Type::Text),
            ["claims", "n" | "m"] => Ok(Type::Number),
            ["claims", "b"] => Ok(Type::Boolean),
            ["claims", "list" | "other"] => Ok(Type::List(Box::new(Type::Text))),
            ["claims", "aud"] => Ok(Type::TextOrList),
            ["claims", "any"] | ["claims", "any" | "any_object", ..] => Ok(Type::Any),
            _ => Err(Unknown { id: "claim-name", message: "no such claim".into(), fix: "did you mean".into() }),
        }
    }
}

/// The id, the part it points at, and the fix, of each fault.
fn faults(source: &str) -> Vec<(&'static str, String, String)> {
    let condition = Condition::compile(source, &["claims"]).unwrap_or_else(|fault| panic!("{source}: {fault}"));
    let shown =
        |fault: super::TypeFault| (fault.id, source.get(fault.span).unwrap().to_owned(), fault.fix.unwrap_or_default());
    condition.check(&Claims).into_iter().map(shown).collect()
}

#[test]
fn what_fits_has_no_fault() {
    for source in [
        r#"claims.id == "1" && claims.n == 1 && claims.b && claims.n < 1.5"#,
        r#"claims.any == 1 || claims.any == "x" || claims.any.deep[0].deeper"#,
        r#""a" in claims.list && "k" in claims.any_object && "x" in claims.any"#,
        r#""a" in claims.aud || claims.aud == "a" || claims.aud == ["a"]"#,
        r#"claims.list.exists(g, g.startsWith("a")) && claims.list.all(g, size(g) > 1)"#,
        r#"claims.list.exists_one(g, g == "a")"#,
        "claims.list.map(g, g) == claims.other",
        r#"claims.list.filter(g, g != "x").size() == 2"#,
        r#"claims.any_object.exists(k, k == "x")"#,
        r#"has(claims.object.name) && claims["object"]["name"] == "x" && claims["é"] == "é""#,
        r#"(claims.b ? claims.id : claims.name) == "x" && claims.id + ":" + claims.name == "a:b""#,
        r#"claims.id.matches("^a") && string(claims.n) == "1" && int(claims.id) > 3 && -claims.n < 0"#,
        r#"claims.id == null || claims.list[0] == "x" || claims.list + ["x"] == claims.other"#,
        r#"claims.id in ["1", "2"] && !(claims.id == claims.name) && size(claims.aud) > 0"#,
        r#"claims.any ? claims.b : claims.any"#,
    ] {
        assert_eq!(faults(source), [], "{source}");
    }
}

#[test]
fn values_of_different_types_are_not_compared() {
    let type_fault = |part: &str, fix: &str| ("condition-type", part.to_owned(), fix.to_owned());
    for (source, part, fix) in [
        ("claims.id == 1", "1", "quote it: \"1\""),
        ("true != claims.id", "true", "quote it: \"true\""),
        (r#"claims.n == "5""#, r#""5""#, "without quotes: 5"),
        (r#"claims.n == "x""#, r#""x""#, ""),
        (r#"claims.b == "true""#, r#""true""#, "without quotes: true"),
        (r#"claims.list == "a""#, r#""a""#, "write `\"a\" in claims.list`"),
        ("claims.n == claims.id", "==", ""),
        ("claims.id < 5", "5", "quote it: \"5\""),
        ("claims.list < claims.other", "list", ""),
        ("claims.aud == 5", "5", "quote it: \"5\""),
        ("claims.list.exists(g, g == 1)", "1", "quote it: \"1\""),
        ("5 in claims.list", "5", "quote it: \"5\""),
        ("claims.list == [1]", "==", ""),
    ] {
        let found = faults(source);
        assert_eq!(found.first(), Some(&type_fault(part, fix)), "{source}");
    }
}

#[test]
fn operators_and_functions_take_what_they_can_work_on() {
    for (source, part) in [
        (r#""a" in claims.id"#, "id"),
        (r#"claims.n.startsWith("a")"#, "n"),
        ("claims.id.startsWith(1)", "1"),
        (r#"claims.n.matches("a")"#, "n"),
        ("size(claims.n) > 1", "n"),
        ("claims.id.exists(x, x == \"a\")", "id"),
        ("claims.id && claims.b", "id"),
        ("!claims.id", "id"),
        ("claims.id ? claims.b : claims.b", "id"),
        ("claims.id - 1 == 2", "id"),
        ("claims.id + 1 == \"a1\"", "1"),
        ("claims.b + claims.b == 2", "b"),
        ("claims.id.more == 1", "more"),
        ("claims.list[\"x\"] == \"a\"", "\"x\""),
        ("claims.id[0] == \"a\"", "["),
        ("bool(claims.n)", "n"),
        ("string(claims.list) == \"\"", "list"),
    ] {
        let found = faults(source);
        assert_eq!(
            found.iter().map(|(id, part, _)| (*id, part.as_str())).next(),
            Some(("condition-type", part)),
            "{source}"
        );
    }
}

#[test]
fn a_condition_is_true_or_false_and_not_always_the_same() {
    for (source, id, part) in [
        ("claims.id", "condition-type", "id"),
        ("claims.n + 1", "condition-type", "+"),
        ("size(claims.list)", "condition-type", "size"),
        ("true", "condition-constant", "true"),
        ("claims.b || true", "condition-constant", "true"),
        ("claims.b && 1 == 1", "condition-constant", "=="),
        ("claims.id == claims.id", "condition-constant", "=="),
        ("claims.list.exists(x, true)", "condition-constant", "true"),
    ] {
        let found = faults(source);
        assert_eq!(
            found.iter().map(|(id, part, _)| (*id, part.as_str())).collect::<Vec<_>>(),
            [(id, part)],
            "{source}"
        );
    }
}

#[test]
fn an_unknown_member_of_a_known_object_is_told_where_it_stands() {
    for (source, part) in [
        ("claims.idd == \"1\"", "idd"),
        ("has(claims.idd)", "has"),
        ("claims.object.nam == \"x\"", "nam"),
        ("claims[\"idd\"] == \"x\"", "\"idd\""),
        ("claims . idd == \"x\"", "idd"),
    ] {
        let found = faults(source);
        assert_eq!(
            found.iter().map(|(id, part, _)| (*id, part.as_str())).collect::<Vec<_>>(),
            [("claim-name", part)],
            "{source}"
        );
    }
}

#[test]
fn what_cannot_be_parsed_is_told_in_few_words_where_it_stands() {
    for (source, rule, part) in [
        ("claims.a ==", "ends where something is missing", ""),
        ("claims.a = 1", "has a single `=`; `==` compares", "="),
        ("\"é\" == claims..b", "cannot be read at `..`", "."),
        ("claims.a # b", "has `#`, which means nothing in CEL", "#"),
        ("claims.a == 1 claims.b", "has `claims` where it cannot stand", "c"),
        ("claims.a\n == && 1", "has `&&` where it cannot stand", "&"),
        ("has(claims)", "invalid argument to has() macro", "c"),
    ] {
        let fault = Condition::compile(source, &["claims"]).unwrap_err();
        assert_eq!((fault.to_string().as_str(), source.get(fault.span().unwrap()).unwrap()), (rule, part), "{source}");
    }
}
