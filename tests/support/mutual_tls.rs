//! A broker behind TLS that asks for client certificates, and clients that have one, or none.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock};

use rcgen::{CertificateParams, KeyPair};
use rustls::client::{ClientConfig, ClientConnection};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion};
use serde_json::json;

use super::broker::TestBroker;
use super::certificates::{Authority, Leaf, svid};
use super::platform::Platform;
use super::setup::Setup;
use super::wire::{Reply, Request};

/// The workload that the policy of [`Setup::platforms`] for `mesh` admits.
pub const API: &str = "spiffe://prod.acme.example/ns/payments/sa/api";

/// The authority of `prod.acme.example`.
pub static MESH: LazyLock<Authority> = LazyLock::new(|| Authority::new("prod.acme.example"));

/// The broker's own certificate and key.
static BROKER: LazyLock<(rcgen::Certificate, KeyPair)> = LazyLock::new(|| {
    let pair = KeyPair::generate().expect("a key");
    let names = CertificateParams::new(vec!["broker.example.com".to_owned()]).expect("a name");
    (names.self_signed(&pair).expect("a certificate"), pair)
});

/// Serves TLS, asks for certificates, and knows the authority of `mesh` beside its JWT key.
pub fn asking(setup: Setup) -> Setup {
    let mut key = Platform::spiffe().key.jwk();
    key["use"] = "jwt-svid".into();
    let bundle = json!({ "keys": [key, MESH.jwk()] }).to_string();
    behind_tls(setup, ", client_certificates: request").file("trust-bundles/mesh.json", &bundle)
}

/// Serves TLS with more settings of `tls`.
pub fn behind_tls(setup: Setup, more: &str) -> Setup {
    let (certificate, pair) = &*BROKER;
    setup
        .setting(&format!("tls: {{ cert: ./tls.crt, key: ./tls.key{more} }}"))
        .file("tls.crt", &certificate.pem())
        .file("tls.key", &pair.serialize_pem())
}

/// The workload's own certificate.
pub fn api() -> Leaf {
    MESH.issue(&svid(API))
}

/// The request of a workload that signs in with its certificate.
pub fn sign_in(client_id: &str) -> Request {
    Request::token(&[("grant_type", "client_credentials"), ("client_id", client_id)])
}

/// A client that shows this certificate if it is asked, and remembers sessions.
#[derive(Clone)]
pub struct Client(Arc<ClientConfig>);

impl Client {
    pub fn new(identity: Option<&Leaf>) -> Client {
        Client::speaking(identity, rustls::ALL_VERSIONS)
    }

    /// One that speaks these versions of TLS.
    pub fn speaking(identity: Option<&Leaf>, versions: &[&'static SupportedProtocolVersion]) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(BROKER.0.der().clone()).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        Client(Arc::new(match identity {
            None => builder.with_no_client_auth(),
            // Not checked against each other, so that a test can show a certificate without having its key.
            Some(leaf) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified(leaf)))),
        }))
    }

    /// Sends a request on a connection of its own. A connection that ends without an answer is status 0.
    pub async fn send(&self, to: &TestBroker, request: &Request) -> Reply {
        self.converse(to, request).await.0
    }

    /// The same, and whether the session was resumed.
    pub async fn converse(&self, to: &TestBroker, request: &Request) -> (Reply, Option<HandshakeKind>) {
        let (config, address, bytes) = (Arc::clone(&self.0), to.address, request.bytes());
        let talk = tokio::task::spawn_blocking(move || converse(config, address, &bytes));
        talk.await.expect("the client does not panic")
    }
}

fn certified(leaf: &Leaf) -> CertifiedKey {
    let key = PrivateKeyDer::try_from(leaf.key_der()).expect("a key");
    let chain = leaf.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    CertifiedKey::new(chain, aws_lc_rs::sign::any_supported_type(&key).expect("a key that signs"))
}

fn converse(config: Arc<ClientConfig>, to: SocketAddr, bytes: &[u8]) -> (Reply, Option<HandshakeKind>) {
    let name = "broker.example.com".try_into().expect("a name");
    let session = ClientConnection::new(config, name).expect("a session");
    let mut stream = StreamOwned::new(session, TcpStream::connect(to).expect("a connection"));
    let mut answer = Vec::new();
    if stream.write_all(bytes).is_ok() {
        let _ = stream.read_to_end(&mut answer);
    }
    (Reply::parse(&answer), stream.conn.handshake_kind())
}
