//! `countersign policy init`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::place::{Place, repository};

/// The issuer of each kind's fixture in the configuration, and the kind.
const KINDS: [(&str, &str); 12] = [
    ("github", "github-actions"),
    ("azure", "azure"),
    ("kubernetes", "kubernetes"),
    ("spiffe", "spiffe"),
    ("gitlab", "gitlab"),
    ("buildkite", "buildkite"),
    ("circleci", "circleci"),
    ("google", "google"),
    ("aws", "aws"),
    ("terraform-cloud", "terraform-cloud"),
    ("fly", "fly"),
    ("partner", "oidc"),
];
const SIGNATURE: &str = "c2lnbmF0dXJlLXRoYXQtbm9ib2R5LW1heS1zZWU";

fn claims(kind: &str) -> Map<String, Value> {
    let text = std::fs::read(repository().join(format!("fixtures/{kind}/claims.json"))).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// A token as a platform makes it, with a signature that no key made.
fn token(claims: &Map<String, Value>) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{SIGNATURE}", part(json!({ "alg": "RS256", "kid": "k" })), part(Value::Object(claims.clone())))
}

/// A place without policies, and the configuration changed.
fn place_with(from: &str, to: &str) -> Place {
    let place = Place::empty();
    let config = place.read("countersign.yaml");
    assert!(config.contains(from));
    place.write("countersign.yaml", &config.replace(from, to));
    place
}

