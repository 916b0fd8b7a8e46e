//! What every kind's data keeps, whichever kinds there are.

use super::*;

fn object(text: &str) -> Map<String, Value> {
    crate::json::object(text.as_bytes()).unwrap()
}

/// Settings in which the fixture's own names identify the issuer.
fn checked(kind: IssuerKind, claims: &Map<String, Value>) -> Result<(), &'static str> {
    let url = claims.get("iss").and_then(Value::as_str).map(|iss| IssuerUrl::parse(iss).unwrap());
    let tenants: Vec<String> = claims.get("tid").and_then(Value::as_str).map(str::to_owned).into_iter().collect();
    let trust_domain = ::spiffe::TrustDomain::new("prod.acme.example").unwrap();
    let identity =
        Identity { url: url.as_ref(), tenants: &tenants, cloud: Cloud::Public, trust_domain: Some(&trust_domain) };
    (kind.check_claims)(&identity, claims)
}

fn fits(value: &Value, claim_type: ClaimType) -> bool {
    let is_list = value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    value.is_null()
        || match claim_type {
            ClaimType::String => value.is_string(),
            ClaimType::Number => value.is_number(),
            ClaimType::Boolean => value.is_boolean(),
            ClaimType::StringList => is_list,
            ClaimType::Object => value.is_object(),
            ClaimType::StringOrList => value.is_string() || is_list,
            ClaimType::Any => true,
        }
}

#[test]
fn every_kind_is_found_by_its_name_and_by_no_other() {
    for kind in IssuerKind::ALL {
        assert_eq!(IssuerKind::from_name(kind.name()), Some(*kind));
        assert_eq!(IssuerKind::ALL.iter().filter(|other| *other == kind).count(), 1, "{kind}");
        assert_eq!(IssuerKind::from_name(&kind.name().to_uppercase()), None);
    }
}

#[test]
fn every_fixture_has_the_declared_claims_with_their_types_and_passes_its_kinds_own_rules() {
    const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];
    for kind in IssuerKind::ALL.iter().copied() {
        let claims = object(kind.fixture.claims);
        for (name, value) in claims.iter().filter(|(name, _)| !REGISTERED.contains(&name.as_str())) {
            let declared =
                |key: &str| key == name || key.strip_suffix('*').is_some_and(|start| name.starts_with(start));
            let found = kind.claims.iter().find(|(key, _)| declared(key));
            assert!(kind.open || found.is_some_and(|(_, claim_type)| fits(value, *claim_type)), "{kind}: {name}");
        }
        assert_eq!(checked(kind, &claims), Ok(()), "{kind}");
        let header = object(kind.fixture.header);
        let names = header.keys().map(String::as_str).collect();
        let header = Header { names, token_type: header.get("typ").and_then(Value::as_str) };
        assert_eq!((kind.check_header)(&header), Ok(()), "{kind}");
    }
}

#[test]
fn every_member_that_is_declared_inside_a_claim_is_of_a_claim_that_is_an_object() {
    for kind in IssuerKind::ALL {
        for (pointer, _) in kind.claims.iter().filter(|(name, _)| name.starts_with('/')) {
            let top = pointer.split('/').nth(1).unwrap().replace("~1", "/").replace("~0", "~");
            assert!(kind.claims.contains(&(top.as_str(), ClaimType::Object)), "{kind}: {pointer}");
        }
    }
}

