//! `sandbar generate-event-reference`: all kinds of events as Markdown, for `docs/reference/events.md`.
//!
//! What is said of kinds and fields is what the sources say: the page is written from the schema of `Event`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sandbar::protocol::{Delta, DeltaKind, Event};
use serde_json::{Map, Value, json};

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::terminal::{Stream, Terminal};

/// What no schema can say.
const PREFACE: &str = include_str!("event_reference/preface.md");

/// An event of each kind, a line each.
const EXAMPLES: &str = include_str!("event_reference/examples.jsonl");

/// Print a reference of all events in Markdown
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct GenerateEventReference {}

impl GenerateEventReference {
    pub(crate) fn run(self, terminal: &Terminal) -> Outcome {
        terminal.write(Stream::Out, &reference());
        Ok(Exit::Ok)
    }
}

fn reference() -> String {
    let (event, delta) = (Event::schema(), Delta::schema());
    let mut page = Page {
        text: PREFACE.to_owned(),
        types: event["$defs"].as_object().cloned().unwrap_or_default(),
        named: BTreeSet::new(),
    };
    page.heading(2, "What every event has");
    page.table(&event);
    page.heading(2, "The kinds");
    for kind in branches(&event) {
        let name = kind["properties"]["type"]["const"].as_str().unwrap_or_default();
        page.heading(3, &format!("`{name}`"));
        page.paragraph(kind);
        page.table(kind);
        page.example(&example(name).unwrap_or_default());
    }
    page.heading(2, "What a preview has");
    page.types
        .extend(delta["$defs"].as_object().cloned().unwrap_or_default());
    page.table(&delta);
    let shown = Delta {
        kind: DeltaKind::Model,
        effect: "r-1.1".into(),
        started: 3,
        attempt: 1,
        offset: 2,
        text: "look.".to_owned(),
    };
    page.example(&json_text(&shown));
    page.described_types();
    page.text
}

/// A page that is being written, and the types that it has named and must describe.
struct Page {
    text: String,
    types: Map<String, Value>,
    named: BTreeSet<String>,
}

/// One row of a table.
struct Field {
    name: String,
    kind: String,
    meaning: String,
}

impl Page {
    fn heading(&mut self, level: usize, title: &str) {
        let _ = write!(self.text, "\n{} {title}\n", "#".repeat(level));
    }

    fn paragraph(&mut self, schema: &Value) {
        let meaning = meaning(schema);
        if !meaning.is_empty() {
            let _ = write!(self.text, "\n{meaning}\n");
        }
    }

    fn example(&mut self, json: &str) {
        let _ = write!(self.text, "\n```json\n{json}\n```\n");
    }

    /// The fields of an object; nothing where it has none.
    fn table(&mut self, schema: &Value) {
        let fields = self.fields(schema);
        if fields.is_empty() {
            return;
        }
        self.text.push_str("\n| field | type | |\n| --- | --- | --- |\n");
        for Field { name, kind, meaning } in fields {
            let _ = writeln!(self.text, "| `{name}` | {kind} | {} |", meaning.replace('|', "\\|"));
        }
    }

