//! A directory with a configuration, a script and plugins, for one measurement.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use sandbar::protocol::{ProgressSink, RunId, RunRequest, RunResult, SessionId, ToolInvocation};
use sandbar::{Config, Journal, OpenOptions, Runtime};
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) directory: TempDir,
}

impl World {
    /// Plugins are copied from the sample components.
    pub(crate) fn new(guests: &Path, plugins: &[&str], toml: &str, script: &str) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let root = directory.path();
        std::fs::create_dir(root.join("plugins"))?;
        for plugin in plugins {
            let from = guests.join(format!("{plugin}.wasm"));
            std::fs::copy(&from, root.join("plugins").join(format!("{plugin}.wasm")))
                .with_context(|| format!("can't copy {}", from.display()))?;
        }
        std::fs::write(root.join("replies.toml"), script)?;
        std::fs::write(root.join("sandbar.toml"), toml)?;
        Ok(Self { directory })
    }

    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let text = std::fs::read_to_string(self.directory.path().join("sandbar.toml"))?;
        Config::from_toml(&text, self.directory.path()).map_err(|errors| anyhow::anyhow!("{errors:?}"))
    }

    pub(crate) async fn open(&self, journal: Journal) -> anyhow::Result<Runtime> {
        let options = OpenOptions {
            journal,
            ..OpenOptions::default()
        };
        Ok(Runtime::open_with(self.config()?, options).await?)
    }
}

/// An agent with the tools of `echo`, and a script in which every turn calls one and then answers.
pub(crate) const ECHO_AGENT: &str = r#"
[plugins]
directories = ["plugins"]
[models.script]
provider = "scripted"
script = "replies.toml"
[agents.main]
model = "script"
plugins = ["echo"]
[agents.main.limits]
steps = 1000000
"#;

pub(crate) fn turns_script(turns: usize) -> String {
    let mut script = String::new();
    for turn in 0..turns {
        let _ = writeln!(
            script,
            "[[reply]]\ncalls = [ {{ name = \"echo__echo\", arguments = {{ text = \"{turn}\" }} }} ]"
        );
        let _ = writeln!(script, "[[reply]]\ntext = \"done {turn}\"\nchunk = 1000");
    }
    script
}

pub(crate) async fn turn(runtime: &Runtime, session: Option<SessionId>) -> anyhow::Result<RunResult> {
    let request = RunRequest {
        session,
        ..RunRequest::new("go")
    };
    let result = runtime.run(request).await?.result().await?;
    anyhow::ensure!(result.error.is_none(), "{:?}", result.error);
    Ok(result)
}

pub(crate) fn invocation(input: serde_json::Value) -> anyhow::Result<ToolInvocation> {
    let progress: ProgressSink = Arc::new(|_| {});
    Ok(ToolInvocation {
        session: SessionId::parse("bench")?,
        run: RunId::parse("bench")?,
        call_id: "call".to_owned(),
        input: Arc::new(input),
        progress,
        denials: Arc::new(|_| {}),
    })
}
