//! `store:`: the database that several replicas share, in place of the embedded store.
//!
//! In: the section. Out: checked settings. The password's file is read when the store is opened.

use std::path::{Path, PathBuf};

use tokio_postgres::config::{Host, SslMode};

use crate::diagnostic::Diagnostics;

use super::schema;
use super::section::Section;

/// Which store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StoreSettings {
    /// The embedded one, in `data`; one broker.
    #[default]
    Embedded,
    /// PostgreSQL; several replicas.
    Postgres(Box<PostgresSettings>),
}

/// How to reach PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// Hosts, user, database; its `Debug` shows no password.
    pub connection: tokio_postgres::Config,
    /// A file with the password, so that the configuration holds no secret.
    pub password_file: Option<PathBuf>,
    /// The certificates that the server's has to be signed by; without it the system's.
    pub ca_file: Option<PathBuf>,
}

/// The section, and what it asks of others.
pub(super) fn read(file: &Section<'_>, directory: &Path, faults: &mut Diagnostics) -> Option<StoreSettings> {
    if !file.has("store") {
        return Some(StoreSettings::Embedded);
    }
    let store = file.section("store", ("`store`", schema::STORE), faults)?;
    store.require("postgres", faults);
    let connection = store.text("postgres", faults, connection);
    let password_file = store.existing_file("password_file", directory, faults);
    let ca_file = store.existing_file("ca_file", directory, faults);
    if !file.has("key_encryption_key") {
        let message = "several replicas share the signing keys, and there is no `key_encryption_key` to encrypt them";
        let fix = "make one with `openssl rand -base64 32`, give every replica the same, and add \
                   `key_encryption_key: { file: /etc/countersign/key-encryption.key }`";
        faults.push(file.fault_at_key("store", "missing", message).fix(fix));
    }
    Some(StoreSettings::Postgres(Box::new(PostgresSettings { connection: connection?, password_file, ca_file })))
}

impl PostgresSettings {
    /// Settings of a connection URL alone.
    ///
    /// # Errors
    /// What is wrong with the URL, without any part of it.
    pub fn of_url(url: &str) -> Result<PostgresSettings, &'static str> {
        Ok(PostgresSettings { connection: connection(url)?, password_file: None, ca_file: None })
    }
}

/// A connection URL. libpq's words for checking the server's certificate are all one here: with TLS it is always checked.
/// Without any word TLS is asked of every host but this machine.
fn connection(text: &str) -> Result<tokio_postgres::Config, &'static str> {
    const SHAPE: &str = "must be a connection URL such as postgres://countersign@db.example.com/countersign";
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err(SHAPE);
    }
    let told = text.contains("sslmode=");
    let text = text.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require");
    // The parser's own message is not shown: it may quote what it does not understand, and that may be the password.
    let mut connection: tokio_postgres::Config = text.parse().map_err(|_| SHAPE)?;
    if connection.get_hosts().is_empty() {
        return Err("has no host; for a Unix socket write postgres://user@%2Frun%2Fpostgresql/database");
    }
    if connection.get_user().is_none() {
        return Err("has no user; write postgres://USER@host/database");
    }
    if !told {
        let local = connection.get_hosts().iter().all(is_this_machine);
        connection.ssl_mode(if local { SslMode::Disable } else { SslMode::Require });
    } else if connection.get_ssl_mode() == SslMode::Prefer {
        return Err("sslmode=prefer would go on in plain text when somebody asks for it; write require or disable");
    }
    Ok(connection)
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        Host::Unix(_) => true,
    }
}
