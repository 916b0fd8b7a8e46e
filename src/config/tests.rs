//! What a whole file says, and where its layers come from.

mod faults;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::kind::{Cloud, IssuerKind};
use crate::vocab::{Algorithm, Audience, ClaimType, IssuerUrl};

/// The least a configuration says.
const LEAST: &str = "issuer: https://broker.example.com\n";

/// A directory with a configuration file and the files that the examples name.
struct Directory(tempfile::TempDir);

impl Directory {
    fn with(text: &str) -> Directory {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("trust-bundles")).unwrap();
        for file in ["tls.crt", "tls.key", "admin-tokens", "trust-bundles/ca.pem", "trust-bundles/token"] {
            std::fs::write(directory.path().join(file), "").unwrap();
        }
        for file in ["trust-bundles/lab.json", "trust-bundles/ci.jwks.json"] {
            std::fs::write(directory.path().join(file), "{}").unwrap();
        }
        std::fs::write(directory.path().join("countersign.yaml"), text).unwrap();
        Directory(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self, environment: &[(&str, &str)]) -> Result<Config, Diagnostics> {
        let owned: Vec<_> = environment.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        load(&self.path("countersign.yaml"), &owned)
    }
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

fn issuer<'a>(config: &'a Config, name: &str) -> &'a IssuerSettings {
    config.issuers.iter().find(|issuer| issuer.name.as_str() == name).unwrap()
}

#[test]
fn only_our_issuer_identifier_has_no_default() {
    let directory = Directory::with(LEAST);
    let config = directory.load(&[]).unwrap();
    assert_eq!(config.issuer.as_str(), "https://broker.example.com");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8443");
    assert_eq!((config.tls, config.issuers.len()), (None, 0));
    assert_eq!(config.admin, AdminSettings { socket: directory.path("data/admin.sock"), listener: None });
    assert_eq!(config.data, directory.path("data"));
    assert_eq!(config.policies, directory.path("policies"));
    assert_eq!(config.trust_bundles, directory.path("trust-bundles"));
    assert_eq!(config.services, directory.path("services"));
    assert_eq!(config.lint, LintSettings { deny_warnings: false, strict: false });
    assert_eq!(config.reload, ReloadSettings { watch: true, every: Duration::from_secs(2) });
    let expected =
        TokenSettings { lifetime: minutes(15), max_lifetime: minutes(60), signing_algorithm: SigningAlgorithm::ES256 };
    assert_eq!(config.token, expected);
    assert_eq!(config.file, directory.path("countersign.yaml"));
}

const BROKER: &str = "\
issuer: https://broker.example.com/tenant
listen: 0.0.0.0:8443
tls: { cert: ./tls.crt, key: tls.key }
admin: { socket: /run/admin.sock, listen: '127.0.0.1:8081', token_file: admin-tokens }
data: /var/lib/countersign
policies: rules
trust_bundles: ./trust-bundles
services: ./behind
reload: { watch: false, every: 30s }
lint: { deny_warnings: true, strict: true }
token: { lifetime: 10m, max_lifetime: 2h, signing_algorithm: EdDSA }
";

#[test]
fn every_field_of_the_broker_is_read() {
    let directory = Directory::with(BROKER);
    let config = directory.load(&[]).unwrap();
    assert_eq!(config.issuer.as_str(), "https://broker.example.com/tenant");
    assert_eq!(config.listen.to_string(), "0.0.0.0:8443");
    let client_certificates = ClientCertificates::None;
    let (cert, key) = (directory.path("tls.crt"), directory.path("tls.key"));
    assert_eq!(config.tls, Some(TlsFiles { cert, key, client_certificates }));
    let listener =
        AdminListener { listen: "127.0.0.1:8081".parse().unwrap(), token_file: directory.path("admin-tokens") };
    assert_eq!(config.admin, AdminSettings { socket: "/run/admin.sock".into(), listener: Some(listener) });
    assert_eq!(config.data, Path::new("/var/lib/countersign"));
    assert_eq!((config.policies, config.services), (directory.path("rules"), directory.path("behind")));
    assert_eq!(config.lint, LintSettings { deny_warnings: true, strict: true });
    assert_eq!(config.reload, ReloadSettings { watch: false, every: Duration::from_secs(30) });
    let expected =
        TokenSettings { lifetime: minutes(10), max_lifetime: minutes(120), signing_algorithm: SigningAlgorithm::EdDSA };
    assert_eq!(config.token, expected);
}

