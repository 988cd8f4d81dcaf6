//! A directory with a configuration and plugins.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, anyhow};
use sandbar::{Config, Journal, OpenOptions, Runtime};
use sandbar_torture::attacks::{Attack, Given, Way};
use sandbar_torture::components::Components;
use tempfile::TempDir;

/// What the guests may use here: little, so that many rounds are over soon.
pub(crate) const CPU_MS: u64 = 100;
pub(crate) const WALL_MS: u64 = 1_000;
pub(crate) const MEMORY_MIB: u64 = 32;
/// Of all guests together.
pub(crate) const BUDGET_MIB: u64 = 2_048;

pub(crate) struct World {
    directory: TempDir,
    config: String,
}

impl World {
    /// The attackers, the pattern that does what it is told, and an honest tool.
    pub(crate) fn new(components: &Components, attacks: &[&Attack]) -> Result<Self> {
        let directory = TempDir::new().context("no temporary directory")?;
        let plugins = directory.path().join("plugins");
        std::fs::create_dir(&plugins)?;
        std::fs::write(directory.path().join("replies.toml"), "")?;
        let mut tools = vec!["echo"];
        let (mut grants, mut agents) = (String::new(), String::new());
        for name in ["echo", "pattern_probe"] {
            std::fs::write(plugins.join(format!("{name}.wasm")), components.read(name)?)?;
        }
        let mut seen: Vec<&str> = Vec::new();
        for attack in attacks {
            let name = attack.component();
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            std::fs::write(plugins.join(format!("{name}.wasm")), components.read(name)?)?;
            match attack.way {
                Way::Loaded => {}
                Way::Stepped => {
                    let _ = writeln!(agents, "[agents.{name}]\nmodel = \"script\"\npattern = \"{name}\"");
                }
                Way::Called { given, .. } => {
                    tools.push(name);
                    match given {
                        Given::Nothing => {}
                        Given::Files => {
                            let _ = writeln!(grants, "[grants.{name}]\nfiles = \"read-write\"");
                        }
                        Given::Instance => {
                            std::fs::write(plugins.join(format!("{name}.toml")), "lifetime = \"session\"\n")?;
                        }
                    }
                }
            }
        }
        let config = format!(
            "default_agent = \"main\"\ndata_dir = \"data\"\n[plugins]\ndirectories = [\"plugins\"]\n\
             [limits]\nput_aside = false\nmemory_mib = {MEMORY_MIB}\nguest_memory_mib = {BUDGET_MIB}\ncpu_ms = {CPU_MS}\nwall_ms = {WALL_MS}\n\
             [models.script]\nprovider = \"scripted\"\nscript = \"replies.toml\"\n\
             [agents.main]\nmodel = \"script\"\npattern = \"pattern_probe\"\nplugins = {tools:?}\n{agents}{grants}"
        );
        Ok(Self { directory, config })
    }

    /// One more plugin.
    pub(crate) fn add(&self, components: &Components, name: &str) -> Result<()> {
        let path = self.directory.path().join(format!("plugins/{name}.wasm"));
        std::fs::write(path, components.read(name)?).context("a plugin can't be written")
    }

    pub(crate) async fn open(&self) -> Result<Runtime> {
        let config = Config::from_toml(&self.config, self.directory.path()).map_err(|errors| anyhow!("{errors:?}"))?;
        let options = OpenOptions {
            journal: Journal::Memory,
            ..OpenOptions::default()
        };
        Ok(Runtime::open_with(config, options).await?)
    }
}
