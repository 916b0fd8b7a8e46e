//! One store under test, and how to open it again.

use std::sync::Arc;

use countersign::store::Store;
use countersign::store::postgres::Postgres;
use countersign::store::sqlite::Sqlite;

use crate::support::postgres::{Database, Server};

/// Which store.
pub enum Backend {
    Embedded(tempfile::TempDir),
    Postgres(Database<'static>),
}

impl Backend {
    pub fn embedded() -> Backend {
        Backend::Embedded(tempfile::tempdir().unwrap())
    }

    pub fn postgres() -> Backend {
        Backend::Postgres(Server::shared().database())
    }

    /// Opens it: of the embedded one only when nobody has it, of PostgreSQL another replica.
    pub async fn open(&self) -> Arc<dyn Store> {
        match self {
            Backend::Embedded(directory) => Arc::new(Sqlite::open(&directory.path().join("data")).unwrap()),
            Backend::Postgres(database) => Arc::new(Postgres::open(&database.settings()).await.unwrap()),
        }
    }
}

/// Writes a test for each backend.
macro_rules! for_each_store {
    ($($name:ident)*) => {
        mod embedded { $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
            super::$name($crate::backend::Backend::embedded()).await;
        })* }
        mod postgres { $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
            super::$name($crate::backend::Backend::postgres()).await;
        })* }
    };
}
pub(crate) use for_each_store;
