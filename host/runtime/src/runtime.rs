//! The embeddable runtime: open it, run requests, read their streams.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use sandbar_agent::{Cancel, ResourceLocks, RunAgent, RunInput};
use sandbar_plugins::{Grant, Kind, Plugins, Sandbox, SandboxSpec, Workspace};
use sandbar_protocol::{
    Approver, Error, ErrorKind, Model, Result, RunId, RunRequest, SessionId, Tool, ToolSpec, WorkspaceId,
};
use sandbar_store::{NewSession, NewWorkspace, SessionWriter, Store, StoreOptions, WorkspaceKind};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::config::agents::AgentConfig;
use crate::open::{Journal, OpenOptions, check_names, grants, load_plugins, models, no_agent};
use crate::sessions::{self, Kept, Sessions};
use crate::stream::RunStream;

/// The longest message that a run starts with.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// An open runtime. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    options: OpenOptions,
    store: Store,
    plugins: Arc<Plugins>,
    models: BTreeMap<String, Arc<dyn Model>>,
    grants: Arc<BTreeMap<String, Grant>>,
    sessions: Sessions,
    locks: ResourceLocks,
    /// Runs in progress: they end when they end, not when their streams are dropped.
    runs: Mutex<JoinSet<()>>,
}

/// A tool that an agent has.
#[derive(Debug, Clone)]
pub struct AgentTool {
    /// The plugin that it is of.
    pub plugin: String,
    pub spec: Arc<ToolSpec>,
}

/// A session that is held for writing, and what its run works on.
struct Held {
    writer: SessionWriter,
    kept: Kept,
    agent: AgentConfig,
    workspace: WorkspaceId,
}

impl Runtime {
    pub async fn open(config: Config) -> Result<Self> {
        Self::open_with(config, OpenOptions::default()).await
    }

