//! Each platform's own `iss`, near misses of it, and its own rules beside their nearest acceptance.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::tests::{assertion, issuers, settings};
use super::*;
use crate::kind::Cloud;
use crate::vocab::ClaimType;

fn at(kind: IssuerKind, url: &str) -> IssuerSettings {
    IssuerSettings { url: Some(IssuerUrl::parse(url).unwrap()), ..settings(kind.name(), kind) }
}

fn every_platform() -> Issuers {
    issuers(&[
        settings("gitlab", IssuerKind::GITLAB),
        settings("buildkite", IssuerKind::BUILDKITE),
        at(IssuerKind::CIRCLECI, "https://oidc.circleci.com/org/b9291e0d-a11e-41fb-8517-c545388b5953"),
        settings("google", IssuerKind::GOOGLE),
        at(IssuerKind::AWS, "https://a1b2c3d4-5e6f-4a0b-8c1d-2e3f4a5b6c7d.tokens.sts.global.api.aws"),
        settings("terraform-cloud", IssuerKind::TERRAFORM_CLOUD),
        at(IssuerKind::FLY, "https://oidc.fly.io/acme"),
    ])
}

/// The fixture's claims with these in place of its own; `null` removes one.
fn claims(kind: &str, changes: &Value) -> Map<String, Value> {
    let fixture = IssuerKind::from_name(kind).unwrap().fixture.claims;
    let mut claims = crate::json::object(fixture.as_bytes()).unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.remove(name)
        } else {
            claims.insert(name.clone(), value.clone())
        };
    }
    claims
}

fn rule(kind: &str, changes: &Value) -> Result<(), &'static str> {
    let issuers = every_platform();
    let issuer = issuers.by_name(kind).unwrap();
    issuer.check_claims(&claims(kind, changes)).map_err(|refusal| refusal.cause())
}

#[test]
fn every_platform_is_found_by_its_fixtures_iss_and_not_by_near_misses() {
    let issuers = every_platform();
    let found = |iss: &str| {
        let named = assertion(AssertionShape::JwtBearer, &json!({"alg": "RS256"}), &json!({"iss": iss, "sub": "x"}));
        issuers.trusted(&named).map(|found| found.only().unwrap().kind())
    };
    for issuer in issuers.iter() {
        let fixture = claims(issuer.kind().name(), &json!({}));
        let iss = fixture["iss"].as_str().unwrap();
        assert_eq!(found(iss), Ok(issuer.kind()));
        let shorter = iss.trim_end_matches(char::is_alphanumeric);
        for near in [format!("{iss}/"), iss.replace("https", "HTTPS"), shorter.to_owned(), format!("{iss}x")] {
            assert_eq!(found(&near), Err(IssuerRefusal::Unknown), "{near}");
        }
    }
    for iss in [
        "https://oidc.circleci.com/org/00000000-0000-4000-8000-000000000001",
        "https://00000000-0000-4000-8000-000000000001.tokens.sts.global.api.aws",
        "https://oidc.fly.io/rival",
        "accounts.google.com",
        "https://gitlab.com/acme",
    ] {
        assert_eq!(found(iss), Err(IssuerRefusal::Unknown), "{iss}");
    }
}

#[test]
fn keys_are_found_by_discovery_at_the_issuer() {
    for issuer in every_platform().iter() {
        let expected = format!("{}/.well-known/openid-configuration", issuer.identifier());
        assert_eq!(issuer.key_location().unwrap().to_string(), expected);
    }
}

#[test]
fn only_the_issuer_that_all_customers_share_needs_a_tenant_pin() {
    let shared = |issuers: &Issuers| -> Vec<IssuerKind> {
        issuers.iter().filter(|issuer| issuer.shared_by_tenants().is_some()).map(|issuer| issuer.kind()).collect()
    };
    let expected = [IssuerKind::GITLAB, IssuerKind::BUILDKITE, IssuerKind::GOOGLE, IssuerKind::TERRAFORM_CLOUD];
    assert_eq!(shared(&every_platform()), expected);
    let europe = at(IssuerKind::TERRAFORM_CLOUD, "https://app.eu.terraform.io");
    assert_eq!(shared(&issuers(&[europe])), [IssuerKind::TERRAFORM_CLOUD]);
    let own = [
        at(IssuerKind::GITLAB, "https://gitlab.acme.example"),
        at(IssuerKind::TERRAFORM_CLOUD, "https://tfe.acme.example"),
    ];
    assert_eq!(shared(&issuers(&own)), []);
}

#[test]
fn strangers_share_github_com_and_nobody_an_enterprises_own_issuer() {
    let is_shared = |url: &str| {
        let issuers = issuers(&[at(IssuerKind::GITHUB_ACTIONS, url)]);
        issuers.by_name("github-actions").unwrap().shared_by_tenants().is_some()
    };
    assert!(is_shared("https://token.actions.githubusercontent.com"));
    for own in [
        "https://token.actions.githubusercontent.com/acme-inc",
        "https://token.actions.acme.ghe.com",
        "https://ghes.acme.example/_services/token",
    ] {
        assert!(!is_shared(own), "{own}");
    }
}

