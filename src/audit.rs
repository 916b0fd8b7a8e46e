//! The record of every exit: success, refusal or fault.
//!
//! In: facts, as the path proves them. Out: an [`AuditRow`]. A fact is here because a stage proved it, or its name
//! starts with `unverified_`. The assertion itself never is; its SHA-256 is.

mod change;
mod observed;
mod reload;
mod verify;

pub use change::ChangeEvent;
pub use observed::{Observed, Shadowed};
pub use verify::{ChainReport, Entry, FoundBy, Report, TrailVerifier};

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;

use crate::claims::VerifiedClaims;
use crate::client_auth::{Method, UnverifiedAssertion, UnverifiedCertificate};
use crate::issuer::{TrustedIssuer, TrustedIssuers};
use crate::mint::TokenClaims;
use crate::policy::{Explanation, KeptClaims, Permit, ShadowVerdict, Unmet};
use crate::request::GrantName;
use crate::store::AuditRow;
use crate::store::chain::hex;
use crate::vocab::{ClientId, IssuerName, KeyId, PolicyName, Scopes, Subject, TokenId, TraceId, UnixMillis, UserName};

pub use reload::{LoadedSet, ReloadEvent, ReloadOutcome, Trigger};

/// Longest unverified text kept, in bytes: enough to recognise, too little to fill a disk.
const MAX_UNVERIFIED_BYTES: usize = 256;

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// A token left.
    Minted,
    /// The caller was refused.
    Refused(Cause<'a>),
    /// Something of ours failed.
    Fault(Cause<'a>),
}

/// Where and why the path ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause<'a> {
    /// The stage.
    pub stage: &'static str,
    /// The dotted cause; every one is explained in `docs/causes.md`.
    pub cause: &'static str,
    /// In words, without secrets.
    pub detail: &'a str,
}

/// The facts of one exchange so far.
#[derive(Debug, Clone, Serialize)]
pub struct Trail {
    trace_id: TraceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<GrantName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer_name: Option<IssuerName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Subject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<KeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assertion_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assertion_jti: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<ClientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    named_user: Option<UserName>,
    #[serde(flatten)]
    kept: Option<KeptClaims>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policies: Option<Vec<PolicyName>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserName>,
    #[serde(flatten)]
    token: Option<TokenFacts>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shadow: Vec<ShadowVerdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unverified_issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unverified_subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unverified_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unverified_client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    told_caller: Vec<Unmet>,
}

/// What a minted token says.
#[derive(Debug, Clone, Serialize)]
struct TokenFacts {
    scopes: Scopes,
    token_jti: TokenId,
    token_expires_at: String,
}

#[derive(Serialize)]
struct Record<'a> {
    time: String,
    event: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(flatten)]
    trail: &'a Trail,
}

impl Trail {
    /// Begins a record.
    #[must_use]
    pub fn begin(trace_id: TraceId, client_address: Option<IpAddr>) -> Trail {
        Trail {
            trace_id,
            client_address,
            grant: None,
            method: None,
            issuer: None,
            issuer_name: None,
            subject: None,
            audience: None,
            key_id: None,
            assertion_sha256: None,
            assertion_jti: None,
            certificate_sha256: None,
            client_id: None,
            named_user: None,
            kept: None,
            policy: None,
            policies: None,
            user: None,
            token: None,
            shadow: Vec::new(),
            policy_digest: None,
            unverified_issuer: None,
            unverified_subject: None,
            unverified_key_id: None,
            unverified_client_id: None,
            explanation: None,
            told_caller: Vec::new(),
        }
    }

    /// The trace id.
    #[must_use]
    pub fn trace_id(&self) -> &TraceId {
        &self.trace_id
    }

    /// The grant, once the request was understood.
    #[must_use]
    pub fn grant(&self) -> Option<GrantName> {
        self.grant
    }

    /// The request was well formed.
    pub fn request(&mut self, grant: GrantName, client_id: Option<&ClientId>) {
        self.grant = Some(grant);
        self.unverified_client_id = client_id.map(|id| bounded(id.as_str()));
    }

    /// One authentication method was used.
    pub fn method(&mut self, method: Method) {
        self.method = Some(method.as_str());
    }

    /// What an assertion says of itself.
    pub fn assertion(&mut self, assertion: &UnverifiedAssertion) {
        self.assertion_sha256 = Some(assertion_sha256(assertion.compact()));
        self.unverified_issuer = assertion.unverified_issuer().map(bounded);
        self.unverified_subject = assertion.unverified_subject().map(bounded);
        self.unverified_key_id = assertion.unverified_key_id().map(|id| bounded(id.as_str()));
    }

    /// A client certificate was the method: its thumbprint (RFC 8705 §3.1, in hexadecimal).
    pub fn client_certificate(&mut self, leaf: &[u8]) {
        self.method = Some(Method::SpiffeX509.as_str());
        self.certificate_sha256 = Some(hex(digest(&SHA256, leaf).as_ref()));
    }

    /// What the client certificate says of itself.
    pub fn certificate(&mut self, certificate: &UnverifiedCertificate) {
        self.unverified_subject = Some(bounded(&certificate.unverified_id().to_string()));
    }

    /// The issuer is the certificate's trust domain, which an operator configured.
    pub fn issuer(&mut self, issuer: &TrustedIssuer) {
        self.issuer = Some(issuer.identifier().to_owned());
        self.issuer_name = Some(issuer.name().clone());
    }