    fn fields(&mut self, schema: &Value) -> Vec<Field> {
        let mut fields = Vec::new();
        // A kind that is another type, or has one of several fields, has the fields of both.
        if let Some(target) = self.target(schema) {
            fields.extend(self.fields(&target));
        }
        let required: Vec<&str> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let is_one_of_several = schema.get("const").is_none() && schema["type"] == "object";
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(word) = field["const"].as_str() {
                fields.insert(
                    0,
                    Field {
                        name: name.clone(),
                        kind: format!("`{word}`"),
                        meaning: String::new(),
                    },
                );
                continue;
            }
            let field = self.field(name, field, required.contains(&name.as_str()));
            let place = if name == "type" { 0 } else { fields.len() };
            fields.insert(place, field);
        }
        for branch in schema["oneOf"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|_| is_one_of_several)
        {
            for (name, field) in branch["properties"].as_object().into_iter().flatten() {
                let described = json!({ "description": branch["description"], "$ref": field["$ref"] });
                fields.push(self.field(name, &described, false));
            }
        }
        fields
    }

    fn field(&mut self, name: &str, schema: &Value, is_required: bool) -> Field {
        let mut kind = self.kind(schema);
        if is_required && may_be_null(schema) {
            kind.push_str(" or null");
        }
        let mut meaning = meaning(schema);
        if meaning.is_empty() {
            meaning = self
                .target(schema)
                .map(|target| self::meaning(&target))
                .unwrap_or_default();
        }
        if !is_required && !meaning.contains("bsent") {
            meaning = format!("{meaning} May be absent.").trim_start().to_owned();
        }
        Field {
            name: name.to_owned(),
            kind,
            meaning,
        }
    }

    /// A type in words, with a link where it is described.
    fn kind(&mut self, schema: &Value) -> String {
        if let Some(name) = type_name(schema) {
            let target = self.types.get(name).cloned().unwrap_or_default();
            if is_plain_text(&target) {
                return "text".to_owned();
            }
            self.named.insert(name.to_owned());
            return format!("[{name}](#{})", name.to_lowercase());
        }
        if let Some(some) = branches(schema).iter().find(|branch| branch["type"] != "null") {
            return self.kind(some);
        }
        let words = match &schema["type"] {
            Value::Array(words) => words[0].as_str(),
            word => word.as_str(),
        };
        match words {
            Some("array") => format!("list of {}", self.kind(&schema["items"])),
            Some("integer") => "number".to_owned(),
            Some("boolean") => "true or false".to_owned(),
            Some("string") => "text".to_owned(),
            _ => "any JSON".to_owned(),
        }
    }

    fn target(&self, schema: &Value) -> Option<Value> {
        self.types.get(type_name(schema)?).cloned()
    }

    /// Types in the order of their names; describing one may name others.
    fn described_types(&mut self) {
        self.heading(2, "Types");
        let mut done = BTreeSet::new();
        let mut sections = Vec::new();
        while let Some(name) = self.named.difference(&done).next().cloned() {
            let schema = self.types.get(&name).cloned().unwrap_or_default();
            let before = std::mem::take(&mut self.text);
            self.heading(3, &name);
            self.describe(&schema);
            sections.push((name.clone(), std::mem::replace(&mut self.text, before)));
            done.insert(name);
        }
        sections.sort();
        self.text.extend(sections.into_iter().map(|(_, section)| section));
    }

    fn describe(&mut self, schema: &Value) {
        self.paragraph(schema);
        let words = words(schema);
        if !words.is_empty() {
            self.text.push_str("\n| word | |\n| --- | --- |\n");
            for (word, meaning) in words {
                let _ = writeln!(self.text, "| `{word}` | {meaning} |");
            }
        } else if schema["properties"].is_object() {
            self.table(schema);
        } else {
            self.text.push_str("\nOne of:\n");
            for branch in branches(schema) {
                self.paragraph(branch);
                self.table(branch);
            }
        }
    }
}

/// An example of that kind, as it is written.
fn example(kind: &str) -> Option<String> {
    let events = EXAMPLES
        .lines()
        .filter_map(|line| serde_json::from_str::<Event>(line).ok());
    let event = events.into_iter().find(|event| event.body.name() == kind)?;
    Some(json_text(&event))
}

fn json_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn branches(schema: &Value) -> &[Value] {
    let list = schema.get("anyOf").or_else(|| schema.get("oneOf"));
    list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn type_name(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

fn may_be_null(schema: &Value) -> bool {
    let is_null = |word: &Value| word == "null";
    schema["type"].as_array().is_some_and(|words| words.iter().any(is_null))
        || branches(schema).iter().any(|branch| is_null(&branch["type"]))
}

/// Ids: a text whose form is nobody's business.
fn is_plain_text(schema: &Value) -> bool {
    schema["type"] == "string" && schema.get("enum").is_none()
}

/// The words of a type that is one of some, and what they mean.
fn words(schema: &Value) -> Vec<(String, String)> {
    let listed = |schema: &Value| {
        let words = schema["enum"].as_array().into_iter().flatten();
        let words = words.chain(schema.get("const")).filter_map(Value::as_str);
        words.map(|word| (word.to_owned(), meaning(schema))).collect::<Vec<_>>()
    };
    let mut words: Vec<_> = branches(schema).iter().flat_map(listed).collect();
    let own = schema["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    words.extend(own.map(|word| (word.to_owned(), String::new())));
    words
}

/// The first paragraph of a description, as sentences.
fn meaning(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let first = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    if first.is_empty() || first.ends_with(['.', '?']) {
        first
    } else {
        format!("{first}.")
    }
}

#[cfg(test)]
mod tests {
    use sandbar::protocol::EventBody;

    use super::*;

    #[test]
    fn every_kind_has_an_example() {
        let kinds: Vec<String> = EXAMPLES
            .lines()
            .map(|line| {
                let event: Event = serde_json::from_str(line).unwrap();
                let written = serde_json::to_value(&event).unwrap();
                assert_eq!(
                    written,
                    serde_json::from_str::<Value>(line).unwrap(),
                    "what is read is what is written"
                );
                event.body.name().to_owned()
            })
            .collect();
        assert_eq!(kinds, EventBody::NAMES);
    }

    #[test]
    fn every_field_is_described() {
        let text = reference();
        for expected in [
            "## What a preview has",
            "| `sequence` | number | 1, 2, 3 … without a gap in a session. |",
            "| `output` | [ToolOutput](#tooloutput) | What the tool gave; absent if it failed. |",
            "| `type` | `run.finished` |  |",
            "| `result` | [RunResult](#runresult) | How it ended, and what it took. |",
            "| `workspace` | text or null |",
            "| `timeout` | The run's wall time is over. |",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
        }
        for name in EventBody::NAMES {
            assert!(text.contains(&format!("\n### `{name}`\n")), "{name}");
        }
    }
}
