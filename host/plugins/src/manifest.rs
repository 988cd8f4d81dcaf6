//! `<name>.toml` beside a component: what it is, what it asks for.

use std::path::Path;
use std::time::Duration;

use sandbar_protocol::{Error, ErrorKind, FileAccess, Result};
use serde::Deserialize;

use crate::facts::Kind;
use crate::limits::{GuestLimits, MAX_MANIFEST_BYTES};

/// What a plugin's author says. It grants nothing: effective is what is requested *and* granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manifest {
    /// Must agree with what the component exports.
    pub kind: Option<Kind>,
    pub description: Option<String>,
    pub lifetime: Lifetime,
    pub requests: Requests,
    limits: RequestedLimits,
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

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requests {
    pub files: FileAccess,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RequestedLimits {
    memory_mib: Option<u64>,
    cpu_ms: Option<u64>,
    wall_ms: Option<u64>,
}

impl Manifest {
    pub(crate) fn parse(text: &str, origin: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            Error::new(ErrorKind::Plugin, "bad-manifest", format!("{origin}:{line}: {message}")).with_hint(
                "a manifest has `kind`, `description`, `lifetime`, `[requests]` with `files`, and `[limits]` with \
                 `memory_mib`, `cpu_ms`, `wall_ms`",
            )
        })
    }

    /// None if there is no such file.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let origin = path.display().to_string();
        let unreadable =
            |message: String| Error::new(ErrorKind::Plugin, "bad-manifest", format!("{origin}: {message}"));
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Ok(metadata) if metadata.len() > MAX_MANIFEST_BYTES => {
                return Err(
                    unreadable(format!("{} bytes, the limit is {MAX_MANIFEST_BYTES}", metadata.len()))
                        .with_hint("shorten it: a manifest is a few lines"),
                );
            }
            _ => {}
        }
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()).with_source(error))?;
        Self::parse(&text, &origin).map(Some)
    }

    /// The configured limits, tightened by what the plugin asks for.
    pub(crate) fn limits(&self, configured: GuestLimits) -> GuestLimits {
        let asked = self.limits;
        configured.tightened_by(GuestLimits {
            memory_bytes: asked.memory_mib.map_or(u64::MAX, |mib| mib.saturating_mul(1 << 20)),
            cpu: asked.cpu_ms.map_or(Duration::MAX, Duration::from_millis),
            wall: asked.wall_ms.map_or(Duration::MAX, Duration::from_millis),
        })
    }
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
        check("[limits\n", "x.toml:1: unclosed table, expected `]`");
    }

    #[test]
    fn limits_only_tighten() {
        let manifest = Manifest::parse("[limits]\nmemory_mib = 9999\ncpu_ms = 10", "x.toml").unwrap();
        let limits = manifest.limits(GuestLimits::default());
        assert_eq!(
            limits,
            GuestLimits {
                cpu: Duration::from_millis(10),
                ..GuestLimits::default()
            }
        );
    }
}
