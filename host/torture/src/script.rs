//! The events of a session as the agent loop writes them: runs, each with calls of models and tools, some of them large.

use sandbar_protocol::{EventBody, RunId, SessionId, SuspensionId};
use serde_json::{Value, json};

use crate::beside::WHO;
use crate::chance::Chance;

/// More than what a row keeps, so that it becomes a blob.
const LARGE: usize = 33 << 10;

/// The writer of one session's events. It follows the order of a run, so that what the store derives has something to say.
#[derive(Debug)]
pub(crate) struct Script {
    session: SessionId,
    life: usize,
    runs: usize,
    effects: usize,
    questions: usize,
    asks_next: bool,
    next: Next,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    StartRun,
    StartModel,
    EndModel,
    StartTool,
    EndTool,
    Decide,
    Resume,
}

impl Script {
    /// `life` makes the names of runs differ from those of other scripts of the session.
    pub(crate) fn new(session: &SessionId, life: usize) -> Self {
        Self {
            session: session.clone(),
            life,
            runs: 0,
            effects: 0,
            questions: 0,
            asks_next: false,
            next: Next::StartRun,
        }
    }

    /// The next event. Of a hundred answers, `large` are blobs.
    pub(crate) fn next(&mut self, chance: &mut Chance, large: usize) -> (RunId, EventBody) {
        let body = match self.next {
            Next::StartRun => self.start_run(chance),
            Next::StartModel => self.go_on(chance),
            Next::EndModel => self.end_model(chance, large),
            Next::StartTool => self.start_tool(chance),
            Next::EndTool => self.end_tool(chance, large),
            Next::Decide => self.decide(chance, large),
            Next::Resume => self.resume(chance),
        };
        (self.run(), event(body))
    }

    /// Where the model would be called next, something is asked.
    pub(crate) fn ask_next(&mut self) {
        self.asks_next = true;
    }

    /// What the run waits for, if the last event was a question.
    pub(crate) fn question(&self) -> Option<SuspensionId> {
        let id = format!("q-{}-{}", self.run(), self.questions);
        matches!(self.next, Next::Resume).then(|| SuspensionId::parse(&id).expect("it is a run's name and a number"))
    }

    fn run(&self) -> RunId {
        RunId::parse(&format!("{}-{}-{}", self.session, self.life, self.runs))
            .expect("the name of a session can be part of a run's")
    }

    fn start_run(&mut self, chance: &mut Chance) -> Value {
        self.runs += 1;
        self.next = Next::StartModel;
        json!({ "type": "run.started", "agent": "writer", "message": chance.text(40), "workspace": null })
    }

    /// A pattern may ask before it calls its model.
    fn go_on(&mut self, chance: &mut Chance) -> Value {
        match std::mem::take(&mut self.asks_next) || chance.percent(20) {
            true => self.ask(chance),
            false => self.start_model(),
        }
    }

    fn start_model(&mut self) -> Value {
        self.effects += 1;
        self.next = Next::EndModel;
        json!({ "type": "model.started", "effect": self.effect(), "ordinal": self.effects, "model": "scripted",
            "thread": "main" })
    }

    fn end_model(&mut self, chance: &mut Chance, large: usize) -> Value {
        if chance.percent(15) {
            // The next attempt is the same effect.
            self.effects -= 1;
            self.next = Next::StartModel;
            let error = json!({ "code": "overloaded", "kind": "model", "message": chance.text(20) });
            let effect = format!("e{}", self.effects + 1);
            return json!({ "type": "model.discarded", "effect": effect, "error": error, "ms": 3 });
        }
        self.next = Next::StartTool;
        let message = json!({ "role": "assistant", "text": text(chance, large) });
        json!({ "type": "model.finished", "effect": self.effect(), "thread": "main", "ms": 5,
            "reply": { "message": message, "finish_reason": "stop" } })
    }

