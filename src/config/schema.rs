//! Every field of `countersign.yaml`, with its shape and an example: what is known, how the text of an environment
//! variable becomes a value, and what a fix shows.

/// A field's name and what it holds.
pub(super) type Field = (&'static str, Shape);

/// What a field holds.
pub(super) enum Shape {
    /// A string, written like this example.
    Text(&'static str),
    /// `true` or `false`.
    Boolean,
    /// `true`, or a string like this example.
    BooleanOrText(&'static str),
    /// `true`, or a mapping of these fields.
    BooleanOrFields(&'static [Field]),
    /// A list of strings, written like this example.
    List(&'static str),
    /// A mapping of these fields.
    Fields(&'static [Field]),
    /// A mapping from names the operator chooses to values of this shape.
    Named(&'static Shape),
}

impl Shape {
    /// What to write in its place.
    pub(super) fn example(&self) -> String {
        match self {
            Shape::Text(example) | Shape::BooleanOrText(example) | Shape::List(example) => (*example).to_owned(),
            Shape::Boolean | Shape::BooleanOrFields(_) => "true".to_owned(),
            Shape::Fields(fields) => match fields.first() {
                Some((name, shape)) => format!("{{ {name}: {} }}", shape.example()),
                None => "{}".to_owned(),
            },
            Shape::Named(shape) => format!("{{ NAME: {} }}", shape.example()),
        }
    }
}

/// The whole file.
pub(super) const CONFIG: &[Field] = &[
    ("issuer", Shape::Text("https://broker.example.com")),
    ("listen", Shape::Text("127.0.0.1:8443")),
    ("tls", Shape::Fields(TLS)),
    ("danger_plain_http", Shape::Boolean),
    ("admin", Shape::Fields(ADMIN)),
    ("data", Shape::Text("./data")),
    ("store", Shape::Fields(STORE)),
    ("policies", Shape::Text("./policies")),
    ("trust_bundles", Shape::Text("./trust-bundles")),
    ("services", Shape::Text("./services")),
    ("proxy", Shape::Text("http://proxy.example.com:3128")),
    ("reload", Shape::Fields(RELOAD)),
    ("lint", Shape::Fields(LINT)),
    ("token", Shape::Fields(TOKEN)),
    ("signing", Shape::Fields(SIGNING)),
    ("key_encryption_key", Shape::Fields(KEY_ENCRYPTION_KEY)),
    ("explain_to_caller", Shape::List("[github]")),
    ("issuers", Shape::Named(&Shape::Fields(ISSUER))),
];

/// `tls:`
pub(super) const TLS: &[Field] = &[
    ("cert", Shape::Text("/etc/countersign/tls.crt")),
    ("key", Shape::Text("/etc/countersign/tls.key")),
    ("client_certificates", Shape::Text("request")),
];

/// `admin:`
pub(super) const ADMIN: &[Field] = &[
    ("socket", Shape::Text("./data/admin.sock")),
    ("listen", Shape::Text("127.0.0.1:8081")),
    ("token_file", Shape::Text("./admin-tokens")),
];

/// `store:`
pub(super) const STORE: &[Field] = &[
    ("postgres", Shape::Text("\"postgres://countersign@db.example.com/countersign\"")),
    ("password_file", Shape::Text("/etc/countersign/database-password")),
    ("ca_file", Shape::Text("/etc/countersign/database-ca.crt")),
];

/// `reload:`
pub(super) const RELOAD: &[Field] = &[("watch", Shape::Boolean), ("every", Shape::Text("2s"))];

/// `lint:`
pub(super) const LINT: &[Field] = &[("deny_warnings", Shape::Boolean), ("strict", Shape::Boolean)];

/// `token:`
pub(super) const TOKEN: &[Field] = &[
    ("lifetime", Shape::Text("15m")),
    ("max_lifetime", Shape::Text("1h")),
    ("signing_algorithm", Shape::Text("ES256")),
];

/// `signing:`
pub(super) const SIGNING: &[Field] = &[("rotate_every", Shape::Text("30d")), ("jwks_max_age", Shape::Text("5m"))];

/// `key_encryption_key:`
pub(super) const KEY_ENCRYPTION_KEY: &[Field] = &[
    ("file", Shape::Text("/etc/countersign/key-encryption.key")),
    ("environment", Shape::Text("KEY_ENCRYPTION_KEY")),
    ("credential", Shape::Text("key-encryption-key")),
    ("previous", Shape::List("[\"file:/etc/countersign/old-key-encryption.key\"]")),
];

/// One of `issuers:`
pub(super) const ISSUER: &[Field] = &[
    ("kind", Shape::Text("github-actions")),
    ("url", Shape::Text("https://idp.example.com")),
    ("tenant", Shape::Text("11111111-2222-3333-4444-555555555555")),
    ("tenants", Shape::List("[11111111-2222-3333-4444-555555555555]")),
    ("cloud", Shape::Text("us-government")),
    ("trust_domain", Shape::Text("prod.example.com")),
    ("bundle", Shape::Fields(BUNDLE)),
    ("keys", Shape::Fields(KEYS)),
    ("in_cluster", Shape::Boolean),
    ("audiences", Shape::List("[\"https://broker.example.com\"]")),
    ("algorithms", Shape::List("[RS256, ES256]")),
    ("ca_file", Shape::Text("ca.pem")),
    ("ca_only", Shape::Boolean),
    ("bearer_token_file", Shape::Text("/var/run/token")),
    ("single_use", Shape::Boolean),
    ("max_lifetime", Shape::Text("1h")),
    ("leeway", Shape::Text("60s")),
    ("allow_additional_audiences", Shape::Boolean),
    ("allow_private_network", Shape::Boolean),
    ("allow_missing_kid", Shape::Boolean),
    ("stale_keys_for", Shape::Text("24h")),
    ("claims", Shape::Named(&Shape::Text("string"))),
    ("audit_exclude", Shape::List("[email]")),
    ("danger_allow_http", Shape::Boolean),
    ("review", Shape::BooleanOrFields(REVIEW)),
    ("mode", Shape::Text("shadow")),
    ("disabled", Shape::Boolean),
];

/// `keys:` of an issuer.
pub(super) const KEYS: &[Field] = &[
    ("discovery", Shape::BooleanOrText("true")),
    ("url", Shape::Text("https://idp.example.com/jwks")),
    ("file", Shape::Text("idp.jwks.json")),
    ("ca_file", Shape::Text("ca.pem")),
    ("ca_only", Shape::Boolean),
    ("bearer_token_file", Shape::Text("/var/run/token")),
];

/// `bundle:` of a SPIFFE issuer.
pub(super) const BUNDLE: &[Field] = &[
    ("url", Shape::Text("https://spire.example.com/bundle")),
    ("profile", Shape::Text("https_web")),
    ("endpoint_spiffe_id", Shape::Text("spiffe://prod.example.com/spire/server")),
    ("bootstrap_file", Shape::Text("prod.example.com.json")),
    ("file", Shape::Text("prod.example.com.json")),
    ("workload_api", Shape::Text("unix:///run/spire/sockets/agent.sock")),
];

/// `review:` of a Kubernetes issuer.
pub(super) const REVIEW: &[Field] = &[
    ("url", Shape::Text("https://10.1.0.1:6443")),
    ("ca_file", Shape::Text("cluster-ca.pem")),
    ("bearer_token_file", Shape::Text("/var/run/reviewer-token")),
];
