//! `sandbar run`: one request to an agent.

use std::io::{IsTerminal as _, Read as _};

use sandbar::plugins::Status;
use sandbar::protocol::{
    Error, ErrorKind, EventBody, Limits, Result, RunRequest, RunResult, SessionId, StopReason, StreamItem,
};
use sandbar::store::{RunSummary, Store};
use sandbar::{RunStream, Runtime};

use crate::above;
use crate::commands::plugins::open_runtime;
use crate::consent::{Calls, ConsentFlags, Desk, Unobserved, is_own};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::lines::summary;
use crate::model_flags::ModelFlags;
use crate::number::number;
use crate::options::Options;
use crate::style::Style;
use crate::terminal::{Stream, Terminal};
use crate::transcript::Transcript;
use crate::waiting;
use crate::watch::{show_as_json, watch_and_answer};

/// Ask an agent, and watch it work
///
/// The model's text goes to standard output, what happens beside it to standard error. With `--json` every event of the journal is a
/// line on standard output, with previews of the model's text (`model.delta`) and of running tools (`tool.delta`) between them.
///
/// Without a configuration, the agent looks at the files in the current directory, with the model that is found: OpenAI's if
/// OPENAI_API_KEY is set, else one that runs on this machine. In a terminal you are asked before a tool changes something.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The message; `-`, or nothing where standard input is not a terminal, reads it from there
    message: Vec<String>,
    /// The agent; the session's, or the default one, unless it is named
    #[arg(long, short)]
    agent: Option<String>,
    /// The session to go on with; it is begun if it isn't there. Without it every run begins a session
    #[arg(long, short, value_name = "ID", value_parser = SessionId::parse)]
    session: Option<SessionId>,
    /// At most so many decisions of the pattern
    #[arg(long, value_name = "N", value_parser = number::<u32>("how many decisions", 1..=u32::MAX.into(), "such as `--steps 20`"))]
    steps: Option<u32>,
    /// At most so many calls of tools
    #[arg(long, value_name = "N", value_parser = number::<u32>("how many calls", 0..=u32::MAX.into(), "such as `--tool-calls 10`"))]
    tool_calls: Option<u32>,
    /// At most so long
    #[arg(long, value_name = "SECONDS", value_parser = number::<u32>("how many seconds", 1..=u32::MAX.into(), "such as `--timeout 60`"))]
    timeout: Option<u32>,
    #[command(flatten)]
    consent: ConsentFlags,
    #[command(flatten)]
    model: ModelFlags,
}

impl Run {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let presence = self.consent.presence()?;
        let config = self.model.config(options, self.agent.as_deref())?;
        let request = self.request()?;
        Options::enclose(&config)?;
        Options::block_on(async {
            let (named, session) = (request.agent.as_deref(), request.session.as_ref());
            let runtime = open_runtime(config, named, session, &presence, terminal).await?;
            let agent = agent_of(&runtime, request.agent.as_deref(), request.session.as_ref())?;
            warn_of_broken_plugins(&runtime, &agent, terminal);
            warn_of_short_secrets(&runtime, terminal);
            let mut desk = Desk::new(presence);
            let before = unfinished(runtime.store(), request.session.as_ref())?;
            let stream = runtime.run_attended(request, desk.attended()).await?;
            if let Some(before) = before {
                tell_of_unfinished(&before, runtime.store(), terminal)?;
            }
            follow(stream, runtime, options, terminal, &mut desk).await
        })
    }

    fn request(self) -> Result<RunRequest> {
        let tightest = Limits {
            steps: u32::MAX,
            tool_calls: u32::MAX,
            wall_ms: u64::MAX,
        };
        let limits = Limits {
            steps: self.steps.unwrap_or(tightest.steps),
            tool_calls: self.tool_calls.unwrap_or(tightest.tool_calls),
            wall_ms: self
                .timeout
                .map_or(tightest.wall_ms, |seconds| u64::from(seconds) * 1000),
        };
        Ok(RunRequest {
            message: message(&self.message)?,
            agent: self.agent,
            session: self.session,
            limits: Some(limits),
            ..RunRequest::default()
        })
    }
}

fn message(words: &[String]) -> Result<String> {
    let message = match words {
        [] if std::io::stdin().is_terminal() => String::new(),
        [] => from_stdin()?,
        [only] if only == "-" => from_stdin()?,
        words => words.join(" "),
    };
    if message.trim().is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "no-message", "there is no message")
            .with_hint("write one, as in `sandbar run \"What is in the workspace?\"`, or talk with `sandbar chat`"));
    }
    Ok(message)
}

