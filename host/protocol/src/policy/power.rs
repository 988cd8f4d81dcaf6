//! The powers that a plugin can have, and what an operator says about each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::arguments::ArgumentLimits;
use super::http_rule::HttpRule;
use crate::FileAccess;

/// A kind of power, as `[grants.<plugin>]` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    Files,
    Http,
    Secrets,
    Kv,
}

/// What holds for the use of a power, or for a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// What the grants allow happens.
    #[default]
    Allow,
    /// Each call needs a person's word, unless they gave it for more than one.
    Ask,
    /// Never.
    Deny,
}

/// Who wants a call made.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A model asked for it in its turn.
    #[default]
    Model,
    /// A person did, by hand.
    Person,
    /// A schedule did: nobody watches.
    Schedule,
    /// A plugin did on its own: a pattern, or a tool that calls tools.
    Plugin,
}

/// Whose key-value pairs a plugin sees.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum KvAccess {
    /// None.
    #[default]
    None,
    /// Those of its session.
    Session,
    /// Those that the plugin has in all sessions.
    Shared,
}

/// Powers that are asked for, or given. Nothing by default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PowerSet {
    pub files: FileAccess,
    pub http: Vec<HttpRule>,
    /// Names of secrets.
    pub secrets: Vec<String>,
    pub kv: KvAccess,
}

/// What an operator gives one plugin, and under which conditions. Nothing by default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PowerGrant {
    pub powers: PowerSet,
    /// What holds for a call that would have the power; a power that isn't named is allowed as far as it is granted.
    pub rules: BTreeMap<Power, Rule>,
    /// What holds for calls of an origin; one that isn't named follows the other rules.
    pub origins: BTreeMap<Origin, Rule>,
    /// By the tool's own name.
    pub arguments: BTreeMap<String, ArgumentLimits>,
}

/// What holds for a call, and the line of the configuration that says so: `grants.weather.rules.http`. None where no line does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruling {
    pub rule: Rule,
    pub line: Option<String>,
}

impl PowerSet {
    /// The kinds of which there is something.
    pub fn kinds(&self) -> Vec<Power> {
        let has = |power: &Power| match power {
            Power::Files => self.files != FileAccess::None,
            Power::Http => !self.http.is_empty(),
            Power::Secrets => !self.secrets.is_empty(),
            Power::Kv => self.kv != KvAccess::None,
        };
        Power::ALL.into_iter().filter(has).collect()
    }

    /// Whether each power of the other is in this one. A rule for requests counts where one rule here includes it as a whole.
    pub fn includes(&self, other: &Self) -> bool {
        let has_rule = |rule: &HttpRule| self.http.iter().any(|own| own.includes(rule));
        other.files <= self.files
            && other.kv <= self.kv
            && other.secrets.iter().all(|name| self.secrets.contains(name))
            && other.http.iter().all(has_rule)
    }
}

impl Power {
    pub const ALL: [Self; 4] = [Self::Files, Self::Http, Self::Secrets, Self::Kv];

    /// As the configuration spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Http => "http",
            Self::Secrets => "secrets",
            Self::Kv => "kv",
        }
    }
}

impl std::fmt::Display for Power {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Rule {
    /// As the configuration spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Origin {
    pub const ALL: [Self; 4] = [Self::Model, Self::Person, Self::Schedule, Self::Plugin];

    /// As the configuration spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Person => "person",
            Self::Schedule => "schedule",
            Self::Plugin => "plugin",
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
