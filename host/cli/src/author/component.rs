//! A component that was built: looked at by the same code as at every start of the host, then put where it belongs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbar::plugins::{Kind, LockFile, Plugins, Status};
use sandbar::protocol::{AuditEntry, DecidedBy, Error, ErrorKind, Result};
use sandbar::store::{Store, StoreOptions};
use sandbar::{Config, OpenOptions};

use super::compile::compile;
use super::project::{Language, Project};
use crate::failure::file_failed;

/// Who approved of what was built, as the lock and the audit name them.
const BUILDER: &str = "plugins build";

/// A component in the directory that it was built for.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) kind: Kind,
    /// As the model sees them.
    pub(crate) tools: Vec<String>,
    pub(crate) imports: Vec<String>,
}

/// Compiles a project, checks what came of it, and copies it with its manifest to `out`: what is there stays until the check is passed.
pub(crate) async fn build(
    project: &Project,
    config: &Config,
    open: &OpenOptions,
    (target_directory, out): (Option<&Path>, &Path),
    say: &dyn Fn(&str),
) -> Result<Component> {
    let staging =
        tempfile::tempdir().map_err(|error| file_failed("create a directory in", &std::env::temp_dir(), error))?;
    let (component, manifest) = (format!("{}.wasm", project.name), format!("{}.toml", project.name));
    compile(project, target_directory, &staging.path().join(&component), say)?;
    let from = project.directory.join(&manifest);
    std::fs::copy(&from, staging.path().join(&manifest)).map_err(|error| file_failed("copy", &from, error))?;
    let (mut component, plugins) = look(project, config, open, staging.path()).await?;
    std::fs::create_dir_all(out).map_err(|error| file_failed("create", out, error))?;
    for name in [&manifest, &format!("{}.wasm", project.name)] {
        replace(&staging.path().join(name), &out.join(name))?;
    }
    component.path = out.join(format!("{}.wasm", project.name));
    approve(&project.name, &plugins, config, open, out).await?;
    Ok(component)
}

/// Who builds a plugin into a directory from which it is used has approved of it: they would only be asked what they just did.
async fn approve(name: &str, plugins: &Plugins, config: &Config, open: &OpenOptions, out: &Path) -> Result<()> {
    let is_used = |directory: &PathBuf| {
        let real = (directory.canonicalize().ok(), out.canonicalize().ok());
        real.0.is_some() && real.0 == real.1
    };
    let Some(path) = config
        .lock_file
        .clone()
        .filter(|_| config.plugin_directories.iter().any(is_used))
    else {
        return Ok(());
    };
    let entry = AuditEntry {
        plugin: Some(name.to_owned()),
        digest: plugins.get(name).map(|plugin| plugin.digest.clone()),
        by: DecidedBy::Person(BUILDER.to_owned()),
        ..AuditEntry::of("plugin.approve", name)
    };
    let store = Store::open(&config.data_dir, StoreOptions::default())?;
    store.audit(entry).await?;
    let clock = open.clock.clone();
    plugins.record_built(name, &LockFile { path, clock }, BUILDER)
}

/// What the host makes of the component: which world, which imports, which tools.
async fn look(
    project: &Project,
    config: &Config,
    open: &OpenOptions,
    directory: &Path,
) -> Result<(Component, Arc<Plugins>)> {
    let mut config = config.clone();
    // What was approved before is no judge of what is built now.
    config.lock_file = None;
    config.plugin_directories = vec![directory.to_owned()];
    let plugins = sandbar::load_plugins(&config, open).await?;
    let name = &project.name;
    let plugin = plugins.get(name).ok_or_else(|| {
        Error::new(
            ErrorKind::Internal,
            "defect",
            format!("`{name}` was built, and is not there"),
        )
    })?;
    match &plugin.status {
        Status::Ready(ready) => {
            let component = Component {
                path: PathBuf::new(),
                bytes: plugin.bytes,
                kind: ready.kind,
                tools: ready
                    .tools
                    .iter()
                    .map(|tool| format!("{name}__{}", tool.name))
                    .collect(),
                imports: ready.imports.clone(),
            };
            Ok((component, plugins.clone()))
        }
        Status::Broken(error) => {
            let error = error
                .clone()
                .told(|message| format!("`{name}` was built, but no host can use it: {message}"));
            // What exports nothing is found out by looking, in JavaScript only by calling.
            let unexported = error.code == "other-world" || (error.code == "plugin-trapped" && error.hint.is_none());
            Err(if unexported {
                error.with_hint(missing_export(project))
            } else {
                error
            })
        }
    }
}

fn missing_export(project: &Project) -> &'static str {
    match (project.language, project.kind) {
        (Language::Rust, Kind::Tool) => "make it a plugin: `sandbar_sdk::tool_plugin!(tools);` in src/lib.rs",
        (Language::Rust, Kind::Pattern) => "make it a plugin: `sandbar_sdk::pattern_plugin!(step);` in src/lib.rs",
        (Language::Rust, Kind::Memory) => "make it a plugin: `sandbar_sdk::memory_plugin!(Notes);` in src/lib.rs",
        (Language::Python, Kind::Memory) => {
            "app.py needs a `class Memory(exports.Memory)` with `describe`, `recall` and the rest"
        }
        (Language::Javascript, Kind::Memory) => {
            "app.js needs an `export const memory` with `describe`, `recall` and the rest"
        }
        (Language::Python, Kind::Tool) => "app.py needs a `class Tool(exports.Tool)` with `describe` and `call`",
        (Language::Python, Kind::Pattern) => "app.py needs a `class Pattern(exports.Pattern)` with `step`",
        (Language::Javascript, Kind::Tool) => "app.js needs an `export const tool` with `describe` and `call`",
        (Language::Javascript, Kind::Pattern) => "app.js needs an `export const pattern` with `step`",
    }
}

/// A host that is running must see the old file or the new one, never half of it.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let mut new = to.as_os_str().to_owned();
    new.push(".new");
    std::fs::copy(from, &new)
        .and_then(|_| std::fs::rename(&new, to))
        .map_err(|error| file_failed("write", to, error))
}
