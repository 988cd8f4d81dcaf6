//! What an open runtime consists of, and how a request becomes work on a session.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbar_agent::{Attended, Inbox, ResourceLocks, RunAgent, RunMemory, Tape};
use sandbar_plugins::{Grant, Kind, Plugins, Sandbox, SandboxSpec, Workspace};
use sandbar_protocol::policy::Origin;
use sandbar_protocol::{
    Answer, Answerers, AuditDecision, AuditEntry, Error, ErrorKind, Limits, Model, Result, RunId, Schema, SessionId,
    SuspensionId, Tool, WorkspaceId, kill_point,
};
use sandbar_store::{
    NewSession, NewWorkspace, RunSummary, Store, SuspensionState, SuspensionSummary, WorkspaceKind, run_finished,
    suspension_not_found,
};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::config::agents::AgentConfig;
use crate::kernel_wall::check_workspace;
use crate::open::{OpenOptions, no_agent};
use crate::own_places;

use crate::secrets::Secrets;
use crate::sessions::{self, Kept, Sessions};
use crate::turnstile::Turnstile;
use crate::work::{Held, Job};

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) options: OpenOptions,
    pub(crate) store: Store,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) models: BTreeMap<String, Arc<dyn Model>>,
    pub(crate) grants: Arc<BTreeMap<String, Grant>>,
    pub(crate) secrets: Secrets,
    pub(crate) sessions: Sessions,
    pub(crate) locks: ResourceLocks,
    pub(crate) inbox: Inbox,
    /// What works on runs goes through it.
    pub(crate) turnstile: Turnstile,
    /// Runs in progress: they end when they end, not when their streams are dropped.
    pub(crate) runs: Mutex<JoinSet<()>>,
    /// The task that looks for what came from elsewhere; it ends with this.
    pub(crate) watch: Mutex<JoinSet<()>>,
}

