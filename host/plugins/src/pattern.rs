//! A pattern of a plugin, as the agent loop asks it.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use sandbar_protocol::{
    Action, Artifact, AskAction, Change, Decision, Error, Message, ModelAction, OwnCall, Pattern, Result, Role, RunId,
    ToolRequest, ToolsAction, View, head,
};

use crate::bindings::pattern::exports::sandbar::plugin::pattern as wit;
use crate::boundary::{Boundary, Whose};
use crate::error::broken;
use crate::guest::{Call, CallPorts};
use crate::limits::{MAX_ACTIONS, MAX_PATTERN_STATE_BYTES};
use crate::plugins::Plugins;
use crate::sandbox::Setup;
use crate::seeded::Seed;
use crate::warm::WarmKey;

#[derive(Debug)]
pub(crate) struct WasmPattern {
    plugins: Arc<Plugins>,
    setup: Setup,
    key: WarmKey,
    seed: Seed,
    config: String,
}

impl WasmPattern {
    pub(crate) fn new(plugins: Arc<Plugins>, mut setup: Setup, run: &RunId, config: String) -> Self {
        let seed = Seed::default();
        setup.powers.seed = Some(seed.clone());
        let key = WarmKey::of(run.as_str(), &setup.plugin);
        Self {
            plugins,
            setup,
            key,
            seed,
            config,
        }
    }
}

impl Pattern for WasmPattern {
    fn step(&mut self, view: View) -> BoxFuture<'_, Result<Decision>> {
        async move {
            let ports = CallPorts {
                history: Some(view.history.clone()),
                whose: Whose {
                    session: Some(view.session.clone()),
                    run: Some(view.run.clone()),
                },
                ..CallPorts::default()
            };
            let settings = &self.plugins.host.egress.settings;
            let boundary = Boundary::new(settings, self.setup.plugin.name.clone(), ports.whose.clone());
            let setup = self.setup.call(&self.plugins, ports)?;
            self.seed.set(view.run.as_str(), view.step);
            let name = self.setup.plugin.name.clone();
            let view = to_wit(&view, &self.config);
            let call = Call::Pattern(Box::new(move |store, program| {
                async move { program.sandbar_plugin_pattern().call_step(store, &view).await }.boxed()
            }));
            let warm = self.plugins.host.warm.take(&self.key);
            let (result, guest) = setup.run(warm, call).await?;
            self.plugins.host.keep(self.key.clone(), guest);
            match result {
                Ok(decision) => {
                    let decision = from_wit(decision).map_err(|why| garbage(&name, &why))?;
                    boundary.decision(decision)
                }
                Err(error) => {
                    let error = broken("pattern-failed", format!("`{name}`: {}", error.message));
                    Err(boundary.error(error))
                }
            }
        }
        .boxed()
    }
}

impl Drop for WasmPattern {
    fn drop(&mut self) {
        self.plugins.host.warm.drop_owner(&self.key.owner);
    }
}

fn garbage(name: &str, why: &str) -> Error {
    broken(
        "bad-decision",
        format!("the pattern `{name}` decided something impossible: {why}"),
    )
    .with_hint("see `decision` in wit/pattern.wit")
}

fn to_wit(view: &View, config: &str) -> wit::View {
    wit::View {
        session: view.session.to_string(),
        run: view.run.to_string(),
        step: view.step,
        changes: view.changes.iter().map(change).collect(),
        state: view.state.to_vec(),
        tools: view.tools.clone(),
        annotations: vec![
            ("steps-left".to_owned(), view.steps_left.to_string()),
            ("tool-calls-left".to_owned(), view.tool_calls_left.to_string()),
            ("ms-left".to_owned(), view.ms_left.to_string()),
            ("config".to_owned(), config.to_owned()),
        ],
    }
}

