//! A bundle endpoint under https_spiffe whose server is not who it must be, over real TLS.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::row::Row;
use crate::support::certificates::{Authority, Leaf, bundle, svid};
use crate::support::mutual_tls::{API, MESH, api, asking, sign_in};

pub const TESTED: &[&str] = &["SP-20"];

const SERVER: &str = "spiffe://prod.acme.example/spire/server";

fn shows(leaf: &Leaf) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(leaf.key_der()).expect("a key");
    let chain = leaf.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).expect("a certificate with its key"))
}

/// An endpoint that serves the domain's bundle; the certificate that it shows can be changed.
fn endpoint() -> (u16, RustlsConfig) {
    let tls = RustlsConfig::from_config(shows(&MESH.issue(&svid(SERVER))));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let answer = get(|| async { ([(CONTENT_TYPE, "application/json")], bundle(&[&MESH])) });
    let serving = axum_server::from_tcp_rustls(listener, tls.clone()).expect("a listener");
    tokio::spawn(serving.serve(Router::new().route("/bundle", answer).into_make_service()));
    (port, tls)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_endpoint_that_is_somebody_else_gives_no_keys() {
    let (port, tls) = endpoint();
    let mesh = format!(
        "{{ kind: spiffe, trust_domain: prod.acme.example, allow_private_network: true, bundle: {{ \
         url: \"https://localhost:{port}/bundle\", profile: https_spiffe, endpoint_spiffe_id: \"{SERVER}\", \
         bootstrap_file: mesh.json }} }}"
    );
    let row = Row::start("SP-20", |setup, _| {
        asking(setup).issuer("mesh", &mesh).file("trust-bundles/mesh.json", &bundle(&[&MESH]))
    })
    .await;
    row.accepts("the endpoint itself", (sign_in(API), api())).await;
    let web = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let others = [
        (MESH.issue(&svid(API)), "another SPIFFE ID"),
        (Authority::new("prod.acme.example").issue(&svid(SERVER)), "no authority"),
        (MESH.issue(&svid("spiffe://stage.acme.example/spire/server")), "another trust domain"),
        (MESH.issue(&web), "0 URI names"),
    ];
    for (other, reason) in others {
        tls.reload_from_config(shows(&other));
        let said = row.broker.refresh_keys("mesh").await.expect_err(reason);
        assert!(said.contains(reason), "{said}");
        row.accepts("the last good bundle", (sign_in(API), api())).await;
    }
    row.broker.advance(crate::issuer_row::TOO_STALE);
    row.refuses("nothing since", (sign_in(API), api()), "key.unavailable").await;
    tls.reload_from_config(shows(&MESH.issue(&svid(SERVER))));
    let _ = row.broker.refresh_keys("mesh").await; // may join one that was under way
    row.broker.refresh_keys("mesh").await.expect("the endpoint is itself again");
    row.accepts("itself again", (sign_in(API), api())).await;
    row.finish();
}
