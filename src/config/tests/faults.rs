//! Every rule of the file: what breaks it is refused at its line and column, with a fix.

mod issuers;

use super::*;

/// Where each fault stands and its id, for instance `3:9: value`.
fn places(faults: &Diagnostics) -> Vec<String> {
    let place = |fault: &crate::diagnostic::Diagnostic| {
        let text = fault.to_string();
        assert!(text.contains("= fix: "), "without a fix: {text}");
        let first = text.lines().next().unwrap();
        let name = format!("{}:", fault.path().display());
        let (place, _) = first.strip_prefix(&name).unwrap_or(first).split_once(": error[").unwrap();
        format!("{}: {}", place.trim(), fault.id())
    };
    faults.iter().map(place).collect()
}

fn faults(text: &str, environment: &[(&str, &str)]) -> Diagnostics {
    Directory::with(text).load(environment).expect_err(text)
}

/// The faults of a file whose first line is right.
fn after_issuer(text: &str) -> Vec<String> {
    places(&faults(&format!("{LEAST}{text}\n"), &[]))
}

/// The faults of a file with this one issuer, whose fields start at column 8 of line 3.
fn in_issuer(fields: &str) -> Vec<String> {
    after_issuer(&format!("issuers:\n  a: {{ {fields} }}"))
}

