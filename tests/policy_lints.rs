//! The lints as an operator meets them: through `policy check`, `check` and the server, with warnings denied or not, and in
//! strict mode.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;

use support::process::{Finished, ServeProcess, run};
use support::setup::Setup;

const CONFIG: &str = "issuer: https://broker.example.com
issuers:
  partner: { kind: oidc, url: https://idp.partner.example }
";
const SERVICE: &str = "service: my-api
hosts: [my-api.example.com]
upstream: http://127.0.0.1:9000
allow: [{ scopes: [\"service:my-api\"] }]
";
const CLEAN: &str = "policy: build
issuer: partner
match:
  sub: e6a0c5c4-52b7-4c39-9d0f-3a6f1a7b2d10
user: build
scopes: [\"service:my-api\"]
";

/// A place with this configuration, this policy and one service.
fn place(config: &str, policy: &str) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for directory in ["policies", "services", "trust-bundles"] {
        std::fs::create_dir(place.path().join(directory)).unwrap();
    }
    for (name, text) in [("countersign.yaml", config), ("policies/p.yaml", policy), ("services/s.yaml", SERVICE)] {
        std::fs::write(place.path().join(name), text).unwrap();
    }
    place
}

async fn codes(place: &Path, commands: [&[&str]; 4]) -> [Option<i32>; 4] {
    let mut codes = [None; 4];
    for (code, arguments) in codes.iter_mut().zip(commands) {
        *code = run(place, arguments).await.code;
    }
    codes
}

const COMMANDS: [&[&str]; 4] =
    [&["policy", "check"], &["policy", "check", "--deny-warnings"], &["check"], &["check", "--deny-warnings"]];

#[tokio::test]
async fn a_warning_is_shown_with_its_place_and_its_page_and_fails_only_where_it_is_denied() {
    let wide = CLEAN.replace("service:my-api", "service:*");
    let place = place(CONFIG, &wide);
    let Finished { code, stdout, .. } = run(place.path(), &["policy", "check"]).await;
    assert_eq!(code, Some(0));
    let shown = "policies: 1 policy, valid\n\n";
    assert!(stdout.contains(shown) && stdout.contains("policies/p.yaml:6:10: warning[all-scopes]: "), "{stdout}");
    assert!(stdout.ends_with("   = see docs/lints.md#all-scopes\n\n1 warning\n"), "{stdout}");
    assert_eq!(codes(place.path(), COMMANDS).await, [Some(0), Some(1), Some(0), Some(1)]);
    let Finished { stderr, .. } = run(place.path(), &["policy", "check", "--deny-warnings"]).await;
    assert!(stderr.contains("error[all-scopes]") && stderr.ends_with("\n\n1 error\n"), "{stderr}");
    let allowed = wide.replace("*\"]", "*\"]   # lint: allow all-scopes because it watches over all services");
    std::fs::write(place.path().join("policies/p.yaml"), allowed).unwrap();
    assert_eq!(codes(place.path(), COMMANDS).await, [Some(0); 4]);
}

#[tokio::test]
async fn the_setting_denies_warnings_everywhere_but_never_for_the_mere_passing_of_time() {
    let config = format!("{CONFIG}lint: {{ deny_warnings: true }}\n");
    let wide = place(&config, &CLEAN.replace("service:my-api", "service:*"));
    assert_eq!(codes(wide.path(), COMMANDS).await, [Some(1); 4]);
    let ended = place(&config, &format!("{CLEAN}expires: 2020-01-31\n"));
    assert_eq!(codes(ended.path(), COMMANDS).await, [Some(0), Some(1), Some(0), Some(1)]);
    let text = run(ended.path(), &["check"]).await.stdout;
    assert!(text.contains("warning[expired]: it ended at 2020-02-01T00:00:00Z"), "{text}");
}

#[tokio::test]
async fn an_audience_of_a_protected_service_is_found_by_check() {
    let config = CONFIG.replace(" }", ", audiences: [\"https://my-api.example.com\"] }");
    let place = place(&config, CLEAN);
    let text = run(place.path(), &["check"]).await.stdout;
    assert!(text.contains("countersign.yaml:3:72: warning[shared-audience]: `partner`: "), "{text}");
}

#[tokio::test]
async fn strict_mode_knows_services_without_a_server_and_users_by_asking_one() {
    let misspelt = CLEAN.replace("service:my-api", "service:my-ap");
    let strict = place(&format!("{CONFIG}lint: {{ strict: true }}\n"), &misspelt);
    for command in [&["policy", "check"] as &[&str], &["check"]] {
        let Finished { code, stderr, .. } = run(strict.path(), command).await;
        assert_eq!(code, Some(1));
        assert!(stderr.contains("policies/p.yaml:6:10: error[unknown-service]: no file in `services`"), "{stderr}");
    }
    let lax = place(CONFIG, &misspelt);
    assert_eq!(run(lax.path(), &["check"]).await.code, Some(0));
    let Finished { code, stderr, .. } = run(lax.path(), &["policy", "check", "--strict"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("--strict asks the running server which users there are"), "{stderr}");
}

#[tokio::test]
async fn strict_mode_refuses_a_user_until_it_exists() {
    let directory = tempfile::tempdir().unwrap();
    let settings = "{ kind: oidc, url: \"https://idp.partner.example\", keys: { file: partner.json } }";
    let setup = Setup::default().issuer("partner", settings).file("trust-bundles/partner.json", "{\"keys\":[]}");
    let setup = setup.policy("p", &CLEAN.replace("scopes: [\"service:my-api\"]\n", ""));
    let _server = ServeProcess::start(&setup, directory.path()).await;
    let strict = ["policy", "check", "--strict"];
    let Finished { code, stderr, .. } = run(directory.path(), &strict).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("policies/p.yaml:5:7: error[unknown-user]: there is no user `build`"), "{stderr}");
    assert!(stderr.contains("fix: create it: countersign user create build"), "{stderr}");
    assert_eq!(run(directory.path(), &["user", "create", "build"]).await.code, Some(0));
    let Finished { code, stderr, .. } = run(directory.path(), &strict).await;
    assert_eq!(code, Some(0), "{stderr}");
}

#[tokio::test]
async fn the_lints_are_listed_for_people_and_for_programs() {
    let nowhere = tempfile::tempdir().unwrap();
    let table = run(nowhere.path(), &["policy", "lints"]).await.stdout;
    assert!(table.starts_with("ID ") && table.contains("\ntenant-pin  "), "{table}");
    let json = run(nowhere.path(), &["policy", "lints", "--output", "json"]).await.stdout;
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["id"] == "fork-event").unwrap();
    assert_eq!((row["severity"].as_str(), row["summary"].as_str().is_some()), (Some("warning"), true));
}
