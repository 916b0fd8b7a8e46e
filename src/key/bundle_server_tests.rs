//! Over real TLS on loopback, through the one way out to the network.

use std::path::PathBuf;
use std::sync::Mutex;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::routing::get;
use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::super::cache::World;
use super::super::fetch::{Fetch as _, Fetched, HttpFetch, Limits};
use super::super::x509_svid::tests::certificates::{Authority, Leaf, bundle, svid, svid_with, valid};
use super::super::{Keys, Previous};
use super::*;
use crate::clock::Clock;
use crate::config::{BundleProfile, IssuerSettings, KeySource};
use crate::diagnostic::Diagnostics;
use crate::issuer::tests::{issuers, settings};
use crate::kind::IssuerKind;
use crate::store::Store;
use crate::store::sqlite::Sqlite;
use crate::vocab::{Algorithm, IssuerName};

const SERVER: &str = "spiffe://prod.acme.example/spire/server";

/// A bundle endpoint, and the issuer that names it.
struct Endpoint {
    port: u16,
    tls: RustlsConfig,
    body: Arc<Mutex<String>>,
    directory: tempfile::TempDir,
}

impl Endpoint {
    /// A server that shows `leaf`, answers with `body`, and has `bootstrap` on file with its client.
    async fn start(leaf: &Leaf, body: &str, bootstrap: &str) -> Endpoint {
        let tls = RustlsConfig::from_config(server(leaf));
        let body = Arc::new(Mutex::new(body.to_owned()));
        let served = Arc::clone(&body);
        let router = Router::new()
            .route(
                "/bundle",
                get(move || async move { ([(CONTENT_TYPE, "application/json")], served.lock().unwrap().clone()) }),
            )
            .route("/moved", get(|| async { (StatusCode::PERMANENT_REDIRECT, [(LOCATION, "/bundle")]) }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = axum_server::from_tcp_rustls(listener, tls.clone()).unwrap();
        tokio::spawn(serving.serve(router.into_make_service()));
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("bootstrap.json"), bootstrap).unwrap();
        Endpoint { port, tls, body, directory }
    }

    /// One whose server is what it should be.
    async fn proper(authority: &Authority) -> Endpoint {
        let bundle = bundle(&[authority]);
        Endpoint::start(&authority.issue(&svid(SERVER)), &bundle, &bundle).await
    }

    fn bootstrap(&self) -> PathBuf {
        self.directory.path().join("bootstrap.json")
    }

    fn settings(&self, path: &str) -> IssuerSettings {
        let url = format!("https://localhost:{}{path}", self.port).parse().unwrap();
        let endpoint = SpiffeId::new(SERVER).unwrap();
        IssuerSettings {
            trust_domain: Some(spiffe::TrustDomain::new("prod.acme.example").unwrap()),
            keys: KeySource::BundleEndpoint {
                url,
                profile: BundleProfile::HttpsSpiffe { endpoint, bootstrap: self.bootstrap() },
            },
            allow_private_network: true,
            ..settings("mesh", IssuerKind::SPIFFE)
        }
    }

    /// What a broker that trusts it holds, beginning with `previous`.
    fn keys(&self, previous: Previous<'_>, store: Option<&Arc<dyn Store>>) -> Keys {
        let fetch = Arc::new(HttpFetch { limits: Limits::DEFAULT, proxy: None });
        let world = World { clock: Clock::system(), fetch, store: store.cloned() };
        Keys::start_in(&world, &issuers(&[self.settings("/bundle")]), previous)
    }

    fn answers(&self, authorities: &[&Authority]) {
        *self.body.lock().unwrap() = bundle(authorities);
    }

    fn shows(&self, leaf: &Leaf) {
        self.tls.reload_from_config(server(leaf));
    }

    async fn fetch(&self, held: Option<Arc<KeySet>>) -> Result<Fetched, FetchFault> {
        fetch(self.settings("/bundle"), held).await
    }

    /// Why the first fetch fails, in words.
    async fn refused(&self) -> String {
        match self.fetch(None).await {
            Err(FetchFault::Tls(why) | FetchFault::Connection(why)) => why,
            other => panic!("{other:?}"),
        }
    }
}

async fn fetch(settings: IssuerSettings, held: Option<Arc<KeySet>>) -> Result<Fetched, FetchFault> {
    let issuers = issuers(&[settings]);
    HttpFetch { limits: Limits::DEFAULT, proxy: None }.fetch(issuers.iter().next().unwrap(), held).await
}

/// A server that shows a leaf and signs with its key, even if that is not the certificate's.
fn server(leaf: &Leaf) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(leaf.key_der()).unwrap();
    let chain = leaf.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let certified = CertifiedKey::new(chain, aws_lc_rs::sign::any_supported_type(&key).unwrap());
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified))))
}

