//! The file format of scripted replies: what is written in TOML, and what it means.
//!
//! A script is checked as a whole when it is loaded - keys, regular expressions, names in `${…}` - so that what remains to go wrong
//! during a run is the conversation itself.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use regex::Regex;
use sandbar_protocol::{Error, ErrorKind, Result, Usage};
use serde::Deserialize;
use toml::Spanned;

use crate::template;

/// The thread that a reply belongs to unless it names another.
pub(crate) const MAIN_THREAD: &str = "main";

/// Characters per text delta unless the script says otherwise.
const DEFAULT_CHUNK: usize = 12;

/// A script that has been checked.
#[derive(Debug)]
pub(crate) struct Script {
    /// The file, as messages name it.
    pub(crate) origin: String,
    pub(crate) replies: Vec<Reply>,
    threads: HashMap<String, Thread>,
}

/// The replies of one thread, so that a long script costs no more per call than a short one.
#[derive(Debug, Default)]
struct Thread {
    /// Places in the script's list.
    replies: Vec<usize>,
    /// Positions within the thread of those that capture.
    capturing: Vec<usize>,
}

/// One scripted reply.
#[derive(Debug)]
pub(crate) struct Reply {
    /// 1 for the first of the file.
    pub(crate) number: usize,
    pub(crate) line: usize,
    pub(crate) thread: String,
    pub(crate) expect: Expect,
    /// Matched against the last message; its named groups become variables.
    pub(crate) capture: Option<Regex>,
    pub(crate) answer: Answer,
    pub(crate) chunk: usize,
    pub(crate) delay: Duration,
    /// How many requests give nothing before it.
    pub(crate) retries: u32,
}

/// What the model must have been sent.
#[derive(Debug)]
pub(crate) struct Expect {
    pub(crate) last: Option<Regex>,
    pub(crate) instructions: Option<Regex>,
    /// Each of these is offered; an empty list means that no tool is.
    pub(crate) tools: Option<Vec<String>>,
    pub(crate) messages: Option<usize>,
    pub(crate) failed: Option<bool>,
}

#[derive(Debug)]
pub(crate) enum Answer {
    Message {
        text: String,
        calls: Vec<Call>,
        finish_reason: Option<String>,
        usage: Usage,
    },
    Fails(Error),
    Hangs,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) arguments: Arguments,
}

#[derive(Debug)]
pub(crate) enum Arguments {
    Json(serde_json::Value),
    /// Sent as it is, so that a script can make a mistake that a model would make.
    Verbatim(String),
}

impl Script {
    pub(crate) fn parse(text: &str, origin: &str) -> Result<Self> {
        let file = File { text, origin };
        file.check_keys()?;
        let script: FileScript = toml::from_str(text).map_err(|error| file.syntax(&error))?;
        let replies = script
            .reply
            .into_iter()
            .enumerate()
            .map(|(index, reply)| file.reply(index + 1, reply))
            .collect::<Result<Vec<_>>>()?;
        let mut threads: HashMap<String, Thread> = HashMap::new();
        for (place, reply) in replies.iter().enumerate() {
            let thread = threads.entry(reply.thread.clone()).or_default();
            if reply.capture.is_some() {
                thread.capturing.push(thread.replies.len());
            }
            thread.replies.push(place);
        }
        let script = Self {
            origin: origin.to_owned(),
            replies,
            threads,
        };
        script.check_names()?;
        Ok(script)
    }

    /// The reply at a position of its thread.
    pub(crate) fn reply(&self, thread: &str, position: usize) -> Option<&Reply> {
        let place = *self.threads.get(thread)?.replies.get(position)?;
        self.replies.get(place)
    }

    pub(crate) fn last_reply(&self, thread: &str) -> Option<&Reply> {
        let place = *self.threads.get(thread)?.replies.last()?;
        self.replies.get(place)
    }

    /// The positions of a thread's replies that capture, in order.
    pub(crate) fn capturing(&self, thread: &str) -> &[usize] {
        self.threads.get(thread).map_or(&[], |thread| &thread.capturing)
    }

    /// Every `${name}` must be captured by this reply or an earlier one of its thread.
    fn check_names(&self) -> Result<()> {
        for reply in &self.replies {
            let capturing = self.capturing(&reply.thread).iter();
            let earlier = capturing
                .filter_map(|position| self.reply(&reply.thread, *position))
                .take_while(|other| other.number <= reply.number);
            let known: BTreeSet<&str> = earlier
                .filter_map(|other| other.capture.as_ref())
                .flat_map(|capture| capture.capture_names().flatten())
                .collect();
            let used = reply.answer.names();
            if let Some(name) = used.iter().find(|name| !known.contains(name.as_str())) {
                let message = format!(
                    "reply {} of `{}` (line {}) uses `${{{name}}}`, which no `capture` up to it has",
                    reply.number, self.origin, reply.line
                );
                let hint = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| {
                    format!(
                        "name a group in `capture`, as in `(?P<{name}>…)`, or write `$${{{name}}}` for the text itself"
                    )
                });
                return Err(invalid(message).with_hint(hint));
            }
        }
        Ok(())
    }
}