#[test]
fn every_fixture_is_signed_with_a_published_key_and_an_accepted_algorithm() {
    for kind in IssuerKind::ALL {
        let (header, set) = (object(kind.fixture.header), object(kind.fixture.keys));
        let key = set["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]);
        let named = header["alg"].as_str().and_then(Algorithm::from_name).unwrap();
        assert!(kind.algorithms.contains(&named), "{kind}");
        assert!(key.unwrap().get("alg").is_none_or(|alg| alg == &header["alg"]), "{kind}");
        assert!(object(kind.fixture.metadata)["jwks_uri"].is_string(), "{kind}");
    }
}

#[test]
fn the_fixtures_lifetime_is_within_its_kinds_longest() {
    for kind in IssuerKind::ALL {
        let claims = object(kind.fixture.claims);
        let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert!(Duration::from_secs(lifetime) <= kind.max_lifetime, "{kind}");
    }
}

#[test]
fn a_tenant_pin_names_claims_that_the_kind_has_and_that_are_immutable() {
    for kind in IssuerKind::ALL {
        let Some(pin) = &kind.tenant_pin else { continue };
        let has = |name: &str| name == "sub" || kind.claims.iter().any(|(claim, _)| *claim == name);
        assert!(pin.narrower.iter().all(|name| has(name)), "{kind}");
        for name in pin.alternatives.iter().copied().flatten() {
            assert!(has(name) && kind.immutable.contains(name), "{kind}: {name}");
        }
    }
}

#[test]
fn a_name_and_its_id_are_claims_of_the_kind() {
    for kind in IssuerKind::ALL {
        for (name, id) in kind.names {
            let has = |claim: &str| {
                let top = claim.strip_prefix('/').and_then(|pointer| pointer.split('/').next()).unwrap_or(claim);
                kind.open || top == "sub" || kind.claims.iter().any(|(known, _)| *known == top)
            };
            assert!(has(name) && has(id) && name != id, "{kind}: {name}, {id}");
            assert!(!kind.immutable.contains(name) || *name == "sub", "{kind}: {name} is an id");
        }
    }
}

#[test]
fn what_a_first_policy_narrows_by_is_a_claim_of_the_kind_and_of_no_single_run() {
    const OF_ONE_RUN: [&str; 6] = ["jti", "exp", "iat", "nbf", "run_id", "sha"];
    for kind in IssuerKind::ALL {
        for claim in kind.narrows.iter().map(|narrow| narrow.claim()) {
            let is_known = kind.open || claim == "sub" || kind.claims.iter().any(|(known, _)| *known == claim);
            assert!(is_known && !kind.immutable.contains(&claim) && !OF_ONE_RUN.contains(&claim), "{kind}: {claim}");
        }
    }
}

#[test]
fn a_tokens_kind_is_known_by_its_claims() {
    for kind in IssuerKind::ALL.iter().copied() {
        assert_eq!(likely(&object(kind.fixture.claims)), kind);
    }
    let moved = |kind: IssuerKind, iss: &str| {
        let mut claims = object(kind.fixture.claims);
        claims.insert("iss".to_owned(), iss.into());
        likely(&claims)
    };
    for own in [IssuerKind::GITHUB_ACTIONS, IssuerKind::GITLAB, IssuerKind::KUBERNETES, IssuerKind::AWS] {
        assert_eq!(moved(own, "https://own.acme.example"), own);
    }
    assert_eq!(
        moved(IssuerKind::AZURE, "https://sts.windows.net/6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94/"),
        IssuerKind::AZURE
    );
    let person = object(
        r#"{ "iss": "https://idp.example", "sub": "1", "email": "a@b.example", "email_verified": true, "azp": "x" }"#,
    );
    assert_eq!(likely(&person), IssuerKind::OIDC);
}

#[test]
fn what_the_lints_know_of_a_kind_is_true_of_its_fixture() {
    for kind in IssuerKind::ALL {
        let claims = object(kind.fixture.claims);
        let whole = Value::Object(claims.clone());
        let says = |claim: &str| if claim.starts_with('/') { whole.pointer(claim) } else { claims.get(claim) };
        let has = |claim: &str| {
            let top = claim.strip_prefix('/').and_then(|pointer| pointer.split('/').next()).unwrap_or(claim);
            let top = top.replace("~1", "/");
            top == "sub" || kind.claims.iter().any(|(known, _)| *known == top)
        };
        let lints = &kind.lints;
        for claim in lints.always {
            assert!(says(claim).is_some_and(|value| !value.is_null()), "{kind}: {claim} is not in the fixture");
        }
        for (claim, values) in lints.values {
            let value = claims.get(*claim).and_then(Value::as_str);
            assert!(value.is_none_or(|value| values.contains(&value)) && has(claim), "{kind}: {claim}");
        }
        let fixed = lints.definition.iter().chain(&lints.reference).flat_map(|fixed| fixed.claims);
        let events = lints.events.iter().map(|events| events.claim);
        for claim in fixed.copied().flatten().copied().chain(lints.runner).chain(events) {
            assert!(has(claim), "{kind}: {claim}");
        }
        let Some(workload) = &lints.workload else { continue };
        let names = workload.names.iter().map(|(claim, _)| claim).chain(workload.others);
        for claim in names.chain(workload.ids.iter().copied().flatten()) {
            assert!(has(claim), "{kind}: {claim}");
        }
    }
}

#[test]
fn a_fixture_says_what_its_kinds_issuer_can_say() {
    for kind in IssuerKind::ALL {
        let claims = object(kind.fixture.claims);
        let tenants: Vec<String> = claims.get("tid").and_then(Value::as_str).map(str::to_owned).into_iter().collect();
        let trust_domain = ::spiffe::TrustDomain::new("prod.acme.example").unwrap();
        let (cloud, trust_domain) = (Cloud::Public, Some(&trust_domain));
        let identity = Identity { url: None, tenants: &tenants, cloud, trust_domain };
        for (claim, value) in claims.iter().filter_map(|(claim, value)| Some((claim, value.as_str()?))) {
            assert_eq!((kind.lints.can_say)(&identity, claim, value), Ok(()), "{kind}: {claim}");
        }
    }
}

#[test]
fn the_documentation_has_every_kind_with_what_to_pin() {
    let row = |page: &'static str, kind: IssuerKind| {
        page.lines()
            .find(|line| line.starts_with(&format!("| `{kind}` |")))
            .unwrap_or_else(|| panic!("no row of {kind}"))
    };
    for kind in IssuerKind::ALL.iter().copied() {
        let settings = row(include_str!("../../docs/configuration.md"), kind);
        let is_required = matches!(kind.named_by, NamedBy::Url { default: None });
        assert_eq!(settings.starts_with(&format!("| `{kind}` | `url`")), is_required, "{settings}");
        let pins = row(include_str!("../../docs/policies.md"), kind);
        for claim in kind.immutable {
            assert!(pins.contains(&format!("`{claim}`")), "{claim} in {pins}");
        }
        assert!(include_str!("../../fixtures/README.md").contains(&format!("| `{kind}/` |")), "{kind}");
    }
}
