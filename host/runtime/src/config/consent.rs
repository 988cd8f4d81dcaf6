//! `[consent]`: which tool calls need a person's word.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbar_agent::{ConsentRules, Unattended};
use sandbar_protocol::policy::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::resolve::Resolution;

const EXPIRES_HOURS: u32 = 7 * 24;

/// Which tool calls need a person's word, and what becomes of a question when nobody is there.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FileConsent {
    /// Rules by tool, such as `files__delete`; a `*` at the end stands for any rest, and the longest name that fits counts. `allow`: what
    /// the grants allow happens; `ask`: each call needs a person's word, unless it was given for more than one call; `deny`: never.
    /// Without a rule what the grants allow happens, except that a person who watches is asked before changes.
    tools: BTreeMap<String, FileRule>,
    /// What becomes of a question when nobody is there: the run waits for an answer (`suspend`), or the model is told no (`deny`).
    /// Default: `suspend`. Environment: `SANDBAR__CONSENT__UNATTENDED`.
    unattended: Option<FileUnattended>,
    /// How long a question waits, in hours. Default: 168. Environment: `SANDBAR__CONSENT__EXPIRES_HOURS`.
    #[schemars(range(min = 1, max = 87_600))]
    expires_hours: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FileRule {
    Allow,
    Ask,
    Deny,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum FileUnattended {
    Suspend,
    Deny,
}

impl From<FileRule> for Rule {
    fn from(rule: FileRule) -> Self {
        match rule {
            FileRule::Allow => Self::Allow,
            FileRule::Ask => Self::Ask,
            FileRule::Deny => Self::Deny,
        }
    }
}

impl FileConsent {
    pub(super) fn resolve(self, resolution: &mut Resolution) -> ConsentRules {
        for name in self.tools.keys() {
            let whole = name.strip_suffix('*').unwrap_or(name);
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            if name.len() > 64 || !whole.chars().all(fits) {
                let key = format!("consent.tools.{}", super::document::dotted(name));
                let message = format!("`{}` can't be the name of a tool", name.escape_debug());
                let hint =
                    "write `<plugin>__<tool>` as `sandbar plugins list` shows it, with a `*` at the end for any rest";
                resolution.problem(&key, "bad-name", &message, hint);
            }
        }
        let hours = resolution.or_default("consent.expires_hours", self.expires_hours, EXPIRES_HOURS);
        ConsentRules {
            tools: self
                .tools
                .into_iter()
                .map(|(name, written)| (name, written.into()))
                .collect(),
            unattended: match resolution.or_default("consent.unattended", self.unattended, FileUnattended::Suspend) {
                FileUnattended::Suspend => Unattended::Suspend,
                FileUnattended::Deny => Unattended::Deny,
            },
            expires: Duration::from_hours(hours.into()),
        }
    }
}