    pub async fn open_with(config: Config, options: OpenOptions) -> Result<Self> {
        let models = models(&config, &options)?;
        let grants = Arc::new(grants(&config)?);
        let store_options = StoreOptions {
            clock: options.clock.clone(),
            max_bytes: options.max_journal_bytes,
        };
        let store = match options.journal {
            Journal::Disk => Store::open(&config.data_dir, store_options)?,
            Journal::Memory => Store::in_memory(store_options)?,
        };
        let plugins = load_plugins(&config, &options).await?;
        check_names(&config, &plugins)?;
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                options,
                store,
                plugins,
                models,
                grants,
                sessions: Sessions::default(),
                locks: ResourceLocks::default(),
                runs: Mutex::default(),
            }),
        })
    }

    pub fn plugins(&self) -> &Arc<Plugins> {
        &self.shared.plugins
    }

    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Starts a run. The stream is the only form of one; [`RunStream::result`] collects it.
    ///
    /// A session that doesn't exist is made. A session has one writer: if somebody else has it, the error is `session-busy`.
    pub async fn run(&self, request: RunRequest) -> Result<RunStream> {
        self.run_watched(request, None).await
    }

    /// The same with a person who is asked before a tool that may change something is called.
    pub async fn run_watched(&self, request: RunRequest, approver: Option<Approver>) -> Result<RunStream> {
        check_message(&request.message)?;
        let run = RunId::from_entropy((self.shared.options.entropy)());
        let held = match &request.session {
            Some(id) if self.shared.store.session(id)?.is_some() => self.resume(id, request.agent.as_deref()).await?,
            _ => self.begin(request.session, request.agent.as_deref())?,
        };
        let agent = self.agent(&held, &run, request.limits)?;
        let (session, writer) = (held.writer.session().clone(), Arc::new(held.writer));
        let approver = approver.map(|approver| after_what_led_there(approver, &writer));
        let cancel = Cancel::default();
        let (sender, finished) = oneshot::channel();
        let stream = RunStream {
            session: session.clone(),
            run: run.clone(),
            cancel: cancel.clone(),
            subscription: writer.subscribe(writer.head()),
            finished: Some(finished),
            result: None,
            ended: false,
            last: None,
        };
        let Kept { conversation, sandbox } = held.kept;
        let input = RunInput {
            writer,
            conversation,
            run,
            message: request.message,
            agent,
            workspace: Some(held.workspace),
            locks: self.shared.locks.clone(),
            cancel,
            approver,
        };
        let shared = Arc::downgrade(&self.shared);
        let mut runs = self.shared.runs.lock().unwrap_or_else(PoisonError::into_inner);
        while runs.try_join_next().is_some() {}
        runs.spawn(async move {
            let (result, conversation) = sandbar_agent::run(input).await;
            if let (Some(shared), Some(conversation)) = (shared.upgrade(), conversation) {
                shared.sessions.put(session, Kept { conversation, sandbox });
            }
            // Nobody may be reading.
            let _ = sender.send(result);
        });
        drop(runs);
        Ok(stream)
    }

    /// The tools that an agent has, with the names and the traits that hold for its calls; those of broken plugins are left out.
    pub fn tools(&self, agent: &str) -> Result<Vec<AgentTool>> {
        let agent = self.shared.find_agent(Some(agent))?;
        // Nothing is called in it: it needs no workspace, and its id is nobody's.
        let sandbox = self.shared.plugins.sandbox(SandboxSpec {
            session: SessionId::from_entropy((self.shared.options.entropy)()),
            workspace: None,
            grants: self.shared.grants.clone(),
        });
        let of_plugin = |plugin: &String| {
            let tools = tools(&sandbox, std::slice::from_ref(plugin)).into_iter();
            let named = tools.map(|tool| AgentTool {
                plugin: plugin.clone(),
                spec: tool.spec().clone(),
            });
            named.collect::<Vec<_>>()
        };
        Ok(agent.plugins.iter().flat_map(of_plugin).collect())
    }

    /// Waits until the runs in progress have ended.
    pub async fn close(&self) {
        loop {
            let mut runs = std::mem::take(&mut *self.shared.runs.lock().unwrap_or_else(PoisonError::into_inner));
            if runs.is_empty() {
                return;
            }
            while runs.join_next().await.is_some() {}
        }
    }

    /// A session that isn't there yet.
    fn begin(&self, id: Option<SessionId>, agent: Option<&str>) -> Result<Held> {
        let agent = self.shared.find_agent(agent)?.clone();
        // Before there is a session: a run that can't start leaves none behind.
        self.shared.plugins.check(&agent.pattern, Kind::Pattern)?;
        let id = id.unwrap_or_else(|| SessionId::from_entropy((self.shared.options.entropy)()));
        let (new, workspace) = self.shared.new_workspace()?;
        let workspace_id = new.id.clone();
        let session = NewSession {
            id,
            agent: agent.name.clone(),
            workspace: Some(new.id.clone()),
        };
        let writer = self.shared.store.begin_session(session, Some(new))?;
        let sandbox = self.shared.sandbox(writer.session(), workspace);
        Ok(Held {
            kept: Kept {
                conversation: sandbar_agent::Conversation::default(),
                sandbox,
            },
            writer,
            agent,
            workspace: workspace_id,
        })
    }

    /// A session with a history.
    async fn resume(&self, id: &SessionId, agent: Option<&str>) -> Result<Held> {
        let shared = &self.shared;
        let writer = shared.store.write_session(id).await?;
        let summary = shared
            .store
            .session(id)?
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "no-session", format!("there is no session `{id}`")))?;
        // The agent that began the session goes on with it, unless it is gone from the configuration.
        let agent = match agent {
            None if shared.config.agents.contains_key(&summary.agent) => Some(summary.agent.as_str()),
            agent => agent,
        };
        let agent = shared.find_agent(agent)?.clone();
        let workspace = summary.workspace.ok_or_else(|| {
            Error::new(
                ErrorKind::Storage,
                "no-workspace",
                format!("the session `{id}` has no workspace"),
            )
        })?;
        let kept = match shared.sessions.take(id, writer.head()) {
            Some(kept) => kept,
            None => Kept {
                conversation: sessions::read(&shared.store, id)?,
                sandbox: shared.sandbox(id, shared.open_workspace(&workspace)?),
            },
        };
        Ok(Held {
            writer,
            kept,
            agent,
            workspace,
        })
    }

    /// What the agent's names stand for.
    fn agent(&self, held: &Held, run: &RunId, limits: Option<sandbar_protocol::Limits>) -> Result<RunAgent> {
        let agent = &held.agent;
        let model = self.shared.models.get(&agent.model).ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                "no-model",
                format!("there is no model `{}`", agent.model),
            )
        })?;
        Ok(RunAgent {
            name: agent.name.clone(),
            instructions: agent.instructions.clone(),
            model: model.clone(),
            tools: tools(&held.kept.sandbox, &agent.plugins),
            pattern: held.kept.sandbox.pattern(&agent.pattern, run)?,
            limits: limits.map_or(agent.limits, |limits| agent.limits.tightened_by(limits)),
        })
    }
}

