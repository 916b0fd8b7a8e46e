//! Why a key set could not be had, in an operator's words.

use super::super::address::AddressRefused;
use super::super::key_set::KeySetFault;

/// Why a key set could not be had. Carries no body and no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum FetchFault {
    #[error("no source of keys is configured")]
    NotConfigured,
    #[error("{0} is not a URL that keys may be fetched from: it must be https without user information")]
    Url(String),
    #[error("the host's address is not one that keys may be fetched from; see allow_private_network")]
    AddressRefused,
    #[error("no answer within the time limit")]
    Timeout,
    /// Nobody was there to be asked: no address, no route, no listener.
    #[error("cannot reach it: {0}")]
    Unreachable(String),
    #[error("cannot connect: {0}")]
    Connection(String),
    #[error("cannot connect: {0}")]
    Tls(String),
    #[error("the answer has status {0}, not 200")]
    Status(u16),
    #[error("the answer redirects {0}")]
    Redirect(&'static str),
    #[error("the answer is compressed, which we asked it not to be")]
    Encoding,
    #[error("the answer's content type is not JSON")]
    ContentType,
    #[error("the answer is larger than 1 MiB")]
    TooLarge,
    #[error("the SPIFFE agent gives no bundles: {0}")]
    Agent(String),
    #[error("the issuer's metadata {0}")]
    Metadata(&'static str),
    #[error("{what} {path} cannot be read: {error}")]
    LocalFile { what: &'static str, path: String, error: String },
    #[error("the bundle has no X.509 authority to check its endpoint with")]
    NoAuthority,
    #[error("{0}")]
    KeySet(#[from] KeySetFault),
    /// Keys that were removed since must not come back from an old copy.
    #[error(
        "the bundle's sequence {found} is older than {held}, which is held; if the trust domain was made anew, run \
         `countersign issuer refresh`"
    )]
    OlderSequence { found: u64, held: u64 },
    #[error("the fetch was stopped")]
    Stopped,
}

impl FetchFault {
    /// Whether the attempt ended before any server was asked.
    pub(in super::super) fn reached_nobody(&self) -> bool {
        match self {
            FetchFault::NotConfigured
            | FetchFault::Unreachable(_)
            | FetchFault::NoAuthority
            | FetchFault::LocalFile { .. } => true,
            // Metadata may have named the URL, and its server was asked for that.
            FetchFault::Url(_)
            | FetchFault::AddressRefused
            | FetchFault::Timeout
            | FetchFault::Connection(_)
            | FetchFault::Tls(_)
            | FetchFault::Status(_)
            | FetchFault::Redirect(_)
            | FetchFault::Encoding
            | FetchFault::ContentType
            | FetchFault::TooLarge
            | FetchFault::Agent(_)
            | FetchFault::Metadata(_)
            | FetchFault::KeySet(_)
            | FetchFault::OlderSequence { .. }
            | FetchFault::Stopped => false,
        }
    }

    /// The fault of a later step: somebody was asked, so the next try waits as after any answer.
    pub(super) fn after_an_answer(self) -> FetchFault {
        match self {
            FetchFault::Unreachable(why) => FetchFault::Connection(why),
            other => other,
        }
    }

    /// The metric's label: a closed list.
    pub(in super::super) fn outcome(&self) -> &'static str {
        match self {
            FetchFault::NotConfigured => "not_configured",
            FetchFault::Url(_) | FetchFault::AddressRefused => "refused",
            FetchFault::Timeout => "timeout",
            FetchFault::Unreachable(_) => "unreachable",
            FetchFault::Connection(_) => "connection",
            FetchFault::Tls(_) => "tls",
            FetchFault::Status(_) => "status",
            FetchFault::Redirect(_) => "redirect",
            FetchFault::Encoding => "encoding",
            FetchFault::ContentType => "content_type",
            FetchFault::TooLarge => "too_large",
            FetchFault::Agent(_) => "agent",
            FetchFault::Metadata(_) => "metadata",
            FetchFault::LocalFile { .. } => "local_file",
            FetchFault::NoAuthority => "no_authority",
            FetchFault::KeySet(_) => "key_set",
            FetchFault::OlderSequence { .. } => "older_sequence",
            FetchFault::Stopped => "stopped",
        }
    }
}

/// What went wrong on the way, in the libraries' words, without the URL (a redirect may have put anything there).
pub(super) fn connection(error: &reqwest::Error) -> FetchFault {
    if error.is_timeout() {
        return FetchFault::Timeout;
    }
    let causes: Vec<&(dyn std::error::Error + 'static)> =
        std::iter::successors(std::error::Error::source(error), |cause| cause.source()).collect();
    if causes.iter().any(|cause| cause.is::<AddressRefused>()) {
        return FetchFault::AddressRefused;
    }
    if let Some(fault) = causes.iter().find_map(|cause| tls_fault(*cause)) {
        return FetchFault::Tls(tls_words(fault));
    }
    let last = causes.last().map_or_else(|| "the request failed".to_owned(), ToString::to_string);
    let reached_nobody = |cause: &&(dyn std::error::Error + 'static)| {
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        use std::io::ErrorKind as Kind;
        matches!(kind, Some(Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable))
            // The resolver's errors have no kind; hyper-util's wording is the only mark.
            || cause.to_string().starts_with("dns error")
    };
    if causes.iter().any(reached_nobody) { FetchFault::Unreachable(last) } else { FetchFault::Connection(last) }
}

/// An I/O error does not name what it wraps as its source.
fn tls_fault<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let wrapped = || cause.downcast_ref::<std::io::Error>()?.get_ref();
    cause.downcast_ref::<rustls::Error>().or_else(|| tls_fault(wrapped()?))
}

/// What an operator can act on; the rest in the library's words. Names in a certificate are left out: a stranger wrote
/// them.
fn tls_words(fault: &rustls::Error) -> String {
    use rustls::{AlertDescription, CertificateError as Certificate, Error};
    let words = match fault {
        Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
            "the server's certificate has expired"
        }
        Error::InvalidCertificate(Certificate::NotValidYet | Certificate::NotValidYetContext { .. }) => {
            "the server's certificate is not valid yet"
        }
        Error::InvalidCertificate(Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }) => {
            "the server's certificate is for another host"
        }
        // A bad signature: a root has the signer's name and another key.
        Error::InvalidCertificate(Certificate::UnknownIssuer | Certificate::BadSignature) => {
            "the server's certificate is not signed by a CA that is trusted here; see ca_file"
        }
        Error::PeerIncompatible(_) | Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            "the server speaks neither TLS 1.2 nor TLS 1.3 with our cipher suites"
        }
        // Our own verifier's words, of a server that had to be a certain workload.
        Error::InvalidCertificate(Certificate::Other(why)) => return why.to_string(),
        other => return format!("TLS failed: {other}"),
    };
    words.to_owned()
}
