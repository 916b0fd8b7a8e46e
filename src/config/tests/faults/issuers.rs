//! The rules of `issuers:`.

use super::*;

#[test]
fn an_issuer_has_a_name_and_a_known_kind() {
    assert_eq!(after_issuer("issuers: [a]"), ["2:10: type"]);
    assert_eq!(after_issuer("issuers:\n  a:"), ["3:4: type"]);
    assert_eq!(after_issuer("issuers:\n  \"a b\": { kind: azure, leeway: 1 }").first().unwrap(), "3:3: value");
    assert_eq!(in_issuer("url: https://a.example"), ["3:6: missing-field"]);
    assert_eq!(in_issuer("kind: gitea"), ["3:14: value"]);
    assert_eq!(in_issuer("kind: github-actions, audience: x"), ["3:30: unknown-field"]);
}

#[test]
fn each_kind_needs_its_own_fields_and_refuses_the_others() {
    assert_eq!(in_issuer("kind: oidc"), ["3:6: missing-field"]);
    assert_eq!(in_issuer("kind: kubernetes"), ["3:6: missing-field"]);
    assert_eq!(in_issuer("kind: azure"), ["3:6: missing-field"]);
    assert_eq!(in_issuer("kind: spiffe, bundle: { file: lab.json }"), ["3:6: missing-field"]);
    assert_eq!(in_issuer("kind: spiffe, trust_domain: a.example"), ["3:6: missing-field"]);
    assert_eq!(in_issuer("kind: github-actions, tenant: x"), ["3:30: wrong-kind"]);
    assert_eq!(in_issuer("kind: github-actions, mode: Shadow"), ["3:36: value"]);
    assert!(
        Directory::with(&format!("{LEAST}issuers: {{ a: {{ kind: github-actions, mode: enforce }} }}"))
            .load(&[])
            .is_ok()
    );
    assert_eq!(in_issuer("kind: github-actions, trust_domain: x"), ["3:30: wrong-kind"]);
    assert_eq!(in_issuer("kind: github-actions, bundle: { file: lab.json }"), ["3:30: wrong-kind"]);
    let spiffe = "kind: spiffe, trust_domain: a.example";
    assert_eq!(in_issuer(&format!("{spiffe}, bundle: {{ file: lab.json }}, url: https://x")), ["3:75: wrong-kind"]);
    assert_eq!(in_issuer(&format!("{spiffe}, keys: {{ discovery: true }}")), ["3:55: wrong-kind"]);
}

#[test]
fn github_is_named_by_one_of_the_forms_that_its_tokens_have() {
    for right in [
        "https://token.actions.githubusercontent.com",
        "https://token.actions.githubusercontent.com/acme-inc",
        "https://token.actions.acme.ghe.com",
        "https://token.actions.acme.ghe.com/acme",
        "https://ghes.acme.example/_services/token",
        "https://notgithub.com",
    ] {
        let text = format!("{LEAST}issuers: {{ a: {{ kind: github-actions, url: {right} }} }}");
        assert!(Directory::with(&text).load(&[]).is_ok(), "{right}");
    }
    for wrong in [
        "https://token.actions.githubusercontent.com/",
        "https://token.actions.githubusercontent.com/acme/",
        "https://token.actions.githubusercontent.com/acme/inc",
        "https://token.actions.acme.ghe.com/rival",
        "https://token.actions.acme.ghe.com/",
        "https://acme.ghe.com",
        "https://github.com/acme",
        "https://api.github.com",
    ] {
        assert_eq!(in_issuer(&format!("kind: github-actions, url: {wrong}")), ["3:35: value"], "{wrong}");
    }
}