fn read(document: &str) -> Option<Arc<KeySet>> {
    Some(Arc::new(KeySet::parse(document.as_bytes(), KeySetUse::SpiffeJwt, &Algorithm::ALL).unwrap()))
}

#[tokio::test]
async fn an_endpoint_with_the_right_id_is_asked_under_any_host_name() {
    let authority = Authority::new("ca");
    let endpoint = Endpoint::proper(&authority).await;
    let fetched = endpoint.fetch(None).await.unwrap();
    assert_eq!(String::from_utf8(fetched.body).unwrap(), bundle(&[&authority]));
    assert!(fetch(endpoint.settings("/moved"), None).await.is_ok(), "a redirect on the same server");
}

#[tokio::test]
async fn a_server_with_another_id_or_of_another_authority_is_not_the_endpoint() {
    let authority = Authority::new("ca");
    let trusted = bundle(&[&authority]);
    let refused = async |leaf: Leaf| Endpoint::start(&leaf, &trusted, &trusted).await.refused().await;
    let another = refused(authority.issue(&svid("spiffe://prod.acme.example/ns/payments/sa/api"))).await;
    assert!(another.contains("another SPIFFE ID"), "{another}");
    let domain = refused(authority.issue(&svid("spiffe://stage.acme.example/spire/server"))).await;
    assert!(domain.contains("another trust domain"), "{domain}");
    let unknown = refused(Authority::new("ca").issue(&svid(SERVER))).await;
    assert!(unknown.contains("no authority"), "{unknown}");
    let ended = refused(authority.issue(&svid_with(SERVER, |params| valid(params, 0, 1_000_000_000)))).await;
    assert!(ended.contains("ended at"), "{ended}");
    let stolen = refused(authority.issue(&svid(SERVER)).with_a_stolen_name()).await;
    assert!(stolen.contains("private key"), "{stolen}");
}

#[tokio::test]
async fn a_certificate_for_a_host_name_is_not_the_endpoints() {
    let authority = Authority::new("ca");
    let trusted = bundle(&[&authority]);
    let web = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let endpoint = Endpoint::start(&authority.issue(&web), &trusted, &trusted).await;
    let why = endpoint.refused().await;
    assert!(why.contains("0 URI names"), "{why}");
}

#[tokio::test]
async fn the_bundle_fetched_last_checks_the_endpoint_and_the_bootstrap_file_no_longer() {
    let (old, new) = (Authority::new("ca"), Authority::new("ca"));
    let endpoint = Endpoint::proper(&old).await;
    // The domain announces its next authority, then signs with it, then drops the old one.
    endpoint.answers(&[&old, &new]);
    let both = endpoint.fetch(None).await.unwrap();
    let held = read(std::str::from_utf8(&both.body).unwrap());
    endpoint.shows(&new.issue(&svid(SERVER)));
    assert!(matches!(endpoint.fetch(None).await, Err(FetchFault::Tls(_))), "the bootstrap file knows only the old");
    endpoint.answers(&[&new]);
    let last = endpoint.fetch(held).await.unwrap();
    // Whoever has the dropped authority's key is nobody now, though the file still names it.
    let held = read(std::str::from_utf8(&last.body).unwrap());
    endpoint.shows(&old.issue(&svid(SERVER)));
    assert!(matches!(endpoint.fetch(held.clone()).await, Err(FetchFault::Tls(_))));
    assert!(endpoint.fetch(None).await.is_ok(), "the same server, without what was learnt");
    endpoint.shows(&new.issue(&svid(SERVER)));
    assert!(endpoint.fetch(held).await.is_ok());
}

