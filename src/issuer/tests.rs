use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;
use crate::config::KeySource;
use crate::vocab::ClaimType;

const TENANT: &str = "6f8d0000-0000-4000-8000-000000000001";

/// Settings in which only name and kind are set.
pub(crate) fn settings(name: &str, kind: IssuerKind) -> IssuerSettings {
    IssuerSettings {
        name: IssuerName::parse(name).unwrap(),
        kind,
        url: None,
        tenants: Vec::new(),
        cloud: crate::kind::Cloud::Public,
        trust_domain: None,
        audiences: None,
        algorithms: None,
        keys: KeySource::Discovery(None),
        ca_file: None,
        ca_only: false,
        bearer_token_file: None,
        single_use: None,
        max_lifetime: None,
        leeway: None,
        allow_additional_audiences: false,
        allow_private_network: false,
        allow_missing_kid: false,
        stale_keys_for: None,
        claims: std::collections::BTreeMap::new(),
        audit_exclude: std::collections::BTreeSet::new(),
        danger_allow_http: false,
        review: None,
        shadow: false,
        disabled: false,
        explain_to_caller: false,
    }
}

/// An unsigned assertion with this header and these claims.
pub(crate) fn assertion(shape: AssertionShape, header: &Value, claims: &Value) -> UnverifiedAssertion {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let compact = format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode("signature"));
    UnverifiedAssertion::parse(&compact, shape).unwrap()
}

/// Issuers with these settings; ours is `https://broker.example`.
pub(crate) fn issuers(settings: &[IssuerSettings]) -> Issuers {
    Issuers::new(settings, &IssuerUrl::parse("https://broker.example").unwrap())
}

fn url(text: &str) -> Option<IssuerUrl> {
    Some(IssuerUrl::parse(text).unwrap())
}

fn every_kind() -> Vec<IssuerSettings> {
    vec![
        settings("github", IssuerKind::GITHUB_ACTIONS),
        IssuerSettings { tenants: vec![TENANT.into()], ..settings("azure", IssuerKind::AZURE) },
        IssuerSettings { url: url("https://oidc.eks.example/id/1"), ..settings("prod", IssuerKind::KUBERNETES) },
        IssuerSettings {
            trust_domain: Some(::spiffe::TrustDomain::new("prod.example").unwrap()),
            ..settings("mesh", IssuerKind::SPIFFE)
        },
        IssuerSettings { url: url("https://idp.example"), ..settings("partner", IssuerKind::OIDC) },
        IssuerSettings { url: url("https://old.example"), disabled: true, ..settings("old", IssuerKind::OIDC) },
    ]
}

fn found(shape: AssertionShape, claims: &Value) -> Result<String, &'static str> {
    let issuers = issuers(&every_kind());
    let trusted = issuers.trusted(&assertion(shape, &json!({"alg": "ES256"}), claims));
    trusted.map(|issuers| issuers.only().unwrap().name().to_string()).map_err(|refusal| refusal.cause())
}

#[test]
fn the_issuer_is_found_by_its_exact_bytes_only() {
    for (iss, name) in [
        ("https://token.actions.githubusercontent.com", "github"),
        ("https://sts.windows.net/6f8d0000-0000-4000-8000-000000000001/", "azure"),
        ("https://login.microsoftonline.com/6f8d0000-0000-4000-8000-000000000001/v2.0", "azure"),
        ("https://oidc.eks.example/id/1", "prod"),
        ("https://idp.example", "partner"),
    ] {
        assert_eq!(found(AssertionShape::JwtBearer, &json!({"iss": iss})), Ok(name.to_owned()));
        assert_eq!(found(AssertionShape::Unsaid, &json!({"iss": iss, "sub": "x"})), Ok(name.to_owned()));
    }
    for iss in [
        "https://idp.example/",
        "HTTPS://idp.example",
        "https://IDP.example",
        "https://idp.example:443",
        "https://idp.example.evil.example",
        "https://evil@idp.example",
        "https://token.actions.githubusercontent.com/acme",
        "https://sts.windows.net/6f8d0000-0000-4000-8000-000000000001",
        "http://169.254.169.254/",
        "",
    ] {
        assert_eq!(found(AssertionShape::JwtBearer, &json!({"iss": iss})), Err("issuer.unknown"), "{iss}");
    }
}

