//! Real TLS on loopback: whom a fetch trusts.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// A certificate authority of its own.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

/// A server's certificate chain and private key, in PEM.
pub(super) struct Leaf {
    certificate: String,
    key: String,
}

impl Authority {
    pub(super) fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { issuer, directory }
    }

    pub(super) fn leaf(&self, names: &[&str]) -> Leaf {
        self.leaf_with(names, |_| ())
    }

    fn leaf_with(&self, names: &[&str], change: impl Fn(&mut CertificateParams)) -> Leaf {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Leaf { certificate, key: key.serialize_pem() }
    }

    /// An issuer whose `ca_file` is this authority, on a private network.
    pub(super) fn trusted_by(&self, settings: IssuerSettings) -> IssuerSettings {
        let ca_file = Some(self.directory.path().join("ca.pem"));
        IssuerSettings { ca_file, allow_private_network: true, danger_allow_http: false, ..settings }
    }
}

impl Leaf {
    /// Serves a router; its base URL, with the name `localhost`.
    pub(super) async fn serve(self, router: Router) -> String {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = axum_server::tls_rustls::RustlsConfig::from_pem(self.certificate.into(), self.key.into());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = axum_server::from_tcp_rustls(listener, config.await.unwrap()).unwrap();
        tokio::spawn(server.serve(router.into_make_service()));
        format!("https://localhost:{port}")
    }
}

fn keys() -> Router {
    Router::new().route("/keys", get(|| async { json_reply(KEYS) }))
}

fn refused(got: &Result<Fetched, FetchFault>) -> &str {
    match got {
        Err(FetchFault::Tls(words)) => words,
        other => panic!("not refused for TLS: {other:?}"),
    }
}

const UNKNOWN_CA: &str = "the server's certificate is not signed by a CA that is trusted here; see ca_file";

#[tokio::test]
async fn a_private_ca_is_trusted_where_it_is_configured_and_nowhere_else() {
    let (authority, other) = (Authority::new(), Authority::new());
    let base = authority.leaf(&["localhost"]).serve(keys()).await;
    let settings = keys_at(&format!("{base}/keys"));
    for ca_only in [false, true] {
        let trusting = IssuerSettings { ca_only, ..authority.trusted_by(settings.clone()) };
        assert_eq!(fetch(trusting).await.map(|got| got.body), Ok(KEYS.into()));
        let foreign = IssuerSettings { ca_only, ..other.trusted_by(settings.clone()) };
        assert_eq!(refused(&fetch(foreign).await), UNKNOWN_CA);
    }
    let without = IssuerSettings { ca_file: None, ..authority.trusted_by(settings.clone()) };
    assert!(matches!(fetch(without).await, Err(FetchFault::Tls(_))));
    let empty = authority.directory.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let empty = IssuerSettings { ca_file: Some(empty), ..authority.trusted_by(settings) };
    assert!(matches!(fetch(empty).await, Err(FetchFault::LocalFile { .. })));
}

#[tokio::test]
async fn a_certificate_for_another_host_out_of_time_or_self_signed_is_refused_with_the_reason() {
    let authority = Authority::new();
    let date = rcgen::date_time_ymd;
    let of_another_host = authority.leaf(&["idp.example"]);
    let expired = authority.leaf_with(&["localhost"], |params| params.not_after = date(2020, 1, 1));
    let early = authority.leaf_with(&["localhost"], |params| params.not_before = date(3000, 1, 1));
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let self_signed = Leaf { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() };
    for (leaf, reason) in [
        (of_another_host, "the server's certificate is for another host"),
        (expired, "the server's certificate has expired"),
        (early, "the server's certificate is not valid yet"),
        (self_signed, UNKNOWN_CA),
    ] {
        let base = leaf.serve(keys()).await;
        let got = fetch(authority.trusted_by(keys_at(&format!("{base}/keys")))).await;
        assert_eq!(refused(&got), reason);
        assert_eq!(got.unwrap_err().outcome(), "tls");
    }
}

#[tokio::test]
async fn tls_1_0_and_1_1_are_refused() {
    let hello = |minor: u8| {
        // ServerHello, TLS_RSA_WITH_AES_128_CBC_SHA, no extensions.
        let mut message = vec![2, 0, 0, 38, 3, minor];
        message.extend([7; 32]);
        message.extend([0, 0, 0x2f, 0]);
        [vec![22, 3, minor, 0, 42], message].concat()
    };
    // The alert `protocol_version`, as a server answers that wants an older one than is offered.
    let alert = |minor: u8| vec![21, 3, minor, 0, 2, 2, 70];
    for answer in [hello(1), hello(2), alert(1), alert(2)] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(&answer).await;
            let _ = stream.read(&mut [0; 1]).await;
        });
        let settings = Authority::new().trusted_by(keys_at(&format!("https://localhost:{port}/keys")));
        // The files live as long as the authority; this one is gone, and not needed to fail.
        let settings = IssuerSettings { ca_file: None, ..settings };
        let got = fetch(settings).await;
        assert_eq!(refused(&got), "the server speaks neither TLS 1.2 nor TLS 1.3 with our cipher suites");
    }
}

#[tokio::test]
async fn a_private_address_is_reached_for_the_configured_origin_and_not_for_its_other_ports() {
    let authority = Authority::new();
    let other = authority.leaf(&["localhost"]).serve(keys()).await;
    let served = Arc::new(std::sync::OnceLock::<String>::new());
    let metadata = served.clone();
    let router = keys().route(
        "/.well-known/openid-configuration",
        get(move || async move { json_reply(metadata.get().unwrap().clone()) }),
    );
    let base = authority.leaf(&["localhost"]).serve(router).await;
    served.set(json!({"issuer": base, "jwks_uri": format!("{other}/keys")}).to_string()).unwrap();
    let at = |keys: KeySource| IssuerSettings {
        url: Some(IssuerUrl::parse(&base).unwrap()),
        ..authority.trusted_by(lab(keys))
    };
    assert_eq!(fetch(at(KeySource::Discovery(None))).await, Err(FetchFault::AddressRefused));
    let written = at(KeySource::Url(Url::parse(&format!("{other}/keys")).unwrap()));
    assert!(fetch(written.clone()).await.is_ok());
    let closed = IssuerSettings { allow_private_network: false, ..written };
    assert_eq!(fetch(closed).await, Err(FetchFault::AddressRefused));
}

#[tokio::test]
async fn a_bundle_endpoint_of_profile_https_web_is_authenticated_by_its_host_name() {
    let authority = Authority::new();
    let bundle = r#"{"keys":[],"spiffe_sequence":7}"#;
    let router = || Router::new().route("/bundle", get(move || async move { json_reply(bundle) }));
    let mesh = |base: &str| {
        let keys = KeySource::BundleEndpoint {
            url: Url::parse(&format!("{base}/bundle")).unwrap(),
            profile: crate::config::BundleProfile::HttpsWeb,
        };
        let trust_domain = Some("prod.example.com".try_into().unwrap());
        let mesh = IssuerSettings { trust_domain, keys, ..settings("mesh", IssuerKind::SPIFFE) };
        authority.trusted_by(mesh)
    };
    let good = authority.leaf(&["localhost"]).serve(router()).await;
    assert_eq!(fetch(mesh(&good)).await.map(|got| got.body), Ok(bundle.into()));
    let wrong = authority.leaf(&["spire.example"]).serve(router()).await;
    assert_eq!(refused(&fetch(mesh(&wrong)).await), "the server's certificate is for another host");
}
