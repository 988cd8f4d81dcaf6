//! Who keeps count of how the calls of tools end, so that a plugin that fails again and again is not called any more.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use sandbar_protocol::{Error, Result, ToolOutput};

use crate::plugin::Plugin;
use crate::plugins::Plugins;

/// Failures that the host finds, and that are the plugin's: it crashed, used more than it may, or answered what is no answer.
///
/// An error that a tool reports itself is none of them, whatever code it gives it; neither is what others cause: memory that all guests
/// together have used up, a damaged cache, a call that somebody has cancelled.
const FAILURES: [&str; 12] = [
    "plugin-trapped",
    "stack-overflow",
    "cpu-limit",
    "wall-limit",
    "memory-limit",
    "table-limit",
    "transfer-limit",
    "handle-limit",
    "open-files-limit",
    "file-operations-limit",
    "output-too-large",
    "bad-output",
];

/// Whether a plugin may be called.
pub type Admit = Box<dyn Fn(&Plugin) -> Result<()> + Send + Sync>;

/// Told how a call has ended: well, with its own error, or with one that the host found, which is given.
pub type Ended = Box<dyn Fn(&Plugin, Option<&Error>) -> BoxFuture<'static, ()> + Send + Sync>;

/// Asked before a call, and told after it.
pub struct CallWatch {
    /// An error is what the call ends with; nothing of the plugin runs.
    pub admit: Admit,
    /// The error is one that the host found. The call has ended for its caller when this has.
    pub ended: Ended,
}

impl Plugins {
    /// Sets who keeps count. Only the first one is asked.
    pub fn watch(&self, watch: CallWatch) {
        // Whoever comes second has been told so above.
        let _ = self.watch.set(watch);
    }
}

/// A call of a tool, counted. Of its result the outer error is the host's, the inner one the tool's own.
pub(crate) fn counted(
    plugins: &Arc<Plugins>,
    plugin: &Arc<Plugin>,
    call: BoxFuture<'static, Result<Result<ToolOutput>>>,
) -> BoxFuture<'static, Result<ToolOutput>> {
    let admitted = plugins.watch.get().map_or(Ok(()), |watch| (watch.admit)(plugin));
    if let Err(error) = admitted {
        return ready(Err(error)).boxed();
    }
    let (plugins, plugin) = (plugins.clone(), plugin.clone());
    async move {
        let result = call.await;
        let failure = result.as_ref().err();
        if let Some(watch) = plugins.watch.get()
            && failure.is_none_or(|error| FAILURES.contains(&error.code.as_str()))
        {
            (watch.ended)(&plugin, failure).await;
        }
        result?
    }
    .boxed()
}

impl std::fmt::Debug for CallWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CallWatch")
    }
}