impl Answer {
    fn names(&self) -> Vec<String> {
        let Self::Message { text, calls, .. } = self else {
            return Vec::new();
        };
        let mut texts = vec![text.as_str()];
        for call in calls {
            match &call.arguments {
                Arguments::Json(value) => collect_texts(value, &mut texts),
                Arguments::Verbatim(text) => texts.push(text),
            }
        }
        texts.into_iter().flat_map(template::names).map(str::to_owned).collect()
    }
}

fn collect_texts<'a>(value: &'a serde_json::Value, texts: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::String(text) => texts.push(text),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect_texts(item, texts)),
        serde_json::Value::Object(fields) => fields.values().for_each(|field| collect_texts(field, texts)),
        _ => {}
    }
}

#[derive(Deserialize)]
struct FileScript {
    #[serde(default)]
    reply: Vec<Spanned<FileReply>>,
}

#[derive(Deserialize)]
struct FileReply {
    #[serde(default)]
    expect: FileExpect,
    capture: Option<Spanned<String>>,
    text: Option<String>,
    #[serde(default)]
    calls: Vec<FileCall>,
    finish_reason: Option<String>,
    usage: Option<Usage>,
    chunk: Option<usize>,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    retries: u32,
    error: Option<FileError>,
    #[serde(default)]
    hang: bool,
}

#[derive(Deserialize, Default)]
struct FileExpect {
    last: Option<Spanned<String>>,
    instructions: Option<Spanned<String>>,
    tools: Option<Vec<String>>,
    thread: Option<String>,
    messages: Option<usize>,
    failed: Option<bool>,
}

#[derive(Deserialize)]
struct FileCall {
    id: Option<String>,
    name: String,
    #[serde(default = "no_arguments")]
    arguments: Spanned<toml::Value>,
}

fn no_arguments() -> Spanned<toml::Value> {
    Spanned::new(0..0, toml::Value::Table(toml::Table::new()))
}

#[derive(Deserialize)]
struct FileError {
    code: String,
    message: String,
    #[serde(default)]
    retryable: bool,
}

const REPLY_KEYS: &[&str] = &[
    "expect",
    "capture",
    "text",
    "calls",
    "finish_reason",
    "usage",
    "chunk",
    "delay_ms",
    "retries",
    "error",
    "hang",
];
const EXPECT_KEYS: &[&str] = &["last", "instructions", "tools", "thread", "messages", "failed"];
const CALL_KEYS: &[&str] = &["id", "name", "arguments"];
const USAGE_KEYS: &[&str] = &["input_tokens", "output_tokens", "cached_tokens"];
const ERROR_KEYS: &[&str] = &["code", "message", "retryable"];

/// A script as text: turns offsets into lines.
#[derive(Clone, Copy)]
struct File<'a> {
    text: &'a str,
    origin: &'a str,
}

