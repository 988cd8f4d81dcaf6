//! The tools' side of an effect: may it be called, what does it wait for, what came of it.

use std::sync::Arc;

use sandbar_protocol::policy::Rule;
use sandbar_protocol::{
    Answer, Approval, DecidedBy, Error, ErrorKind, EventBody, Mend, ProgressSink, Result, SuspendedCall, Suspension,
    SuspensionKind, ToolInvocation, ToolOutcome, ToolOutput, ToolPowers, kill_point,
};
use sandbar_store::{ApprovalPlace, NewApproval, WantedApproval};

use super::authority::{authority, may_it};
use super::question::id_of;
use super::{Admitted, Effect, Effects, Outcome, ToolEffect, timed};
use crate::arguments;
use crate::consent::{Attended, Unattended};
use crate::conversation::outcome_text;
use crate::locks::Ticket;
use crate::resource::Access;

/// The code of a tool's error that says: nothing was done, the person has to sign in first.
const SIGN_IN: &str = "sign-in-required";

/// How often a call is made again after somebody said that they signed in.
const MAX_SIGN_INS: u32 = 3;

/// Who allowed a call that they said yes to before it was asked for, as the audit names them.
const BEFOREHAND: &str = "beforehand";

/// A person's word on a call, or what stands for it.
pub(super) enum Word {
    /// An error is what the model is told instead of a call.
    Given(Result<Admitted>),
    /// It is not called any more: this came of it.
    Instead(ToolOutcome),
    /// The run can't go on with it here.
    Ends(Outcome),
}

impl Effects {
    /// Gets a person's word where it is needed: for a call that a rule wants asked, and for one that was cut off.
    pub(super) async fn consent(&self, id: &str, call: &ToolEffect, admitted: Result<Admitted>) -> Result<Word> {
        let Ok(admitted) = admitted else {
            self.take_back(id).await?;
            return Ok(Word::Given(admitted));
        };
        match self.tape.effect(id) {
            // An attempt that was refused called nothing, and is no word for the next one.
            Some(past) if !past.refused => {
                if past.repeatable || self.wanted_sign_in(id, past.attempts) {
                    Ok(Word::Given(Ok(admitted)))
                } else {
                    self.mend(id, past.attempts, call, admitted).await
                }
            }
            _ => self.approve(id, call, admitted).await,
        }
    }

    async fn approve(&self, id: &str, call: &ToolEffect, admitted: Admitted) -> Result<Word> {
        let spec = admitted.tool.spec();
        let number = self.number_of_approval(id, &admitted.tool).await?;
        // What was asked once is answered, whatever the rules say now.
        let known = self
            .tape
            .suspension(&id_of(SuspensionKind::Approval, id, number))
            .is_some();
        let asks = number > 1 || self.ruling(call, &admitted.tool).rule == Rule::Ask;
        let decisions = &self.state.decisions;
        if !known && asks && matches!(self.attended, Attended::Allowing) {
            decisions.note(id, DecidedBy::Person(BEFOREHAND.to_owned()));
            return Ok(Word::Given(Ok(admitted)));
        }
        if !known && !asks {
            return Ok(Word::Given(Ok(admitted)));
        }
        if let (false, Some(writer)) = (known, &self.writer) {
            let authority = authority(&admitted.tool);
            let wanted = WantedApproval {
                tool: &spec.name,
                digest: admitted.tool.digest(),
                authority: authority.as_ref(),
                session: &self.session,
                workspace: self.workspace.as_ref(),
            };
            if let Some(by) = writer.store().approved_by(&wanted)? {
                decisions.note(id, DecidedBy::of_answer(&by));
                return Ok(Word::Given(Ok(admitted)));
            }
        }
        if !known && matches!(self.attended, Attended::Nobody) && self.consent.unattended == Unattended::Deny {
            decisions.note(id, DecidedBy::Rule("consent.unattended".to_owned()));
            return Ok(Word::Given(Err(nobody(&call.name))));
        }
        let preview = match known {
            true => None,
            false => self.preview(id, call, &admitted).await,
        };
        let preview = match preview.transpose() {
            Ok(preview) => preview,
            Err(error) => return Ok(Word::Given(Err(error))),
        };
        let question = self.question(SuspensionKind::Approval, id, number, &may_it(&call.name, number));
        let question = self.about(question, id, call, &admitted, preview);
        let answer = match self.ask_person(question).await?.without_answer() {
            Ok(answer) => answer,
            Err(outcome) => return Ok(Word::Ends(outcome)),
        };
        decisions.note(id, DecidedBy::of_answer(&answer.by));
        self.heed(&answer, call, admitted).await.map(Word::Given)
    }

    /// A question about a call.
    fn about(
        &self,
        question: Suspension,
        id: &str,
        call: &ToolEffect,
        admitted: &Admitted,
        preview: Option<String>,
    ) -> Suspension {
        Suspension {
            effect: Some(id.to_owned()),
            call: Some(SuspendedCall {
                call_id: call.call_id.clone(),
                tool: call.name.clone(),
                arguments: (*admitted.input).clone(),
                origin: self.caller(call),
                powers: admitted.tool.powers().map(ToolPowers::sentences).unwrap_or_default(),
                authority: authority(&admitted.tool),
                destructive: admitted.tool.spec().traits.destructive,
                preview,
            }),
            ..question
        }
    }

