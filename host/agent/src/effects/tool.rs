//! The tools' side of an effect: may it be called, what does it wait for, what came of it.

use std::sync::Arc;

use sandbar_protocol::{
    Approval, ApprovalRequest, Delta, Error, ErrorKind, EventBody, ProgressSink, Result, ToolInvocation, ToolOutcome,
};

use super::{Admitted, Effect, Effects, Outcome, ToolEffect};
use crate::arguments;
use crate::conversation::outcome_text;
use crate::locks::Ticket;
use crate::resource::Access;

impl Effects {
    /// Whether the call may be made at all: the agent has the tool, and the arguments fit it.
    pub(super) fn policy(&self, call: &ToolEffect) -> Result<Admitted> {
        let tool = self
            .tools
            .iter()
            .find(|tool| tool.spec().name == call.name)
            .ok_or_else(|| {
                let names: Vec<_> = self.tools.iter().map(|tool| tool.spec().name.as_str()).collect();
                let shown: String = call.name.chars().take(80).flat_map(char::escape_debug).collect();
                let error = Error::new(
                    ErrorKind::NotFound,
                    "unknown-tool",
                    format!("there is no tool `{shown}`"),
                );
                if names.is_empty() {
                    error.with_hint("there are no tools: answer without one")
                } else {
                    error.with_hint(format!("there are: {}", names.join(", ")))
                }
            })?;
        let input = arguments::parse(&call.name, &call.arguments, tool.input_schema())?;
        Ok(Admitted {
            tool: tool.clone(),
            input: Arc::new(input),
        })
    }

    /// Asks a person, if there is one to ask and the tool is no reader.
    pub(super) async fn approve(&self, id: &str, call: &ToolEffect, admitted: Result<Admitted>) -> Result<Admitted> {
        let admitted = admitted?;
        let traits = &admitted.tool.spec().traits;
        let Some(approver) = self.approver.as_ref().filter(|_| !traits.read_only) else {
            return Ok(admitted);
        };
        let invocation = self.invocation(id, call, &admitted);
        let preview = match admitted.tool.preview(invocation) {
            Some(preview) => match preview.await {
                Ok(output) => Some(output.text),
                // The call would fail in the same way, and the model can mend that without troubling a person.
                Err(error) => return Err(error),
            },
            None => None,
        };
        let request = ApprovalRequest {
            call_id: call.call_id.clone(),
            tool: call.name.clone(),
            arguments: admitted.input.clone(),
            destructive: traits.destructive,
            preview,
        };
        let approval = {
            let _paused = self.spending.pause();
            approver(request).await
        };
        match approval {
            Approval::Allow => Ok(admitted),
            Approval::Deny { reason } => Err(Error::new(
                ErrorKind::Denied,
                "denied-by-person",
                format!("the person who watches did not allow `{}`: {reason}", call.name),
            )
            .with_hint("ask what they want, or go on without it")),
        }
    }

    pub(super) fn invocation(&self, id: &str, call: &ToolEffect, admitted: &Admitted) -> ToolInvocation {
        ToolInvocation {
            session: self.session.clone(),
            run: self.run.clone(),
            call_id: call.call_id.clone(),
            input: admitted.input.clone(),
            progress: self.progress(id),
        }
    }

    pub(super) fn budget(&self) -> Result<()> {
        if self.spending.take_tool_call() {
            return Ok(());
        }
        let limit = self.spending.limits().tool_calls;
        Err(Error::new(
            ErrorKind::Limit,
            "tool-call-limit",
            format!("the run has used up its limit of {limit} tool calls"),
        ))
    }

    pub(super) fn queue(&self, admitted: &Admitted) -> Option<Ticket> {
        let access = Access::of(&admitted.tool.spec().traits, &admitted.input);
        Some(self.locks.queue(self.workspace.as_ref()?, access))
    }

    pub(super) async fn intent_to_call(
        &self,
        id: &str,
        ordinal: u32,
        call: &ToolEffect,
        admitted: Option<&Admitted>,
    ) -> Result<()> {
        // What is refused has no effect, so that it may be repeated.
        let idempotent = admitted.is_none_or(|admitted| admitted.tool.spec().traits.idempotent);
        self.note_open(id, Effect::Tool(call.clone()));
        self.record(EventBody::ToolStarted {
            effect: id.to_owned(),
            parent: None,
            ordinal,
            call_id: call.call_id.clone(),
            thread: call.thread.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            argument_digest: arguments::digest(&call.arguments),
            idempotency_key: id.to_owned(),
            idempotent,
        })
        .await?;
        if !idempotent {
            // It must not happen before the journal knows that it was about to.
            self.writer.flush().await?;
        }
        Ok(())
    }

    pub(super) async fn call(&self, id: &str, call: &ToolEffect, admitted: Result<Admitted>) -> Result<ToolOutcome> {
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return Ok(ToolOutcome::Error(refusal)),
        };
        let invocation = self.invocation(id, call, &admitted);
        Ok(match admitted.tool.call(invocation).await {
            Ok(output) => ToolOutcome::Output(output),
            Err(error) => ToolOutcome::Error(error),
        })
    }

    pub(super) fn progress(&self, id: &str) -> ProgressSink {
        // Weak: a guest that is being torn down must not keep the session from its next run.
        let (writer, effect) = (Arc::downgrade(&self.writer), id.to_owned());
        Arc::new(move |text| {
            if let Some(writer) = writer.upgrade() {
                writer.preview(Delta::Tool {
                    effect: effect.clone(),
                    text: text.to_owned(),
                });
            }
        })
    }

    pub(super) async fn outcome_of_tool(
        &self,
        id: String,
        call: ToolEffect,
        executed: Result<ToolOutcome>,
        ms: u64,
    ) -> Result<Outcome> {
        let outcome = executed?;
        let (text, failed) = outcome_text(&outcome);
        self.record(EventBody::ToolFinished {
            effect: id.clone(),
            call_id: call.call_id.clone(),
            thread: call.thread,
            name: call.name.clone(),
            outcome,
            ms,
        })
        .await?;
        self.close(&id);
        let text: Arc<str> = text.into();
        self.keep_text(&call.call_id, text.clone());
        Ok(Outcome::ToolEnded {
            call_id: call.call_id,
            name: call.name,
            text,
            failed,
        })
    }
}