fn from_stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| {
        Error::new(
            ErrorKind::InvalidInput,
            "bad-message",
            format!("the message can't be read: {error}"),
        )
        .with_hint("standard input must be text in UTF-8")
        .with_source(error)
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Follows a run to its end, and tells how it ended.
pub(super) async fn follow(
    stream: RunStream,
    runtime: Runtime,
    options: &Options,
    terminal: &Terminal,
    desk: &mut Desk,
) -> Outcome {
    let above = above::runs(runtime.store(), stream.run())?;
    let mut result = show(stream, &runtime, terminal, desk, &mut Unobserved).await;
    if let Ok(ended) = &result
        && ended.stop_reason != StopReason::Suspended
    {
        result = above::show(above, ended.clone(), runtime.store(), options, terminal)
            .await
            .map_err(Into::into);
    }
    runtime.close().await;
    let result = result?;
    report(&result, runtime.store(), options, terminal)?;
    if !terminal.json && result.stop_reason != StopReason::Suspended {
        let again = format!("sandbar run{} --session {} \"…\"", options.repeated(), result.session);
        let label = terminal.paint(Stream::Err).with(Style::Dim, "continue:");
        terminal.note(&format!("  {label} {again}"));
    }
    Ok(Exit::of_result(&result))
}

/// Shows a run in the form that was asked for.
pub(super) async fn show(
    stream: RunStream,
    runtime: &Runtime,
    terminal: &Terminal,
    desk: &mut Desk,
    calls: &mut dyn Calls,
) -> Outcome<RunResult> {
    if terminal.json {
        let as_json = |item: &StreamItem| show_as_json(terminal, item);
        return watch_and_answer(stream, runtime, terminal, desk, calls, as_json).await;
    }
    let mut transcript = Transcript::new(Stream::Err, terminal.paint(Stream::Err));
    let as_text = |item: &StreamItem| {
        if !is_told_otherwise(item) {
            transcript.show(item, terminal);
        }
    };
    watch_and_answer(stream, runtime, terminal, desk, calls, as_text).await
}

/// A question is put to the person, or told when the run leaves; the answer that was given here needs no line.
fn is_told_otherwise(item: &StreamItem) -> bool {
    let StreamItem::Event(event) = item else { return false };
    match &event.body {
        EventBody::Suspended(_) => true,
        EventBody::Resumed { by, .. } => by.as_deref().is_some_and(is_own),
        _ => false,
    }
}

/// The run of a session that a new one has to wait for.
pub(super) fn unfinished(store: &Store, session: Option<&SessionId>) -> Result<Option<RunSummary>> {
    match session {
        Some(session) if store.session(session)?.is_some() => store.unfinished_run(session),
        _ => Ok(None),
    }
}

/// Why what is shown first is no answer to what was asked now.
pub(super) fn tell_of_unfinished(run: &RunSummary, store: &Store, terminal: &Terminal) -> Result<()> {
    let what = match waiting::is_open(store, &run.id)? {
        true => "waits for an answer",
        false => "was cut off",
    };
    if !terminal.json {
        let text = format!("the last run {what}: going on with it ({})", run.id);
        terminal.note(&format!("  {}", terminal.paint(Stream::Err).with(Style::Yellow, &text)));
    }
    Ok(())
}

/// The agent that will answer: the one that is named, the session's, or the default one.
pub(super) fn agent_of(runtime: &Runtime, named: Option<&str>, session: Option<&SessionId>) -> Result<String> {
    let config = runtime.config();
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let session = session.map(|id| runtime.store().session(id)).transpose()?.flatten();
    let of_session = session
        .map(|session| session.agent)
        .filter(|agent| config.agents.contains_key(agent));
    Ok(of_session.unwrap_or_else(|| config.default_agent.clone()))
}

/// A run goes on without a broken plugin, so its user has to know.
pub(super) fn warn_of_broken_plugins(runtime: &Runtime, agent: &str, terminal: &Terminal) {
    let Some(agent) = runtime.config().agents.get(agent) else {
        return;
    };
    for name in agent.plugins.iter().chain([&agent.pattern]) {
        if let Some(plugin) = runtime.plugins().get(name)
            && let Status::Broken(error) = &plugin.status
        {
            terminal.warning(
                &error
                    .clone()
                    .told(|message| format!("the plugin `{name}` can't be used: {message}")),
            );
        }
    }
}

/// They are sent all the same, and nobody notices where they come out again.
pub(super) fn warn_of_short_secrets(runtime: &Runtime, terminal: &Terminal) {
    for warning in runtime.short_secrets() {
        terminal.warning(&warning);
    }
}

/// How a run ended: its error, and for people what it took; or what it waits for.
pub(super) fn report(result: &RunResult, store: &Store, options: &Options, terminal: &Terminal) -> Result<()> {
    if let Some(error) = &result.error {
        terminal.errors(std::slice::from_ref(error));
    }
    if terminal.json {
        return Ok(());
    }
    let paint = terminal.paint(Stream::Err);
    terminal.note(&format!("  {}", summary(result, paint)));
    if result.stop_reason == StopReason::Suspended {
        waiting::tell(store, &result.run, options, terminal)?;
    }
    Ok(())
}
