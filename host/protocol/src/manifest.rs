//! `<name>.toml` beside a component: what it is, what it asks for.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::policy::{HttpRule, KvAccess, PowerSet};
use crate::{Error, ErrorKind, FileAccess, Result, without_unseen};

/// What a plugin's author says. It grants nothing: effective is what is requested *and* granted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifest {
    /// Must agree with what the component exports.
    pub kind: Option<Kind>,
    pub description: Option<String>,
    pub lifetime: Lifetime,
    pub requests: PowerSet,
    pub limits: RequestedLimits,
}

/// What a component is, by its exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Tool,
    Pattern,
    Memory,
}

/// How long an instance lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifetime {
    /// A fresh one for each call.
    #[default]
    Call,
    /// One per session, as a cache: it may be dropped between any two calls.
    Session,
}

/// Less than what the configuration allows; more changes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestedLimits {
    pub memory_mib: Option<u64>,
    pub cpu_ms: Option<u64>,
    pub wall_ms: Option<u64>,
}

/// As it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileManifest {
    kind: Option<Kind>,
    description: Option<String>,
    lifetime: Lifetime,
    requests: FileRequests,
    limits: RequestedLimits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileRequests {
    files: FileAccess,
    http: Vec<Spanned<FileHttp>>,
    secrets: Vec<Spanned<String>>,
    kv: KvAccess,
}

/// As in a grant: a URL, or a table around one.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a URL in quotes is wanted, or a table with `url`, `methods` and `addresses`"
)]
enum FileHttp {
    Url(String),
    Rule(FileHttpRule),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileHttpRule {
    url: String,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    addresses: Vec<String>,
}

/// What is wrong, and where in the text it begins.
type Wrong = (usize, String);

impl FileRequests {
    fn powers(self) -> Result<PowerSet, Wrong> {
        let http = self.http.into_iter().map(|rule| {
            let start = rule.span().start;
            let (url, methods, addresses) = match rule.into_inner() {
                FileHttp::Url(url) => (url, Vec::new(), Vec::new()),
                FileHttp::Rule(rule) => (rule.url, rule.methods, rule.addresses),
            };
            HttpRule::parse(&url, &methods, &addresses).map_err(|why| (start, why))
        });
        let secrets = self.secrets.into_iter().map(|name| match is_name(name.get_ref()) {
            true => Ok(name.into_inner()),
            false => Err((
                name.span().start,
                "the name of a secret is 1 to 40 of `A-Z a-z 0-9 _ -`".to_owned(),
            )),
        });
        Ok(PowerSet {
            files: self.files,
            http: http.collect::<Result<_, _>>()?,
            secrets: secrets.collect::<Result<_, _>>()?,
            kv: self.kv,
        })
    }
}

impl Manifest {
    /// `origin` is where the text is from, for the error.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        let written = toml::from_str(text).map_err(|error| {
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            (error.span().map_or(0, |span| span.start), message)
        });
        let read = |written: FileManifest| {
            Ok(Self {
                kind: written.kind,
                description: written.description.map(|text| without_unseen(&text).into_owned()),
                lifetime: written.lifetime,
                requests: written.requests.powers()?,
                limits: written.limits,
            })
        };
        written.and_then(read).map_err(|(start, message): Wrong| {
            let line = text[..start].matches('\n').count() + 1;
            Error::new(ErrorKind::Plugin, "bad-manifest", format!("{origin}:{line}: {message}")).with_hint(
                "a manifest has `kind`, `description`, `lifetime`, `[requests]` with `files`, `http`, `secrets` and `kv`, and \
                 `[limits]` with `memory_mib`, `cpu_ms`, `wall_ms`",
            )
        })
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tool => "tool",
            Self::Pattern => "pattern",
            Self::Memory => "memory",
        })
    }
}

/// What the configuration allows as the name of a secret.
fn is_name(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match Manifest::parse(text, "x.toml") {
            Ok(manifest) => format!(
                "{:?} {:?} {:?}",
                manifest.kind, manifest.lifetime, manifest.requests.files
            ),
            Err(error) => error.message,
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn nothing_in_a_description_is_hidden() {
        let text = r#"description = "Tells the weather\U000E0041\u202E\u200B.""#;
        let manifest = Manifest::parse(text, "x.toml").unwrap();
        assert_eq!(manifest.description.as_deref(), Some("Tells the weather."));
    }

    #[test]
    fn manifests() {
        check("", "None Call None");
        check(
            "kind = \"tool\"\nlifetime = \"session\"\n[requests]\nfiles = \"read-only\"",
            "Some(Tool) Session ReadOnly",
        );
        check(
            "kind = \"tool\"\nlifetme = \"call\"",
            "x.toml:2: unknown field `lifetme`, expected one of `kind`, \
            `description`, `lifetime`, `requests`, `limits`",
        );
        check(
            "[requests]\nfiles = \"all\"",
            "x.toml:2: unknown variant `all`, expected one of `none`, `read-only`, \
            `read-write`",
        );
        check(
            "[requests]\nkv = \"session\"\nsecrets = [\"weather-key\"]",
            "None Call None",
        );
        check(
            "[requests]\n\nkv = \"all\"",
            "x.toml:3: unknown variant `all`, expected one of `none`, `session`, `shared`",
        );
        check(
            "[requests]\nsecrets = [\"a\",\n\"b c\"]",
            "x.toml:3: the name of a secret is 1 to 40 of `A-Z a-z 0-9 _ -`",
        );
        check(
            "[requests]\nhttp = [\n{ url = \"https://a.example/\", method = \"GET\" }]",
            "x.toml:2: a URL in quotes is wanted, or a table with `url`, `methods` and `addresses`",
        );
        check("[limits\n", "x.toml:1: unclosed table, expected `]`");
    }
}
