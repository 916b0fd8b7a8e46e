//! The thread on which expressions are parsed.
//!
//! The parser recurses once a level, with frames of kilobytes: an expression within the limits needs more stack than a
//! caller's thread may have. A thread for each expression would cost more than parsing it; so there is one, made when
//! the first expression comes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};

use cel::ParseErrors;

use super::ConditionFault;

/// Stack for parsing: the limits of `fence` pass on it in a debug build too. Only what was used is ever memory.
const STACK_BYTES: usize = 64 * 1024 * 1024;

type Task = Box<dyn FnOnce() + Send>;

static TASKS: Mutex<Option<Sender<Task>>> = Mutex::new(None);

/// Runs `work` on the large stack and waits for it. A panic in it is a fault of the expression.
pub(super) fn on_large_stack<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ConditionFault> + Send + 'static,
) -> Result<T, ConditionFault> {
    let (answer, result) = sync_channel(1);
    let task = move || {
        let outcome = catch_unwind(AssertUnwindSafe(work));
        // Nobody waits any more only if the caller's thread is gone.
        let _ = answer.send(outcome.unwrap_or_else(|_| Err(ConditionFault::new("cannot be parsed"))));
    };
    tasks()?.send(Box::new(task)).map_err(|_| ConditionFault::new("the parser has stopped"))?;
    result.recv().unwrap_or_else(|_| Err(ConditionFault::new("cannot be parsed")))
}

fn tasks() -> Result<Sender<Task>, ConditionFault> {
    let mut current = TASKS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(tasks) = current.as_ref() {
        return Ok(tasks.clone());
    }
    let (tasks, queue) = channel::<Task>();
    let thread = std::thread::Builder::new().name("condition-parser".to_owned()).stack_size(STACK_BYTES);
    thread
        .spawn(move || queue.into_iter().for_each(|task| task()))
        .map_err(|error| ConditionFault::new(format!("the parser cannot start: {error}")))?;
    Ok(current.insert(tasks).clone())
}

/// The first thing the parser could not read, in fewer words than its own.
pub(super) fn fault(source: &str, errors: &ParseErrors) -> ConditionFault {
    let Some(first) = errors.errors.first() else { return ConditionFault::new("cannot be parsed") };
    let message = first.msg.trim_start_matches("Syntax error: ");
    let found = message.split_once('\'').and_then(|(_, rest)| rest.rsplit_once('\'')).map(|(found, _)| found);
    let found = found.map(|found| found.split("' expecting").next().unwrap_or(found));
    let rule = match (message, found) {
        (_, Some("<EOF>")) => "ends where something is missing".to_owned(),
        (message, Some(found)) if message.starts_with("token recognition error") && found.trim() == "=" => {
            "has a single `=`; `==` compares".to_owned()
        }
        (message, Some(found)) if message.starts_with("token recognition error") => {
            format!("has `{}`, which means nothing in CEL", found.trim())
        }
        (message, Some(found)) if message.starts_with("no viable alternative") => {
            format!("cannot be read at `{}`", found.trim())
        }
        (_, Some(found)) => format!("has `{found}` where it cannot stand"),
        (message, None) => message.to_owned(),
    };
    ConditionFault { span: at(source, first.pos), ..ConditionFault::new(rule) }
}

/// The byte of a line and a column, which count from 1.
fn at(source: &str, (line, column): (isize, isize)) -> Option<std::ops::Range<usize>> {
    let (line, column) = (usize::try_from(line).ok()?.checked_sub(1)?, usize::try_from(column).ok()?.checked_sub(1)?);
    let before: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = source.get(before..)?;
    let start = before + rest.char_indices().nth(column).map_or(rest.len(), |(offset, _)| offset);
    let width = source.get(start..)?.chars().next().map_or(0, char::len_utf8);
    Some(start..start + width)
}