#[test]
fn a_file_that_cannot_be_read_says_how_to_name_another() {
    let faults = load(Path::new("./no-such-directory/countersign.yaml"), &[]).unwrap_err();
    let text = faults.to_string();
    assert!(text.starts_with("no-such-directory/countersign.yaml: error[file]: cannot be read: "), "{text}");
    for word in ["--config", "COUNTERSIGN_CONFIG", "countersign quickstart"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn all_faults_are_reported_at_once() {
    let text = "\
lisen: 0.0.0.0:1
token: { lifetime: 15, max_lifetime: 25h }
issuers:
  github: { kind: github }
  prod: { kind: kubernetes, leeway: 6m, single_use: \"yes\" }
";
    let faults = faults(text, &[("COUNTERSIGN__TOKEN__SIGNING_ALGORITHM", "HS256")]);
    let expected = [
        "1:1: unknown-field",
        "1:1: missing-field",
        "2:20: type",
        "2:38: value",
        "environment variable COUNTERSIGN__TOKEN__SIGNING_ALGORITHM: value",
        "4:19: value",
        "5:9: missing-field",
        "5:53: type",
        "5:37: value",
    ];
    let mut found = places(&faults);
    let mut expected = expected.map(str::to_owned).to_vec();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "{faults}");
    assert!(faults.to_string().contains("did you mean `listen`?"), "{faults}");
}

#[test]
fn a_fault_of_a_variable_names_the_variable_and_not_its_value() {
    let wrong = [
        ("COUNTERSIGN__LISTEN", "s3cret", "value"),
        ("COUNTERSIGN__LISEN", "s3cret", "unknown-field"),
        ("COUNTERSIGN__TOKEN__LIFETIME", "s3cret", "value"),
        ("COUNTERSIGN__TOKEN", "s3cret", "type"),
        ("COUNTERSIGN__ISSUERS", "s3cret", "type"),
        ("COUNTERSIGN__DANGER_PLAIN_HTTP", "s3cret", "type"),
        ("COUNTERSIGN__ISSUERS__GITHUB__AUDIENCES", "", "value"),
        ("COUNTERSIGN__ISSUERS__GITHUB__DISABLED", "s3cret", "type"),
        ("COUNTERSIGN__ISSUERS__GITHUB__KEYS__URL", "https://a:s3cret@h/", "value"),
        ("COUNTERSIGN__STORE__POSTGRES", "postgres://a:s3cret@h/d", "missing"),
        ("COUNTERSIGN__", "s3cret", "environment"),
        ("COUNTERSIGN__TOKEN__", "s3cret", "environment"),
    ];
    let text = format!("{LEAST}issuers: {{ github: {{ kind: github-actions }} }}\n");
    for (variable, value, id) in wrong {
        let faults = faults(&text, &[(variable, value)]);
        assert_eq!(places(&faults), [format!("environment variable {variable}: {id}")], "{faults}");
        assert!(!faults.to_string().contains("s3cret"), "{faults}");
    }
}

#[test]
fn a_variable_that_could_mean_two_issuers_is_refused() {
    let text =
        format!("{LEAST}issuers:\n  a-b: {{ kind: github-actions }}\n  a_b: {{ kind: azure, disabled: true }}\n");
    let faults = faults(&text, &[("COUNTERSIGN__ISSUERS__A_B__LEEWAY", "1s")]);
    assert!(places(&faults).contains(&"environment variable COUNTERSIGN__ISSUERS__A_B__LEEWAY: environment".into()));
}

#[test]
fn what_is_not_one_mapping_is_refused() {
    assert_eq!(places(&faults("- a\n", &[])), ["1:1: type"]);
    assert_eq!(after_issuer("---\nlisten: x"), ["3:1: yaml"]);
    assert_eq!(after_issuer("token.lifetime: 5m"), ["2:1: unknown-field"]);
    let syntax = faults("issuer: [\n", &[]);
    assert!(syntax.iter().all(|fault| fault.id() == "yaml"), "{syntax}");
    let twice = faults(&format!("{LEAST}{LEAST}"), &[]);
    assert_eq!(places(&twice), ["2:1: duplicate-key"]);
}

#[test]
fn a_secret_in_the_file_is_not_quoted() {
    let text = "issuer: https://u:s3cret@b.example\nstore: { postgres: \"postgres://u:s3cret@h/d\" }\n";
    let faults = faults(text, &[]);
    assert_eq!(places(&faults), ["1:9: value", "2:1: missing"]);
    assert!(!faults.to_string().contains("s3cret"), "{faults}");
}

#[test]
fn our_own_identifier_follows_rfc_8414() {
    for wrong in ["http://b.example", "https://b.example/?a=b", "https://b.example/#a", "https://u@b.example", "b"] {
        assert_eq!(places(&faults(&format!("issuer: \"{wrong}\"\n"), &[])), ["1:9: value"], "{wrong}");
    }
    assert!(Directory::with("issuer: http://127.0.0.1:8443\n").load(&[]).is_ok());
}

#[test]
fn the_public_listener_is_plain_http_only_on_loopback_or_when_it_is_meant() {
    assert_eq!(after_issuer("listen: 0.0.0.0:8443"), ["2:9: plain-http"]);
    assert_eq!(after_issuer("listen: localhost:8443"), ["2:9: value"]);
    for right in ["listen: 127.0.0.2:1", "listen: '[::1]:1'", "listen: 0.0.0.0:1\ndanger_plain_http: true"] {
        assert!(Directory::with(&format!("{LEAST}{right}\n")).load(&[]).is_ok(), "{right}");
    }
    assert_eq!(after_issuer("listen: 0.0.0.0:1\ntls: { cert: tls.crt }"), ["3:6: missing-field"]);
    assert_eq!(
        after_issuer("tls: { cert: none.crt, key: trust-bundles }"),
        ["2:14: missing-file", "2:29: missing-file"]
    );
}

#[test]
fn the_admin_listener_is_on_loopback_apart_from_the_public_one_and_has_tokens() {
    let listener = |address: &str| format!("admin: {{ listen: '{address}', token_file: admin-tokens }}");
    assert_eq!(after_issuer(&listener("0.0.0.0:1")), ["2:18: value"]);
    assert_eq!(after_issuer(&listener("127.0.0.1:8443")), ["2:18: conflict"]);
    assert_eq!(after_issuer("admin: { listen: '127.0.0.1:1' }"), ["2:8: missing-field"]);
    assert_eq!(after_issuer("admin: { token_file: admin-tokens }"), ["2:8: missing-field"]);
    assert_eq!(after_issuer("admin: { listen: '127.0.0.1:1', token_file: none }"), ["2:45: missing-file"]);
    assert_eq!(after_issuer("admin: { socket: '' }"), ["2:18: value"]);
}

#[test]
fn a_tokens_lifetime_has_limits() {
    assert_eq!(after_issuer("token: { lifetime: 9s }"), ["2:20: value"]);
    assert_eq!(after_issuer("token: { lifetime: 0s, max_lifetime: 25h }"), ["2:20: value", "2:38: value"]);
    assert_eq!(after_issuer("token: { lifetime: 61m }"), ["2:20: conflict"]);
    assert_eq!(after_issuer("token: { signing_algorithm: HS256 }"), ["2:29: value"]);
    assert!(Directory::with(&format!("{LEAST}token: {{ lifetime: 24h, max_lifetime: 24h }}\n")).load(&[]).is_ok());
}

#[test]
fn files_are_looked_at_every_second_at_most_and_every_hour_at_least() {
    assert_eq!(after_issuer("reload: { every: 999999h }"), ["2:18: value"]);
    assert_eq!(after_issuer("reload: { every: 0s, watch: yes please }"), ["2:29: type", "2:18: value"]);
    assert!(Directory::with(&format!("{LEAST}reload: {{ every: 1h }}\n")).load(&[]).is_ok());
    let off = Directory::with(LEAST).load(&[("COUNTERSIGN__RELOAD__WATCH", "false")]).unwrap();
    assert!(!off.reload.watch);
}

#[test]
fn a_shared_store_needs_a_connection_and_a_key_that_encrypts() {
    const KEY: &str = "key_encryption_key: { environment: KEK }";
    const ENVIRONMENT: &[(&str, &str)] = &[("KEK", "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0ISEhISE=")];
    let file = |url: &str| format!("{LEAST}store: {{ postgres: \"{url}\" }}\n{KEY}\n");
    let right =
        ["postgres://u@h/d", "postgresql://u@%2Frun%2Fpostgresql/d", "postgres://u:p@h1,h2:6432/d?sslmode=verify-full"];
    for right in right {
        assert!(Directory::with(&file(right)).load(ENVIRONMENT).is_ok(), "{right}");
    }
    let of = |url: &str| places(&faults(&file(url), ENVIRONMENT));
    for wrong in ["mysql://u@h/d", "postgres://h/d", "postgres://u@/d", "postgres://u@h:port/d"] {
        assert_eq!(of(wrong), ["2:20: value"], "{wrong}");
    }
    // A connection that somebody on the way can turn into plain text.
    assert_eq!(of("postgres://u@h/d?sslmode=prefer"), ["2:20: value"]);
    assert_eq!(after_issuer("store: { postgres: \"postgres://u@h/d\" }"), ["2:1: missing"]);
    let without = faults(&format!("{LEAST}store: {{}}\n{KEY}\n"), ENVIRONMENT);
    assert_eq!(places(&without), ["2:8: missing-field"]);
}

#[test]
fn a_database_elsewhere_is_reached_by_tls_unless_the_url_says_otherwise() {
    use tokio_postgres::config::SslMode;
    let mode = |url: &str| PostgresSettings::of_url(url).unwrap().connection.get_ssl_mode();
    assert_eq!(mode("postgres://u@db.example.com/d"), SslMode::Require);
    assert_eq!(mode("postgres://u@127.0.0.1,db.example.com/d"), SslMode::Require);
    assert_eq!(mode("postgres://u@db.example.com/d?sslmode=verify-full"), SslMode::Require);
    assert_eq!(mode("postgres://u@db.example.com/d?sslmode=disable"), SslMode::Disable);
    assert_eq!(mode("postgres://u@localhost,127.0.0.1/d"), SslMode::Disable);
}

#[test]
fn the_documentations_examples_are_right_but_for_the_files_they_name() {
    let page = include_str!("../../../docs/configuration.md");
    let examples: Vec<&str> = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 4);
    assert!(Directory::with(examples[0]).load(&[]).is_ok());
    for example in &examples[1..] {
        let faults = faults(example, &[]);
        assert!(faults.iter().all(|fault| fault.id() == "missing-file"), "{faults}");
    }
}

#[test]
fn ca_only_needs_a_ca_file() {
    assert_eq!(in_issuer("kind: oidc, url: 'https://a.example', ca_only: true"), ["3:46: missing-field"]);
    let both = "kind: oidc, url: 'https://a.example', ca_only: true, ca_file: ca.pem, keys: { discovery: true, ca_only: true }";
    assert_eq!(in_issuer(both), ["3:103: conflict"]);
}

#[test]
fn a_proxy_is_an_http_url_and_a_faulty_one_is_not_quoted() {
    for wrong in ["ftp://u:secret@h:1", "https://u:secret@h", "http://h/path", "http://h:1?q", "proxy:3128", "3"] {
        let faults = faults(&format!("{LEAST}proxy: {wrong}\n"), &[]);
        assert_eq!(places(&faults), ["2:8: value"]);
        assert!(!faults.to_string().contains("secret") && !faults.to_string().contains("3128\n"), "{faults}");
    }
    let faults = faults(&format!("{LEAST}proxy: system\n"), &[("HTTPS_PROXY", "socks5://u:secret@h:1")]);
    assert!(faults.to_string().contains("HTTPS_PROXY") && !faults.to_string().contains("secret"), "{faults}");
}

#[test]
fn a_workload_api_is_a_unix_socket_in_place_of_a_url() {
    let with = |bundle: &str| in_issuer(&format!("kind: spiffe, trust_domain: a.example, bundle: {{ {bundle} }}"));
    for wrong in ["tcp://127.0.0.1:8081", "/run/agent.sock", "unix:agent.sock", "unix://host/agent.sock", "https://a"] {
        assert_eq!(with(&format!("workload_api: '{wrong}'")), ["3:71: value"], "{wrong}");
    }
    assert_eq!(with("workload_api: 'unix:///a', file: lab.json"), ["3:57: conflict"]);
    assert_eq!(with("workload_api: 'unix:///a', profile: https_web"), ["3:84: conflict"]);
}

#[test]
fn signing_keys_settings_have_limits_and_a_key_encryption_key_has_one_place() {
    let conflict = "signing: { rotate_every: 1h, jwks_max_age: 30m }";
    assert_eq!(after_issuer(conflict), ["2:26: conflict"]);
    assert_eq!(after_issuer("signing: { jwks_max_age: 2h }"), ["2:26: value"]);
    assert_eq!(after_issuer("key_encryption_key: {}"), ["2:1: value"]);
    assert_eq!(after_issuer("key_encryption_key: { environment: NO_SUCH }"), ["2:36: value"]);
    assert_eq!(after_issuer("key_encryption_key: { credential: kek }"), ["2:35: value"]);
    assert_eq!(after_issuer("key_encryption_key: { file: no-such-file }"), ["2:29: value"]);
    let text = format!("{LEAST}key_encryption_key: {{ environment: KEK }}\n");
    let config = Directory::with(&text).load(&[("KEK", "0123456789abcdef0123456789abcdef")]).unwrap();
    assert!(!format!("{config:?}").contains("0123456789abcdef"), "no log shows it");
}
