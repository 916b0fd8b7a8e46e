//! One X.509 authority of a SPIFFE bundle (SPIFFE Trust Domain and Bundle §4.2.2), or the reason it is left out.
//!
//! In: a member of `keys`. Out: the certificate of an authority that signs X.509-SVIDs. The key's own parameters are not
//! read: the certificate has the key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use serde_json::{Map, Value};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::SkippedKey;

/// Whether this key signs X.509-SVIDs.
pub(super) fn is_authority(jwk: &Value) -> bool {
    jwk.get("use").and_then(Value::as_str) == Some("x509-svid")
}

/// Reads one authority.
pub(super) fn authority(jwk: &Value) -> Result<CertificateDer<'static>, SkippedKey> {
    let members = jwk.as_object().ok_or(SkippedKey::Malformed)?;
    if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| members.contains_key(*name)) {
        return Err(SkippedKey::PrivateKey);
    }
    let certificate = only_certificate(members).ok_or(SkippedKey::BadCertificate)?;
    if !is_usable(&certificate) {
        return Err(SkippedKey::BadCertificate);
    }
    Ok(certificate)
}

/// §4.2.2: `x5c` has exactly one certificate, in base64 that is not base64url (RFC 7517 §4.7).
fn only_certificate(members: &Map<String, Value>) -> Option<CertificateDer<'static>> {
    match members.get("x5c")?.as_array()?.as_slice() {
        [Value::String(text)] => STANDARD.decode(text).ok().map(CertificateDer::from),
        _ => None,
    }
}

/// A certificate that may sign others. A leaf in its place would make whoever holds that leaf's key an authority.
fn is_usable(certificate: &CertificateDer<'_>) -> bool {
    let Ok((rest, read)) = X509Certificate::from_der(certificate) else { return false };
    let is_ca = read.basic_constraints().ok().flatten().is_some_and(|extension| extension.value.ca);
    let may_sign = match read.key_usage() {
        Ok(usage) => usage.is_none_or(|extension| extension.value.key_cert_sign()),
        Err(_) => false,
    };
    rest.is_empty() && is_ca && may_sign && webpki::anchor_from_trusted_cert(certificate).is_ok()
}
