//! Policies as an operator writes them: loaded from files, decided over claims.

mod deciding;
mod lint_cases;
mod lints;
mod loading;
mod overlap;
mod shipped;

use std::path::Path;

use serde_json::{Map, Value, json};

use super::*;
use crate::config::IssuerSettings;
use crate::diagnostic::{Diagnostics, Severity};
use crate::issuer::Issuers;
use crate::issuer::tests::{issuers, settings};
use crate::kind::IssuerKind;
use crate::vocab::{ClaimType, IssuerUrl};

pub(super) const NOW: UnixTime = UnixTime(1_790_000_100);

/// One of each kind, named as the shipped policies do, `acme-ghes`, `partner` (open), `declared` (closed) and `old` (disabled).
pub(super) fn configured() -> Issuers {
    let url = |text: &str| Some(IssuerUrl::parse(text).unwrap());
    issuers(&[
        settings("github", IssuerKind::GITHUB_ACTIONS),
        IssuerSettings {
            url: url("https://ghes.example/_services/token"),
            ..settings("acme-ghes", IssuerKind::GITHUB_ACTIONS)
        },
        IssuerSettings {
            tenants: vec!["6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94".into()],
            ..settings("azure", IssuerKind::AZURE)
        },
        IssuerSettings { url: url("https://cluster.example"), ..settings("kubernetes", IssuerKind::KUBERNETES) },
        IssuerSettings {
            trust_domain: Some(::spiffe::TrustDomain::new("prod.acme.example").unwrap()),
            ..settings("spiffe", IssuerKind::SPIFFE)
        },
        settings("gitlab", IssuerKind::GITLAB),
        settings("buildkite", IssuerKind::BUILDKITE),
        settings("google", IssuerKind::GOOGLE),
        settings("terraform-cloud", IssuerKind::TERRAFORM_CLOUD),
        IssuerSettings { url: fixture_url(IssuerKind::CIRCLECI), ..settings("circleci", IssuerKind::CIRCLECI) },
        IssuerSettings { url: fixture_url(IssuerKind::AWS), ..settings("aws", IssuerKind::AWS) },
        IssuerSettings { url: fixture_url(IssuerKind::FLY), ..settings("fly", IssuerKind::FLY) },
        IssuerSettings { url: url("https://idp.partner.example"), ..settings("partner", IssuerKind::OIDC) },
        IssuerSettings {
            url: url("https://declared.example"),
            claims: [("level".to_owned(), ClaimType::Number), ("vip".to_owned(), ClaimType::Boolean)].into(),
            ..settings("declared", IssuerKind::OIDC)
        },
        IssuerSettings { url: url("https://old.example"), disabled: true, ..settings("old", IssuerKind::OIDC) },
    ])
}

/// The issuer of the kind's fixture.
fn fixture_url(kind: IssuerKind) -> Option<IssuerUrl> {
    let claims = crate::json::object(kind.fixture.claims.as_bytes()).unwrap();
    Some(IssuerUrl::parse(claims["iss"].as_str().unwrap()).unwrap())
}

/// The set of these files, and the faults as an operator reads them.
pub(super) fn load(files: &[(&str, &str)]) -> (PolicySet, Diagnostics) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    load_from(directory.path())
}

fn load_from(directory: &Path) -> (PolicySet, Diagnostics) {
    let mut faults = Diagnostics::new();
    let set = PolicySet::load(directory, &configured(), NOW, &mut faults);
    (set, faults)
}

/// A policy of `issuer` with this `match`, and further fields.
pub(super) fn policy(name: &str, issuer: &str, matching: &str, more: &str) -> String {
    format!("policy: {name}\nissuer: {issuer}\nmatch: {matching}\n{more}\n")
}

/// The ids of the errors of one policy file.
fn fault_ids(text: &str) -> Vec<&'static str> {
    ids_of(text, Severity::Error)
}

fn ids_of(text: &str, severity: Severity) -> Vec<&'static str> {
    let (_, faults) = load(&[("p.yaml", text)]);
    faults.iter().filter(|fault| fault.severity() == severity).map(crate::diagnostic::Diagnostic::id).collect()
}

pub(super) fn claims(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// The user, or the cause, that these policies of `partner` give these claims.
fn decided(policies: &[String], given: &Value, wanted: Option<&str>) -> Result<String, &'static str> {
    let (set, faults) = load(&[("p.yaml", &policies.join("---\n"))]);
    assert!(!faults.has_errors(), "{faults}");
    let wanted = wanted.map(|name| UserName::parse(name).unwrap());
    let issuers = configured();
    let explanation = explain(&set, issuers.by_name("partner").unwrap(), &claims(given), wanted.as_ref(), NOW);
    let issuer = IssuerName::parse("partner").unwrap();
    let given = claims(given);
    let outcome = decide::admitted(set.candidates(&issuer, &given), &given, wanted.as_ref(), NOW);
    let outcome = outcome.map_err(|(refusal, _)| refusal);
    let outcome = outcome.and_then(|(admitted, _)| decide::terms(&admitted.policies).map(|_| admitted.user));
    assert_eq!(explanation.refusal(), outcome.as_ref().err().map(PolicyRefusal::cause));
    outcome.map(|user| user.to_string()).map_err(|refusal| refusal.cause())
}