impl File<'_> {
    fn line(&self, offset: usize) -> usize {
        self.text[..offset.min(self.text.len())].matches('\n').count() + 1
    }

    fn syntax(&self, error: &toml::de::Error) -> Error {
        let line = self.line(error.span().map_or(0, |span| span.start));
        invalid(format!(
            "line {line} of `{}` is not a script: {}",
            self.origin,
            error.message().replace('\n', ", ")
        ))
        .with_hint("a script is TOML: a list of `[[reply]]`, each with `text`, `calls`, `error` or `hang`")
    }

    /// Finds unknown keys at every depth, before the types are looked at: a misspelt key is then named as such.
    fn check_keys(&self) -> Result<()> {
        let table = toml::de::DeTable::parse(self.text).map_err(|error| self.syntax(&error))?;
        let root = table.get_ref();
        self.check_table(root, "the script", &["reply"])?;
        for reply in tables(root.get("reply")) {
            self.check_table(reply, "`[[reply]]`", REPLY_KEYS)?;
            for (key, known) in [
                ("expect", EXPECT_KEYS),
                ("calls", CALL_KEYS),
                ("usage", USAGE_KEYS),
                ("error", ERROR_KEYS),
            ] {
                for table in tables(reply.get(key)) {
                    self.check_table(table, &format!("`{key}`"), known)?;
                }
            }
        }
        Ok(())
    }

    fn check_table(&self, table: &toml::de::DeTable<'_>, place: &str, known: &[&str]) -> Result<()> {
        let Some(key) = table.keys().find(|key| !known.contains(&key.get_ref().as_ref())) else {
            return Ok(());
        };
        let line = self.line(key.span().start);
        let message = format!(
            "line {line} of `{}`: {place} has no key `{}`",
            self.origin,
            key.get_ref()
        );
        let hint = did_you_mean(key.get_ref(), known.iter().copied())
            .unwrap_or_else(|| format!("its keys are {}", quoted(known.iter().copied())));
        Err(invalid(message).with_hint(hint))
    }

    fn reply(&self, number: usize, reply: Spanned<FileReply>) -> Result<Reply> {
        let line = self.line(reply.span().start);
        let mut file = reply.into_inner();
        let wrong = |problem: &str| invalid(format!("reply {number} of `{}` (line {line}) {problem}", self.origin));
        if file.chunk == Some(0) {
            return Err(wrong("has `chunk = 0`, but at least 1 character must go into a delta"));
        }
        Ok(Reply {
            number,
            line,
            thread: file.expect.thread.take().unwrap_or_else(|| MAIN_THREAD.to_owned()),
            chunk: file.chunk.unwrap_or(DEFAULT_CHUNK),
            delay: Duration::from_millis(file.delay_ms),
            retries: file.retries,
            capture: self.regex("capture", file.capture.take())?,
            expect: self.expect(std::mem::take(&mut file.expect))?,
            answer: self.answer(file, wrong)?,
        })
    }

    fn expect(&self, file: FileExpect) -> Result<Expect> {
        Ok(Expect {
            last: self.regex("expect.last", file.last)?,
            instructions: self.regex("expect.instructions", file.instructions)?,
            tools: file.tools,
            messages: file.messages,
            failed: file.failed,
        })
    }

    fn regex(&self, key: &str, pattern: Option<Spanned<String>>) -> Result<Option<Regex>> {
        let Some(pattern) = pattern else { return Ok(None) };
        Regex::new(pattern.get_ref()).map(Some).map_err(|error| {
            let line = self.line(pattern.span().start);
            let message = format!(
                "line {line} of `{}`: `{key}` is not a regular expression: `{}`",
                self.origin,
                pattern.get_ref()
            );
            let reason = error.to_string();
            let reason = reason
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            invalid(message).with_source(error).with_hint(format!(
                "{reason}; a plain text needs `\\` before . * + ? ( ) [ ] {{ }} ^ $ |"
            ))
        })
    }

    fn answer(&self, file: FileReply, wrong: impl Fn(&str) -> Error) -> Result<Answer> {
        let speaks = file.text.is_some() || !file.calls.is_empty();
        if file.retries > 0 && !speaks {
            return Err(wrong("has `retries`, but nothing that follows them")
                .with_hint("`retries` goes with `text` or `calls`: that is what the last request gets"));
        }
        match (speaks, file.error, file.hang) {
            (true, None, false) => {}
            (false, Some(error), false) => return Ok(Answer::Fails(error.into())),
            (false, None, true) => return Ok(Answer::Hangs),
            (false, None, false) => {
                return Err(wrong("answers nothing").with_hint("add `text`, `calls`, `error` or `hang = true`"));
            }
            _ => {
                return Err(wrong("answers in more than one way")
                    .with_hint("`error`, `hang`, and `text` with `calls` exclude each other"));
            }
        }
        Ok(Answer::Message {
            text: file.text.unwrap_or_default(),
            calls: file
                .calls
                .into_iter()
                .map(|call| self.call(call))
                .collect::<Result<_>>()?,
            finish_reason: file.finish_reason,
            usage: file.usage.unwrap_or_default(),
        })
    }

    fn call(&self, call: FileCall) -> Result<Call> {
        let line = self.line(call.arguments.span().start);
        let arguments = match call.arguments.into_inner() {
            toml::Value::String(text) => Arguments::Verbatim(text),
            table @ toml::Value::Table(_) => Arguments::Json(json(table)),
            other => {
                return Err(invalid(format!(
                    "line {line} of `{}`: `arguments` of `{}` is of type {}, but a table or a string is wanted",
                    self.origin,
                    call.name,
                    other.type_str()
                )));
            }
        };
        Ok(Call {
            id: call.id,
            name: call.name,
            arguments,
        })
    }
}

impl From<FileError> for Error {
    fn from(file: FileError) -> Self {
        let error = Self::new(ErrorKind::Model, file.code, file.message);
        if file.retryable { error.retryable() } else { error }
    }
}

/// The table in a value, or the tables in its list.
fn tables<'a>(value: Option<&'a Spanned<toml::de::DeValue<'a>>>) -> Vec<&'a toml::de::DeTable<'a>> {
    match value.map(Spanned::get_ref) {
        Some(toml::de::DeValue::Table(table)) => vec![table],
        Some(toml::de::DeValue::Array(items)) => items.iter().filter_map(|item| item.get_ref().as_table()).collect(),
        _ => Vec::new(),
    }
}

/// What JSON lacks becomes the nearest that it has: a date is text, an infinite number is null.
fn json(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(fields) => fields.into_iter().map(|(key, field)| (key, json(field))).collect(),
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Config, "script-invalid", message)
}

fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let slips = (word.chars().count() / 3).max(1);
    known
        .filter(|known| strsim::jaro_winkler(word, known) > 0.8 || strsim::damerau_levenshtein(word, known) <= slips)
        .map(|known| (strsim::jaro_winkler(word, known), known))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| format!("did you mean `{known}`?"))
}

fn quoted<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
