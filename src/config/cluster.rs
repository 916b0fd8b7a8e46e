//! What only a `kubernetes` issuer says: `in_cluster`, `review`, and an `iss` that several clusters share.

use std::path::Path;

use url::Url;

use crate::diagnostic::Diagnostics;
use crate::kind::IssuerKind;
use crate::vocab::IssuerUrl;
use crate::yaml::Yaml;

use super::keys::{self, Fetching};
use super::schema;
use super::section::Section;
use super::settings::{IssuerSettings, KeySource, ReviewSettings};

/// Where every pod finds its cluster's CA and its own token (Kubernetes, "Accessing the API from a Pod").
pub(super) const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The API server's name inside its own cluster.
const KEYS: &str = "https://kubernetes.default.svc/openid/v1/jwks";
/// The `--service-account-issuer` of a cluster whose operator chose none.
const DEFAULT_ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Whether the issuer is the cluster that the broker itself runs in.
pub(super) fn is_in_cluster(issuer: &Section<'_>, kind: IssuerKind) -> bool {
    let set = issuer.entry("in_cluster").map(|entry| &entry.value.value);
    kind == IssuerKind::KUBERNETES && matches!(set, Some(Yaml::Bool(true)))
}

/// The `iss` of an in-cluster issuer without `url`.
pub(super) fn default_issuer() -> Option<IssuerUrl> {
    IssuerUrl::parse(DEFAULT_ISSUER).ok()
}

/// Whether these are two clusters, which may share an `iss`: many clusters' operators chose none, and then the key that
/// verifies tells them apart. The same source of keys would be one cluster twice; another CA does not make another
/// server.
pub(super) fn are_two(one: &IssuerSettings, other: &IssuerSettings) -> bool {
    one.kind == other.kind && one.kind.shares_identifier && one.keys != other.keys
}

/// How the keys of the broker's own cluster are fetched, with what its pod has under `mount`.
pub(super) fn in_cluster(issuer: &Section<'_>, mount: &Path, faults: &mut Diagnostics) -> Fetching {
    for name in ["keys", "ca_file", "bearer_token_file"] {
        if issuer.has(name) {
            let message = format!("`in_cluster` and `{name}` both say how the keys are fetched");
            faults.push(issuer.fault_at_key(name, "conflict", message).fix("keep one of them"));
        }
    }
    let (ca_file, token) = (mount.join("ca.crt"), mount.join("token"));
    for file in [&ca_file, &token] {
        if let Err(error) = std::fs::File::open(file) {
            let message = format!("`in_cluster`: {}: {error}", file.display());
            let fix = "run the broker in a pod that mounts its service account (automountServiceAccountToken: true), \
                       or name `keys`, `ca_file` and `bearer_token_file` in its place";
            faults.push(issuer.fault("in_cluster", "missing-file", message).fix(fix));
        }
    }
    Fetching {
        keys: Url::parse(KEYS).map_or(KeySource::Discovery(None), KeySource::Url),
        ca_file: Some(ca_file),
        // Every API server's certificate is of the cluster's own CA; no other may vouch for it.
        ca_only: true,
        bearer_token_file: Some(token),
    }
}

/// Which API server is asked about tokens: the one that has the keys, or the one that `review` names.
pub(super) fn review(
    issuer: &Section<'_>,
    fetching: &Fetching,
    (trust_bundles, danger_allow_http): (&Path, bool),
    faults: &mut Diagnostics,
) -> Option<ReviewSettings> {
    match &issuer.entry("review")?.value.value {
        Yaml::Bool(false) => None,
        Yaml::Bool(true) => {
            let found = keys_server(fetching);
            if found.is_none() {
                let message = "`review: true` asks the API server that `keys.url` names, with its `bearer_token_file`; \
                               this issuer does not have both";
                let fix = "write `review: { url: https://10.1.0.1:6443, ca_file: cluster-ca.pem, \
                           bearer_token_file: /var/run/reviewer-token }`";
                faults.push(issuer.fault("review", "missing-field", message).fix(fix));
            }
            found
        }
        _ => {
            let named = issuer.section("review", ("`review`", schema::REVIEW), faults)?;
            named.require("url", faults);
            named.require("bearer_token_file", faults);
            let url = named.text("url", faults, |text| match keys::remote(text) {
                Ok(url) if url.query().is_some() => Err("must have no query"),
                read => read,
            });
            let is_plain_http = url.as_ref().is_some_and(|url| url.scheme() == "http");
            keys::refuse_plain_http(&named, ("url", is_plain_http), danger_allow_http, faults);
            let ca_file = named.existing_file("ca_file", trust_bundles, faults);
            let bearer_token_file = named.existing_file("bearer_token_file", trust_bundles, faults)?;
            Some(ReviewSettings { url: url?, ca_file, bearer_token_file })
        }
    }
}

/// The API server that publishes the keys itself; a cloud's public issuer needs no bearer token and reviews nothing.
fn keys_server(fetching: &Fetching) -> Option<ReviewSettings> {
    let url = match &fetching.keys {
        KeySource::Url(url) => url.join("/").ok()?,
        KeySource::Discovery(Some(url)) => Url::parse(url.as_str()).ok()?.join("/").ok()?,
        _ => return None,
    };
    let bearer_token_file = fetching.bearer_token_file.clone()?;
    Some(ReviewSettings { url, ca_file: fetching.ca_file.clone(), bearer_token_file })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;

    fn read(text: &str, mount: &Path) -> (Fetching, Diagnostics) {
        let mut faults = Diagnostics::new();
        let source = Source::new("c.yaml", text);
        let node = crate::yaml::documents(&source, &mut faults).pop().unwrap();
        let section = Section::open(&source, &node, ("an issuer", schema::ISSUER), &mut faults).unwrap();
        assert!(is_in_cluster(&section, IssuerKind::KUBERNETES) && !is_in_cluster(&section, IssuerKind::OIDC));
        (in_cluster(&section, mount, &mut faults), faults)
    }

    #[test]
    fn a_pod_s_own_mount_says_how_its_cluster_s_keys_are_fetched() {
        let mount = tempfile::tempdir().unwrap();
        for name in ["ca.crt", "token"] {
            std::fs::write(mount.path().join(name), "").unwrap();
        }
        let (fetching, faults) = read("kind: kubernetes\nin_cluster: true\n", mount.path());
        assert!(faults.is_empty(), "{faults}");
        assert_eq!(fetching.keys, KeySource::Url(KEYS.parse().unwrap()));
        assert_eq!(fetching.ca_file, Some(mount.path().join("ca.crt")));
        assert_eq!(fetching.bearer_token_file, Some(mount.path().join("token")));
    }

    #[test]
    fn outside_a_pod_each_missing_file_is_named_with_the_fix() {
        let mount = tempfile::tempdir().unwrap();
        let (_, faults) = read("kind: kubernetes\nin_cluster: true\n", mount.path());
        let text = faults.to_string();
        assert_eq!(faults.iter().filter(|fault| fault.id() == "missing-file").count(), 2, "{text}");
        for expected in ["ca.crt", "/token", "automountServiceAccountToken", "c.yaml:2:13"] {
            assert!(text.contains(expected), "no {expected} in {text}");
        }
    }
}
