use super::*;

fn partner(name: &str, matching: &str, more: &str) -> String {
    policy(name, "partner", matching, more)
}

#[test]
fn one_user_is_admitted_two_are_ambiguous_and_none_is_denied() {
    let a = partner("a", "{ sub: x }", "user: one");
    let also_a = partner("also-a", "{ team: t }", "user: one");
    let b = partner("b", "{ team: t }", "user: two");
    let given = json!({ "sub": "x", "team": "t" });
    assert_eq!(decided(&[a.clone(), also_a.clone()], &given, None), Ok("one".into()));
    assert_eq!(decided(&[a.clone(), b.clone()], &given, None), Err("policy.ambiguous"));
    assert_eq!(decided(&[b.clone(), a.clone()], &given, None), Err("policy.ambiguous"));
    assert_eq!(decided(&[a.clone(), b.clone()], &json!({ "sub": "y" }), None), Err("policy.none"));
    assert_eq!(decided(&[a.clone(), b.clone()], &given, Some("two")), Ok("two".into()));
    assert_eq!(decided(&[a, b], &given, Some("three")), Err("policy.none"));
}

#[test]
fn every_line_must_hold() {
    let lines =
        "{ sub: x, groups: b, n: 5, ok: true, ref: { glob: \"refs/*/*\" }, /a/b: [p, q], gone: { present: false } }";
    let policies = [partner("p", lines, "user: u")];
    let good =
        json!({ "sub": "x", "groups": ["a", "b"], "n": 5, "ok": true, "ref": "refs/heads/x", "a": { "b": "q" } });
    assert_eq!(decided(&policies, &good, None), Ok("u".into()));
    for (claim, value) in [
        ("sub", json!("X")),
        ("sub", json!(["y"])),
        ("groups", json!(["a"])),
        ("n", json!("5")),
        ("n", json!(6)),
        ("ok", json!("true")),
        ("ref", json!("refs/heads/x/y")),
        ("ref", json!("refs/heads/x:y")),
        ("a", json!({ "b": "z" })),
        ("a", json!("q")),
        ("gone", json!("here")),
    ] {
        let mut changed = good.clone();
        changed[claim] = value;
        assert_eq!(decided(&policies, &changed, None), Err("policy.none"), "{claim}");
        changed.as_object_mut().unwrap().remove(claim);
        let absent = decided(&policies, &changed, None);
        assert_eq!(absent.is_ok(), claim == "gone", "{claim} absent");
    }
}

#[test]
fn an_evaluation_error_denies_unless_it_is_of_another_user() {
    let good = partner("good", "{ sub: x }", "user: one");
    let broken = partner("broken", "{ sub: x }", "user: two\ncondition: claims.absent == \"1\"");
    let given = json!({ "sub": "x", "name": "a b" });
    assert_eq!(decided(&[good.clone(), broken.clone()], &given, None), Err("policy.evaluation_error"));
    assert_eq!(decided(&[good.clone(), broken.clone()], &given, Some("one")), Ok("one".into()));
    assert_eq!(decided(&[good.clone(), broken.clone()], &given, Some("two")), Err("policy.evaluation_error"));
    let elsewhere = broken.replace("sub: x", "sub: y");
    assert_eq!(decided(&[good.clone(), elsewhere], &given, None), Ok("one".into()), "its lines do not hold");
    let shadow = format!("{broken}mode: shadow\n");
    assert_eq!(decided(&[good.clone(), shadow], &given, None), Ok("one".into()));
    let no_boolean = partner("b", "{ sub: x }", "user: two\ncondition: claims.name");
    assert_eq!(decided(&[no_boolean], &given, None), Err("policy.evaluation_error"));
    let template = partner("t", "{ sub: x }", "user: \"u-{name}\"");
    assert_eq!(decided(std::slice::from_ref(&template), &given, None), Err("policy.evaluation_error"));
    assert_eq!(decided(&[template], &json!({ "sub": "x", "name": "ok" }), None), Ok("u-ok".into()));
}

