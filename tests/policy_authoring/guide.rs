//! `docs/policies.md` and the README show what the commands really print.

use crate::place::{Place, repository};

fn page(file: &str) -> String {
    std::fs::read_to_string(repository().join(file)).unwrap()
}

/// That a page has this text, as a whole or inside a block of it.
fn shows(page: &str, text: &str) {
    assert!(page.contains(text.trim_end()), "the page does not show this any more:\n{text}");
}

/// The place of the guide after its second step.
fn made() -> Place {
    let place = Place::empty();
    place.write("claims.json", &page("fixtures/github-actions/claims.json"));
    let name = ["--name", "deploy-prod", "--user", "prod-deployer", "--scopes", "service:my-api"];
    let ran = place.policy(&[&["init", "--claims", "claims.json"][..], &name[..]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for page in [page("docs/policies.md"), page("README.md")] {
        shows(&page, &ran.out);
        shows(&page, &place.read("policies/deploy-prod.yaml"));
    }
    shows(&page("docs/policies.md"), &ran.err);
    place
}

fn change(place: &Place, file: &str, from: &str, to: &str) {
    let text = place.read(file);
    assert!(text.contains(from), "{from}");
    place.write(file, &text.replace(from, to));
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len() - count..].join("\n")
}

#[test]
fn the_guide_from_a_token_to_a_policy_is_what_happens() {
    let (place, guide) = (made(), page("docs/policies.md"));
    shows(&guide, &last_lines(&place.policy(&["test", "--coverage"]).out, 3));
    let case = "  - name: a manual run is admitted\n    given: { claims: { event_name: workflow_dispatch } }\n    expect: { user: prod-deployer }\n";
    shows(&guide, case);
    let test = place.read("policies/deploy-prod.test.yaml");
    place.write("policies/deploy-prod.test.yaml", &(test.clone() + case));
    let failed = place.policy(&["test"]).out;
    let failure = &failed[failed.find("FAILED").unwrap()..];
    shows(&guide, failure.split_once("\n\n").unwrap().0);
    shows(&page("README.md"), failure.split_once("\n\n").unwrap().0);
    change(&place, "policies/deploy-prod.yaml", "event_name: push", "event_name: [push, workflow_dispatch]");
    assert!(place.policy(&["test", "--deny-uncovered"]).out.contains("11 passed, 0 failed"));
    let fewer = test.replace("event_name: another", "event_name: push").replace("another event_name is not\n", "x\n");
    place.write("policies/deploy-prod.test.yaml", &fewer);
    shows(&guide, &last_lines(&place.policy(&["test", "--coverage"]).out, 2));
}

#[test]
fn the_readme_shows_what_does_not_load_and_what_refuses_a_token() {
    let (place, readme) = (made(), page("README.md"));
    place.write("claims.json", &place.read("claims.json").replace("refs/heads/main\"", "refs/heads/dev\""));
    let explained = last_lines(&place.policy(&["explain", "--claims", "claims.json"]).out, 10);
    assert!(explained.starts_with("  policy deploy-prod refuses\n"), "{explained}");
    shows(&readme, &explained);
    change(&place, "policies/deploy-prod.yaml", "repository_owner_id", "repositry_owner_id");
    shows(&readme, &place.policy(&["check"]).err);
}
