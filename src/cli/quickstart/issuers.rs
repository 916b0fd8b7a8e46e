//! Small issuers on loopback, each in the shape of its platform: claims, header, key set and metadata from `fixtures/`,
//! with fresh keys. The quickstart runs four of them; tests may use them too.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

use super::signing::{DemoKey, SigningFault};
use crate::clock::{self, Clock};
use crate::kind::{IssuerKind, NamedBy};

/// `iat` of every fixture; the other times stand at their platform's distance from it (`fixtures/README.md`).
const FIXTURE_ISSUED_AT: i64 = 1_790_000_000;

/// One issuer, serving until it is dropped.
pub struct DemoIssuer {
    kind: IssuerKind,
    url: String,
    keys_url: String,
    fixture: Fixture,
    clock: Clock,
    published: Arc<ArcSwap<Published>>,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Fixture {
    claims: Map<String, Value>,
    header: Map<String, Value>,
    metadata: Map<String, Value>,
    /// The key that signed it: its type, `use` and the like are the platform's.
    key: Map<String, Value>,
}

/// What the issuer signs with and shows: the newest key first; older ones stay, as platforms overlap them.
struct Published {
    key: Arc<DemoKey>,
    public: Vec<Map<String, Value>>,
    sequence: u64,
}

/// Why a demo issuer could not start or sign.
#[derive(Debug, thiserror::Error)]
pub enum DemoFault {
    /// No loopback port.
    #[error("no loopback port: {0}")]
    Listen(#[from] io::Error),
    /// No key or no signature.
    #[error(transparent)]
    Signing(#[from] SigningFault),
    /// No random number for a token id.
    #[error(transparent)]
    Entropy(#[from] clock::EntropyFault),
    /// A fixture is not the JSON object it should be.
    #[error("the fixture of {0} is not a JSON object")]
    Fixture(IssuerKind),
}

impl DemoIssuer {
    /// Starts an issuer of this kind on a free loopback port.
    ///
    /// # Errors
    /// See [`DemoFault`].
    pub async fn start(kind: IssuerKind, clock: Clock) -> Result<DemoIssuer, DemoFault> {
        let fixture = Fixture::of(kind)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let (url, keys_url) = fixture.urls(kind, &origin);
        let published = Arc::new(ArcSwap::from_pointee(Published::first(&fixture, &url).await?));
        let pages =
            Pages { kind, documents: documents(&fixture, &url, &keys_url, &origin), published: published.clone() };
        let router = Router::new().fallback(page).with_state(Arc::new(pages));
        let server = tokio::spawn(async move {
            if let Err(fault) = axum::serve(listener, router).await {
                tracing::warn!(issuer.kind = %kind, "a demo issuer stopped: {fault}");
            }
        });
        Ok(DemoIssuer { kind, url, keys_url, fixture, clock, published, server })
    }

    /// Which platform it is shaped like.
    #[must_use]
    pub fn kind(&self) -> IssuerKind {
        self.kind
    }

    /// Its `iss`; for SPIFFE, whose tokens have none, where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Azure: the tenant.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.fixture.claims.get("tid").and_then(Value::as_str)
    }

    /// Where its keys are: a JWKS, or for SPIFFE the bundle endpoint.
    #[must_use]
    pub fn keys_url(&self) -> &str {
        &self.keys_url
    }

    /// The claims of a fresh token: the fixture's, with this issuer's `iss`, times from now, a new token id, and the
    /// audience, except Azure's, whose callers cannot choose it.
    ///
    /// # Errors
    /// When there is no random number for the token id.
    pub fn claims(&self, audience: &str) -> Result<Map<String, Value>, DemoFault> {
        let now = self.clock.now().0;
        let mut claims = self.fixture.claims.clone();
        for (name, value) in &mut claims {
            match (name.as_str(), &*value) {
                ("iat" | "nbf" | "exp", Value::Number(time)) => {
                    *value = json!(now + time.as_i64().unwrap_or(FIXTURE_ISSUED_AT) - FIXTURE_ISSUED_AT);
                }
                ("iss", _) => *value = json!(self.url),
                ("aud", Value::String(_)) if self.kind != IssuerKind::AZURE => *value = json!(audience),
                ("aud", Value::Array(_)) => *value = json!([audience]),
                ("jti" | "uti", _) => *value = json!(token_id()?),
                _ => {}
            }
        }
        Ok(claims)
    }

    /// Signs any claims with the current key, under the platform's header.
    ///
    /// # Errors
    /// When signing fails.
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<String, DemoFault> {
        let published = self.published.load();
        let mut header = self.fixture.header.clone();
        header.insert("kid".into(), json!(published.key.id()));
        header.remove("x5t"); // there is no certificate to be the thumbprint of
        Ok(published.key.sign(&header, claims)?)
    }

    /// A fresh token for this audience, some claims replaced.
    ///
    /// # Errors
    /// See [`DemoFault`].
    pub fn token(&self, audience: &str, replaced: &Map<String, Value>) -> Result<String, DemoFault> {
        let mut claims = self.claims(audience)?;
        claims.extend(replaced.clone());
        self.sign(&claims)
    }

    /// Signs with a new key from now on; the older keys stay published.
    ///
    /// # Errors
    /// When no key can be made.
    pub async fn rotate(&self) -> Result<(), DemoFault> {
        let mut next = Published::first(&self.fixture, &self.url).await?;
        let current = self.published.load();
        next.public.extend(current.public.iter().cloned());
        next.sequence = current.sequence + 1;
        self.published.store(Arc::new(next));
        Ok(())
    }
}

impl Drop for DemoIssuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fixture {
    fn of(kind: IssuerKind) -> Result<Fixture, DemoFault> {
        let object = |text: &str| crate::json::object(text.as_bytes()).map_err(|_| DemoFault::Fixture(kind));
        let files = &kind.fixture;
        let (header, set) = (object(files.header)?, object(files.keys)?);
        let mut keys = set.get("keys").and_then(Value::as_array).into_iter().flatten();
        let key = keys.find(|key| key.get("kid") == header.get("kid")).and_then(Value::as_object);
        let key = key.cloned().ok_or(DemoFault::Fixture(kind))?;
        Ok(Fixture { claims: object(files.claims)?, metadata: object(files.metadata)?, header, key })
    }

    /// The platform's `iss` and the address of its keys, moved to `origin`.
    fn urls(&self, kind: IssuerKind, origin: &str) -> (String, String) {
        let moved = |member: &str| {
            let url = self.metadata.get(member).and_then(Value::as_str).and_then(|url| Url::parse(url).ok());
            format!("{origin}{}", url.as_ref().map_or("", Url::path)).trim_end_matches('/').to_owned()
        };
        match kind.named_by {
            NamedBy::TrustDomain => (origin.to_owned(), format!("{origin}/bundle")),
            NamedBy::Url { .. } | NamedBy::Tenants { .. } => (moved("issuer"), moved("jwks_uri")),
        }
    }
}

impl Published {
    /// A fresh key with the members that the platform gives its keys.
    async fn first(fixture: &Fixture, url: &str) -> Result<Published, SigningFault> {
        let is_ec = fixture.key.get("kty").and_then(Value::as_str) == Some("EC");
        let key = tokio::task::spawn_blocking(move || DemoKey::generate(is_ec)).await.map_err(|_| SigningFault)??;
        let mut public = key.public_members();
        let copied =
            ["use", "alg"].into_iter().filter_map(|name| Some((name.to_owned(), fixture.key.get(name)?.clone())));
        public.extend(copied);
        // Entra's keys name the issuer they sign for.
        if fixture.key.contains_key("issuer") {
            public.insert("issuer".into(), json!(url));
        }
        Ok(Published { key: Arc::new(key), public: vec![public], sequence: 1 })
    }

    fn key_set(&self, kind: IssuerKind) -> Value {
        if kind == IssuerKind::SPIFFE {
            return json!({ "keys": self.public, "spiffe_sequence": self.sequence, "spiffe_refresh_hint": 300 });
        }
        json!({ "keys": self.public })
    }
}

struct Pages {
    kind: IssuerKind,
    documents: Documents,
    published: Arc<ArcSwap<Published>>,
}

struct Documents {
    metadata_path: String,
    metadata: Value,
    keys_path: String,
}

fn documents(fixture: &Fixture, url: &str, keys_url: &str, origin: &str) -> Documents {
    let mut metadata = fixture.metadata.clone();
    metadata.insert("issuer".into(), json!(url));
    metadata.insert("jwks_uri".into(), json!(keys_url));
    let path = |url: &str| url.strip_prefix(origin).unwrap_or_default().to_owned();
    Documents {
        metadata_path: format!("{}/.well-known/openid-configuration", path(url)),
        metadata: Value::Object(metadata),
        keys_path: path(keys_url),
    }
}

async fn page(State(pages): State<Arc<Pages>>, request: Request) -> Response {
    let path = request.uri().path();
    let document = if path == pages.documents.keys_path {
        pages.published.load().key_set(pages.kind)
    } else if path == pages.documents.metadata_path && pages.kind != IssuerKind::SPIFFE {
        pages.documents.metadata.clone()
    } else {
        return StatusCode::NOT_FOUND.into_response();
    };
    ([(header::CONTENT_TYPE, "application/json")], document.to_string()).into_response()
}

/// A random token id in the form of a UUID (RFC 9562 §5.4 without its version bits: nobody reads them).
fn token_id() -> Result<String, clock::EntropyFault> {
    let random = u128::from_be_bytes(clock::random_bytes::<16>()?);
    let hex = format!("{random:032x}");
    let (a, rest) = hex.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    Ok([a, b, c, d, e].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::quickstart::client;
    use crate::client_auth::{AssertionShape, UnverifiedAssertion};
    use crate::vocab::UnixTime;

    const AUDIENCE: &str = "https://broker.test";

    async fn issuer(kind: IssuerKind) -> DemoIssuer {
        DemoIssuer::start(kind, Clock::manual(UnixTime(1_800_000_000))).await.unwrap()
    }

    async fn get(url: &str) -> Value {
        client::Client::new().get(url).await.unwrap().json().unwrap()
    }

    #[tokio::test]
    async fn every_kind_publishes_the_key_that_its_tokens_name() {
        for kind in IssuerKind::ALL.iter().copied() {
            let issuer = issuer(kind).await;
            let token = issuer.token(AUDIENCE, &Map::new()).unwrap();
            let token = UnverifiedAssertion::parse(&token, AssertionShape::Unsaid).unwrap();
            let keys = get(issuer.keys_url()).await;
            let key_id = token.unverified_key_id().unwrap().as_str();
            assert_eq!(keys["keys"][0]["kid"], key_id, "{kind}");
            let names_algorithm = ![IssuerKind::AZURE, IssuerKind::SPIFFE].contains(&kind);
            assert_eq!(keys["keys"][0].get("alg").is_some(), names_algorithm, "{kind}");
        }
    }

    #[tokio::test]
    async fn metadata_names_the_issuer_as_the_tokens_do() {
        for kind in [IssuerKind::GITHUB_ACTIONS, IssuerKind::AZURE, IssuerKind::KUBERNETES, IssuerKind::OIDC] {
            let issuer = issuer(kind).await;
            let metadata = get(&format!("{}/.well-known/openid-configuration", issuer.url())).await;
            assert_eq!(metadata["issuer"], issuer.claims(AUDIENCE).unwrap()["iss"]);
            assert_eq!(metadata["jwks_uri"], issuer.keys_url());
        }
    }

    #[tokio::test]
    async fn claims_keep_the_fixtures_shape_and_lifetime() {
        let github = issuer(IssuerKind::GITHUB_ACTIONS).await.claims(AUDIENCE).unwrap();
        assert_eq!(
            (&github["iat"], &github["exp"], &github["nbf"]),
            (&json!(1_800_000_000), &json!(1_800_000_300), &json!(1_799_999_400))
        );
        assert_eq!((&github["aud"], &github["repository_id"]), (&json!(AUDIENCE), &json!("123456")));
        assert_ne!(github["jti"], issuer(IssuerKind::GITHUB_ACTIONS).await.claims(AUDIENCE).unwrap()["jti"]);
        let spiffe = issuer(IssuerKind::SPIFFE).await.claims(AUDIENCE).unwrap();
        assert_eq!(spiffe["aud"], json!([AUDIENCE]));
        assert!(!spiffe.contains_key("iss"));
    }

    #[tokio::test]
    async fn rotation_signs_with_a_new_key_and_keeps_the_old_one_published() {
        let issuer = issuer(IssuerKind::SPIFFE).await;
        let before = get(issuer.keys_url()).await;
        issuer.rotate().await.unwrap();
        let after = get(issuer.keys_url()).await;
        assert_ne!(after["keys"][0]["kid"], before["keys"][0]["kid"]);
        assert_eq!(after["keys"][1], before["keys"][0]);
        assert_eq!(after["spiffe_sequence"], 2);
    }
}
