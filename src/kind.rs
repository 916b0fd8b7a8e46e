//! What is known of each platform whose identity tokens are accepted: one file a kind, and nearly all of it data.
//!
//! Configuration, presets, policies, their tests and the quickstart ask the data; none of them knows a kind by name
//! where a [`Kind`] can say it. In: nothing. Out: [`IssuerKind`]. Not here: what an operator set (`config`), one
//! issuer's final values (`issuer`), and whether any token is genuine (`claims`).

mod aws;
pub mod azure;
mod buildkite;
mod circleci;
mod fly;
mod github_actions;
mod gitlab;
mod google;
pub mod kubernetes;
mod likely;
mod lints;
mod oidc;
pub mod spiffe;
mod terraform_cloud;

pub use azure::Cloud;
pub use likely::likely;
pub use lints::{Events, Fixed, Lints, Workload};

use std::time::Duration;

use serde_json::{Map, Value};

use crate::vocab::{Algorithm, ClaimType, IssuerUrl};

/// Lifetimes are given in hours.
const HOUR: u64 = 3600;

/// Everything about one platform's tokens.
pub struct Kind {
    /// What `kind:` says in the configuration.
    pub name: &'static str,
    /// By which setting an issuer of this kind is known.
    pub named_by: NamedBy,
    /// Whether several issuers may have the same identifier: their keys tell them apart.
    pub shares_identifier: bool,
    /// Settings that no other kind has.
    pub own_settings: &'static [&'static str],
    /// Refuses forms of `url` that would let strangers in.
    pub check_url: fn(&str) -> Result<(), &'static str>,
    /// What its tokens are signed with, unless the configuration says otherwise.
    pub algorithms: &'static [Algorithm],
    /// Why no setting may add to `algorithms`, where that is so.
    pub closed_algorithms: Option<&'static str>,
    /// Its claims beside the registered ones. A name that ends in `*` stands for every name with that beginning; one that
    /// begins with `/` is a JSON Pointer to what is inside a claim, of which all members are then named.
    pub claims: &'static [(&'static str, ClaimType)],
    /// Whether tokens have further claims, until the operator declares some.
    pub open: bool,
    /// Whether an assertion may be used only once.
    pub single_use: SingleUse,
    /// Longest lifetime that its real tokens have.
    pub max_lifetime: Duration,
    /// How tenants are told apart, where many share one issuer.
    pub tenant_pin: Option<TenantPin>,
    /// Claims that name the workload and are never given to somebody else: what a policy should match.
    pub immutable: &'static [&'static str],
    /// Claims with names that are given again, each with the claim that has the same thing's id. Both may be JSON Pointers.
    pub names: &'static [(&'static str, &'static str)],
    /// What else its workload is each time: what `policy init` pins beside the immutable claims.
    pub narrows: &'static [Narrow],
    /// How to read its subjects, where they have forms worth telling apart.
    pub subject: Option<Subject>,
    /// JSON Pointers to what the caller of the platform writes into its token as it likes: never an identity.
    pub caller_chosen: &'static [&'static str],
    /// What the lints of policies know of its tokens.
    pub lints: Lints,
    /// Its own rules about the JOSE header; the rule that does not hold, as the end of a sentence.
    pub check_header: fn(&Header<'_>) -> Result<(), &'static str>,
    /// Its own rules about the claims; the rule that does not hold, as the end of a sentence.
    pub check_claims: fn(&Identity<'_>, &Map<String, Value>) -> Result<(), &'static str>,
    /// Its own rule about the `issuer` member of the key that verified, where that has one.
    pub check_key_issuer: fn(&str, &Map<String, Value>) -> Result<(), &'static str>,
    /// A real token's shape.
    pub fixture: Fixture,
}

/// By which setting an issuer is known, and its tokens recognized.
pub enum NamedBy {
    /// `url` is the tokens' `iss`; required where there is no default.
    Url {
        /// The platform's own issuer.
        default: Option<&'static str>,
    },
    /// The GUIDs of tenants, each of which has issuers and keys of its own; or the `url` of one of them.
    Tenants {
        /// The `iss` values of these tenants' tokens.
        issuers: fn(&Identity<'_>) -> Vec<String>,
        /// Where their keys are.
        keys: fn(&Identity<'_>) -> Option<String>,
    },
    /// The trust domain of `sub`.
    TrustDomain,
}

/// By what an operator's settings identify one issuer.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// `url`, as configured.
    pub url: Option<&'a IssuerUrl>,
    /// Tenants, lower case.
    pub tenants: &'a [String],
    /// The cloud that the tenants are in.
    pub cloud: Cloud,
    /// The SPIFFE trust domain.
    pub trust_domain: Option<&'a ::spiffe::TrustDomain>,
}

/// What a kind's rules may see of a JOSE header.
#[derive(Debug, Clone)]
pub struct Header<'a> {
    /// The names of all members.
    pub names: Vec<&'a str>,
    /// `typ`, where it is there.
    pub token_type: Option<&'a str>,
}

/// A claim that a first policy pins where a token has it. It may be a JSON Pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Narrow {
    /// To the token's value.
    Value(&'static str),
    /// To this value, where the token has it: any other says nothing good.
    Only(&'static str, &'static str),
    /// To being there: the value is another one each time.
    Presence(&'static str),
}

impl Narrow {
    /// The claim.
    #[must_use]
    pub fn claim(self) -> &'static str {
        match self {
            Narrow::Value(claim) | Narrow::Only(claim, _) | Narrow::Presence(claim) => claim,
        }
    }
}

/// Whether an assertion may be used only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SingleUse {
    /// Its platform hands out the same token again.
    Never,
    /// Also without a `jti`: then the assertion's hash is what was used.
    Always,
    /// When it has a `jti` (RFC 7519 §4.1.7).
    WhenTokenId,
}

