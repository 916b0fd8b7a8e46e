//! What operators do with the embedded store's file: back it up, restore it, migrate it, check it.
//!
//! In: the data directory. Out: a file, or what was found. Backing up and checking go on beside a running server;
//! restoring and migrating need the lock that a server holds.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::{fault, files, reader};
use crate::store::chain::Link;
use crate::store::{Inventory, StoreFault};

const TABLES: [&str; 5] = ["users", "credentials", "signing_keys", "sessions", "audit"];

/// Writes a copy of the store as it is now, with all that is committed, to a new file that only its owner can read.
/// The server may run.
///
/// # Errors
/// There is no store, the file exists, or it cannot be written whole; then nothing is left behind.
pub fn backup(data: &Path, to: &Path) -> Result<Inventory, StoreFault> {
    let source = open(&data.join(files::DATABASE))?;
    let failed = |error: std::io::Error| StoreFault(format!("{} cannot be written: {error}", to.display()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
    let written = copy(&source, to).and_then(|inventory| {
        file.sync_all().map_err(failed)?;
        sync_directory(to).map_err(failed)?;
        Ok(inventory)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(to);
    }
    written
}

fn copy(source: &Connection, to: &Path) -> Result<Inventory, StoreFault> {
    let target = to.to_str().ok_or_else(|| StoreFault("the file's name is not UTF-8".to_owned()))?;
    source.execute("VACUUM INTO ?1", [target]).map_err(fault)?;
    let inventory = check_file(to)?;
    match inventory.faults.first() {
        None => Ok(inventory),
        Some(found) => Err(StoreFault(format!("the copy is not whole: {found}"))),
    }
}

/// Puts a backup in place of a store that is not there yet.
///
/// # Errors
/// There is a store, a server holds the directory, or the file is not a whole store that this version can read.
pub fn restore(from: &Path, data: &Path) -> Result<Inventory, StoreFault> {
    files::prepare_directory(data)?;
    let _held = files::lock(data)?;
    let place = data.join(files::DATABASE);
    for name in [files::DATABASE, "countersign.db-wal", "countersign.db-shm"] {
        let there = data.join(name);
        if there.exists() {
            return Err(StoreFault(format!(
                "{} exists: a backup is only restored where there is no store; move it away first",
                there.display()
            )));
        }
    }
    let inventory = check_file(from)?;
    if let Some(found) = inventory.faults.first() {
        return Err(StoreFault(format!("{} is not whole: {found}", from.display())));
    }
    let coming = data.join("countersign.db.coming");
    let failed = |error: std::io::Error| StoreFault(format!("{} cannot be written: {error}", coming.display()));
    let _ = std::fs::remove_file(&coming); // of a restore that was cut off
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&coming).map_err(failed)?;
    std::io::copy(&mut File::open(from).map_err(failed)?, &mut file).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&coming, &place).map_err(failed)?;
    sync_directory(&place).map_err(failed)?;
    Ok(inventory)
}

/// Brings the schema up to date; gives the versions before and after.
///
/// # Errors
/// A server holds the store, there is none, or a newer version wrote it.
pub fn migrate(data: &Path) -> Result<(usize, usize), StoreFault> {
    let before = check_file(&data.join(files::DATABASE))?.schema;
    let _held = files::lock(data)?;
    drop(files::open_writer(data)?);
    Ok((before, files::KNOWN_SCHEMA))
}

/// Looks at every page and index of the store, beside a running server.
///
/// # Errors
/// It cannot be read.
pub fn check(data: &Path) -> Result<Inventory, StoreFault> {
    check_file(&data.join(files::DATABASE))
}

fn check_file(path: &Path) -> Result<Inventory, StoreFault> {
    let connection = open(path)?;
    let named = |error: rusqlite::Error| StoreFault(format!("{}: {error}", path.display()));
    let schema = files::schema_of(&connection, path)?;
    let mut faults = lines(&connection, "PRAGMA integrity_check(20)").map_err(named)?;
    faults.retain(|line| line != "ok");
    let orphans =
        lines(&connection, "SELECT \"table\" || ' row ' || coalesce(rowid, '') FROM pragma_foreign_key_check");
    faults.extend(orphans.map_err(named)?.into_iter().map(|row| format!("{row} names something that is not there")));
    let mut rows = Vec::new();
    for table in TABLES {
        let count = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0));
        rows.push((table, u64::try_from(count.map_err(named)?).unwrap_or(0)));
    }
    if schema == files::KNOWN_SCHEMA {
        faults.extend(chain_ends(&connection).map_err(named)?);
    }
    Ok(Inventory { schema, rows, faults })
}

/// Where the newest record of a chain is not the one that the store noted as its end.
fn chain_ends(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let transaction = connection.unchecked_transaction()?;
    let mut faults = Vec::new();
    for head in reader::chain_heads(&transaction)? {
        let sql = "SELECT chain, sequence, hash FROM audit WHERE chain = ?1 ORDER BY position DESC LIMIT 1";
        let newest: Option<Link> =
            transaction.query_row(sql, [&head.chain], |row| super::rows::link(row, 0)).optional()?.flatten();
        if newest.as_ref() != Some(&head) {
            faults.push(format!("the audit chain {} does not end with its record {}", head.chain, head.sequence));
        }
    }
    Ok(faults)
}

fn lines(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

fn open(path: &Path) -> Result<Connection, StoreFault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if !path.exists() {
        return Err(StoreFault(format!("there is no store at {}", path.display())));
    }
    Connection::open_with_flags(path, flags).map_err(|error| StoreFault(format!("{}: {error}", path.display())))
}

/// A new name is on the disk when its directory is.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}
