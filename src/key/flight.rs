//! A running fetch that many callers can wait for. It is a task of its own, so no caller can cancel it for others.

use tokio::sync::watch;

use super::fetch::FetchFault;

/// How a fetch ended.
pub(super) type Landed = Result<(), FetchFault>;

/// A running fetch: nothing until it has landed.
#[derive(Clone)]
pub(super) struct Flight(watch::Receiver<Option<Landed>>);

impl Flight {
    /// A fetch that is about to run, and where to say how it ended.
    pub(super) fn new() -> (watch::Sender<Option<Landed>>, Flight) {
        let (sender, receiver) = watch::channel(None);
        (sender, Flight(receiver))
    }

    /// Whether it still runs; one whose task is gone does not.
    pub(super) fn is_running(&self) -> bool {
        self.0.borrow().is_none() && self.0.has_changed().is_ok()
    }

    /// Waits until it has landed.
    pub(super) async fn landing(mut self) -> Landed {
        let landed = self.0.wait_for(Option::is_some).await.map_err(|_| FetchFault::Stopped)?;
        landed.clone().unwrap_or(Err(FetchFault::Stopped))
    }
}
