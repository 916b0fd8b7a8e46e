//! Whether a bundle endpoint is the workload it must be (SPIFFE Federation §5.2.2, profile https_spiffe).
//!
//! In: the endpoint's SPIFFE ID and its trust domain's authorities. Out: a TLS configuration that connects to that
//! workload only. No Web PKI and no host name: the name in the URL only says where to knock.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{self, CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use spiffe::SpiffeId;

use super::fetch::{FetchFault, read_file};
use super::key_set::{KeySet, KeySetUse};
use super::x509_svid::{self, End};
use crate::client_auth::UnverifiedCertificate;
use crate::vocab::UnixTime;

/// The authorities that the endpoint is checked with: those of the bundle fetched last, whatever its age, and the
/// bootstrap file's only while no bundle is held that can check anybody (see `cache`). A domain drops an authority to end
/// the trust in it, maybe because its key was stolen; to fall back to the file sooner would give that thief the domain's
/// whole bundle (§5.2.2.4).
pub(super) fn authorities(held: Option<&KeySet>, bootstrap: &Path) -> Result<Vec<CertificateDer<'static>>, FetchFault> {
    if let Some(set) = held {
        return found(set).ok_or(FetchFault::NoAuthority);
    }
    let set = KeySet::parse(&read_file(bootstrap)?.body, KeySetUse::SpiffeJwt, &[])?;
    found(&set).ok_or_else(|| FetchFault::LocalFile {
        what: "the bootstrap bundle",
        path: bootstrap.display().to_string(),
        error: "it has no X.509 authority (use: x509-svid)".to_owned(),
    })
}

fn found(set: &KeySet) -> Option<Vec<CertificateDer<'static>>> {
    Some(set.x509_authorities().to_vec()).filter(|authorities| !authorities.is_empty())
}

/// TLS to the server with this SPIFFE ID, and to no other.
pub(super) fn tls(endpoint: &SpiffeId, authorities: Vec<CertificateDer<'static>>) -> Result<ClientConfig, FetchFault> {
    let provider = aws_lc_rs::default_provider();
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Arc::new(BundleServer { endpoint: endpoint.clone(), authorities, algorithms });
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| FetchFault::Connection(error.to_string()))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

#[derive(Debug)]
struct BundleServer {
    endpoint: SpiffeId,
    authorities: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Why the server is not the endpoint.
#[derive(Debug, thiserror::Error)]
#[error("the bundle endpoint's server is not trusted: {0}")]
struct NotTheEndpoint(String);

impl NotTheEndpoint {
    fn not_proven() -> Error {
        NotTheEndpoint("it has not proven the certificate's private key".to_owned()).into()
    }
}

impl From<NotTheEndpoint> for Error {
    fn from(why: NotTheEndpoint) -> Error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
    }
}

impl BundleServer {
    fn check(&self, chain: Vec<CertificateDer<'static>>, now: UnixTime) -> Result<(), NotTheEndpoint> {
        let certificate = UnverifiedCertificate::read(chain).map_err(|fault| NotTheEndpoint(fault.to_string()))?;
        let domain = self.endpoint.trust_domain_name();
        let svid = x509_svid::verify(&certificate, &self.authorities, domain, End::Server, now);
        match svid {
            Ok(svid) if *svid.id() == self.endpoint => Ok(()),
            Ok(_) => Err(NotTheEndpoint("it has another SPIFFE ID than endpoint_spiffe_id".to_owned())),
            Err(refusal) => Err(NotTheEndpoint(refusal.to_string())),
        }
    }
}

impl ServerCertVerifier for BundleServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _host: &ServerName<'_>,
        _ocsp: &[u8],
        now: pki_types::UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
        let now = UnixTime(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        self.check(chain, now).map(|()| ServerCertVerified::assertion()).map_err(Error::from)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms).map_err(|_| NotTheEndpoint::not_proven())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms).map_err(|_| NotTheEndpoint::not_proven())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[path = "bundle_server_tests.rs"]
mod tests;