#[test]
fn an_iss_that_is_no_string_is_malformed() {
    for iss in [json!(["https://idp.example"]), json!(5), json!(null), json!({})] {
        assert_eq!(found(AssertionShape::JwtBearer, &json!({"iss": iss})), Err("issuer.malformed"));
    }
    assert_eq!(found(AssertionShape::JwtBearer, &json!({"sub": "x"})), Err("issuer.missing"));
}

#[test]
fn a_spiffe_issuer_is_found_by_the_trust_domain_of_the_subject() {
    let svid = json!({"sub": "spiffe://prod.example/ns/a"});
    assert_eq!(found(AssertionShape::JwtSpiffe, &svid), Ok("mesh".into()));
    assert_eq!(found(AssertionShape::Unsaid, &svid), Ok("mesh".into()));
    let with_own_iss = json!({"sub": "spiffe://prod.example/ns/a", "iss": "https://spire.example"});
    assert_eq!(found(AssertionShape::Unsaid, &with_own_iss), Ok("mesh".into()));
    let foreign = json!({"sub": "spiffe://other.example/ns/a"});
    assert_eq!(found(AssertionShape::JwtSpiffe, &foreign), Err("issuer.trust_domain_unknown"));
    assert_eq!(found(AssertionShape::Unsaid, &foreign), Err("issuer.trust_domain_unknown"));
    assert_eq!(found(AssertionShape::JwtSpiffe, &json!({"aud": "x"})), Err("issuer.missing"));
}

#[test]
fn only_a_spiffe_id_with_a_path_in_its_normal_form_names_a_trust_domain() {
    let longest = format!("spiffe://prod.example/{}", "a".repeat(2048 - "spiffe://prod.example/".len()));
    assert_eq!(found(AssertionShape::JwtSpiffe, &json!({"sub": longest})), Ok("mesh".into()));
    let too_long = format!("{longest}a");
    for sub in [
        too_long.as_str(),
        "spiffe://prod.example",
        "spiffe://prod.example/",
        "spiffe://Prod.example/a",
        "SPIFFE://prod.example/a",
        "http://prod.example/a",
        "spiffe:///a",
        "spiffe://prod.example:8080/a",
        "spiffe://u@prod.example/a",
        "spiffe://prod.example/a?q",
        "spiffe://prod.example/a#f",
        "spiffe://prod.example/%41",
        "spiffe://prod.example//a",
        "spiffe://prod.example/./a",
        "spiffe://prod.example/../a",
        "spiffe://prod.example/a/",
        "spiffe://prod.example/ä",
        "",
    ] {
        assert_eq!(found(AssertionShape::JwtSpiffe, &json!({"sub": sub})), Err("issuer.malformed"), "{sub}");
    }
}

#[test]
fn the_assertion_type_must_fit_the_kind_of_token() {
    let svid = json!({"sub": "spiffe://prod.example/ns/a"});
    assert_eq!(found(AssertionShape::JwtBearer, &svid), Err("issuer.shape"));
    let token = json!({"iss": "https://idp.example", "sub": "x"});
    assert_eq!(found(AssertionShape::JwtSpiffe, &token), Err("issuer.shape"));
}

#[test]
fn a_disabled_issuer_is_refused_with_its_own_cause() {
    assert_eq!(found(AssertionShape::JwtBearer, &json!({"iss": "https://old.example"})), Err("issuer.disabled"));
}

