//! What other replicas change: heard by LISTEN, and asked for twice a second where that is not heard.
//!
//! In: the memory to keep up to date. Out: nothing; it ends with the store.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::fault;
use super::link::{DEADLINE, Link, Opener, too_slow};
use super::memory::Memory;
use crate::store::StoreFault;

/// How often is asked without having heard.
const EVERY: Duration = Duration::from_millis(500);

/// Follows until the memory is dropped.
pub(super) async fn follow(opener: Arc<Opener>, memory: Weak<Memory>) {
    let heard = Arc::new(Notify::new());
    let mut link: Option<Link> = None;
    let mut failing = false;
    while let Some(memory) = memory.upgrade() {
        let limited = tokio::time::timeout(DEADLINE, turn(&opener, &memory, &heard, &mut link));
        let done = limited.await.unwrap_or_else(|_| Err(too_slow()));
        drop(memory);
        match done {
            Ok(()) if failing => tracing::info!("changes of other replicas are heard again"),
            Ok(()) => {}
            Err(fault) => {
                link = None;
                if !failing {
                    tracing::warn!("changes of other replicas are not heard: {}", fault.0);
                }
            }
        }
        failing = link.is_none();
        let _ = tokio::time::timeout(EVERY, heard.notified()).await;
    }
}

async fn turn(
    opener: &Opener,
    memory: &Memory,
    heard: &Arc<Notify>,
    link: &mut Option<Link>,
) -> Result<(), StoreFault> {
    let open = match link {
        Some(open) => open,
        None => {
            let new = opener.open(Some(Arc::clone(heard))).await?;
            // A cluster that has no notifications is polled.
            let listening = new.client.batch_execute("LISTEN countersign").await;
            match listening {
                Err(error) if error.is_closed() => return Err(fault(error)),
                _ => link.insert(new),
            }
        }
    };
    memory.refresh(&open.client).await
}
