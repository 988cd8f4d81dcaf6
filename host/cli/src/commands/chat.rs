//! `sandbar chat`: a conversation with an agent.

mod entry;
mod input;
mod keeper;
mod reports;
mod undo;

use sandbar::protocol::{Error, ErrorKind, FileAccess, Result, RunRequest, SessionId};
use sandbar::store::RunSummary;
use sandbar::{RunStream, Runtime};

use crate::commands::plugins::open_runtime;
use crate::commands::run::{
    agent_of, report, show, tell_of_unfinished, unfinished, warn_of_broken_plugins, warn_of_short_secrets,
};
use crate::consent::{ConsentFlags, Desk};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::interrupts::Interrupts;
use crate::model_flags::ModelFlags;
use crate::options::Options;
use crate::person::Person;
use crate::question::diff_line;
use crate::sanitise::{exact, one_line, sanitise};
use crate::style::{Paint, Style};
use crate::table::{Table, plain};
use crate::terminal::{Stream, Terminal};
use crate::waiting;

use entry::{COMMANDS, Command, Entry};
use input::{Input, Read};
use keeper::Keeper;
use reports::Bill;
use undo::Undo;

/// Talk with an agent
///
/// Each line is a message; one that ends with `\` goes on in the next line. `/help` shows what else can be typed. Where standard input is
/// no terminal, its lines are the messages, and the exit code is that of the last run that failed.
///
/// Without a configuration, the agent looks at the files in the current directory, with the model that is found: OpenAI's if
/// OPENAI_API_KEY is set, else one that runs on this machine. In a terminal you are asked before a tool changes something.
#[derive(Debug, clap::Args)]
pub(crate) struct Chat {
    /// The agent; the session's, or the default one, unless it is named
    #[arg(long, short)]
    agent: Option<String>,
    /// The session to go on with; it is begun if it isn't there
    #[arg(long, short, value_name = "ID", value_parser = SessionId::parse)]
    session: Option<SessionId>,
    #[command(flatten)]
    consent: ConsentFlags,
    #[command(flatten)]
    model: ModelFlags,
}

/// A chat that goes on.
struct Conversation<'a> {
    runtime: Runtime,
    options: &'a Options,
    terminal: &'a Terminal,
    desk: Desk,
    /// As the flag named it.
    named: Option<String>,
    session: Option<SessionId>,
    /// Whether a person types.
    interactive: bool,
    undo: Undo,
    /// What was undone since the last message, so that the model learns of it.
    undone: Vec<String>,
    /// How the last run ended that failed.
    exit: Exit,
}

impl Chat {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let presence = self.consent.presence()?;
        let config = self.model.config(options, self.agent.as_deref())?;
        let history = config.data_dir.join("chat-history");
        Options::enclose(&config)?;
        Options::block_on(async {
            let (named, session) = (self.agent.as_deref(), self.session.as_ref());
            let runtime = open_runtime(config, named, session, &presence, terminal).await?;
            // After the runtime, which makes the data directory, and for its owner alone.
            let mut input = Input::new(&history)?;
            let mut conversation = Conversation {
                runtime,
                options,
                terminal,
                desk: Desk::new(presence),
                named: self.agent,
                session: self.session,
                interactive: input.is_interactive(),
                undo: Undo::default(),
                undone: Vec::new(),
                exit: Exit::Ok,
            };
            conversation.begin()?;
            conversation.continue_last().await;
            let ended = conversation.go_on(&mut input).await;
            conversation.runtime.close().await;
            ended?;
            Ok(match conversation.interactive {
                true => Exit::Ok,
                false => conversation.exit,
            })
        })
    }
}

