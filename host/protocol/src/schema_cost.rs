//! What it takes at most to check one value against a schema, found out without checking one.
//!
//! A checker follows references wherever they lead, so that thirty short definitions, each the next one twice, are a thousand million
//! checks, and a chain of references in a circle is as deep as the value times its length: deep enough to end the process.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// Definitions that one value is checked against, with everything that they refer to.
const MAX_CHECKS: u64 = 100_000;
/// Definitions in each other, also by reference. A definition that leads back to itself is as many for each level of the value; 250 were
/// seen to overflow a thread's stack.
const MAX_LEVELS: u64 = 80;

#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    checks: u64,
    levels: u64,
}

/// What is wrong with the cost of a schema; none if it may be used.
pub(crate) fn complaint(schema: &Value) -> Option<String> {
    let references = References::of(schema);
    if references.elsewhere {
        return Some("a part of it has an `$id` of its own, so that references don't say what they mean".to_owned());
    }
    let cost = cost(schema, &references);
    if cost.levels > MAX_LEVELS {
        return Some(format!(
            "with what it refers to it is more than {MAX_LEVELS} levels deep"
        ));
    }
    (cost.checks > MAX_CHECKS).then(|| {
        format!("one value would be checked more than {MAX_CHECKS} times, since it refers to the same again and again")
    })
}

/// Where references lead to.
struct References<'a> {
    root: &'a Value,
    anchors: HashMap<&'a str, &'a Value>,
    elsewhere: bool,
}

impl<'a> References<'a> {
    fn of(root: &'a Value) -> Self {
        let mut references = Self {
            root,
            anchors: HashMap::new(),
            elsewhere: false,
        };
        let mut open = vec![root];
        while let Some(value) = open.pop() {
            match value {
                Value::Array(items) => open.extend(items),
                Value::Object(fields) => {
                    for key in ["$anchor", "$dynamicAnchor"] {
                        if let Some(Value::String(name)) = fields.get(key) {
                            references.anchors.insert(name, value);
                        }
                    }
                    let is_root = std::ptr::eq(value, root);
                    references.elsewhere |= !is_root && fields.get("$id").is_some_and(Value::is_string);
                    open.extend(fields.values());
                }
                _ => {}
            }
        }
        references
    }

    /// None: it leads nowhere, which the compiler of schemas will say.
    fn target(&self, reference: &str) -> Option<&'a Value> {
        let place = reference.strip_prefix('#')?;
        let place = unescaped(place)?;
        if place.is_empty() || place.starts_with('/') {
            return self.root.pointer(&place);
        }
        self.anchors.get(place.as_str()).copied()
    }

    /// What belongs to the check of a definition.
    fn parts(&self, value: &'a Value) -> Vec<&'a Value> {
        match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(fields) => {
                let part = |(key, field): (&String, &'a Value)| match (key.as_str(), field) {
                    ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(reference)) => self.target(reference),
                    (_, Value::Object(_) | Value::Array(_)) => Some(field),
                    _ => None,
                };
                fields.iter().filter_map(part).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// A part of an address without its `%41`s; none if it is none.
fn unescaped(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// Without recursion, since nothing is known of the depth yet.
fn cost(root: &Value, references: &References<'_>) -> Cost {
    let mut known: HashMap<*const Value, Cost> = HashMap::new();
    let mut begun: HashSet<*const Value> = HashSet::new();
    let mut open = vec![(root, false)];
    while let Some((value, parts_are_known)) = open.pop() {
        let key = std::ptr::from_ref(value);
        if parts_are_known {
            let own = u64::from(value.is_object());
            let mut sum = Cost { checks: own, levels: 0 };
            for part in references.parts(value) {
                // One that leads back to where it came from has no cost yet: it ends with the value.
                let part = known.get(&std::ptr::from_ref(part)).copied().unwrap_or_default();
                sum.checks = sum.checks.saturating_add(part.checks);
                sum.levels = sum.levels.max(part.levels);
            }
            sum.levels += own;
            known.insert(key, sum);
        } else if begun.insert(key) {
            open.push((value, true));
            open.extend(references.parts(value).into_iter().map(|part| (part, false)));
        }
    }
    known.get(&std::ptr::from_ref(root)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    /// So many definitions in a row, of which each is made of the next.
    fn chain(length: usize, link: impl Fn(&str) -> Value, end: &Value) -> Value {
        let mut definitions = Map::new();
        for index in 0..length {
            definitions.insert(format!("d{index}"), link(&format!("#/$defs/d{}", index + 1)));
        }
        definitions.insert(format!("d{length}"), end.clone());
        json!({ "type": "object", "$ref": "#/$defs/d0", "$defs": definitions })
    }

    fn check(schema: &Value, expected: Option<&str>) {
        let found = complaint(schema);
        match expected {
            Some(expected) => assert!(
                found.as_ref().is_some_and(|found| found.contains(expected)),
                "{found:?}"
            ),
            None => assert_eq!(found, None),
        }
    }

    #[test]
    fn what_checking_would_cost() {
        let twice = |next: &str| json!({ "allOf": [{ "$ref": next }, { "$ref": next }] });
        let once = |next: &str| json!({ "$ref": next });
        let around = |name: &str| json!({ "type": "object", "properties": { "a": { "$ref": name } } });
        check(&chain(5, twice, &json!({ "type": "object" })), None);
        check(
            &chain(30, twice, &json!({ "type": "object" })),
            Some("more than 100000 times"),
        );
        check(&chain(70, once, &around("#/$defs/d0")), None);
        check(&chain(200, once, &around("#/$defs/d0")), Some("levels deep"));
        check(&chain(200, once, &around("#")), Some("levels deep"));
        // The same in other letters.
        let escaped = |next: &str| twice(&next.replace("/d", "/%64"));
        check(&chain(30, escaped, &json!({})), Some("more than 100000 times"));
        let anchored = |next: &str| json!({ "$anchor": format!("a{}", next.len()), "$ref": "#a9" });
        check(&chain(3, anchored, &json!({})), None);
        // A tree of trees is what recursion is for.
        check(
            &json!({ "$defs": { "tree": { "properties": { "left": { "$ref": "#/$defs/tree" }, "right": { "$ref": "#/$defs/tree" } } } },
            "$ref": "#/$defs/tree" }),
            None,
        );
        check(
            &json!({ "properties": { "a": { "$id": "elsewhere", "$ref": "#/b" } } }),
            Some("`$id` of its own"),
        );
    }
}
