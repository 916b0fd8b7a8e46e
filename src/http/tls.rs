//! TLS of the public listener: the certificate that it shows, and, where configured, the one that it asks for.
//!
//! In: PEM files. Out: a TLS configuration. A client may have no certificate, or any; a handshake ends only when the
//! private key of the one that it shows is not proven. Not here: whose certificate it is (see `client_auth` and `key`).

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum_server::tls_rustls::RustlsConfig;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoClientAuth, ServerConfig};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme, client::danger::HandshakeSignatureValid,
};

use crate::config::{ClientCertificates, TlsFiles};

/// Reads the files.
pub(super) async fn open(files: &TlsFiles) -> io::Result<RustlsConfig> {
    Ok(RustlsConfig::from_config(Arc::new(read(files).await?)))
}

/// Reads them again, for connections from now on.
pub(super) async fn reload(config: &RustlsConfig, files: &TlsFiles) -> io::Result<()> {
    config.reload_from_config(Arc::new(read(files).await?));
    Ok(())
}

async fn read(files: &TlsFiles) -> io::Result<ServerConfig> {
    let (chain, key) = (pem(&files.cert).await?, pem(&files.key).await?);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain).collect::<Result<_, _>>().map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(io::Error::other)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = client_verifier(files.client_certificates, &provider);
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?.with_client_cert_verifier(verifier);
    let mut config = builder.with_single_cert(chain, key).map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

async fn pem(path: &Path) -> io::Result<Vec<u8>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    tokio::fs::read(path).await.map_err(named)
}

fn client_verifier(setting: ClientCertificates, provider: &CryptoProvider) -> Arc<dyn ClientCertVerifier> {
    match setting {
        ClientCertificates::None => Arc::new(NoClientAuth),
        ClientCertificates::Request => Arc::new(ProvenKey(provider.signature_verification_algorithms)),
    }
}

/// Asks for a certificate and has its private key proven, whoever issued it. Which trust domain a client is of is known
/// only with its request, and that domain's authorities change while connections stay open: so the chain is verified
/// with each request. A resumed session brings the chain of its first handshake along.
#[derive(Debug)]
struct ProvenKey(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for ProvenKey {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: it would be a list of every trust domain's authorities, for anyone to read.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
