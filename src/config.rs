//! `countersign.yaml`, read once into final types.
//!
//! In: a file, the environment, defaults. Out: [`Config`], in which every value is already what its user needs.
//! Not here: whether an issuer answers, and what the policies say.

mod settings;
mod signing;
mod store;
mod schema;
mod json_schema;
mod text;
mod environment;
mod layers;
mod section;
mod bundle_endpoint;
mod keys;
mod proxy;
mod cluster;
mod issuers;
mod broker;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use json_schema::json_schema;
pub use proxy::ProxySettings;
pub use settings::{
    AdminListener, AdminSettings, BundleProfile, ClientCertificates, Config, IssuerSettings, KeySource, LintSettings,
    ReloadSettings, ReviewSettings, SigningAlgorithm, TlsFiles, TokenSettings,
};
pub use signing::{KeyEncryptionSettings, KeySecret, KeySecretSource, SigningSettings};
pub use store::{PostgresSettings, StoreSettings};

use crate::diagnostic::Diagnostics;

/// Reads the configuration: the file over the defaults, and `COUNTERSIGN__SECTION__FIELD` variables over the file.
///
/// # Errors
/// Every fault of the file and of the variables, at once.
pub fn load(path: &Path, environment: &[(String, String)]) -> Result<Config, Diagnostics> {
    let mut faults = Diagnostics::new();
    let config = text::Text::read(path, &mut faults).and_then(|text| {
        let merged = layers::merge(&text, environment, &mut faults)?;
        broker::read(path, text.shown(), (&merged, environment), &mut faults)
    });
    match config {
        Some(config) => faults.or(config),
        None => Err(faults),
    }
}
