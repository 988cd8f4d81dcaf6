//! What a person types as an answer: words become the JSON that the question's schema wants.

use sandbar::protocol::{Error, ErrorKind, Schema, Suspension, SuspensionKind};
use serde_json::{Map, Value, json};

use crate::sanitise::one_line;

/// The decisions that something may follow, and what that is.
const DETAILS: [(&str, &str); 3] = [("deny", "reason"), ("result", "text"), ("extend", "by")];

/// What a line means at a question in the terminal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Typed {
    /// It fits the question's schema.
    Answer(Value),
    /// The run shall end.
    Quit,
    /// What would be an answer.
    Unclear(String),
}

/// An empty line is no answer: a key that is hit too often must not be consent.
pub(crate) fn typed(suspension: &Suspension, line: &str) -> Typed {
    let line = line.trim();
    let quits = match suspension.kind {
        SuspensionKind::Question => &[][..],
        SuspensionKind::Approval => &["q", "quit", "stop"],
        SuspensionKind::UnknownOutcome | SuspensionKind::Budget | SuspensionKind::SignIn => &["q", "quit"],
    };
    if quits.contains(&line.to_lowercase().as_str()) {
        return Typed::Quit;
    }
    if let Some(choice) = numbered(&suspension.schema)
        && let Some(value) = line.parse::<usize>().ok().and_then(|n| choice.get(n.checked_sub(1)?))
    {
        return Typed::Answer((*value).clone());
    }
    match given(suspension, line) {
        Ok(value) => Typed::Answer(value),
        Err(error) if suspension.kind == SuspensionKind::Question => Typed::Unclear(error.text()),
        Err(_) => Typed::Unclear(format!("that is no answer; wanted: {}", wanted(suspension))),
    }
}

/// An answer as words of a command line: JSON, a decision and what follows it, or text where the schema wants one.
pub(crate) fn given(suspension: &Suspension, text: &str) -> Result<Value, Error> {
    let text = text.trim();
    let schema = Schema::compile(&suspension.schema)?;
    let plain = (!text.is_empty()).then(|| Value::from(text));
    let readings = match suspension.kind {
        SuspensionKind::Question => [
            plain.clone().filter(|_| suspension.schema["type"] == "string"),
            serde_json::from_str(text).ok(),
            decision(suspension, text),
            plain,
        ],
        _ => [decision(suspension, text), serde_json::from_str(text).ok(), None, None],
    };
    let readings: Vec<Value> = readings.into_iter().flatten().collect();
    if let Some(fits) = readings.iter().find(|reading| schema.check(reading).is_ok()) {
        return Ok(fits.clone());
    }
    let problems = readings.first().and_then(|reading| schema.check(reading).err());
    let why = problems.map_or_else(String::new, |problems| {
        format!(": {}", one_line(&problems.join("; "), 400))
    });
    let message = format!(
        "the answer `{}` does not fit what `{}` asks{why}",
        one_line(text, 100),
        suspension.id
    );
    Err(Error::new(ErrorKind::InvalidInput, "answer-does-not-fit", message)
        .with_hint(format!("answer with {}", wanted(suspension))))
}

/// What would be an answer, in a few words.
pub(crate) fn wanted(suspension: &Suspension) -> String {
    match suspension.kind {
        SuspensionKind::Approval => {
            "`once`, `session`, `always`, or `deny` and perhaps a reason, which the model reads".to_owned()
        }
        SuspensionKind::UnknownOutcome => {
            "`retry`, `skip`, or `result` and what came of it, which the model reads".to_owned()
        }
        SuspensionKind::Budget => "`extend` and perhaps by how many, or `stop`".to_owned(),
        SuspensionKind::SignIn => "`done` or `cancel`".to_owned(),
        SuspensionKind::Question => match numbered(&suspension.schema) {
            Some(choices) => {
                let choices = choices.iter().map(|choice| format!("`{}`", shown(choice)));
                format!("one of {}", choices.collect::<Vec<_>>().join(", "))
            }
            None if suspension.schema["type"] == "string" => {
                format!("a text that fits {}", one_line(&suspension.schema.to_string(), 600))
            }
            None => format!("JSON that fits {}", one_line(&suspension.schema.to_string(), 600)),
        },
    }
}

