//! A directory with a configuration and plugins.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, anyhow};
use sandbar::{Config, OpenOptions, Runtime};
use sandbar_torture::attacks::{Attack, Given, Way};
use sandbar_torture::components::Components;
use sandbar_torture::ground::Ground;
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
    /// Kept for its servers.
    _ground: Ground,
}

impl World {
    /// The attackers, the pattern that does what it is told, an honest tool, and one that keeps what others look for.
    pub(crate) fn new(components: &Components, attacks: &[&Attack]) -> Result<Self> {
        let directory = TempDir::new().context("no temporary directory")?;
        let plugins = directory.path().join("plugins");
        std::fs::create_dir(&plugins)?;
        std::fs::write(directory.path().join("replies.toml"), "")?;
        let ground = Ground::start().context("no servers on this machine")?;
        for (name, content) in Ground::FILES {
            std::fs::write(directory.path().join(name), content)?;
        }
        let mut tools = vec!["echo", "keeper"];
        let (mut grants, mut agents) = (ground.grant("keeper", Given::Kv), String::new());
        for name in ["echo", "keeper", "pattern_probe"] {
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
            // All have the limits of the configuration here.
            if let Some(manifest) = attack.lifetime() {
                std::fs::write(plugins.join(format!("{name}.toml")), manifest)?;
            }
            match attack.way {
                Way::Loaded => {}
                Way::Stepped => {
                    let _ = writeln!(agents, "[agents.{name}]\nmodel = \"script\"\npattern = \"{name}\"");
                }
                Way::Called { given, .. } => {
                    tools.push(name);
                    grants += &ground.grant(name, given);
                }
            }
        }
        let config = format!(
            "default_agent = \"main\"\ndata_dir = \"data\"\n[plugins]\ndirectories = [\"plugins\"]\n\
             [limits]\nput_aside = false\nmemory_mib = {MEMORY_MIB}\nguest_memory_mib = {BUDGET_MIB}\ncpu_ms = {CPU_MS}\nwall_ms = {WALL_MS}\n\
             [models.script]\nprovider = \"scripted\"\nscript = \"replies.toml\"\n\
             [agents.main]\nmodel = \"script\"\npattern = \"pattern_probe\"\nplugins = {tools:?}\n{agents}{grants}{}",
            ground.secrets()
        );
        Ok(Self {
            directory,
            config,
            _ground: ground,
        })
    }

    /// One more plugin.
    pub(crate) fn add(&self, components: &Components, name: &str) -> Result<()> {
        let path = self.directory.path().join(format!("plugins/{name}.wasm"));
        std::fs::write(path, components.read(name)?).context("a plugin can't be written")
    }

    pub(crate) async fn open(&self) -> Result<Runtime> {
        let place = self.directory.path();
        let mut config = Config::from_toml(&self.config, place).map_err(|errors| anyhow!("{errors:?}"))?;
        config.lock_file = Some(place.join("sandbar.lock"));
        config.files = vec![place.join("sandbar.toml")];
        // With its journal on the disk, as users have it.
        Ok(Runtime::open_with(config, OpenOptions::default()).await?)
    }
}
