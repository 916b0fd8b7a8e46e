//! Each lint beside its nearest acceptance, on the kinds that its example in `docs/lints.md` is not about.

use super::*;
use crate::config::IssuerSettings;
use crate::policy::lint::check_issuers;

/// The ids of what is found in a policy of `issuer` with these lines, sorted.
fn found(issuer: &str, lines: &str, more: &str) -> Vec<&'static str> {
    let (_, faults) = load(&[("p.yaml", &policy("p", issuer, &format!("{{ {lines} }}"), more))]);
    let mut ids: Vec<_> = faults.iter().map(crate::diagnostic::Diagnostic::id).collect();
    ids.sort_unstable();
    ids
}

/// Whether this lint is among the findings.
fn has(id: &str, issuer: &str, lines: &str, more: &str) -> bool {
    found(issuer, lines, more).contains(&id)
}

const SCOPED: &str = "user: u\nscopes: [\"service:my-api\"]";

#[test]
fn a_policy_that_no_token_can_satisfy_does_not_load() {
    const PIN: &str = "repository_id: \"7\"";
    let cases = [
        ("github", "sub: { present: false }", "user: u"),
        ("github", "/repository_owner: { present: false }", "user: u"),
        ("github", "ref: { not: { present: true } }", "user: u"),
        ("github", "ref: { not: { not: { present: false } } }", "user: u"),
        ("github", "ref_protected: [\"True\", \"yes\"]", "user: u"),
        ("github", "ref_type: { glob: \"tags*\" }", "user: u"),
        ("github", "iss: https://token.example", "user: u"),
        ("github", "aud: sts.amazonaws.com", "user: u"),
        ("github", "ref: refs/heads/main, /ref: [refs/heads/next, refs/heads/dev]", "user: u"),
        ("github", "ref: { prefix: refs/tags/ }, /ref: refs/heads/main", "user: u"),
        ("github", "environment: { present: false }", "user: \"u-{environment}\""),
        ("github", "environment: { present: false }", "user: u\nattributes: { e: \"{environment}\" }"),
        ("github", "environment: x", "user: u\ncondition: \"false\""),
    ];
    for (issuer, lines, more) in cases {
        let ids = found(issuer, &format!("{PIN}, {lines}"), more);
        assert!(ids.contains(&"contradiction"), "{lines} {more}: {ids:?}");
    }
    for (issuer, lines) in [
        ("azure", "tid: 00000000-0000-4000-8000-000000000001"),
        ("spiffe", "sub: \"spiffe://staging.acme.example/api\""),
        ("spiffe", "sub: [api, \"spiffe://prod.acme.example\"]"),
        ("kubernetes", "sub: payments-api"),
        ("kubernetes", "/kubernetes.io/namespace: { present: false }"),
        ("aws", "sub: role/payments-api"),
        ("partner", "/a: { present: false }, /a/b: x"),
        ("partner", "/a/b: x, /a: { present: false }"),
        ("declared", "level: 5, /level: 6"),
    ] {
        assert!(has("contradiction", issuer, lines, "user: u"), "{issuer} {lines}");
    }
}

#[test]
fn what_some_token_can_satisfy_is_no_contradiction() {
    const PIN: &str = "repository_id: \"7\"";
    for (lines, more) in [
        ("environment: { present: false }", "user: u"),
        ("ref: { not: { present: false } }", "user: u"),
        ("ref_protected: { not: \"false\" }", "user: u"),
        ("aud: \"https://broker.example\"", "user: u"),
        ("iss: \"https://token.actions.githubusercontent.com\"", "user: u"),
        ("ref: { prefix: refs/heads/ }, /ref: refs/heads/main", "user: u"),
        ("ref: x, environment: { present: false }", "user: \"u-{ref}\""),
        ("ref: x", "user: u\ncondition: \"true\""),
    ] {
        assert!(!has("contradiction", "github", &format!("{PIN}, {lines}"), more), "{lines} {more}");
    }
    for (issuer, lines) in [
        ("azure", "tid: [00000000-0000-4000-8000-000000000001, 6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94]"),
        ("spiffe", "sub: [api, \"spiffe://prod.acme.example/api\"]"),
        ("kubernetes", "/kubernetes.io/pod/uid: { present: false }"),
        ("partner", "groups: a, /groups: b"),
        ("partner", "/a: { present: false }, /a/b: { present: false }"),
        ("partner", "/a: { present: false }, /ab: x"),
        ("partner", "iss: https://idp.partner.example"),
        ("declared", "level: 5, /level: 5.0"),
    ] {
        assert!(!has("contradiction", issuer, lines, "user: u"), "{issuer} {lines}");
    }
}

