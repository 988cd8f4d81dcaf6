//! The program that dies: it opens a runtime, goes on with what is unfinished, begins what is not begun, and says what it is shown.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use sandbar::protocol::{
    Answer, Answerers, Error, Event, RunRequest, SessionId, StreamItem, Suspension, SuspensionKind, arm_kill_point,
    drop_intents, passages,
};
use sandbar::store::{RunSummary, SuspensionState, SuspensionSummary};
use sandbar::{Answered, Attended, OpenOptions, RunStream, Runtime};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use super::world::{self, BREAKING, BREAKS, DENIED, SCENES, Scene};
use super::{elsewhere, server, tools};

/// Be the process that dies.
#[derive(Debug, Args)]
pub(crate) struct KillChild {
    /// The directory of the trial.
    directory: PathBuf,
    /// The counting server.
    #[arg(long)]
    server: SocketAddr,
    /// Where to die, as in `store.commit.done:3`.
    #[arg(long)]
    kill_at: Option<String>,
    /// Leave to a successor what it is for.
    #[arg(long)]
    leave: bool,
    /// Write no intents of tool calls.
    #[arg(long)]
    without_intents: bool,
    /// Begin nothing: only answer what others ask, until there is no more input.
    #[arg(long)]
    elsewhere: bool,
}

/// One session, as this process sees it.
pub(super) struct Session {
    runtime: Runtime,
    scene: &'static Scene,
    id: SessionId,
    server: SocketAddr,
    leave: bool,
    /// The last event that was shown.
    last: u64,
}

impl KillChild {
    pub(crate) fn run(self) -> Result<()> {
        if let Some(what) = &self.kill_at {
            arm_kill_point(what)?;
        }
        if self.without_intents {
            drop_intents();
        }
        tokio::runtime::Runtime::new()?.block_on(self.live())
    }

    async fn live(self) -> Result<()> {
        let options = OpenOptions {
            tools: tools::all(self.server)?,
            ..OpenOptions::default()
        };
        let runtime = Runtime::open_with(world::config(&self.directory)?, options).await?;
        if self.elsewhere {
            elsewhere::answer_others(&runtime, self.server).await?;
            runtime.close().await;
            return Ok(());
        }
        let mut sessions = JoinSet::new();
        for scene in &SCENES {
            let mut session = Session::new(&runtime, scene, self.server)?;
            session.leave = self.leave && scene.left;
            sessions.spawn(session.go());
        }
        while let Some(ended) = sessions.join_next().await {
            ended.context("a session's task has ended badly")??;
        }
        if !self.leave {
            for scene in &SCENES {
                replay(&runtime, scene).await?;
            }
        }
        runtime.close().await;
        for (point, count) in passages() {
            say(&format!("passed {point} {count}"))?;
        }
        Ok(())
    }
}

impl Session {
    pub(super) fn new(runtime: &Runtime, scene: &'static Scene, server: SocketAddr) -> Result<Self> {
        Ok(Self {
            runtime: runtime.clone(),
            scene,
            id: SessionId::parse(scene.session)?,
            server,
            leave: false,
            last: 0,
        })
    }

    /// Until every request has its run, and every run its end.
    async fn go(mut self) -> Result<()> {
        loop {
            let runs = match self.runtime.store().session(&self.id)? {
                Some(_) => self.runtime.store().runs(&self.id)?,
                None => Vec::new(),
            };
            match runs.iter().find(|run| run.finished_ms.is_none()) {
                Some(run) => {
                    if !self.go_on(run).await? {
                        return Ok(());
                    }
                }
                None if runs.len() == self.scene.requests.len() => return Ok(()),
                None => {
                    if self.scene.session == BREAKING && !runs.is_empty() {
                        self.bring_back().await?;
                    }
                    let request = RunRequest {
                        session: Some(self.id.clone()),
                        agent: Some(self.scene.agent.to_owned()),
                        ..RunRequest::new(self.scene.requests[runs.len()])
                    };
                    match self.runtime.run_attended(request, self.attended()).await {
                        Ok(stream) => self.read(stream).await?,
                        Err(error) => self.give_way(error).await?,
                    }
                }
            }
        }
    }

    /// As a person does with a plugin that was put aside. A process that died may have done it.
    async fn bring_back(&self) -> Result<()> {
        let store = self.runtime.store();
        let health = store.plugin_health()?;
        if health
            .iter()
            .any(|found| found.plugin == BREAKS && found.put_aside_ms.is_some())
        {
            store.enable_plugin(BREAKS, "torture").await?;
        }
        Ok(())
    }

    /// False where it is left as it is.
    async fn go_on(&mut self, run: &RunSummary) -> Result<bool> {
        let (below, open) = self.lowest(run)?;
        let resumed = match open {
            Some(_) if self.leave => return Ok(false),
            Some(open) if self.scene.cancelled && open.suspension.kind == SuspensionKind::Approval => {
                return self.cancel(run).await.map(|()| true);
            }
            // Who is there is asked by the run itself.
            Some(open) if !self.scene.attended => {
                let SuspensionSummary {
                    suspension,
                    session,
                    run,
                    ..
                } = open;
                let answer = answer(&suspension, session.as_str(), run.as_str(), self.server).await?;
                let (who, attended) = (Answerers::Operator, self.attended());
                match self.runtime.answer(&suspension.id, answer, who, attended).await {
                    Ok(Answered::Resumed(stream)) => Ok(*stream),
                    // The run has seen the answer by itself.
                    Ok(Answered::Left { .. }) => {
                        self.follow_own().await?;
                        return Ok(true);
                    }
                    Err(error) => Err(error),
                }
            }
            // It works for this one here already.
            None if below.id != run.id && self.runtime.store().holder(&below.session)?.is_some() => {
                self.follow(&below.session, 0).await?;
                return Ok(true);
            }
            _ => self.runtime.resume(&run.id, self.attended()).await,
        };
        match resumed {
            Ok(stream) => self.read(stream).await?,
            Err(error) => self.give_way(error).await?,
        }
        Ok(true)
    }

