//! A configuration directory: `countersign.yaml`, policies, key sets. Valid until a test adds to it.

use std::collections::BTreeMap;
use std::path::Path;

use super::BROKER;
use super::keys::{TestKey, jwks};
use super::platform::Platform;

/// The files a broker is started from.
#[derive(Clone, Default)]
pub struct Setup {
    issuer: Option<String>,
    settings: Vec<String>,
    issuers: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
}

/// The platforms of [`Setup::platforms`].
#[derive(Clone)]
pub struct Platforms {
    pub github: Platform,
    pub azure: Platform,
    pub kubernetes: Platform,
    pub spiffe: Platform,
    pub partner: Platform,
}

impl Platforms {
    pub fn new() -> Platforms {
        Platforms {
            github: Platform::github(),
            azure: Platform::azure(),
            kubernetes: Platform::kubernetes(),
            spiffe: Platform::spiffe(),
            partner: Platform::oidc(),
        }
    }
}

/// One policy a platform; each names one user.
const POLICIES: [(&str, &str); 5] = [
    (
        "deploy-prod",
        "policy: deploy-prod
issuer: github
match:
  repository_owner_id: \"65\"
  repository_id: \"123456\"
  event_name: [push, workflow_dispatch]
  ref: refs/heads/main
  job_workflow_ref: { glob: \"acme/ci/.github/workflows/deploy.yml@refs/tags/*\" }
  runner_environment: github-hosted
  environment: production
user: prod-deployer
scopes: [\"service:my-api\", \"service:billing/*\"]
attributes: { repository: \"{repository}\", run: \"{run_id}\" }
",
    ),
    (
        "payments-vm",
        "policy: payments-vm
issuer: azure
match:
  tid: 6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94
  oid: b1a6c4de-8f02-4c1b-a7d3-90e2f5c6d718
user: payments-vm
scopes: [\"service:my-api\"]
",
    ),
    (
        "payments-pod",
        "policy: payments-pod
issuer: prod
match:
  sub: system:serviceaccount:payments:payments-api
  /kubernetes.io/namespace: payments
  /kubernetes.io/pod/name: { present: true }
user: payments-pod
scopes: [\"service:my-api\"]
",
    ),
    (
        "mesh-api",
        "policy: mesh-api
issuer: mesh
match: { sub: \"spiffe://prod.acme.example/ns/payments/sa/api\" }
user: mesh-api
scopes: [\"service:my-api\"]
",
    ),
    (
        "partner-build",
        "policy: partner-build
issuer: partner
match: { sub: e6a0c5c4-52b7-4c39-9d0f-3a6f1a7b2d10 }
user: partner-build
scopes: [\"service:my-api\", \"service:billing/*\"]
",
    ),
];

impl Setup {
    /// One issuer of each kind, keys from files, so nothing touches the network; a policy and a user for each.
    pub fn platforms(platforms: &Platforms) -> Setup {
        let mut setup = Setup::default()
            .platform("github", "kind: github-actions", &platforms.github)
            .platform(
                "azure",
                "kind: azure, tenant: 6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94, \
                 audiences: [9c3e7f10-5a2b-4d8c-b6e4-1f0a3d5c7b92]",
                &platforms.azure,
            )
            .platform(
                "prod",
                &format!("kind: kubernetes, url: {}", platforms.kubernetes.issuer()),
                &platforms.kubernetes,
            )
            .platform("partner", &format!("kind: oidc, url: {}", platforms.partner.issuer()), &platforms.partner);
        let mut svid_key = platforms.spiffe.key.jwk();
        svid_key["use"] = "jwt-svid".into();
        setup = setup
            .issuer("mesh", "{ kind: spiffe, trust_domain: prod.acme.example, bundle: { file: mesh.json } }")
            .file("trust-bundles/mesh.json", &jwks([svid_key]));
        for (name, text) in POLICIES {
            setup = setup.policy(name, text);
        }
        setup
    }

    /// Adds an issuer whose key set is a file; `settings` are the inside of its braces.
    pub fn platform(self, name: &str, settings: &str, platform: &Platform) -> Setup {
        self.key_file(name, settings, &[&platform.key])
    }

    /// Adds or replaces an issuer whose key set is a file with these keys.
    pub fn key_file(self, name: &str, settings: &str, keys: &[&TestKey]) -> Setup {
        self.key_set(name, settings, &jwks(keys.iter().map(|key| key.jwk())))
    }

    /// Adds or replaces an issuer whose key set is this text.
    pub fn key_set(self, name: &str, settings: &str, key_set: &str) -> Setup {
        self.issuer(name, &format!("{{ {settings}, keys: {{ file: {name}.json }} }}"))
            .file(&format!("trust-bundles/{name}.json"), key_set)
    }

    /// Adds or replaces an issuer.
    pub fn issuer(mut self, name: &str, settings: &str) -> Setup {
        self.issuers.insert(name.to_owned(), settings.to_owned());
        self
    }

    /// Replaces a text in an issuer's settings.
    pub fn in_issuer(mut self, name: &str, old: &str, new: &str) -> Setup {
        let settings = self.issuers.get_mut(name).expect("the issuer is there");
        assert!(settings.contains(old), "no {old:?} in {settings}");
        *settings = settings.replace(old, new);
        self
    }

    /// Adds or replaces a policy file.
    pub fn policy(self, name: &str, text: &str) -> Setup {
        self.file(&format!("policies/{name}.yaml"), text)
    }

    /// Adds or replaces a file.
    pub fn file(mut self, path: &str, text: &str) -> Setup {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    /// The broker's own issuer identifier.
    pub fn under_issuer(mut self, identifier: &str) -> Setup {
        self.issuer = Some(identifier.to_owned());
        self
    }

    /// Adds a line to `countersign.yaml`.
    pub fn setting(mut self, line: &str) -> Setup {
        self.settings.push(line.to_owned());
        self
    }

    /// Writes everything below `directory`; `listen` is the public listener.
    pub fn write(&self, directory: &Path, listen: &str) {
        for sub_directory in ["policies", "trust-bundles", "services"] {
            std::fs::create_dir_all(directory.join(sub_directory)).expect("a directory");
        }
        let issuer = self.issuer.as_deref().unwrap_or(BROKER);
        let mut yaml = format!("issuer: {issuer}\nlisten: {listen}\ndata: ./data\nadmin: {{ socket: ./admin.sock }}\n");
        for line in &self.settings {
            yaml.push_str(&format!("{line}\n"));
        }
        yaml.push_str("issuers:\n");
        for (name, settings) in &self.issuers {
            yaml.push_str(&format!("  {name}: {settings}\n"));
        }
        std::fs::write(directory.join("countersign.yaml"), yaml).expect("a file");
        for (path, text) in &self.files {
            let path = directory.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, text).expect("a file");
        }
    }
}
