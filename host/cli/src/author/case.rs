//! The cases in a project's `tests/*.toml`: what is written, checked key by key.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use regex::Regex;
use sandbar::plugins::{Kind, read_regular_text};
use sandbar::protocol::policy::KvAccess;
use sandbar::protocol::{Error, ErrorKind, FileAccess, Result};
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::project::Project;
use crate::author::MAX_TEXT_BYTES;
use crate::failure::file_failed;

/// One case, ready to be run.
#[derive(Debug)]
pub(crate) struct Case {
    /// The file, as messages name it, and the line of `[[case]]`.
    pub(crate) origin: String,
    pub(crate) written: Written,
    /// The input as a model would write it.
    pub(crate) input: String,
    pub(crate) text_matches: Option<Regex>,
}

/// One `[[case]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Written {
    pub(crate) name: String,
    /// The tool to call, without the plugin's name.
    pub(crate) tool: Option<String>,
    /// A table, or a text that is taken as it is.
    input: Option<toml::Value>,
    /// The user's message to an agent with the pattern.
    pub(crate) message: Option<String>,
    /// Plugins whose tools that agent has.
    pub(crate) plugins: Vec<String>,
    /// What a memory has before: the texts of entries.
    pub(crate) remembered: Vec<String>,
    /// The replies of its model, as in a script.
    pub(crate) script: Vec<toml::Table>,
    /// The plugin's own configuration.
    pub(crate) config: toml::Table,
    /// The workspace before the call, and the access to it.
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) grant: FileAccess,
    /// What the plugin may keep; a memory may keep things for all sessions unless the case says otherwise.
    pub(crate) kv: Option<KvAccess>,
    pub(crate) limits: Limits,
    pub(crate) expect: Expect,
    /// Files of the workspace afterwards; others are not looked at.
    pub(crate) expect_files: BTreeMap<String, String>,
}

/// Tightens the limits of the plugin under test.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Limits {
    pub(crate) memory_mib: Option<u64>,
    pub(crate) cpu_ms: Option<u64>,
    pub(crate) wall_ms: Option<u64>,
}

/// What is to come of it; what is left out is not looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Expect {
    pub(crate) text: Option<String>,
    text_matches: Option<String>,
    pub(crate) user_text: Option<String>,
    pub(crate) structured: Option<toml::Value>,
    /// The code of an error.
    pub(crate) error: Option<String>,
    pub(crate) steps: Option<u32>,
    pub(crate) stop_reason: Option<String>,
    pub(crate) finish_reason: Option<String>,
    /// The tools that were called, in order.
    pub(crate) tools: Option<Vec<String>>,
    /// The texts that a memory recalled, in order.
    pub(crate) recalled: Option<Vec<String>>,
}

/// The keys of a case: those of all kinds, then those of one.
const COMMON: [&str; 8] = [
    "name",
    "config",
    "files",
    "grant",
    "kv",
    "limits",
    "expect",
    "expect_files",
];
const OF_TOOL: [&str; 2] = ["tool", "input"];
const OF_PATTERN: [&str; 3] = ["message", "plugins", "script"];
const OF_MEMORY: [&str; 3] = ["message", "script", "remembered"];
const LIMITS: [&str; 3] = ["memory_mib", "cpu_ms", "wall_ms"];
const EXPECT_OF_TOOL: [&str; 5] = ["text", "text_matches", "error", "user_text", "structured"];
const EXPECT_OF_PATTERN: [&str; 7] = [
    "text",
    "text_matches",
    "error",
    "steps",
    "stop_reason",
    "finish_reason",
    "tools",
];

const EXPECT_OF_MEMORY: [&str; 4] = ["text", "text_matches", "error", "recalled"];

/// All cases of a project, file by file in the order of their names.
pub(crate) fn read_cases(project: &Project) -> Result<Vec<Case>> {
    let directory = project.directory.join("tests");
    let mut cases = Vec::new();
    for path in toml_files(&directory)? {
        let text = read_regular_text(&path, MAX_TEXT_BYTES).map_err(|error| file_failed("read", &path, error))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        cases.extend(parse(&text, &format!("tests/{name}"), project.kind)?);
    }
    if cases.is_empty() {
        return Err(Error::new(
            ErrorKind::NotFound,
            "no-cases",
            format!("there are no cases in `{}`", directory.display()),
        )
        .with_hint("a case is a `[[case]]` in a file `tests/*.toml`, with `name` and `expect`"));
    }
    Ok(cases)
}

fn toml_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(file_failed("read", directory, error)),
    };
    let paths: std::io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(|error| file_failed("read", directory, error))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    Ok(paths)
}