    /// The run that works for this one, or for one that does, and what it asks.
    fn lowest(&self, run: &RunSummary) -> Result<(RunSummary, Option<SuspensionSummary>)> {
        let (store, mut run) = (self.runtime.store(), run.clone());
        loop {
            let found = store.suspensions(&run.id)?;
            let open = found.into_iter().find(|found| found.state == SuspensionState::Open);
            match store.open_child(&run.id)? {
                Some(child) if open.is_none() && child.stop_reason.is_none() => run = child,
                _ => return Ok((run, open)),
            }
        }
    }

    async fn cancel(&mut self, run: &RunSummary) -> Result<()> {
        let after = self
            .runtime
            .store()
            .session(&self.id)?
            .map_or(0, |session| session.events);
        self.runtime.cancel(&run.id).await?;
        let mut events = self.runtime.store().follow(&self.id, after);
        while let Some(event) = events.next().await {
            let event = event?;
            self.show(&event)?;
        }
        Ok(())
    }

    fn attended(&self) -> Attended {
        if !self.scene.attended {
            return Attended::Nobody;
        }
        let (server, store, session) = (self.server, self.runtime.store().clone(), self.id.clone());
        Attended::By(Arc::new(move |suspension| {
            let (store, session) = (store.clone(), session.clone());
            Box::pin(async move {
                let run = store.suspension(&suspension.id).ok()??.run;
                answer(&suspension, session.as_str(), run.as_str(), server).await.ok()
            })
        }))
    }

    pub(super) async fn read(&mut self, mut stream: RunStream) -> Result<()> {
        while let Some(item) = stream.next().await {
            if let StreamItem::Event(event) = item? {
                self.show(&event)?;
            }
        }
        stream.result().await?;
        Ok(())
    }

    /// Somebody else was faster: they have the session, have answered, or have ended the run.
    pub(super) async fn give_way(&mut self, error: Error) -> Result<()> {
        match error.code.as_str() {
            "session-busy" => self.follow_own().await,
            "already-answered" | "run-finished" => Ok(()),
            _ => Err(error.into()),
        }
    }

    async fn follow_own(&mut self) -> Result<()> {
        let id = self.id.clone();
        self.follow(&id, self.last).await
    }

    async fn follow(&mut self, session: &SessionId, after: u64) -> Result<()> {
        let mut events = self.runtime.store().follow(session, after);
        while let Some(event) = events.next().await {
            let event = event?;
            self.show(&event)?;
        }
        Ok(())
    }

    /// From here on it was acknowledged.
    fn show(&mut self, event: &Event) -> Result<()> {
        if event.session == self.id {
            self.last = event.sequence;
        }
        let (session, name) = (event.session.as_str(), event.body.name());
        say(&format!("event {session} {} {name} {}", event.sequence, digest(event)?))
    }
}

/// Whatever the deaths of processes did to a run, its pattern decides the same on what it saw.
async fn replay(runtime: &Runtime, scene: &Scene) -> Result<()> {
    for run in runtime.store().runs(&SessionId::parse(scene.session)?)? {
        let replay = runtime.replay(&run.id).await?;
        if let Some(step) = replay.steps.iter().find(|step| !step.agrees()) {
            bail!(
                "session `{}`: its pattern decides otherwise when replayed: {step:?}",
                scene.session
            );
        }
    }
    Ok(())
}

/// What the person says: the truth, if they are asked for it.
pub(super) async fn answer(suspension: &Suspension, session: &str, run: &str, server: SocketAddr) -> Result<Answer> {
    let value = match (suspension.kind, &suspension.call) {
        (SuspensionKind::Approval, _) if session == DENIED => json!({ "decision": "deny", "reason": "not today" }),
        (SuspensionKind::Approval, _) if session == "attended" => json!({ "decision": "session" }),
        (SuspensionKind::Approval, _) => json!({ "decision": "once" }),
        (SuspensionKind::Question, _) => json!("red"),
        (SuspensionKind::UnknownOutcome, Some(call)) => {
            let tool = tools::short(&call.tool);
            match server::is_done(server, tool, &tools::key(session, run, &call.call_id)).await? {
                true => json!({ "decision": "result", "text": tools::output(tool, &call.call_id).text }),
                false => json!({ "decision": "retry" }),
            }
        }
        (SuspensionKind::Budget, _) => json!({ "decision": "extend", "by": 2 }),
        (SuspensionKind::SignIn, _) => {
            server::act(server, tools::SIGN_IN, session).await?;
            json!({ "decision": "done" })
        }
        (kind, _) => bail!("nothing in a trial asks for `{}`", kind.as_str()),
    };
    let by = "torture".to_owned();
    Ok(Answer { value, by })
}

/// Names an event, as it is written.
pub(crate) fn digest(event: &Event) -> Result<String> {
    let json: Value = serde_json::to_value(event)?;
    let sum = Sha256::digest(json.to_string());
    Ok(sum.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// A line that the parent reads, whole or not at all.
fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()?;
    Ok(())
}
