//! What was written, as one tree in which every key and value has its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use sandbar_protocol::Error;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::origin::{Layer, LayerKind, Place, Places, Setting, Written};
use super::problem::problem;

/// A merged document: its root is a table.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) root: Table,
}

pub(super) type Table = BTreeMap<String, Node>;

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Written,
    pub(super) content: Content,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    Table(Table),
    List(Vec<Node>),
    /// Neither an object nor a list.
    Plain(Value),
    /// What TOML has and JSON has not; the text says what.
    Foreign(&'static str),
}

impl Document {
    /// Reads one file.
    pub(super) fn parse(text: &str, layer: Arc<Layer>) -> Result<Self, Error> {
        let reader = Reader { text, layer };
        let table = DeTable::parse(text).map_err(|error| {
            let place = reader.place(error.span().map_or(0, |span| span.start));
            problem(Some(&place), "syntax", &error.message().replace('\n', ", "))
                .with_hint("the file is TOML: `key = value` lines under `[section]` headers, texts in quotes")
        })?;
        Ok(Self {
            root: reader.table(table.get_ref()),
        })
    }

    /// Puts `over` on top, key by key.
    pub(super) fn merge(&mut self, over: Self) {
        merge(&mut self.root, over.root);
    }

    /// Sets one value that a flag or a variable gives; what stands in the way of its path is replaced.
    pub(super) fn set(&mut self, path: &[String], content: Content, layer: &Arc<Layer>) {
        let place = Place {
            layer: Arc::clone(layer),
            line: 1,
            column: 1,
        };
        let at = Written {
            key: place.clone(),
            value: place,
        };
        let wrap = |content, key: &String| {
            let node = Node {
                at: at.clone(),
                content,
            };
            Content::Table(Table::from([(key.clone(), node)]))
        };
        if let Content::Table(root) = path.iter().rev().fold(content, wrap) {
            self.merge(Self { root });
        }
    }

    /// The same for a value of JSON.
    pub(super) fn set_json(&mut self, path: &[String], value: &Value, layer: &Arc<Layer>) {
        let place = Place {
            layer: Arc::clone(layer),
            line: 1,
            column: 1,
        };
        let at = Written {
            key: place.clone(),
            value: place,
        };
        self.set(path, content(value, &at), layer);
    }

    /// The path as it is written in this document, where case and `-` are lost in a variable's name.
    pub(super) fn spelt(&self, path: &[&str]) -> Vec<String> {
        let mut table = Some(&self.root);
        path.iter()
            .map(|segment| {
                let segment = segment.to_ascii_lowercase().replace('-', "_");
                let key = table
                    .and_then(|table| {
                        table
                            .keys()
                            .find(|key| key.to_ascii_lowercase().replace('-', "_") == segment)
                    })
                    .cloned()
                    .unwrap_or(segment);
                table = match table.and_then(|table| table.get(&key)).map(|node| &node.content) {
                    Some(Content::Table(inner)) => Some(inner),
                    _ => None,
                };
                key
            })
            .collect()
    }

