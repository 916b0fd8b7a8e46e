//! Where the binary fetches keys: which roots it trusts, and which proxy it goes through.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail the test")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY","y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"}]}"#;

/// Two certificate authorities, `a.pem` and `b.pem`, and a server for `localhost` and `idp.invalid` that `a` signed.
struct Lab {
    directory: tempfile::TempDir,
    port: u16,
    _runtime: tokio::runtime::Runtime,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Lab {
    fn new() -> Lab {
        let directory = tempfile::tempdir().unwrap();
        for name in ["policies", "services", "trust-bundles"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let (a, b) = (authority(), authority());
        for (name, pem) in [("a.pem", a.pem()), ("b.pem", b.pem())] {
            std::fs::write(directory.path().join("trust-bundles").join(name), pem).unwrap();
        }
        let key = KeyPair::generate().unwrap();
        let names = CertificateParams::new(["localhost".to_owned(), "idp.invalid".to_owned()]).unwrap();
        let certificate = names.signed_by(&key, &a).unwrap().pem();
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.block_on(async {
            let key = key.serialize_pem().into_bytes();
            let tls = axum_server::tls_rustls::RustlsConfig::from_pem(certificate.into_bytes(), key).await.unwrap();
            let router = Router::new().route("/keys", get(|| async { ([("content-type", "application/json")], KEYS) }));
            let server = axum_server::from_tcp_rustls(listener, tls).unwrap();
            tokio::spawn(server.serve(router.into_make_service()));
        });
        Lab { directory, port, _runtime: runtime }
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join("trust-bundles").join(name).display().to_string()
    }

    /// What `check --online` says of one issuer with these fields, and whether it was content.
    fn check(&self, file: &str, environment: &[(&str, &str)]) -> (bool, String) {
        let path = self.directory.path().join("countersign.yaml");
        std::fs::write(&path, format!("issuer: https://broker.example.com\n{file}\n")).unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["check", "--online"])
            .current_dir(self.directory.path())
            .env_clear()
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (done.status.success(), said.concat())
    }

    fn issuer(&self, host: &str, fields: &str) -> String {
        let keys = format!("url: \"https://{host}:{}/keys\"", self.port);
        format!("issuers:\n  a: {{ kind: oidc, url: \"https://{host}\", keys: {{ {keys} }}, {fields} }}")
    }
}

#[test]
fn ca_file_adds_to_the_systems_roots_and_ca_only_replaces_them() {
    let lab = Lab::new();
    let (a, b) = (lab.file("a.pem"), lab.file("b.pem"));
    let private = |fields: &str| lab.issuer("localhost", &format!("allow_private_network: true{fields}"));
    for (fields, system, fetched) in [
        ("", &a, true),
        ("", &b, false),
        (", ca_file: a.pem", &b, true),
        (", ca_file: b.pem", &a, true),
        (", ca_file: a.pem, ca_only: true", &b, true),
        (", ca_file: b.pem, ca_only: true", &a, false),
    ] {
        let (good, said) = lab.check(&private(fields), &[("SSL_CERT_FILE", system)]);
        assert_eq!((good, said.contains("a: 1 keys")), (fetched, fetched), "{fields}: {said}");
        assert_eq!(said.contains("is not signed by a CA that is trusted here; see ca_file"), !fetched, "{said}");
    }
}

/// A proxy that answers CONNECT for any host with a tunnel to one port of this machine, and remembers what it was asked.
struct ConnectProxy {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    fn start(target: u16) -> ConnectProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                tunnel(stream.unwrap(), target, &seen);
            }
        });
        ConnectProxy { address, asked }
    }

    /// What it was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn tunnel(mut client: TcpStream, target: u16, seen: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|read| read == 1) {
        head.extend(byte);
    }
    seen.lock().unwrap().push(String::from_utf8(head).unwrap());
    let mut server = TcpStream::connect(("127.0.0.1", target)).unwrap();
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
    let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
    std::thread::spawn(move || std::io::copy(&mut client, &mut server));
}

#[test]
fn a_proxy_of_the_environment_is_followed_only_when_the_file_says_so() {
    let lab = Lab::new();
    let proxy = ConnectProxy::start(lab.port);
    let url = format!("http://{}", proxy.address);
    let issuer = lab.issuer("idp.invalid", "ca_file: a.pem");
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let (good, said) = lab.check(&issuer, &[(variable, &url)]);
        assert_eq!((good, proxy.asked()), (false, Vec::new()), "{said}");
        let (good, said) = lab.check(&format!("proxy: system\n{issuer}"), &[(variable, &url)]);
        assert!(good && said.contains("a: 1 keys"), "{said}");
        assert!(proxy.asked().iter().all(|head| head.starts_with(&format!("CONNECT idp.invalid:{} ", lab.port))));
    }
    let with_exception = [("HTTPS_PROXY", url.as_str()), ("NO_PROXY", "other.example,.invalid")];
    let (good, said) = lab.check(&format!("proxy: system\n{issuer}"), &with_exception);
    assert_eq!((good, proxy.asked()), (false, Vec::new()), "{said}");
}

#[test]
fn a_configured_proxy_gets_its_password_and_nobody_else_does() {
    let lab = Lab::new();
    let proxy = ConnectProxy::start(lab.port);
    let configured = format!("proxy: http://broker:s3cret-word@{}", proxy.address);
    let (good, said) = lab.check(&format!("{configured}\n{}", lab.issuer("idp.invalid", "ca_file: a.pem")), &[]);
    let asked = proxy.asked();
    // printf %s broker:s3cret-word | base64
    assert!(good && asked.iter().any(|head| head.contains("Basic YnJva2VyOnMzY3JldC13b3Jk")), "{said} {asked:?}");
    assert!(said.contains(&format!("http://{}", proxy.address)) && !said.contains("s3cret"), "{said}");
    let (good, said) = lab.check(&format!("{configured}\n{}", lab.issuer("idp.invalid", "")), &[]);
    assert!(!good && said.contains("see ca_file") && !said.contains("s3cret"), "{said}");
    for wrong in ["u:s3cret@proxy:1", "socks5://u:s3cret@h:1", "https://u:s3cret@h", "http://u:s3cret@h:1/path"] {
        let (good, said) = lab.check(&format!("proxy: {wrong}"), &[]);
        assert!(!good && said.contains("`proxy` must be an http:// URL") && !said.contains("s3cret"), "{said}");
    }
    let (good, said) = lab.check("proxy: system", &[("HTTPS_PROXY", "socks5://u:s3cret@h:1")]);
    assert!(!good && said.contains("HTTPS_PROXY") && !said.contains("s3cret"), "{said}");
}

#[test]
fn what_is_near_is_never_reached_through_a_proxy_and_addresses_stay_vetted() {
    let lab = Lab::new();
    let proxy = ConnectProxy::start(lab.port);
    let file = |issuer: String| format!("proxy: http://{}\n{issuer}", proxy.address);
    let (good, said) = lab.check(&file(lab.issuer("localhost", "ca_file: a.pem, allow_private_network: true")), &[]);
    assert!(good && said.contains("a: 1 keys"), "{said}");
    for host in ["localhost", "10.0.0.1", "169.254.169.254", "[::ffff:10.0.0.1]", "0x7f000001"] {
        let (good, said) = lab.check(&file(lab.issuer(host, "ca_file: a.pem")), &[]);
        assert!(!good && said.contains("see allow_private_network"), "{host}: {said}");
    }
    assert_eq!(proxy.asked(), Vec::<String>::new());
}
