//! A directory with a configuration and the shipped policies, and the program run in it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// One issuer a kind, named as the shipped policies name them.
pub(crate) const CONFIG: &str = "issuer: https://broker.example.com
listen: 127.0.0.1:8443
issuers:
  github: { kind: github-actions }
  azure: { kind: azure, tenant: 6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94, audiences: [\"api://countersign\"] }
  kubernetes: { kind: kubernetes, url: https://oidc.eks.eu-west-1.amazonaws.com/id/4F1C8B2A7D9E3056A1B4C7D2E8F90311 }
  spiffe: { kind: spiffe, trust_domain: prod.acme.example, bundle: { url: https://spire.acme.example/bundle, profile: https_web } }
  gitlab: { kind: gitlab }
  buildkite: { kind: buildkite }
  circleci: { kind: circleci, url: https://oidc.circleci.com/org/b9291e0d-a11e-41fb-8517-c545388b5953 }
  google: { kind: google }
  aws: { kind: aws, url: https://a1b2c3d4-5e6f-4a0b-8c1d-2e3f4a5b6c7d.tokens.sts.global.api.aws }
  terraform-cloud: { kind: terraform-cloud }
  fly: { kind: fly, url: https://oidc.fly.io/acme }
  partner: { kind: oidc, url: https://idp.partner.example }
";

/// What a run of the program gave.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) struct Place(tempfile::TempDir);

impl Place {
    /// With the configuration, and no policies.
    pub(crate) fn empty() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        std::fs::create_dir(place.path().join("policies")).unwrap();
        place.write("countersign.yaml", CONFIG);
        place
    }

    /// With the shipped policies and their tests.
    pub(crate) fn shipped() -> Place {
        let place = Place::empty();
        for entry in std::fs::read_dir(repository().join("policies")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, place.path().join("policies").join(path.file_name().unwrap())).unwrap();
        }
        place
    }

    /// With this policy and this test, and no others.
    pub(crate) fn with(policy: &str, test: &str) -> Place {
        let place = Place::empty();
        place.write("policies/p.yaml", policy);
        place.write("policies/p.test.yaml", test);
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path().join(file), text).unwrap();
    }

    pub(crate) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path().join(file)).unwrap()
    }

    /// `countersign policy ARGUMENTS`.
    pub(crate) fn policy(&self, arguments: &[&str]) -> Ran {
        self.policy_with(arguments, "")
    }

    /// The same, with this on standard input.
    pub(crate) fn policy_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.current_dir(self.path()).env_clear().arg("policy").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that does not read its input may have ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: status.code(), out: text(stdout), err: text(stderr) }
    }
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