    /// The keys of a table at the root.
    pub(super) fn names(&self, section: &str) -> Vec<String> {
        match self.root.get(section).map(|node| &node.content) {
            Some(Content::Table(table)) => table.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn places(&self) -> Places {
        let mut places = Places::default();
        visit(&self.root, "", &mut |key, node| {
            places.0.insert(key.to_owned(), node.at.clone());
        });
        places
    }

    /// The values that were written; a list is one value.
    pub(super) fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        visit(&self.root, "", &mut |key, node| {
            if !matches!(node.content, Content::Table(_)) && !key.contains('[') {
                settings.push(Setting {
                    key: key.to_owned(),
                    value: node.json(),
                    origin: node.at.value.origin(),
                });
            }
        });
        settings
    }

    pub(super) fn json(&self) -> Value {
        json(&self.root)
    }
}

fn content(value: &Value, at: &Written) -> Content {
    let node = |value: &Value| Node {
        at: at.clone(),
        content: content(value, at),
    };
    match value {
        Value::Object(fields) => Content::Table(fields.iter().map(|(key, field)| (key.clone(), node(field))).collect()),
        Value::Array(items) => Content::List(items.iter().map(node).collect()),
        plain => Content::Plain(plain.clone()),
    }
}

impl Node {
    pub(super) fn json(&self) -> Value {
        match &self.content {
            Content::Table(table) => json(table),
            Content::List(items) => items.iter().map(Self::json).collect(),
            Content::Plain(value) => value.clone(),
            Content::Foreign(_) => Value::Null,
        }
    }
}

fn json(table: &Table) -> Value {
    table.iter().map(|(key, node)| (key.clone(), node.json())).collect()
}

fn merge(under: &mut Table, over: Table) {
    for (key, node) in over {
        match (under.get_mut(&key).map(|old| &mut old.content), node) {
            (
                Some(Content::Table(old)),
                Node {
                    content: Content::Table(new),
                    ..
                },
            ) => merge(old, new),
            (_, node) => {
                under.insert(key, node);
            }
        }
    }
}

fn visit(table: &Table, prefix: &str, see: &mut dyn FnMut(&str, &Node)) {
    for (key, node) in table {
        let separator = if prefix.is_empty() { "" } else { "." };
        visit_node(node, &format!("{prefix}{separator}{}", dotted(key)), see);
    }
}

fn visit_node(node: &Node, key: &str, see: &mut dyn FnMut(&str, &Node)) {
    see(key, node);
    match &node.content {
        Content::Table(table) => visit(table, key, see),
        Content::List(items) => {
            for (index, item) in items.iter().enumerate() {
                visit_node(item, &format!("{key}[{index}]"), see);
            }
        }
        Content::Plain(_) | Content::Foreign(_) => {}
    }
}

/// A key as it stands in a dotted path: quoted unless it is bare.
pub(super) fn dotted(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if bare { key.to_owned() } else { format!("{key:?}") }
}

/// A value that a flag or a variable gives, read as TOML; none if it is not.
pub(super) fn parse_value(text: &str, layer: &Arc<Layer>) -> Option<Content> {
    let value = DeValue::parse(text).ok()?;
    let reader = Reader {
        text,
        layer: Arc::clone(layer),
    };
    Some(reader.content(value.get_ref()))
}

struct Reader<'a> {
    text: &'a str,
    layer: Arc<Layer>,
}

impl Reader<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let in_file = self.layer.kind <= LayerKind::ProjectFile;
        Place {
            layer: Arc::clone(&self.layer),
            line: if in_file { before.matches('\n').count() + 1 } else { 1 },
            column: if in_file {
                before[line_start..].chars().count() + 1
            } else {
                1
            },
        }
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        table
            .iter()
            .map(|(key, value)| {
                let at = Written {
                    key: self.place(key.span().start),
                    value: self.place(value.span().start),
                };
                let content = self.content(value.get_ref());
                (key.get_ref().clone().into_owned(), Node { at, content })
            })
            .collect()
    }

    fn content(&self, value: &DeValue<'_>) -> Content {
        match value {
            DeValue::String(text) => Content::Plain(text.as_ref().into()),
            DeValue::Boolean(flag) => Content::Plain((*flag).into()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Content::Plain(number.into()),
                Err(_) => Content::Foreign("an integer of more than 64 bits"),
            },
            DeValue::Float(number) => match number.as_str().parse().ok().and_then(serde_json::Number::from_f64) {
                Some(number) => Content::Plain(Value::Number(number)),
                None => Content::Foreign("a number that isn't finite"),
            },
            DeValue::Datetime(_) => Content::Foreign("a date"),
            DeValue::Array(items) => Content::List(items.iter().map(|item| self.item(item)).collect()),
            DeValue::Table(table) => Content::Table(self.table(table)),
        }
    }

    fn item(&self, item: &Spanned<DeValue<'_>>) -> Node {
        let place = self.place(item.span().start);
        Node {
            at: Written {
                key: place.clone(),
                value: place,
            },
            content: self.content(item.get_ref()),
        }
    }
}
