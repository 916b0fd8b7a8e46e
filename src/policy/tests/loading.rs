use super::*;

const PIN: &str = r#"repository_owner_id: "65", repository_id: "7""#;

fn github(lines: &str) -> String {
    policy("p", "github", &format!("{{ {PIN}, {lines} }}"), "user: u")
}

#[test]
fn every_field_of_the_documentation_loads() {
    let text = r#"
policy: deploy-prod
issuer: github
match:
  repository_owner_id: "65"
  repository_id: "123456"
  event_name: [push, workflow_dispatch]
  ref: refs/heads/main
  job_workflow_ref: { glob: "acme/ci/.github/workflows/deploy.yml@refs/tags/*" }
  environment: { present: true }
  repo_property_team: { not: [web, { }] }
condition: claims.run_attempt == "1" && claims.runner_environment == "github-hosted"
user: "gha-{repository_id}"
scopes: ["service:my-api", "service:billing/*"]
token: { lifetime: 10m, audiences: ["https://my-api.example.com"], within_assertion: true }
attributes: { repository: "{repository}", run: "{run_id}" }
mode: shadow
expires: 2027-06-30
"#;
    let (set, faults) = load(&[("a/deploy-prod.yaml", &text.replace(", { }]", "]"))]);
    assert!(faults.is_empty() && set.len() == 1, "{faults}");
    let listed = serde_json::to_value(set.iter().next().unwrap().summary()).unwrap();
    assert_eq!(listed["expires"], "2027-07-01T00:00:00Z");
    assert_eq!((&listed["mode"], &listed["user"]), (&json!("shadow"), &json!("gha-{repository_id}")));
    assert!(fault_ids(text).contains(&"claim-type"));
}

#[test]
fn a_claim_has_a_name_and_a_type() {
    for (line, id) in [
        ("repositry: acme/shop", "claim-name"),
        ("run_number: 5", "claim-type"),
        ("ref_protected: true", "claim-type"),
        ("ref: [refs/heads/main, 5]", "claim-type"),
        ("exp: \"5\"", "claim-type"),
        ("exp: { glob: \"5*\" }", "claim-type"),
        ("/ref/x: y", "claim-type"),
        ("/run_number: 5", "claim-type"),
        ("/nowhere/x: y", "claim-name"),
        ("ref: ~", "claim-type"),
        ("ref: { globb: x }", "matcher"),
        ("ref: { glob: a, prefix: b }", "matcher"),
        ("ref: { present: yes please }", "type"),
        ("ref: { regex: \"(\" }", "pattern"),
        ("ref: { regex: \"a)|(b\" }", "pattern"),
        ("ref: { glob: \"**\" }", "matches-everything"),
        ("ref: { not: { regex: \".*\" } }", "matches-everything"),
        ("ref: { prefix: \"\" }", "matches-everything"),
        ("ref: []", "contradiction"),
    ] {
        assert_eq!(fault_ids(&github(line)), [id], "{line}");
    }
    for line in [
        "run_number: \"5\"",
        "exp: 5",
        "aud: \"https://broker.example\"",
        "repo_property_x: y",
        "ref: { not: { prefix: refs/pull/ } }",
    ] {
        assert_eq!(fault_ids(&github(line)), [""; 0], "{line}");
    }
}

#[test]
fn a_fault_says_where_it_is_and_how_to_mend_it() {
    let (_, faults) = load(&[("p.yaml", "policy: p\nissuer: github\nmatch:\n  repository_owner_id: 65\nuser: u\n")]);
    let text = faults.to_string();
    assert!(text.contains("p.yaml:4:24: error[claim-type]: the claim is a string, this is a number"), "{text}");
    assert!(text.contains("repository_owner_id: 65") && text.contains("fix: quote it: \"65\""), "{text}");
    assert!(load(&[("p.yaml", &github("repositry: x"))]).1.to_string().contains("did you mean `repository`?"));
}

#[test]
fn a_claim_of_a_template_or_a_condition_must_exist_too() {
    let with = |more: &str| fault_ids(&policy("p", "github", &format!("{{ {PIN} }}"), more));
    assert_eq!(with("user: \"a-{repositry}\""), ["claim-name"]);
    assert_eq!(with("user: u\nattributes: { a: \"{repositry}\" }"), ["claim-name"]);
    assert_eq!(with("user: u\ncondition: claims.repositry == \"x\""), ["claim-name"]);
    assert_eq!(with("user: u\ncondition: has(claims.environment)"), [""; 0]);
    assert_eq!(with("user: a b"), ["value"]);
    assert_eq!(with("user: u\nattributes: { sub: x }"), ["reserved-name"]);
    assert_eq!(with("user: u\nmode: enforced"), ["value"]);
    assert_eq!(with("user: u\nexpires: 2027-02-30"), ["value"]);
    assert_eq!(with("user: u\nscopes: [\"a b\"]"), ["value"]);
    assert_eq!(with("user: u\ntoken: { lifetime: 10 }"), ["type"]);
}

