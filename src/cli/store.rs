//! `countersign store …`: back up, restore, migrate and check the store of the configuration.

use std::path::PathBuf;

use crate::config::{self, Config, PostgresSettings, StoreSettings};
use crate::store::postgres::Postgres;
use crate::store::sqlite::upkeep;
use crate::store::{Inventory, StoreFault};

use super::{Failed, Global, output};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Copy the store to a new file while the server runs (PostgreSQL: use pg_dump)
    Backup(Named),
    /// Put a backup in place, where there is no store yet; the server must not run
    Restore(Named),
    /// Bring the schema up to date, as starting the server does
    Migrate,
    /// Look for damage, while the server runs; exit 1 when there is some
    Check,
}

/// A file.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The backup
    file: PathBuf,
}

/// Runs it.
///
/// # Errors
/// What failed, and the next step.
pub async fn run(global: &Global, command: Command) -> Result<(), Failed> {
    let config = config::load(&global.config, &super::environment()).map_err(|faults| Failed(faults.to_string()))?;
    match &config.store {
        StoreSettings::Embedded => embedded(&config, command),
        StoreSettings::Postgres(settings) => postgres(settings, command).await,
    }
}

fn embedded(config: &Config, command: Command) -> Result<(), Failed> {
    let data = &config.data;
    match command {
        Command::Backup(Named { file }) => {
            let copied = upkeep::backup(data, &file).map_err(failed)?;
            output::print(&format!("backed up to {}\n{}", file.display(), shown(&copied)))?;
            output::print("The key-encryption key and the configuration are not in it.\n")
        }
        Command::Restore(Named { file }) => {
            let restored = upkeep::restore(&file, data).map_err(failed)?;
            output::print(&format!("restored into {}\n{}", data.display(), shown(&restored)))
        }
        Command::Migrate => migrated(upkeep::migrate(data).map_err(failed)?),
        Command::Check => checked(&upkeep::check(data).map_err(failed)?),
    }
}

async fn postgres(settings: &PostgresSettings, command: Command) -> Result<(), Failed> {
    match command {
        Command::Backup(_) => Err(Failed(
            "PostgreSQL is backed up with its own tools, while replicas run: pg_dump --format=custom --file=FILE DATABASE"
                .to_owned(),
        )),
        Command::Restore(_) => Err(Failed(
            "PostgreSQL is restored with its own tools, into an empty database: pg_restore --dbname=DATABASE FILE"
                .to_owned(),
        )),
        Command::Migrate => migrated(Postgres::migrate(settings).await.map_err(failed)?),
        Command::Check => checked(&Postgres::inventory(settings).await.map_err(failed)?),
    }
}

fn migrated((before, after): (usize, usize)) -> Result<(), Failed> {
    match before == after {
        true => output::print(&format!("schema {after}, nothing to do\n")),
        false => output::print(&format!("schema {before} is now {after}\n")),
    }
}

fn checked(inventory: &Inventory) -> Result<(), Failed> {
    output::print(&shown(inventory))?;
    match inventory.faults.len() {
        0 => output::print("no damage found\n"),
        count => Err(Failed(format!("the store is damaged ({count} findings); restore a backup"))),
    }
}

fn shown(inventory: &Inventory) -> String {
    let rows: Vec<String> = inventory.rows.iter().map(|(table, count)| format!("{count} {table}")).collect();
    let faults: String = inventory.faults.iter().map(|found| format!("DAMAGE: {found}\n")).collect();
    format!("schema {}: {}\n{faults}", inventory.schema, rows.join(", ").replace("signing_keys", "signing keys"))
}

#[allow(clippy::needless_pass_by_value)] // the shape that map_err wants
fn failed(fault: StoreFault) -> Failed {
    Failed(fault.0)
}
