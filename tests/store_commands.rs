//! `countersign store …` as an operator uses it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use support::broker::Credential;
use support::process::{Finished, ServeProcess, client_secret, run};
use support::setup::{Platforms, Setup};
use support::wire::{Reply, Request};

async fn sign_in(server: &ServeProcess, client: &Credential) -> Reply {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", client.client_id.as_str()),
        ("client_secret", client.secret.as_str()),
    ];
    Request::token(&fields).send(server.address).await
}

async fn store(directory: &Path, arguments: &[&str]) -> Finished {
    run(directory, &[&["store"], arguments].concat()).await
}

fn succeeded(finished: &Finished) {
    assert_eq!(finished.code, Some(0), "{}{}", finished.stdout, finished.stderr);
}

fn refused(finished: &Finished, because: &str) {
    assert_eq!(finished.code, Some(1), "{}", finished.stdout);
    assert!(finished.stderr.contains(because), "{}", finished.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_busy_server_has_all_that_it_answered_before_and_starts_elsewhere() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let setup = Setup::platforms(&Platforms::new());
    let server = ServeProcess::start(&setup, here.path()).await;
    let client = client_secret(here.path(), "alice").await;
    let backup = here.path().join("backup.db");
    let name = backup.to_str().unwrap();
    let load = async {
        for _ in 0..50 {
            assert_eq!(sign_in(&server, &client).await.status, 200);
        }
    };
    let (_, copied) = futures_util::future::join(load, store(here.path(), &["backup", name])).await;
    succeeded(&copied);
    assert_eq!(std::fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    refused(&store(here.path(), &["backup", name]).await, "exists");
    succeeded(&store(here.path(), &["check"]).await);
    refused(&store(here.path(), &["restore", name]).await, "another countersign server");
    server.kill().await;
    refused(&store(here.path(), &["restore", name]).await, "only restored where there is no store");

    setup.write(there.path(), "127.0.0.1:0");
    succeeded(&store(there.path(), &["restore", name]).await);
    std::fs::copy(here.path().join("data/key-encryption.key"), there.path().join("data/key-encryption.key")).unwrap();
    succeeded(&store(there.path(), &["check"]).await);
    let server = ServeProcess::start(&setup, there.path()).await;
    assert_eq!(sign_in(&server, &client).await.status, 200);
    let verified = run(there.path(), &["audit", "verify"]).await;
    succeeded(&verified);
}

#[tokio::test]
async fn what_is_no_whole_store_is_not_restored() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::platforms(&Platforms::new());
    let server = ServeProcess::start(&setup, directory.path()).await;
    client_secret(directory.path(), "alice").await;
    let good = directory.path().join("good.db");
    succeeded(&store(directory.path(), &["backup", good.to_str().unwrap()]).await);
    server.kill().await;
    std::fs::remove_dir_all(directory.path().join("data")).unwrap();
    let bytes = std::fs::read(&good).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let newer = file("newer.db", &bytes);
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let foreign = file("foreign.db", &bytes);
    rusqlite::Connection::open(&foreign).unwrap().pragma_update(None, "application_id", 7).unwrap();
    let mut torn = bytes.clone();
    let middle = torn.len() / 2;
    torn[middle..middle + 4096].fill(0x55);
    let spoiled = [
        (newer, "newer version"),
        (foreign, "another program's database"),
        (file("short.db", &bytes[..bytes.len() / 2]), ""),
        (file("torn.db", &torn), ""),
        (file("text.db", b"no database"), ""),
        (directory.path().join("missing.db").to_str().unwrap().to_owned(), "no store"),
    ];
    for (name, because) in spoiled {
        refused(&store(directory.path(), &["restore", &name]).await, because);
        assert!(!directory.path().join("data/countersign.db").exists(), "{name}");
    }
    succeeded(&store(directory.path(), &["restore", good.to_str().unwrap()]).await);
}

#[tokio::test]
async fn an_older_schema_is_migrated_and_damage_is_found() {
    let directory = tempfile::tempdir().unwrap();
    Setup::platforms(&Platforms::new()).write(directory.path(), "127.0.0.1:0");
    std::fs::create_dir(directory.path().join("data")).unwrap();
    let file = directory.path().join("data/countersign.db");
    let database = rusqlite::Connection::open(&file).unwrap();
    let first = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/migrations/0001-first.sql");
    database.execute_batch(&std::fs::read_to_string(first).unwrap()).unwrap();
    database.pragma_update(None, "application_id", 0x4353_5447).unwrap();
    database.pragma_update(None, "user_version", 1).unwrap();
    drop(database);
    let migrated = store(directory.path(), &["migrate"]).await;
    succeeded(&migrated);
    assert!(migrated.stdout.starts_with("schema 1 is now "), "{}", migrated.stdout);
    assert!(store(directory.path(), &["migrate"]).await.stdout.contains("nothing to do"));
    succeeded(&store(directory.path(), &["check"]).await);
    let database = rusqlite::Connection::open(&file).unwrap();
    database.execute("INSERT INTO audit_chains VALUES ('0011223344556677', 9, zeroblob(32))", []).unwrap();
    drop(database);
    refused(&store(directory.path(), &["check"]).await, "damaged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_store_is_migrated_and_checked_and_backed_up_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let database = support::postgres::Server::shared().database();
    Setup::platforms(&Platforms::new())
        .setting(&format!("store: {{ postgres: \"{}\" }}", database.url()))
        .setting("key_encryption_key: { file: kek }")
        .file("kek", "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0ISEhISE=")
        .write(directory.path(), "127.0.0.1:0");
    let migrated = store(directory.path(), &["migrate"]).await;
    succeeded(&migrated);
    assert_eq!(migrated.stdout, "schema 0 is now 1\n");
    succeeded(&store(directory.path(), &["check"]).await);
    database.sql("INSERT INTO audit_chains VALUES ('0011223344556677', 9, '\\x00')");
    refused(&store(directory.path(), &["check"]).await, "damaged");
    refused(&store(directory.path(), &["backup", "x"]).await, "pg_dump");
    database.sql("UPDATE countersign_schema SET version = 99");
    refused(&store(directory.path(), &["migrate"]).await, "newer version");
}
