//! `[agents.<name>]`: a model, a pattern, plugins, instructions and limits.

use sandbar_agent::WhenUsedUp;
use sandbar_protocol::Limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::suggest;
use super::resolve::Resolution;
use super::schema::NAME;

const PATTERN: &str = "react";

/// An agent, as a run needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    pub name: String,
    /// For people, and for agents that may delegate to this one. Empty if nobody wrote one.
    pub description: String,
    /// A key of `Config::models`.
    pub model: String,
    pub pattern: String,
    pub plugins: Vec<String>,
    /// The plugin that it remembers with.
    pub memory: Option<String>,
    /// Agents that it may give tasks to.
    pub delegates: Vec<String>,
    /// Markdown; empty if nobody wrote any.
    pub instructions: String,
    pub limits: Limits,
    pub when_used_up: WhenUsedUp,
}

impl AgentConfig {
    /// The plugins that it uses, whatever for.
    pub fn named_plugins(&self) -> impl Iterator<Item = &String> {
        self.plugins.iter().chain([&self.pattern]).chain(&self.memory)
    }
}

/// An agent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileAgent {
    /// A name from `[models]`. Environment: `SANDBAR__AGENTS__<NAME>__MODEL`.
    model: String,
    /// The pattern that decides what to do next. Default: `react`. Environment: `SANDBAR__AGENTS__<NAME>__PATTERN`.
    #[schemars(extend("pattern" = NAME))]
    pattern: Option<String>,
    /// Names of the plugins whose tools the agent has. Default: none. Environment: `SANDBAR__AGENTS__<NAME>__PLUGINS`.
    #[serde(default)]
    #[schemars(inner(regex(pattern = NAME)))]
    plugins: Vec<String>,
    /// Names of agents that this one may give tasks to. Default: none. Environment: `SANDBAR__AGENTS__<NAME>__DELEGATES`.
    #[serde(default)]
    #[schemars(inner(regex(pattern = NAME)))]
    delegates: Vec<String>,
    /// The plugin with which the agent remembers beyond a session's conversation. Default: none. Environment:
    /// `SANDBAR__AGENTS__<NAME>__MEMORY`.
    #[schemars(extend("pattern" = NAME))]
    memory: Option<String>,
    /// What the agent is for, in a sentence. Default: empty. Environment: `SANDBAR__AGENTS__<NAME>__DESCRIPTION`.
    description: Option<String>,
    /// Instructions for the model, in Markdown. Default: empty. Environment: `SANDBAR__AGENTS__<NAME>__INSTRUCTIONS`.
    instructions: Option<String>,
    /// A file with the instructions, instead of `instructions`. Environment: `SANDBAR__AGENTS__<NAME>__INSTRUCTIONS_FILE`.
    instructions_file: Option<String>,
    /// What one run may spend.
    #[serde(default)]
    limits: FileRunLimits,
}

/// What one run of the agent may spend.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct FileRunLimits {
    /// Decisions of the pattern. Default: 50. Environment: `SANDBAR__AGENTS__<NAME>__LIMITS__STEPS`.
    #[schemars(range(min = 1))]
    steps: Option<u32>,
    /// Calls of tools. Default: 200. Environment: `SANDBAR__AGENTS__<NAME>__LIMITS__TOOL_CALLS`.
    tool_calls: Option<u32>,
    /// Time on the clock, in seconds. Default: 600. Environment: `SANDBAR__AGENTS__<NAME>__LIMITS__WALL_SECONDS`.
    #[schemars(range(min = 1))]
    wall_seconds: Option<u32>,
    /// What happens when steps or tool calls are used up: the run ends (`stop`), or a person is asked whether it may go on (`ask`).
    /// Default: `stop`. Environment: `SANDBAR__AGENTS__<NAME>__LIMITS__WHEN_USED_UP`.
    when_used_up: Option<FileWhenUsedUp>,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum FileWhenUsedUp {
    Stop,
    Ask,
}

impl FileAgent {
    /// `models` and `agents` are all names that were written, even those of models and agents with problems of their own.
    pub(super) fn resolve(
        self,
        name: &str,
        models: &[String],
        agents: &[String],
        resolution: &mut Resolution,
    ) -> AgentConfig {
        let key = format!("agents.{name}");
        if !models.contains(&self.model) {
            let message = format!("`{key}.model` is `{}`, but there is no such model", self.model);
            let add = format!("add `[models.{}]`", self.model);
            let hint = suggest(&self.model, models.iter().map(String::as_str), "the models are", &add);
            resolution.problem(&format!("{key}.model"), "unknown-model", &message, &hint);
        }
        for other in self.delegates.iter().filter(|other| !agents.contains(other)) {
            let message = format!("`{key}.delegates` names `{other}`, but there is no such agent");
            let add = format!("add `[agents.{other}]`");
            let hint = suggest(other, agents.iter().map(String::as_str), "the agents are", &add);
            resolution.problem(&format!("{key}.delegates"), "unknown-agent", &message, &hint);
        }
        AgentConfig {
            name: name.to_owned(),
            instructions: instructions(&key, self.instructions, self.instructions_file.as_deref(), resolution),
            description: resolution.or_default(&format!("{key}.description"), self.description, String::new()),
            pattern: resolution.or_default(&format!("{key}.pattern"), self.pattern, PATTERN.to_owned()),
            model: self.model,
            plugins: self.plugins,
            memory: self.memory,
            delegates: self.delegates,
            when_used_up: self.limits.when_used_up(&key, resolution),
            limits: self.limits.resolve(&key, resolution),
        }
    }
}

impl FileRunLimits {
    fn when_used_up(&self, key: &str, resolution: &mut Resolution) -> WhenUsedUp {
        let key = format!("{key}.limits.when_used_up");
        match resolution.or_default(&key, self.when_used_up, FileWhenUsedUp::Stop) {
            FileWhenUsedUp::Stop => WhenUsedUp::Stop,
            FileWhenUsedUp::Ask => WhenUsedUp::Ask,
        }
    }

    fn resolve(self, key: &str, resolution: &mut Resolution) -> Limits {
        let default = Limits::default();
        let seconds = u32::try_from(default.wall_ms / 1000).unwrap_or(u32::MAX);
        let seconds = resolution.or_default(&format!("{key}.limits.wall_seconds"), self.wall_seconds, seconds);
        Limits {
            steps: resolution.or_default(&format!("{key}.limits.steps"), self.steps, default.steps),
            tool_calls: resolution.or_default(&format!("{key}.limits.tool_calls"), self.tool_calls, default.tool_calls),
            wall_ms: u64::from(seconds) * 1000,
        }
    }
}

/// Of a text and a file the one that was written in the stronger layer counts; in the same layer they contradict each other.
fn instructions(key: &str, text: Option<String>, file: Option<&str>, resolution: &mut Resolution) -> String {
    let (text_key, file_key) = (format!("{key}.instructions"), format!("{key}.instructions_file"));
    match (text, file) {
        (None, None) => String::new(),
        (Some(text), None) => text,
        (None, Some(file)) => resolution.text(&file_key, file),
        (Some(text), Some(file)) => match resolution.layer(&text_key).cmp(&resolution.layer(&file_key)) {
            std::cmp::Ordering::Greater => text,
            std::cmp::Ordering::Less => resolution.text(&file_key, file),
            std::cmp::Ordering::Equal => {
                let message = format!("`{key}` has both `instructions` and `instructions_file`");
                resolution.problem(&file_key, "conflict", &message, "remove one of them");
                text
            }
        },
    }
}