impl Shared {
    pub(crate) fn runs(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find_agent(&self, name: Option<&str>) -> Result<&AgentConfig> {
        let name = name.unwrap_or(&self.config.default_agent);
        self.config.agents.get(name).ok_or_else(|| no_agent(name, &self.config))
    }

    /// A session that isn't there yet.
    pub(crate) fn begin(&self, id: Option<SessionId>, agent: Option<&str>) -> Result<Held> {
        let agent = self.find_agent(agent)?.clone();
        // Before there is a session: a run that can't start leaves none behind.
        self.plugins.check(&agent.pattern, Kind::Pattern)?;
        let id = id.unwrap_or_else(|| SessionId::from_entropy((self.options.entropy)()));
        let (new, workspace) = self.new_workspace()?;
        let workspace_id = new.id.clone();
        let session = NewSession {
            id,
            agent: agent.name.clone(),
            workspace: Some(new.id.clone()),
        };
        let writer = self.store.begin_session(session, Some(new))?;
        let sandbox = self.sandbox(writer.session(), workspace);
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
    pub(crate) async fn take_up(&self, id: &SessionId, agent: Option<&str>) -> Result<Held> {
        let writer = self.store.write_session(id).await?;
        kill_point("runtime.session.held");
        let summary = self
            .store
            .session_origin(id)?
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "no-session", format!("there is no session `{id}`")))?;
        // The agent that began the session goes on with it, unless it is gone from the configuration.
        let agent = match agent {
            None if self.config.agents.contains_key(&summary.agent) => Some(summary.agent.as_str()),
            agent => agent,
        };
        let agent = self.find_agent(agent)?.clone();
        let workspace = summary.workspace.ok_or_else(|| {
            Error::new(
                ErrorKind::Storage,
                "no-workspace",
                format!("the session `{id}` has no workspace"),
            )
        })?;
        let kept = match self.sessions.take(id, writer.head()) {
            Some(kept) => kept,
            None => Kept {
                conversation: sessions::read(&self.store, id, writer.head()).await?,
                sandbox: self.sandbox(id, self.open_workspace(&workspace)?),
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
    pub(crate) fn agent(
        &self,
        held: &Held,
        agent: &AgentConfig,
        run: &RunId,
        limits: Option<Limits>,
    ) -> Result<RunAgent> {
        self.secrets.check(&self.config, &self.plugins, &agent.plugins)?;
        let mut tools = tools(&held.kept.sandbox, &agent.plugins);
        tools.extend(self.options.tools.iter().cloned());
        Ok(RunAgent {
            name: agent.name.clone(),
            instructions: agent.instructions.clone(),
            model: self.model(&agent.model)?,
            tools,
            memory: agent.memory.as_deref().map(|name| memory(&held.kept.sandbox, name)),
            pattern: held.kept.sandbox.pattern(&agent.pattern, run)?,
            pattern_is: (
                agent.pattern.clone(),
                self.plugins.digest_of(&agent.pattern, Kind::Pattern)?,
            ),
            limits: limits.map_or(agent.limits, |limits| agent.limits.tightened_by(limits)),
            when_used_up: agent.when_used_up,
            origin: Origin::default(),
            delegates: agent.delegates.clone(),
        })
    }

    fn model(&self, name: &str) -> Result<Arc<dyn Model>> {
        let model = self.models.get(name);
        model
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::Config, "no-model", format!("there is no model `{name}`")))
    }

    /// The run of a session that was cut off or waits, if there is one that can go on.
    pub(crate) fn unfinished_job(&self, held: &Held, attended: &Attended) -> Result<Option<Job>> {
        let Some(run) = self.store.unfinished_run(held.writer.session())? else {
            return Ok(None);
        };
        if matches!(attended, Attended::Nobody)
            && !run.cancel_asked
            && let Some(open) = self.waits_for(&run)?
        {
            let message = format!(
                "the run `{}` of the session `{}` waits for an answer to `{}` ({})",
                run.id,
                run.session,
                open.suspension.id,
                open.suspension.kind.as_str()
            );
            return Err(
                Error::new(ErrorKind::Busy, "session-suspended", message).with_hint(format!(
                    "`sandbar runs answer {}` answers it, `sandbar runs cancel {}` ends the run",
                    open.suspension.id, run.id
                )),
            );
        }
        self.recorded_job(held, &run).map(Some)
    }

    /// What a run waits for: a question of its own, or of a run that works for it.
    fn waits_for(&self, run: &RunSummary) -> Result<Option<SuspensionSummary>> {
        let now_ms = self.options.clock.now_ms();
        let waiting =
            |found: &SuspensionSummary| found.state == SuspensionState::Open && found.suspension.expires_ms > now_ms;
        let mut run = run.clone();
        loop {
            if let Some(open) = self.store.suspensions(&run.id)?.into_iter().find(waiting) {
                return Ok(Some(open));
            }
            match self.store.open_child(&run.id)? {
                Some(child) if child.stop_reason.is_none() => run = child,
                _ => return Ok(None),
            }
        }
    }

    /// A run as the journal has it: it goes on with what it began with, also where the configuration has changed since.
    pub(crate) fn recorded_job(&self, held: &Held, found: &RunSummary) -> Result<Job> {
        let (tape, run) = (self.tape(found)?, &found.id);
        kill_point("runtime.tape.read");
        let start = tape.start().cloned().ok_or_else(|| begins_nowhere(run))?;
        // Somebody else may have brought it to its end before its session was held here.
        if tape.is_finished() {
            return Err(run_finished(run));
        }
        let cancelled = found.cancel_asked;
        // It has the agent that began it, whoever began the session and whoever is asked next. One that has only to end needs none.
        let config = match self.find_agent(Some(&start.agent)) {
            Err(_) if cancelled => &held.agent,
            found => found?,
        };
        let mut agent = self.agent(held, config, run, None)?;
        let setup = start.setup;
        // A run that has only to end is decided by nobody.
        if !cancelled {
            if agent.pattern_is.0 != setup.pattern {
                agent.pattern = held.kept.sandbox.pattern(&setup.pattern, run)?;
            }
            let digest = self.plugins.digest_of(&setup.pattern, Kind::Pattern)?;
            if digest != setup.pattern_digest {
                return Err(pattern_changed(run, &setup.pattern, &setup.pattern_digest));
            }
            agent.pattern_is = (setup.pattern, digest);
        }
        agent.memory = setup.memory.as_deref().map(|name| memory(&held.kept.sandbox, name));
        agent.instructions = setup.instructions;
        agent.limits = setup.limits;
        agent.origin = setup.origin;
        if self.models.contains_key(&setup.model) {
            agent.model = self.model(&setup.model)?;
        }
        Ok(Job {
            run: run.clone(),
            parent: start.parent,
            message: start.message,
            agent,
            tape,
            cancelled,
        })
    }

    /// What the journal has of a run.
    pub(crate) fn tape(&self, run: &RunSummary) -> Result<Tape> {
        let mut tape = Tape::default();
        self.store.each_event(&run.session, run.first_sequence - 1, |event| {
            if event.run == run.id {
                tape.apply(event);
            }
        })?;
        Ok(tape)
    }

    /// Whether an answer may be given by them, and fits.
    pub(crate) fn check_answer(&self, id: &SuspensionId, answer: &Answer, who: Answerers) -> Result<SuspensionSummary> {
        let found = self.store.suspension(id)?.ok_or_else(|| suspension_not_found(id))?;
        if who < found.suspension.answered_by {
            let message = format!("`{id}` is for an operator to answer");
            return Err(Error::new(ErrorKind::Denied, "not-yours-to-answer", message)
                .with_hint("whoever runs Sandbar can, with `sandbar runs answer`"));
        }
        Schema::compile(&found.suspension.schema)?
            .check(&answer.value)
            .map_err(|problems| {
                let message = format!("the answer does not fit what `{id}` asks: {}", problems.join("; "));
                let shown = found.suspension.schema.to_string();
                let shown = &shown[..shown.floor_char_boundary(600)];
                Error::new(ErrorKind::InvalidInput, "answer-does-not-fit", message)
                    .with_hint(format!("the schema of the answer is {shown}"))
            })?;
        Ok(found)
    }

    /// A text from outside without the values that must not get any further.
    pub(crate) fn cleaned(&self, text: &str, what: &str) -> String {
        match self.secrets.protected.redact(text) {
            Cow::Borrowed(_) => text.to_owned(),
            Cow::Owned(redacted) => {
                self.note_leak(text.as_bytes(), what);
                redacted
            }
        }
    }

    /// The same for what a person has answered.
    pub(crate) fn cleaned_answer(&self, mut answer: Answer) -> Answer {
        let written = answer.value.to_string();
        if self.secrets.protected.redact_json(&mut answer.value) {
            self.note_leak(written.as_bytes(), "an answer");
        }
        answer
    }

    /// Whoever is asked may answer with a value that must not get any further.
    pub(crate) fn cleaned_attended(self: &Arc<Self>, attended: Attended) -> Attended {
        let Attended::By(asker) = attended else {
            return attended;
        };
        if self.secrets.protected.is_empty() {
            return Attended::By(asker);
        }
        let shared = Arc::downgrade(self);
        Attended::By(Arc::new(move |suspension| {
            let (answer, shared) = (asker(suspension), shared.clone());
            Box::pin(async move {
                let answer = answer.await?;
                // Without the runtime nobody goes on with it.
                Some(shared.upgrade()?.cleaned_answer(answer))
            })
        }))
    }

    fn note_leak(&self, text: &[u8], what: &str) {
        if let Some(leak) = self.secrets.protected.find(text) {
            let entry = AuditEntry {
                decision: AuditDecision::Redacted,
                ..AuditEntry::of("leak", &format!("{} as {} in {what}", leak.name, leak.form))
            };
            (self.store.audit_sink())(entry);
        }
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
                let path = self.config.data_dir.join(own_places::WORKSPACES).join(id.as_str());
                (id, WorkspaceKind::Own, path)
            }
        };
        let workspace = self.workspace_at(kind, &path)?;
        Ok((NewWorkspace { id, kind, path }, workspace))
    }

    pub(crate) fn open_workspace(&self, id: &WorkspaceId) -> Result<Arc<Workspace>> {
        let workspace = self.store.workspace(id)?.ok_or_else(|| {
            Error::new(
                ErrorKind::Storage,
                "no-workspace",
                format!("there is no workspace `{id}`"),
            )
        })?;
        if workspace.kind == WorkspaceKind::User {
            own_places::check_workspace(&workspace.path, &self.config)?;
        }
        check_workspace(&workspace.path, &self.config)?;
        self.workspace_at(workspace.kind, &workspace.path)
    }

    fn workspace_at(&self, kind: WorkspaceKind, path: &Path) -> Result<Arc<Workspace>> {
        let room = self.config.workspace_bytes;
        Ok(Arc::new(match kind {
            WorkspaceKind::User => Workspace::open(path, room)?,
            WorkspaceKind::Own => Workspace::made_when_needed(path, room),
        }))
    }

    /// One whose id is nobody's, for what calls no tool: it needs no workspace, and touches no session's instances.
    pub(crate) fn bare_sandbox(&self) -> Sandbox {
        self.plugins.sandbox(SandboxSpec {
            session: SessionId::from_entropy((self.options.entropy)()),
            workspace: None,
            grants: self.grants.clone(),
        })
    }

    pub(crate) fn sandbox(&self, session: &SessionId, workspace: Arc<Workspace>) -> Arc<Sandbox> {
        Arc::new(self.plugins.sandbox(SandboxSpec {
            session: session.clone(),
            workspace: Some(workspace),
            grants: self.grants.clone(),
        }))
    }
}

