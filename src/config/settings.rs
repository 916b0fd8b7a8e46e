//! The settings' final types. Presets of issuer kinds are filled in by `issuer/`, so an unset value stays `None` here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{KeyEncryptionSettings, ProxySettings, SigningSettings, StoreSettings};
use crate::kind::{Cloud, Identity, IssuerKind};
use crate::vocab::{Algorithm, Audience, ClaimType, IssuerName, IssuerUrl};

/// A whole, valid configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// Our issuer identifier, byte for byte; the default audience of assertions and of tokens.
    pub issuer: IssuerUrl,
    /// The public listener.
    pub listen: SocketAddr,
    /// Certificate and key of the public listener; without them it serves plain HTTP, which the loader allows only on
    /// a loopback address or with `danger_plain_http`.
    pub tls: Option<TlsFiles>,
    /// Where the admin API listens; never the public listener.
    pub admin: AdminSettings,
    /// Directory of the embedded store, and of the admin socket.
    pub data: PathBuf,
    /// Which store.
    pub store: StoreSettings,
    /// Directory of trust policies.
    pub policies: PathBuf,
    /// Directory of pinned key sets.
    pub trust_bundles: PathBuf,
    /// Directory of protected services.
    pub services: PathBuf,
    /// What key fetches go through; never one of the environment unless the file says so.
    pub proxy: Option<ProxySettings>,
    /// Whether changed files are read again by themselves.
    pub reload: ReloadSettings,
    /// What lints of policies keep the set from loading.
    pub lint: LintSettings,
    /// What minted tokens look like.
    pub token: TokenSettings,
    /// When signing keys change.
    pub signing: SigningSettings,
    /// What encrypts the private keys in the store.
    pub key_encryption_key: KeyEncryptionSettings,
    /// The trusted issuers, by name.
    pub issuers: Vec<IssuerSettings>,
}

impl Config {
    /// The names of settings in which this differs from what is running, and which a reload cannot change.
    pub fn fixed_until_restart(&self, running: &Config) -> impl Iterator<Item = &'static str> {
        let changed = [
            ("issuer", self.issuer != running.issuer),
            ("listen", self.listen != running.listen),
            ("tls", self.tls != running.tls),
            ("admin", self.admin != running.admin),
            ("data", self.data != running.data),
            ("store", self.store != running.store),
            ("proxy", self.proxy != running.proxy),
            ("token", self.token != running.token),
            ("signing", self.signing != running.signing),
            ("key_encryption_key", self.key_encryption_key != running.key_encryption_key),
        ];
        changed.into_iter().filter_map(|(name, changed)| changed.then_some(name))
    }
}

/// How much the lints of `docs/lints.md` ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LintSettings {
    /// Warnings are errors.
    pub deny_warnings: bool,
    /// Scopes of services that do not exist are errors.
    pub strict: bool,
}

/// PEM files of a TLS listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, leaf first.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// Whether clients are asked for one.
    pub client_certificates: ClientCertificates,
}

/// Whether a TLS listener asks its clients for a certificate. It never demands one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// It does not ask.
    None,
    /// It asks, so that a workload can sign in with its X.509-SVID.
    Request,
}

/// The admin API's listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// Unix socket, mode 0600; whoever can open it is an administrator.
    pub socket: PathBuf,
    /// An additional TCP listener.
    pub listener: Option<AdminListener>,
}

/// A TCP listener of the admin API: callers show a bearer token from the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminListener {
    /// A loopback address.
    pub listen: SocketAddr,
    /// File of accepted bearer tokens, one a line, each at least 32 characters.
    pub token_file: PathBuf,
}

/// Which key type signs the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum SigningAlgorithm {
    ES256,
    EdDSA,
    RS256,
}

impl SigningAlgorithm {
    /// All of them, in the order in which keys are published.
    pub const ALL: [SigningAlgorithm; 3] = [SigningAlgorithm::ES256, SigningAlgorithm::EdDSA, SigningAlgorithm::RS256];

    /// Its JOSE name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SigningAlgorithm::ES256 => "ES256",
            SigningAlgorithm::EdDSA => "EdDSA",
            SigningAlgorithm::RS256 => "RS256",
        }
    }
}

/// When files that changed are read again without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReloadSettings {
    /// Whether they are looked at.
    pub watch: bool,
    /// The least time between two looks.
    pub every: Duration,
}

/// What minted tokens look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// How long a token lives when no policy says otherwise.
    pub lifetime: Duration,
    /// No token lives longer.
    pub max_lifetime: Duration,
    /// The key that signs.
    pub signing_algorithm: SigningAlgorithm,
}