impl Conversation<'_> {
    fn begin(&self) -> Result<()> {
        let agent = self.agent()?;
        // Better now than after the first message.
        self.runtime.tools(&agent)?;
        warn_of_broken_plugins(&self.runtime, &agent, self.terminal);
        warn_of_short_secrets(&self.runtime, self.terminal);
        if self.interactive {
            let paint = self.terminal.paint(Stream::Err);
            let config = self.runtime.config();
            self.terminal.note(&format!(
                "{} {}",
                paint.with(Style::Bold, "Sandbar"),
                one_line(&agent, 40)
            ));
            self.note(&reports::model(config, &agent));
            if let Some(workspace) = &config.workspace {
                let access = config
                    .grants
                    .get("files")
                    .map_or(FileAccess::None, |grant| grant.powers.powers.files);
                let access = match access {
                    FileAccess::None => "`files` may not look at it",
                    FileAccess::ReadOnly => "`files` may read it; --write lets it change files",
                    FileAccess::ReadWrite => "`files` may change it",
                };
                self.note(&format!("workspace {}: {access}", workspace.display()));
            }
            self.note("/help shows what can be typed; Ctrl-D ends the chat");
        }
        Ok(())
    }

    async fn go_on(&mut self, input: &mut Input) -> Outcome<()> {
        loop {
            match input.read().await? {
                Read::End => break,
                Read::Interrupted => self.note("Ctrl-D or /quit ends the chat"),
                Read::Text(text) => match entry::parse(&text) {
                    Entry::Nothing => {}
                    Entry::Command(Command::Quit) => break,
                    Entry::Command(command) => {
                        if let Err(Failure(errors)) = self.obey(command).await {
                            self.terminal.errors(&errors);
                        }
                    }
                    Entry::Unknown(name, nearest) => self.terminal.errors(&[unknown(&name, nearest)]),
                    Entry::Message(message) => self.send(message).await,
                },
            }
        }
        if let (Some(session), true) = (&self.session, self.interactive) {
            self.note(&format!(
                "continue: sandbar chat{} --session {session}",
                self.options.repeated()
            ));
        }
        Ok(())
    }

    /// A run that fails doesn't end the chat.
    async fn send(&mut self, message: String) {
        let outcome = self.answer(message).await;
        self.note_outcome(outcome);
    }

    /// A session whose last run has not ended goes on with that one.
    async fn continue_last(&mut self) {
        match unfinished(self.runtime.store(), self.session.as_ref()) {
            Ok(None) => {}
            Ok(Some(run)) => {
                let outcome = self.go_on_with(&run).await;
                self.note_outcome(outcome);
            }
            Err(error) => self.note_outcome(Err(error.into())),
        }
    }

    fn note_outcome(&mut self, outcome: Outcome) {
        match outcome {
            Ok(Exit::Ok) => {}
            Ok(exit) => self.exit = exit,
            Err(failure) => {
                self.terminal.errors(&failure.0);
                self.exit = failure.exit();
            }
        }
    }

    async fn go_on_with(&mut self, run: &RunSummary) -> Outcome {
        let store = self.runtime.store();
        if self.desk.is_empty() && waiting::is_open(store, &run.id)? {
            // It waits for somebody who isn't here.
            waiting::tell(store, &run.id, self.options, self.terminal)?;
            return Ok(Exit::Waits);
        }
        tell_of_unfinished(run, store, self.terminal)?;
        let stream = self.runtime.resume(&run.id, self.desk.observed()).await?;
        self.follow(stream).await
    }

    async fn answer(&mut self, message: String) -> Outcome {
        let request = RunRequest {
            message: told_of(&self.undone, message),
            agent: self.named.clone(),
            session: self.session.clone(),
            limits: None,
            ..RunRequest::default()
        };
        let before = unfinished(self.runtime.store(), self.session.as_ref())?;
        // The keeper of files has to hear of every call that may change one, also where nobody is asked. But a run that waits is left
        // to who can answer.
        let attended = match &before {
            Some(_) => self.desk.attended(),
            None => self.desk.observed(),
        };
        let stream = self.runtime.run_attended(request, attended).await?;
        if let Some(before) = before {
            tell_of_unfinished(&before, self.runtime.store(), self.terminal)?;
        }
        self.undone.clear();
        self.session = Some(stream.session().clone());
        self.follow(stream).await
    }

    async fn follow(&mut self, stream: RunStream) -> Outcome {
        let agent = self.agent()?;
        let mut keeper = Keeper::new(&self.runtime, &agent, &mut self.undo)?;
        let result = show(stream, &self.runtime, self.terminal, &mut self.desk, &mut keeper).await?;
        report(&result, self.runtime.store(), self.options, self.terminal)?;
        Ok(Exit::of_result(&result))
    }

    async fn obey(&mut self, command: Command) -> Outcome<()> {
        let paint = self.paint();
        match command {
            Command::Help => self.say(help(paint)),
            Command::Tools => self.say(reports::tools(&self.runtime.tools(&self.agent()?)?, paint)),
            Command::Model => self.say([reports::model(self.runtime.config(), &self.agent()?)]),
            Command::Session => self.say(self.session_lines()?),
            Command::Cost => self.say(match &self.session {
                Some(session) => Bill::of(self.runtime.store(), session, self.runtime.config())?.lines(paint),
                None => Bill::default().lines(paint),
            }),
            Command::UndoLastWrite => self.undo().await,
            Command::New => {
                self.session = None;
                self.note("the next message begins another session");
            }
            // The caller has ended the chat.
            Command::Quit => {}
        }
        Ok(())
    }

    fn session_lines(&self) -> Result<Vec<String>> {
        let summary = self
            .session
            .as_ref()
            .map(|session| self.runtime.store().session(session))
            .transpose()?;
        Ok(match summary.flatten() {
            Some(summary) => reports::session(&summary, &self.options.repeated()),
            None => vec!["the session begins with the first message".to_owned()],
        })
    }

    async fn undo(&mut self) {
        let Some((kept, difference)) = self.undo.pop() else {
            self.note("nothing to undo: no tool has changed a file in this chat");
            return;
        };
        let name = one_line(&exact(&kept.name), 200);
        let difference = match difference {
            Ok(difference) => difference,
            Err(why) => {
                let message = format!("the last change of `{name}` can't be undone: {why}");
                self.terminal
                    .errors(&[Error::new(ErrorKind::Unsupported, "no-undo", message)]);
                return;
            }
        };
        let paint = self.terminal.paint(Stream::Err);
        for line in sanitise(&difference).lines() {
            self.terminal.note(&format!("  {}", diff_line(line, paint)));
        }
        if !self.allows_undo().await {
            self.note("nothing was changed");
            self.undo.put_back(kept);
            return;
        }
        match kept.restore() {
            Ok(()) => {
                self.note(&format!(
                    "`{name}` is as it was; the model is told with your next message"
                ));
                self.undone.push(name);
            }
            Err(why) => {
                let message = format!("`{name}` can't be restored: {why}");
                self.terminal
                    .errors(&[Error::new(ErrorKind::Storage, "no-undo", message)]);
                self.undo.put_back(kept);
            }
        }
    }

    /// Where messages come through a pipe and nobody is asked, the command itself is the word.
    async fn allows_undo(&self) -> bool {
        if !self.interactive && !self.desk.asks() {
            return true;
        }
        let Some(person) = Person::find() else {
            return false;
        };
        person.forget_typed();
        self.terminal.write(Stream::Err, "  restore? [y]es, [n]o: ");
        let Ok(mut interrupts) = Interrupts::new() else {
            return false;
        };
        let answer = tokio::select! {
            line = person.line() => line.ok().flatten(),
            () = interrupts.next() => None,
        };
        if answer.is_none() {
            // The cursor is still behind the question.
            self.terminal.note("");
        }
        answer.is_some_and(|line| matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
    }

    fn agent(&self) -> Result<String> {
        agent_of(&self.runtime, self.named.as_deref(), self.session.as_ref())
    }

    /// What a command shows; with `--json` standard output has the events and nothing else.
    fn say(&self, lines: impl IntoIterator<Item = String>) {
        match self.terminal.json {
            true => lines.into_iter().for_each(|line| self.terminal.note(&line)),
            false => self.terminal.lines(lines),
        }
    }

    fn note(&self, text: &str) {
        let text = self.terminal.paint(Stream::Err).with(Style::Dim, &sanitise(text));
        self.terminal.note(&format!("  {text}"));
    }

    fn paint(&self) -> Paint {
        self.terminal.paint(Stream::Out)
    }
}

