//! What a person is told of `sandbar.lock` when plugins were loaded: what was recorded at first sight, and what could not be.

use sandbar::Config;
use sandbar::plugins::Plugins;

use crate::sanitise::sanitise;
use crate::style::Style;
use crate::terminal::{Stream, Terminal};

/// Says it on standard error. As data it is in `sandbar.lock` and in the audit.
pub(crate) fn tell(plugins: &Plugins, config: &Config, terminal: &Terminal) {
    if let Some(error) = plugins.unrecorded() {
        terminal.warning(error);
    }
    if terminal.json {
        return;
    }
    let paint = terminal.paint(Stream::Err);
    for name in plugins.recorded() {
        let granted = match config.grants.contains_key(name) {
            true => format!("; it has what `[grants.{name}]` gives"),
            false => String::new(),
        };
        let text = format!("the plugin `{name}` was recorded as it is now{granted}");
        terminal.note(&format!("{} {}", paint.with(Style::Yellow, "new:"), sanitise(&text)));
    }
}