#[test]
fn an_organizations_own_issuer_is_named_whole() {
    for (kind, right, wrong) in [
        ("circleci", "https://oidc.circleci.com/org/b9291e0d-a11e-41fb-8517-c545388b5953", "https://oidc.circleci.com"),
        ("circleci", "https://circleci.acme.example", "https://oidc.circleci.com/org/"),
        ("fly", "https://oidc.fly.io/acme", "https://oidc.fly.io"),
        ("aws", "https://a1b2.tokens.sts.global.api.aws", "sts.amazonaws.com"),
    ] {
        assert_eq!(in_issuer(&format!("kind: {kind}")), ["3:6: missing-field"]);
        assert_eq!(in_issuer(&format!("kind: {kind}, url: {wrong}")), [format!("3:{}: value", 21 + kind.len())]);
        assert!(
            Directory::with(&format!("{LEAST}issuers: {{ a: {{ kind: {kind}, url: {right} }} }}")).load(&[]).is_ok()
        );
    }
    for kind in ["gitlab", "buildkite", "google", "terraform-cloud"] {
        assert!(Directory::with(&format!("{LEAST}issuers: {{ a: {{ kind: {kind} }} }}")).load(&[]).is_ok());
    }
}

#[test]
fn in_cluster_is_kubernetes_alone_and_says_everything_about_fetching() {
    assert_eq!(in_issuer("kind: github-actions, in_cluster: true"), ["3:30: wrong-kind"]);
    assert_eq!(in_issuer("kind: kubernetes, in_cluster: false"), ["3:6: missing-field"], "then `url` is needed");
    let found = in_issuer("kind: kubernetes, in_cluster: true, keys: { url: https://a.example }, ca_file: ca.pem");
    assert_eq!(found.iter().filter(|fault| fault.ends_with("conflict")).count(), 2, "{found:?}");
}

#[test]
fn a_review_names_its_api_server_and_the_broker_s_own_token() {
    let cluster = |fields: &str| in_issuer(&format!("kind: kubernetes, url: https://a.example, {fields}"));
    assert!(in_issuer("kind: github-actions, review: true").contains(&"3:30: wrong-kind".to_owned()));
    assert_eq!(cluster("review: true"), ["3:58: missing-field"], "a public issuer reviews nothing");
    assert_eq!(cluster("review: x"), ["3:58: type"]);
    assert_eq!(cluster("review: { url: https://b.example }"), ["3:58: missing-field"]);
    assert_eq!(cluster("review: { url: https://b.example, bearer_token_file: none }"), ["3:103: missing-file"]);
    assert_eq!(cluster("review: { url: http://127.0.0.1/, bearer_token_file: token }"), ["3:65: plain-http"]);
    assert_eq!(cluster("review: { url: https://b.example/?a=b, bearer_token_file: token }"), ["3:65: value"]);
}

#[test]
fn the_issuer_of_legacy_secret_tokens_cannot_be_configured() {
    let faults =
        faults(&format!("{LEAST}issuers:\n  a: {{ kind: kubernetes, url: kubernetes/serviceaccount }}\n"), &[]);
    assert_eq!(places(&faults), ["3:31: value"]);
    assert!(faults.to_string().contains("never expire"), "{faults}");
}

#[test]
fn azure_takes_one_tenant_by_its_guid() {
    for wrong in ["common", "organizations", "'{tenantid}'", "acme.onmicrosoft.com", "6f8dabcd000011112222333344445555"]
    {
        assert_eq!(in_issuer(&format!("kind: azure, tenant: {wrong}")), ["3:29: value"], "{wrong}");
    }
    for wrong in ["common/v2.0", "{tenantid}/v2.0"] {
        let fields = format!("kind: azure, url: 'https://login.microsoftonline.com/{wrong}'");
        assert_eq!(in_issuer(&fields), ["3:26: value"], "{wrong}");
    }
}