fn help(paint: Paint) -> Vec<String> {
    let mut table = Table::default();
    for (_, name, meaning) in COMMANDS {
        table.row([crate::table::cell(Style::Cyan, name), plain(meaning)]);
    }
    let mut lines = table.lines(paint);
    lines.push("Everything else is a message. A line that ends with \\ goes on in the next one.".to_owned());
    lines.push("Ctrl-C cancels a run, and at a question too; Ctrl-D ends the chat.".to_owned());
    lines
}

fn unknown(name: &str, nearest: Option<&str>) -> Error {
    let hint = match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "`/help` shows what there is; a message may begin with a blank".to_owned(),
    };
    let message = format!("there is no command `{}`", name.escape_debug());
    Error::new(ErrorKind::InvalidInput, "no-command", message).with_hint(hint)
}

/// The model doesn't see what was undone beside it: it would go on with what it wrote.
fn told_of(undone: &[String], message: String) -> String {
    match undone {
        [] => message,
        names => format!("[I have undone the last change of: {}]\n\n{message}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_learns_what_was_undone() {
        let check = |undone: &[&str], expected: &str| {
            let undone: Vec<String> = undone.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(told_of(&undone, "Go on.".to_owned()), expected);
        };
        check(&[], "Go on.");
        check(
            &["a.md", "b.md"],
            "[I have undone the last change of: a.md, b.md]\n\nGo on.",
        );
    }

    #[test]
    fn help_names_every_command() {
        let help = help(Paint { coloured: false }).join("\n");
        for (_, name, _) in COMMANDS {
            assert!(help.contains(name), "{name}");
        }
    }
}
