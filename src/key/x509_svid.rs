//! Whether a trust domain issued a certificate, and to a workload (X509-SVID §5).
//!
//! In: a chain that names a workload, and the X.509 authorities of exactly one trust domain. Out: [`X509Svid`]. The same
//! rules hold for a client of ours and for the server of a bundle endpoint. Not here: whether anyone may act on it.

use std::time::Duration;

use rustls::pki_types::{self, CertificateDer, TrustAnchor};
use spiffe::SpiffeId;
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::client_auth::UnverifiedCertificate;
use crate::vocab::UnixTime;

/// Which end of a connection shows the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Server,
}

/// A certificate that its trust domain issued to a workload and that is valid now. Only `verify`, below, makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct X509Svid {
    id: SpiffeId,
    not_after: UnixTime,
}

impl X509Svid {
    /// The workload.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The last second at which it is valid.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }
}

/// Why a certificate proves no workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum X509SvidRefusal {
    /// Its SPIFFE ID is of another trust domain than the authorities are.
    #[error("the certificate's SPIFFE ID is of another trust domain")]
    TrustDomain,
    /// X509-SVID §5.2: a leaf is no authority.
    #[error("the certificate is an authority's (CA true)")]
    Authority,
    /// X509-SVID §4.3: what a leaf's key may do.
    #[error("the certificate's key usage {0}")]
    KeyUsage(&'static str),
    /// Past its end.
    #[error("the certificate ended at {not_after}, read at {now}")]
    Expired {
        /// Its last second.
        not_after: UnixTime,
        /// When it was read.
        now: UnixTime,
    },
    /// Before its beginning.
    #[error("the certificate begins at {not_before}, read at {now}")]
    NotYetValid {
        /// Its first second.
        not_before: UnixTime,
        /// When it was read.
        now: UnixTime,
    },
    /// No valid path to an authority of the trust domain.
    #[error("no authority of the trust domain stands behind the certificate: {0}")]
    Chain(String),
}

impl X509SvidRefusal {
    /// The audit record's cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            X509SvidRefusal::TrustDomain => "certificate.trust_domain",
            X509SvidRefusal::Authority => "certificate.authority",
            X509SvidRefusal::KeyUsage(_) => "certificate.key_usage",
            X509SvidRefusal::Expired { .. } => "certificate.expired",
            X509SvidRefusal::NotYetValid { .. } => "certificate.not_yet_valid",
            X509SvidRefusal::Chain(_) => "certificate.chain",
        }
    }
}

