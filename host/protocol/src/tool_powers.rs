//! What a call of a tool could do, for whoever decides on it: the policy, and a person who is asked.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::FileAccess;
use crate::policy::{Effective, HttpRule, KvAccess, Origin, Power, Ruling};

/// The powers of the instance that a call would get.
#[derive(Debug, Clone)]
pub struct ToolPowers {
    /// What the plugin has altogether.
    pub effective: Arc<Effective>,
    /// Less than the plugin's where the tool is held to being read-only.
    pub files: FileAccess,
    /// Directories that the instance would see.
    pub directories: Vec<Reachable>,
}

/// A directory that a plugin sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reachable {
    pub path: String,
    pub access: FileAccess,
}

impl ToolPowers {
    pub fn kinds(&self) -> Vec<Power> {
        let mut powers = self.effective.powers();
        powers.files = self.files;
        powers.kinds()
    }

    /// What holds for a call: the strictest of what is said of the origins that it has, and of the powers that it would get.
    pub fn ruling(&self, origins: &[Origin]) -> Ruling {
        let kinds = self.kinds();
        let rulings = origins.iter().map(|origin| self.effective.tool_rule(*origin, &kinds));
        rulings
            .reduce(|one, other| if other.rule > one.rule { other } else { one })
            .unwrap_or_default()
    }

    /// What follows on "it can", for a person: from what is granted, and in no word the plugin's own.
    pub fn sentences(&self) -> Vec<String> {
        let powers = self.effective.powers();
        let mut sentences: Vec<String> = self.directories.iter().filter_map(Reachable::sentence).collect();
        sentences.extend(powers.http.iter().map(request));
        sentences.extend(
            powers
                .secrets
                .iter()
                .map(|name| format!("have the secret `{name}` sent, without seeing it")),
        );
        sentences.extend(match powers.kv {
            KvAccess::None => None,
            KvAccess::Session => Some("keep values that it sees again in this session".to_owned()),
            KvAccess::Shared => Some("keep values that it sees again in all sessions".to_owned()),
        });
        if sentences.is_empty() {
            sentences.push("reach nothing outside its sandbox".to_owned());
        }
        sentences
    }
}

impl Reachable {
    fn sentence(&self) -> Option<String> {
        match self.access {
            FileAccess::None => None,
            FileAccess::ReadOnly => Some(format!("read the files of {}", self.path)),
            FileAccess::ReadWrite => Some(format!("read and write the files of {}", self.path)),
        }
    }
}

fn request(rule: &HttpRule) -> String {
    let special: Vec<String> = rule.addresses.iter().map(ToString::to_string).collect();
    let place = match special.is_empty() {
        true => String::new(),
        false => format!(", also where that leads to {}", special.join(" or ")),
    };
    format!("send {} requests to {}{place}", rule.methods.join(", "), rule.url())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::policy::{PowerGrant, PowerSet, Rule};

    fn powers(set: PowerSet, files: FileAccess, directories: &[(&str, FileAccess)]) -> ToolPowers {
        let rules = [(Power::Http, Rule::Ask), (Power::Files, Rule::Deny)];
        let granted = PowerGrant {
            powers: set,
            rules: BTreeMap::from(rules),
            origins: BTreeMap::from([(Origin::Schedule, Rule::Deny)]),
            ..PowerGrant::default()
        };
        let reachable = |(path, access): &(&str, FileAccess)| Reachable {
            path: (*path).to_owned(),
            access: *access,
        };
        ToolPowers {
            effective: Arc::new(Effective::of("p", None, granted)),
            files,
            directories: directories.iter().map(reachable).collect(),
        }
    }

    #[test]
    fn powers_are_told_plainly() {
        let check = |powers: &ToolPowers, expected: &[&str]| assert_eq!(powers.sentences(), expected);
        check(
            &powers(PowerSet::default(), FileAccess::None, &[]),
            &["reach nothing outside its sandbox"],
        );
        let post = ["POST".to_owned()];
        let all = PowerSet {
            files: FileAccess::ReadWrite,
            http: vec![
                HttpRule::parse("https://api.example.com/v1/", &post, &[]).unwrap(),
                HttpRule::parse("https://**.example.org/", &[], &["10.0.0.0/8".to_owned()]).unwrap(),
            ],
            secrets: vec!["key".to_owned()],
            kv: KvAccess::Shared,
        };
        let directories = [("/work", FileAccess::ReadWrite), ("/docs", FileAccess::ReadOnly)];
        check(
            &powers(all, FileAccess::ReadWrite, &directories),
            &[
                "read and write the files of /work",
                "read the files of /docs",
                "send POST requests to https://api.example.com/v1/",
                "send GET, HEAD requests to https://**.example.org/, also where that leads to 10.0.0.0/8",
                "have the secret `key` sent, without seeing it",
                "keep values that it sees again in all sessions",
            ],
        );
    }

    #[test]
    fn the_strictest_counts_and_only_for_powers_that_a_call_gets() {
        let http = || PowerSet {
            files: FileAccess::ReadOnly,
            http: vec![HttpRule::parse("https://a.example/", &[], &[]).unwrap()],
            ..PowerSet::default()
        };
        let check = |powers: ToolPowers, origins: &[Origin], expected: Rule| {
            assert_eq!(powers.ruling(origins).rule, expected, "{powers:?} {origins:?}");
        };
        check(powers(http(), FileAccess::None, &[]), &[Origin::Model], Rule::Ask);
        check(powers(http(), FileAccess::ReadOnly, &[]), &[Origin::Model], Rule::Deny);
        check(
            powers(PowerSet::default(), FileAccess::None, &[]),
            &[Origin::Model],
            Rule::Allow,
        );
        check(
            powers(PowerSet::default(), FileAccess::None, &[]),
            &[Origin::Model, Origin::Schedule],
            Rule::Deny,
        );
    }
}