    /// What the tool says it would change. Its failure is that of the call, and the model can mend it without troubling a person.
    async fn preview(&self, id: &str, call: &ToolEffect, admitted: &Admitted) -> Option<Result<String>> {
        let preview = admitted.tool.preview(self.invocation(id, call, admitted))?;
        Some(preview.await.map(|output| output.text))
    }

    async fn heed(&self, answer: &Answer, call: &ToolEffect, admitted: Admitted) -> Result<Result<Admitted>> {
        let place = match (answer.decision(), &self.workspace) {
            (Some(Approval::Once), _) => None,
            (Some(Approval::Session), _) => Some(ApprovalPlace::Session(self.session.clone())),
            (Some(Approval::Always), Some(workspace)) => Some(ApprovalPlace::Workspace(workspace.clone())),
            (Some(Approval::Always), None) => Some(ApprovalPlace::Session(self.session.clone())),
            (Some(Approval::Deny) | None, _) => return Ok(Err(denied(&call.name, answer.text("reason")))),
        };
        if let (Some(place), Some(writer)) = (place, &self.writer) {
            let approval = NewApproval {
                tool: call.name.clone(),
                digest: admitted.tool.digest().to_owned(),
                authority: authority(&admitted.tool),
                place,
                by: answer.by.clone(),
            };
            writer.store().approve(approval).await?;
            kill_point("agent.approval.stored");
        }
        kill_point("agent.consent.given");
        Ok(Ok(admitted))
    }

    /// A call that was cut off and may not be repeated: only a person can know whether it happened.
    async fn mend(&self, id: &str, attempts: u32, call: &ToolEffect, admitted: Admitted) -> Result<Word> {
        let text = format!(
            "`{}` was called, and the process ended before it was known whether the call happened",
            call.name
        );
        let question = self.question(SuspensionKind::UnknownOutcome, id, attempts, &text);
        let question = self.about(question, id, call, &admitted, None);
        let answer = match self.ask_person(question).await?.without_answer() {
            Ok(answer) => answer,
            Err(outcome) => return Ok(Word::Ends(outcome)),
        };
        kill_point("agent.mend.answered");
        Ok(match answer.decision() {
            Some(Mend::Retry) => Word::Given(Ok(admitted)),
            Some(Mend::Result) => Word::Instead(ToolOutcome::Output(ToolOutput {
                text: answer.text("text").unwrap_or("it happened").to_owned(),
                ..ToolOutput::default()
            })),
            Some(Mend::Skip) | None => Word::Instead(ToolOutcome::Error(
                Error::new(
                    ErrorKind::Internal,
                    "outcome-unknown",
                    format!("`{}` was cut off: it is not known whether it happened", call.name),
                )
                .with_hint("look before you call it again"),
            )),
        })
    }

    pub(super) fn queue(&self, admitted: &Admitted) -> Option<Ticket> {
        let access = Access::of(&admitted.tool.spec().traits, &admitted.input);
        Some(self.locks.queue(self.workspace.as_ref()?, access))
    }

    /// Intent, call, outcome. A call that needs a sign-in has done nothing, and is made again when the person says that they did.
    pub(super) async fn execute(
        &self,
        id: String,
        ordinal: u32,
        call: ToolEffect,
        admitted: Result<Admitted>,
    ) -> Result<Outcome> {
        kill_point("agent.tool.admitted");
        let past = self.tape.effect(&id).map_or(0, |past| past.attempts);
        let mut attempt = past + 1;
        if self.wanted_sign_in(&id, past) {
            match self.ask_person(self.sign_in(&id, past, "")).await?.without_answer() {
                Ok(answer) if signed_in(&answer) => {}
                Ok(_) => {
                    return self
                        .outcome_of_tool(id, call, ToolOutcome::Error(not_signed_in()), 0)
                        .await;
                }
                Err(outcome) => return Ok(outcome),
            }
        }
        loop {
            self.intent_to_call(&id, ordinal, attempt, &call, admitted.as_ref().ok())
                .await?;
            let (outcome, ms) = timed(self.call(&id, &call, &admitted)).await;
            kill_point("agent.tool.called");
            match &outcome {
                ToolOutcome::Error(error) if error.code == SIGN_IN && attempt <= MAX_SIGN_INS && self.may_wait() => {
                    let question = self.sign_in(&id, attempt, &error.message);
                    match self.ask_person(question).await?.without_answer() {
                        Ok(answer) if signed_in(&answer) => attempt += 1,
                        Ok(_) => return self.outcome_of_tool(id, call, outcome, ms).await,
                        Err(outcome) => return Ok(outcome),
                    }
                }
                _ => return self.outcome_of_tool(id, call, outcome, ms).await,
            }
        }
    }

    /// Whether a question may wait where nobody is there.
    fn may_wait(&self) -> bool {
        matches!(self.attended, Attended::By(_)) || self.consent.unattended == Unattended::Suspend
    }

