//! `sandbar.lock`: which components were approved under which names, and what each of them could ask for then.
//!
//! A file for people and for version control: sorted, one fact a line. It is written in place and not replaced, because the kernel's wall
//! gives a running host this one file, and not the directory in which the configuration is. Who reads or writes it holds a lock on it;
//! its last line tells whether it is whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbar_protocol::manifest::{Kind, Lifetime, Manifest};
use sandbar_protocol::policy::KvAccess;
use sandbar_protocol::{Clock, Error, ErrorKind, FileAccess, Result, ToolSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::digest::hexadecimal;
use crate::error::storage;

/// A larger file is none of ours: an entry has some hundred bytes.
const MAX_LOCK_BYTES: u64 = 4 << 20;

const VERSION: u32 = 1;

const HEAD: &str = "# Which plugins were approved, and what each of them could ask for then. Written by Sandbar; keep it in version control.\n";

/// Without it the file was cut off while it was written.
const END: &str = "# The end.\n";

/// What a plugin without a manifest asks for.
const WHATEVER: &str = "whatever is granted: it has no manifest";

/// Who approved what was there when it was first seen.
pub(crate) const FIRST_SIGHT: &str = "first sight";

/// The file, and the time for new entries.
#[derive(Debug, Clone)]
pub struct LockFile {
    pub path: PathBuf,
    pub clock: Arc<dyn Clock>,
}

/// A component as it was approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// SHA-256 of the component, hexadecimal.
    pub digest: String,
    pub kind: Kind,
    pub approved_by: String,
    /// In UTC.
    pub approved_at: String,
    /// What it can call of the host: all that it can do.
    pub imports: Vec<String>,
    /// What its manifest requests, one power a line.
    pub requests: Vec<String>,
    /// SHA-256 of the texts of each tool: name, description and schemas.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, String>,
}

/// What is in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    #[serde(default)]
    pub plugins: BTreeMap<String, Locked>,
}

impl LockFile {
    /// A file that isn't there, or is empty, has nothing in it.
    pub fn read(&self) -> Result<Lock> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Lock::new()),
            Err(error) => return Err(storage("read", &self.path, error)),
        };
        file.lock_shared().map_err(|error| storage("lock", &self.path, error))?;
        self.parse(&mut file)
    }

    /// Changes what is in the file as it is now: another process may have changed it since it was read.
    pub fn change(&self, change: impl FnOnce(&mut Lock)) -> Result<()> {
        let failed = |error| storage("write", &self.path, error);
        let mut options = File::options();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)
            .map_err(failed)?;
        file.lock().map_err(failed)?;
        let before = self.parse(&mut file)?;
        let mut lock = before.clone();
        change(&mut lock);
        if lock == before {
            return Ok(());
        }
        let text = lock.text()?;
        file.rewind().map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.set_len(text.len() as u64).map_err(failed)?;
        file.sync_all().map_err(failed)
    }

    /// The time, as the file has it.
    pub(crate) fn now(&self) -> String {
        sandbar_protocol::utc(self.clock.now_ms())
    }

    fn parse(&self, file: &mut File) -> Result<Lock> {
        let mut text = String::new();
        let bytes = file.take(MAX_LOCK_BYTES + 1).read_to_string(&mut text);
        match bytes {
            Ok(bytes) if bytes as u64 > MAX_LOCK_BYTES => Err(damaged(&self.path, "it is too large")),
            Ok(_) => Lock::parse(&text, &self.path),
            Err(error) => Err(damaged(&self.path, &error.to_string())),
        }
    }
}

impl Lock {
    fn new() -> Self {
        Self {
            version: VERSION,
            plugins: BTreeMap::new(),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::new());
        }
        let lock: Self = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text[..text.floor_char_boundary(start)].matches('\n').count() + 1;
            let why = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            damaged(path, &format!("line {line}: {why}"))
        })?;
        if lock.version != VERSION {
            let found = format!("it has version {}, and this Sandbar knows {VERSION}", lock.version);
            return Err(damaged(path, &found));
        }
        if !text.ends_with(END) {
            return Err(damaged(
                path,
                "its last line is missing, so that it may have been cut off",
            ));
        }
        let is_digest = |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        for (name, locked) in &lock.plugins {
            if !std::iter::once(&locked.digest)
                .chain(locked.tools.values())
                .all(is_digest)
            {
                let found = format!("`{}` has a digest that is no SHA-256", name.escape_debug());
                return Err(damaged(path, &found));
            }
        }
        Ok(lock)
    }

    fn text(&self) -> Result<String> {
        let body = toml::to_string_pretty(self).map_err(|error| crate::error::internal(error.to_string()))?;
        Ok(format!("{HEAD}{body}\n{END}"))
    }
}