#[test]
fn an_identifier_that_two_issuers_claim_is_nobodys() {
    let same = |name| IssuerSettings { url: url("https://idp.example"), ..settings(name, IssuerKind::OIDC) };
    let issuers = issuers(&[same("a"), same("b")]);
    let named = assertion(AssertionShape::JwtBearer, &json!({"alg": "ES256"}), &json!({"iss": "https://idp.example"}));
    assert_eq!(issuers.trusted(&named).unwrap_err(), IssuerRefusal::Unknown);
}

#[test]
fn settings_override_every_preset_value() {
    let preset = issuers(&every_kind());
    let github = preset.by_name("github").unwrap();
    assert_eq!(github.algorithms(), [Algorithm::RS256]);
    assert_eq!((github.single_use(), github.max_lifetime().as_secs()), (SingleUse::Always, 3600));
    assert_eq!(github.audiences(), [Audience::parse("https://broker.example").unwrap()]);
    assert!(github.shared_by_tenants().is_some());
    let own = issuers(&[IssuerSettings {
        url: url("https://ghes.example/_services/token"),
        algorithms: Some(vec![Algorithm::ES256]),
        audiences: Some(vec![Audience::parse("api").unwrap()]),
        single_use: Some(false),
        max_lifetime: Some(Duration::from_secs(5)),
        leeway: Some(Duration::ZERO),
        stale_keys_for: Some(Duration::from_secs(7)),
        ..settings("ghes", IssuerKind::GITHUB_ACTIONS)
    }]);
    let ghes = own.by_name("ghes").unwrap();
    assert_eq!((ghes.algorithms(), ghes.single_use()), (&[Algorithm::ES256][..], SingleUse::Never));
    assert_eq!((ghes.max_lifetime().as_secs(), ghes.leeway(), ghes.stale_keys_for().as_secs()), (5, Duration::ZERO, 7));
    assert_eq!(ghes.audiences(), [Audience::parse("api").unwrap()]);
    assert!(ghes.shared_by_tenants().is_none());
    assert_eq!(
        ghes.key_location().unwrap().to_string(),
        "https://ghes.example/_services/token/.well-known/openid-configuration"
    );
}

#[test]
fn no_setting_gives_a_spiffe_issuer_another_algorithm() {
    let asked = Some(vec![Algorithm::EdDSA, Algorithm::ES256]);
    let issuers = issuers(&[IssuerSettings { algorithms: asked, ..settings("mesh", IssuerKind::SPIFFE) }]);
    assert_eq!(issuers.by_name("mesh").unwrap().algorithms(), [Algorithm::ES256]);
}

#[test]
fn an_azure_tenants_keys_are_asked_for_directly() {
    let issuers = issuers(&every_kind());
    let keys = issuers.by_name("azure").unwrap().key_location().unwrap().to_string();
    assert_eq!(keys, format!("https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys"));
}

#[test]
fn claims_have_the_types_their_issuer_gives_them() {
    let issuers = issuers(&every_kind());
    let schema = |name: &str| issuers.by_name(name).unwrap().schema().clone();
    let github = schema("github");
    assert_eq!(github.type_of("repository_id"), Some(ClaimType::String));
    assert_eq!(github.type_of("repo_property_team"), Some(ClaimType::String));
    for unknown in ["repo_property_", "repositry_id", "tid"] {
        assert_eq!(github.type_of(unknown), None, "{unknown}");
    }
    assert_eq!(schema("azure").type_of("roles"), Some(ClaimType::StringList));
    assert_eq!(schema("prod").type_of("kubernetes.io"), Some(ClaimType::Object));
    assert!(schema("partner").open && !schema("mesh").open);
}

