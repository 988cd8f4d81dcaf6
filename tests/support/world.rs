//! A directory with everything that a runtime needs: configuration, script, plugins, workspace. Ids and times are the same each time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sandbar::protocol::{Clock, Error, Result, RunRequest, SessionId};
use sandbar::{Config, OpenOptions, Runtime};
use tempfile::TempDir;

use crate::support::desk::Desk;
use crate::support::ran::Ran;
use crate::support::{built, quiet};

#[derive(Debug)]
pub(crate) struct World {
    directory: TempDir,
    data_dir: String,
    desk: Option<Desk>,
    clock: Arc<Steady>,
    limits: String,
    agent: String,
    more: String,
    workspace: &'static str,
    /// Set where there are several.
    default_agent: &'static str,
    pub(crate) max_journal_bytes: Option<u64>,
    /// All ids of a world come from it, also those of a second runtime.
    entropy: Arc<AtomicU64>,
    _share: quiet::Share,
}

/// Every look at it is a millisecond later.
#[derive(Debug, Default)]
struct Steady(AtomicU64);

impl Clock for Steady {
    fn now_ms(&self) -> u64 {
        1_767_225_600_000 + self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl World {
    /// An agent without tools, a script without replies, a workspace without files.
    pub(crate) fn new() -> Self {
        let world = Self {
            directory: tempfile::tempdir().unwrap(),
            data_dir: String::new(),
            desk: None,
            clock: Arc::default(),
            limits: String::new(),
            agent: String::new(),
            more: String::new(),
            workspace: "workspace = \"work\"",
            default_agent: "",
            max_journal_bytes: None,
            entropy: Arc::default(),
            _share: quiet::share(),
        };
        for name in ["plugins", "work"] {
            std::fs::create_dir_all(world.path(name)).unwrap();
        }
        world.data_dir("data").script("")
    }

    /// From now on another directory for data, which is empty; the rest of the world stays.
    pub(crate) fn data_dir(mut self, name: &str) -> Self {
        let cache = self.path(name).join("cache");
        std::fs::create_dir_all(&cache).unwrap();
        std::os::unix::fs::symlink(built::shared_cache(), cache.join("components")).unwrap();
        name.clone_into(&mut self.data_dir);
        self
    }

    /// The tools of a desk, beside those of the plugins.
    pub(crate) fn desk(mut self, desk: &Desk) -> Self {
        self.desk = Some(desk.clone());
        self
    }

    /// Time goes by, for all runtimes of this world.
    pub(crate) fn forward(&self, time: Duration) {
        self.clock.0.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Each session gets a workspace of its own, so that no call waits for another session's.
    pub(crate) fn own_workspaces(mut self) -> Self {
        self.workspace = "";
        self
    }

    /// Compiled code is not shared with other tests, and starts empty.
    pub(crate) fn own_cache(self) -> Self {
        std::fs::remove_file(self.path("data/cache/components")).unwrap();
        self
    }

    pub(crate) fn guest(self, name: &str) -> Self {
        self.plugin(name, &built::guest(name))
    }

    /// A guest under another name.
    pub(crate) fn guest_as(self, guest: &str, name: &str) -> Self {
        self.plugin(name, &built::guest(guest))
    }

    pub(crate) fn plugin(self, name: &str, bytes: &[u8]) -> Self {
        self.file(&format!("plugins/{name}.wasm"), bytes)
    }

    pub(crate) fn manifest(self, plugin: &str, text: &str) -> Self {
        self.file(&format!("plugins/{plugin}.toml"), text)
    }

    pub(crate) fn script(self, text: impl AsRef<str>) -> Self {
        self.file("replies.toml", text.as_ref())
    }

    /// A file, by its name in the world's directory; the workspace is `work`.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Lines for `[limits]`.
    pub(crate) fn limits(mut self, lines: &str) -> Self {
        self.limits.push_str(lines);
        self.limits.push('\n');
        self
    }

    /// Plugins whose tools the agent has.
    pub(crate) fn tools(self, plugins: &[&str]) -> Self {
        self.agent(&format!("plugins = {plugins:?}"))
    }

    /// Lines for `[agents.main]`.
    pub(crate) fn agent(mut self, lines: &str) -> Self {
        self.agent.push_str(lines);
        self.agent.push('\n');
        self
    }

    /// Lines for `[agents.main]` instead of those before.
    pub(crate) fn agent_anew(mut self, lines: &str) -> Self {
        self.agent.clear();
        self.agent(lines)
    }

    pub(crate) fn pattern(self, plugin: &str) -> Self {
        self.agent(&format!("pattern = {plugin:?}"))
    }

    /// Tables of further agents; `main` stays the default.
    pub(crate) fn agents(mut self, tables: &str) -> Self {
        self.default_agent = "default_agent = \"main\"";
        self.with(tables)
    }

    /// Further tables of the configuration.
    pub(crate) fn with(mut self, tables: &str) -> Self {
        self.more.push_str(tables);
        self.more.push('\n');
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The directory for data.
    pub(crate) fn data(&self) -> PathBuf {
        self.path(&self.data_dir)
    }

    /// A file as text.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("`{name}`: {error}"))
    }

    pub(crate) fn config_text(&self) -> String {
        format!(
            "data_dir = {:?}\n{}\n{}\n[plugins]\ndirectories = [\"plugins\"]\n[limits]\n{}\
             [models.script]\nprovider = \"scripted\"\nscript = \"replies.toml\"\n[agents.main]\nmodel = \"script\"\n{}\n{}",
            self.data_dir, self.default_agent, self.workspace, self.limits, self.agent, self.more
        )
    }

    /// The configuration as a file, for the program.
    pub(crate) fn write_config(&self) -> &Path {
        std::fs::write(self.path("sandbar.toml"), self.config_text()).unwrap();
        self.directory.path()
    }

    pub(crate) fn config(&self) -> std::result::Result<Config, Vec<Error>> {
        Config::from_toml(&self.config_text(), self.directory.path())
    }

    pub(crate) fn options(&self) -> OpenOptions {
        let entropy = self.entropy.clone();
        OpenOptions {
            worker: Some(built::program()),
            clock: self.clock(),
            entropy: Arc::new(move || entropy.fetch_add(1, Ordering::Relaxed) + 1),
            tools: self.desk.as_ref().map_or_else(Vec::new, Desk::tools),
            max_journal_bytes: self.max_journal_bytes,
            ..OpenOptions::default()
        }
    }

    pub(crate) async fn try_open(&self) -> Result<Runtime> {
        let config = self.config().map_err(|errors| errors[0].clone())?;
        Runtime::open_with(config, self.options()).await
    }

    pub(crate) async fn open(&self) -> Runtime {
        self.try_open().await.unwrap()
    }

    /// Opens a runtime, asks once, and closes it.
    pub(crate) async fn ask(&self, message: &str) -> Ran {
        let runtime = self.open().await;
        let ran = ask(&runtime, message).await;
        runtime.close().await;
        ran
    }
}

/// A request in a new session, to its end.
pub(crate) async fn ask(runtime: &Runtime, message: &str) -> Ran {
    Ran::collect(runtime.run(RunRequest::new(message)).await.unwrap()).await
}

/// A request in a session, to its end.
pub(crate) async fn ask_in(runtime: &Runtime, session: &str, message: &str) -> Ran {
    Ran::collect(runtime.run(request_in(session, message)).await.unwrap()).await
}

pub(crate) fn request_in(session: &str, message: &str) -> RunRequest {
    RunRequest {
        session: Some(SessionId::parse(session).unwrap()),
        ..RunRequest::new(message)
    }
}
