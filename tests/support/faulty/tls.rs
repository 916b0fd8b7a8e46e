//! Certificates of a faulty issuer, good and bad.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What a faulty issuer's TLS shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A certificate of its authority for its address.
    Good,
    /// One that ended years ago.
    Expired,
    /// One that begins in years.
    NotYetValid,
    /// One that nobody signed.
    SelfSigned,
    /// One of its authority for another name.
    OtherHost,
    /// One of an authority that nobody configured, of the same name.
    OtherAuthority,
    /// An answer of TLS 1.0.
    Version10,
    /// Plain HTTP on the port.
    Plaintext,
}

/// What a connection begins with.
#[derive(Clone)]
pub(super) enum Tls {
    Off,
    On(Arc<ServerConfig>),
    /// Takes what comes for a bad request.
    Plaintext,
    Version10,
}

/// A certificate authority and the address it speaks for.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    address: IpAddr,
}

impl Authority {
    pub(super) fn new(address: IpAddr) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { issuer: Issuer::new(params, key), pem, address }
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn shows(&self, shown: Shown) -> Tls {
        let mut params = CertificateParams::new(vec![self.address.to_string()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        match shown {
            Shown::Plaintext => return Tls::Plaintext,
            Shown::Version10 => return Tls::Version10,
            Shown::SelfSigned => {
                let certificate = params.self_signed(&key).expect("a certificate");
                return on(certificate.der().clone(), &key);
            }
            Shown::OtherAuthority => return Authority::new(self.address).shows(Shown::Good),
            Shown::Good => {}
            Shown::Expired => {
                params.not_before = date_time_ymd(2019, 1, 1);
                params.not_after = date_time_ymd(2020, 1, 1);
            }
            Shown::NotYetValid => params.not_before = date_time_ymd(4000, 1, 1),
            Shown::OtherHost => {
                let other = ["127.0.0.200".to_owned(), "idp.example".to_owned()];
                params = CertificateParams::new(other.to_vec()).expect("names");
            }
        }
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        on(certificate.der().clone(), &key)
    }
}

fn on(certificate: CertificateDer<'static>, key: &KeyPair) -> Tls {
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Tls::On(Arc::new(config.expect("the key is the certificate's")))
}

/// RFC 2246 §7.4.1.3: version 3.1, TLS_RSA_WITH_AES_128_CBC_SHA. rustls has no server that old.
pub(super) fn server_hello_of_tls_1_0() -> Vec<u8> {
    let hello = [&[0x03, 0x01], [7; 32].as_slice(), &[0, 0x00, 0x2f, 0]].concat();
    let handshake = [&[2, 0, 0, hello.len() as u8], hello.as_slice()].concat();
    [&[22, 0x03, 0x01, 0, handshake.len() as u8], handshake.as_slice()].concat()
}
