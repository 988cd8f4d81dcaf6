//! A pattern that does what the user's message says, so that tests reach every action.
//!
//! The message has one instruction per line, carried out one per step:
//!
//! | line | does |
//! | --- | --- |
//! | `model` | calls the model on `main` |
//! | `thread <name> <text>` | appends a user's message to another thread and calls the model on it |
//! | `instruct <text>` | calls the model on `main` with these instructions and no tools |
//! | `only <tool> …` | calls the model on `main` with these tools |
//! | `schema <json>` | calls the model on `main` for an answer that fits this schema |
//! | `calls` | runs the calls of the reply that came last |
//! | `asked <id>` | runs the call with this id |
//! | `tools <name> <json>` | runs a call of its own |
//! | `delegate <agent> <task>`, `compact`, `artifact <name> <text>`, `emit <name> <json>` | these actions |
//! | `ask <question>` | asks a person, who answers with a text |
//! | `discard` | takes back the reply that came last |
//! | `both <name> <json>` | two actions: a call of its own, then the model on `main` |
//! | `empty` | answers without an action |
//! | `fail <text>`, `trap`, `loop` | ends the step so |
//! | `finish <text>` | ends the run; without a text the answer is what the next lines have said |
//!
//! Four lines say something and go on with the next line in the same step:
//!
//! | line | says |
//! | --- | --- |
//! | `view` | what the view holds |
//! | `read <id>` | what `history.read` gives; the ids `request`, `reply` and `result` are the latest of their kind |
//! | `random` | 8 random bytes and the wall clock |
//! | `state <n>` | nothing; the state of this step has `n` bytes |
//!
//! After the last line it finishes as by `finish`.

use sandbar_sdk::Error;
use sandbar_sdk::view::{
    ArtifactAction, AskAction, Change, CompactAction, Decision, DelegateAction, DiscardAction, EmitAction, ModelAction,
    ToolRequest, ToolsAction, View,
};
use serde::{Deserialize, Serialize};

sandbar_sdk::pattern_plugin!(step);

/// What lasts from step to step.
#[derive(Default, Serialize, Deserialize)]
struct Memory {
    lines: Vec<String>,
    said: Vec<String>,
    request: String,
    reply: String,
    calls: Vec<String>,
    result: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    padding: String,
}

fn step(view: &View) -> Result<Decision, Error> {
    let mut memory = Memory::load(view)?;
    memory.padding.clear();
    let mut state_bytes = None;
    let decision = loop {
        let line = match memory.lines.is_empty() {
            true => "finish".to_owned(),
            false => memory.lines.remove(0),
        };
        let (word, rest) = line.split_once(' ').unwrap_or((line.as_str(), ""));
        match word {
            "view" => memory.said.push(describe(view)),
            "read" => memory.said.push(memory.read(rest)),
            "random" => memory.said.push(random()),
            "state" => state_bytes = Some(rest.parse().unwrap_or(0)),
            _ => break memory.decide(word, rest)?,
        }
    };
    Ok(decision.state(memory.save(state_bytes)))
}

impl Memory {
    fn load(view: &View) -> Result<Self, Error> {
        let mut memory: Self = match view.state.as_slice() {
            [] => Self::default(),
            state => serde_json::from_slice(state).map_err(|error| Error::new("bad-state", error.to_string()))?,
        };
        for change in &view.changes {
            match change {
                Change::Note(note) if note.kind == "request" => {
                    memory.request.clone_from(&note.id);
                    let text = match note.bytes > note.head.len() as u64 {
                        true => sandbar_sdk::read_all(&note.id, 1024 * 1024).unwrap_or_default(),
                        false => note.head.clone(),
                    };
                    memory.lines = text
                        .lines()
                        .map(|line| line.trim().to_owned())
                        .filter(|line| !line.is_empty())
                        .collect();
                }
                Change::Note(note) => memory.said.push(format!("{}: {}", note.kind, note.head)),
                Change::Reply(reply) => {
                    memory.reply.clone_from(&reply.id);
                    memory.calls = reply.calls.iter().map(|call| call.id.clone()).collect();
                }
                Change::ToolResult(result) => memory.result.clone_from(&result.id),
            }
        }
        Ok(memory)
    }