impl Locked {
    /// What there is to approve of a component.
    pub(crate) fn of(
        digest: &str,
        kind: Kind,
        imports: &[String],
        manifest: Option<&Manifest>,
        tools: &[ToolSpec],
    ) -> Self {
        let mut imports = imports.to_vec();
        imports.sort();
        Self {
            digest: digest.to_owned(),
            kind,
            approved_by: String::new(),
            approved_at: String::new(),
            imports,
            requests: requests(manifest),
            tools: tools
                .iter()
                .map(|tool| (tool.name.clone(), text_digest(tool)))
                .collect(),
        }
    }

    #[must_use]
    pub(crate) fn approved(self, by: &str, at: String) -> Self {
        Self {
            approved_by: by.to_owned(),
            approved_at: at,
            ..self
        }
    }

    /// Whether the same was approved, whoever did it.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let facts = |locked: &Self| locked.clone().approved("", String::new());
        facts(self) == facts(other)
    }
}

/// One power a line.
pub(crate) fn requests(manifest: Option<&Manifest>) -> Vec<String> {
    let Some(manifest) = manifest else {
        return vec![WHATEVER.to_owned()];
    };
    let powers = &manifest.requests;
    let mut lines: Vec<String> = powers.http.iter().map(|rule| format!("http {rule}")).collect();
    lines.extend(powers.secrets.iter().map(|secret| format!("secret {secret}")));
    let files = match powers.files {
        FileAccess::None => None,
        FileAccess::ReadOnly => Some("files read-only"),
        FileAccess::ReadWrite => Some("files read-write"),
    };
    let kv = match powers.kv {
        KvAccess::None => None,
        KvAccess::Session => Some("kv session"),
        KvAccess::Shared => Some("kv shared"),
    };
    let instance = (manifest.lifetime == Lifetime::Session).then_some("an instance for a session");
    lines.extend([files, kv, instance].into_iter().flatten().map(str::to_owned));
    lines.sort();
    lines
}

/// The texts of a tool that a model reads, with their lengths, so that no two tools read the same.
fn text_digest(tool: &ToolSpec) -> String {
    let mut hash = Sha256::new();
    let output = tool.output_schema.as_ref().map(canonical).unwrap_or_default();
    for text in [&tool.name, &tool.description, &canonical(&tool.input_schema), &output] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hexadecimal(&hash.finalize())
}

/// JSON with the keys of each object in their order, however it was read.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            let fields = sorted
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

fn damaged(path: &Path, why: &str) -> Error {
    let message = format!("`{}` can't be relied on: {why}", path.display());
    Error::new(ErrorKind::Config, "bad-lock", message).with_hint(
        "take it back from version control; if there is no good one, look at the plugins (their files, their manifests), remove it, and every plugin is taken as it is then",
    )
}

#[cfg(test)]
mod tests {
    use sandbar_protocol::SystemClock;
    use serde_json::json;

    use super::*;

    fn file(directory: &Path) -> LockFile {
        LockFile {
            path: directory.join("sandbar.lock"),
            clock: Arc::new(SystemClock),
        }
    }

    fn tool(description: &str, input_schema: Value) -> ToolSpec {
        ToolSpec {
            name: "forecast".to_owned(),
            description: description.to_owned(),
            input_schema,
            output_schema: None,
            traits: sandbar_protocol::ToolTraits::default(),
        }
    }

    fn locked() -> Locked {
        let manifest =
            Manifest::parse("[requests]\nfiles = 'read-only'\nsecrets = ['key']\nkv = 'shared'", "x").unwrap();
        let imports = ["wasi:io/poll@0.2.6".to_owned(), "sandbar:plugin/http@0.1.0".to_owned()];
        let digest = "ab".repeat(32);
        let tools = [tool("tells the weather", json!({ "type": "object" }))];
        Locked::of(&digest, Kind::Tool, &imports, Some(&manifest), &tools)
            .approved("ada", "2026-01-31T09:05:00Z".to_owned())
    }

