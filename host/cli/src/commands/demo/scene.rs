//! The directory of a demo: configuration, scripts, hostile plugins, documentation, workspace.

use std::path::{Path, PathBuf};

use sandbar::config::sources::Sources;
use sandbar::protocol::{Error, ErrorKind, Result};
use sandbar::{Config, DEMO_PLUGINS};

use crate::failure::{Failure, Outcome, file_failed};

const CONFIG: &str = include_str!("sandbar.toml");
const LIBRARIAN: &str = include_str!("librarian.toml");
const ATTACKER: &str = include_str!("attacker.toml");

/// The documentation, for those who run the program without its sources.
const DOCS: [(&str, &str); 5] = [
    (
        "getting-started.md",
        include_str!("../../../../../docs/guide/getting-started.md"),
    ),
    (
        "configuration.md",
        include_str!("../../../../../docs/guide/configuration.md"),
    ),
    ("plugins.md", include_str!("../../../../../docs/guide/plugins.md")),
    (
        "writing-a-script.md",
        include_str!("../../../../../docs/guide/writing-a-script.md"),
    ),
    ("exit-codes.md", include_str!("../../../../../docs/guide/exit-codes.md")),
];

/// The start of the line in `guide/plugins.md` that the script looks for.
const ANSWER: &str = "\nA plugin in an endless loop ";

pub(super) struct Scene {
    pub(super) directory: PathBuf,
}

impl Scene {
    /// `paced`: the model's text comes slowly enough to be watched.
    pub(super) fn set_up(wanted: Option<PathBuf>, paced: bool) -> Result<Self> {
        let scene = Self {
            directory: directory(wanted)?,
        };
        for name in ["plugins", "work"] {
            scene.create(name)?;
        }
        let docs = match own_docs(Path::new("docs")) {
            Some(path) => path.display().to_string(),
            None => {
                scene.create("docs/guide")?;
                for (name, text) in DOCS {
                    scene.write(&format!("docs/guide/{name}"), text.as_bytes())?;
                }
                "docs".to_owned()
            }
        };
        // A text in JSON is one in TOML, too.
        let config = CONFIG.replace("@DOCS@", &serde_json::Value::from(docs).to_string());
        scene.write("sandbar.toml", config.as_bytes())?;
        let librarian = if paced {
            LIBRARIAN.to_owned()
        } else {
            LIBRARIAN.replace("delay_ms = 20", "delay_ms = 0")
        };
        scene.write("librarian.toml", librarian.as_bytes())?;
        scene.write("attacker.toml", ATTACKER.as_bytes())?;
        for plugin in DEMO_PLUGINS {
            scene.write(&format!("plugins/{}.wasm", plugin.name), plugin.component)?;
            scene.write(&format!("plugins/{}.toml", plugin.name), plugin.manifest.as_bytes())?;
        }
        Ok(scene)
    }

    /// Of the file alone: what the environment sets is for other runs.
    pub(super) fn config(&self) -> Outcome<Config> {
        let sources = Sources {
            project: Some("sandbar.toml".into()),
            start_dir: self.directory.clone(),
            ..Sources::default()
        };
        Config::load(&sources).map_err(Failure)
    }

    pub(super) fn report(&self) -> PathBuf {
        self.directory.join("work/report.md")
    }

    fn create(&self, name: &str) -> Result<()> {
        let path = self.directory.join(name);
        std::fs::create_dir_all(&path).map_err(|error| file_failed("create", &path, error))
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.directory.join(name);
        std::fs::write(&path, content).map_err(|error| file_failed("write", &path, error))
    }
}

fn directory(wanted: Option<PathBuf>) -> Result<PathBuf> {
    let Some(wanted) = wanted else {
        let made = tempfile::Builder::new().prefix("sandbar-demo-").tempdir();
        return made
            .map(tempfile::TempDir::keep)
            .map_err(|error| file_failed("write in", &std::env::temp_dir(), error));
    };
    std::fs::create_dir_all(&wanted).map_err(|error| file_failed("create", &wanted, error))?;
    let wanted = std::path::absolute(&wanted).map_err(|error| file_failed("find", &wanted, error))?;
    let mut entries = std::fs::read_dir(&wanted).map_err(|error| file_failed("read", &wanted, error))?;
    if entries.next().is_some() {
        let message = format!("the directory `{}` is not empty", wanted.display());
        return Err(Error::new(ErrorKind::InvalidInput, "not-empty", message).with_hint("name a new one with `--dir`"));
    }
    Ok(wanted)
}

/// The documentation of Sandbar's own sources, if the demo is run there.
fn own_docs(docs: &Path) -> Option<PathBuf> {
    let is_ours = docs.join("ARCHITECTURE.md").is_file()
        && std::fs::read_to_string(docs.join("guide/plugins.md")).is_ok_and(|text| text.contains(ANSWER));
    if is_ours { std::path::absolute(docs).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_has_a_valid_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let scene = Scene::set_up(Some(directory.path().join("it's \"new\"")), false).unwrap();
        let config = scene.config().unwrap();
        assert_eq!(config.agents.keys().collect::<Vec<_>>(), ["attacker", "librarian"]);
        let docs = std::fs::read_to_string(config.grants["files"].mounts[0].path.join("guide/plugins.md")).unwrap();
        assert!(docs.contains(ANSWER));
        assert!(
            !std::fs::read_to_string(scene.directory.join("librarian.toml"))
                .unwrap()
                .contains("delay_ms = 20")
        );
        assert_eq!(
            Scene::set_up(Some(scene.directory), false)
                .err()
                .map(|error| error.code),
            Some("not-empty".into())
        );
    }
}
