//! The audit trail of the running server, page by page: a report over weeks holds one page in memory.

use std::time::Duration;

use serde_json::Value;

use super::Failed;
use super::admin_client::{AdminClient, rows};
use crate::audit::Observed;
use crate::clock::Clock;
use crate::vocab::UnixTime;
use crate::yaml;

/// Records asked for at once.
const PAGE: u32 = 1000;

/// A stretch of time that ends now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// As it was asked for, for instance `7d`.
    pub text: String,
    /// When it begins.
    pub since: UnixTime,
    /// When it ends.
    pub until: UnixTime,
}

impl Window {
    /// The last `text`, for instance `7d`.
    ///
    /// # Errors
    /// When it is no duration.
    pub fn back(text: &str) -> Result<Window, Failed> {
        let span = yaml::duration(text).map_err(|rule| Failed(format!("{text}: {rule}, for instance 7d or 12h")))?;
        Ok(Window::of(text.to_owned(), span))
    }

    /// The last so many days.
    #[must_use]
    pub fn days(days: u32) -> Window {
        Window::of(format!("{days}d"), Duration::from_secs(u64::from(days) * 24 * 3600))
    }

    fn of(text: String, span: Duration) -> Window {
        let until = Clock::system().now();
        Window { text, since: until.minus(span), until }
    }
}

/// Shows `visit` every exchange of the window, oldest first.
///
/// # Errors
/// The server does not answer, or refuses.
pub async fn each(server: &AdminClient, window: &Window, mut visit: impl FnMut(Observed)) -> Result<(), Failed> {
    let (since, mut after) = (window.since.to_rfc3339(), 0);
    loop {
        let page = server.get(&format!("/admin/v1/audit?since={since}&after={after}&limit={PAGE}")).await?;
        let records = rows(&page, "records");
        let Some(last) = records.last().and_then(|entry| entry.get("position")).and_then(Value::as_i64) else {
            return Ok(());
        };
        after = last;
        for record in records.into_iter().filter_map(|mut entry| Some(entry.get_mut("record")?.take())) {
            let record: Observed = serde_json::from_value(record).unwrap_or_default();
            if record.event == "exchange" {
                visit(record);
            }
        }
    }
}

/// When the trail begins; `None` when it is empty. A report about what did not happen must say how far back it can see.
///
/// # Errors
/// The server does not answer, or refuses.
pub async fn beginning(server: &AdminClient) -> Result<Option<String>, Failed> {
    let page = server.get("/admin/v1/audit?after=0&limit=1").await?;
    let first = rows(&page, "records").into_iter().next();
    Ok(first.and_then(|entry| entry.pointer("/record/time")?.as_str().map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_now() {
        let week = Window::back("7d").unwrap();
        assert_eq!(week.until.since(week.since), Duration::from_secs(7 * 24 * 3600));
        assert_eq!((Window::days(7).text, week.text.as_str()), ("7d".to_owned(), "7d"));
        assert!(Window::back("7").unwrap_err().to_string().contains("for instance 7d"));
    }
}