#[test]
fn azure_takes_several_tenants_only_by_a_list_of_them() {
    let (one, other) = ("00000001-0000-1111-2222-333344445555", "00000002-0000-1111-2222-333344445555");
    let azure = |fields: &str| in_issuer(&format!("kind: azure, {fields}"));
    assert_eq!(azure("tenants: []"), ["3:30: value"]);
    for wrong in ["common", "'{tenantid}'", "'*'", "acme.onmicrosoft.com", one] {
        assert_eq!(azure(&format!("tenants: [{one}, {wrong}]")), ["3:69: value"], "{wrong}");
    }
    assert_eq!(azure(&format!("tenant: {one}, tenants: [{other}]")), ["3:67: conflict"]);
    assert_eq!(azure(&format!("tenant: {one}, cloud: germany")), ["3:74: value"]);
    assert_eq!(azure("url: https://login.microsoftonline.us/x/v2.0, cloud: us-government"), ["3:67: conflict"]);
    for other_kind in ["tenants: [x]", "cloud: china"] {
        assert_eq!(in_issuer(&format!("kind: github-actions, {other_kind}")), ["3:30: wrong-kind"]);
    }
    let read = |fields: &str| {
        let text = format!("{LEAST}issuers: {{ a: {{ kind: azure, {fields} }} }}");
        let [issuer] = <[_; 1]>::try_from(Directory::with(&text).load(&[]).unwrap().issuers).unwrap();
        (issuer.tenants, issuer.cloud)
    };
    let both = vec![one.to_owned(), other.to_owned()];
    assert_eq!(read(&format!("tenants: [{one}, {other}]")), (both.clone(), Cloud::Public));
    assert_eq!(read(&format!("tenants: [{one}, {other}], cloud: china")), (both, Cloud::China));
    assert_eq!(
        after_issuer(&format!(
            "issuers:\n  a: {{ kind: azure, tenants: [{one}, {other}] }}\n  b: {{ kind: azure, tenant: {other} }}"
        )),
        ["4:3: same-issuer"]
    );
}

#[test]
fn a_trust_domain_is_written_in_lower_case_and_alone() {
    for wrong in ["Prod.example", "spiffe://prod.example", "'a b'", "''"] {
        let fields = format!("kind: spiffe, bundle: {{ file: lab.json }}, trust_domain: {wrong}");
        assert_eq!(in_issuer(&fields), ["3:64: value"], "{wrong}");
    }
}

#[test]
fn keys_come_from_exactly_one_place() {
    let oidc = |keys: &str| in_issuer(&format!("kind: oidc, url: https://a.example, keys: {{ {keys} }}"));
    assert_eq!(oidc(""), ["3:50: missing-field"]);
    assert_eq!(oidc("url: https://a.example, file: ci.jwks.json"), ["3:76: conflict"]);
    assert_eq!(oidc("discovery: false"), ["3:63: value"]);
    assert_eq!(oidc("file: none.json"), ["3:58: missing-file"]);
    assert_eq!(oidc("url: https://u:p@a.example"), ["3:57: value"]);
    assert_eq!(oidc("url: ftp://a.example"), ["3:57: value"]);
    assert_eq!(oidc("url: http://a.example"), ["3:57: value"]);
    assert_eq!(oidc("url: http://127.0.0.1/"), ["3:57: plain-http"]);
    assert_eq!(oidc("discovery: http://127.0.0.1/"), ["3:63: plain-http"]);
    assert_eq!(
        oidc("discovery: true, ca_file: none, bearer_token_file: none"),
        ["3:78: missing-file", "3:103: missing-file"]
    );
    let twice = "kind: oidc, url: https://a.example, ca_file: ca.pem, keys: { discovery: true, ca_file: ca.pem }";
    assert_eq!(in_issuer(twice), ["3:86: conflict"]);
}

#[test]
fn a_bundle_is_a_file_or_a_web_endpoint() {
    let spiffe = |bundle: &str| in_issuer(&format!("kind: spiffe, trust_domain: a.example, bundle: {{ {bundle} }}"));
    assert_eq!(spiffe("profile: https_web"), ["3:55: missing-field"]);
    assert_eq!(spiffe("url: https://a.example, file: lab.json"), ["3:81: conflict"]);
    assert_eq!(spiffe("file: lab.json, profile: https_web"), ["3:73: conflict"]);
    assert_eq!(spiffe("url: https://u:p@a.example/, profile: https_web"), ["3:62: value"]);
    assert_eq!(spiffe("url: http://127.0.0.1/, profile: https_web"), ["3:62: plain-http"]);
    assert_eq!(spiffe("url: https://a.example"), ["3:55: missing-field"], "no profile is taken for granted");
    assert_eq!(spiffe("url: https://a.example, profile: x"), ["3:90: value"]);
    assert_eq!(spiffe("file: lab.json, bootstrap_file: lab.json"), ["3:73: conflict"]);
    let both = "kind: spiffe, trust_domain: a.example, bundle: { file: lab.json }, keys: { file: lab.json }";
    assert_eq!(in_issuer(both), ["3:75: conflict"]);
}