/// Verifies a chain against one trust domain's authorities, never against several domains' (SPIFFE Federation §7.3).
///
/// # Errors
/// The first rule that does not hold.
pub(super) fn verify(
    certificate: &UnverifiedCertificate,
    authorities: &[CertificateDer<'static>],
    trust_domain: &str,
    end: End,
    now: UnixTime,
) -> Result<X509Svid, X509SvidRefusal> {
    let id = certificate.unverified_id();
    if id.trust_domain_name() != trust_domain {
        return Err(X509SvidRefusal::TrustDomain);
    }
    let unreadable = || X509SvidRefusal::Chain("it cannot be read".to_owned());
    let (leaf, intermediates) = certificate.leaf_and_intermediates().ok_or_else(unreadable)?;
    let (_, read) = X509Certificate::from_der(leaf).map_err(|_| unreadable())?;
    check_leaf(&read)?;
    let not_after = check_times(&read, now)?;
    check_chain((leaf, intermediates), authorities, end, now)?;
    Ok(X509Svid { id: id.clone(), not_after })
}

/// X509-SVID §5.2, for a leaf: CA false, neither keyCertSign nor cRLSign; §4.3: digitalSignature.
fn check_leaf(leaf: &X509Certificate<'_>) -> Result<(), X509SvidRefusal> {
    let constraints = leaf.basic_constraints().map_err(|_| X509SvidRefusal::Authority)?;
    if constraints.is_some_and(|extension| extension.value.ca) {
        return Err(X509SvidRefusal::Authority);
    }
    let broken = |rule| Err(X509SvidRefusal::KeyUsage(rule));
    let Ok(Some(usage)) = leaf.key_usage() else { return broken("is missing") };
    if usage.value.key_cert_sign() || usage.value.crl_sign() {
        return broken("has keyCertSign or cRLSign");
    }
    if !usage.value.digital_signature() {
        return broken("has no digitalSignature");
    }
    Ok(())
}

/// RFC 5280 §4.1.2.5, both ends included and without leeway: SPIRE dates a certificate back to allow for clocks.
fn check_times(certificate: &X509Certificate<'_>, now: UnixTime) -> Result<UnixTime, X509SvidRefusal> {
    let validity = certificate.validity();
    let (not_before, not_after) = (UnixTime(validity.not_before.timestamp()), UnixTime(validity.not_after.timestamp()));
    if now < not_before {
        return Err(X509SvidRefusal::NotYetValid { not_before, now });
    }
    if now > not_after {
        return Err(X509SvidRefusal::Expired { not_after, now });
    }
    Ok(not_after)
}

/// X509-SVID §5.1, RFC 5280 §6. URI name constraints are refused rather than evaluated (webpki knows no rule for them;
/// RUSTSEC-2026-0098 was that it skipped them).
fn check_chain(
    (leaf, intermediates): (&CertificateDer<'static>, &[CertificateDer<'static>]),
    authorities: &[CertificateDer<'static>],
    end: End,
    now: UnixTime,
) -> Result<(), X509SvidRefusal> {
    let failed = |error: webpki::Error| X509SvidRefusal::Chain(error.to_string());
    let anchors = anchors(authorities, now);
    let usage = match end {
        End::Client => KeyUsage::client_auth(),
        End::Server => KeyUsage::server_auth(),
    };
    let time = pki_types::UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.0).unwrap_or(0)));
    let leaf = EndEntityCert::try_from(leaf).map_err(failed)?;
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    let path = leaf.verify_for_usage(algorithms, &anchors, intermediates, time, usage, None, None).map_err(failed)?;
    // RFC 5280 §6.1.4 (n), which webpki leaves to the CA flag.
    if path.intermediate_certificates().all(|one| may_sign_certificates(&one.der())) {
        Ok(())
    } else {
        Err(X509SvidRefusal::Chain("an intermediate's key usage has no keyCertSign".to_owned()))
    }
}

/// The authorities that are valid now: webpki takes an anchor at its word.
fn anchors<'a>(authorities: &'a [CertificateDer<'static>], now: UnixTime) -> Vec<TrustAnchor<'a>> {
    let is_valid = |authority: &&CertificateDer<'_>| {
        X509Certificate::from_der(authority).is_ok_and(|(_, read)| check_times(&read, now).is_ok())
    };
    let valid = authorities.iter().filter(is_valid);
    valid.filter_map(|authority| webpki::anchor_from_trusted_cert(authority).ok()).collect()
}

/// Whether these authorities have all ended: none will ever be an anchor again. Not so where there are none.
pub(super) fn have_all_ended(authorities: &[CertificateDer<'static>], now: UnixTime) -> bool {
    let has_ended = |authority: &CertificateDer<'_>| {
        X509Certificate::from_der(authority)
            .is_ok_and(|(_, read)| matches!(check_times(&read, now), Err(X509SvidRefusal::Expired { .. })))
    };
    !authorities.is_empty() && authorities.iter().all(has_ended)
}

fn may_sign_certificates(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, read)) = X509Certificate::from_der(certificate) else { return false };
    read.key_usage().is_ok_and(|usage| usage.is_none_or(|extension| extension.value.key_cert_sign()))
}

#[cfg(test)]
#[path = "x509_svid_tests.rs"]
pub(super) mod tests;
