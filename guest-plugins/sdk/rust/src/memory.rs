//! A memory: five functions over entries.

use serde::de::DeserializeOwned;

use crate::Error;
use crate::remembered::{CallContext, Entry, EntryPage, Turn};

/// What an agent remembers with; [`memory_plugin!`](crate::memory_plugin) makes the component. `wit/memory.wit` has the limits.
pub trait Memory {
    /// Whether committing the same turn of the same run twice is the same as once: then a commit that a crash cut off is made again.
    const IDEMPOTENT_COMMIT: bool = false;

    /// What fits a text, the best first. Nothing can be written here.
    fn recall(query: &str, context: &CallContext) -> Result<Vec<Entry>, Error>;

    /// Keeps an entry and gives its id. An entry without an id is new; one with an id replaces what was there.
    fn remember(entry: Entry, context: &CallContext) -> Result<String, Error>;

    /// Drops an entry; that there is none is no error.
    fn forget(id: &str, context: &CallContext) -> Result<(), Error>;

    /// Entries after the one with the id `after`, at most `limit`. Nothing can be written here.
    fn list(after: Option<&str>, limit: u32, context: &CallContext) -> Result<EntryPage, Error>;

    /// Keeps what may be of use of a turn that is over.
    fn commit(turn: &Turn, context: &CallContext) -> Result<(), Error>;
}

impl Entry {
    pub fn new(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            text: text.into(),
            annotations: Vec::new(),
        }
    }
}

impl Turn {
    pub fn new(request: impl Into<String>, reply: impl Into<String>) -> Self {
        Self {
            request: request.into(),
            reply: reply.into(),
            annotations: Vec::new(),
        }
    }
}

impl CallContext {
    /// The plugin's configuration as a type; a wrong one is the operator's to mend.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.config).map_err(|error| {
            Error::new("bad-config", format!("the plugin's configuration is wrong: {error}"))
                .hint("mend the `config` table of this plugin's grant")
        })
    }
}

impl Default for CallContext {
    /// For native tests: empty ids and no configuration.
    fn default() -> Self {
        Self {
            session: String::new(),
            run: String::new(),
            config: "{}".to_owned(),
            annotations: Vec::new(),
        }
    }
}
