//! JSON Schemas that come from outside: limited before they are compiled, and checked without look-ahead or network.

use serde_json::Value;

use crate::{Error, ErrorKind, Result, schema_cost};

/// The longest schema that is accepted, in bytes of its JSON text.
pub const MAX_SCHEMA_BYTES: usize = 64 * 1024;
/// The deepest schema, and the deepest value that is checked against one. Both are walked recursively.
pub const MAX_JSON_DEPTH: usize = 64;
/// The deepest schema: a schema's levels cost more than a value's.
pub const MAX_SCHEMA_DEPTH: usize = 32;
/// The largest compiled regular expression in a schema, in bytes: `(a{1000}){1000}` would take gigabytes.
const MAX_PATTERN_BYTES: usize = 256 * 1024;
/// How many problems of one value are named: more don't help a model to mend its call.
const MAX_PROBLEMS: usize = 5;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    validator: jsonschema::Validator,
}

impl Schema {
    /// Refuses schemas that are too long or too deep, refer to other documents, or need backtracking regular expressions.
    pub fn compile(schema: &Value) -> Result<Self> {
        let bytes = schema.to_string().len();
        if bytes > MAX_SCHEMA_BYTES {
            return Err(bad_schema(&format!(
                "it is {bytes} bytes long, the limit is {MAX_SCHEMA_BYTES}"
            )));
        }
        if depth(schema) > MAX_SCHEMA_DEPTH {
            return Err(bad_schema(&format!("it is more than {MAX_SCHEMA_DEPTH} levels deep")));
        }
        if let Some(reference) = remote_reference(schema) {
            return Err(bad_schema(&format!("it refers to another document, `{reference}`"))
                .with_hint("copy what it refers to into `$defs` and write `#/$defs/…`"));
        }
        if let Some(complaint) = schema_cost::complaint(schema) {
            return Err(bad_schema(&complaint).with_hint("refer to a definition once, and to few in a row"));
        }
        let validator = jsonschema::draft202012::options()
            .with_pattern_options(
                jsonschema::PatternOptions::regex()
                    .size_limit(MAX_PATTERN_BYTES)
                    .dfa_size_limit(MAX_PATTERN_BYTES),
            )
            .offline()
            .build(schema)
            .map_err(|error| bad_schema(&format!("at `{}`: {}", error.instance_path(), cut(&error.to_string()))))?;
        Ok(Self { validator })
    }

    /// Names what doesn't fit, at most a few problems, each with its place.
    pub fn check(&self, value: &Value) -> std::result::Result<(), Vec<String>> {
        if depth(value) > MAX_JSON_DEPTH {
            return Err(vec![format!("it is more than {MAX_JSON_DEPTH} levels deep")]);
        }
        let problems: Vec<String> = self
            .validator
            .iter_errors(value)
            .take(MAX_PROBLEMS)
            .map(|error| {
                let place = error.instance_path().to_string();
                let place = if place.is_empty() {
                    "the input".to_owned()
                } else {
                    format!("`{place}`")
                };
                format!("{place}: {}", cut(&error.to_string()))
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

fn bad_schema(why: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "bad-schema",
        format!("the JSON Schema can't be used: {why}"),
    )
}

/// Error texts quote the value, which may be long.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(300)]
}

/// Levels of nesting, counted without recursion, since the depth of what comes in isn't known yet.
fn depth(value: &Value) -> usize {
    let mut deepest = 0;
    let mut open = vec![(value, 1)];
    while let Some((value, level)) = open.pop() {
        deepest = deepest.max(level);
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, level + 1))),
            Value::Object(fields) => open.extend(fields.values().map(|field| (field, level + 1))),
            _ => {}
        }
    }
    deepest
}

fn remote_reference(schema: &Value) -> Option<&str> {
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                for (key, field) in fields {
                    match field {
                        Value::String(target) if matches!(key.as_str(), "$ref" | "$dynamicRef" | "$recursiveRef") => {
                            if !target.starts_with('#') {
                                return Some(target);
                            }
                        }
                        field => open.push(field),
                    }
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_from_outside_are_limited() {
        let mut deep = json!({});
        for _ in 0..40 {
            deep = json!({ "properties": { "a": deep } });
        }
        let cases = [
            (
                json!({ "type": "object", "properties": { "a": { "type": "string", "pattern": "^a+$" } } }),
                None,
            ),
            (json!({ "description": "x".repeat(70_000) }), Some("bytes long")),
            (deep, Some("levels deep")),
            (
                json!({ "$ref": "https://example.com/schema.json" }),
                Some("another document"),
            ),
            (json!({ "$ref": "file:///etc/passwd" }), Some("another document")),
            (json!({ "pattern": "(?=a)b" }), Some("regex")),
            (json!({ "pattern": "((a{1000}){1000}){1000}" }), Some("regex")),
            (json!({ "type": "objekt" }), Some("/type")),
        ];
        for (schema, problem) in cases {
            match (Schema::compile(&schema), problem) {
                (Ok(_), None) => {}
                (Err(error), Some(problem)) => assert!(error.message.contains(problem), "{schema}: {error}"),
                (result, _) => panic!("{schema}: {result:?}"),
            }
        }
    }

    #[test]
    fn problems_name_their_place() {
        let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["path"] });
        let problems = Schema::compile(&schema)
            .unwrap()
            .check(&json!({ "n": "x" }))
            .unwrap_err();
        assert_eq!(
            problems,
            [
                r#"the input: "path" is a required property"#,
                r#"`/n`: "x" is not of type "integer""#
            ]
        );
    }
}