#[tokio::test]
async fn a_bundle_without_authorities_ends_the_trust_in_its_endpoint() {
    let authority = Authority::new("ca");
    let endpoint = Endpoint::proper(&authority).await;
    assert_eq!(endpoint.fetch(read(r#"{"keys":[]}"#)).await, Err(FetchFault::NoAuthority));
}

/// Fetches now; why not, in words.
async fn refreshed(keys: &Keys) -> Result<(), String> {
    let name = IssuerName::parse("mesh").unwrap();
    keys.refresh(&name).await.map(|_| ()).map_err(|failure| failure.to_string())
}

#[tokio::test]
async fn the_bootstrap_file_counts_again_only_when_every_authority_of_the_held_bundle_has_ended() {
    let (current, other) = (Authority::new("ca"), Authority::new("ca"));
    let ended = Authority::with("ca", |params| valid(params, 0, 1_000_000_000));
    let later = Authority::with("ca", |params| valid(params, 20_000_000_000, 30_000_000_000));
    let leaf = current.issue(&svid(SERVER));
    for (held, counts) in [
        (&[&ended][..], true),
        (&[&ended, &ended], true),
        (&[&ended, &other], false),
        (&[&ended, &later], false),
        (&[], false),
    ] {
        let endpoint = Endpoint::start(&leaf, &bundle(held), &bundle(&[&current])).await;
        let keys = endpoint.keys(Previous::Nothing, None);
        refreshed(&keys).await.expect("by the bootstrap file, since nothing is held");
        assert_eq!(keys.statuses()[0].x509_authorities, held.len());
        endpoint.answers(&[&current]);
        let outcome = refreshed(&keys).await;
        assert_eq!(outcome.is_ok(), counts, "{} held: {outcome:?}", held.len());
        assert_eq!(refreshed(&keys).await.is_ok(), counts, "and from then on by the bundle itself");
    }
}

#[tokio::test]
async fn a_replaced_bootstrap_file_begins_anew_at_a_reload_and_at_a_start() {
    let (old, new) = (Authority::new("ca"), Authority::new("ca"));
    let endpoint = Endpoint::proper(&old).await;
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(directory.path()).unwrap());
    let keys = endpoint.keys(Previous::Nothing, Some(&store));
    refreshed(&keys).await.unwrap();
    // The same file once more: what is held goes on.
    std::fs::write(endpoint.bootstrap(), bundle(&[&old])).unwrap();
    let reloaded = endpoint.keys(Previous::Running(&keys), Some(&store));
    assert!(reloaded.statuses()[0].usable, "without a fetch");
    // The domain is made anew.
    endpoint.shows(&new.issue(&svid(SERVER)));
    endpoint.answers(&[&new]);
    assert!(refreshed(&reloaded).await.is_err(), "nobody that is trusted says so");
    let kept = loop {
        let kept = store.key_sets().await.unwrap();
        if !kept.is_empty() {
            break kept;
        }
        tokio::task::yield_now().await;
    };
    let restarted = endpoint.keys(Previous::Kept(kept.clone()), None);
    assert!(restarted.statuses()[0].usable && refreshed(&restarted).await.is_err(), "nor does a start help");

    std::fs::write(endpoint.bootstrap(), bundle(&[&new])).unwrap();
    let anew = endpoint.keys(Previous::Running(&reloaded), None);
    assert!(!anew.statuses()[0].usable, "what the old file vouched for is not taken over");
    refreshed(&anew).await.unwrap();
    assert!(anew.statuses()[0].usable);
    let restarted = endpoint.keys(Previous::Kept(kept), None);
    assert!(!restarted.statuses()[0].usable, "nor after a start");
    refreshed(&restarted).await.unwrap();
    // A file that is gone at a reload is no other file.
    std::fs::remove_file(endpoint.bootstrap()).unwrap();
    assert!(endpoint.keys(Previous::Running(&anew), None).statuses()[0].usable);
}

#[tokio::test]
async fn without_a_usable_bootstrap_file_nobody_is_asked() {
    let authority = Authority::new("ca");
    let leaf = authority.issue(&svid(SERVER));
    let of = async |bootstrap: &str| Endpoint::start(&leaf, "{}", bootstrap).await.fetch(None).await;
    assert!(matches!(of("{}").await, Err(FetchFault::KeySet(_))));
    assert!(matches!(of(r#"{"keys":[]}"#).await, Err(FetchFault::LocalFile { .. })));
    let endpoint = Endpoint::proper(&authority).await;
    std::fs::remove_file(endpoint.bootstrap()).unwrap();
    assert!(matches!(endpoint.fetch(None).await, Err(FetchFault::LocalFile { .. })));
}

#[tokio::test]
async fn a_bootstrap_file_that_can_check_nobody_is_a_fault_before_any_start() {
    let authority = Authority::new("ca");
    let endpoint = Endpoint::proper(&authority).await;
    let check = || {
        let mut faults = Diagnostics::new();
        Keys::check_files(&issuers(&[endpoint.settings("/bundle")]), &mut faults);
        faults.to_string()
    };
    assert_eq!(check(), "");
    for (bad, why) in [("{", "JSON"), (r#"{"keys":[]}"#, "no X.509 authority")] {
        std::fs::write(endpoint.bootstrap(), bad).unwrap();
        assert!(check().contains("bootstrap.json:1:") && check().contains(why), "{}", check());
    }
}

#[tokio::test]
async fn a_private_address_needs_the_issuers_word_here_too() {
    let endpoint = Endpoint::proper(&Authority::new("ca")).await;
    let settings = IssuerSettings { allow_private_network: false, ..endpoint.settings("/bundle") };
    assert_eq!(fetch(settings, None).await, Err(FetchFault::AddressRefused));
}