/// Which of a kind's issuers many tenants share.
#[derive(Debug, PartialEq, Eq)]
pub enum Shared {
    /// These, whose customers are strangers to one another.
    At(&'static [&'static str]),
    /// One that is configured with several tenants.
    ByConfiguredTenants,
}

/// Which claims tell the tenants of a shared issuer apart.
#[derive(Debug, PartialEq, Eq)]
pub struct TenantPin {
    /// Which of the kind's issuers many tenants share.
    pub shared: Shared,
    /// A policy must pin all claims of at least one of these, to values that are never given to somebody else.
    pub alternatives: &'static [&'static [&'static str]],
    /// Claims that say more than the tenant's own id: one of them must be a line as well.
    pub narrower: &'static [&'static str],
}

/// What a `sub` says, for display and for doubts about policies; never for a decision.
#[derive(Debug)]
pub struct Subject {
    /// In words.
    pub describe: fn(&str) -> String,
    /// Why a policy should not rest on it, or on a pattern of it; the flag says whether a line pins the tenant by id.
    pub doubt: fn(&str, bool) -> Option<&'static str>,
}

/// The files of `fixtures/KIND/`: the shape of a real token, with invented names.
pub struct Fixture {
    /// The claims set.
    pub claims: &'static str,
    /// The JOSE header; its `kid` is in `keys`.
    pub header: &'static str,
    /// The key set.
    pub keys: &'static str,
    /// The discovery document.
    pub metadata: &'static str,
}

/// Reads `fixtures/KIND/` into the program.
macro_rules! fixture {
    ($directory:literal) => {
        $crate::kind::Fixture {
            claims: include_str!(concat!("../../fixtures/", $directory, "/claims.json")),
            header: include_str!(concat!("../../fixtures/", $directory, "/header.json")),
            keys: include_str!(concat!("../../fixtures/", $directory, "/jwks.json")),
            metadata: include_str!(concat!("../../fixtures/", $directory, "/openid-configuration.json")),
        }
    };
}
use fixture;

