//! The configuration directory that the demonstration writes: what an operator would write, on loopback.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::place::Place;
use super::platforms::{Issuers, Platform};
use super::spire::{self, Spire};

/// First line of every `countersign.yaml` that this command writes; without it the file is somebody's own.
pub const MARK: &str = "# Written by `countersign quickstart`.";

/// The audience that Entra writes in the fixture's tokens: the GUID of the application that stands for the broker.
const AZURE_AUDIENCE: &str = "9c3e7f10-5a2b-4d8c-b6e4-1f0a3d5c7b92";

/// The shipped policies, whose issuer names and ids are those of the demonstration.
const POLICIES: [(&str, &str); 4] = [
    ("github-deploy.yaml", include_str!("../../../policies/github-deploy.yaml")),
    ("azure-vm.yaml", include_str!("../../../policies/azure-vm.yaml")),
    ("kubernetes-payments.yaml", include_str!("../../../policies/kubernetes-payments.yaml")),
    ("spiffe-mesh.yaml", include_str!("../../../policies/spiffe-mesh.yaml")),
];
/// The shipped service; only its upstream is another here.
const SERVICE: &str = include_str!("../../../services/my-api.yaml");
const SHIPPED_UPSTREAM: &str = "http://127.0.0.1:9000";
const TRUST_BUNDLES: &str = "Pinned key sets: SPIFFE bundles and JWKS files of issuers that cannot be reached.\n\
                             An issuer names one with `keys: { file: NAME.json }` or `bundle: { file: NAME.json }`.\n";

/// Writes the whole directory.
///
/// # Errors
/// When a file cannot be written.
pub fn write(
    place: &Place,
    listen: SocketAddr,
    issuers: &Issuers,
    spire: Option<&Spire>,
    echo: &str,
) -> io::Result<()> {
    let root = place.root();
    for directory in ["data", "policies", "services", "trust-bundles"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::write(place.config_file(), configuration(listen, issuers, spire))?;
    fs::write(root.join("services/my-api.yaml"), SERVICE.replace(SHIPPED_UPSTREAM, echo))?;
    fs::write(root.join("trust-bundles/README.md"), TRUST_BUNDLES)?;
    write_policies(&root.join("policies"), spire.is_some())
}

fn write_policies(directory: &Path, with_spire: bool) -> io::Result<()> {
    POLICIES.iter().try_for_each(|(name, text)| fs::write(directory.join(name), text))?;
    let for_spire = directory.join("spire-workload.yaml");
    match with_spire {
        true => fs::write(for_spire, spire::POLICY),
        // A kept directory may have it from a start with SPIRE; without its issuer it would not load.
        false => fs::remove_file(for_spire).or_else(|fault| match fault.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(fault),
        }),
    }
}

fn configuration(listen: SocketAddr, issuers: &Issuers, spire: Option<&Spire>) -> String {
    let entries: String = Platform::ALL
        .into_iter()
        .map(|platform| {
            format!("  {}: {{ {}, danger_allow_http: true }}\n", platform.name(), issuer(platform, issuers))
        })
        .chain(spire.map(Spire::configuration))
        .collect();
    format!(
        "{MARK} It is complete: `countersign --config THIS_FILE check`.
# The issuers are small ones on loopback; with their real addresses left to the presets this is a production file,
# apart from the plain HTTP that every danger_allow_http allows.
issuer: http://{listen}
listen: {listen}
admin: {{ socket: ./data/admin.sock }}
data: ./data
policies: ./policies
services: ./services
trust_bundles: ./trust-bundles
token: {{ lifetime: 15m, max_lifetime: 1h, signing_algorithm: ES256 }}
issuers:
{entries}"
    )
}

fn issuer(platform: Platform, issuers: &Issuers) -> String {
    let (kind, url, keys) = (platform.kind(), issuers.of(platform).url(), issuers.of(platform).keys_url());
    match platform {
        Platform::Github | Platform::Kubernetes => format!("kind: {kind}, url: \"{url}\""),
        Platform::Azure => {
            let tenant = issuers.of(platform).tenant().unwrap_or_default();
            format!(
                "kind: {kind}, tenant: {tenant}, url: \"{url}\", keys: {{ url: \"{keys}\" }}, audiences: [{AZURE_AUDIENCE}]"
            )
        }
        Platform::Spiffe => {
            format!("kind: {kind}, trust_domain: prod.acme.example, bundle: {{ url: \"{keys}\", profile: https_web }}")
        }
    }
}
