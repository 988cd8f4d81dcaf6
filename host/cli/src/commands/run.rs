//! `sandbar run`: one request to an agent.

use std::io::{IsTerminal as _, Read as _};

use sandbar::Runtime;
use sandbar::plugins::Status;
use sandbar::protocol::{Error, ErrorKind, Limits, Result, RunRequest, RunResult, SessionId};

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::lines::summary;
use crate::options::Options;
use crate::progress::open_options;
use crate::style::Style;
use crate::terminal::{Stream, Terminal};
use crate::transcript::Transcript;
use crate::watch::{show_as_json, watch};

/// Ask an agent, and watch it work
///
/// The model's text goes to standard output, what happens beside it to standard error. With `--json` every event of the journal is a
/// line on standard output, with previews of the model's text (`model.delta`) and of running tools (`tool.delta`) between them.
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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// At most so many calls of tools
    #[arg(long, value_name = "N")]
    tool_calls: Option<u32>,
    /// At most so long
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    timeout: Option<u32>,
}

impl Run {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let request = self.request()?;
        let config = options.config()?;
        Options::block_on(async {
            let runtime = Runtime::open_with(config, open_options(terminal)).await?;
            warn_of_broken_plugins(&runtime, &request, terminal)?;
            let stream = runtime.run(request).await?;
            let result = if terminal.json {
                watch(stream, terminal, |item| show_as_json(terminal, item)).await
            } else {
                let mut transcript = Transcript::new(Stream::Err, terminal.paint(Stream::Err));
                watch(stream, terminal, |item| transcript.show(item, terminal)).await
            };
            runtime.close().await;
            let result = result?;
            report(&result, options, terminal);
            Ok(Exit::of_result(&result))
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
            .with_hint("write one, as in `sandbar run \"What is in the workspace?\"`, or `-` to type it"));
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

/// A run goes on without a broken plugin, so its user has to know.
fn warn_of_broken_plugins(runtime: &Runtime, request: &RunRequest, terminal: &Terminal) -> Result<()> {
    let config = runtime.config();
    let session = request
        .session
        .as_ref()
        .map(|id| runtime.store().session(id))
        .transpose()?
        .flatten();
    let of_session = session
        .map(|session| session.agent)
        .filter(|agent| config.agents.contains_key(agent));
    let name = request
        .agent
        .as_ref()
        .or(of_session.as_ref())
        .unwrap_or(&config.default_agent);
    let Some(agent) = config.agents.get(name) else {
        return Ok(());
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
    Ok(())
}

fn report(result: &RunResult, options: &Options, terminal: &Terminal) {
    if let Some(error) = &result.error {
        terminal.errors(std::slice::from_ref(error));
    }
    if terminal.json {
        return;
    }
    let paint = terminal.paint(Stream::Err);
    let again = format!("sandbar run{} --session {} \"…\"", options.repeated(), result.session);
    terminal.note(&format!("  {}", summary(result, paint)));
    terminal.note(&format!("  {} {again}", paint.with(Style::Dim, "continue:")));
}