fn parse(text: &str, origin: &str, kind: Kind) -> Result<Vec<Case>> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        case: Vec<Spanned<Written>>,
    }
    let source = Source { text, origin };
    // Unknown keys are found before the types are looked at: a misspelt key is then named as such.
    source.check_keys(kind)?;
    let file: File = toml::from_str(text).map_err(|error| source.syntax(&error))?;
    file.case.into_iter().map(|case| source.case(case, kind)).collect()
}

#[derive(Clone, Copy)]
struct Source<'a> {
    text: &'a str,
    origin: &'a str,
}

impl Source<'_> {
    fn wrong(&self, offset: usize, why: &str) -> Error {
        let line = self.text[..offset.min(self.text.len())].matches('\n').count() + 1;
        Error::new(
            ErrorKind::InvalidInput,
            "bad-case",
            format!("{}:{line}: {why}", self.origin),
        )
    }

    fn syntax(&self, error: &toml::de::Error) -> Error {
        self.wrong(
            error.span().map_or(0, |span| span.start),
            &error.message().replace('\n', ", "),
        )
        .with_hint("a file of cases is TOML: a list of `[[case]]`")
    }

    fn check_keys(&self, kind: Kind) -> Result<()> {
        let table = DeTable::parse(self.text).map_err(|error| self.syntax(&error))?;
        self.check_table(table.get_ref(), "the file", &["case"])?;
        let (own, expect) = match kind {
            Kind::Tool => (OF_TOOL.as_slice(), EXPECT_OF_TOOL.as_slice()),
            Kind::Pattern => (OF_PATTERN.as_slice(), EXPECT_OF_PATTERN.as_slice()),
            Kind::Memory => (OF_MEMORY.as_slice(), EXPECT_OF_MEMORY.as_slice()),
        };
        let known = [COMMON.as_slice(), own].concat();
        let Some(DeValue::Array(cases)) = table.get_ref().get("case").map(Spanned::get_ref) else {
            return Ok(());
        };
        for case in cases {
            let DeValue::Table(case) = case.get_ref() else { continue };
            self.check_table(case, &format!("a case of a {kind}"), &known)?;
            for (key, known) in [("expect", expect), ("limits", &LIMITS)] {
                if let Some(DeValue::Table(table)) = case.get(key).map(Spanned::get_ref) {
                    self.check_table(table, &format!("`{key}` of a {kind}"), known)?;
                }
            }
        }
        Ok(())
    }

    fn check_table(&self, table: &DeTable<'_>, place: &str, known: &[&str]) -> Result<()> {
        let Some(key) = table.keys().find(|key| !known.contains(&key.get_ref().as_ref())) else {
            return Ok(());
        };
        let found = key.get_ref();
        Err(self
            .wrong(key.span().start, &format!("{place} has no key `{found}`"))
            .with_hint(suggest(found, known)))
    }

    fn case(&self, case: Spanned<Written>, kind: Kind) -> Result<Case> {
        let start = case.span().start;
        let written = case.into_inner();
        let wrong = |why: &str| self.wrong(start, why);
        if written.name.is_empty() {
            return Err(wrong("the case has no `name`"));
        }
        match kind {
            Kind::Tool if written.tool.is_none() => {
                return Err(wrong("the case has no `tool`, the name of the tool to call"));
            }
            Kind::Pattern | Kind::Memory if written.message.is_none() => {
                return Err(wrong("the case has no `message`, what the user says"));
            }
            _ => {}
        }
        if let Some(name) = written
            .files
            .keys()
            .chain(written.expect_files.keys())
            .find(|name| !is_inside(name))
        {
            return Err(wrong(&format!("`{name}` is not the name of a file in the workspace")));
        }
        let input = match &written.input {
            None => "{}".to_owned(),
            Some(toml::Value::String(text)) => text.clone(),
            Some(value) => json(value)
                .map_err(|why| wrong(&format!("`input` has {why}")))?
                .to_string(),
        };
        let text_matches = written.expect.text_matches.as_deref().map(Regex::new).transpose();
        let text_matches =
            text_matches.map_err(|error| wrong(&format!("`text_matches` is no regular expression: {error}")))?;
        let line = self.text[..start].matches('\n').count() + 1;
        Ok(Case {
            origin: format!("{}:{line}", self.origin),
            written,
            input,
            text_matches,
        })
    }
}