const FULL_ISSUER: &str = "\
issuer: https://broker.example.com
explain_to_caller: [full]
issuers:
  full:
    kind: oidc
    url: http://127.0.0.1:9/idp
    audiences: [api://one, two]
    algorithms: [RS256, EdDSA]
    keys: { url: 'http://localhost:9/jwks?p=1', ca_file: ca.pem, ca_only: true }
    bearer_token_file: token
    single_use: false
    max_lifetime: 1d
    leeway: 30s
    allow_additional_audiences: true
    allow_private_network: true
    allow_missing_kid: true
    stale_keys_for: 0s
    claims: { groups: string-list, level: number }
    audit_exclude: [email, phone]
    danger_allow_http: true
    mode: shadow
    disabled: true
";

#[test]
fn every_field_of_an_issuer_is_read() {
    let directory = Directory::with(FULL_ISSUER);
    let expected = IssuerSettings {
        name: "full".parse().unwrap(),
        kind: IssuerKind::OIDC,
        url: Some(IssuerUrl::parse("http://127.0.0.1:9/idp").unwrap()),
        tenants: Vec::new(),
        cloud: Cloud::Public,
        trust_domain: None,
        audiences: Some(vec![Audience::parse("api://one").unwrap(), Audience::parse("two").unwrap()]),
        algorithms: Some(vec![Algorithm::RS256, Algorithm::EdDSA]),
        keys: KeySource::Url("http://localhost:9/jwks?p=1".parse().unwrap()),
        ca_file: Some(directory.path("trust-bundles/ca.pem")),
        ca_only: true,
        bearer_token_file: Some(directory.path("trust-bundles/token")),
        single_use: Some(false),
        max_lifetime: Some(minutes(24 * 60)),
        leeway: Some(Duration::from_secs(30)),
        allow_additional_audiences: true,
        allow_private_network: true,
        allow_missing_kid: true,
        stale_keys_for: Some(Duration::ZERO),
        claims: [("groups".to_owned(), ClaimType::StringList), ("level".to_owned(), ClaimType::Number)].into(),
        audit_exclude: ["email".to_owned(), "phone".to_owned()].into(),
        danger_allow_http: true,
        review: None,
        shadow: true,
        disabled: true,
        explain_to_caller: true,
    };
    assert_eq!(directory.load(&[]).unwrap().issuers, vec![expected]);
}

const ISSUERS: &str = "\
issuer: https://broker.example.com
issuers:
  github: { kind: github-actions }
  acme-ghes: { kind: github-actions, url: https://ghes.acme.example/_services/token }
  azure: { kind: azure, tenant: 6F8DABCD-0000-1111-2222-333344445555, audiences: api://countersign }
  prod: { kind: kubernetes, url: https://oidc.eks.example/id/ABC, keys: { discovery: true } }
  edge: { kind: kubernetes, url: https://kubernetes.default.svc, keys: { discovery: https://10.1.0.1:6443 } }
  mesh: { kind: spiffe, trust_domain: prod.acme.example, bundle: { url: https://spire/bundle, profile: https_web } }
  lab: { kind: spiffe, trust_domain: lab.acme.example, bundle: { file: lab.json } }
  ci.example: { kind: oidc, url: https://idp.partner.example, keys: { file: ci.jwks.json } }
";

#[test]
fn each_kind_is_read_by_its_own_rules_in_the_files_order() {
    let directory = Directory::with(ISSUERS);
    let config = directory.load(&[]).unwrap();
    let names: Vec<&str> = config.issuers.iter().map(|issuer| issuer.name.as_str()).collect();
    assert_eq!(names, ["github", "acme-ghes", "azure", "prod", "edge", "mesh", "lab", "ci.example"]);
    assert_eq!((&issuer(&config, "github").url, issuer(&config, "github").kind), (&None, IssuerKind::GITHUB_ACTIONS));
    let azure = issuer(&config, "azure");
    assert_eq!(azure.tenants, ["6f8dabcd-0000-1111-2222-333344445555"]);
    assert_eq!(azure.audiences.as_deref(), Some([Audience::parse("api://countersign").unwrap()].as_slice()));
    assert_eq!(issuer(&config, "prod").keys, KeySource::Discovery(None));
    let elsewhere = IssuerUrl::parse("https://10.1.0.1:6443").unwrap();
    assert_eq!(issuer(&config, "edge").keys, KeySource::Discovery(Some(elsewhere)));
    let mesh = issuer(&config, "mesh");
    assert_eq!(mesh.trust_domain.as_ref().unwrap().to_string(), "prod.acme.example");
    assert_eq!(
        mesh.keys,
        KeySource::BundleEndpoint { url: "https://spire/bundle".parse().unwrap(), profile: BundleProfile::HttpsWeb }
    );
    assert_eq!(issuer(&config, "lab").keys, KeySource::File(directory.path("trust-bundles/lab.json")));
    assert_eq!(issuer(&config, "ci.example").keys, KeySource::File(directory.path("trust-bundles/ci.jwks.json")));
}

#[test]
fn a_variable_overrides_the_file_whatever_the_case_and_dashes_of_its_keys() {
    let directory = Directory::with(ISSUERS);
    let config = directory
        .load(&[
            ("COUNTERSIGN__LISTEN", "0.0.0.0:9000"),
            ("COUNTERSIGN__DANGER_PLAIN_HTTP", "true"),
            ("COUNTERSIGN__TOKEN__LIFETIME", "5m"),
            ("COUNTERSIGN__ISSUERS__ACME_GHES__URL", "https://other.example"),
            ("COUNTERSIGN__ISSUERS__acme_ghes__AUDIENCES", "a, b"),
            ("COUNTERSIGN__ISSUERS__CI_EXAMPLE__SINGLE_USE", "true"),
            ("COUNTERSIGN__ISSUERS__NEW_ONE__KIND", "oidc"),
            ("COUNTERSIGN__ISSUERS__NEW_ONE__URL", "https://new.example"),
        ])
        .unwrap();
    assert_eq!((config.listen.port(), config.token.lifetime), (9000, minutes(5)));
    let ghes = issuer(&config, "acme-ghes");
    assert_eq!(ghes.url.as_ref().unwrap().as_str(), "https://other.example");
    assert_eq!(ghes.audiences.as_ref().unwrap().len(), 2);
    assert_eq!(issuer(&config, "ci.example").single_use, Some(true));
    assert_eq!(issuer(&config, "new-one").kind, IssuerKind::OIDC);
}

#[test]
fn a_variable_can_give_what_the_file_leaves_out_and_other_variables_are_not_settings() {
    let directory = Directory::with("# nothing here\n");
    let environment = [
        ("COUNTERSIGN__ISSUER", "https://broker.example.com"),
        ("COUNTERSIGN_CONFIG", "/etc/countersign.yaml"),
        ("COUNTERSIGN_VERSION", "3"),
        ("PATH", "/bin"),
    ];
    assert_eq!(directory.load(&environment).unwrap().issuer.as_str(), "https://broker.example.com");
}

#[test]
fn a_field_set_to_nothing_keeps_its_default_and_nothing_else_is_lost() {
    let config = Directory::with("issuer: https://b.example\nlisten:\ntoken: ~\nissuers:\n").load(&[]).unwrap();
    assert_eq!((config.listen.port(), config.token.lifetime), (8443, minutes(15)));
}

#[test]
fn the_default_lifetime_gives_way_to_a_shorter_maximum() {
    let config = Directory::with(&format!("{LEAST}token: {{ max_lifetime: 5m }}\n")).load(&[]).unwrap();
    assert_eq!((config.token.lifetime, config.token.max_lifetime), (minutes(5), minutes(5)));
}

#[test]
fn both_token_versions_of_one_tenant_are_one_issuer_and_two_tenants_are_two() {
    let azure = |one: u8| format!("{{ kind: azure, tenant: 0000000{one}-0000-1111-2222-333344445555 }}");
    let text = format!("{LEAST}issuers:\n  a: {}\n  b: {}\n", azure(1), azure(2));
    assert_eq!(Directory::with(&text).load(&[]).unwrap().issuers.len(), 2);
}

#[test]
fn a_proxy_is_the_files_and_the_environments_only_when_the_file_says_so() {
    let proxy = |text: &str, environment: &[(&str, &str)]| {
        Directory::with(&format!("{LEAST}{text}\n")).load(environment).unwrap().proxy
    };
    let environment = [("HTTPS_PROXY", "proxy.example:3128"), ("NO_PROXY", "a.example"), ("https_proxy", "http://b:1")];
    assert_eq!(proxy("", &environment), None);
    assert_eq!(proxy("proxy: system", &[("HTTPS_PROXY", " ")]), None);
    let system = proxy("proxy: system", &environment).unwrap();
    assert_eq!((system.to_string().as_str(), system.exceptions()), ("http://proxy.example:3128", "a.example"));
    let written = proxy("proxy: http://user:secret@proxy.example", &environment).unwrap();
    assert_eq!((written.secret_url().password(), written.exceptions()), (Some("secret"), ""));
    assert!(!format!("{written} {written:?}").contains("secret"));
}

#[test]
fn a_review_asks_the_server_that_has_the_keys_or_the_one_it_names() {
    let review = |fields: &str| {
        let text = format!("{LEAST}issuers:\n  a: {{ kind: kubernetes, url: https://a.example, {fields} }}\n");
        let directory = Directory::with(&text);
        let found = issuer(&directory.load(&[]).unwrap(), "a").review.clone();
        found.map(|found| (found.url.to_string(), found.ca_file.is_some(), found.bearer_token_file.ends_with("token")))
    };
    let keys = "keys: { url: https://10.1.0.1:6443/openid/v1/jwks, bearer_token_file: token, ca_file: ca.pem }";
    assert_eq!(review(&format!("{keys}, review: true")), Some(("https://10.1.0.1:6443/".to_owned(), true, true)));
    let named = "review: { url: https://rancher.example/k8s/clusters/c-1, bearer_token_file: token }";
    assert_eq!(review(named), Some(("https://rancher.example/k8s/clusters/c-1".to_owned(), false, true)));
    assert_eq!((review(&format!("{keys}, review: false")), review(keys)), (None, None));
}