#[test]
fn a_name_is_doubted_until_its_id_or_the_condition_settles_it() {
    let doubted = |issuer: &str, lines: &str, more: &str| has("name-without-id", issuer, lines, more);
    for (issuer, lines, more) in [
        ("acme-ghes", "repository: acme/shop", "user: u"),
        ("acme-ghes", "repository: acme/shop, repository_id: { present: true }", "user: u"),
        ("acme-ghes", "actor: { prefix: octo- }", "user: u"),
        ("github", "repository_id: \"7\", actor: octocat", "user: u"),
        ("github", "repository_owner_id: \"65\", repository: acme/shop", "user: \"u-{repository}\""),
        ("fly", "app_name: payments-api", "user: u"),
        ("partner", "email: a@partner.example", "user: u"),
        ("azure", "tid: 6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94, xms_mirid: x", "user: u"),
    ] {
        assert!(doubted(issuer, lines, more), "{issuer} {lines}");
    }
    for (issuer, lines, more) in [
        ("acme-ghes", "repository: acme/shop, repository_id: \"7\"", "user: \"u-{repository}\""),
        ("acme-ghes", "repository: acme/shop", "user: u\ncondition: claims.repository_id == \"7\""),
        ("acme-ghes", "repository: { not: acme/shop }, repository_id: [\"7\", \"8\"]", "user: \"u-{repository_id}\""),
        ("github", "repository_owner_id: \"65\", repository: { glob: \"acme/*\" }", "user: u"),
        ("fly", "app_name: payments-api, app_id: \"1\"", "user: u"),
        ("partner", "email: a@partner.example, sub: x", "user: u"),
    ] {
        assert!(!doubted(issuer, lines, more), "{issuer} {lines}");
    }
}

#[test]
fn a_policy_is_about_one_workload_of_its_platform() {
    let wide = |issuer: &str, lines: &str| has("wide-subject", issuer, lines, "user: u");
    for (issuer, lines) in [
        ("github", "repository_owner_id: \"65\", environment: production"),
        ("github", "repository_owner_id: \"65\", sub: { prefix: \"repo:acme@65/\" }"),
        ("acme-ghes", "ref: refs/heads/main"),
        ("acme-ghes", "repository: { regex: \"acme/(shop|till)\" }"),
        ("gitlab", "namespace_id: \"7\", project_path: { glob: \"acme/*\" }"),
        ("buildkite", "organization_id: o, sub: { prefix: \"organization:acme:pipeline:\" }"),
        ("circleci", "oidc.circleci.com/vcs-ref: refs/heads/main"),
        ("terraform-cloud", "terraform_organization_id: o, terraform_workspace_name: { prefix: shop- }"),
        ("aws", "sub: { prefix: \"arn:aws:iam::123456789012:role/\" }"),
        ("aws", "/https:~1~1sts.amazonaws.com~1/aws_account: \"123456789012\""),
        ("fly", "org_id: \"1\""),
    ] {
        assert!(wide(issuer, lines), "{issuer} {lines}");
    }
    for (issuer, lines) in [
        ("github", "repository_owner_id: \"65\", repository: acme/shop"),
        ("github", "repository_owner_id: \"65\", repository: { glob: acme/shop }"),
        ("github", "repository_owner_id: \"65\", sub: { prefix: \"repo:acme@65/shop@7:\" }"),
        ("github", "repository_owner_id: \"65\", job_workflow_ref: acme/ci/x.yml@refs/tags/v1"),
        ("acme-ghes", "repository_id: [\"7\", \"8\"], sub: { prefix: \"repo:acme/\" }"),
        ("gitlab", "namespace_id: \"7\", sub: { prefix: \"project_path:acme/shop/api:\" }"),
        ("buildkite", "organization_id: o, sub: { prefix: \"organization:acme:pipeline:shop:\" }"),
        ("aws", "sub: \"arn:aws:iam::123456789012:role/payments-api\""),
        ("partner", "groups: release"),
    ] {
        assert!(!wide(issuer, lines), "{issuer} {lines}");
    }
    assert!(has(
        "kubernetes-namespace",
        "kubernetes",
        "sub: { prefix: \"system:serviceaccount:payments:\" }",
        "user: u"
    ));
    assert!(has("azure-identity", "azure", "oid: x", "user: u"));
    assert!(has("spiffe-wildcard", "spiffe", "aud: \"https://broker.example\"", "user: u"));
}

