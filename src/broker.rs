//! Everything wired together: one running broker.
//!
//! In: a configuration file and a clock. Out: [`Broker`], which the listeners serve. Reloading replaces issuers,
//! policies, bundles and services together, or nothing.

mod load;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::config::{self, Config};
use crate::diagnostic::Diagnostics;
use crate::exchange::{Exchange, Rules};
use crate::gateway::Gateway;
use crate::key::{Keys, Previous};
use crate::mint::{MintFault, Signer, TokenDefaults};
use crate::relying_party::Verifier;
use crate::review::Reviews;
use crate::store::sqlite::Sqlite;
use crate::store::{Store, StoreFault};
use crate::workload::credentials::SecretHasher;

pub use load::{Loaded, load};

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
    reloading: std::sync::Mutex<()>,
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
        let loaded = load(&config, clock.now()).map_err(OpenFailure::Files)?;
        warn(&loaded);
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(&config.data)?);
        let secrets = Arc::new(SecretHasher::open(&*store).await?);
        let signer = Arc::new(Signer::open(&*store, config.token.signing_algorithm, clock.now()).await?);
        let kept = Previous::Kept(store.key_sets().await?);
        let keys = Keys::start(&loaded.issuers, kept, &clock, Some(Arc::clone(&store)), config.proxy.as_ref());
        let verifier = Arc::new(Verifier::new(&config.issuer, signer.jwks(), Arc::clone(&store), Arc::clone(&secrets)));
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
        let gateway = Gateway::new(loaded.services, Arc::clone(&verifier), clock);
        Ok(Arc::new(Broker { origin, config, exchange, gateway, verifier, reloading: std::sync::Mutex::new(()) }))
    }

    /// Reads issuers, bundles, policies and services again. All of them take effect together; on any fault the old ones
    /// stay. Our issuer identifier, listeners, store and token settings stay as they were at the start; changed ones are
    /// named in the log.
    ///
    /// # Errors
    /// Every fault found.
    pub fn reload(&self) -> Result<(), Diagnostics> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut config = config::load(&self.origin.file, &self.origin.environment)?;
        for setting in config.fixed_until_restart(&self.config) {
            tracing::warn!(setting, "`{setting}` was changed; that takes effect at the next start");
        }
        // Tokens go on naming the old issuer identifier, so assertions must be meant for it too.
        config.issuer.clone_from(&self.config.issuer);
        let loaded = load(&config, self.exchange.clock.now())?;
        warn(&loaded);
        let old = self.exchange.rules.load();
        let exchange = &self.exchange;
        let (running, store) = (Previous::Running(&old.keys), Some(Arc::clone(&exchange.store)));
        let keys = Keys::start(&loaded.issuers, running, &exchange.clock, store, self.config.proxy.as_ref());
        let rules =
            Rules { reviews: Reviews::new(&loaded.issuers), issuers: loaded.issuers, keys, policies: loaded.policies };
        tracing::info!(policy.digest = rules.policies.digest(), "configuration reloaded");
        self.exchange.rules.store(Arc::new(rules));
        self.gateway.replace(loaded.services);
        Ok(())
    }
}

fn warn(loaded: &Loaded) {
    for warning in loaded.warnings.iter() {
        tracing::warn!("{warning}");
    }
}
