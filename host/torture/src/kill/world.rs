//! The directory of a trial, and the sessions that every trial has.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use sandbar::config::Config;
use serde_json::Value;
use tempfile::TempDir;

/// A session of every trial.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) session: &'static str,
    pub(crate) agent: &'static str,
    /// Somebody is there to be asked.
    pub(crate) attended: bool,
    /// The first process leaves what it waits for to its successor.
    pub(crate) left: bool,
    /// Its successor doesn't answer but ends the run.
    pub(crate) cancelled: bool,
    /// One run for each.
    pub(crate) requests: &'static [&'static str],
}

pub(crate) static SCENES: [Scene; 11] = [
    Scene {
        session: "unattended",
        agent: "main",
        attended: false,
        left: false,
        cancelled: false,
        // The script knows nothing about the last one: its model fails.
        requests: &["Do it.", "Do more.", "Do too much."],
    },
    Scene {
        session: "attended",
        agent: "main",
        attended: true,
        left: false,
        cancelled: false,
        requests: &["Do it.", "Do more."],
    },
    Scene {
        session: "left",
        agent: "main",
        attended: false,
        left: true,
        cancelled: false,
        requests: &["Do it.", "Do more."],
    },
    Scene {
        session: "cancelled",
        agent: "main",
        attended: false,
        left: true,
        cancelled: true,
        requests: &["Do it."],
    },
    Scene {
        session: "poor",
        agent: "poor",
        attended: false,
        left: false,
        cancelled: false,
        requests: &["Do it."],
    },
    Scene {
        session: "probe",
        agent: "probe",
        attended: false,
        left: false,
        cancelled: false,
        requests: &[PROBE],
    },
    Scene {
        session: DENIED,
        agent: "main",
        attended: false,
        left: false,
        cancelled: false,
        requests: &["Do it."],
    },
    Scene {
        session: "delegating",
        agent: "chief",
        attended: false,
        left: true,
        cancelled: false,
        requests: &[CHIEF],
    },
    Scene {
        session: "remembering",
        agent: "rememberer",
        attended: false,
        left: false,
        cancelled: false,
        requests: &["Remember one.", "Remember two."],
    },
    Scene {
        session: "noting",
        agent: "noter",
        attended: false,
        left: false,
        cancelled: false,
        requests: &["Note one.", "Note two."],
    },
    Scene {
        session: BREAKING,
        agent: "breaker",
        attended: false,
        left: false,
        cancelled: false,
        requests: &[BREAK, MENDED],
    },
];

/// Where a plugin crashes until it is put aside, and is brought back before the second run.
pub(crate) const BREAKING: &str = "breaking";

/// The plugin that crashes.
pub(crate) const BREAKS: &str = "echo";

/// As many crashes as put a plugin aside.
const BREAK: &str = r#"
tools echo__noisy {"bytes":1,"panic":true}
tools echo__noisy {"bytes":1,"panic":true}
tools echo__noisy {"bytes":1,"panic":true}
tools echo__noisy {"bytes":1,"panic":true}
tools echo__noisy {"bytes":1,"panic":true}
finish It broke."#;

/// One crash, and a good call after it.
const MENDED: &str = r#"
tools echo__noisy {"bytes":1,"panic":true}
tools echo__echo {"text":"well"}
finish It is well."#;

/// A memory that has a turn twice which it is given twice.
pub(crate) const COUNTING: &str = "memory_probe";

/// A memory that keeps a turn under the name of its run.
pub(crate) const NOTES: &str = "notes";

/// What trials copy of the components of the tests.
const GUESTS: [&str; 3] = ["pattern_probe", BREAKS, COUNTING];

/// Where a person allows nothing.
pub(crate) const DENIED: &str = "denied";

/// One task that is done at once, and one that is handed on to an agent that has to wait for a person.
const CHIEF: &str = "
delegate helper Send it.
delegate middle delegate payer Pay it.
finish";

/// What the pattern of the tests does, a line for each step: everything that only a pattern asks for.
const PROBE: &str = "
artifact report.md text
model
calls
model
discard
compact
ask What colour is it?
tools native__send {}
model
finish";

const CONFIG: &str = r#"
data_dir = "data"
default_agent = "main"
[plugins]
directories = [PLUGINS]
[consent]
tools = { native__pay = "ask" }
[models.script]
provider = "scripted"
script = "main.toml"
[models.probe]
provider = "scripted"
script = "probe.toml"
[agents.main]
model = "script"
[agents.poor]
model = "script"
[agents.poor.limits]
steps = 4
tool_calls = 3
when_used_up = "ask"
[agents.probe]
model = "probe"
pattern = "pattern_probe"
[models.helper]
provider = "scripted"
script = "helper.toml"
[models.payer]
provider = "scripted"
script = "payer.toml"
[agents.chief]
model = "payer"
pattern = "pattern_probe"
delegates = ["helper", "middle"]
[agents.middle]
model = "payer"
pattern = "pattern_probe"
delegates = ["payer"]
[agents.helper]
model = "helper"
[agents.payer]
model = "payer"
[grants.memory_probe]
kv = "session"
[grants.notes]
kv = "session"
[models.memory]
provider = "scripted"
script = "memory.toml"
[agents.rememberer]
model = "memory"
memory = "memory_probe"
[agents.noter]
model = "memory"
memory = "notes"
[agents.breaker]
model = "probe"
pattern = "pattern_probe"
plugins = ["echo"]
"#;