#[test]
fn an_endpoint_with_an_svid_is_named_by_its_id_in_the_issuers_own_domain() {
    let start = "kind: spiffe, trust_domain: a.example, bundle: { url: https://a.example, profile: https_spiffe";
    let spiffe = |more: &str| in_issuer(&format!("{start}{more} }}"));
    let id = ", endpoint_spiffe_id: spiffe://a.example/spire/server";
    let right = format!("{LEAST}issuers: {{ a: {{ {start}{id}, bootstrap_file: lab.json }} }} }}");
    assert!(Directory::with(&right).load(&[]).is_ok());
    assert_eq!(spiffe(", bootstrap_file: lab.json"), ["3:55: missing-field"]);
    assert_eq!(spiffe(id), ["3:55: missing-field"]);
    assert_eq!(spiffe(&format!("{id}, bootstrap_file: none.json")), ["3:173: missing-file"]);
    for bad in ["spiffe://a.example", "spiffe://A.example/x", "https://a.example/x", "a.example"] {
        let fields = format!(", bootstrap_file: lab.json, endpoint_spiffe_id: {bad}");
        assert_eq!(spiffe(&fields), ["3:150: value"], "{bad}");
    }
    let other = ", bootstrap_file: lab.json, endpoint_spiffe_id: spiffe://b.example/spire/server";
    assert_eq!(spiffe(other), ["3:150: unsupported"]);
    let no_file = ", bootstrap_file: lab.json";
    assert_eq!(in_issuer(&format!("ca_file: ca.pem, {start}{id}{no_file} }}")), ["3:8: conflict"]);
    let plain = format!("danger_allow_http: true, {start}{id}{no_file} }}").replace("https://a", "http://127.0.0.1/a");
    assert_eq!(in_issuer(&plain), ["3:87: conflict"]);
    let web = "kind: spiffe, trust_domain: a.example, bundle: { url: https://a.example, profile: https_web";
    assert_eq!(in_issuer(&format!("{web}{no_file} }}")), ["3:101: conflict"]);
}

#[test]
fn plain_http_needs_loopback_and_the_issuers_word() {
    assert_eq!(in_issuer("kind: oidc, url: http://127.0.0.1:1"), ["3:25: plain-http"]);
    assert_eq!(in_issuer("kind: oidc, url: http://a.example, danger_allow_http: true"), ["3:25: value"]);
    let right = format!("{LEAST}issuers: {{ a: {{ kind: oidc, url: http://127.0.0.1:1, danger_allow_http: true }} }}");
    assert!(Directory::with(&right).load(&[]).is_ok());
}

#[test]
fn algorithms_are_signatures_that_the_kind_uses() {
    let wrong =
        |name: &str| faults(&format!("{LEAST}issuers:\n  a: {{ kind: github-actions, algorithms: [{name}] }}\n"), &[]);
    for (name, reason) in
        [("none", "no signature"), ("HS256", "shared secret"), ("rs256", "one or several of RS256, RS384")]
    {
        let faults = wrong(name);
        assert_eq!(places(&faults), ["3:43: value"], "{name}");
        assert!(faults.to_string().contains(reason), "{faults}");
    }
    assert_eq!(in_issuer("kind: github-actions, algorithms: []"), ["3:42: value"]);
    let spiffe = "kind: spiffe, trust_domain: a.example, bundle: { file: lab.json }, algorithms: [ES256, EdDSA]";
    assert_eq!(in_issuer(spiffe), ["3:95: value"]);
}

