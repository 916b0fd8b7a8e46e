//! Which issuers are trusted: an operator configured them.
//!
//! In: an unverified assertion. Out: [`TrustedIssuer`]. Nothing here has touched the network, and nothing unverified
//! causes a connection: an issuer that nobody configured ends the request here. Not here: whether the issuer signed
//! anything (see `key` and `claims`).

mod preset;
mod refusal;
mod schema;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::client_auth::{AssertionShape, UnverifiedAssertion, UnverifiedCertificate};
use crate::config::IssuerSettings;
use crate::kind::{Header, IssuerKind, NamedBy, spiffe};
use crate::vocab::{Algorithm, Audience, IssuerName, IssuerUrl};

pub use crate::kind::{SingleUse, TenantPin};
pub use preset::KeyLocation;
use preset::Preset;
pub use refusal::{IssuerRefusal, KindRefusal};
pub use schema::{ClaimSchema, NoClaim, REGISTERED};

/// One configured issuer with its kind's preset filled in.
#[derive(Debug)]
pub struct Issuer {
    settings: IssuerSettings,
    preset: Preset,
}

impl Issuer {
    fn new(settings: &IssuerSettings, our_issuer: &IssuerUrl) -> Issuer {
        Issuer { preset: Preset::new(settings, our_issuer), settings: settings.clone() }
    }

    /// The operator's name for it.
    #[must_use]
    pub fn name(&self) -> &IssuerName {
        &self.settings.name
    }

    /// Which platform's tokens it signs.
    #[must_use]
    pub fn kind(&self) -> IssuerKind {
        self.settings.kind
    }

    /// The first of its [`Issuer::identifiers`]: what a person would call it.
    #[must_use]
    pub fn identifier(&self) -> &str {
        self.preset.identifiers.first().map_or("", String::as_str)
    }

    /// Its `iss` values (an Azure tenant has two), or the trust domain of a SPIFFE issuer.
    #[must_use]
    pub fn identifiers(&self) -> &[String] {
        &self.preset.identifiers
    }

    /// What the operator wrote.
    #[must_use]
    pub fn settings(&self) -> &IssuerSettings {
        &self.settings
    }

    /// Accepted `aud` values; without a setting exactly our issuer identifier (rfc7523bis §4).
    #[must_use]
    pub fn audiences(&self) -> &[Audience] {
        &self.preset.audiences
    }

    /// Accepted algorithms (RFC 8725 §3.1: chosen by us, never by the token).
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.preset.algorithms
    }

    /// Clock skew allowed on `exp`, `nbf` and `iat`.
    #[must_use]
    pub fn leeway(&self) -> Duration {
        self.preset.leeway
    }

    /// Longest `exp - iat` (`exp - now` without `iat`), and the greatest age of `iat`.
    #[must_use]
    pub fn max_lifetime(&self) -> Duration {
        self.preset.max_lifetime
    }

    /// Whether an assertion may be used only once.
    #[must_use]
    pub fn single_use(&self) -> SingleUse {
        self.preset.single_use
    }

    /// How long the last good keys serve when fetching fails.
    #[must_use]
    pub fn stale_keys_for(&self) -> Duration {
        self.preset.stale_keys_for
    }

    /// The claims its tokens have, with their types.
    #[must_use]
    pub fn schema(&self) -> &ClaimSchema {
        &self.preset.schema
    }

    /// Where its keys are; `None` when neither the kind nor the configuration says.
    #[must_use]
    pub fn key_location(&self) -> Option<&KeyLocation> {
        self.preset.keys.as_ref()
    }

    /// Where its keys come from, whose they are and what vouched for them, as one text: held and kept keys are taken up
    /// again only where it is the same. An operator who stops trusting a way to the keys stops trusting the keys.
    #[must_use]
    pub fn key_source(&self) -> String {
        let location = self.key_location().map(ToString::to_string).unwrap_or_default();
        let settings = &self.settings;
        let ca_file = settings.ca_file.as_ref().map(|path| path.display().to_string());
        let flags = [
            settings.danger_allow_http.then_some("plain http"),
            settings.allow_private_network.then_some("private network"),
            ca_file.as_deref(),
            settings.ca_only.then_some("alone"),
        ];
        let flags: Vec<&str> = flags.into_iter().flatten().collect();
        format!("{} {} {location} [{}]", self.kind(), self.identifiers().join(" "), flags.join(", "))
    }

    /// Which claims tell its tenants apart, when many share it; every policy must pin them.
    #[must_use]
    pub fn shared_by_tenants(&self) -> Option<&'static TenantPin> {
        self.preset.tenant_pin
    }

    /// Whether other issuers of its kind may have the same `iss`; their keys tell them apart.
    fn may_share_identifier(&self) -> bool {
        self.kind().shares_identifier
    }

    /// The kind's own rules about the key that verified: Entra publishes one key set for all tenants, in which a key may
    /// say whose tokens it signs.
    ///
    /// # Errors
    /// The rule that does not hold.
    pub fn check_key(&self, key_issuer: Option<&str>, claims: &Map<String, Value>) -> Result<(), KindRefusal> {
        let (kind, Some(key_issuer)) = (self.kind(), key_issuer) else { return Ok(()) };
        (kind.check_key_issuer)(key_issuer, claims).map_err(|rule| KindRefusal::Claim { kind, rule })
    }

    /// The kind's own rules about the JOSE header; the rules all kinds share are `claims`'.
    ///
    /// # Errors
    /// The rule that does not hold.
    pub fn check_header(&self, assertion: &UnverifiedAssertion) -> Result<(), KindRefusal> {
        let kind = self.kind();
        let header = Header {
            names: assertion.unverified_header_names().collect(),
            token_type: assertion.unverified_token_type(),
        };
        (kind.check_header)(&header).map_err(|rule| KindRefusal::Header { kind, rule })
    }

    /// The kind's own rules about the claims. It proves nothing by itself; `explain` asks it about unsigned claims.
    ///
    /// # Errors
    /// The rule that does not hold.
    pub fn check_claims(&self, claims: &Map<String, Value>) -> Result<(), KindRefusal> {
        let kind = self.kind();
        (kind.check_claims)(&self.settings.identity(), claims).map_err(|rule| KindRefusal::Claim { kind, rule })
    }
}

