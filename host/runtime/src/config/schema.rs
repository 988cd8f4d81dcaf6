//! The JSON Schema of the file, and a reader of the few forms that it has.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::file::FileConfig;

/// A name of an agent, a model, a plugin or a mount.
pub(super) const NAME: &str = "^[A-Za-z0-9_-]{1,40}$";

/// Marks a text that refers to a secret.
pub(super) const SECRET_FORMAT: &str = "secret-reference";

pub(super) fn generate() -> Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let schema = SchemaSettings::draft2020_12()
            .into_generator()
            .into_root_schema_for::<FileConfig>();
        let mut schema = schema.to_value();
        tidy(&mut schema);
        schema
    });
    SCHEMA.clone()
}

/// TOML has no null: what may be left out is not in `required`, and that says all. Descriptions lose the line breaks that comments in
/// the source have.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|key, value| key != "default" || !value.is_null());
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if types.len() == 1 {
                    let only = types.remove(0);
                    fields.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type") != Some(&Value::from("null")));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    fields.remove("anyOf");
                    fields.extend(only);
                }
            }
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// A part of a schema, with the root that its references need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema<'a> {
    root: &'a Value,
    part: &'a Value,
}

/// What a schema wants.
#[derive(Debug)]
pub(super) enum Wanted<'a> {
    Anything,
    Table(Fields<'a>),
    /// Tables that a word in the field `tag` tells apart.
    OneOf {
        tag: &'a str,
        branches: Vec<(&'a str, Schema<'a>)>,
    },
    /// A text, or a table that says more.
    TextOr(Fields<'a>),
    List(Option<Schema<'a>>),
    Choice(Vec<&'a str>),
    Text,
    Name,
    Secret,
    Integer {
        least: i64,
        most: i64,
    },
    Number {
        least: f64,
        most: f64,
    },
    Flag,
}

/// The fields of a table.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    root: &'a Value,
    properties: Option<&'a Map<String, Value>>,
    /// The schema of further fields; none forbids them.
    further: Option<&'a Value>,
    required: Vec<&'a str>,
    /// Whether the keys are names that the user makes up.
    pub(super) named: bool,
}

impl<'a> Schema<'a> {
    pub(super) fn root(root: &'a Value) -> Self {
        Self { root, part: root }
    }

    pub(super) fn wanted(self) -> Wanted<'a> {
        let mut part = self.part;
        while let Some(target) = part.get("$ref").and_then(Value::as_str) {
            part = self
                .root
                .pointer(target.trim_start_matches('#'))
                .unwrap_or(&Value::Null);
        }
        if let Some(choices) = part.get("oneOf").and_then(Value::as_array) {
            return self.one_of(choices);
        }
        if let Some(choices) = part.get("anyOf").and_then(Value::as_array) {
            let tables = choices.iter().map(|choice| self.with(choice).wanted());
            if let Some(fields) = tables.into_iter().find_map(|wanted| match wanted {
                Wanted::Table(fields) => Some(fields),
                _ => None,
            }) {
                return Wanted::TextOr(fields);
            }
        }
        if let Some(words) = part.get("enum").and_then(Value::as_array) {
            return Wanted::Choice(words.iter().filter_map(Value::as_str).collect());
        }
        if let Some(word) = part.get("const").and_then(Value::as_str) {
            return Wanted::Choice(vec![word]);
        }
        match part.get("type").and_then(Value::as_str) {
            Some("object") => Wanted::Table(self.fields(part)),
            Some("array") => Wanted::List(part.get("items").map(|items| self.with(items))),
            Some("string") => text(part),
            Some("boolean") => Wanted::Flag,
            Some("integer") => Wanted::Integer {
                least: part.get("minimum").and_then(Value::as_i64).unwrap_or(i64::MIN),
                most: part
                    .get("maximum")
                    .and_then(Value::as_i64)
                    .unwrap_or_else(|| format_maximum(part)),
            },
            Some("number") => Wanted::Number {
                least: part.get("minimum").and_then(Value::as_f64).unwrap_or(f64::MIN),
                most: part.get("maximum").and_then(Value::as_f64).unwrap_or(f64::MAX),
            },
            _ => Wanted::Anything,
        }
    }

    /// The schema of what a path leads to; none where nothing is known of it.
    pub(super) fn at(self, path: &[String]) -> Option<Self> {
        let Some((key, rest)) = path.split_first() else {
            return Some(self);
        };
        match self.wanted() {
            Wanted::Table(fields) => fields.get(key)?.at(rest),
            Wanted::OneOf { branches, .. } => branches.into_iter().find_map(|(_, branch)| branch.at(path)),
            _ => None,
        }
    }

    fn with(self, part: &'a Value) -> Self {
        Self { root: self.root, part }
    }

    fn one_of(self, choices: &'a [Value]) -> Wanted<'a> {
        let words: Vec<&str> = choices
            .iter()
            .filter_map(|choice| choice.get("const")?.as_str())
            .collect();
        if words.len() == choices.len() {
            return Wanted::Choice(words);
        }
        let mut tag = "";
        let branches = choices
            .iter()
            .filter_map(|choice| {
                let (name, word) = choice
                    .get("properties")?
                    .as_object()?
                    .iter()
                    .find_map(|(name, field)| Some((name, field.get("const")?.as_str()?)))?;
                tag = name;
                Some((word, self.with(choice)))
            })
            .collect();
        Wanted::OneOf { tag, branches }
    }

    fn fields(self, part: &'a Value) -> Fields<'a> {
        let further = part
            .get("additionalProperties")
            .filter(|further| **further != Value::Bool(false));
        Fields {
            root: self.root,
            properties: part.get("properties").and_then(Value::as_object),
            further,
            required: part
                .get("required")
                .and_then(Value::as_array)
                .map(|words| words.iter().filter_map(Value::as_str).collect())
                .unwrap_or_default(),
            named: part.get("propertyNames").is_some(),
        }
    }
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, key: &str) -> Option<Schema<'a>> {
        let part = self
            .properties
            .and_then(|properties| properties.get(key))
            .or(self.further)?;
        Some(Schema { root: self.root, part })
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.properties.into_iter().flat_map(Map::keys).map(String::as_str)
    }

    pub(super) fn required(&self) -> &[&'a str] {
        &self.required
    }
}

fn text(part: &Value) -> Wanted<'_> {
    if part.get("format").and_then(Value::as_str) == Some(SECRET_FORMAT) {
        Wanted::Secret
    } else if part.get("pattern").and_then(Value::as_str) == Some(NAME) {
        Wanted::Name
    } else {
        Wanted::Text
    }
}

/// The schema says `uint32` as a format, which validators ignore; the type that is filled from it does not.
fn format_maximum(part: &Value) -> i64 {
    match part.get("format").and_then(Value::as_str) {
        Some("uint32") => u32::MAX.into(),
        _ => i64::MAX,
    }
}