#[test]
fn times_audiences_and_claims_have_limits() {
    assert_eq!(in_issuer("kind: github-actions, leeway: 301s"), ["3:38: value"]);
    assert_eq!(in_issuer("kind: github-actions, max_lifetime: 0s"), ["3:44: value"]);
    assert_eq!(in_issuer("kind: github-actions, stale_keys_for: 5"), ["3:46: type"]);
    assert_eq!(in_issuer("kind: github-actions, audiences: []"), ["3:41: value"]);
    assert_eq!(in_issuer("kind: github-actions, audiences: ['']"), ["3:42: value"]);
    assert_eq!(in_issuer("kind: github-actions, claims: { a: text, b: 1, c: number }"), ["3:43: value", "3:52: value"]);
    assert_eq!(in_issuer("kind: github-actions, claims: [a]"), ["3:38: type"]);
}

#[test]
fn a_misspelt_claim_is_not_silently_kept_in_the_audit_trail() {
    assert_eq!(in_issuer("kind: google, audit_exclude: [email, emails]"), ["3:45: value"]);
    let text = format!("{LEAST}issuers:\n  a: {{ kind: google, audit_exclude: emails }}\n");
    assert!(Directory::with(&text).load(&[]).unwrap_err().to_string().contains("did you mean `email`?"));
    for good in [
        "kind: github-actions, audit_exclude: [actor, repo_property_tier, jti]",
        "kind: github-actions, claims: { own: string }, audit_exclude: own",
        "kind: oidc, url: https://a.example, audit_exclude: [anything]",
    ] {
        let text = format!("{LEAST}issuers:\n  a: {{ {good} }}\n");
        assert!(Directory::with(&text).load(&[]).is_ok(), "{good}");
    }
}

#[test]
fn two_enabled_issuers_of_the_same_tokens_are_refused() {
    let tenant = "00000001-0000-1111-2222-333344445555";
    let pairs = [
        ("kind: github-actions".to_owned(), "kind: oidc, url: https://token.actions.githubusercontent.com".to_owned()),
        ("kind: oidc, url: https://a.example".to_owned(), "kind: kubernetes, url: https://a.example".to_owned()),
        (
            format!("kind: azure, tenant: {tenant}"),
            format!("kind: azure, tenant: {tenant}, url: https://sts.windows.net/{tenant}/"),
        ),
        (
            "kind: spiffe, trust_domain: a.example, bundle: { file: lab.json }".to_owned(),
            "kind: spiffe, trust_domain: a.example, keys: { file: lab.json }".to_owned(),
        ),
    ];
    for (one, other) in pairs {
        assert_eq!(after_issuer(&format!("issuers:\n  a: {{ {one} }}\n  b: {{ {other} }}")), ["4:3: same-issuer"]);
        let text = format!("{LEAST}issuers:\n  a: {{ {one} }}\n  b: {{ {other}, disabled: true }}\n");
        assert!(Directory::with(&text).load(&[]).is_ok(), "{text}");
    }
    assert_eq!(in_issuer("kind: oidc, url: https://broker.example.com"), ["3:3: same-issuer"]);
}

#[test]
fn two_clusters_may_share_an_iss_when_each_has_its_own_keys() {
    let pair = |one: &str, other: &str| {
        let cluster = "kind: kubernetes, url: https://kubernetes.default.svc.cluster.local";
        let text = format!("{LEAST}issuers:\n  a: {{ {cluster}{one} }}\n  b: {{ {cluster}{other} }}\n");
        Directory::with(&text).load(&[]).map_or_else(|faults| places(&faults), |_| Vec::new())
    };
    let (first, second) = (", keys: { url: https://10.1.0.1/jwks }", ", keys: { url: https://10.2.0.1/jwks }");
    assert_eq!(pair(first, second), [""; 0]);
    assert_eq!(pair(first, ", keys: { file: ci.jwks.json }"), [""; 0]);
    assert_eq!(pair(first, ""), [""; 0]);
    assert_eq!(pair(first, first), ["4:3: same-issuer"], "one cluster twice");
    assert_eq!(pair("", ""), ["4:3: same-issuer"]);
    assert_eq!(pair(first, &format!("{first}, ca_file: ca.pem")), ["4:3: same-issuer"], "a CA is no other server");
    assert_eq!(pair(first, &format!("{first}, disabled: true")), [""; 0]);
}
