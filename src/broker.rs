//! Everything wired together: one running broker.
//!
//! In: a configuration file and a clock. Out: [`Broker`], which the listeners serve. Reloading replaces issuers,
//! policies, bundles and services together, or nothing.

mod files;
mod load;
mod reload;
mod removed;
mod standing;
mod watch;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::config::{self, Config, StoreSettings};
use crate::diagnostic::Diagnostics;
use crate::exchange::{Exchange, Rules};
use crate::gateway::Gateway;
use crate::key::{Keys, Previous};
use crate::mint::{Checkpoints, MintFault, Ring, RingSettings, TokenDefaults};
use crate::relying_party::Verifier;
use crate::review::Reviews;
use crate::store::postgres::Postgres;
use crate::store::sqlite::Sqlite;
use crate::store::{Store, StoreFault};
use crate::workload::credentials::SecretHasher;

pub use load::{Loaded, load};
pub use reload::ReloadRefusal;
pub use standing::{LastReload, Refusal, Standing};
pub use watch::{WatchStanding, watch};

use files::Files;
use watch::Watched;

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// The environment variables.
    pub environment: Vec<(String, String)>,
}

/// Why the broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenFailure {
    /// A file an operator wrote has faults.
    #[error("{0}")]
    Files(Diagnostics),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The signing keys cannot be opened.
    #[error(transparent)]
    Keys(#[from] MintFault),
}

/// A running broker.
pub struct Broker {
    /// Where its configuration came from.
    pub origin: Origin,
    /// The configuration it started with.
    pub config: Config,
    /// The path of a token.
    pub exchange: Exchange,
    /// The protected services.
    pub gateway: Gateway,
    /// The verifier of our own tokens.
    pub verifier: Arc<Verifier>,
    standing: ArcSwap<Standing>,
    watched: Mutex<Watched>,
    reloading: Mutex<()>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Broker").field("issuer", &self.config.issuer).finish_non_exhaustive()
    }
}

impl Broker {
    /// Reads the configuration and opens a broker on it; keys begin to be fetched in the background.
    ///
    /// # Errors
    /// See [`OpenFailure`].
    pub async fn open(origin: Origin, clock: Clock) -> Result<Arc<Broker>, OpenFailure> {
        let config = config::load(&origin.file, &origin.environment).map_err(OpenFailure::Files)?;
        let files = Files::of(&config);
        let watched = Watched::new(config.reload, files.glance(), files);
        let loaded = load(&config, clock.now()).map_err(OpenFailure::Files)?;
        log_warnings(&loaded.warnings);
        let standing = ArcSwap::from_pointee(Standing::at_start(loaded.summary(), clock.now_millis()));
        let store = open_store(&config).await?;
        let secrets = Arc::new(SecretHasher::open(&*store).await?);
        let signer = Arc::new(open_ring(&config, Arc::clone(&store), &clock).await?);
        store.sign_checkpoints(Checkpoints::by(&signer));
        let kept = Previous::Kept(store.key_sets().await?);
        let keys = Keys::start(&loaded.issuers, kept, &clock, Some(Arc::clone(&store)), config.proxy.as_ref());
        let verifier =
            Arc::new(Verifier::new(&config.issuer, Arc::clone(&signer), Arc::clone(&store), Arc::clone(&secrets)));
        let exchange = Exchange {
            rules: ArcSwap::from_pointee(Rules {
                reviews: Reviews::new(&loaded.issuers),
                issuers: loaded.issuers,
                keys,
                policies: loaded.policies,
            }),
            store,
            throttle: crate::client_auth::Throttle::default(),
            secrets,
            signer,
            defaults: TokenDefaults {
                issuer: config.issuer.clone(),
                lifetime: config.token.lifetime,
                max_lifetime: config.token.max_lifetime,
            },
            clock: clock.clone(),
        };
        if config.store == StoreSettings::Embedded {
            removed::end_of_unknown(&exchange, config.token.max_lifetime);
        }
        let gateway = Gateway::new(loaded.services, Arc::clone(&verifier), clock);
        let (watched, reloading) = (Mutex::new(watched), Mutex::default());
        Ok(Arc::new(Broker { origin, config, exchange, gateway, verifier, standing, watched, reloading }))
    }

    /// What is in force, and how the last reloads went.
    #[must_use]
    pub fn standing(&self) -> Arc<Standing> {
        self.standing.load_full()
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn open_store(config: &Config) -> Result<Arc<dyn Store>, StoreFault> {
    Ok(match &config.store {
        StoreSettings::Embedded => Arc::new(Sqlite::open(&config.data)?),
        StoreSettings::Postgres(settings) => Arc::new(Postgres::open(settings).await?),
    })
}

async fn open_ring(config: &Config, store: Arc<dyn Store>, clock: &Clock) -> Result<Ring, MintFault> {
    let settings = RingSettings {
        algorithm: config.token.signing_algorithm,
        max_lifetime: config.token.max_lifetime,
        signing: config.signing,
        replica: config.listen.to_string(),
    };
    Ring::open(store, (&config.key_encryption_key, &config.data), settings, clock.clone()).await
}

/// Warnings that the log shows at most; `check` shows all.
const SHOWN_WARNINGS: usize = 100;

fn log_warnings(warnings: &Diagnostics) {
    for warning in warnings.iter().take(SHOWN_WARNINGS) {
        tracing::warn!("{warning}");
    }
    let more = warnings.iter().count().saturating_sub(SHOWN_WARNINGS);
    if more > 0 {
        tracing::warn!("and {more} more warnings; `countersign check` shows all");
    }
}
