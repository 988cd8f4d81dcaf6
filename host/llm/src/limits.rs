//! What an answer may cost the host, whatever the other side sends.

use std::time::Duration;

/// The most that one event of a stream holds, and one answer that comes as a single JSON document.
pub(crate) const MAX_EVENT_BYTES: usize = 10_000_000;
/// The most that one answer says: text, thoughts and arguments together.
pub(crate) const MAX_REPLY_BYTES: usize = 4 << 20;
/// The most that one answer takes on the wire. A token of four bytes comes in an event of some three hundred.
pub(crate) const MAX_STREAM_BYTES: usize = 256 << 20;
/// The most that is read of an answer that only explains why there is none.
pub(crate) const MAX_ERROR_BYTES: usize = 64 * 1024;
/// The most that is read of a list of models.
pub(crate) const MAX_LIST_BYTES: usize = 4 << 20;

pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may send signs of life without a word of an answer.
pub(crate) const MAX_SILENCE: Duration = Duration::from_secs(600);
/// How long the list of models may take that a hint is made of.
pub(crate) const LIST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server on this machine may take to say which models it has.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_millis(300);

/// The longest wait that a provider may ask for.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
pub(crate) const FIRST_BACKOFF: Duration = Duration::from_millis(500);
pub(crate) const MAX_BACKOFF: Duration = Duration::from_secs(30);
