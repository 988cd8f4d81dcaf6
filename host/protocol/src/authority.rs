//! What a person was told that a tool can do, kept beside the question and their word: it holds for that much and for less.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::FileAccess;
use crate::policy::{HttpRule, KvAccess, PowerSet};
use crate::tool_powers::{Reachable, ToolPowers};

/// The powers of a tool's calls, as a person was told of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// Less than the plugin's where the tool is held to being read-only.
    pub files: FileAccess,
    /// The workspace and the mounts, as far as a call sees them.
    pub directories: Vec<Reachable>,
    /// Requests over the network.
    pub http: Vec<Requests>,
    /// Names of the secrets that it can have sent.
    pub secrets: Vec<String>,
    pub kv: KvAccess,
}

/// A rule for requests, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// What is under it is meant as well.
    pub url: String,
    pub methods: Vec<String>,
    /// Special addresses that the host may lead to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
}

impl Authority {
    pub fn of(powers: &ToolPowers) -> Self {
        let has = powers.effective.powers();
        Self {
            files: powers.files,
            directories: powers.directories.clone(),
            http: has.http.iter().map(Requests::of).collect(),
            secrets: has.secrets,
            kv: has.kv,
        }
    }

    /// Whether there is nothing that could be done with these powers and couldn't with the others.
    pub fn is_within(&self, others: &Self) -> bool {
        let (Some(own), Some(theirs)) = (self.set(), others.set()) else {
            return false;
        };
        theirs.includes(&own) && self.directories.iter().all(|directory| others.reaches(directory))
    }

    fn reaches(&self, wanted: &Reachable) -> bool {
        let reaches = |own: &Reachable| own.path == wanted.path && own.access >= wanted.access;
        wanted.access == FileAccess::None || self.directories.iter().any(reaches)
    }

    /// None where a rule can't be read, which covers nothing then.
    fn set(&self) -> Option<PowerSet> {
        let http = self.http.iter().map(Requests::rule);
        Some(PowerSet {
            files: self.files,
            http: http.collect::<Option<_>>()?,
            secrets: self.secrets.clone(),
            kv: self.kv,
        })
    }
}

impl Requests {
    fn of(rule: &HttpRule) -> Self {
        Self {
            url: rule.url(),
            methods: rule.methods.clone(),
            addresses: rule.addresses.iter().map(ToString::to_string).collect(),
        }
    }

    fn rule(&self) -> Option<HttpRule> {
        HttpRule::parse(&self.url, &self.methods, &self.addresses).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::{Effective, PowerGrant};

    fn authority(http: &[(&str, &[&str], &[&str])], change: impl FnOnce(&mut Authority)) -> Authority {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let rule = |(url, methods, addresses): &(&str, &[&str], &[&str])| {
            HttpRule::parse(url, &owned(methods), &owned(addresses)).unwrap()
        };
        let granted = PowerGrant {
            powers: PowerSet {
                http: http.iter().map(rule).collect(),
                secrets: owned(&["key"]),
                kv: KvAccess::Session,
                ..PowerSet::default()
            },
            ..PowerGrant::default()
        };
        let powers = ToolPowers {
            effective: Arc::new(Effective::of("p", None, granted)),
            files: FileAccess::ReadOnly,
            directories: vec![Reachable {
                path: "/files".to_owned(),
                access: FileAccess::ReadOnly,
            }],
        };
        let mut authority = Authority::of(&powers);
        change(&mut authority);
        // What is compared has been in the journal.
        serde_json::from_str(&serde_json::to_string(&authority).unwrap()).unwrap()
    }

    #[test]
    fn more_is_told_from_less() {
        let told = authority(
            &[("https://a.example/v1/", &["GET", "HEAD", "POST"], &["10.0.0.0/8"])],
            |_| {},
        );
        let check = |now: Authority, expected: bool| assert_eq!(now.is_within(&told), expected, "{now:?}");
        check(told.clone(), true);
        check(Authority::default(), true);
        check(authority(&[("https://a.example/v1/b/", &["GET"], &[])], |_| {}), true);
        check(
            authority(&[("https://a.example/v1/", &[], &["10.1.0.0/16"])], |_| {}),
            true,
        );
        check(authority(&[("https://a.example/", &["GET"], &[])], |_| {}), false);
        check(authority(&[("https://a.example/v1/", &["PUT"], &[])], |_| {}), false);
        check(
            authority(&[("https://a.example/v1/", &[], &["127.0.0.0/8"])], |_| {}),
            false,
        );
        check(authority(&[("https://b.example/v1/", &[], &[])], |_| {}), false);
        check(authority(&[], |now| now.files = FileAccess::ReadWrite), false);
        check(authority(&[], |now| now.secrets = vec!["other".to_owned()]), false);
        check(authority(&[], |now| now.kv = KvAccess::Shared), false);
        check(authority(&[], |now| now.kv = KvAccess::None), true);
        check(
            authority(&[], |now| now.directories[0].access = FileAccess::ReadWrite),
            false,
        );
        check(authority(&[], |now| now.directories[0].access = FileAccess::None), true);
        check(
            authority(&[], |now| now.directories[0].path = "/files/inner".to_owned()),
            false,
        );
    }

    #[test]
    fn what_can_not_be_read_covers_nothing() {
        let broken = Authority {
            http: vec![Requests {
                url: "no url".to_owned(),
                methods: Vec::new(),
                addresses: Vec::new(),
            }],
            ..Authority::default()
        };
        assert!(!Authority::default().is_within(&broken));
        assert!(!broken.is_within(&broken));
    }
}
