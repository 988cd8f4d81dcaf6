//! `[grants.<plugin>]`: what the operator lets a plugin do, and under which conditions.

use std::collections::BTreeMap;
use std::path::Path;

use sandbar_protocol::FileAccess;
use sandbar_protocol::policy::{
    ArgumentLimits, ArgumentSchema, HttpRule, KvAccess, Origin, Power, PowerGrant, PowerSet, Rule,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::consent::FileRule;
use super::mounts::{self, FileMount, Holder, Mount};
use super::problem::suggest;
use super::resolve::Resolution;
use super::schema::NAME;

/// What one plugin may do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grant {
    pub powers: PowerGrant,
    /// Directories besides the workspace.
    pub mounts: Vec<Mount>,
    /// The plugin's own configuration: always an object.
    pub config: Value,
}

/// What one plugin may do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileGrant {
    /// Access to the files of the workspace. Default: `none`. Environment: `SANDBAR__GRANTS__<PLUGIN>__FILES`.
    files: Option<Access>,
    /// Further directories that the plugin sees. Default: none. Environment: `SANDBAR__GRANTS__<PLUGIN>__MOUNTS`.
    #[serde(default)]
    mounts: Vec<FileMount>,
    /// Requests that the plugin may send: URLs, or tables around them. A URL covers what is under its path; `*.` in front of a host stands
    /// for one label, `**.` for any number. Default: none. Environment: `SANDBAR__GRANTS__<PLUGIN>__HTTP`.
    #[serde(default)]
    http: Vec<FileHttp>,
    /// Names from `[secrets]` that Sandbar adds to the plugin's requests; the plugin never sees them. Default: none. Environment:
    /// `SANDBAR__GRANTS__<PLUGIN>__SECRETS`.
    #[serde(default)]
    #[schemars(inner(regex(pattern = NAME)))]
    secrets: Vec<String>,
    /// Key-value pairs that the plugin may keep: none, those of its `session`, or those that it has in all sessions (`shared`). Default:
    /// `none`. Environment: `SANDBAR__GRANTS__<PLUGIN>__KV`.
    kv: Option<FileKv>,
    /// What holds for a call that would have a power. A power that isn't named is used as far as it is granted.
    #[serde(default)]
    rules: FileRules,
    /// What holds for calls, by who wants them made. The strictest of all rules counts.
    #[serde(default)]
    origins: FileOrigins,
    /// What the arguments of a tool must keep to, by the tool's own name (`read`, not `files__read`).
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": NAME}))]
    tools: BTreeMap<String, FileToolLimits>,
    /// The plugin's own configuration: any table. Default: empty. Environment: `SANDBAR__GRANTS__<PLUGIN>__CONFIG__<KEY>`.
    #[serde(default)]
    config: Map<String, Value>,
}

/// A URL such as `https://api.example.com/v1/`, or a table with more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum FileHttp {
    Url(String),
    Rule(FileHttpRule),
}

/// Requests that may be sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FileHttpRule {
    /// Such as `https://api.example.com/v1/`.
    url: String,
    /// Methods, such as `POST`. Default: `GET` and `HEAD`.
    #[serde(default)]
    methods: Vec<String>,
    /// Private and other special addresses that the host's name may lead to, such as `10.0.0.0/8`. Default: none.
    #[serde(default)]
    addresses: Vec<String>,
}

/// What holds for a call that would have a power.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct FileRules {
    /// Calls that reach files. Default: `allow`. Environment: `SANDBAR__GRANTS__<PLUGIN>__RULES__FILES`.
    files: Option<FileRule>,
    /// Calls that can send requests. Default: `allow`. Environment: `SANDBAR__GRANTS__<PLUGIN>__RULES__HTTP`.
    http: Option<FileRule>,
    /// Calls that use secrets. Default: `allow`. Environment: `SANDBAR__GRANTS__<PLUGIN>__RULES__SECRETS`.
    secrets: Option<FileRule>,
    /// Calls that reach key-value pairs. Default: `allow`. Environment: `SANDBAR__GRANTS__<PLUGIN>__RULES__KV`.
    kv: Option<FileRule>,
}

/// What holds for calls, by who wants them made.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct FileOrigins {
    /// Calls that a model asks for. Default: `allow`. Environment: `SANDBAR__GRANTS__<PLUGIN>__ORIGINS__MODEL`.
    model: Option<FileRule>,
    /// Calls that a person asks for by hand. Default: `allow`. Environment: `SANDBAR__GRANTS__<PLUGIN>__ORIGINS__PERSON`.
    person: Option<FileRule>,
    /// Calls in a run that a schedule began. Default: `allow`. Environment: `SANDBAR__GRANTS__<PLUGIN>__ORIGINS__SCHEDULE`.
    schedule: Option<FileRule>,
    /// Calls that a pattern or another tool makes on its own. Default: `allow`. Environment: `SANDBAR__GRANTS__<PLUGIN>__ORIGINS__PLUGIN`.
    plugin: Option<FileRule>,
}

/// What the arguments of one tool must keep to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FileToolLimits {
    /// JSON Schema (2020-12) that arguments must fit besides the tool's own. Default: none. Environment:
    /// `SANDBAR__GRANTS__<PLUGIN>__TOOLS__<TOOL>__SCHEMA__<KEY>`.
    #[serde(default)]
    schema: Option<Map<String, Value>>,
    /// Calls in one run. Default: the limit of the run. Environment: `SANDBAR__GRANTS__<PLUGIN>__TOOLS__<TOOL>__CALLS_PER_RUN`.
    calls_per_run: Option<u32>,
    /// Bytes of the arguments of one call. Default: 1048576. Environment: `SANDBAR__GRANTS__<PLUGIN>__TOOLS__<TOOL>__MAX_BYTES`.
    max_bytes: Option<u32>,
}