fn policies(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.path().join("policies")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_token_of_every_kind_becomes_a_policy_without_warnings_whose_tests_cover_every_line() {
    for (issuer, kind) in KINDS {
        let place = Place::empty();
        let token = token(&claims(kind));
        let ran =
            place.policy_with(&["init", "--token", "-", "--name", "first", "--scopes", "service:a,service:b"], &token);
        assert_eq!(ran.code, Some(0), "{kind}: {}", ran.err);
        assert!(ran.err.contains("signature was NOT verified"), "{}", ran.err);
        assert_eq!(policies(&place), ["first.test.yaml", "first.yaml"]);
        let checked = place.policy(&["check", "--deny-warnings"]);
        assert!(checked.code == Some(0) && !checked.out.contains("warning"), "{kind}: {}{}", checked.out, checked.err);
        let tested = place.policy(&["test", "--deny-uncovered"]);
        assert_eq!(tested.code, Some(0), "{kind}: {}{}", tested.out, tested.err);
        let written = place.read("policies/first.yaml") + &place.read("policies/first.test.yaml");
        assert!(
            written.contains(&format!("issuer: {issuer}\n"))
                && written.contains("scopes: [\"service:a\", \"service:b\"]")
        );
        for part in token.split('.') {
            assert!(
                ![&ran.out, &ran.err, &written].iter().any(|text| text.contains(part)),
                "{kind}: the token was kept"
            );
        }
        for of_one_run in ["jti", "run_id", "sha:", "job_id", "exp:", "iat:"] {
            assert!(!written.contains(of_one_run), "{kind}: {of_one_run}");
        }
    }
}

#[test]
fn ids_are_pinned_and_names_stand_beside_them() {
    let place = Place::empty();
    place.write("claims.json", &Value::Object(claims("github-actions")).to_string());
    let ran = place.policy(&["init", "--claims", "claims.json", "--user", "prod-deployer"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(
        ran.out,
        "policies/github-acme-shop.yaml: 9 lines\npolicies/github-acme-shop.test.yaml: 10 cases, all pass\n"
    );
    let policy = place.read("policies/github-acme-shop.yaml");
    let expected = "policy: github-acme-shop
issuer: github
match:
  repository_id: \"123456\"                   # acme/shop
  repository_owner_id: \"65\"                 # acme
  enterprise_id: \"7291\"                     # acme-inc
  ref: refs/heads/main
  ref_protected: \"true\"
  event_name: push
  environment: production
  job_workflow_ref: acme/ci/.github/workflows/deploy.yml@refs/tags/v1
  runner_environment: github-hosted
user: prod-deployer
scopes: []                                  # what its tokens may carry, for instance [\"service:my-api\"]
";
    assert!(policy.ends_with(expected), "{policy}");
    let again = place.policy(&["init", "--claims", "claims.json"]);
    assert!(
        again.code == Some(1) && again.err.contains("`github-acme-shop` is in policies/github-acme-shop.yaml already"),
        "{}",
        again.err
    );
}

#[test]
fn what_is_there_already_is_not_touched() {
    let place = Place::empty();
    place.write("claims.json", &Value::Object(claims("fly")).to_string());
    place.write("policies/fly-payments-api.test.yaml", "cases: []\n");
    let ran = place.policy(&["init", "--claims", "claims.json"]);
    assert!(ran.code == Some(1) && ran.err.contains("is there already"), "{}", ran.err);
    assert_eq!(policies(&place), ["fly-payments-api.test.yaml"]);
    assert_eq!(place.read("policies/fly-payments-api.test.yaml"), "cases: []\n");
    std::fs::create_dir(place.path().join("elsewhere")).unwrap();
    let ran = place.policy(&["init", "--claims", "claims.json", "--output-dir", "elsewhere"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(place.read("elsewhere/fly-payments-api.yaml").contains("app_id: \"3671581\""));
    let ran = place.policy(&["init", "--claims", "claims.json", "--stdout"]);
    assert!(ran.code == Some(0) && ran.out.contains("# fly-payments-api.test.yaml\n") && ran.out.contains("match:\n"));
    assert_eq!(policies(&place), ["fly-payments-api.test.yaml"]);
}

#[test]
fn an_issuer_that_nobody_configured_is_named_as_it_would_be_written() {
    let moved = |kind: &str, iss: &str| {
        let mut claims = claims(kind);
        claims.insert("iss".to_owned(), iss.into());
        claims
    };
    let unknown = [
        ("github-actions", moved("github-actions", "https://ghes.example/_services/token")),
        ("azure", moved("azure", "https://sts.windows.net/00000000-0000-4000-8000-000000000001/")),
        ("gitlab", moved("gitlab", "https://gitlab.acme.example")),
        ("kubernetes", moved("kubernetes", "https://other.example")),
        ("circleci", moved("circleci", "https://oidc.circleci.com/org/00000000-0000-4000-8000-000000000001")),
        ("oidc", moved("oidc", "https://other.example/a,b: c")),
        ("spiffe", Map::from_iter([("sub".to_owned(), json!("spiffe://other.example/a"))])),
    ];
    for (kind, mut claims) in unknown {
        if kind == "azure" {
            claims.insert("tid".to_owned(), "00000000-0000-4000-8000-000000000001".into());
        }
        let place = Place::empty();
        let ran = place.policy_with(&["init", "--token", "-"], &token(&claims));
        assert!(ran.code == Some(1) && ran.err.contains("no issuer is configured for "), "{kind}: {}", ran.err);
        let entry = ran.err.split_once("issuers:\n").unwrap().1.lines().next().unwrap();
        assert!(entry.contains(&format!("kind: {kind}")), "{entry}");
        if kind == "oidc" {
            continue; // No URL that an issuer may have: only that the entry is one line of YAML.
        }
        let entry = entry.replace("WHERE_ITS_BUNDLE_IS", "https://other.example/bundle");
        place.write("countersign.yaml", &format!("issuer: https://broker.example.com\nissuers:\n{entry}\n"));
        let ran = place.policy_with(&["init", "--token", "-"], &token(&claims));
        assert_eq!(ran.code, Some(0), "{entry}\n{}", ran.err);
    }
}

#[test]
fn clusters_that_share_an_issuer_are_told_apart_by_the_author() {
    let url = "https://kubernetes.default.svc";
    let place = place_with(
        "  spiffe:",
        &format!(
            "  blue: {{ kind: kubernetes, url: {url}, keys: {{ url: https://b.example/jwks }} }}\n  green: {{ kind: kubernetes, url: {url}, keys: {{ url: https://g.example/jwks }} }}\n  spiffe:"
        ),
    );
    let mut claims = claims("kubernetes");
    claims.insert("iss".to_owned(), url.into());
    let ran = place.policy_with(&["init", "--token", "-"], &token(&claims));
    assert!(
        ran.code == Some(1) && ran.err.contains("several issuers: blue, green; say which with --issuer"),
        "{}",
        ran.err
    );
    let ran = place.policy_with(&["init", "--token", "-", "--issuer", "green"], &token(&claims));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(place.read("policies/green-payments-api.yaml").contains("issuer: green\n"));
    let ran = place.policy_with(&["init", "--token", "-", "--issuer", "github"], &token(&claims));
    assert!(ran.code == Some(1) && ran.err.contains("not of `github`"), "{}", ran.err);
}

#[test]
fn a_token_that_no_policy_can_be_made_of_leaves_no_file() {
    let mut without_ids = claims("buildkite");
    without_ids.retain(|name, _| name != "pipeline_id" && name != "organization_id");
    let mut person = claims("gitlab");
    person.remove("job_id");
    let cases = [
        (token(&without_ids), "add an exact line for pipeline_id or organization_id"),
        (token(&person), "a person's token"),
        ("secret-thing".to_owned(), "not three base64url parts"),
        (format!("a.b.{SIGNATURE}.d.e"), "not three base64url parts"),
    ];
    for (token, expected) in cases {
        let place = Place::empty();
        let ran = place.policy_with(&["init", "--token", "-"], &token);
        assert!(ran.code == Some(1) && ran.err.contains(expected), "{}", ran.err);
        assert!(!ran.err.contains("secret-thing") && !ran.err.contains(SIGNATURE), "{}", ran.err);
        assert_eq!(policies(&place), [""; 0]);
    }
}

#[test]
fn what_would_still_refuse_the_token_is_said() {
    let mut claims = claims("github-actions");
    claims.insert("aud".to_owned(), "https://github.com/acme".into());
    claims.insert("event_name".to_owned(), "pull_request_target".into());
    let ran = Place::empty().policy_with(&["init", "--token", "-", "--scopes", "service:a"], &token(&claims));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let audience = "for the audience https://github.com/acme, and `github` accepts https://broker.example.com";
    assert!(ran.err.contains(audience) && ran.err.contains("warning["), "{}", ran.err);
}

#[test]
fn a_claim_cannot_write_yaml_or_to_the_terminal() {
    let mut claims = claims("github-actions");
    let evil = "acme/shop\nuser: admin\u{202e}\u{1b}[2J # {x}";
    for name in ["repository", "sub", "environment", "ref"] {
        claims.insert(name.to_owned(), evil.into());
    }
    claims.insert("repository_id".to_owned(), "1\"\nuser: admin".into());
    let place = Place::empty();
    let ran = place.policy_with(&["init", "--token", "-", "--name", "first"], &token(&claims));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let written = place.read("policies/first.yaml") + &place.read("policies/first.test.yaml");
    for text in [&written, &ran.out, &ran.err] {
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}') && !text.contains("\nuser: admin"), "{text}");
    }
    let tested = place.policy(&["test", "--deny-uncovered"]);
    assert_eq!(tested.code, Some(0), "{}{}", tested.out, tested.err);
}
