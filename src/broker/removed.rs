//! What a reload, or a start on other files, took away: its sessions end.
//!
//! In: two sets of rules. Out: a change in the store, tried until it is made. Replicas that read their files at different
//! moments each end what their own reload took away; ending a session twice is nothing.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::audit::ChangeEvent;
use crate::clock::Clock;
use crate::exchange::{Exchange, Rules};
use crate::policy::{Mode, Policy};
use crate::store::{Change, ChangeRefusal, SessionFilter, SessionsOf, Store, StoreFault};
use crate::vocab::{IssuerName, PolicyName, UnixTime};

/// How long after a store that failed it is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// Sessions read at once when a broker starts.
const PAGE: u32 = 10_000;

/// Policies and issuers that are not in force any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Removed {
    policies: BTreeSet<PolicyName>,
    issuers: BTreeSet<IssuerName>,
}

impl Removed {
    /// What the old rules had and the new ones have not, or have switched off.
    pub(super) fn between(old: &Rules, new: &Rules) -> Removed {
        let (policies, issuers): (HashSet<_>, HashSet<_>) = (policies(new).collect(), issuers(new).collect());
        Removed {
            policies: self::policies(old).filter(|name| !policies.contains(name)).cloned().collect(),
            issuers: self::issuers(old).filter(|name| !issuers.contains(name)).cloned().collect(),
        }
    }

    /// Ends their sessions. A store that fails is asked again: while it fails nothing is minted, and relying parties are
    /// not told that a token is good.
    pub(super) async fn end(self, store: Arc<dyn Store>, clock: Clock, by: &'static str) {
        let policies = self.policies.into_iter().collect::<Vec<_>>();
        let issuers = self.issuers.into_iter().collect::<Vec<_>>();
        for which in [SessionsOf::Policies(policies), SessionsOf::Issuers(issuers)] {
            while let Err(fault) = end(&*store, &clock, &which, by).await {
                tracing::error!("the sessions of removed policies or issuers have not ended yet: {fault}");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// The policies that admit somebody.
fn policies(rules: &Rules) -> impl Iterator<Item = &PolicyName> {
    rules.policies.iter().filter(|policy| policy.mode() == Mode::Enforce).map(Policy::name)
}

/// The issuers whose tokens are taken.
fn issuers(rules: &Rules) -> impl Iterator<Item = &IssuerName> {
    rules.issuers.enabled().map(|issuer| issuer.name())
}

async fn end(store: &dyn Store, clock: &Clock, which: &SessionsOf, by: &'static str) -> Result<(), StoreFault> {
    let event = ChangeEvent::new("session", "revoked", by);
    let names = |names: &mut dyn Iterator<Item = &str>| names.map(str::to_owned).collect::<Vec<_>>();
    let event = match which {
        SessionsOf::Policies(policies) if !policies.is_empty() => {
            event.fact("policies", names(&mut policies.iter().map(|name| name.as_str())))
        }
        SessionsOf::Issuers(issuers) if !issuers.is_empty() => {
            event.fact("issuers", names(&mut issuers.iter().map(|name| name.as_str())))
        }
        _ => return Ok(()),
    };
    let made = event.made(clock).map_err(|fault| StoreFault(fault.to_string()))?;
    match store.change(Change::EndSessions(which.clone()), made).await {
        Ok(ended) => {
            tracing::info!(sessions.ended = ended, by, "{ended} sessions of removed policies or issuers ended");
            Ok(())
        }
        Err(ChangeRefusal::Fault(fault)) => Err(fault),
        Err(refusal) => Err(StoreFault(refusal.to_string())),
    }
}

/// Ends, in the background, the sessions of policies and issuers that were taken away while no broker ran. Not where
/// replicas share a store: one that starts on older files than the others would end what the newer ones admit.
pub(super) fn end_of_unknown(exchange: &Exchange, longest: Duration) {
    let (store, clock, rules) = (Arc::clone(&exchange.store), exchange.clock.clone(), exchange.rules.load_full());
    tokio::spawn(async move {
        let found = loop {
            match unknown(&*store, &rules, clock.now(), longest).await {
                Ok(found) => break found,
                Err(fault) => tracing::error!("it is not known which sessions are of removed policies: {fault}"),
            }
            tokio::time::sleep(AGAIN).await;
        };
        drop(rules);
        found.end(store, clock, "start").await;
    });
}

/// The policies and issuers of live sessions that are not in force.
async fn unknown(store: &dyn Store, rules: &Rules, now: UnixTime, longest: Duration) -> Result<Removed, StoreFault> {
    let (policies, issuers): (HashSet<_>, HashSet<_>) = (policies(rules).collect(), issuers(rules).collect());
    let (mut gone, mut before) = (Removed::default(), None);
    loop {
        let since = Some(now.minus(longest));
        let filter = SessionFilter { since, before, limit: PAGE, ..SessionFilter::default() };
        let page = store.sessions(filter).await?;
        for session in page.iter().filter(|session| session.revoked_at.is_none() && session.expires_at > now) {
            gone.policies.extend(session.policies.iter().filter(|name| !policies.contains(name)).cloned());
            gone.issuers.extend(session.issuer.iter().filter(|name| !issuers.contains(name)).cloned());
        }
        match page.last() {
            Some(last) => before = Some(last.token.clone()),
            None => return Ok(gone),
        }
    }
}
