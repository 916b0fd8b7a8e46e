//! The store's files: who may read them, who holds them, which schema they have.
//!
//! In: a directory. Out: an open, migrated database that no other server writes to.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::fault;
use crate::store::StoreFault;

/// The database's file name in the data directory.
pub(super) const DATABASE: &str = "countersign.db";
/// The lock's file name. A file of its own: closing any handle of the database would drop SQLite's own POSIX locks.
const LOCK: &str = "countersign.lock";
/// Marks the file as ours ("CSTG"), so that another program's database is not migrated by mistake.
const APPLICATION_ID: i32 = 0x4353_5447;
/// What brings a database from version N to N + 1; only ever appended to.
const MIGRATIONS: [&str; 5] = [
    include_str!("../migrations/0001-first.sql"),
    include_str!("../migrations/0002-key-sets.sql"),
    include_str!("../migrations/0003-keys.sql"),
    include_str!("../migrations/0004-sessions.sql"),
    include_str!("../migrations/0005-audit-chain.sql"),
];
/// How long to wait for an operator's `sqlite3` or a backup that holds the write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Creates the directory, readable by its owner only; one that exists keeps its mode.
pub(super) fn prepare_directory(directory: &Path) -> Result<(), StoreFault> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| StoreFault(format!("the data directory {} cannot be made: {error}", directory.display())))
}

/// Takes the lock that keeps a second server away from the same data; it lasts as long as the handle, or the process.
pub(super) fn lock(directory: &Path) -> Result<File, StoreFault> {
    let path = directory.join(LOCK);
    let file = private_file(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreFault(format!(
            "another countersign server is using {}; stop it, or give this one a `data` directory of its own",
            directory.display()
        ))),
        Err(TryLockError::Error(error)) => Err(StoreFault(format!("{} cannot be locked: {error}", path.display()))),
    }
}

/// Opens a file for its owner only, made with that mode before it has any content.
pub(super) fn private_file(path: &Path) -> Result<File, StoreFault> {
    let failed = |error| StoreFault(format!("{} cannot be opened: {error}", path.display()));
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
    }
    Ok(file)
}

/// Opens the connection that writes, and brings the schema up to date.
pub(super) fn open_writer(directory: &Path) -> Result<Connection, StoreFault> {
    let path = directory.join(DATABASE);
    // SQLite gives the -wal and -shm files the database's own mode.
    drop(private_file(&path)?);
    let named = |error: rusqlite::Error| StoreFault(format!("{}: {error}", path.display()));
    let mut connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(named)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(named)?;
    migrate(&mut connection, &path)?;
    configure(&connection).map_err(named)?;
    Ok(connection)
}

/// Opens a connection that can only read.
pub(super) fn open_reader(directory: &Path) -> Result<Connection, StoreFault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(directory.join(DATABASE), flags).map_err(fault)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(fault)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    // FULL: a commit is on the disk before it returns. NORMAL would lose the last ones at a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // 64 MiB of log between checkpoints: replay ids fall on random pages, and a page that was written often is moved to
    // the main file once (a sixth more commits a second than with 16 MiB). Reading it back after a crash takes a moment.
    connection.pragma_update(None, "wal_autocheckpoint", 16384)?;
    connection.pragma_update(None, "journal_size_limit", 128 << 20)?;
    connection.pragma_update(None, "cache_size", -(64 << 10))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// The newest schema that this version knows.
pub(super) const KNOWN_SCHEMA: usize = MIGRATIONS.len();

/// The schema of a database, which must be ours and not too new.
pub(super) fn schema_of(connection: &Connection, path: &Path) -> Result<usize, StoreFault> {
    let named = |error: rusqlite::Error| StoreFault(format!("{}: {error}", path.display()));
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(named)?;
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(named)?;
    if application != APPLICATION_ID && (application, version) != (0, 0) {
        return Err(StoreFault(format!("{} is another program's database", path.display())));
    }
    match usize::try_from(version) {
        Ok(version) if version <= KNOWN_SCHEMA => Ok(version),
        _ => Err(StoreFault(format!(
            "{} has schema {version}, and this countersign knows up to {KNOWN_SCHEMA}; run the newer version that wrote it",
            path.display()
        ))),
    }
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreFault> {
    let named = |error: rusqlite::Error| StoreFault(format!("{}: {error}", path.display()));
    let version = schema_of(connection, path)?;
    for (next, migration) in (1_u32..).zip(MIGRATIONS).skip(version) {
        let step = connection.transaction().map_err(named)?;
        step.execute_batch(migration).map_err(named)?;
        step.pragma_update(None, "application_id", APPLICATION_ID).map_err(named)?;
        step.pragma_update(None, "user_version", next).map_err(named)?;
        step.commit().map_err(named)?;
    }
    Ok(())
}