const TENANTS: [&str; 2] = ["6f8d0000-0000-4000-8000-000000000001", "6f8d0000-0000-4000-8000-000000000002"];

fn azure(tenants: &[&str], cloud: Cloud) -> Issuers {
    let tenants = tenants.iter().map(|tenant| (*tenant).to_owned()).collect();
    issuers(&[IssuerSettings { tenants, cloud, ..settings("azure", IssuerKind::AZURE) }])
}

#[test]
fn each_cloud_has_its_own_issuers_and_keys_for_one_tenant_and_for_several() {
    for (cloud, service, login) in [
        (Cloud::Public, "https://sts.windows.net", "https://login.microsoftonline.com"),
        (Cloud::UsGovernment, "https://sts.windows.net", "https://login.microsoftonline.us"),
        (Cloud::China, "https://sts.chinacloudapi.cn", "https://login.partner.microsoftonline.cn"),
    ] {
        let keys = |issuers: &Issuers| issuers.by_name("azure").unwrap().key_location().unwrap().to_string();
        let both = azure(&TENANTS, cloud);
        let expected =
            TENANTS.map(|tenant| [format!("{service}/{tenant}/"), format!("{login}/{tenant}/v2.0")]).concat();
        assert_eq!(both.by_name("azure").unwrap().identifiers(), expected);
        assert_eq!(keys(&both), format!("{login}/common/discovery/v2.0/keys"));
        assert_eq!(keys(&azure(&TENANTS[..1], cloud)), format!("{login}/{}/discovery/v2.0/keys", TENANTS[0]));
    }
}

#[test]
fn a_token_of_one_listed_tenant_is_none_of_another() {
    let both = azure(&TENANTS, Cloud::Public);
    let issuer = both.by_name("azure").unwrap();
    let checked = |iss: String, tid: &str| {
        let claims = json!({"iss": iss, "tid": tid, "idtyp": "app"});
        issuer.check_claims(claims.as_object().unwrap()).map_err(|refusal| refusal.cause())
    };
    for form in ["https://sts.windows.net/{}/", "https://login.microsoftonline.com/{}/v2.0"] {
        let iss = |tenant: &str| form.replace("{}", tenant);
        for tenant in TENANTS {
            assert_eq!(checked(iss(tenant), tenant), Ok(()));
        }
        assert_eq!(checked(iss(TENANTS[0]), TENANTS[1]), Err("claims.kind_rule"));
        assert_eq!(checked(iss(TENANTS[1]), TENANTS[0]), Err("claims.kind_rule"));
    }
    let third = "6f8d0000-0000-4000-8000-000000000003";
    assert_eq!(checked(format!("https://sts.windows.net/{third}/"), third), Err("claims.kind_rule"));
    let named = assertion(
        AssertionShape::JwtBearer,
        &json!({"alg": "RS256"}),
        &json!({"iss": format!("https://sts.windows.net/{third}/"), "tid": third}),
    );
    assert_eq!(both.trusted(&named).unwrap_err(), IssuerRefusal::Unknown);
}

#[test]
fn several_tenants_of_one_issuer_need_a_pin_and_one_needs_none() {
    let pin = |tenants: &[&str]| azure(tenants, Cloud::Public).by_name("azure").unwrap().shared_by_tenants();
    assert_eq!(pin(&TENANTS).unwrap().alternatives, [["tid"]]);
    assert!(pin(&TENANTS[..1]).is_none());
}

#[test]
fn a_person_who_signs_in_through_gitlab_is_no_job() {
    assert_eq!(rule("gitlab", &json!({})), Ok(()));
    assert_eq!(rule("gitlab", &json!({"aud": ["https://broker.example.com"], "environment": null})), Ok(()));
    let person = json!({"job_id": null, "sub": "5832", "email": "octavia@acme.example", "groups_direct": ["acme"]});
    assert_eq!(rule("gitlab", &person), Err("claims.kind_rule"));
    assert_eq!(rule("gitlab", &json!({"job_id": 3_021_177})), Err("claims.kind_rule"));
}

#[test]
fn a_circleci_job_that_was_run_again_with_ssh_is_refused() {
    assert_eq!(rule("circleci", &json!({})), Ok(()));
    assert_eq!(rule("circleci", &json!({"oidc.circleci.com/ssh-rerun": null})), Ok(()), "absent");
    for rerun in [json!(true), json!("false"), json!(0)] {
        assert_eq!(rule("circleci", &json!({"oidc.circleci.com/ssh-rerun": rerun})), Err("claims.kind_rule"));
    }
}