#[test]
fn a_condition_is_checked_against_the_types_of_the_claims_and_told_at_its_column() {
    let with = |issuer: &str, lines: &str, condition: &str| {
        let text = policy("p", issuer, lines, &format!("user: u\ncondition: {condition}"));
        load(&[("p.yaml", &text)]).1.to_string()
    };
    let pinned = format!("{{ {PIN} }}");
    for (condition, told, fix) in [
        (
            "claims.run_attempt == 1",
            "p.yaml:5:34: error[condition-type]: `claims.run_attempt` is a string, and `1` is a number",
            "quote it: \"1\"",
        ),
        ("'has(claims.ref) && claims.reff == \"x\"'", "p.yaml:5:39: error[claim-name]", "did you mean `ref`?"),
        ("claims.ref_protected", "p.yaml:5:19: error[condition-type]", "claims.ref_protected == "),
        ("\"claims.ref == \\\"a\\\" || claims.sha\"", "p.yaml:5:43: error[condition-type]", "claims.sha == "),
    ] {
        let text = with("github", &pinned, condition);
        assert!(text.contains(told) && text.contains(fix), "{condition}:\n{text}");
    }
    assert_eq!(with("partner", "{ sub: x }", "claims.anything == 1 && claims.deep.er[0] == \"x\""), "");
    assert!(with("partner", "{ sub: x }", "claims.exp == \"1\"").contains("without quotes: 1"));
}

#[test]
fn what_is_inside_a_claim_is_known_as_well() {
    let pinned = "/kubernetes.io/serviceaccount/uid: u1";
    let with = |lines: &str, more: &str| {
        let text = policy("p", "kubernetes", &format!("{{ {pinned}, {lines} }}"), more);
        load(&[("p.yaml", &text)]).1.to_string()
    };
    assert_eq!(with("/kubernetes.io/namespace: payments", "user: \"k-{/kubernetes.io/namespace}\""), "");
    let misspelt = with("/kubernetes.io/namespce: payments", "user: u");
    assert!(misspelt.contains("error[claim-name]: tokens of `kubernetes` have no `namespce` in `kubernetes.io`"));
    assert!(misspelt.contains("did you mean `namespace`?"), "{misspelt}");
    assert!(with("/kubernetes.io/warnafter: x", "user: u").contains("error[claim-type]"));
    assert!(with("/kubernetes.io/namespace/x: y", "user: u").contains("which has no members"));
    assert!(
        with("aud: \"https://broker.example\"", "user: \"k-{/kubernetes.io/pod}\"")
            .contains("which no template can write")
    );
    let condition = |text: &str| with("aud: \"https://broker.example\"", &format!("user: u\ncondition: {text}"));
    assert_eq!(condition("claims[\"kubernetes.io\"].namespace == \"x\""), "");
    assert!(condition("claims[\"kubernetes.io\"].namespce == \"x\"").contains("did you mean `namespace`?"));
    assert!(condition("claims[\"kubernetes.io\"].pod.uid == 5").contains("quote it"));
}

#[test]
fn an_open_issuer_takes_any_claim_and_a_declared_one_its_own() {
    let of = |issuer: &str, lines: &str| fault_ids(&policy("p", issuer, lines, "user: u"));
    assert_eq!(of("partner", "{ sub: x, anything: 5, /a/b: [true, x] }"), [""; 0]);
    assert_eq!(of("declared", "{ level: 5, vip: true }"), [""; 0]);
    assert_eq!(of("declared", "{ level: \"5\" }"), ["claim-type"]);
    assert_eq!(of("declared", "{ anything: x }"), ["claim-name"]);
}