    #[test]
    fn the_file_is_for_people() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        assert_eq!(file.read().unwrap(), Lock::new());
        let put = |name: &'static str| {
            file.change(|lock| drop(lock.plugins.insert(name.to_owned(), locked())))
                .unwrap();
        };
        put("weather");
        put("clock");
        let text = std::fs::read_to_string(&file.path).unwrap();
        let entry = "digest = \"abababababababababababababababababababababababababababababababab\"\nkind = \"tool\"\n\
            approved_by = \"ada\"\napproved_at = \"2026-01-31T09:05:00Z\"\nimports = [\n    \"sandbar:plugin/http@0.1.0\",\n    \
            \"wasi:io/poll@0.2.6\",\n]\nrequests = [\n    \"files read-only\",\n    \"kv shared\",\n    \"secret key\",\n]\n";
        let hash = text_digest(&tool("tells the weather", json!({ "type": "object" })));
        let part = |name: &str| format!("[plugins.{name}]\n{entry}\n[plugins.{name}.tools]\nforecast = \"{hash}\"\n\n");
        let expected = format!("{HEAD}version = 1\n\n{}{}{END}", part("clock"), part("weather"));
        assert_eq!(text, expected);
        assert_eq!(file.read().unwrap().plugins["clock"], locked());
        file.change(|lock| drop(lock.plugins.remove("clock"))).unwrap();
        assert_eq!(
            std::fs::read_to_string(&file.path).unwrap(),
            format!("{HEAD}version = 1\n\n{}{END}", part("weather"))
        );
    }

    #[test]
    fn a_file_that_is_not_whole_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        file.change(|lock| drop(lock.plugins.insert("weather".to_owned(), locked())))
            .unwrap();
        let whole = std::fs::read_to_string(&file.path).unwrap();
        let check = |text: &str, why: &str| {
            std::fs::write(&file.path, text).unwrap();
            for error in [file.read().unwrap_err(), file.change(|_| {}).unwrap_err()] {
                assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Config, "bad-lock"));
                assert!(error.message.contains(why), "{}", error.message);
                assert!(error.hint.is_some());
            }
            assert_eq!(std::fs::read_to_string(&file.path).unwrap(), text, "it was changed");
        };
        check(&whole.replace(END, ""), "its last line is missing");
        check(&whole[..whole.len() / 2], "line ");
        check(&whole.replace("kind = ", "kond = "), "line 6: unknown field `kond`");
        check(
            &whole.replace("abab", "xyxy"),
            "`weather` has a digest that is no SHA-256",
        );
        check(
            &whole.replace("version = 1", "version = 2"),
            "it has version 2, and this Sandbar knows 1",
        );
        check(&whole.replace("version = 1", ""), "missing field `version`");
        check(&format!("<<<<<<< HEAD\n{whole}"), "line 1");
        check(
            &whole.replace("[plugins.weather]\n", "[plugins.weather]\ntrusted = true\n"),
            "unknown field `trusted`",
        );
    }

    #[test]
    fn two_processes_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let file = file(directory.path());
                scope.spawn(move || {
                    for m in 0..10 {
                        file.change(|lock| drop(lock.plugins.insert(format!("p{n}-{m}"), locked())))
                            .unwrap();
                        assert!(file.read().unwrap().plugins.contains_key(&format!("p{n}-{m}")));
                    }
                });
            }
        });
        assert_eq!(file(directory.path()).read().unwrap().plugins.len(), 80);
    }

    #[test]
    fn tools_are_told_apart_by_what_a_model_reads() {
        let base = text_digest(&tool("a", json!({ "type": "object", "title": "t" })));
        assert_eq!(base, text_digest(&tool("a", json!({ "title": "t", "type": "object" }))));
        assert_ne!(base, text_digest(&tool("b", json!({ "type": "object", "title": "t" }))));
        assert_ne!(base, text_digest(&tool("a", json!({ "type": "object", "title": "u" }))));
        let renamed = ToolSpec {
            name: "other".to_owned(),
            ..tool("a", json!({ "type": "object", "title": "t" }))
        };
        assert_ne!(base, text_digest(&renamed));
    }

    #[test]
    fn requests_are_lines() {
        let check = |text: &str, expected: &[&str]| {
            let manifest = Manifest::parse(text, "x").unwrap();
            assert_eq!(requests(Some(&manifest)), expected, "{text}");
        };
        check("", &[]);
        check(
            "lifetime = 'session'\n[requests]\nfiles = 'read-write'",
            &["an instance for a session", "files read-write"],
        );
        check(
            "[requests]\nhttp = ['https://api.example.com/v1/']\nkv = 'session'",
            &["http GET, HEAD https://api.example.com/v1/", "kv session"],
        );
        assert_eq!(requests(None), [WHATEVER]);
    }
}