#[test]
fn a_person_with_a_google_account_is_no_service_account() {
    assert_eq!(rule("google", &json!({})), Ok(()));
    assert_eq!(rule("google", &json!({"email": null, "email_verified": null, "google": null})), Ok(()));
    let default = "918273645091-compute@developer.gserviceaccount.com";
    assert_eq!(rule("google", &json!({"email": default})), Ok(()));
    for person in [
        json!({"email": "octavia@acme.example"}),
        json!({"email": "payments-api@gserviceaccount.com"}),
        json!({"email": "payments-api@acme-prod.iam.gserviceaccount.com.evil.example"}),
        json!({"email_verified": false}),
        json!({"email_verified": "true"}),
        json!({"email_verified": null}),
        json!({"hd": "acme.example"}),
        json!({"azp": "918273645091-abc.apps.googleusercontent.com"}),
    ] {
        assert_eq!(rule("google", &person), Err("claims.kind_rule"), "{person}");
    }
}

#[test]
fn an_aws_token_is_of_a_principal() {
    for sub in ["arn:aws:iam::123456789012:role/a", "arn:aws-cn:iam::1:user/b", "arn:aws-us-gov:iam::1:role/c"] {
        assert_eq!(rule("aws", &json!({"sub": sub})), Ok(()));
    }
    for sub in [json!("role/a"), json!("arn:evil:iam::1:role/a"), json!(7), json!(null)] {
        assert_eq!(rule("aws", &json!({"sub": sub})), Err("claims.kind_rule"));
    }
}

#[test]
fn claims_have_the_types_that_each_platform_gives_them() {
    let issuers = every_platform();
    for (kind, claim, expected) in [
        ("gitlab", "runner_id", Some(ClaimType::Number)),
        ("gitlab", "project_id", Some(ClaimType::String)),
        ("gitlab", "ref_protected", Some(ClaimType::String)),
        ("buildkite", "build_number", Some(ClaimType::Number)),
        ("buildkite", "agent_tag:queue", Some(ClaimType::String)),
        ("buildkite", "agent_tag:", None),
        ("circleci", "oidc.circleci.com/ssh-rerun", Some(ClaimType::Boolean)),
        ("circleci", "oidc.circleci.com/context-ids", Some(ClaimType::StringList)),
        ("circleci", "project-id", None),
        ("google", "email_verified", Some(ClaimType::Boolean)),
        ("google", "google", Some(ClaimType::Object)),
        ("aws", "https://sts.amazonaws.com/", Some(ClaimType::Object)),
        ("aws", "request_tags", None),
        ("terraform-cloud", "terraform_run_phase", Some(ClaimType::String)),
        ("fly", "app_id", Some(ClaimType::String)),
    ] {
        assert_eq!(issuers.by_name(kind).unwrap().schema().type_of(claim), expected, "{kind} {claim}");
    }
}

/// Every path to a value, objects opened.
fn leaves<'a>(path: &[&'a str], value: &'a Value, found: &mut Vec<(Vec<String>, &'a Value)>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                leaves(&[path, &[name.as_str()]].concat(), member, found);
            }
        }
        value => found.push((path.iter().map(|step| (*step).to_owned()).collect(), value)),
    }
}

#[test]
fn what_is_inside_a_platforms_claims_has_its_type_and_a_misspelt_member_is_told() {
    let issuers = every_platform();
    for kind in IssuerKind::ALL.iter().filter(|kind| !kind.open) {
        let schema = ClaimSchema::new(kind.claims, &BTreeMap::new(), false);
        let claims: Value = serde_json::from_str(kind.fixture.claims).unwrap();
        let mut found = Vec::new();
        leaves(&[], &claims, &mut found);
        for (path, value) in found {
            let steps: Vec<&str> = path.iter().map(String::as_str).collect();
            let declared = schema.type_at(&steps);
            let fits = match declared {
                Ok(ClaimType::String) => value.is_string() || value.is_null(),
                Ok(ClaimType::Number) => value.is_number(),
                Ok(ClaimType::Boolean) => value.is_boolean(),
                Ok(ClaimType::StringList) => value.is_array(),
                Ok(ClaimType::StringOrList) => value.is_string() || value.is_array(),
                Ok(ClaimType::Any) => true,
                Ok(ClaimType::Object) | Err(_) => false,
            };
            assert!(fits, "{kind} {path:?}: {declared:?}");
        }
    }
    let aws = issuers.by_name("aws").unwrap().schema();
    let inside = |steps: &[&'static str]| aws.type_at(&[&["https://sts.amazonaws.com/"], steps].concat());
    assert_eq!(inside(&["request_tags", "anything/at all"]), Ok(ClaimType::String));
    assert_eq!(inside(&["aws_acount"]), Err(NoClaim::Unknown { depth: 1, near: Some("aws_account") }));
}
