//! Replay: the pattern is asked again on what it saw, and what it decides is compared with what it decided. Nothing is called.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use sandbar_protocol::{
    Action, Change, Clock, Decision, Error, Event, EventBody, Message, Model, ModelRequest, ModelStream, Pattern,
    Result, RunId, SessionId, SystemClock,
};

use crate::budget::WhenUsedUp;
use crate::consent::{Attended, ConsentRules};
use crate::conversation::Conversation;
use crate::effects::{Delegating, Effects, State, end_of_tape};
use crate::inbox::Inbox;
use crate::locks::ResourceLocks;
use crate::memory::RunMemory;
use crate::spending::Spending;
use crate::steps::Loop;
use crate::tape::Tape;

/// A recorded run, and the pattern to run on it.
pub struct ReplayInput {
    pub session: SessionId,
    pub run: RunId,
    pub tape: Tape,
    pub pattern: Box<dyn Pattern>,
}

/// One step, then and now.
#[derive(Debug, Clone)]
pub struct ReplayedStep {
    pub step: u32,
    /// What the pattern saw.
    pub changes: Vec<Change>,
    pub recorded: Decision,
    /// What it decides now. State is there only where it changed.
    pub decided: Result<Decision>,
}

#[derive(Debug, Default)]
pub(crate) struct Replaying {
    pub(crate) steps: Vec<ReplayedStep>,
}

impl ReplayedStep {
    pub fn agrees(&self) -> bool {
        self.decided.as_ref().is_ok_and(|decided| *decided == self.recorded)
    }

    /// The threads on which this step called the model.
    pub fn model_threads(&self) -> impl Iterator<Item = &str> {
        self.recorded.actions.iter().filter_map(|action| match action {
            Action::Model(model) => Some(model.thread.as_str()),
            _ => None,
        })
    }
}

/// Goes over a run to the end of its recording.
pub async fn replay(input: ReplayInput) -> Result<Vec<ReplayedStep>> {
    let mut tape = input.tape;
    let start = tape.start().cloned().ok_or_else(end_of_tape)?;
    let limits = start.setup.limits;
    let effects = Effects {
        writer: None,
        session: input.session,
        run: input.run,
        model: Arc::new(Silent),
        instructions: start.setup.instructions,
        origin: start.setup.origin,
        tools: Vec::new(),
        workspace: start.workspace,
        locks: ResourceLocks::default(),
        spending: Spending::start(limits, std::time::Duration::ZERO),
        // What was recalled is on the tape.
        memory: start.setup.memory.map(|name| RunMemory {
            name,
            plugin: Err(end_of_tape()),
        }),
        delegating: Delegating {
            agents: Vec::new(),
            agent: start.agent,
            depth: 0,
            delegate: None,
        },
        attended: Attended::Nobody,
        consent: Arc::new(ConsentRules::default()),
        inbox: Inbox::default(),
        clock: Arc::new(SystemClock) as Arc<dyn Clock>,
        conversation: tokio::sync::Mutex::default(),
        state: State::of(&mut tape),
        // A run that was asked for more is asked for more on the tape.
        tape,
    };
    let when_used_up = match effects.tape.was_extended() {
        true => WhenUsedUp::Ask,
        false => WhenUsedUp::Stop,
    };
    let mut looping = Loop::new(&effects, input.pattern, when_used_up);
    looping.replaying = Some(Replaying::default());
    let ended = looping.drive(start.message).await;
    match ended.error {
        Some(error) if error.code == "other-recording" => Err(error),
        _ => Ok(looping.replaying.take().unwrap_or_default().steps),
    }
}

/// What the model was sent, by effect: the messages of its thread at that moment.
pub fn seen_by_models(events: &[Event], run: &RunId) -> BTreeMap<String, Vec<Arc<Message>>> {
    let mut conversation = Conversation::default();
    let mut seen = BTreeMap::new();
    for event in events {
        conversation.apply(event);
        if let EventBody::ModelStarted { effect, thread, .. } = &event.body
            && event.run == *run
        {
            seen.insert(effect.clone(), conversation.messages(thread));
        }
    }
    seen
}

/// The model of a replay: nothing asks it.
#[derive(Debug)]
struct Silent;

impl Model for Silent {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn call(&self, _: ModelRequest) -> ModelStream {
        stream::iter([Err::<_, Error>(end_of_tape())]).boxed()
    }
}

impl std::fmt::Debug for ReplayInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplayInput")
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}