/// An issuer that an operator configured and that this assertion names. Only [`Issuers::trusted`] makes one.
#[derive(Debug, Clone)]
pub struct TrustedIssuer {
    issuer: Arc<Issuer>,
    /// Which of its identifiers the assertion names.
    named: usize,
}

impl TrustedIssuer {
    fn new(issuer: &Arc<Issuer>, assertion: &UnverifiedAssertion) -> TrustedIssuer {
        let is_named = |identifier: &String| assertion.unverified_issuer() == Some(identifier);
        let named = issuer.identifiers().iter().position(is_named).unwrap_or(0);
        TrustedIssuer { issuer: Arc::clone(issuer), named }
    }

    /// The `iss` that the assertion has, or the trust domain: what the audit record and the token say.
    #[must_use]
    pub fn identifier(&self) -> &str {
        self.identifiers().get(self.named).map_or_else(|| self.issuer.identifier(), String::as_str)
    }
}

impl std::ops::Deref for TrustedIssuer {
    type Target = Issuer;
    fn deref(&self) -> &Issuer {
        &self.issuer
    }
}

/// The issuers that an assertion may be of: one, or the Kubernetes clusters that share its `iss`. Only
/// [`Issuers::trusted`] makes one, and never without an issuer.
#[derive(Debug, Clone)]
pub struct TrustedIssuers(Vec<TrustedIssuer>);

impl TrustedIssuers {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &TrustedIssuer> {
        self.0.iter()
    }

    /// The one it is, where there is no choice.
    #[must_use]
    pub fn only(&self) -> Option<&TrustedIssuer> {
        if let [one] = self.0.as_slice() { Some(one) } else { None }
    }

    /// The `iss` or trust domain by which the assertion names them.
    #[must_use]
    pub fn identifier(&self) -> &str {
        self.0.first().map_or("", TrustedIssuer::identifier)
    }
}

/// The configured issuers.
#[derive(Debug, Clone, Default)]
pub struct Issuers {
    all: Vec<Arc<Issuer>>,
    by_url: Index,
    by_trust_domain: Index,
}

/// Who is named by an identifier.
type Index = HashMap<String, Named>;

#[derive(Debug, Clone)]
enum Named {
    /// One issuer, or clusters that share it.
    By(Vec<Arc<Issuer>>),
    /// Issuers that must not share it, so nobody has it (the loader reports that).
    Nobody,
}

impl Named {
    fn add(&mut self, issuer: &Arc<Issuer>) {
        match self {
            Named::By(all) if all.is_empty() || all.iter().chain([issuer]).all(|one| one.may_share_identifier()) => {
                all.push(Arc::clone(issuer));
            }
            Named::By(_) => *self = Named::Nobody,
            Named::Nobody => {}
        }
    }
}

impl Issuers {
    /// Fills in the presets. `our_issuer` is the audience of issuers that set none.
    #[must_use]
    pub fn new(settings: &[IssuerSettings], our_issuer: &IssuerUrl) -> Issuers {
        let mut issuers = Issuers::default();
        for one in settings {
            let issuer = Arc::new(Issuer::new(one, our_issuer));
            let index = match issuer.kind().named_by {
                NamedBy::TrustDomain => &mut issuers.by_trust_domain,
                NamedBy::Url { .. } | NamedBy::Tenants { .. } => &mut issuers.by_url,
            };
            for identifier in issuer.identifiers() {
                index.entry(identifier.clone()).or_insert(Named::By(Vec::new())).add(&issuer);
            }
            issuers.all.push(issuer);
        }
        issuers
    }