/// Tools of the usable plugins: a broken one is reported and left out, so that it doesn't stop the others.
pub(crate) fn tools(sandbox: &Sandbox, plugins: &[String]) -> Vec<Arc<dyn Tool>> {
    let mut tools = Vec::new();
    for plugin in plugins {
        match sandbox.tools(plugin) {
            Ok(more) => tools.extend(more),
            Err(error) => tracing::warn!(%plugin, "{error}"),
        }
    }
    tools
}

/// A memory that can't be used is told so by whoever asks it, and stops nobody.
fn memory(sandbox: &Sandbox, name: &str) -> RunMemory {
    RunMemory {
        name: name.to_owned(),
        plugin: sandbox.memory(name),
    }
}

/// A user's directory is one workspace for all sessions that see it.
fn id_of_directory(path: &Path) -> WorkspaceId {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    WorkspaceId::from_entropy(u64::from_be_bytes(
        digest[..8].try_into().expect("a SHA-256 has 32 bytes"),
    ))
}

fn begins_nowhere(run: &RunId) -> Error {
    Error::new(
        ErrorKind::Storage,
        "journal-corrupt",
        format!("the journal has no beginning of the run `{run}`"),
    )
}

fn pattern_changed(run: &RunId, pattern: &str, digest: &str) -> Error {
    let digest = &digest[..digest.floor_char_boundary(16)];
    Error::new(
        ErrorKind::Config,
        "pattern-changed",
        format!("the run `{run}` began with another component as the pattern `{pattern}` ({digest}…)"),
    )
    .with_hint(format!(
        "put that component back, or end the run with `sandbar runs cancel {run}`"
    ))
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("data_dir", &self.config.data_dir)
            .finish_non_exhaustive()
    }
}