#[test]
fn an_issuer_that_many_tenants_share_needs_an_immutable_id_and_something_narrower() {
    let of = |issuer: &str, lines: &str| fault_ids(&policy("p", issuer, lines, "user: u"));
    for lines in [
        "{ repository: acme/shop }",
        "{ sub: \"repo:acme/shop:ref:refs/heads/main\" }",
        "{ repository_id: { prefix: \"1\" } }",
        "{ repository_id: { present: true } }",
        "{ repository_owner_id: { not: \"66\" }, repository: acme/shop }",
        "{ repository_owner_id: \"65\" }",
        "{ repository_owner_id: \"65\", ref: refs/heads/main }",
        "{ repository_owner_id: \"65\", repository: { present: true } }",
    ] {
        assert_eq!(of("github", lines), ["tenant-pin"], "{lines}");
    }
    for lines in [
        "{ repository_id: \"7\" }",
        "{ repository_id: [\"7\", \"8\"], ref: refs/heads/main }",
        "{ repository_owner_id: \"65\", repository: { glob: \"acme/*\" } }",
    ] {
        assert_eq!(of("github", lines), [""; 0], "{lines}");
    }
    assert_eq!(of("github", "{ repository_owner_id: \"65\", repository: { glob: \"*/*\" } }"), ["matches-everything"]);
    assert_eq!(of("acme-ghes", "{ repository: acme/shop }"), [""; 0], "one owner, one server");
}

#[test]
fn every_platform_that_all_customers_share_asks_for_its_own_immutable_ids() {
    let of = |issuer: &str, lines: &str| fault_ids(&policy("p", issuer, lines, "user: u"));
    for (issuer, lines) in [
        ("gitlab", "{ project_path: acme/shop, ref_protected: \"true\" }"),
        ("gitlab", "{ namespace_id: \"7201\", ref_path: refs/heads/main }"),
        ("buildkite", "{ organization_slug: acme, pipeline_slug: shop }"),
        ("buildkite", "{ organization_id: x, build_branch: main }"),
        ("google", "{ email: payments-api@acme-prod.iam.gserviceaccount.com }"),
        ("google", "{ sub: { prefix: \"1049\" } }"),
        (
            "terraform-cloud",
            "{ sub: \"organization:acme:project:Default Project:workspace:shop-prod:run_phase:apply\" }",
        ),
        ("terraform-cloud", "{ terraform_organization_id: org-1, terraform_run_phase: apply }"),
    ] {
        assert_eq!(of(issuer, lines), ["tenant-pin"], "{issuer} {lines}");
    }
    for (issuer, lines) in [
        ("gitlab", "{ project_id: \"20411\" }"),
        ("gitlab", "{ namespace_id: \"7201\", project_path: { glob: \"acme/*\" } }"),
        ("buildkite", "{ organization_id: x, pipeline_slug: shop }"),
        ("google", "{ sub: \"104918273645091827364\" }"),
        ("terraform-cloud", "{ terraform_organization_id: org-1, terraform_workspace_name: { prefix: shop- } }"),
        ("circleci", "{ oidc.circleci.com/project-id: x, oidc.circleci.com/ssh-rerun: false }"),
        ("aws", "{ sub: \"arn:aws:iam::123456789012:role/payments-api\" }"),
        ("fly", "{ app_name: payments-api }"),
    ] {
        assert_eq!(of(issuer, lines), [""; 0], "{issuer} {lines}");
    }
}

#[test]
fn a_subject_that_somebody_else_can_come_to_have_is_a_warning() {
    let of = |issuer: &str, lines: &str| {
        let (_, faults) = load(&[("p.yaml", &policy("p", issuer, lines, "user: u"))]);
        assert!(!faults.has_errors(), "{faults}");
        faults.iter().map(crate::diagnostic::Diagnostic::id).filter(|id| *id == "subject-form").collect::<Vec<_>>()
    };
    for (issuer, lines) in [
        ("acme-ghes", "{ sub: \"repo:acme/shop:ref:refs/heads/main\" }"),
        ("acme-ghes", "{ sub: [\"repo:acme@65/shop@7:pull_request\", \"repo:acme/shop:environment:prod\"] }"),
        ("acme-ghes", "{ sub: { glob: \"repo:acme/*:pull_request\" }, repository_id: { present: true } }"),
        ("acme-ghes", "{ sub: { prefix: \"repo:acme/\" } }"),
        ("github", "{ repository_owner_id: \"65\", sub: { prefix: \"repo:acme-65/shop-123456:\" } }"),
    ] {
        assert_eq!(of(issuer, lines), ["subject-form"], "{lines}");
    }
    for (issuer, lines) in [
        ("acme-ghes", "{ sub: \"repo:acme/shop:ref:refs/heads/main\", repository_id: \"7\" }"),
        ("acme-ghes", "{ sub: \"repo:acme@65/shop@7:ref:refs/heads/main\" }"),
        ("acme-ghes", "{ sub: { not: \"repo:acme/shop:pull_request\" }, repository: acme/shop }"),
        ("acme-ghes", "{ sub: \"repository_id:7\" }"),
        ("github", "{ repository_owner_id: \"65\", sub: { prefix: \"repo:acme/shop:\" } }"),
        ("partner", "{ sub: \"repo:acme/shop:ref:refs/heads/main\" }"),
    ] {
        assert_eq!(of(issuer, lines), [""; 0], "{lines}");
    }
}

