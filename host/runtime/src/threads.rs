//! The threads that Sandbar is made for.

use tokio::runtime::Builder;

/// Polls of tasks until a thread looks again at timers and sockets. Tokio's own figure suits polls of a few microseconds; a poll here has up
/// to a tick of a guest's time in it, and 61 of those in a row would be what every timer and every connection waits.
const POLLS: u32 = 8;

/// For [`Runtime`](crate::Runtime), where it needn't live in a runtime that is there already.
#[must_use]
pub fn threads() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().event_interval(POLLS);
    builder
}