fn change(change: &Change) -> wit::Change {
    match change {
        Change::Reply {
            id,
            thread,
            text,
            calls,
            finish_reason,
        } => wit::Change::Reply(wit::Reply {
            id: id.clone(),
            thread: thread.clone(),
            head: head(text).to_owned(),
            bytes: text.len() as u64,
            calls: calls
                .iter()
                .map(|call| wit::ToolCall {
                    id: call.id.clone(),
                    name: call.name.clone(),
                    input_head: head(&call.arguments).to_owned(),
                    annotations: Vec::new(),
                })
                .collect(),
            finish_reason: finish_reason.clone(),
            annotations: Vec::new(),
        }),
        Change::ToolResult { id, name, failed, text } => wit::Change::ToolResult(wit::ToolResult {
            id: id.clone(),
            name: name.clone(),
            failed: *failed,
            head: head(text).to_owned(),
            bytes: text.len() as u64,
            annotations: Vec::new(),
        }),
        Change::Note { id, kind, text } => wit::Change::Note(wit::Note {
            id: id.clone(),
            kind: kind.clone(),
            head: head(text).to_owned(),
            bytes: text.len() as u64,
            annotations: Vec::new(),
        }),
    }
}

fn from_wit(decision: wit::Decision) -> Result<Decision, String> {
    if decision.actions.is_empty() {
        return Err("no action".to_owned());
    }
    if decision.actions.len() > MAX_ACTIONS {
        return Err(format!(
            "{} actions, the limit is {MAX_ACTIONS}",
            decision.actions.len()
        ));
    }
    if let Some(state) = &decision.state
        && state.len() > MAX_PATTERN_STATE_BYTES
    {
        return Err(format!(
            "a state of {} bytes, the limit is {MAX_PATTERN_STATE_BYTES}",
            state.len()
        ));
    }
    let actions = decision.actions.into_iter().map(action).collect::<Result<_, _>>()?;
    Ok(Decision {
        actions,
        state: decision.state,
    })
}

fn action(action: wit::Action) -> Result<Action, String> {
    Ok(match action {
        wit::Action::Model(model) => Action::Model(ModelAction {
            thread: thread(model.thread)?,
            append: model.append.into_iter().map(message).collect::<Result<_, _>>()?,
            instructions: model.instructions,
            tools: model.tools,
            schema: model.schema.map(|text| json("schema", &text)).transpose()?,
        }),
        wit::Action::Tools(tools) => Action::Tools(ToolsAction {
            thread: thread(tools.thread)?,
            calls: tools
                .calls
                .into_iter()
                .map(|request| match request {
                    wit::ToolRequest::Asked(id) => ToolRequest::Asked(id),
                    wit::ToolRequest::Own(own) => ToolRequest::Own(OwnCall {
                        name: own.name,
                        input: own.input,
                    }),
                })
                .collect(),
        }),
        wit::Action::Delegate(delegate) => Action::Delegate {
            agent: delegate.agent,
            task: delegate.task,
        },
        wit::Action::Compact(compact) => Action::Compact {
            thread: thread(compact.thread)?,
        },
        wit::Action::Ask(ask) => Action::Ask(AskAction {
            schema: json("schema", &ask.schema)?,
            question: ask.question,
        }),
        wit::Action::Artifact(artifact) => Action::Artifact(Artifact {
            name: artifact.name,
            media_type: artifact.media_type,
            content: artifact.content,
        }),
        wit::Action::Discard(discard) => Action::Discard {
            id: discard.id,
            reason: discard.reason,
        },
        wit::Action::Emit(emit) => Action::Emit {
            json: json("news", &emit.json)?,
            name: emit.name,
        },
        wit::Action::Finish(finish) => Action::Finish {
            text: finish.text,
            reason: finish.reason,
        },
    })
}

fn message(message: wit::Message) -> Result<Message, String> {
    let role = match message.role.as_str() {
        "user" => Role::User,
        "system" => Role::System,
        other => return Err(format!("a message with the role {other:?}, wanted `user` or `system`")),
    };
    Ok(Message::new(role, message.text))
}

fn thread(name: String) -> Result<String, String> {
    let fits = (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if fits {
        Ok(name)
    } else {
        Err(format!("a thread named {name:?}, wanted 1 to 64 of A-Z a-z 0-9 . _ -"))
    }
}

fn json(what: &str, text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("a {what} that is not JSON: {error}"))
}