#[test]
fn events_that_strangers_cause_need_a_restriction_where_there_are_scopes() {
    let open = |issuer: &str, lines: &str, more: &str| has("fork-event", issuer, lines, more);
    for (issuer, lines) in [
        ("github", "repository_id: \"7\""),
        ("github", "repository_id: \"7\", event_name: { not: pull_request }"),
        ("github", "repository_id: \"7\", event_name: { present: true }"),
        ("github", "repository_id: \"7\", event_name: { glob: \"work*\" }"),
        ("gitlab", "project_id: \"7\", pipeline_source: [push, merge_request_event]"),
        ("terraform-cloud", "terraform_workspace_id: w"),
    ] {
        assert!(open(issuer, lines, SCOPED), "{issuer} {lines}");
        assert!(!open(issuer, lines, "user: u"), "{issuer} {lines}, without scopes");
    }
    for (issuer, lines, more) in [
        ("github", "repository_id: \"7\", event_name: schedule", ""),
        ("github", "repository_id: \"7\", /event_name: schedule, event_name: { prefix: sch }", ""),
        ("github", "repository_id: \"7\"", "\ncondition: claims.event_name == \"push\""),
        (
            "gitlab",
            "project_id: \"7\", pipeline_source: { not: [merge_request_event, external_pull_request_event] }",
            "",
        ),
        ("terraform-cloud", "terraform_workspace_id: w, terraform_run_phase: apply", ""),
        ("kubernetes", "sub: \"system:serviceaccount:a:b\"", ""),
    ] {
        assert!(!open(issuer, lines, &format!("{SCOPED}{more}")), "{issuer} {lines}");
    }
}

#[test]
fn runner_workflow_and_ref_are_asked_for_where_the_platform_says_them() {
    let github = |id: &str, more: &str| has(id, "github", &format!("repository_id: \"7\", {more}"), "user: u");
    for silent in ["runner_environment: self-hosted", "runner_environment: { not: self-hosted }"] {
        assert!(!github("self-hosted-runner", silent), "{silent}");
    }
    assert!(github("self-hosted-runner", "runner_environment: { present: true }"));
    for silent in ["workflow_sha: abc", "job_workflow_ref: { prefix: \"acme/ci/.github/workflows/deploy.yml@\" }"] {
        assert!(!github("workflow-unpinned", silent), "{silent}");
    }
    assert!(github("workflow-unpinned", "workflow: Deploy"), "the name of a workflow is free for all");
    let subject = "sub: \"repo:acme@65/shop@7:ref:refs/heads/main\"";
    for silent in ["ref_protected: \"true\"", "sha: abc", "ref: [refs/heads/main, refs/tags/v1]", subject] {
        assert!(!github("unprotected-ref", silent), "{silent}");
    }
    for open in
        ["ref: { prefix: refs/heads/release/ }", "sub: { prefix: \"repo:acme@65/shop@7:ref:\" }", "ref_type: tag"]
    {
        assert!(github("unprotected-ref", open), "{open}");
    }
    let gitlab = |more: &str| has("unprotected-ref", "gitlab", &format!("project_id: \"7\", {more}"), "user: u");
    assert!(gitlab("ref: main") && !gitlab("ref: main, ref_type: branch") && !gitlab("ref_path: refs/heads/main"));
    assert!(found("kubernetes", "/kubernetes.io/serviceaccount/uid: x", SCOPED).is_empty());
}