/// Access to the files of a directory.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Access {
    None,
    ReadOnly,
    ReadWrite,
}

/// Key-value pairs.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum FileKv {
    None,
    Session,
    Shared,
}

impl From<Access> for FileAccess {
    fn from(access: Access) -> Self {
        match access {
            Access::None => Self::None,
            Access::ReadOnly => Self::ReadOnly,
            Access::ReadWrite => Self::ReadWrite,
        }
    }
}

impl From<FileKv> for KvAccess {
    fn from(kv: FileKv) -> Self {
        match kv {
            FileKv::None => Self::None,
            FileKv::Session => Self::Session,
            FileKv::Shared => Self::Shared,
        }
    }
}

impl FileGrant {
    /// `secrets` are the names of all that were written, `workspace` is where workspaces are.
    pub(super) fn resolve(
        self,
        plugin: &str,
        secrets: &[String],
        workspace: &Path,
        resolution: &mut Resolution,
    ) -> Grant {
        let key = format!("grants.{plugin}");
        let files = resolution.or_default(&format!("{key}.files"), self.files, Access::None);
        let powers = PowerSet {
            files: files.into(),
            http: http_rules(&key, self.http, resolution),
            secrets: known_secrets(&key, self.secrets, secrets, resolution),
            kv: resolution
                .or_default(&format!("{key}.kv"), self.kv, FileKv::None)
                .into(),
        };
        let holder = Holder {
            plugin,
            files: powers.files,
            workspace,
        };
        let mounts = mounts::resolve(&holder, self.mounts, resolution);
        let tools = self.tools.into_iter().map(|(tool, limits)| {
            let limits = limits.resolve(&format!("{key}.tools.{tool}"), resolution);
            (tool, limits)
        });
        Grant {
            powers: PowerGrant {
                arguments: tools.collect(),
                powers,
                rules: self.rules.resolve(),
                origins: self.origins.resolve(),
            },
            mounts,
            config: Value::Object(self.config),
        }
    }
}

fn http_rules(key: &str, rules: Vec<FileHttp>, resolution: &mut Resolution) -> Vec<HttpRule> {
    let mut parsed = Vec::new();
    for (index, rule) in rules.into_iter().enumerate() {
        let rule = match rule {
            FileHttp::Url(url) => HttpRule::parse(&url, &[], &[]),
            FileHttp::Rule(rule) => HttpRule::parse(&rule.url, &rule.methods, &rule.addresses),
        };
        match rule {
            Ok(rule) => parsed.push(rule),
            Err(why) => {
                let key = format!("{key}.http[{index}]");
                let message = format!("`{key}` can't be granted: {why}");
                resolution.problem(&key, "bad-url", &message, URL_HINT);
            }
        }
    }
    parsed
}

const URL_HINT: &str = "write `\"https://api.example.com/v1/\"`, or \
    `{ url = \"https://api.example.com/v1/\", methods = [\"POST\"], addresses = [\"10.0.0.0/8\"] }`";

fn known_secrets(key: &str, names: Vec<String>, known: &[String], resolution: &mut Resolution) -> Vec<String> {
    for (index, name) in names.iter().enumerate().filter(|(_, name)| !known.contains(name)) {
        let key = format!("{key}.secrets[{index}]");
        let message = format!("`{key}` is `{name}`, but there is no such secret");
        let add = format!("add `[secrets.{name}]` with `value = \"env:NAME\"` and `hosts = [\"https://…\"]`");
        let hint = suggest(name, known.iter().map(String::as_str), "the secrets are", &add);
        resolution.problem(&key, "unknown-secret", &message, &hint);
    }
    names
}

impl FileRules {
    fn resolve(self) -> BTreeMap<Power, Rule> {
        let rules = [
            (Power::Files, self.files),
            (Power::Http, self.http),
            (Power::Secrets, self.secrets),
            (Power::Kv, self.kv),
        ];
        written(rules)
    }
}

impl FileOrigins {
    fn resolve(self) -> BTreeMap<Origin, Rule> {
        let rules = [
            (Origin::Model, self.model),
            (Origin::Person, self.person),
            (Origin::Schedule, self.schedule),
            (Origin::Plugin, self.plugin),
        ];
        written(rules)
    }
}

fn written<K: Ord, const N: usize>(rules: [(K, Option<FileRule>); N]) -> BTreeMap<K, Rule> {
    let rules = rules.into_iter();
    rules.filter_map(|(key, rule)| Some((key, rule?.into()))).collect()
}

impl FileToolLimits {
    fn resolve(self, key: &str, resolution: &mut Resolution) -> ArgumentLimits {
        let compiled = self.schema.map(|schema| ArgumentSchema::compile(Value::Object(schema)));
        let schema = compiled.and_then(|schema| {
            let broken = |error: &sandbar_protocol::Error| {
                let key = format!("{key}.schema");
                let hint = "it is a JSON Schema as a table, such as `{ properties = { to = { pattern = \"@example.com$\" } } }`";
                let message = format!("`{key}` is no JSON Schema: {}", error.message);
                resolution.problem(&key, "bad-schema", &message, hint);
            };
            schema.inspect_err(broken).ok()
        });
        ArgumentLimits {
            schema,
            calls_per_run: self.calls_per_run,
            bytes: self.max_bytes.map(u64::from),
        }
    }
}
