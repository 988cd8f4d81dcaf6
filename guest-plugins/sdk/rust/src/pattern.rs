//! Helpers for patterns: reading a view, building a decision.

use serde::de::DeserializeOwned;

use crate::Error;
use crate::view::{
    Action, ArtifactAction, AskAction, Change, CompactAction, Decision, DelegateAction, DiscardAction, EmitAction,
    FinishAction, Message, ModelAction, Note, OwnCall, Reply, ToolCall, ToolRequest, ToolsAction, View,
};

/// The thread that is the session's conversation.
const MAIN: &str = "main";

impl View {
    /// For native tests: the first step of a run in which this happened.
    pub fn of(changes: impl IntoIterator<Item = Change>) -> Self {
        Self {
            session: String::new(),
            run: String::new(),
            step: 1,
            changes: changes.into_iter().collect(),
            state: Vec::new(),
            tools: Vec::new(),
            annotations: Vec::new(),
        }
    }

    /// The user's message, in the first step of a run: its first 2 KiB. [`read_all`](crate::read_all) of the note's id gives all.
    pub fn request(&self) -> Option<&str> {
        self.changes.iter().find_map(|change| match change {
            Change::Note(note) if note.kind == "request" => Some(note.head.as_str()),
            _ => None,
        })
    }

    /// What a person answered to the last [`AskAction`], as JSON: its first 2 KiB.
    pub fn answer(&self) -> Option<&str> {
        self.changes.iter().rev().find_map(|change| match change {
            Change::Note(note) if note.kind == "answer" => Some(note.head.as_str()),
            _ => None,
        })
    }

    /// What the model answered since the last step, on whichever thread; the last one if there are several.
    pub fn last_reply(&self) -> Option<&Reply> {
        self.changes.iter().rev().find_map(|change| match change {
            Change::Reply(reply) => Some(reply),
            _ => None,
        })
    }

    /// The value of an annotation, such as `steps-left`.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        let found = self.annotations.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    /// The pattern's own configuration as a type.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(self.annotation("config").unwrap_or("{}"))
            .map_err(|error| Error::new("bad-config", format!("the pattern's configuration is wrong: {error}")))
    }
}

impl Change {
    /// For native tests: the user's message that starts a run.
    pub fn request(text: &str) -> Self {
        Self::Note(Note {
            id: "request".to_owned(),
            kind: "request".to_owned(),
            head: text.to_owned(),
            bytes: text.len() as u64,
            annotations: Vec::new(),
        })
    }

    /// For native tests: an answer of the model on the session's conversation that calls no tool.
    pub fn reply(text: &str) -> Self {
        Self::Reply(Reply {
            id: "reply".to_owned(),
            thread: MAIN.to_owned(),
            head: text.to_owned(),
            bytes: text.len() as u64,
            calls: Vec::new(),
            finish_reason: "stop".to_owned(),
            annotations: Vec::new(),
        })
    }
}

impl Decision {
    /// A decision must have an action before it is answered.
    pub fn new() -> Self {
        Self {
            actions: Vec::new(),
            state: None,
        }
    }

    /// Keeps this for the next step: at most 64 KiB.
    #[must_use]
    pub fn state(mut self, state: impl Into<Vec<u8>>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// Any action, such as a [`ModelAction`].
    #[must_use]
    pub fn then(mut self, action: impl Into<Action>) -> Self {
        self.actions.push(action.into());
        self
    }

    /// Calls the model on the session's conversation.
    #[must_use]
    pub fn model(self) -> Self {
        self.then(ModelAction::on(MAIN))
    }

    /// Runs calls that the model asked for; the session's conversation gets the results.
    #[must_use]
    pub fn asked<'a>(self, calls: impl IntoIterator<Item = &'a ToolCall>) -> Self {
        self.then(ToolsAction {
            thread: MAIN.to_owned(),
            calls: calls
                .into_iter()
                .map(|call| ToolRequest::Asked(call.id.clone()))
                .collect(),
            annotations: Vec::new(),
        })
    }

    /// Ends the run. Without a text the answer is that of the last reply.
    #[must_use]
    pub fn finish(self, text: Option<String>, reason: impl Into<String>) -> Self {
        self.then(FinishAction {
            text,
            reason: reason.into(),
            annotations: Vec::new(),
        })
    }
}

impl Default for Decision {
    fn default() -> Self {
        Self::new()
    }
}

impl ModelAction {
    /// A model call on a thread, with all tools and nothing appended.
    pub fn on(thread: impl Into<String>) -> Self {
        Self {
            thread: thread.into(),
            append: Vec::new(),
            instructions: None,
            tools: None,
            schema: None,
            annotations: Vec::new(),
        }
    }

    /// Appends a message of the user first.
    #[must_use]
    pub fn user(mut self, text: impl Into<String>) -> Self {
        self.append.push(Message {
            role: "user".to_owned(),
            text: text.into(),
        });
        self
    }
}

impl ToolRequest {
    /// A call of the pattern's own making.
    pub fn own(name: impl Into<String>, input: impl Into<String>) -> Self {
        Self::Own(OwnCall {
            name: name.into(),
            input: input.into(),
        })
    }
}

macro_rules! actions {
    ($($variant:ident $record:ident),*) => {$(
        impl From<$record> for Action {
            fn from(action: $record) -> Self {
                Self::$variant(action)
            }
        }
    )*};
}

actions!(
    Model ModelAction, Tools ToolsAction, Delegate DelegateAction, Compact CompactAction, Ask AskAction,
    Artifact ArtifactAction, Discard DiscardAction, Emit EmitAction, Finish FinishAction
);