#[test]
fn a_claim_that_the_caller_chooses_is_no_identity() {
    const TAGS: &str = "/https:~1~1sts.amazonaws.com~1/request_tags/team";
    const ROLE: &str = "sub: \"arn:aws:iam::123456789012:role/a\"";
    let of = |lines: &str, user: &str| load(&[("p.yaml", &policy("p", "aws", lines, &format!("user: {user}")))]).1;
    let alone = of(&format!("{{ {TAGS}: payments }}"), "u");
    assert!(alone.has_errors() && alone.to_string().contains("p.yaml:3:10: error[caller-chosen]"), "{alone}");
    let asked = of(&format!("{{ /https:~1~1sts.amazonaws.com~1/request_tags: {{ present: true }}, {TAGS}: x }}"), "u");
    assert_eq!(asked.iter().filter(|fault| fault.id() == "caller-chosen").count(), 2);
    let beside = of(&format!("{{ {ROLE}, {TAGS}: payments }}"), "u");
    assert!(!beside.has_errors() && beside.to_string().contains("warning[caller-chosen-line]"), "{beside}");
    assert!(of(&format!("{{ {ROLE} }}"), &format!("\"aws-{{{TAGS}}}\"")).has_errors());
    let condition = "user: u\ncondition: claims[\"https://sts.amazonaws.com/\"].request_tags.team == \"payments\"";
    let with = |lines: &str| fault_ids(&policy("p", "aws", lines, condition));
    assert_eq!(with("{ sub: { present: true } }"), ["caller-chosen"]);
    assert_eq!(with(&format!("{{ {ROLE} }}")), [""; 0]);
    let principals = "/https:~1~1sts.amazonaws.com~1/principal_tags/team";
    assert!(of(&format!("{{ {ROLE}, {principals}: payments }}"), &format!("\"aws-{{{principals}}}\"")).is_empty());
}

#[test]
fn all_faults_of_all_files_are_reported_at_once_in_the_order_of_the_files() {
    let good = policy("good", "partner", "{ sub: x }", "user: u");
    let (_, faults) = load(&[
        ("b.yaml", &format!("{good}---\nissuer: gihub\nmatch: {{}}\nuserr: x\n")),
        ("a/c.yml", &good),
        ("z.yaml", "policy: [\n"),
    ]);
    let ids: Vec<&str> = faults.iter().map(crate::diagnostic::Diagnostic::id).collect();
    let expected =
        ["duplicate-policy", "missing-field", "missing-field", "issuer", "matches-everything", "unknown-field", "yaml"];
    assert_eq!(ids, expected, "{faults}");
    assert!(faults.to_string().contains("did you mean `github`?"));
}

#[test]
fn a_disabled_issuer_is_a_warning_and_a_missing_directory_an_error() {
    let (set, faults) = load(&[("p.yaml", &policy("p", "old", "{ sub: x }", "user: u"))]);
    assert!(!faults.has_errors() && !faults.is_empty() && set.len() == 1);
    let (_, faults) = load_from(Path::new("/nowhere/policies"));
    assert!(faults.to_string().contains("fix: create it"), "{faults}");
    assert!(load(&[]).1.is_empty());
}

#[test]
fn a_mounted_config_map_loads_once() {
    let directory = tempfile::tempdir().unwrap();
    let generation = directory.path().join("..2026_11_23");
    std::fs::create_dir(&generation).unwrap();
    std::fs::write(generation.join("p.yaml"), policy("p", "partner", "{ sub: x }", "user: u")).unwrap();
    std::os::unix::fs::symlink("..2026_11_23", directory.path().join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/p.yaml", directory.path().join("p.yaml")).unwrap();
    std::fs::write(directory.path().join("p.test.yaml"), "cases: []\n").unwrap();
    let (set, faults) = load_from(directory.path());
    assert!(faults.is_empty() && set.len() == 1, "{faults}");
    let digest = set.digest().to_owned();
    assert!(digest.len() == 64 && load_from(directory.path()).0.digest() == digest);
    std::fs::write(generation.join("p.yaml"), policy("p", "partner", "{ sub: y }", "user: u")).unwrap();
    assert_ne!(load_from(directory.path()).0.digest(), digest);
}