const MAIN_SCRIPT: &str = r#"
[[reply]]
calls = [{ name = "native__look" }, { name = "native__put" }, { name = "native__send" }]
usage = { input_tokens = 10, output_tokens = 3 }
[[reply]]
text = "More at once."
calls = [
    { name = "native__send" }, { name = "native__big" }, { name = "native__nothing" }, { name = "native__send" },
    { name = "native__look", arguments = "no JSON" },
]
usage = { input_tokens = 20, output_tokens = 5, cached_tokens = 7 }
[[reply]]
calls = [{ name = "native__pay" }, { name = "native__look" }]
usage = { input_tokens = 30, output_tokens = 1 }
[[reply]]
text = "It is done."
usage = { input_tokens = 40, output_tokens = 2 }
[[reply]]
calls = [{ name = "native__send" }, { name = "native__pay" }, { name = "native__enter" }]
usage = { input_tokens = 50, output_tokens = 4 }
[[reply]]
text = "More is done."
usage = { input_tokens = 60, output_tokens = 6 }
"#;

const PROBE_SCRIPT: &str = r#"
[[reply]]
calls = [{ name = "native__look" }, { name = "native__send" }, { name = "native__put" }]
usage = { input_tokens = 5, output_tokens = 5 }
[[reply]]
text = "A draft."
usage = { input_tokens = 6, output_tokens = 6 }
"#;

const HELPER_SCRIPT: &str = r#"
[[reply]]
calls = [{ name = "native__look" }, { name = "native__send" }, { name = "native__put" }]
usage = { input_tokens = 3, output_tokens = 2 }
[[reply]]
text = "It is sent."
usage = { input_tokens = 4, output_tokens = 1 }
"#;

const PAYER_SCRIPT: &str = r#"
[[reply]]
calls = [{ name = "native__pay" }, { name = "native__send" }]
usage = { input_tokens = 8, output_tokens = 2 }
[[reply]]
text = "It is paid."
usage = { input_tokens = 9, output_tokens = 3 }
"#;

const MEMORY_SCRIPT: &str = r#"
[[reply]]
calls = [{ name = "native__look" }, { name = "native__send" }]
usage = { input_tokens = 2, output_tokens = 2 }
[[reply]]
text = "One is kept."
usage = { input_tokens = 3, output_tokens = 1 }
[[reply]]
text = "Two is kept."
usage = { input_tokens = 4, output_tokens = 1 }
"#;

/// What all trials have in common: components of the tests, and what was compiled.
#[derive(Debug)]
pub(crate) struct Common {
    directory: TempDir,
}

/// One trial's directory.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) directory: TempDir,
}

impl Common {
    pub(crate) fn new(guests: &Path) -> Result<Self> {
        let directory = TempDir::new().context("no temporary directory")?;
        std::fs::create_dir(directory.path().join("plugins"))?;
        std::fs::create_dir(directory.path().join("cache"))?;
        for guest in GUESTS {
            let file = format!("{guest}.wasm");
            let built = guests.join(&file);
            std::fs::copy(&built, directory.path().join("plugins").join(&file)).with_context(|| {
                format!(
                    "`{}` isn't there; `cargo xtask torture kill` builds it",
                    built.display()
                )
            })?;
        }
        Ok(Self { directory })
    }

    /// What was compiled once is there.
    pub(crate) fn world(&self) -> Result<World> {
        let directory = TempDir::new().context("no temporary directory")?;
        let root = directory.path();
        std::fs::create_dir(root.join("data"))?;
        std::os::unix::fs::symlink(self.directory.path().join("cache"), root.join("data/cache"))?;
        let plugins = Value::from(self.directory.path().join("plugins").to_string_lossy()).to_string();
        std::fs::write(root.join("sandbar.toml"), CONFIG.replace("PLUGINS", &plugins))?;
        std::fs::write(root.join("main.toml"), MAIN_SCRIPT)?;
        std::fs::write(root.join("probe.toml"), PROBE_SCRIPT)?;
        std::fs::write(root.join("helper.toml"), HELPER_SCRIPT)?;
        std::fs::write(root.join("payer.toml"), PAYER_SCRIPT)?;
        std::fs::write(root.join("memory.toml"), MEMORY_SCRIPT)?;
        Ok(World { directory })
    }
}

impl World {
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The journal as a dead process left it, elsewhere: looking at it must not mend what its successor will find.
    pub(crate) fn copy_of_journal(&self) -> Result<TempDir> {
        let copy = TempDir::new().context("no temporary directory")?;
        for name in ["sandbar.db", "sandbar.db-wal"] {
            let from: PathBuf = self.path().join("data").join(name);
            if from.exists() {
                std::fs::copy(&from, copy.path().join(name)).context("the journal can't be copied")?;
            }
        }
        Ok(copy)
    }
}

pub(crate) fn config(directory: &Path) -> Result<Config> {
    let text = std::fs::read_to_string(directory.join("sandbar.toml")).context("the trial has no configuration")?;
    Config::from_toml(&text, directory).map_err(|errors| anyhow!("{errors:?}"))
}
