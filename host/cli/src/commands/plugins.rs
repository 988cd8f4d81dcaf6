//! `sandbar plugins`: which there are, what each of them can do, and how a new one is made.

mod approve;
mod build;
mod difference;
mod enable;
mod inspect;
mod list;
mod meaning;
mod new;
mod powers;
mod reach;
mod test;
mod verify;

pub(super) use approve::open_runtime;
use clap::Subcommand;
pub(super) use powers::unrequested;
use sandbar::config::grants::Grant;
use sandbar::plugins::{Origin, Plugin};
use sandbar::protocol::FileAccess;
use sandbar::protocol::policy::Effective;

use crate::failure::Outcome;
use crate::options::Options;
use crate::terminal::Terminal;

/// Look at plugins, and make new ones
///
/// To list or to inspect a plugin runs nothing of it but the description of its tools, once, without powers.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginsCommand {
    List(list::List),
    Inspect(inspect::Inspect),
    Approve(approve::Approve),
    Verify(verify::Verify),
    Enable(enable::Enable),
    New(new::New),
    Build(build::Build),
    Test(test::Test),
}

impl PluginsCommand {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        match self {
            Self::List(command) => command.run(options, terminal),
            Self::Inspect(command) => command.run(options, terminal),
            Self::Approve(command) => command.run(options, terminal),
            Self::Verify(command) => command.run(options, terminal),
            Self::Enable(command) => command.run(options, terminal),
            Self::New(command) => command.run(terminal),
            Self::Build(command) => command.run(options, terminal),
            Self::Test(command) => command.run(options, terminal),
        }
    }
}

/// Requested and granted. Without a manifest the operator's word is both.
pub(super) fn effective(plugin: &Plugin, grant: Option<&Grant>) -> Effective {
    plugin.effective(grant.map(|grant| grant.powers.clone()).unwrap_or_default())
}

fn access_word(access: FileAccess) -> &'static str {
    match access {
        FileAccess::None => "none",
        FileAccess::ReadOnly => "read-only",
        FileAccess::ReadWrite => "read-write",
    }
}

fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::File(path) => path.display().to_string(),
        Origin::Bundled => "bundled".to_owned(),
    }
}
