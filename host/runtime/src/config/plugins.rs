//! `[plugins]`, and the names of plugins everywhere else.

use sandbar_protocol::Error;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Config;
use super::problem::{problem, suggest};

/// Where plugins are found.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FilePlugins {
    /// Directories that hold components. Default: none. Environment: `SANDBAR__PLUGINS__DIRECTORIES`.
    pub(super) directories: Vec<String>,
}

/// Compares the names in the configuration with the plugins that were found.
pub(super) fn check(config: &Config, tools: &[String], patterns: &[String], memories: &[String]) -> Vec<Error> {
    let names = Names {
        config,
        tools,
        patterns,
        memories,
    };
    let mut problems: Vec<Error> = config
        .grants
        .keys()
        .filter_map(|plugin| names.check_grant(plugin))
        .collect();
    for agent in config.agents.values() {
        let key = format!("agents.{}", agent.name);
        problems.extend(names.check_pattern(&format!("{key}.pattern"), &agent.pattern));
        if let Some(memory) = &agent.memory {
            problems.extend(names.check_memory(&format!("{key}.memory"), memory));
        }
        let plugins = agent.plugins.iter().enumerate();
        problems
            .extend(plugins.filter_map(|(index, plugin)| names.check_tool(&format!("{key}.plugins[{index}]"), plugin)));
    }
    problems
}

struct Names<'a> {
    config: &'a Config,
    tools: &'a [String],
    patterns: &'a [String],
    memories: &'a [String],
}

impl Names<'_> {
    fn check_grant(&self, plugin: &str) -> Option<Error> {
        let known = || {
            let all = self.tools.iter().chain(self.patterns).chain(self.memories);
            all.map(String::as_str)
        };
        if known().any(|known| known == plugin) {
            return None;
        }
        let key = format!("grants.{plugin}");
        let place = self.config.places.0.get(&key).map(|written| &written.key);
        let message = format!("`{key}` is for a plugin that isn't there");
        let hint = suggest(plugin, known(), "the plugins are", NO_PLUGIN);
        Some(problem(place, "unknown-plugin", &message).with_hint(hint))
    }

    fn check_pattern(&self, key: &str, pattern: &str) -> Option<Error> {
        if self.patterns.iter().any(|known| known == pattern) {
            return None;
        }
        let message = format!("`{key}` is `{pattern}`, but there is no such pattern");
        let hint = if self.tools.iter().any(|tool| tool == pattern) {
            format!("`{pattern}` has tools: name it in `plugins`")
        } else if self.memories.iter().any(|memory| memory == pattern) {
            format!("`{pattern}` is a memory: name it as `memory`")
        } else {
            suggest(
                pattern,
                self.patterns.iter().map(String::as_str),
                "the patterns are",
                NO_PLUGIN,
            )
        };
        Some(problem(self.config.places.nearest(key), "unknown-pattern", &message).with_hint(hint))
    }

    fn check_memory(&self, key: &str, memory: &str) -> Option<Error> {
        if self.memories.iter().any(|known| known == memory) {
            return None;
        }
        let message = format!("`{key}` is `{memory}`, but there is no such memory");
        let hint = if self.tools.iter().any(|tool| tool == memory) {
            format!("`{memory}` has tools: name it in `plugins`")
        } else if self.patterns.iter().any(|pattern| pattern == memory) {
            format!("`{memory}` is a pattern: name it as `pattern`")
        } else {
            suggest(
                memory,
                self.memories.iter().map(String::as_str),
                "the memories are",
                NO_PLUGIN,
            )
        };
        Some(problem(self.config.places.nearest(key), "unknown-memory", &message).with_hint(hint))
    }

    fn check_tool(&self, key: &str, plugin: &str) -> Option<Error> {
        if self.tools.iter().any(|known| known == plugin) {
            return None;
        }
        let message = format!("`{key}` is `{plugin}`, but there is no such plugin");
        let hint = if self.patterns.iter().any(|pattern| pattern == plugin) {
            format!("`{plugin}` is a pattern: name it as `pattern`")
        } else if self.memories.iter().any(|memory| memory == plugin) {
            format!("`{plugin}` is a memory: name it as `memory`")
        } else {
            suggest(
                plugin,
                self.tools.iter().map(String::as_str),
                "the plugins are",
                NO_PLUGIN,
            )
        };
        Some(problem(self.config.places.nearest(key), "unknown-plugin", &message).with_hint(hint))
    }
}

const NO_PLUGIN: &str = "put its component into one of `plugins.directories`";
