//! Configurations as they are written, and what is said of them.

mod built_in;
mod grants;
mod layers;
mod models;
mod mounts;
mod names;
mod problems;
mod secrets;

use std::path::Path;

use sandbar_protocol::policy::PowerGrant;
use sandbar_protocol::{Error, FileAccess, Limits};
use serde_json::json;
use tempfile::TempDir;

use super::mounts::Mount;
use super::*;

/// The least that loads.
const LEAST: &str =
    "[models.script]\nprovider = 'scripted'\nscript = 'replies.toml'\n[agents.main]\nmodel = 'script'\n";

/// A directory with the files that the tests name.
fn project() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("replies.toml", ""), ("main.md", "From the file.\n")] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    for name in ["work", "docs", "out"] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
    }
    directory
}

/// Errors as a terminal shows them, with the directory of the project as `DIR`.
fn shown(errors: &[Error], base: &Path) -> String {
    let texts: Vec<String> = errors.iter().map(Error::text).collect();
    texts.join("\n").replace(&base.display().to_string(), "DIR")
}

fn origins(config: &Config, base: &Path) -> String {
    let lines = config
        .origins()
        .iter()
        .map(|setting| format!("{} = {} ({})", setting.key, setting.value, setting.origin));
    lines
        .collect::<Vec<_>>()
        .join("\n")
        .replace(&base.display().to_string(), "DIR")
}

#[test]
fn least_configuration_takes_the_defaults() {
    let directory = project();
    let base = directory.path();
    let config = Config::from_toml(LEAST, base).unwrap();
    assert_eq!(config.data_dir, base.join(".sandbar"));
    assert_eq!(
        (config.workspace.as_deref(), config.plugin_directories.as_slice()),
        (None, [].as_slice())
    );
    assert_eq!(config.guest_limits, GuestLimits::default());
    assert_eq!((config.guest_memory_bytes, config.max_instances), (None, 256));
    assert!(config.grants.is_empty());
    let script = base.join("replies.toml");
    assert_eq!(
        config.models,
        BTreeMap::from([("script".to_owned(), ModelConfig::Scripted { script })])
    );
    let agent = AgentConfig {
        name: "main".to_owned(),
        description: String::new(),
        model: "script".to_owned(),
        pattern: "react".to_owned(),
        plugins: Vec::new(),
        memory: None,
        delegates: Vec::new(),
        instructions: String::new(),
        limits: Limits::default(),
        when_used_up: sandbar_agent::WhenUsedUp::Stop,
    };
    assert_eq!(config.agents, BTreeMap::from([("main".to_owned(), agent)]));
    assert_eq!(config.default_agent, "main");
    let expected = "agents.main.description = \"\" (default)\n\
        agents.main.limits.steps = 50 (default)\n\
        agents.main.limits.tool_calls = 200 (default)\n\
        agents.main.limits.wall_seconds = 600 (default)\n\
        agents.main.limits.when_used_up = \"stop\" (default)\n\
        agents.main.model = \"script\" (sandbar.toml:5)\n\
        agents.main.pattern = \"react\" (default)\n\
        consent.expires_hours = 168 (default)\n\
        consent.unattended = \"suspend\" (default)\n\
        data_dir = \"DIR/.sandbar\" (default)\n\
        default_agent = \"main\" (default)\n\
        limits.cpu_ms = 5000 (default)\n\
        limits.guest_memory_mib = 0 (default)\n\
        limits.kernel_sandbox = true (default)\n\
        limits.max_instances = 256 (default)\n\
        limits.memory_mib = 64 (default)\n\
        limits.put_aside = true (default)\n\
        limits.wall_ms = 30000 (default)\n\
        limits.workspace_mib = 4096 (default)\n\
        models.script.provider = \"scripted\" (sandbar.toml:2)\n\
        models.script.script = \"replies.toml\" (sandbar.toml:3)";
    assert_eq!(origins(&config, base), expected);
}

fn may_write() -> PowerGrant {
    let mut grant = PowerGrant::default();
    grant.powers.files = FileAccess::ReadWrite;
    grant
}