#[test]
fn a_condition_is_asked_last_and_must_be_true() {
    let guarded = partner("p", "{ sub: x }", "user: \"u-{env}\"\ncondition: has(claims.env) && claims.n < 5");
    let decide = |given: Value| decided(std::slice::from_ref(&guarded), &given, None);
    assert_eq!(decide(json!({ "sub": "x", "env": "e", "n": 4 })), Ok("u-e".into()));
    assert_eq!(decide(json!({ "sub": "x", "env": "e", "n": 5 })), Err("policy.none"));
    assert_eq!(decide(json!({ "sub": "x" })), Err("policy.none"), "the template is not asked either");
}

#[test]
fn the_strictest_token_settings_win_and_scopes_are_joined() {
    let first = partner("a", "{ sub: x }", "user: u\nscopes: [s1, s2]\ntoken: { lifetime: 10m, audiences: [a1, a2] }");
    let second = partner("b", "{ sub: x }", "user: u\nscopes: [s2, s3]\ntoken: { lifetime: 5m, audiences: [a2] }");
    let third = partner("c", "{ sub: x }", "user: u\ntoken: { within_assertion: true }");
    let (set, _) = load(&[("p.yaml", &[first.clone(), second, third].join("---\n"))]);
    let issuer = IssuerName::parse("partner").unwrap();
    let given = claims(&json!({ "sub": "x" }));
    let Ok((admitted, _)) = decide::admitted(set.candidates(&issuer, &given), &given, None, NOW) else {
        panic!("refused")
    };
    let terms = decide::terms(&admitted.policies).unwrap();
    assert_eq!(terms.lifetime, Some(std::time::Duration::from_secs(300)));
    assert_eq!(terms.audiences.unwrap(), [crate::vocab::Audience::parse("a2").unwrap()]);
    assert!(terms.within_assertion);
    assert_eq!(admitted.scopes().to_wire(), "s1 s2 s3");
    let nothing_shared = partner("d", "{ sub: x }", "user: u\ntoken: { audiences: [a9] }");
    assert_eq!(decided(&[first, nothing_shared], &json!({ "sub": "x" }), None), Err("policy.token_terms"));
}

#[test]
fn a_policy_admits_to_the_end_of_its_last_day() {
    let on = |date: &str| partner("p", "{ sub: x }", &format!("user: u\nexpires: {date}"));
    // NOW is 2026-09-21.
    assert_eq!(decided(&[on("2026-09-21")], &json!({ "sub": "x" }), None), Ok("u".into()));
    assert_eq!(decided(&[on("2026-09-20")], &json!({ "sub": "x" }), None), Err("policy.none"));
}

#[test]
fn a_shadow_policy_is_reported_and_admits_nobody() {
    let (set, _) = load(&[("p.yaml", &partner("watch", "{ sub: x }", "user: u\nmode: shadow"))]);
    let issuer = IssuerName::parse("partner").unwrap();
    let given = claims(&json!({ "sub": "x" }));
    let Err((refusal, shadow)) = decide::admitted(set.candidates(&issuer, &given), &given, None, NOW) else {
        panic!("admitted")
    };
    assert_eq!(refusal, PolicyRefusal::NoneAdmits);
    assert_eq!(serde_json::to_value(shadow).unwrap(), json!([{ "policy": "watch", "user": "u" }]));
}

#[test]
fn an_explanation_shows_the_nearest_miss_first_and_nothing_a_terminal_obeys() {
    let near = partner("near", "{ sub: x, ref: main }", "user: u");
    let far = partner("far", "{ sub: y, ref: other }", "user: v");
    let (set, _) = load(&[("p.yaml", &[far, near].join("---\n"))]);
    let issuers = configured();
    let given = claims(&json!({ "sub": "x", "ref": "dev\u{1b}[2J\u{202e}" }));
    let explanation = explain(&set, issuers.by_name("partner").unwrap(), &given, None, NOW);
    let text = explanation.to_string();
    assert!(text.find("policy near").unwrap() < text.find("policy far").unwrap(), "{text}");
    assert!(text.contains("✗ ref: expected \"main\", found \"dev"), "{text}");
    assert!(text.contains("✓ sub") && !text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
}