    /// Whether an attempt ended with the wish that somebody signs in.
    fn wanted_sign_in(&self, id: &str, attempt: u32) -> bool {
        let asked = id_of(SuspensionKind::SignIn, id, attempt);
        self.tape.suspension(&asked).is_some()
    }

    fn sign_in(&self, id: &str, attempt: u32, text: &str) -> Suspension {
        Suspension {
            effect: Some(id.to_owned()),
            ..self.question(SuspensionKind::SignIn, id, attempt, text)
        }
    }

    async fn intent_to_call(
        &self,
        id: &str,
        ordinal: u32,
        attempt: u32,
        call: &ToolEffect,
        admitted: Option<&Admitted>,
    ) -> Result<()> {
        // What is refused has no effect, so that it may be repeated; so may what only looks.
        let idempotent = admitted.is_none_or(|admitted| {
            let traits = &admitted.tool.spec().traits;
            traits.idempotent || traits.read_only
        });
        #[cfg(feature = "kill-points")]
        if !idempotent && sandbar_protocol::intents_are_dropped() {
            return Ok(());
        }
        self.note_open(id, Effect::Tool(call.clone()));
        let started = EventBody::ToolStarted {
            effect: id.to_owned(),
            parent: None,
            ordinal,
            attempt,
            call_id: call.call_id.clone(),
            thread: call.thread.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            argument_digest: arguments::digest(&call.arguments),
            idempotency_key: id.to_owned(),
            idempotent,
            refused: admitted.is_none(),
        };
        self.record_decided(started, self.state.decisions.take(id)).await?;
        kill_point("agent.tool.intended");
        if !idempotent {
            // It must not happen before the journal knows that it was about to.
            self.flush().await?;
            kill_point("agent.tool.flushed");
        }
        Ok(())
    }

    async fn call(&self, id: &str, call: &ToolEffect, admitted: &Result<Admitted>) -> ToolOutcome {
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return ToolOutcome::Error(refusal.clone()),
        };
        match admitted.tool.call(self.invocation(id, call, admitted)).await {
            Ok(output) => ToolOutcome::Output(output),
            Err(error) => ToolOutcome::Error(error),
        }
    }

    fn invocation(&self, id: &str, call: &ToolEffect, admitted: &Admitted) -> ToolInvocation {
        ToolInvocation {
            session: self.session.clone(),
            run: self.run.clone(),
            call_id: call.call_id.clone(),
            input: admitted.input.clone(),
            progress: self.progress(id),
            denials: self.state.denials.sink(id),
        }
    }

    fn progress(&self, id: &str) -> ProgressSink {
        // Weak: a guest that is being torn down must not keep the session from its next run.
        let (writer, effect) = (self.writer.as_ref().map(Arc::downgrade), id.to_owned());
        Arc::new(move |text| {
            if let Some(writer) = writer.as_ref().and_then(std::sync::Weak::upgrade) {
                writer.preview(&effect, text);
            }
        })
    }

    pub(super) async fn outcome_of_tool(
        &self,
        id: String,
        call: ToolEffect,
        outcome: ToolOutcome,
        ms: u64,
    ) -> Result<Outcome> {
        let ended = self
            .record_event(EventBody::ToolFinished {
                effect: id.clone(),
                call_id: call.call_id.clone(),
                thread: call.thread.clone(),
                name: call.name.clone(),
                outcome,
                denials: self.state.denials.take(&id),
                ms,
            })
            .await?;
        kill_point("agent.tool.recorded");
        self.close(&id);
        // As it was written: what the pattern sees is what it would see again.
        let EventBody::ToolFinished { outcome, .. } = &ended.body else {
            unreachable!("an event is of the kind that was appended");
        };
        Ok(self.ended(&call, outcome))
    }

    pub(super) fn ended(&self, call: &ToolEffect, outcome: &ToolOutcome) -> Outcome {
        let (text, failed) = outcome_text(outcome);
        let text: Arc<str> = text.into();
        self.keep_text(&call.call_id, text.clone());
        Outcome::ToolEnded {
            call_id: call.call_id.clone(),
            name: call.name.clone(),
            text,
            failed,
        }
    }
}

fn signed_in(answer: &Answer) -> bool {
    answer.text("decision") == Some("done")
}

fn not_signed_in() -> Error {
    Error::new(ErrorKind::Denied, SIGN_IN, "the person did not sign in").with_hint("go on without it")
}

fn denied(tool: &str, reason: Option<&str>) -> Error {
    let reason = reason
        .filter(|reason| !reason.is_empty())
        .unwrap_or("they gave no reason");
    Error::new(
        ErrorKind::Denied,
        "denied-by-person",
        format!("the person who watches did not allow `{tool}`: {reason}"),
    )
    .with_hint("ask what they want, or go on without it")
}

fn nobody(tool: &str) -> Error {
    Error::new(
        ErrorKind::Denied,
        "nobody-to-ask",
        format!("`{tool}` needs a person's word, and nobody is there to give it"),
    )
    .with_hint("go on without it")
}