#[test]
fn declared_claims_close_an_open_issuer_and_add_to_a_kinds() {
    let declared = [("runner_id".to_owned(), ClaimType::Number)];
    let with = |settings| IssuerSettings { claims: declared.clone().into(), ..settings };
    let issuers = issuers(&[with(settings("a", IssuerKind::OIDC)), with(settings("b", IssuerKind::GITHUB_ACTIONS))]);
    for name in ["a", "b"] {
        let schema = issuers.by_name(name).unwrap().schema();
        assert_eq!((schema.type_of("runner_id"), schema.open), (Some(ClaimType::Number), false));
    }
}

fn kind_rule(name: &str, claims: &Value) -> Result<(), &'static str> {
    let issuers = issuers(&every_kind());
    let issuer = issuers.by_name(name).unwrap();
    issuer.check_claims(claims.as_object().unwrap()).map_err(|refusal| refusal.cause())
}

#[test]
fn a_person_does_not_pass_as_an_azure_workload() {
    assert_eq!(kind_rule("azure", &json!({"tid": TENANT, "idtyp": "app"})), Ok(()));
    assert_eq!(kind_rule("azure", &json!({"tid": TENANT, "oid": "o", "sub": "o"})), Ok(()));
    for bad in [
        json!({"tid": TENANT}),
        json!({"tid": TENANT, "oid": "o", "sub": "pairwise"}),
        json!({"tid": TENANT, "oid": "o", "sub": "o", "scp": ""}),
        json!({"tid": TENANT, "scp": "user_impersonation"}),
        json!({"tid": TENANT, "idtyp": "user"}),
        json!({"tid": TENANT, "idtyp": null}),
        json!({"tid": "6f8d0000-0000-4000-8000-000000000002"}),
        json!({}),
    ] {
        assert_eq!(kind_rule("azure", &bad), Err("claims.kind_rule"), "{bad}");
    }
}

#[test]
fn only_a_bound_service_account_token_is_a_kubernetes_workloads() {
    assert_eq!(kind_rule("prod", &json!({"sub": "system:serviceaccount:payments:api"})), Ok(()));
    for bad in [
        json!({"sub": "system:serviceaccount:payments:api", "kubernetes.io/serviceaccount/namespace": "payments"}),
        json!({"sub": "system:serviceaccount:payments"}),
        json!({"sub": "system:serviceaccount:payments:"}),
        json!({"sub": "system:serviceaccount:a:b:c"}),
        json!({"sub": "system:node:worker-1"}),
        json!({}),
    ] {
        assert_eq!(kind_rule("prod", &bad), Err("claims.kind_rule"), "{bad}");
    }
}

#[test]
fn an_svid_of_another_trust_domain_or_bound_to_a_key_is_refused() {
    assert_eq!(kind_rule("mesh", &json!({"sub": "spiffe://prod.example/a"})), Ok(()));
    for bad in [
        json!({"sub": "spiffe://other.example/a"}),
        json!({"sub": "spiffe://prod.example/a", "cnf": {"jwk": {}}}),
        json!({"sub": "prod.example"}),
    ] {
        assert_eq!(kind_rule("mesh", &bad), Err("claims.kind_rule"), "{bad}");
    }
}

#[test]
fn an_svids_header_has_nothing_but_alg_kid_and_typ() {
    let issuers = issuers(&every_kind());
    let mesh = issuers.by_name("mesh").unwrap();
    let check = |header: Value| {
        mesh.check_header(&assertion(AssertionShape::JwtSpiffe, &header, &json!({}))).map_err(|refusal| refusal.cause())
    };
    for good in [
        json!({"alg": "ES256"}),
        json!({"alg": "ES256", "kid": "a", "typ": "JWT"}),
        json!({"alg": "ES256", "typ": "JOSE"}),
    ] {
        assert_eq!(check(good), Ok(()));
    }
    for bad in [
        json!({"alg": "ES256", "x5t": "a"}),
        json!({"alg": "ES256", "typ": "wit+jwt"}),
        json!({"alg": "ES256", "typ": "jwt"}),
    ] {
        assert_eq!(check(bad.clone()), Err("claims.kind_rule"), "{bad}");
    }
}