/// The values that an answer is chosen from, where numbers can stand for them.
pub(crate) fn numbered(schema: &Value) -> Option<Vec<&Value>> {
    let values: Vec<&Value> = schema.get("enum")?.as_array()?.iter().collect();
    let is_number = |value: &&Value| shown(value).trim().parse::<f64>().is_ok();
    (!values.is_empty() && !values.iter().any(is_number)).then_some(values)
}

/// A value as it is typed, on one line.
pub(crate) fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    one_line(&text, 200)
}

/// The words of the kinds that the host asks, and of questions whose schema has a `decision`.
fn decision(suspension: &Suspension, text: &str) -> Option<Value> {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '-' && c != '_')
        .unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ':' | ';' | '.' | '-'));
    let lower = word.to_lowercase();
    let word = match (suspension.kind, lower.as_str()) {
        (SuspensionKind::Question, _) => word,
        (SuspensionKind::Approval, "y" | "yes") => "once",
        (SuspensionKind::Approval, "s") => "session",
        (SuspensionKind::Approval, "n" | "no") => "deny",
        (_, lower) => lower,
    };
    let properties = suspension.schema.get("properties")?.as_object()?;
    let words = properties.get("decision")?.get("enum")?.as_array()?;
    if !words.iter().any(|known| known == word) {
        return None;
    }
    let mut answer = Map::from_iter([("decision".to_owned(), json!(word))]);
    if !rest.is_empty() {
        let (name, schema) = detail(suspension.kind, word, properties)?;
        let value = match schema["type"].as_str() {
            Some("integer") => json!(rest.parse::<i64>().ok()?),
            _ => json!(rest),
        };
        answer.insert(name.to_owned(), value);
    }
    Some(answer.into())
}

/// Where the words behind a decision go.
fn detail<'a>(kind: SuspensionKind, word: &str, properties: &'a Map<String, Value>) -> Option<(&'a str, &'a Value)> {
    let mut others = properties.iter().filter(|(name, _)| *name != "decision");
    let found = match kind {
        SuspensionKind::Question => others.next(),
        _ => {
            let (_, detail) = DETAILS.iter().find(|(decision, _)| *decision == word)?;
            others.find(|(name, _)| name == detail)
        }
    };
    found.map(|(name, schema)| (name.as_str(), schema))
}

#[cfg(test)]
pub(crate) mod tests {
    use sandbar::protocol::{SuspendedCall, SuspensionId};

    use super::*;

    pub(crate) fn suspension(kind: SuspensionKind) -> Suspension {
        Suspension {
            id: SuspensionId::from_entropy(1),
            kind,
            effect: None,
            question: "may it?".to_owned(),
            call: (kind == SuspensionKind::Approval).then(|| SuspendedCall {
                powers: Vec::new(),
                authority: None,
                call_id: "c".to_owned(),
                origin: sandbar::protocol::policy::Origin::Model,
                tool: "files__edit".to_owned(),
                arguments: json!({}),
                destructive: false,
                preview: None,
            }),
            schema: kind.schema(),
            expires_ms: u64::MAX,
            answered_by: kind.answered_by(),
        }
    }

    /// None for what is no answer.
    fn read(asked: &Suspension, line: &str) -> Option<Value> {
        match typed(asked, line) {
            Typed::Answer(value) => Some(value),
            Typed::Quit => Some(json!("quit")),
            Typed::Unclear(_) => None,
        }
    }

    fn decided(word: &str) -> Option<Value> {
        Some(json!({ "decision": word }))
    }