#[test]
fn everything_can_be_written() {
    let text = r#"
        default_agent = "main"
        data_dir = "data"
        workspace = "work"
        [plugins]
        directories = ["plugins", "/usr/lib/sandbar"]
        [limits]
        memory_mib = 1
        cpu_ms = 2
        wall_ms = 3
        guest_memory_mib = 4
        max_instances = 5
        [grants.files]
        files = "read-write"
        mounts = [ { name = "docs", path = "docs" }, { name = "out", path = "out", access = "read-write", quota_mib = 64 } ]
        config = { max_read_bytes = 65_536, deep = { list = [1.5, true, "x"] } }
        [models.script]
        provider = "scripted"
        script = "replies.toml"
        [agents.other]
        model = "script"
        [agents.main]
        model = "script"
        pattern = "plan"
        plugins = ["files"]
        description = "Helps."
        instructions_file = "main.md"
        limits = { steps = 1, tool_calls = 0, wall_seconds = 2 }
    "#;
    let directory = project();
    let base = directory.path();
    let config = Config::from_toml(text, base).unwrap();
    assert_eq!(
        (config.data_dir, config.workspace),
        (base.join("data"), Some(base.join("work")))
    );
    assert_eq!(
        config.plugin_directories,
        [base.join("plugins"), "/usr/lib/sandbar".into()]
    );
    let limits = GuestLimits {
        memory_bytes: 1 << 20,
        cpu_ms: 2,
        wall_ms: 3,
    };
    assert_eq!(config.guest_limits, limits);
    assert_eq!((config.guest_memory_bytes, config.max_instances), (Some(4 << 20), 5));
    let mount = |name: &str, path: &str, access| Mount {
        name: name.to_owned(),
        path: base.join(path),
        access,
        quota_bytes: (access == FileAccess::ReadWrite).then_some(64 << 20),
    };
    let grant = Grant {
        powers: may_write(),
        mounts: vec![
            mount("docs", "docs", FileAccess::ReadOnly),
            mount("out", "out", FileAccess::ReadWrite),
        ],
        config: json!({ "max_read_bytes": 65536, "deep": { "list": [1.5, true, "x"] } }),
    };
    assert_eq!(config.grants, BTreeMap::from([("files".to_owned(), grant)]));
    let agent = &config.agents["main"];
    assert_eq!(
        (agent.pattern.as_str(), agent.plugins.as_slice()),
        ("plan", ["files".to_owned()].as_slice())
    );
    assert_eq!(
        (agent.description.as_str(), agent.instructions.as_str()),
        ("Helps.", "From the file.\n")
    );
    let limits = Limits {
        steps: 1,
        tool_calls: 0,
        wall_ms: 2000,
    };
    assert_eq!(agent.limits, limits);
}

#[test]
fn starter_loads() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("replies.toml");
    std::fs::write(&script, starter_script()).unwrap();
    let config = Config::from_toml(starter(), directory.path()).unwrap();
    assert_eq!(config.grants["files"].powers.powers.files, FileAccess::ReadWrite);
    assert_eq!(config.agents["main"].plugins, ["files"]);
    assert!(
        config
            .check_plugins(&["files".to_owned()], &["react".to_owned()], &[])
            .is_empty()
    );
    crate::open::scripted("script", &script).unwrap();
    // What is commented out is as good as the rest.
    for name in ["work", "docs"] {
        std::fs::create_dir(directory.path().join(name)).unwrap();
    }
    let all: Vec<&str> = starter()
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| rest.contains(" = ") || rest.starts_with('['))
                .unwrap_or(line)
        })
        .collect();
    let config = Config::from_toml(&all.join("\n"), directory.path()).unwrap();
    assert_eq!(config.workspace, Some(directory.path().join("work")));
    assert_eq!(config.agents["main"].limits, Limits::default());
}

#[test]
fn schema_describes_every_key() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let text = schema.to_string();
    assert!(!text.contains("null"), "{text}");
    let defs = schema["$defs"].as_object().unwrap().values();
    let branches = defs
        .clone()
        .flat_map(|def| def["oneOf"].as_array().into_iter().flatten());
    for table in std::iter::once(&schema)
        .chain(defs.filter(|def| def["type"] == "object"))
        .chain(branches)
    {
        assert_eq!(table["additionalProperties"], false, "{table}");
        for (key, property) in table["properties"].as_object().unwrap() {
            assert!(
                property["description"].is_string() || property["const"].is_string(),
                "{key}"
            );
        }
    }
}
