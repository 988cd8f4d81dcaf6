//! The embeddable runtime: open it, run requests, read their streams.

use std::sync::{Arc, Mutex, PoisonError};

use sandbar_agent::{Attended, Cancel, Inbox, ResourceLocks, RunPlace, Tape};
use sandbar_plugins::{EgressSettings, Plugins};
use sandbar_protocol::{
    Answer, Answerers, Error, ErrorKind, Result, RunId, RunRequest, RunResult, StopReason, SuspensionId, ToolPowers,
    ToolSpec, kill_point,
};
use sandbar_store::{Store, StoreOptions, SuspensionState, run_finished};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::delegation;
use crate::health;
use crate::open::{Journal, OpenOptions, audit_recorded, check_names, grants, load_plugins_with, models};
use crate::own_places;
use crate::replay::Replay;
use crate::secrets::Secrets;
use crate::sessions::Sessions;
use crate::shared::{Shared, tools};
use crate::stream::RunStream;
use crate::turnstile::Turnstile;
use crate::work::{Held, Job, work};

/// The longest message that a run starts with.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// An open runtime. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Runtime {
    pub(crate) shared: Arc<Shared>,
}

/// A tool that an agent has.
#[derive(Debug, Clone)]
pub struct AgentTool {
    /// The plugin that it is of.
    pub plugin: String,
    pub spec: Arc<ToolSpec>,
    /// What a call of it could do, except that it sees no workspace here.
    pub powers: Option<ToolPowers>,
}

/// Runs that begin or go on in a session that is held.
pub(crate) struct Start {
    pub(crate) held: Held,
    /// One at least.
    pub(crate) jobs: Vec<Job>,
    pub(crate) attended: Attended,
    pub(crate) cancel: Cancel,
    /// The run above waits for the end of this one here.
    pub(crate) by_parent: bool,
}

impl Start {
    fn new(held: Held, jobs: Vec<Job>, attended: Attended) -> Self {
        Self {
            held,
            jobs,
            attended,
            cancel: Cancel::default(),
            by_parent: false,
        }
    }
}

/// What became of an answer.
#[derive(Debug)]
pub enum Answered {
    /// The run goes on here.
    Resumed(Box<RunStream>),
    /// Another process has the session and goes on with it; its process id, if it can be told.
    Left { holder: Option<String> },
}

impl Runtime {
    pub async fn open(config: Config) -> Result<Self> {
        Self::open_with(config, OpenOptions::default()).await
    }