/// The likeliest of the known words, or all of them.
pub(super) fn suggest(word: &str, known: &[&str]) -> String {
    let likeness = |known: &&&str| (strsim::jaro_winkler(word, known) * 1000.0) as u32;
    match known.iter().max_by_key(likeness) {
        Some(best) if likeness(&best) > 800 => format!("did you mean `{best}`?"),
        _ => format!(
            "there are {}",
            known
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

/// A relative path that stays where it starts.
fn is_inside(name: &str) -> bool {
    let path = Path::new(name);
    !name.is_empty()
        && path
            .components()
            .all(|component| matches!(component, Component::Normal(_)))
}

/// As JSON; the error says what TOML has and JSON has not.
pub(super) fn json(value: &toml::Value) -> std::result::Result<Value, &'static str> {
    Ok(match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Float(number) => {
            Value::Number(serde_json::Number::from_f64(*number).ok_or("a number that isn't finite")?)
        }
        toml::Value::Datetime(_) => return Err("a date: write it as a text"),
        toml::Value::Array(items) => Value::Array(items.iter().map(json).collect::<std::result::Result<_, _>>()?),
        toml::Value::Table(table) => json_table(table)?,
    })
}

pub(super) fn json_table(table: &toml::Table) -> std::result::Result<Value, &'static str> {
    table
        .iter()
        .map(|(key, value)| Ok((key.clone(), json(value)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, text: &str, expected: &str) {
        let found = match parse(text, "tests/x.toml", kind) {
            Ok(cases) => cases
                .iter()
                .map(|case| format!("{} {} {}", case.origin, case.written.name, case.input))
                .collect::<Vec<_>>()
                .join("; "),
            Err(error) => error.text(),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn cases_of_tools() {
        let check = |text, expected| check(Kind::Tool, text, expected);
        check("", "");
        check(
            "\n[[case]]\nname = \"a\"\ntool = \"t\"\ninput = { b = [1, true] }\n[[case]]\nname = \"b\"\ntool = \"t\"\ninput = \"{x\"\n",
            "tests/x.toml:2 a {\"b\":[1,true]}; tests/x.toml:6 b {x",
        );
        check("[[case]]\ntool = \"t\"", "tests/x.toml:1: the case has no `name`");
        check(
            "[[case]]\nname = \"a\"",
            "tests/x.toml:1: the case has no `tool`, the name of the tool to call",
        );
        check(
            "[[case]]\nname = \"a\"\nimput = 1",
            "tests/x.toml:3: a case of a tool has no key `imput`\nhint: did you mean `input`?",
        );
        check(
            "[[case]]\nname = \"a\"\nexpect = { txt = \"\" }",
            "tests/x.toml:3: `expect` of a tool has no key `txt`\nhint: did you mean `text`?",
        );
        check(
            "[[case]]\nname = \"a\"\nlimits = { x = 1 }",
            "tests/x.toml:3: `limits` of a tool has no key `x`\nhint: there are `memory_mib`, `cpu_ms`, `wall_ms`",
        );
        check(
            "[[cases]]",
            "tests/x.toml:1: the file has no key `cases`\nhint: did you mean `case`?",
        );
        check(
            "[[case]]\nname = \"a\"\ntool = \"t\"\nfiles = { \"../x\" = \"\" }",
            "tests/x.toml:1: `../x` is not the name of a file in the workspace",
        );
        check(
            "[[case]]\nname = \"a\"\ntool = \"t\"\ninput = { d = 2026-01-01 }",
            "tests/x.toml:1: `input` has a date: write it as a text",
        );
    }

    #[test]
    fn cases_of_memories() {
        let check = |text, expected| check(Kind::Memory, text, expected);
        check(
            "[[case]]\nname = \"a\"\nmessage = \"hi\"\nremembered = [\"x\"]\nkv = \"session\"\nexpect = { recalled = [] }",
            "tests/x.toml:1 a {}",
        );
        check(
            "[[case]]\nname = \"a\"\nremembered = []",
            "tests/x.toml:1: the case has no `message`, what the user says",
        );
        check(
            "[[case]]\nname = \"a\"\nmessage = \"hi\"\nexpect = { tools = [] }",
            "tests/x.toml:4: `expect` of a memory has no key `tools`\nhint: there are `text`, `text_matches`, `error`, `recalled`",
        );
    }

    #[test]
    fn cases_of_patterns() {
        let check = |text, expected| check(Kind::Pattern, text, expected);
        check(
            "[[case]]\nname = \"a\"\nmessage = \"hi\"\nexpect = { steps = 2 }",
            "tests/x.toml:1 a {}",
        );
        check(
            "[[case]]\nname = \"a\"\ntool = \"t\"",
            "tests/x.toml:3: a case of a pattern has no key `tool`\nhint: there are `name`, `config`, `files`, `grant`, \
             `kv`, `limits`, `expect`, `expect_files`, `message`, `plugins`, `script`",
        );
        check(
            "[[case]]\nname = \"a\"\nmessage = 1",
            "tests/x.toml:3: invalid type: integer `1`, expected a string\nhint: a file of cases is TOML: a list of `[[case]]`",
        );
    }
}