    /// The configured issuer that an assertion names, or the clusters that share the name.
    ///
    /// # Errors
    /// See [`IssuerRefusal`].
    pub fn trusted(&self, assertion: &UnverifiedAssertion) -> Result<TrustedIssuers, IssuerRefusal> {
        let by_url = || self.named_by_url(assertion);
        let by_subject = || self.named_by_subject(assertion);
        let found = match assertion.shape() {
            AssertionShape::JwtBearer => by_url().map_err(|refusal| crossed(refusal, by_subject().is_ok()))?,
            AssertionShape::JwtSpiffe => by_subject().map_err(|refusal| crossed(refusal, by_url().is_ok()))?,
            // SPIRE may set an iss of its own (jwt_issuer); it says nothing about the trust domain.
            AssertionShape::Unsaid => by_url().or_else(|refusal| match (refusal, by_subject()) {
                (_, Ok(found)) => Ok(found),
                (IssuerRefusal::Missing { .. }, Err(IssuerRefusal::TrustDomainUnknown)) => {
                    Err(IssuerRefusal::TrustDomainUnknown)
                }
                (refusal, Err(_)) => Err(refusal),
            })?,
        };
        let enabled = found.iter().filter(|issuer| !issuer.settings.disabled);
        let trusted: Vec<_> = enabled.map(|issuer| TrustedIssuer::new(issuer, assertion)).collect();
        match (trusted.is_empty(), found.first()) {
            (false, _) => Ok(TrustedIssuers(trusted)),
            (true, Some(disabled)) => Err(IssuerRefusal::Disabled { name: disabled.name().clone() }),
            (true, None) => Err(IssuerRefusal::Unknown),
        }
    }

    /// The configured trust domain that a certificate names.
    ///
    /// # Errors
    /// [`IssuerRefusal::TrustDomainUnknown`] and [`IssuerRefusal::Disabled`].
    pub fn trusted_domain(&self, certificate: &UnverifiedCertificate) -> Result<TrustedIssuer, IssuerRefusal> {
        let domain = certificate.unverified_id().trust_domain_name();
        match find(&self.by_trust_domain, domain) {
            Some([issuer]) if issuer.settings.disabled => Err(IssuerRefusal::Disabled { name: issuer.name().clone() }),
            Some([issuer]) => Ok(TrustedIssuer { issuer: Arc::clone(issuer), named: 0 }),
            _ => Err(IssuerRefusal::TrustDomainUnknown),
        }
    }

    /// The issuers whose tokens are taken.
    pub fn enabled(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.all.iter().filter(|issuer| !issuer.settings.disabled)
    }

    /// The issuer with this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<Issuer>> {
        self.all.iter().find(|issuer| issuer.name().as_str() == name)
    }

    /// The issuers that unsigned claims name, for `explain`: disabled ones too, and nothing is proven. Several, where
    /// clusters share the `iss`: claims without a signature do not tell which.
    #[must_use]
    pub fn by_claims(&self, claims: &Map<String, Value>) -> &[Arc<Issuer>] {
        let by_url = claims.get("iss").and_then(Value::as_str).and_then(|url| find(&self.by_url, url));
        let subject = || claims.get("sub").and_then(Value::as_str).and_then(|text| spiffe::parse_id(text).ok());
        by_url.or_else(|| find(&self.by_trust_domain, subject()?.trust_domain_name())).unwrap_or_default()
    }

    /// All of them, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.all.iter()
    }

    /// The `iss` is compared byte for byte (RFC 7523 §3, RFC 8725 §3.8): no case, port or slash is normalized.
    fn named_by_url(&self, assertion: &UnverifiedAssertion) -> Result<&[Arc<Issuer>], IssuerRefusal> {
        match assertion.unverified_issuer() {
            Some(crate::kind::kubernetes::LEGACY_ISSUER) => Err(IssuerRefusal::LegacyToken),
            Some(url) => find(&self.by_url, url).ok_or(IssuerRefusal::Unknown),
            None if assertion.has_issuer() => Err(IssuerRefusal::Malformed { claim: "iss", rule: "is not a string" }),
            None => Err(IssuerRefusal::Missing { claim: "iss" }),
        }
    }

    fn named_by_subject(&self, assertion: &UnverifiedAssertion) -> Result<&[Arc<Issuer>], IssuerRefusal> {
        let subject = assertion.unverified_subject().ok_or(IssuerRefusal::Missing { claim: "sub" })?;
        let id = spiffe::parse_id(subject).map_err(|rule| IssuerRefusal::Malformed { claim: "sub", rule })?;
        find(&self.by_trust_domain, id.trust_domain_name()).ok_or(IssuerRefusal::TrustDomainUnknown)
    }
}

fn find<'a>(index: &'a Index, identifier: &str) -> Option<&'a [Arc<Issuer>]> {
    match index.get(identifier)? {
        Named::By(issuers) => Some(issuers),
        Named::Nobody => None,
    }
}

/// The refusal to report when a token was not found the way its type says: had the other way found it, the type is
/// what is wrong (draft-ietf-oauth-spiffe-client-auth §3.1).
fn crossed(refusal: IssuerRefusal, found_the_other_way: bool) -> IssuerRefusal {
    if found_the_other_way { IssuerRefusal::Shape } else { refusal }
}

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod platform_tests;