    pub async fn open_with(config: Config, options: OpenOptions) -> Result<Self> {
        own_places::check(&config)?;
        let secrets = Secrets::read(&config);
        if let Some(protect) = &options.protect {
            protect(secrets.protected.clone());
        }
        let models = models(&config, &options, &secrets)?;
        let grants = Arc::new(grants(&config)?);
        let store_options = StoreOptions {
            clock: options.clock.clone(),
            max_bytes: options.max_journal_bytes,
            protected: secrets.protected.clone(),
            ..StoreOptions::default()
        };
        let store = match options.journal {
            Journal::Disk => Store::open(&config.data_dir, store_options)?,
            Journal::Memory => Store::in_memory(store_options)?,
        };
        let egress = EgressSettings {
            resolver: options.resolver.clone(),
            ..secrets.egress(&config, &store)
        };
        let plugins = load_plugins_with(&config, &options, egress).await?;
        // First: they are in the lock already, so that nobody would do it later.
        audit_recorded(&plugins, &store).await?;
        check_names(&config, &plugins)?;
        if let Some(agent) = config.agents.get(&config.default_agent) {
            secrets.check(&config, &plugins, &agent.plugins)?;
        }
        if config.put_aside {
            plugins.watch(health::watch(&store)?);
        }
        let kept = store.clone();
        plugins.keep_in(Arc::new(move |space, call| {
            let kept = kept.clone();
            Box::pin(async move { kept.key_values(space, call).await })
        }));
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                options,
                store,
                plugins,
                models,
                grants,
                secrets,
                sessions: Sessions::default(),
                locks: ResourceLocks::default(),
                inbox: Inbox::default(),
                turnstile: Turnstile::default(),
                runs: Mutex::default(),
                watch: Mutex::default(),
            }),
        })
    }

    /// Secrets that are so short that nothing is searched for them: whoever runs the program should know.
    pub fn short_secrets(&self) -> Vec<Error> {
        self.shared.secrets.short()
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

    /// Starts a run with nobody there to be asked. The stream is the only form of one; [`RunStream::result`] collects it.
    ///
    /// A session that doesn't exist is made. A session has one writer: if somebody else has it, the error is `session-busy`. If its
    /// last run was cut off, that one is continued first.
    pub async fn run(&self, request: RunRequest) -> Result<RunStream> {
        self.run_attended(request, Attended::Nobody).await
    }

    /// The same with somebody there.
    pub async fn run_attended(&self, request: RunRequest, attended: Attended) -> Result<RunStream> {
        check_message(&request.message)?;
        let this = self.again();
        self.in_turn(async move { this.begin_run(request, attended).await })
            .await
    }

    async fn begin_run(&self, request: RunRequest, attended: Attended) -> Result<RunStream> {
        let message = self.shared.cleaned(&request.message, "a message");
        kill_point("runtime.run.asked");
        let run = RunId::from_entropy((self.shared.options.entropy)());
        let held = match &request.session {
            Some(id) if self.shared.store.session_origin(id)?.is_some() => {
                self.shared.take_up(id, request.agent.as_deref()).await?
            }
            _ => self.shared.begin(request.session, request.agent.as_deref())?,
        };
        let unfinished = self.shared.unfinished_job(&held, &attended)?;
        let mut agent = self.shared.agent(&held, &held.agent, &run, request.limits)?;
        agent.origin = request.origin;
        let job = Job {
            agent,
            run,
            parent: None,
            message,
            tape: Tape::default(),
            cancelled: false,
        };
        Ok(self.start(Start::new(
            held,
            unfinished.into_iter().chain([job]).collect(),
            attended,
        )))
    }

    /// Goes on with a run that was cut off, or that has an answer to go on with.
    pub async fn resume(&self, run: &RunId, attended: Attended) -> Result<RunStream> {
        let (this, run) = (self.again(), run.clone());
        self.in_turn(async move { this.take_up_run(&run, attended).await })
            .await
    }

    async fn take_up_run(&self, run: &RunId, attended: Attended) -> Result<RunStream> {
        kill_point("runtime.resume.asked");
        let found = self.shared.store.run(run)?;
        if found.stop_reason.is_some() {
            return Err(run_finished(run));
        }
        let held = self.shared.take_up(&found.session, None).await?;
        // Again, now that nobody else can change it.
        let job = self.shared.recorded_job(&held, &self.shared.store.run(run)?)?;
        Ok(self.start(Start::new(held, vec![job], attended)))
    }

    /// Answers what a run waits for, and goes on with the run unless somebody else has its session and will.
    pub async fn answer(
        &self,
        id: &SuspensionId,
        answer: Answer,
        who: Answerers,
        attended: Attended,
    ) -> Result<Answered> {
        let found = self.shared.check_answer(id, &answer, who)?;
        let answer = self.shared.cleaned_answer(answer);
        if let Err(error) = self.shared.store.answer(id, answer).await {
            if error.code == "suspension-expired" {
                // Its run ends for that reason, with nobody asked again.
                self.resume(&found.run, Attended::Nobody).await?.result().await?;
            }
            return Err(error);
        }
        kill_point("runtime.answer.stored");
        match self.resume(&found.run, attended).await {
            Ok(stream) => Ok(Answered::Resumed(Box::new(stream))),
            // Who had the run has found the answer, and may have come to the end with it.
            Err(error) if ["session-busy", "run-finished"].contains(&error.code.as_str()) => Ok(Answered::Left {
                holder: self.shared.store.holder(&found.session)?,
            }),
            Err(error) => Err(error),
        }
    }

    /// Ends a run that goes on, waits, or was cut off, here or elsewhere. None where another process has it, which will.
    pub async fn cancel(&self, run: &RunId) -> Result<Option<RunResult>> {
        self.shared.store.ask_to_cancel(run).await?;
        match self.resume(run, Attended::Nobody).await {
            Ok(stream) => stream.result().await.map(Some),
            Err(error) if error.code == "session-busy" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Runs the pattern again on what it saw, and compares. Calls nothing, and changes nothing.
    pub async fn replay(&self, run: &RunId) -> Result<Replay> {
        crate::replay::replay(&self.shared, run).await
    }

    pub(crate) fn start(&self, start: Start) -> RunStream {
        let Start {
            held,
            jobs,
            attended,
            cancel,
            by_parent,
        } = start;
        let attended = self.shared.cleaned_attended(attended);
        let (sender, finished) = oneshot::channel();
        let last = jobs.last().map(|job| job.run.clone());
        let stream = RunStream {
            session: held.writer.session().clone(),
            run: last.expect("the caller gives one job at least"),
            cancel: cancel.clone(),
            subscription: held.writer.subscribe(held.writer.head()),
            finished: Some(finished),
            result: None,
            ended: false,
            last: None,
        };
        let place = RunPlace {
            workspace: Some(held.workspace.clone()),
            locks: self.shared.locks.clone(),
            inbox: self.shared.inbox.clone(),
            consent: self.shared.config.consent.clone(),
            clock: self.shared.options.clock.clone(),
            delegate: delegation::delegate(&self.shared),
        };
        self.watch_inbox();
        let shared = Arc::downgrade(&self.shared);
        let delegated = jobs.iter().filter(|job| job.parent.is_some() && !by_parent);
        let delegated: Vec<RunId> = delegated.map(|job| job.run.clone()).collect();
        let mut runs = self.shared.runs();
        while runs.try_join_next().is_some() {}
        kill_point("runtime.run.started");
        runs.spawn(self.shared.turnstile.through(async move {
            let result = work(held, jobs, attended.clone(), cancel, place, &shared).await;
            let waits = (result.stop_reason == StopReason::Suspended).then(|| result.run.clone());
            // First, so that nobody else takes the session for an answer that is given when it is known that the run waits.
            if let (Some(run), Some(shared)) = (waits, shared.upgrade()) {
                Self { shared }.go_on_if_answered(&run).await;
            }
            for run in delegated {
                if let Some(shared) = shared.upgrade() {
                    Self { shared }.go_on_above(&run, &attended).await;
                }
            }
            // Nobody may be reading.
            let _ = sender.send(result);
        }));
        stream
    }

    fn again(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }

    /// Through the turnstile, on a task of its own that ends with who waits for it.
    async fn in_turn<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let (sender, done) = oneshot::channel();
        let work = self.shared.turnstile.through(async move {
            // Nobody may be waiting any more.
            let _ = sender.send(work.await);
        });
        let _task = Aborted(self.shared.runs().spawn(work));
        done.await.unwrap_or_else(|_| Err(never_begun()))
    }

    /// An answer, or the end of a delegated run, may have come after the run had looked for one, and before its session could be taken by
    /// who brought it.
    async fn go_on_if_answered(&self, run: &RunId) {
        let store = &self.shared.store;
        let answered = store.suspensions(run).map(|found| {
            let mut found = found.into_iter();
            found.any(|found| found.state == SuspensionState::Answered)
        });
        let child_ended = store
            .open_child(run)
            .map(|child| child.is_some_and(|child| child.stop_reason.is_some()));
        if (answered.unwrap_or(false) || child_ended.unwrap_or(false))
            && let Err(error) = Box::pin(self.resume(run, Attended::Nobody)).await
        {
            tracing::info!(%run, %error, "a run with an answer is left to who brought it");
        }
    }

    /// One task looks for all runs of this process at what came for them from elsewhere.
    fn watch_inbox(&self) {
        let mut watch = self.shared.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if !watch.is_empty() {
            return;
        }
        let (inbox, shared) = (self.shared.inbox.clone(), Arc::downgrade(&self.shared));
        watch.spawn(async move {
            loop {
                inbox.wanted().await;
                tokio::time::sleep(sandbar_agent::POLL).await;
                let Some(shared) = shared.upgrade() else { return };
                match shared.store.inbox() {
                    Ok(found) => inbox.deliver(&found),
                    Err(error) => tracing::warn!(%error, "answers from elsewhere can't be looked for"),
                }
            }
        });
    }

    /// The tools that an agent has, with the names and the traits that hold for its calls; those of broken plugins are left out.
    pub fn tools(&self, agent: &str) -> Result<Vec<AgentTool>> {
        let agent = self.shared.find_agent(Some(agent))?;
        let sandbox = self.shared.bare_sandbox();
        let of_plugin = |plugin: &String| {
            let tools = tools(&sandbox, std::slice::from_ref(plugin)).into_iter();
            let named = tools.map(|tool| AgentTool {
                plugin: plugin.clone(),
                spec: tool.spec().clone(),
                powers: tool.powers().cloned(),
            });
            named.collect::<Vec<_>>()
        };
        Ok(agent.plugins.iter().flat_map(of_plugin).collect())
    }

    /// Waits until the runs in progress have ended, or wait for answers.
    pub async fn close(&self) {
        loop {
            let mut runs = std::mem::take(&mut *self.shared.runs());
            if runs.is_empty() {
                break;
            }
            while runs.join_next().await.is_some() {}
        }
        // Their sessions are free for others then. Where the journal has failed, who used it has been told.
        let _ = self.shared.store.settle().await;
    }
}

/// A task that ends when this is dropped.
struct Aborted(tokio::task::AbortHandle);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn never_begun() -> Error {
    Error::new(
        ErrorKind::Internal,
        "not-begun",
        "the task that was to begin the run has ended",
    )
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
