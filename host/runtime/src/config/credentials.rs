//! `[secrets.<name>]`: secrets that are added to plugins' requests, and where they may go.

use std::collections::BTreeMap;

use sandbar_plugins::{Audience, SecretPlace};
use schemars::JsonSchema;
use serde::Deserialize;

use super::grants::Grant;
use super::resolve::Resolution;
use super::secrets::SecretRef;

/// A secret for requests of plugins.
#[derive(Debug, Clone, PartialEq)]
pub struct Credential {
    pub value: SecretRef,
    /// It is sent nowhere else.
    pub audience: Vec<Audience>,
    pub place: SecretPlace,
}

/// A secret that Sandbar adds to requests of the plugins to which it is granted. It goes into a header, into the query, or into a JSON
/// body: one of `header`, `query` and `json` says where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileCredential {
    /// Where the secret is: `env:NAME` or `file:PATH`. Environment: `SANDBAR__SECRETS__<NAME>__VALUE`.
    value: SecretRef,
    /// Hosts that it may be sent to, such as `https://api.example.com`. Environment: `SANDBAR__SECRETS__<NAME>__HOSTS`.
    hosts: Vec<String>,
    /// The header that it goes into, such as `authorization`. Environment: `SANDBAR__SECRETS__<NAME>__HEADER`.
    header: Option<String>,
    /// What the header's value is, with `{}` for the secret, such as `Bearer {}`. Default: `{}`. Environment:
    /// `SANDBAR__SECRETS__<NAME>__FORMAT`.
    format: Option<String>,
    /// The parameter of the query that it is the value of. Environment: `SANDBAR__SECRETS__<NAME>__QUERY`.
    query: Option<String>,
    /// The field of a JSON body that it is the value of, as a JSON pointer such as `/auth/key`. Environment:
    /// `SANDBAR__SECRETS__<NAME>__JSON`.
    json: Option<String>,
}

impl FileCredential {
    pub(super) fn resolve(self, name: &str, resolution: &mut Resolution) -> Credential {
        let key = format!("secrets.{name}");
        let value = match self.value {
            SecretRef::File(path) => SecretRef::File(resolution.path(&format!("{key}.value"), &path.to_string_lossy())),
            reference @ SecretRef::Env(_) => reference,
        };
        Credential {
            value,
            audience: audience(&key, &self.hosts, resolution),
            place: place(&key, (self.header, self.format, self.query, self.json), resolution),
        }
    }
}

/// Two secrets of one plugin that would go into the same place of one request: nobody has said which of them does.
pub(super) fn check_places(
    grants: &BTreeMap<String, Grant>,
    secrets: &BTreeMap<String, Credential>,
    resolution: &mut Resolution,
) {
    for (plugin, grant) in grants {
        let names = grant.powers.powers.secrets.iter().enumerate();
        let placed: Vec<(usize, &String, &Credential)> = names
            .filter_map(|(index, name)| Some((index, name, secrets.get(name).filter(|secret| secret.has_place())?)))
            .collect();
        for (nth, (index, later, secret)) in placed.iter().enumerate() {
            for (_, earlier, other) in placed[..nth].iter().filter(|(_, earlier, _)| earlier != later) {
                let Some(common) = secret.common(other) else { continue };
                let key = format!("grants.{plugin}.secrets[{index}]");
                let place = &secret.place;
                let message = format!(
                    "`{key}` is `{later}`, which goes into {place} of requests to {common}, and so does `{earlier}`"
                );
                let hint = format!(
                    "grant one of the two to `{plugin}`, or give `[secrets.{later}]` other `hosts` or another place"
                );
                resolution.problem(&key, "same-secret-place", &message, &hint);
            }
        }
    }
}

impl Credential {
    /// Whether it says where it goes; if not, that is told already.
    fn has_place(&self) -> bool {
        !matches!(&self.place, SecretPlace::Query { name } if name.is_empty())
    }

    /// The hosts to which both would be sent in the same place, if there are some.
    fn common<'a>(&'a self, other: &'a Self) -> Option<&'a Audience> {
        let mut pairs = self
            .audience
            .iter()
            .flat_map(|own| other.audience.iter().map(move |others| (own, others)));
        self.place
            .overlaps(&other.place)
            .then(|| pairs.find_map(|(own, others)| own.common(others)))?
    }
}

fn audience(key: &str, hosts: &[String], resolution: &mut Resolution) -> Vec<Audience> {
    const HINT: &str = "write a host as `\"https://api.example.com\"`, without a path";
    let key = format!("{key}.hosts");
    if hosts.is_empty() {
        resolution.problem(
            &key,
            "no-hosts",
            &format!("`{key}` is empty: the secret could be sent nowhere"),
            HINT,
        );
    }
    let mut parsed = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let key = format!("{key}[{index}]");
        match Audience::parse(host) {
            Ok(audience) => parsed.push(audience),
            Err(why) => {
                let message = format!("`{key}` is no host for a secret: {why}");
                resolution.problem(&key, "bad-url", &message, HINT);
            }
        }
    }
    parsed
}

type Places = (Option<String>, Option<String>, Option<String>, Option<String>);

fn place(key: &str, places: Places, resolution: &mut Resolution) -> SecretPlace {
    let mut wrong = |field: &str, message: &str, hint: &str| {
        let key = match field {
            "" => key.to_owned(),
            field => format!("{key}.{field}"),
        };
        resolution.problem(&key, "bad-secret-place", &format!("`{key}` {message}"), hint);
    };
    const ONE_PLACE: &str = "add one of `header = \"authorization\"`, `query = \"key\"` or `json = \"/key\"`";
    match places {
        (Some(name), format, None, None) => {
            if !SecretPlace::is_header(&name) {
                wrong(
                    "header",
                    "is no header that a secret can go into",
                    "write the name of a header that a request has for it, such as `authorization` or `x-api-key`",
                );
            }
            let format = format.unwrap_or_else(|| "{}".to_owned());
            if format.matches("{}").count() != 1 || format.chars().any(char::is_control) {
                wrong(
                    "format",
                    "needs `{}` once, where the secret goes",
                    "write it as `\"Bearer {}\"`",
                );
            }
            SecretPlace::Header { name, format }
        }
        (None, None, Some(name), None) => {
            if name.is_empty() {
                wrong("query", "is empty", "write the name of the parameter, such as `key`");
            }
            SecretPlace::Query { name }
        }
        (None, None, None, Some(pointer)) => {
            if !pointer.starts_with('/') || pointer.len() == 1 {
                wrong(
                    "json",
                    "is no JSON pointer to a field",
                    "write the way to the field, such as `/auth/key`",
                );
            }
            SecretPlace::Json { pointer }
        }
        (header, format, query, json) => {
            let written = [&header, &query, &json].into_iter().flatten().count();
            match (written, format) {
                (0, None) => wrong("", "doesn't say where in a request the secret goes", ONE_PLACE),
                (1, Some(_)) | (0, Some(_)) => wrong(
                    "format",
                    "is for a header, and there is none",
                    "add `header = \"authorization\"`, or remove `format`",
                ),
                _ => wrong(
                    "",
                    "says in more than one way where the secret goes",
                    "leave one of `header`, `query` and `json`",
                ),
            }
            SecretPlace::Query { name: String::new() }
        }
    }
}
