//! Compares the merged tree with the schema: unknown keys, missing ones, wrong types, at every depth and all at once.
//!
//! What is wrong is reported and taken out, so that what is left can be read into types, and looked at for further problems.

use sandbar_protocol::Error;
use serde_json::Value;

use super::document::{Content, Document, Node, Table, dotted};
use super::origin::Place;
use super::problem::{alternatives, did_you_mean, problem, suggest};
use super::schema::{Fields, Schema, Wanted};
use super::secrets::SecretRef;

/// Reports every difference, and leaves a document that fits.
pub(super) fn check(document: &mut Document, schema: &Value) -> Vec<Error> {
    let mut problems = Vec::new();
    if let Wanted::Table(fields) = Schema::root(schema).wanted() {
        check_table(&mut document.root, &fields, "", None, &mut problems);
    }
    problems
}

/// Whether a text is a name that a user may give.
pub(super) fn is_name(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// False if the value had to be reported and can't stay.
fn check_node(node: &mut Node, schema: Schema<'_>, path: &str, problems: &mut Vec<Error>) -> bool {
    let at = &node.at.value;
    let foreign = match &node.content {
        Content::Foreign(what) => Some(*what),
        _ => None,
    };
    match (schema.wanted(), &mut node.content) {
        (Wanted::Anything, content) => check_anything(content, at, path, problems),
        (Wanted::Table(fields) | Wanted::TextOr(fields), Content::Table(table)) => {
            check_table(table, &fields, path, Some(&node.at.key), problems)
        }
        (Wanted::OneOf { tag, branches }, Content::Table(table)) => {
            check_one_of(table, (tag, &branches), path, &node.at.key, problems)
        }
        (Wanted::List(items), Content::List(list)) => {
            // A bad item takes its list along: the places of the others are counted from its start.
            let mut fits = true;
            for (index, item) in list.iter_mut().enumerate() {
                fits &= items.is_none_or(|items| check_node(item, items, &format!("{path}[{index}]"), problems));
            }
            fits
        }
        (wanted, Content::Plain(value)) => match check_plain(&wanted, value) {
            Ok(()) => true,
            Err(complaint) => {
                problems.push(complaint.at(at, path));
                false
            }
        },
        (wanted, content) => {
            let found = foreign.unwrap_or_else(|| found(content));
            problems.push(Complaint::wrong_type(&wanted, found).at(at, path));
            false
        }
    }
}

fn check_table(
    table: &mut Table,
    fields: &Fields<'_>,
    path: &str,
    at: Option<&Place>,
    problems: &mut Vec<Error>,
) -> bool {
    let mut fits = true;
    for key in fields.required().iter().filter(|key| !table.contains_key(**key)) {
        problems.push(
            problem(at, "missing-key", &format!("`{path}` has no `{key}`")).with_hint(format!("add `{key} = …`")),
        );
        fits = false;
    }
    table.retain(|key, node| {
        let inner = if path.is_empty() {
            dotted(key)
        } else {
            format!("{path}.{}", dotted(key))
        };
        let Some(schema) = fields.get(key) else {
            problems.push(unknown_key(key, fields, path, &node.at.key));
            return false;
        };
        if fields.named && !is_name(key) {
            problems.push(bad_name().at(&node.at.key, &inner));
            return false;
        }
        let stays = check_node(node, schema, &inner, problems);
        fits &= stays || !fields.required().contains(&key.as_str());
        stays
    });
    fits
}

fn check_one_of(
    table: &mut Table,
    (tag, branches): (&str, &[(&str, Schema<'_>)]),
    path: &str,
    at: &Place,
    problems: &mut Vec<Error>,
) -> bool {
    let words: Vec<&str> = branches.iter().map(|(word, _)| *word).collect();
    let Some(node) = table.get(tag) else {
        let message = format!("`{path}` has no `{tag}`");
        problems
            .push(problem(Some(at), "missing-key", &message).with_hint(format!("`{tag}` is {}", alternatives(&words))));
        return false;
    };
    let written = match &node.content {
        Content::Plain(Value::String(word)) => branches.iter().find(|(known, _)| known == word),
        _ => None,
    };
    match written.map(|(_, branch)| branch.wanted()) {
        Some(Wanted::Table(fields)) => check_table(table, &fields, path, Some(at), problems),
        _ => {
            let complaint = match &node.content {
                Content::Plain(Value::String(word)) => Complaint::unknown_word(word, &words),
                content => Complaint::wrong_type(&Wanted::Choice(words), found(content)),
            };
            problems.push(complaint.at(&node.at.value, &format!("{path}.{tag}")));
            false
        }
    }
}

/// A plugin's own values may be of any type that JSON has too.
fn check_anything(content: &mut Content, at: &Place, path: &str, problems: &mut Vec<Error>) -> bool {
    match content {
        Content::Foreign(what) => {
            let complaint = Complaint::new("wrong-type", format!("is {what}, but plugins get JSON"));
            problems.push(complaint.hint("write it as a text").at(at, path));
            return false;
        }
        Content::Table(table) => table.retain(|key, node| {
            let inner = format!("{path}.{}", dotted(key));
            check_anything(&mut node.content, &node.at.value, &inner, problems)
        }),
        Content::List(items) => {
            items.retain_mut(|item| check_anything(&mut item.content, &item.at.value, path, problems));
        }
        Content::Plain(_) => {}
    }
    true
}

fn check_plain(wanted: &Wanted<'_>, value: &Value) -> Result<(), Complaint> {
    match (wanted, value) {
        (Wanted::Text | Wanted::TextOr(_), Value::String(_)) | (Wanted::Flag, Value::Bool(_)) => Ok(()),
        (Wanted::Name, Value::String(text)) if is_name(text) => Ok(()),
        (Wanted::Name, Value::String(_)) => Err(bad_name()),
        (Wanted::Choice(words), Value::String(word)) if words.contains(&word.as_str()) => Ok(()),
        (Wanted::Choice(words), Value::String(word)) => Err(Complaint::unknown_word(word, words)),
        (Wanted::Secret, Value::String(text)) => match text.parse::<SecretRef>() {
            Ok(_) => Ok(()),
            Err(error) => Err(Complaint {
                code: "bad-secret",
                text: format!("is wrong: {}", error.message),
                hint: error.hint,
            }),
        },
        (Wanted::Integer { least, most }, Value::Number(number)) => match number.as_i64() {
            Some(number) if (*least..=*most).contains(&number) => Ok(()),
            Some(number) => {
                let range = if number < *least && *most >= u32::MAX.into() {
                    format!("at least {least}")
                } else {
                    format!("{least} to {most}")
                };
                Err(Complaint::new(
                    "out-of-range",
                    format!("is {number}, but {range} is wanted"),
                ))
            }
            None => Err(Complaint::wrong_type(wanted, "a fraction")),
        },
        (Wanted::Number { least, most }, Value::Number(number)) => match number.as_f64() {
            Some(number) if (*least..=*most).contains(&number) => Ok(()),
            _ if *most == f64::MAX => Err(Complaint::new(
                "out-of-range",
                format!("is {number}, but at least {least} is wanted"),
            )),
            _ => Err(Complaint::new(
                "out-of-range",
                format!("is {number}, but {least} to {most} is wanted"),
            )),
        },
        _ => Err(Complaint::wrong_type(wanted, found_plain(value))),
    }
}

/// What is wrong with a value; its place and key are added where they are known.
struct Complaint {
    code: &'static str,
    text: String,
    hint: Option<String>,
}

impl Complaint {
    fn new(code: &'static str, text: String) -> Self {
        Self { code, text, hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn unknown_word(word: &str, words: &[&str]) -> Self {
        let text = format!("is `{word}`, but {} is wanted", alternatives(words));
        let hint = did_you_mean(word, words.iter().copied());
        Self {
            hint,
            ..Self::new("unknown-word", text)
        }
    }

    fn wrong_type(wanted: &Wanted<'_>, found: &str) -> Self {
        let (what, example) = match wanted {
            Wanted::Anything => ("a value", None),
            Wanted::Table(_) | Wanted::OneOf { .. } => {
                ("a table", Some("a table is written `[section]` or `{ key = value }`"))
            }
            Wanted::TextOr(_) => (
                "a text or a table",
                Some("a text is written in quotes, a table as `{ key = value }`"),
            ),
            Wanted::List(_) => ("a list", Some("a list is written `[\"first\", \"second\"]`")),
            Wanted::Choice(_) | Wanted::Text | Wanted::Name => ("a text", Some("a text is written in quotes")),
            Wanted::Secret => (
                "a reference to a secret",
                Some("write `env:NAME` or `file:PATH` in quotes"),
            ),
            Wanted::Integer { .. } => ("a whole number", Some("a number is written without quotes")),
            Wanted::Number { .. } => ("a number", Some("a number is written without quotes")),
            Wanted::Flag => (
                "`true` or `false`",
                Some("`true` and `false` are written without quotes"),
            ),
        };
        Self {
            code: "wrong-type",
            text: format!("is {found}, but {what} is wanted"),
            hint: example.map(str::to_owned),
        }
    }

    fn at(self, place: &Place, path: &str) -> Error {
        let error = problem(Some(place), self.code, &format!("`{path}` {}", self.text));
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

fn bad_name() -> Complaint {
    Complaint::new("bad-name", "is not a name".to_owned()).hint("a name is 1 to 40 of A-Z a-z 0-9 _ -")
}

fn unknown_key(key: &str, fields: &Fields<'_>, path: &str, at: &Place) -> Error {
    let place = if path.is_empty() {
        "at the top".to_owned()
    } else {
        format!("in `{path}`")
    };
    problem(Some(at), "unknown-key", &format!("unknown key `{key}` {place}")).with_hint(suggest(
        key,
        fields.keys(),
        "known keys",
        "no key is known here",
    ))
}

fn found(content: &Content) -> &'static str {
    match content {
        Content::Table(_) => "a table",
        Content::List(_) => "a list",
        Content::Plain(value) => found_plain(value),
        Content::Foreign(what) => what,
    }
}

fn found_plain(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "a number",
        _ => "nothing",
    }
}