    fn decide(&mut self, word: &str, rest: &str) -> Result<Decision, Error> {
        let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let decision = Decision::new();
        Ok(match word {
            "model" => decision.model(),
            "thread" => decision.then(ModelAction::on(name).user(text)),
            "instruct" => {
                let mut model = ModelAction::on("main");
                model.instructions = Some(rest.to_owned());
                model.tools = Some(Vec::new());
                decision.then(model)
            }
            "only" => {
                let mut model = ModelAction::on("main");
                model.tools = Some(rest.split_whitespace().map(str::to_owned).collect());
                decision.then(model)
            }
            "schema" => {
                let mut model = ModelAction::on("main");
                model.schema = Some(rest.to_owned());
                decision.then(model)
            }
            "calls" => decision.then(run(self.calls.drain(..).map(ToolRequest::Asked).collect())),
            "asked" => decision.then(run(vec![ToolRequest::Asked(rest.to_owned())])),
            "tools" => decision.then(run(vec![ToolRequest::own(name, text)])),
            "both" => decision.then(run(vec![ToolRequest::own(name, text)])).model(),
            "delegate" => decision.then(DelegateAction {
                agent: name.to_owned(),
                task: text.to_owned(),
                annotations: Vec::new(),
            }),
            "compact" => decision.then(CompactAction {
                thread: "main".to_owned(),
                annotations: Vec::new(),
            }),
            "ask" => decision.then(AskAction {
                question: rest.to_owned(),
                schema: r#"{"type":"string"}"#.to_owned(),
                annotations: Vec::new(),
            }),
            "emit" => decision.then(EmitAction {
                name: name.to_owned(),
                json: text.to_owned(),
            }),
            "artifact" => decision.then(ArtifactAction {
                name: name.to_owned(),
                media_type: "text/plain".to_owned(),
                content: text.as_bytes().to_vec(),
            }),
            "discard" => decision.then(DiscardAction {
                id: self.reply.clone(),
                reason: "asked to".to_owned(),
            }),
            "empty" => decision,
            "finish" => decision.finish(self.answer(rest), "done"),
            "fail" => return Err(Error::new("asked-to-fail", rest)),
            "trap" => panic!("the probe was asked to trap"),
            "loop" => spin(),
            _ => {
                return Err(Error::new(
                    "invalid-input",
                    format!("the probe does not know the line `{word} {rest}`"),
                ));
            }
        })
    }

    /// None takes the text of the last reply.
    fn answer(&mut self, text: &str) -> Option<String> {
        if !text.is_empty() {
            return Some(text.to_owned());
        }
        (!self.said.is_empty()).then(|| std::mem::take(&mut self.said).join("\n"))
    }

    fn read(&self, id: &str) -> String {
        let id = match id {
            "request" => &self.request,
            "reply" => &self.reply,
            "result" => &self.result,
            other => other,
        };
        match sandbar_sdk::read_all(id, 1024 * 1024) {
            Some(text) => format!("{} bytes: {text}", text.len()),
            None => format!("nothing is known by the id `{id}`"),
        }
    }

    /// As JSON, filled up to a number of bytes if one is wanted.
    fn save(&mut self, bytes: Option<usize>) -> Vec<u8> {
        let json = |memory: &Self| serde_json::to_vec(memory).expect("texts and lists are JSON");
        if let Some(bytes) = bytes {
            self.padding = "x".to_owned();
            let rest = bytes.saturating_sub(json(self).len());
            self.padding.push_str(&"x".repeat(rest));
        }
        json(self)
    }
}

fn run(calls: Vec<ToolRequest>) -> ToolsAction {
    ToolsAction {
        thread: "main".to_owned(),
        calls,
        annotations: Vec::new(),
    }
}

/// A view in one line.
fn describe(view: &View) -> String {
    let changes = view.changes.iter().map(|change| match change {
        Change::Note(note) => format!("note {} {}", note.kind, note.bytes),
        Change::Reply(reply) => {
            format!(
                "reply {} {} {} calls {}",
                reply.thread,
                reply.finish_reason,
                reply.calls.len(),
                reply.head
            )
        }
        Change::ToolResult(result) => {
            let outcome = if result.failed { "failed" } else { "ok" };
            format!("result {} {outcome} {} {}", result.name, result.bytes, result.head)
        }
    });
    let left = |key| view.annotation(key).unwrap_or("?").to_owned();
    format!(
        "step {}; steps-left {}; tool-calls-left {}; tools {}; {}",
        view.step,
        left("steps-left"),
        left("tool-calls-left"),
        view.tools.join(","),
        changes.collect::<Vec<_>>().join("; ")
    )
}

fn spin() -> ! {
    let mut turns: u64 = 0;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

#[cfg(target_arch = "wasm32")]
fn random() -> String {
    let now = wasip2::clocks::wall_clock::now();
    let random = wasip2::random::random::get_random_u64();
    format!("random {random:016x} clock {}.{:09}", now.seconds, now.nanoseconds)
}

#[cfg(not(target_arch = "wasm32"))]
fn random() -> String {
    "random 0 clock 0".to_owned()
}
