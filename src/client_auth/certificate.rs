//! The shape of an X.509-SVID: a certificate that names one workload (X509-SVID §2).
//!
//! In: a chain as TLS carried it, leaf first; whoever sent it has proven the leaf's private key in the handshake. Out:
//! [`UnverifiedCertificate`]. Proves: its size, and exactly one URI name that is a SPIFFE ID with a path. Leaves
//! unchecked: who signed it, when it is valid, and what its key may do (see `key`).

use rustls::pki_types::CertificateDer;
use spiffe::SpiffeId;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::kind::spiffe::parse_id;

/// Longest chain. SPIRE nested four deep sends five certificates, and every further one costs a signature to check.
const MAX_CHAIN: usize = 8;

/// A certificate chain whose leaf names one workload. Nothing in it is proven but the leaf's private key.
#[derive(Clone)]
pub struct UnverifiedCertificate {
    chain: Vec<CertificateDer<'static>>,
    id: SpiffeId,
}

impl std::fmt::Debug for UnverifiedCertificate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("UnverifiedCertificate").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

/// What is wrong with a certificate's shape. Carries nothing that it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// More certificates than any trust domain's chain has.
    #[error("the chain has more than {MAX_CHAIN} certificates")]
    TooLong,
    /// No certificate, or one that is not DER as RFC 5280 §4.1 has it.
    #[error("the certificate is malformed")]
    Malformed,
    /// X509-SVID §2: exactly one URI name; other kinds of names do not matter.
    #[error("the certificate has {0} URI names, not one")]
    UriNames(usize),
    /// X509-SVID §2, §5.2: it is a SPIFFE ID, and a workload's has a path.
    #[error("the certificate's URI name {0}")]
    SpiffeId(&'static str),
    /// RFC 8705 §2, draft-ietf-oauth-spiffe-client-auth §3.2: the request says as whom.
    #[error("a certificate needs a client_id beside it, its SPIFFE ID")]
    NoClientId,
    /// The same: another client than the certificate's.
    #[error("the client_id is not the certificate's SPIFFE ID")]
    ClientId,
}

impl CertificateFault {
    /// The audit record's cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            CertificateFault::TooLong => "certificate.too_long",
            CertificateFault::Malformed => "certificate.malformed",
            CertificateFault::UriNames(_) => "certificate.uri_names",
            CertificateFault::SpiffeId(_) => "certificate.spiffe_id",
            CertificateFault::NoClientId => "certificate.no_client_id",
            CertificateFault::ClientId => "certificate.client_id",
        }
    }
}

impl UnverifiedCertificate {
    /// Reads a chain, leaf first.
    ///
    /// # Errors
    /// See [`CertificateFault`].
    pub fn read(chain: Vec<CertificateDer<'static>>) -> Result<UnverifiedCertificate, CertificateFault> {
        if chain.len() > MAX_CHAIN {
            return Err(CertificateFault::TooLong);
        }
        let id = workload(chain.first().ok_or(CertificateFault::Malformed)?)?;
        Ok(UnverifiedCertificate { chain, id })
    }

    /// The leaf, and what may lead from it to an authority.
    #[must_use]
    pub fn leaf_and_intermediates(&self) -> Option<(&CertificateDer<'static>, &[CertificateDer<'static>])> {
        self.chain.split_first()
    }

    /// The workload that it names.
    #[must_use]
    pub fn unverified_id(&self) -> &SpiffeId {
        &self.id
    }
}

/// The SPIFFE ID in the one URI name.
fn workload(leaf: &CertificateDer<'_>) -> Result<SpiffeId, CertificateFault> {
    let (rest, certificate) = X509Certificate::from_der(leaf).map_err(|_| CertificateFault::Malformed)?;
    let names = certificate.subject_alternative_name().map_err(|_| CertificateFault::Malformed)?;
    let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    // A name that cannot be read may be another URI.
    if !rest.is_empty() || names.iter().any(|name| matches!(name, GeneralName::Invalid(..))) {
        return Err(CertificateFault::Malformed);
    }
    let uris: Vec<&str> = names.iter().filter_map(uri).collect();
    match uris.as_slice() {
        [uri] => parse_id(uri).map_err(CertificateFault::SpiffeId),
        several_or_none => Err(CertificateFault::UriNames(several_or_none.len())),
    }
}

fn uri<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::URI(uri) => Some(uri),
        _ => None,
    }
}
