//! Conditions as operators write them, and as an attacker would have them.

use serde_json::json;

use super::*;

fn holds(source: &str, claims: &serde_json::Value) -> Result<bool, ConditionFault> {
    let condition = Condition::compile(source, &["claims"])?;
    let answer = condition.holds_over("claims", claims.as_object().unwrap());
    let all_converted = condition.holds(&Values::new(vec![("claims", claims.clone())]));
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
        "claims.a.matches(claims.b)".to_owned(),
        "claims.a.matches(\"(\")".to_owned(),
        "other.a == 1".to_owned(),
        "system(\"rm\")".to_owned(),
        String::new(),
    ];
    for source in bad {
        assert!(Condition::compile(&source, &["claims"]).is_err(), "{}", source.chars().take(60).collect::<String>());
    }
}

#[test]
fn more_than_a_condition_may_be_given_is_an_evaluation_error() {
    let sized = |list: serde_json::Value| holds("size(claims.l) > 0", &json!({ "l": list, "m": vec!["x"; 300] }));
    assert!(sized(json!(vec!["x"; 257])).is_err());
    assert_eq!(sized(json!(vec!["x"; 256])), Ok(true), "what it does not read does not count");
    assert_eq!(sized(json!(vec![vec![1]; 255])), Ok(true));
    assert!(sized(json!(vec![vec![1]; 256])).is_err(), "514 values");
    assert_eq!(sized(json!(["x".repeat(16_000)])), Ok(true));
    assert!(sized(json!(["x".repeat(17_000)])).is_err());
}

#[test]
fn what_a_token_could_blow_up_does_not_compile_and_its_harmless_neighbour_does() {
    let doubled = (0..6).fold("claims.big".to_owned(), |text, _| format!("({text}+{text})"));
    let long = format!("claims.l.exists(x, x.{} == 1)", "n".repeat(3000));
    let pairs = [
        (format!("size({doubled}) > 0"), r#"size(claims.big + ":" + claims.a) > 0"#),
        (format!("claims.l.map(x, {doubled}).size() > 0"), "claims.l.map(x, x.name).size() > 0"),
        ("claims.l.map(x, [claims.big, claims.big]).size() > 0".into(), "claims.l.map(x, x).size() > 0"),
        ("claims.l.exists(x, x in claims.m)".into(), r#"claims.l.exists(x, x in ["a", "b"])"#),
        ("claims.l.exists(x, claims.big < claims.l)".into(), "claims.l.exists(x, x < 5)"),
        ("claims.l.exists(x, claims.big.contains(x))".into(), "claims.l.exists(x, x.contains(claims.big))"),
        (r#"claims.l.exists(x, claims.big.matches("a"))"#.into(), r#"claims.l.exists(x, x.matches("a"))"#),
        ("claims.a in claims.l".into(), "string(claims.a) in claims.l"),
        (["claims.l.exists(x, x == 1)"; 9].join(" || "), "claims.l.exists(x, x == 1) || claims.m.exists(x, x == 2)"),
        (format!("claims.l.exists(x, {})", ["x == 1"; 40].join(" || ")), "claims.l.exists(x, x == 1 || x == 2)"),
        (long, "claims.l.exists(x, x.nnnnnnnnnnnnnnnn == 1)"),
        ("claims.l.exists(claims, claims == 1)".into(), r#"claims["l"].k.exists_one(x, x == 1)"#),
        (r#"claims.a.matches("(x{1000}){1000}")"#.into(), r#"matches(claims.a, "x{10}")"#),
        (r#"claims.a.matches("[ab]*a[ab]{14}b")"#.into(), r#"claims.a.matches("[ab]*a[ab]{4}b")"#),
    ];
    for (bad, good) in pairs {
        assert!(Condition::compile(&bad, &["claims"]).is_err(), "{bad}");
        assert_eq!(Condition::compile(good, &["claims"]).err(), None, "{good}");
    }
}

#[test]
fn a_comparison_means_the_same_whichever_side_is_written_first() {
    let claims = json!({ "n": 5, "s": "b", "l": ["b"] });
    for source in [
        "5 == claims.n && claims.n == 5 && 4 < claims.n && 5 <= claims.n && !(5 < claims.n)",
        r#"6 > claims.n && 5 >= claims.n && !(5 > claims.n) && "a" < claims.s && "b" != claims.n"#,
        "claims.l.exists(x, claims.s == x)",
        "claims.l.all(x, x == claims.s)",
    ] {
        assert_eq!(holds(source, &claims), Ok(true), "{source}");
    }
    for source in [r#""a" < claims.n"#, r#"claims.n > "a""#] {
        assert!(holds(source, &claims).is_err(), "{source}");
    }
}

#[test]
fn a_pattern_is_found_anywhere_and_its_classes_are_of_ascii() {
    let claims = json!({ "a": "run-٣", "b": "x.y", "line": "a\nb" });
    for (pattern, claim, expected) in [
        ("n-", "a", true),
        ("^n", "a", false),
        (r"\d", "a", false),
        (r"^\w+$", "a", false),
        (r"^[\w-]+.$", "a", true),
        (r"\bun\b", "a", false),
        (r"\brun\b", "a", true),
        (r"^x\.y$", "b", true),
        (r"^x\\d", "b", false),
        (r"a\sb", "line", true),
        ("a.b", "line", false),
        ("", "b", true),
    ] {
        let source = format!("claims.{claim}.matches(r\"{pattern}\")");
        assert_eq!(holds(&source, &claims), Ok(expected), "{source}");
    }
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