    /// The issuer is one that an operator configured; which one, where several share the `iss`, its key will tell.
    pub fn issuers(&mut self, issuers: &TrustedIssuers) {
        self.issuer = Some(issuers.identifier().to_owned());
        self.issuer_name = issuers.only().map(|issuer| issuer.name().clone());
        self.unverified_issuer = None;
    }

    /// The claims hold; some of them are kept.
    pub fn claims(&mut self, claims: &VerifiedClaims, kept: KeptClaims) {
        self.kept = Some(kept);
        self.issuer_name = Some(claims.issuer().name().clone());
        self.subject = Some(claims.subject().clone());
        self.audience = claims.audience().map(str::to_owned);
        self.key_id = claims.key_id().cloned();
        self.assertion_jti = claims.token_id().map(bounded);
        self.unverified_subject = None;
        self.unverified_key_id = None;
    }

    /// Beside the assertion the request named a user; only that user's policies count.
    pub fn named_user(&mut self, user: &UserName) {
        self.named_user = Some(user.clone());
    }

    /// The policies were asked.
    pub fn decided(&mut self, policy_digest: &str, shadow: Vec<ShadowVerdict>) {
        self.policy_digest = Some(policy_digest.to_owned());
        self.shadow = shadow;
    }

    /// The policies admitted a user.
    pub fn permit(&mut self, permit: &Permit) {
        self.policy = permit.policies().first().cloned();
        self.policies = (permit.policies().len() > 1).then(|| permit.policies().to_vec());
        self.user = Some(permit.user().clone());
    }

    /// The policies refused; this is why.
    pub fn explain(&mut self, explanation: Explanation) {
        self.explanation = Some(explanation);
    }

    /// The caller is told this much of why.
    pub fn tell_caller(&mut self, unmet: Vec<Unmet>) {
        self.told_caller = unmet;
    }

    /// What the caller is told.
    #[must_use]
    pub fn told_caller(&self) -> &[Unmet] {
        &self.told_caller
    }

    /// A client secret was proven.
    pub fn secret(&mut self, client_id: &ClientId, user: &UserName) {
        self.client_id = Some(client_id.clone());
        self.user = Some(user.clone());
        self.unverified_client_id = None;
    }

    /// A token was signed. Should its commit be refused, [`Trail::withdraw_token`] takes this back.
    pub fn token(&mut self, claims: &TokenClaims) {
        self.user = Some(claims.sub.clone());
        self.client_id = Some(claims.client_id.clone());
        self.unverified_client_id = None;
        self.token = Some(TokenFacts {
            scopes: claims.scope.clone(),
            token_jti: claims.jti.clone(),
            token_expires_at: claims.exp.to_rfc3339(),
        });
    }

    /// The signed token never left, and with it goes the client id that only its claims would have had.
    pub fn withdraw_token(&mut self) {
        self.token = None;
        if self.policy.is_some() {
            self.client_id = None;
        }
    }

    /// The record, as it is kept.
    #[must_use]
    pub fn finish(&self, outcome: Outcome<'_>, time: UnixMillis) -> AuditRow {
        let (word, cause) = match outcome {
            Outcome::Minted => ("minted", None),
            Outcome::Refused(cause) => ("refused", Some(cause)),
            Outcome::Fault(cause) => ("fault", Some(cause)),
        };
        let record = Record {
            time: time.to_rfc3339(),
            event: "exchange",
            outcome: word,
            stage: cause.map(|cause| cause.stage),
            cause: cause.map(|cause| cause.cause),
            detail: cause.map(|cause| cause.detail),
            trail: self,
        };
        AuditRow {
            time,
            trace_id: self.trace_id.clone(),
            outcome: word,
            cause: cause.map(|cause| cause.cause),
            user: self.user.clone(),
            policy: self.policy.clone(),
            issuer_name: self.issuer_name.clone(),
            // Strings, numbers and lists only: writing them cannot fail.
            json: serde_json::to_string(&record).unwrap_or_default(),
        }
    }
}

/// By which a record tells an assertion from others.
#[must_use]
pub fn assertion_sha256(compact: &str) -> String {
    hex(digest(&SHA256, compact.as_bytes()).as_ref())
}

fn bounded(text: &str) -> String {
    let mut end = text.len().min(MAX_UNVERIFIED_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_with_its_cause_and_bounded_text() {
        let mut trail = Trail::begin(TraceId::new(UnixMillis(1), [7; 10]), None);
        let id = ClientId::parse(&"x".repeat(2000)).unwrap();
        trail.request(GrantName::ClientCredentials, Some(&id));
        let cause = Cause { stage: "claims", cause: "claims.expired", detail: "line\nbreak" };
        let row = trail.finish(Outcome::Refused(cause), UnixMillis(1_700_000_000_123));
        assert!(!row.json.contains('\n'));
        let record: serde_json::Value = serde_json::from_str(&row.json).unwrap();
        assert_eq!(record["cause"], "claims.expired");
        assert_eq!(record["time"], "2023-11-14T22:13:20.123Z");
        assert_eq!(record["unverified_client_id"].as_str().unwrap().len(), MAX_UNVERIFIED_BYTES);
        assert_eq!(row.cause, Some("claims.expired"));
    }
}
