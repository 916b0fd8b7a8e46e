//! The four platforms of the demonstration: a name in the configuration, an issuer on loopback.

use serde_json::{Map, Value};

use super::issuers::{DemoFault, DemoIssuer};
use crate::clock::Clock;
use crate::kind::IssuerKind;

/// RFC 7523 §2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// draft-ietf-oauth-spiffe-client-auth §3.1.
const JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// One platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs)]
pub enum Platform {
    Github,
    Azure,
    Kubernetes,
    Spiffe,
}

impl Platform {
    /// All of them, in the order of the report.
    pub const ALL: [Platform; 4] = [Platform::Github, Platform::Azure, Platform::Kubernetes, Platform::Spiffe];

    /// Its issuer's name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Platform::Github => "github",
            Platform::Azure => "azure",
            Platform::Kubernetes => "kubernetes",
            Platform::Spiffe => "spiffe",
        }
    }

    /// Its issuer kind.
    #[must_use]
    pub fn kind(self) -> IssuerKind {
        match self {
            Platform::Github => IssuerKind::GITHUB_ACTIONS,
            Platform::Azure => IssuerKind::AZURE,
            Platform::Kubernetes => IssuerKind::KUBERNETES,
            Platform::Spiffe => IssuerKind::SPIFFE,
        }
    }

    /// The `client_assertion_type` its workloads send.
    #[must_use]
    pub fn assertion_type(self) -> &'static str {
        match self {
            Platform::Spiffe => JWT_SPIFFE,
            Platform::Github | Platform::Azure | Platform::Kubernetes => JWT_BEARER,
        }
    }

    /// The platform with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Platform> {
        Platform::ALL.into_iter().find(|platform| platform.name() == name)
    }
}

/// The running issuers of all four.
pub struct Issuers([DemoIssuer; 4]);

impl Issuers {
    /// Starts them side by side: each first makes its key.
    ///
    /// # Errors
    /// When one cannot start.
    pub async fn start(clock: &Clock) -> Result<Issuers, DemoFault> {
        let start = |platform: Platform| DemoIssuer::start(platform.kind(), clock.clone());
        let [a, b, c, d] = Platform::ALL.map(start);
        let (a, b, c, d) = tokio::try_join!(a, b, c, d)?;
        Ok(Issuers([a, b, c, d]))
    }

    /// The issuer of this platform.
    #[must_use]
    pub fn of(&self, platform: Platform) -> &DemoIssuer {
        let [github, azure, kubernetes, spiffe] = &self.0;
        match platform {
            Platform::Github => github,
            Platform::Azure => azure,
            Platform::Kubernetes => kubernetes,
            Platform::Spiffe => spiffe,
        }
    }

    /// A fresh token, some claims replaced by text; each keeps the JSON type that the platform gives it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn token(
        &self,
        platform: Platform,
        audience: &str,
        replaced: &Map<String, Value>,
    ) -> Result<String, DemoFault> {
        let issuer = self.of(platform);
        let claims = issuer.claims(audience)?;
        let typed = replaced.iter().map(|(name, value)| (name.clone(), as_before(claims.get(name), value)));
        issuer.token(audience, &typed.collect())
    }
}

/// `"1"` stays text where the claim was text (GitHub's ids), and becomes a number, list or object where it was one.
fn as_before(before: Option<&Value>, replaced: &Value) -> Value {
    match (before, replaced) {
        (None | Some(Value::String(_)), _) => replaced.clone(),
        (Some(_), Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| replaced.clone()),
        (Some(_), _) => replaced.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_replaced_claim_keeps_its_type() {
        assert_eq!(as_before(Some(&json!("65")), &json!("66")), json!("66"));
        assert_eq!(as_before(Some(&json!(1)), &json!("2")), json!(2));
        assert_eq!(as_before(Some(&json!(["a"])), &json!("b")), json!("b"));
        assert_eq!(as_before(None, &json!("7")), json!("7"));
    }
}