/// One trusted issuer as configured. `None` means "as the kind's preset says".
#[derive(Debug, Clone, PartialEq)]
pub struct IssuerSettings {
    /// The operator's name for it.
    pub name: IssuerName,
    /// Which preset applies.
    pub kind: IssuerKind,
    /// The `iss` value, where the kind does not fix it.
    pub url: Option<IssuerUrl>,
    /// Azure: the GUIDs of the tenants, lower case.
    pub tenants: Vec<String>,
    /// Azure: the cloud they are in.
    pub cloud: Cloud,
    /// SPIFFE: the trust domain.
    pub trust_domain: Option<spiffe::TrustDomain>,
    /// Accepted `aud` values; default exactly our issuer identifier.
    pub audiences: Option<Vec<Audience>>,
    /// Accepted algorithms.
    pub algorithms: Option<Vec<Algorithm>>,
    /// Where its keys are.
    pub keys: KeySource,
    /// PEM file of roots for fetching its keys, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Trust `ca_file` alone; only set where there is one.
    pub ca_only: bool,
    /// File with a bearer token for fetching its keys; read anew at every fetch.
    pub bearer_token_file: Option<PathBuf>,
    /// Whether an assertion may be used only once.
    pub single_use: Option<bool>,
    /// Longest `exp - iat` (or `exp - now` without `iat`).
    pub max_lifetime: Option<Duration>,
    /// Clock skew allowed on `exp`, `nbf` and `iat`.
    pub leeway: Option<Duration>,
    /// Accept an `aud` list that has other values beside an accepted one.
    pub allow_additional_audiences: bool,
    /// Fetch keys from private addresses, for this issuer's origins only.
    pub allow_private_network: bool,
    /// Accept an assertion without `kid` when exactly one key fits.
    pub allow_missing_kid: bool,
    /// How long the last good keys serve when fetching fails.
    pub stale_keys_for: Option<Duration>,
    /// Claims declared beside the kind's own.
    pub claims: BTreeMap<String, ClaimType>,
    /// Claims whose values no audit record keeps.
    pub audit_exclude: BTreeSet<String>,
    /// Allow `http://` on loopback for this issuer.
    pub danger_allow_http: bool,
    /// Kubernetes: ask the cluster whether a token still holds before it becomes anybody.
    pub review: Option<ReviewSettings>,
    /// `mode: shadow`: its policies are decided and recorded, and admit nobody.
    pub shadow: bool,
    /// Configured, but refused as if it were not.
    pub disabled: bool,
    /// Whether callers whose token it signed are told which lines of the nearest policy refuse them.
    pub explain_to_caller: bool,
}

impl IssuerSettings {
    /// What of this identifies the issuer.
    #[must_use]
    pub fn identity(&self) -> Identity<'_> {
        Identity {
            url: self.url.as_ref(),
            tenants: &self.tenants,
            cloud: self.cloud,
            trust_domain: self.trust_domain.as_ref(),
        }
    }
}

/// An API server that is asked about tokens (Kubernetes `TokenReview`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewSettings {
    /// The API server, with the path that stands before `/apis` where a proxy adds one.
    pub url: url::Url,
    /// PEM file of the only roots that its certificate may have; without it the system's.
    pub ca_file: Option<PathBuf>,
    /// File with the broker's own bearer token; read anew for every review.
    pub bearer_token_file: PathBuf,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// OpenID Connect discovery at the issuer's URL, or at this one where the metadata lives elsewhere.
    Discovery(Option<IssuerUrl>),
    /// A JWKS at this URL.
    Url(url::Url),
    /// A JWKS or SPIFFE bundle file, already resolved against `trust_bundles`.
    File(PathBuf),
    /// A SPIFFE bundle endpoint.
    BundleEndpoint {
        /// Where.
        url: url::Url,
        /// How it proves itself.
        profile: BundleProfile,
    },
    /// The Workload API of a SPIFFE agent, at this unix socket.
    WorkloadApi(PathBuf),
}

/// How a SPIFFE bundle endpoint proves itself (SPIFFE Federation §5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundleProfile {
    /// By a certificate of a CA that is trusted for host names.
    HttpsWeb,
    /// By an X.509-SVID of the same trust domain.
    HttpsSpiffe {
        /// Whose.
        endpoint: spiffe::SpiffeId,
        /// A bundle file with the authority behind it, for the first fetch.
        bootstrap: PathBuf,
    },
}