/// Which platform's tokens an issuer signs: one of [`IssuerKind::ALL`], equal by name.
#[derive(Clone, Copy)]
pub struct IssuerKind(&'static Kind);

macro_rules! kinds {
    ($($constant:ident: $file:ident,)*) => {
        #[allow(missing_docs)]
        impl IssuerKind {
            $(pub const $constant: IssuerKind = IssuerKind(&$file::KIND);)*

            /// Every kind, in the order the documentation lists them.
            pub const ALL: &[IssuerKind] = &[$(IssuerKind::$constant),*];
        }
    };
}

// The one list of kinds.
kinds! {
    GITHUB_ACTIONS: github_actions,
    AZURE: azure,
    KUBERNETES: kubernetes,
    SPIFFE: spiffe,
    GITLAB: gitlab,
    BUILDKITE: buildkite,
    CIRCLECI: circleci,
    GOOGLE: google,
    AWS: aws,
    TERRAFORM_CLOUD: terraform_cloud,
    FLY: fly,
    OIDC: oidc,
}

impl IssuerKind {
    /// The name used in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The kind with this configuration name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<IssuerKind> {
        IssuerKind::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Every value by which a token names this issuer: `iss` values, or the trust domain.
    #[must_use]
    pub fn identifiers(self, identity: &Identity<'_>) -> Vec<String> {
        match (&self.named_by, identity.url) {
            (NamedBy::TrustDomain, _) => identity.trust_domain.map(ToString::to_string).into_iter().collect(),
            (_, Some(url)) => vec![url.to_string()],
            (NamedBy::Url { default }, None) => default.map(str::to_owned).into_iter().collect(),
            (NamedBy::Tenants { issuers, .. }, None) => issuers(identity),
        }
    }

    /// Whether its tokens can have this top-level claim: a registered one (RFC 7519 §4.1), or one of its own.
    #[must_use]
    pub fn has_claim(self, name: &str) -> bool {
        let is_this = |known: &str| match known.strip_suffix('*') {
            Some(prefix) => name.len() > prefix.len() && name.starts_with(prefix),
            None => name == known,
        };
        ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"].contains(&name)
            || self.0.claims.iter().any(|(known, _)| is_this(known))
    }

    /// What a token's subject says, where the kind has forms of it.
    #[must_use]
    pub fn subject_says(self, claims: &Map<String, Value>) -> Option<String> {
        let subject = claims.get("sub").and_then(Value::as_str)?;
        self.0.subject.as_ref().map(|forms| (forms.describe)(subject))
    }

    /// How its tenants are told apart, when the issuer that these settings name has many.
    #[must_use]
    pub fn shared_by_tenants(self, identity: &Identity<'_>) -> Option<&'static TenantPin> {
        let pin = self.0.tenant_pin.as_ref()?;
        let is_shared = match pin.shared {
            Shared::At(issuers) => self.identifiers(identity).iter().any(|own| issuers.contains(&own.as_str())),
            Shared::ByConfiguredTenants => identity.tenants.len() > 1,
        };
        is_shared.then_some(pin)
    }
}

impl std::ops::Deref for IssuerKind {
    type Target = Kind;
    fn deref(&self) -> &Kind {
        self.0
    }
}

impl PartialEq for IssuerKind {
    fn eq(&self, other: &IssuerKind) -> bool {
        self.name() == other.name()
    }
}

impl Eq for IssuerKind {}

impl std::hash::Hash for IssuerKind {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl std::fmt::Debug for IssuerKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl std::fmt::Display for IssuerKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl serde::Serialize for IssuerKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// For kinds whose `url` may be any issuer's.
fn any_url(_: &str) -> Result<(), &'static str> {
    Ok(())
}

/// For kinds without header rules of their own.
fn any_header(_: &Header<'_>) -> Result<(), &'static str> {
    Ok(())
}

/// For kinds without claim rules of their own.
fn any_claims(_: &Identity<'_>, _: &Map<String, Value>) -> Result<(), &'static str> {
    Ok(())
}

/// For kinds whose keys name no issuer: a member that means nothing is no rule.
fn any_key_issuer(_: &str, _: &Map<String, Value>) -> Result<(), &'static str> {
    Ok(())
}

#[cfg(test)]
mod tests;
