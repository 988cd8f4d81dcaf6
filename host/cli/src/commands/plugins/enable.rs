//! `sandbar plugins enable`.

use serde_json::json;

use crate::commands::sessions::{no_journal, open};
use crate::consent::TERMINAL;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::options::Options;
use crate::sanitise::exact;
use crate::terminal::Terminal;

/// Bring back a plugin that was put aside because it failed again and again
#[derive(Debug, clap::Args)]
pub(crate) struct Enable {
    /// The plugin's name, as `sandbar plugins list` shows it
    name: String,
}

impl Enable {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let directory = options.journal_dir()?;
        let store = open(&directory)?.ok_or_else(|| no_journal(&directory))?;
        Options::block_on(async {
            store.enable_plugin(&self.name, TERMINAL).await?;
            match terminal.json {
                true => terminal.json_line(&json!({ "name": self.name, "enabled": true })),
                false => terminal.note(&format!(
                    "`{}` is called again, and its failures are forgotten",
                    exact(&self.name)
                )),
            }
            Ok(Exit::Ok)
        })
    }
}
