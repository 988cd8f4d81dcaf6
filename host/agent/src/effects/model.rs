//! The model's side of an effect: what it is sent, how its stream is read, what is kept of its answer.

use std::collections::HashSet;

use futures::StreamExt;
use sandbar_protocol::{
    Error, ErrorKind, EventBody, ModelAction, ModelPart, ModelReply, ModelRequest, Result, kill_point,
};

use super::{Effect, Effects, Outcome, lock};

/// The longest answer of a model, in bytes of text and arguments: an endless stream must end.
const MAX_REPLY_BYTES: usize = 4 << 20;

impl Effects {
    pub(super) async fn intent_to_ask(&self, id: &str, ordinal: u32, action: &ModelAction) -> Result<()> {
        self.note_open(id, Effect::Model(action.clone()));
        let before = self.tape.effect(id).map_or(0, |past| past.attempts);
        // A model may be asked again after a crash: nothing waits for this commit.
        self.record(EventBody::ModelStarted {
            effect: id.to_owned(),
            ordinal,
            attempt: before + 1,
            model: self.model.name().to_owned(),
            thread: action.thread.clone(),
            // The first attempt has put them into the thread.
            appended: if before == 0 { action.append.clone() } else { Vec::new() },
        })
        .await
    }

    /// The inner error is the model's, the outer one the journal's.
    pub(super) async fn ask(&self, id: &str, action: &ModelAction) -> Result<Result<ModelReply>> {
        let request = self.request(action).await;
        let mut stream = self.model.call(request);
        lock(&self.state.partial).clear();
        let mut bytes = 0;
        while let Some(part) = stream.next().await {
            let part = match part {
                Ok(part) => part,
                Err(error) => return Ok(Err(error)),
            };
            match part {
                ModelPart::Finished(reply) => return Ok(Ok(*reply)),
                ModelPart::Retrying {
                    request,
                    error,
                    wait_ms,
                } => {
                    self.record(EventBody::ModelRetried {
                        effect: id.to_owned(),
                        request,
                        error,
                        wait_ms,
                    })
                    .await?;
                }
                ModelPart::Text(text) => {
                    bytes += text.len();
                    lock(&self.state.partial).push_str(&text);
                    if let Some(writer) = &self.writer {
                        writer.preview(id, &text);
                    }
                }
                ModelPart::CallStarted { .. } => bytes += 1,
                ModelPart::CallArguments { text, .. } => bytes += text.len(),
            }
            if bytes > MAX_REPLY_BYTES {
                return Ok(Err(Error::new(
                    ErrorKind::Model,
                    "reply-too-large",
                    format!(
                        "the model `{}` wrote more than {} MiB",
                        self.model.name(),
                        MAX_REPLY_BYTES >> 20
                    ),
                )));
            }
        }
        Ok(Err(Error::new(
            ErrorKind::Model,
            "model-cut-off",
            format!("the answer of the model `{}` ended in the middle", self.model.name()),
        )
        .retryable()))
    }

    pub(super) async fn request(&self, action: &ModelAction) -> ModelRequest {
        let recalled = lock(&self.state.recalled).clone();
        let parts = [
            Some(self.instructions.as_str()),
            recalled.as_deref(),
            action.instructions.as_deref(),
        ];
        let parts: Vec<&str> = parts.into_iter().flatten().filter(|text| !text.is_empty()).collect();
        let offered = |name: &str| {
            action
                .tools
                .as_ref()
                .is_none_or(|names| names.iter().any(|other| other == name))
        };
        ModelRequest {
            instructions: parts.join("\n\n"),
            thread: action.thread.clone(),
            messages: self.conversation.lock().await.messages(&action.thread),
            tools: self
                .tools
                .iter()
                .map(|tool| tool.spec())
                .filter(|spec| offered(&spec.name))
                .cloned()
                .collect(),
            schema: action.schema.clone(),
        }
    }

    pub(super) async fn outcome_of_model(
        &self,
        id: String,
        thread: &str,
        executed: Result<ModelReply>,
        ms: u64,
    ) -> Result<Outcome> {
        let mut reply = match executed {
            Ok(reply) => reply,
            Err(error) => {
                let effect = id.clone();
                let ended = self
                    .record_event(EventBody::ModelDiscarded { effect, error, ms })
                    .await?;
                self.close(&id);
                let EventBody::ModelDiscarded { error, .. } = &ended.body else {
                    unreachable!("an event is of the kind that was appended");
                };
                return Ok(Outcome::ModelFailed(Box::new(error.clone())));
            }
        };
        self.name_calls(&mut reply).await;
        let finished = EventBody::ModelFinished {
            effect: id.clone(),
            thread: thread.to_owned(),
            reply,
            ms,
        };
        let ended = self.record_event(finished).await?;
        kill_point("agent.model.recorded");
        self.close(&id);
        lock(&self.state.partial).clear();
        // As it was written: no tool is called, and no person asked, with a protected value that the model has said.
        let EventBody::ModelFinished { reply, .. } = &ended.body else {
            unreachable!("an event is of the kind that was appended");
        };
        Ok(self.replied(id, reply.clone()))
    }

    pub(super) fn replied(&self, id: String, reply: ModelReply) -> Outcome {
        self.spending.add_model_call(reply.usage);
        self.keep_text(&id, reply.message.text.as_str().into());
        for call in &reply.message.calls {
            self.keep_text(&format!("{}/input", call.id), call.arguments.as_str().into());
        }
        let reply = Box::new(reply);
        Outcome::Replied { id, reply }
    }

    /// Gives calls ids that the session hasn't seen.
    pub(super) async fn name_calls(&self, reply: &mut ModelReply) {
        let conversation = self.conversation.lock().await;
        let mut taken = HashSet::new();
        for call in &mut reply.message.calls {
            call.id = conversation.unique_call_id(&call.id, &taken);
            taken.insert(call.id.clone());
        }
    }
}