    fn start_tool(&mut self, chance: &mut Chance) -> Value {
        self.effects += 1;
        self.next = Next::EndTool;
        json!({ "type": "tool.started", "effect": self.effect(), "ordinal": self.effects, "call_id": self.effect(),
            "thread": "main", "name": "files__write", "arguments": chance.text(100), "argument_digest": chance.text(64),
            "idempotency_key": format!("{}-{}", self.run(), self.effect()), "idempotent": chance.percent(50) })
    }

    fn end_tool(&mut self, chance: &mut Chance, large: usize) -> Value {
        self.next = Next::Decide;
        let outcome = if chance.percent(20) {
            (
                "error",
                json!({ "code": "tool-failed", "kind": "plugin", "message": chance.text(20) }),
            )
        } else {
            ("output", json!({ "text": text(chance, large) }))
        };
        let (name, outcome) = outcome;
        json!({ "type": "tool.finished", "effect": self.effect(), "call_id": self.effect(), "thread": "main",
            "name": "files__write", name: outcome, "ms": 1 })
    }

    fn decide(&mut self, chance: &mut Chance, large: usize) -> Value {
        if chance.percent(large) {
            // One of three contents, so that events of several sessions share a blob.
            let content = Chance::new(chance.below(3) as u64).text(LARGE);
            return json!({ "type": "artifact", "name": "report", "media_type": "text/plain", "content": { "text": content } });
        }
        if chance.percent(50) {
            return self.start_model();
        }
        if chance.percent(50) {
            return self.ask(chance);
        }
        self.finish()
    }

    fn ask(&mut self, chance: &mut Chance) -> Value {
        self.questions += 1;
        self.next = Next::Resume;
        json!({ "type": "suspended", "id": self.question(), "kind": "question", "question": chance.text(40),
            "schema": { "type": "string" }, "expires_ms": 1_u64 << 50, "answered_by": "user" })
    }

    /// Some runs end without an answer.
    fn resume(&mut self, chance: &mut Chance) -> Value {
        if chance.percent(20) {
            return self.finish();
        }
        let question = self.question();
        self.next = Next::Decide;
        json!({ "type": "resumed", "suspension": question, "answer": answer(), "by": WHO })
    }

    fn finish(&mut self) -> Value {
        self.next = Next::StartRun;
        self.effects = 0;
        json!({ "type": "run.finished", "result": { "session": self.session, "run": self.run(), "stop_reason": "finished",
            "text": "done", "steps": 1, "tool_calls": 1, "model_calls": 1, "usage": {}, "wall_ms": 5 } })
    }

    fn effect(&self) -> String {
        format!("e{}", self.effects)
    }
}

/// The answer to every question.
pub(crate) fn answer() -> Value {
    json!("red")
}

fn text(chance: &mut Chance, large: usize) -> String {
    let length = if chance.percent(large) {
        LARGE + chance.below(3 * LARGE)
    } else {
        chance.below(600)
    };
    chance.text(length)
}

/// Written as JSON, because that is what a journal keeps: an event that gets further fields is still the same event.
fn event(body: Value) -> EventBody {
    serde_json::from_value(body).expect("any JSON object is an event, if only an unknown one")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_script_has_every_kind_of_event_and_none_that_is_unknown() {
        let mut chance = Chance::new(1);
        let mut script = Script::new(&SessionId::parse("s").unwrap(), 0);
        let bodies: Vec<EventBody> = (0..300).map(|_| script.next(&mut chance, 5).1).collect();
        let unknown = bodies.iter().find(|body| matches!(body, EventBody::Unknown(_)));
        assert!(unknown.is_none(), "{unknown:?}");
        let names: BTreeSet<&str> = bodies.iter().map(EventBody::name).collect();
        let expected = [
            "artifact",
            "model.discarded",
            "model.finished",
            "model.started",
            "resumed",
            "run.finished",
            "run.started",
            "suspended",
            "tool.finished",
            "tool.started",
        ];
        assert_eq!(names.into_iter().collect::<Vec<_>>(), expected);
    }
}