    #[test]
    fn approvals() {
        let asked = suspension(SuspensionKind::Approval);
        let check = |line: &str, expected: Option<Value>| assert_eq!(read(&asked, line), expected, "{line:?}");
        let denied = |reason: &str| Some(json!({ "decision": "deny", "reason": reason }));
        for once in ["y", "Y\n", " yes ", "YES", "once"] {
            check(once, decided("once"));
        }
        check("s", decided("session"));
        check("session", decided("session"));
        check("always", decided("always"));
        check("n", decided("deny"));
        check("no\n", decided("deny"));
        check("n use another name", denied("use another name"));
        check("No, it is Ada's", denied("it is Ada's"));
        check("deny: later", denied("later"));
        for quit in ["q", "quit", "Stop"] {
            check(quit, Some(json!("quit")));
        }
        check(r#"{"decision":"once"}"#, decided("once"));
        // One letter must not allow what lasts, and no answer is a guess.
        for unclear in [
            "",
            "\n",
            "a",
            "al",
            "all",
            "yeah",
            "y and more",
            "not that",
            "allow",
            "always!x",
            "stop it",
            "1",
            "ü",
        ] {
            check(unclear, None);
        }
    }

    #[test]
    fn other_kinds() {
        let check = |kind: SuspensionKind, line: &str, expected: Option<Value>| {
            assert_eq!(read(&suspension(kind), line), expected, "{kind:?} {line:?}");
        };
        check(SuspensionKind::UnknownOutcome, "retry", decided("retry"));
        check(SuspensionKind::UnknownOutcome, "skip", decided("skip"));
        let sent = json!({ "decision": "result", "text": "sent it" });
        check(SuspensionKind::UnknownOutcome, "result sent it", Some(sent));
        check(SuspensionKind::UnknownOutcome, "retry twice", None);
        check(SuspensionKind::Budget, "extend", decided("extend"));
        check(
            SuspensionKind::Budget,
            "extend 20",
            Some(json!({ "decision": "extend", "by": 20 })),
        );
        check(SuspensionKind::Budget, "extend 0", None);
        check(SuspensionKind::Budget, "extend a lot", None);
        check(SuspensionKind::Budget, "stop", decided("stop"));
        check(SuspensionKind::Budget, "q", Some(json!("quit")));
        check(SuspensionKind::SignIn, "done", decided("done"));
        check(SuspensionKind::SignIn, "cancel", decided("cancel"));
        check(SuspensionKind::SignIn, "y", None);
    }

    #[test]
    fn questions_of_a_pattern() {
        let check = |schema: Value, line: &str, expected: Option<Value>| {
            let suspension = Suspension {
                schema,
                ..suspension(SuspensionKind::Question)
            };
            assert_eq!(read(&suspension, line), expected, "{line:?}");
        };
        let colours = json!({ "enum": ["red", "blue"] });
        check(colours.clone(), "1", Some(json!("red")));
        check(colours.clone(), "2\n", Some(json!("blue")));
        check(colours.clone(), "blue", Some(json!("blue")));
        for wrong in ["0", "3", "green", "", "-1"] {
            check(colours.clone(), wrong, None);
        }
        check(json!({ "enum": [3, 1] }), "1", Some(json!(1)));
        check(json!({ "type": "string" }), "42 or \"so\"", Some(json!("42 or \"so\"")));
        check(json!({ "type": "string" }), "q", Some(json!("q")));
        check(json!({ "type": "string", "maxLength": 2 }), "abc", None);
        check(json!({ "type": "integer" }), "42", Some(json!(42)));
        check(json!({ "type": "integer" }), "many", None);
        check(json!({ "type": "object" }), r#"{"a":1}"#, Some(json!({ "a": 1 })));
        check(json!({}), "plain words", Some(json!("plain words")));
        let own = json!({ "type": "object", "properties": { "decision": { "enum": ["Ship", "wait"] }, "note": { "type": "string" } } });
        check(
            own,
            "Ship it now",
            Some(json!({ "decision": "Ship", "note": "it now" })),
        );
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_would() {
        let error = given(&suspension(SuspensionKind::Approval), "perhaps").unwrap_err();
        assert!(
            error.message.starts_with("the answer `perhaps` does not fit what `"),
            "{error:?}"
        );
        assert!(error.hint.unwrap().contains("`always`"));
        let number = Suspension {
            schema: json!({ "type": "integer", "minimum": 3 }),
            ..suspension(SuspensionKind::Question)
        };
        let error = given(&number, "2").unwrap_err();
        assert!(
            error.message.contains("does not fit") && error.message.contains('3'),
            "{error:?}"
        );
    }
}
