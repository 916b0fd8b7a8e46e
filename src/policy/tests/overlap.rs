//! What only the whole set shows.

use super::*;

/// The findings of these policies of `partner`, each written as `match` and the rest.
fn found(policies: &[(&str, &str)]) -> Diagnostics {
    let texts: Vec<String> = policies
        .iter()
        .enumerate()
        .map(|(number, (lines, more))| policy(&format!("p{number}"), "partner", lines, more))
        .collect();
    let (_, mut faults) = load(&[("p.yaml", &texts.join("---\n"))]);
    assert!(!faults.has_errors(), "{faults}");
    faults.retain(|fault| matches!(fault.id(), "ambiguous-overlap" | "shadowed-policy"));
    faults
}

fn ids(policies: &[(&str, &str)]) -> Vec<&'static str> {
    found(policies).iter().map(crate::diagnostic::Diagnostic::id).collect()
}

#[test]
fn policies_that_admit_one_token_as_two_users_are_found_with_such_a_token() {
    let faults = found(&[("{ team: a, sub: x }", "user: u"), ("{ team: a, ref: { glob: \"main*\" } }", "user: v")]);
    let text = faults.to_string();
    assert!(text.contains("p.yaml:6:1: warning[ambiguous-overlap]: `p1` admits tokens that `p0`"), "{text}");
    assert!(text.contains(r#"{"ref":"main","sub":"x","team":"a"}"#), "{text}");
}

#[test]
fn what_keeps_two_policies_apart_is_seen() {
    let apart = [
        (("{ team: a }", "user: u"), ("{ team: b }", "user: v")),
        (("{ team: [a, b] }", "user: u"), ("{ team: [c, d] }", "user: v")),
        (("{ ref: { glob: \"a/*\" } }", "user: u"), ("{ ref: { glob: \"b/*\" } }", "user: v")),
        (("{ ref: { glob: \"a/*\" } }", "user: u"), ("{ ref: a/b/c }", "user: v")),
        (("{ ref: { prefix: a } }", "user: u"), ("{ ref: { not: { prefix: a } } }", "user: v")),
        (("{ env: { present: true }, sub: x }", "user: u"), ("{ env: { present: false }, sub: x }", "user: v")),
        (("{ team: a }", "user: u"), ("{ team: a, sub: x }", "user: v\nmode: shadow")),
        (("{ team: a }", "user: u"), ("{ team: a, sub: x }", "user: v\nexpires: 2020-01-01")),
        (("{ team: a, sub: x }", "user: \"t-{sub}\""), ("{ team: a, sub: x }", "user: t-x\nscopes: [\"service:a\"]")),
    ];
    for (first, second) in apart {
        assert_eq!(ids(&[first, second]), [""; 0], "{first:?} {second:?}");
    }
}

#[test]
fn overlaps_across_globs_templates_nested_claims_and_conditions_are_found() {
    let together = [
        (("{ ref: { glob: \"acme/*\" } }", "user: u"), ("{ ref: { glob: \"*/shop\" } }", "user: v")),
        (("{ ref: { prefix: re } }", "user: u"), ("{ ref: { glob: \"refs/**\" } }", "user: v")),
        (("{ team: a }", "user: \"t-{sub}\""), ("{ sub: x }", "user: u")),
        (("{ /n/k: a }", "user: u"), ("{ /n/l: b }", "user: v")),
        (("{ team: { not: a } }", "user: u"), ("{ team: { not: b } }", "user: v")),
        (("{ team: a }\ncondition: claims.env == \"prod\"", "user: u"), ("{ sub: x }", "user: v")),
    ];
    for (first, second) in together {
        assert_eq!(ids(&[first, second]), ["ambiguous-overlap"], "{first:?} {second:?}");
    }
}

#[test]
fn a_list_claim_can_satisfy_two_values_at_once() {
    let of = |name: &str, group: &str| {
        policy(
            name,
            "gitlab",
            &format!("{{ project_id: \"7\", sub: x, groups_direct: {group} }}"),
            &format!("user: {name}"),
        )
    };
    let (_, faults) = load(&[("p.yaml", &[of("p", "a"), of("q", "b")].join("---\n"))]);
    assert!(!faults.has_errors() && faults.to_string().contains(r#""groups_direct":["a","b"]"#), "{faults}");
}

#[test]
fn a_policy_that_another_makes_superfluous_is_found_and_one_that_adds_something_is_not() {
    let wide = ("{ team: [a, b] }", "user: u\nscopes: [\"service:*\"]");
    for narrow in [
        ("{ team: a }", "user: u\nscopes: [\"service:x\"]"),
        ("{ team: a, sub: x }\ncondition: claims.env == \"prod\"", "user: u"),
        ("{ team: [b, a] }", "user: u\nscopes: [\"service:*\"]"),
    ] {
        assert_eq!(ids(&[wide, narrow]), ["shadowed-policy"], "{narrow:?}");
    }
    for other in [
        ("{ team: c }", "user: u\nscopes: [\"service:x\"]"),
        ("{ team: a }", "user: u\nscopes: [other]"),
        ("{ team: a }", "user: u\ntoken: { lifetime: 1m }"),
        ("{ team: a }", "user: u\nattributes: { why: x }"),
        ("{ sub: x }", "user: u"),
    ] {
        assert_eq!(ids(&[wide, other]), [""; 0], "{other:?}");
    }
}

#[test]
fn a_comment_in_either_document_allows_a_finding() {
    let allowed = "user: v # lint: allow ambiguous-overlap because one token a day is refused on purpose";
    assert_eq!(ids(&[("{ team: a }", "user: u"), ("{ sub: x }", allowed)]), [""; 0]);
}

#[test]
fn many_policies_that_nothing_tells_apart_do_not_stall_a_load() {
    let one = |number: usize| policy(&format!("p{number}"), "partner", "{ sub: { not: x } }", "user: u");
    let texts: Vec<String> = (0..3_000).map(one).collect();
    let (set, faults) = load(&[("p.yaml", &texts.join("---\n"))]);
    assert!(set.len() == 3_000 && faults.iter().count() < 500);
}

#[test]
fn patterns_that_begin_differently_are_never_compared_and_those_that_meet_are_however_many_there_are() {
    let one = |number: usize, glob: &str| {
        policy(
            &format!("p{number}"),
            "partner",
            &format!("{{ sub: {{ glob: \"{glob}\" }} }}"),
            &format!("user: u{number}"),
        )
    };
    let mut texts: Vec<String> = (0..3_000).map(|number| one(number, &format!("team/app-{number:04}/*"))).collect();
    texts.push(one(3_000, "team/app-1234/d*"));
    texts.push(one(3_001, "team/app-07**"));
    let (_, mut faults) = load(&[("p.yaml", &texts.join("---\n"))]);
    assert!(!faults.has_errors(), "{faults}");
    faults.retain(|fault| fault.id() == "ambiguous-overlap");
    let text = faults.to_string();
    let is_named = |name: &str| text.contains(&format!("`{name}`"));
    assert!(["p1234", "p3000", "p700", "p3001"].into_iter().all(is_named) && !is_named("p2000"), "{text}");
    assert!(!text.contains("not to the end"), "{text}");
}
