//! Questions to a person: journaled, answered here, elsewhere or days later, and answered once.

use std::sync::Arc;
use std::time::Duration;

use sandbar_protocol::{
    Answer, Approval, AskAction, Error, ErrorKind, EventBody, Result, Schema, Suspension, SuspensionId, SuspensionKind,
    kill_point,
};
use sandbar_store::Store;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Effects, Outcome};
use crate::consent::Attended;

/// The longest question of a plugin that is kept, in bytes.
const MAX_QUESTION_BYTES: usize = 4096;

/// What became of a question.
#[derive(Debug)]
pub(crate) enum Asked {
    Answered(Answer),
    /// Nobody here can answer: the run has to leave.
    Waits,
    Expired(Error),
}

impl Asked {
    /// How an effect ends that got no answer.
    pub(super) fn without_answer(self) -> Result<Answer, Outcome> {
        match self {
            Self::Answered(answer) => Ok(answer),
            Self::Waits => Err(Outcome::Waits),
            Self::Expired(error) => Err(Outcome::Expired(Box::new(error))),
        }
    }
}

impl Effects {
    /// The pattern's own question.
    pub(super) async fn put(&self, id: String, action: &AskAction) -> Result<Outcome> {
        let question = self.question(SuspensionKind::Question, &id, 1, &action.question);
        let question = Suspension {
            effect: Some(id.clone()),
            schema: action.schema.clone(),
            ..question
        };
        Ok(match self.ask_person(question).await?.without_answer() {
            Ok(answer) => Outcome::Answered { id, answer },
            Err(outcome) => outcome,
        })
    }

    /// A question whose id follows from what it is about: a run that is gone over again asks it under the same one.
    pub(crate) fn question(&self, kind: SuspensionKind, about: &str, n: u32, text: &str) -> Suspension {
        let cut = text.floor_char_boundary(MAX_QUESTION_BYTES);
        Suspension {
            id: id_of(kind, about, n),
            kind,
            effect: None,
            question: text[..cut].to_owned(),
            call: None,
            schema: kind.schema(),
            expires_ms: self
                .clock
                .now_ms()
                .saturating_add(self.consent.expires.as_millis() as u64),
            answered_by: kind.answered_by(),
        }
    }

    /// Journals a question, and waits for the answer where somebody is there to give one.
    pub(crate) async fn ask_person(&self, question: Suspension) -> Result<Asked> {
        let question = match self.tape.suspension(&question.id) {
            Some(past) => match &past.answer {
                Some(answer) => return Ok(Asked::Answered(answer.clone())),
                None => past.suspension.clone(),
            },
            None => {
                let asked = self.record_event(EventBody::Suspended(Box::new(question))).await?;
                kill_point("agent.suspension.recorded");
                // Nobody is asked what a crash could make unasked.
                self.flush().await?;
                kill_point("agent.suspension.flushed");
                // As it was written: whoever is asked here sees what they would see from elsewhere, without protected values.
                let EventBody::Suspended(question) = &asked.body else {
                    unreachable!("an event is of the kind that was appended");
                };
                (**question).clone()
            }
        };
        let Some(writer) = &self.writer else {
            return Ok(Asked::Waits);
        };
        let question = Arc::new(question);
        let asked = match stored(writer.store(), &question.id)? {
            Some(answer) => Asked::Answered(answer),
            None => {
                let _paused = self.spending.pause();
                self.wait(&question, writer.store()).await?
            }
        };
        if let Asked::Answered(answer) = &asked {
            self.record(EventBody::Resumed {
                suspension: Some(question.id.clone()),
                answer: Some(answer.value.clone()),
                by: Some(answer.by.clone()),
            })
            .await?;
            kill_point("agent.resumed.recorded");
        }
        Ok(asked)
    }

    /// What was asked about a call that is refused by now is nobody's to answer any more.
    pub(super) async fn take_back(&self, effect: &str) -> Result<()> {
        for suspension in self.tape.open_questions(effect) {
            self.record(EventBody::Resumed {
                suspension: Some(suspension),
                answer: None,
                by: None,
            })
            .await?;
        }
        Ok(())
    }

    async fn wait(&self, question: &Arc<Suspension>, store: &Store) -> Result<Asked> {
        let left = question.expires_ms.saturating_sub(self.clock.now_ms());
        if left == 0 {
            return Ok(Asked::Expired(expired(question)));
        }
        let asker = match &self.attended {
            Attended::By(asker) => asker,
            Attended::Allowing if question.kind == SuspensionKind::Approval => {
                return Ok(Asked::Answered(Answer {
                    value: json!({ "decision": Approval::Once }),
                    by: "beforehand".to_owned(),
                }));
            }
            Attended::Allowing | Attended::Nobody => return Ok(Asked::Waits),
        };
        let answer = tokio::select! {
            // An answer that is in the store was the first.
            biased;
            () = self.inbox.answered(&question.id) => None,
            answer = asker(question.clone()) => match answer {
                None => return Ok(Asked::Waits),
                answer => answer,
            },
            () = tokio::time::sleep(Duration::from_millis(left)) => return Ok(Asked::Expired(expired(question))),
        };
        if let Some(answer) = answer {
            match store.answer(&question.id, answer).await {
                Ok(()) => {}
                // Somebody else was faster by a moment.
                Err(error) if error.code == "already-answered" => {}
                Err(error) => return Err(error),
            }
            kill_point("agent.answer.stored");
        }
        match stored(store, &question.id)? {
            Some(answer) => Ok(Asked::Answered(answer)),
            None => Ok(Asked::Waits),
        }
    }
}

pub(super) fn stored(store: &Store, id: &SuspensionId) -> Result<Option<Answer>> {
    Ok(store.suspension(id)?.and_then(|found| found.answer))
}

/// The id of the n-th question of a kind about something.
pub(super) fn id_of(kind: SuspensionKind, about: &str, n: u32) -> SuspensionId {
    let digest = Sha256::new_with_prefix(about)
        .chain_update([0])
        .chain_update(kind.as_str())
        .chain_update(n.to_le_bytes())
        .finalize();
    let mut number = [0; 8];
    number.copy_from_slice(&digest[..8]);
    SuspensionId::from_entropy(u64::from_be_bytes(number))
}

fn expired(question: &Suspension) -> Error {
    Error::new(
        ErrorKind::Limit,
        "suspension-expired",
        format!("nobody answered `{}` in time: {}", question.id, question.question),
    )
    .with_hint("run it again; `consent.expires_hours` in the configuration says how long a question waits")
}

/// A question's schema is the pattern's own: it must be one.
pub(crate) fn check_schema(action: &AskAction) -> Result<()> {
    Schema::compile(&action.schema).map(|_| ())
}