#[test]
fn a_pattern_is_told_to_be_wide_or_to_cross_but_not_both() {
    let lines = "repository_owner_id: \"65\", repository: { glob: \"acme/**\" }";
    assert!(has("wide-subject", "github", lines, "user: u") && !has("crosses-separator", "github", lines, "user: u"));
    let crosses = |matcher: &str| has("crosses-separator", "partner", &format!("sub: x, team: {matcher}"), "user: u");
    assert!(crosses("{ glob: \"a/**\" }") && crosses("{ regex: \"a/.*\" }") && crosses("{ regex: \"v1.0\" }"));
    assert!(
        !crosses("{ glob: \"a/*\" }") && !crosses("{ regex: \"a/[^/:]*\" }") && !crosses("{ regex: \"v1\\\\.0\" }")
    );
}

#[test]
fn a_policy_ends_soon_for_thirty_days_and_an_hour_is_not_long() {
    let ends = |date: &str| found("partner", "sub: x", &format!("user: u\nexpires: {date}"));
    // NOW is in the middle of 2026-09-21; a policy admits to the end of its last day.
    assert_eq!(ends("2026-09-20"), ["expired"]);
    assert_eq!((ends("2026-09-21"), ends("2026-10-20")), (vec!["expires-soon"], vec!["expires-soon"]));
    assert!(ends("2026-10-22").is_empty());
    let lives = |time: &str| found("partner", "sub: x", &format!("user: u\ntoken: {{ lifetime: {time} }}"));
    assert_eq!((lives("60m"), lives("61m")), (vec![], vec!["long-lifetime"]));
    let scoped = |scope: &str| found("partner", "sub: x", &format!("user: u\nscopes: [\"{scope}\"]"));
    assert_eq!((scoped("*"), scoped("service:*")), (vec!["all-scopes"], vec!["all-scopes"]));
    assert!(scoped("service:billing/*").is_empty() && scoped("service:bill*").is_empty());
}

#[test]
fn an_audience_that_is_somebody_elses_is_a_warning_at_its_line() {
    let found = |audience: &str, own: &str| {
        let directory = tempfile::tempdir().unwrap();
        for name in ["policies", "services", "trust-bundles"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let file = directory.path().join("countersign.yaml");
        let text = format!(
            "issuer: {own}\nissuers:\n  gitlab: {{ kind: gitlab, audiences: [\"{own}\", \"{audience}\"] }}\n  circle:\n    \
             kind: circleci\n    url: https://oidc.circleci.com/org/b9291e0d\n    audiences: [\"{audience}\"]\n"
        );
        std::fs::write(&file, text).unwrap();
        let config = crate::config::load(&file, &[]).unwrap();
        let issuers = Issuers::new(&config.issuers, &config.issuer);
        let mut faults = Diagnostics::new();
        check_issuers(&config, &issuers, &["my-api.example.com"], &mut faults);
        faults.to_string()
    };
    let own = "https://broker.example.com";
    for shared in ["sts.amazonaws.com", "https://github.com/acme", "https://my-api.example.com/", "https://gitlab.com"]
    {
        let text = found(shared, own);
        assert!(text.contains("yaml:3:69: warning[shared-audience]") && text.contains("yaml:7:17: "), "{text}");
        assert!(!text.contains(" | "), "the file may have secrets: {text}");
    }
    let text = found("b9291e0d", own);
    assert!(!text.contains("yaml:3:") && text.contains("yaml:7:17: "), "an organization's own default: {text}");
    assert_eq!((found("api://countersign", own), found(own, own)), (String::new(), String::new()));
}

#[test]
fn an_audience_of_a_disabled_issuer_is_nobodys_concern() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("countersign.yaml");
    std::fs::create_dir(directory.path().join("trust-bundles")).unwrap();
    let text = "issuer: https://broker.example.com\nissuers:\n  gitlab: { kind: gitlab, audiences: [vault], disabled: true }\n";
    std::fs::write(&file, text).unwrap();
    let config = crate::config::load(&file, &[]).unwrap();
    let settings: &IssuerSettings = config.issuers.first().unwrap();
    assert!(settings.disabled);
    let mut faults = Diagnostics::new();
    check_issuers(&config, &Issuers::new(&config.issuers, &config.issuer), &[], &mut faults);
    assert!(faults.is_empty(), "{faults}");
}