/// Tools of the usable plugins: a broken one is reported and left out, so that it doesn't stop the others.
fn tools(sandbox: &Sandbox, plugins: &[String]) -> Vec<Arc<dyn Tool>> {
    let mut tools = Vec::new();
    for plugin in plugins {
        match sandbox.tools(plugin) {
            Ok(more) => tools.extend(more),
            Err(error) => tracing::warn!(%plugin, "{error}"),
        }
    }
    tools
}

/// A person who is asked has seen what led to the question: it is in the journal before.
fn after_what_led_there(approver: Approver, writer: &Arc<SessionWriter>) -> Approver {
    // Weak: a question must not keep the session from its next run.
    let writer = Arc::downgrade(writer);
    Arc::new(move |request| {
        let (writer, approver) = (writer.upgrade(), approver.clone());
        Box::pin(async move {
            if let Some(writer) = writer {
                // Where the journal fails, the run ends by itself before anything is called.
                let _ = writer.flush().await;
            }
            approver(request).await
        })
    })
}

fn check_message(message: &str) -> Result<()> {
    if message.len() <= MAX_MESSAGE_BYTES {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        "message-too-large",
        format!(
            "the message has {} bytes, the limit is {MAX_MESSAGE_BYTES}",
            message.len()
        ),
    )
    .with_hint("put the text into a file of the workspace"))
}

impl Shared {
    fn find_agent(&self, name: Option<&str>) -> Result<&AgentConfig> {
        let name = name.unwrap_or(&self.config.default_agent);
        self.config.agents.get(name).ok_or_else(|| no_agent(name, &self.config))
    }

    /// The configured directory, which sessions share, or one of the session's own.
    fn new_workspace(&self) -> Result<(NewWorkspace, Arc<Workspace>)> {
        let (id, kind, path) = match &self.config.workspace {
            Some(path) => {
                let path = path.canonicalize().unwrap_or_else(|_| path.clone());
                (id_of_directory(&path), WorkspaceKind::User, path)
            }
            None => {
                let id = WorkspaceId::from_entropy((self.options.entropy)());
                let path = self.config.data_dir.join("workspaces").join(id.as_str());
                (id, WorkspaceKind::Own, path)
            }
        };
        let workspace = Arc::new(match kind {
            WorkspaceKind::User => Workspace::open(&path)?,
            WorkspaceKind::Own => Workspace::made_when_needed(&path),
        });
        Ok((NewWorkspace { id, kind, path }, workspace))
    }

    fn open_workspace(&self, id: &WorkspaceId) -> Result<Arc<Workspace>> {
        let workspace = self.store.workspace(id)?.ok_or_else(|| {
            Error::new(
                ErrorKind::Storage,
                "no-workspace",
                format!("there is no workspace `{id}`"),
            )
        })?;
        Ok(Arc::new(match workspace.kind {
            WorkspaceKind::User => Workspace::open(&workspace.path)?,
            WorkspaceKind::Own => Workspace::made_when_needed(&workspace.path),
        }))
    }

    fn sandbox(&self, session: &SessionId, workspace: Arc<Workspace>) -> Arc<Sandbox> {
        Arc::new(self.plugins.sandbox(SandboxSpec {
            session: session.clone(),
            workspace: Some(workspace),
            grants: self.grants.clone(),
        }))
    }
}

/// A user's directory is one workspace for all sessions that see it.
fn id_of_directory(path: &Path) -> WorkspaceId {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    WorkspaceId::from_entropy(u64::from_be_bytes(
        digest[..8].try_into().expect("a SHA-256 has 32 bytes"),
    ))
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("data_dir", &self.config.data_dir)
            .finish_non_exhaustive()
    }
}
