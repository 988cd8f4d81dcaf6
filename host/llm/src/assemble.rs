//! Folds the previews of one model call into its answer, the same for every way to reach a model.

use sandbar_protocol::{Error, ErrorKind, Message, ModelPart, ModelReply, Result, Role, ToolCall, Usage};

/// What has been heard of an answer so far.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    text: String,
    calls: Vec<ToolCall>,
}

impl Assembly {
    /// Adds one preview. The closing `ModelPart::Finished` adds nothing: it is made of this.
    pub(crate) fn push(&mut self, part: &ModelPart) -> Result<()> {
        match part {
            ModelPart::Text(text) => self.text.push_str(text),
            ModelPart::CallStarted { id, name } => self.start(id, name)?,
            ModelPart::CallArguments { id, text } => self
                .calls
                .iter_mut()
                .find(|call| call.id == *id)
                .ok_or_else(|| malformed(format!("arguments came for the call `{id}`, which was not started")))?
                .arguments
                .push_str(text),
            ModelPart::Finished(_) | ModelPart::Retrying { .. } => {}
        }
        Ok(())
    }

    /// The answer. Without a reason from the provider, calls tell why the model stopped.
    pub(crate) fn finish(self, finish_reason: Option<&str>, usage: Usage) -> ModelReply {
        let implied = if self.calls.is_empty() { "stop" } else { "tool-calls" };
        ModelReply {
            message: Message {
                calls: self.calls,
                ..Message::new(Role::Assistant, self.text)
            },
            finish_reason: finish_reason.unwrap_or(implied).to_owned(),
            usage,
        }
    }

    fn start(&mut self, id: &str, name: &str) -> Result<()> {
        if self.calls.iter().any(|call| call.id == id) {
            return Err(malformed(format!("the call `{id}` was started twice")));
        }
        self.calls.push(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: String::new(),
        });
        Ok(())
    }
}

fn malformed(message: String) -> Error {
    Error::new(ErrorKind::Model, "model-malformed", message)
        .with_hint("the model's answer breaks its own format; the call may be repeated")
        .retryable()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> ModelPart {
        ModelPart::Text(text.to_owned())
    }

    fn started(id: &str) -> ModelPart {
        ModelPart::CallStarted {
            id: id.to_owned(),
            name: "files__read".to_owned(),
        }
    }

    fn arguments(id: &str, text: &str) -> ModelPart {
        ModelPart::CallArguments {
            id: id.to_owned(),
            text: text.to_owned(),
        }
    }

    fn check(parts: &[ModelPart], reason: Option<&str>, expected: &str) {
        let mut assembly = Assembly::default();
        let pushed: Result<()> = parts.iter().try_for_each(|part| assembly.push(part));
        let got = match pushed {
            Ok(()) => {
                let reply = assembly.finish(reason, Usage::default());
                let calls: Vec<_> = reply
                    .message
                    .calls
                    .iter()
                    .map(|c| format!("{} {}", c.id, c.arguments))
                    .collect();
                format!("{:?} {calls:?} {}", reply.message.text, reply.finish_reason)
            }
            Err(error) => error.message,
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn previews_fold_into_the_answer() {
        check(&[], None, r#""" [] stop"#);
        check(&[text("Hel"), text("lo")], None, r#""Hello" [] stop"#);
        check(&[text("cut")], Some("length"), r#""cut" [] length"#);
        check(
            &[
                started("a"),
                started("b"),
                arguments("a", "{"),
                arguments("b", "[]"),
                arguments("a", "}"),
            ],
            None,
            r#""" ["a {}", "b []"] tool-calls"#,
        );
        check(
            &[arguments("a", "{}")],
            None,
            "arguments came for the call `a`, which was not started",
        );
        check(&[started("a"), started("a")], None, "the call `a` was started twice");
    }
}
