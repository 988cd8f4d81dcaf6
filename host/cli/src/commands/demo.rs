//! `sandbar demo`: what Sandbar does, in a directory that it makes for it.

mod attack;
mod scene;

use std::path::PathBuf;

use sandbar::Runtime;
use sandbar::protocol::{RunRequest, RunResult, SessionId};

use crate::exit::Exit;
use crate::failure::{Outcome, file_failed};
use crate::lines::{reason, summary};
use crate::options::{Options, quoted};
use crate::progress::open_options;
use crate::sanitise::sanitise;
use crate::style::Style;
use crate::terminal::{Stream, Terminal};
use crate::transcript::Transcript;
use crate::watch::{show_as_json, watch};

use attack::Attack;
use scene::Scene;

/// See an agent at work, and hostile plugins at theirs; needs no key, no network and no configuration
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Where; a new directory, by default under the system's directory for temporary files
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

const QUESTION: &str = "What becomes of a plugin in an endless loop? Look it up in the docs, and write a report.";

impl Demo {
    pub(crate) fn run(self, terminal: &Terminal) -> Outcome {
        let scene = Scene::set_up(self.dir, terminal.is_interactive(Stream::Out))?;
        let config = scene.config()?;
        let show = Show { terminal, scene };
        show.title();
        Options::enclose(&config)?;
        Options::block_on(async {
            let runtime = Runtime::open_with(config, open_options(terminal)).await?;
            let answered = show.librarian(&runtime).await?;
            let attack = show.attacker(&runtime).await?;
            runtime.close().await;
            Ok(show.end(&answered, &attack))
        })
    }
}

struct Show<'a> {
    terminal: &'a Terminal,
    scene: Scene,
}

impl Show<'_> {
    fn title(&self) {
        self.say(&self.with(Style::Bold, "Sandbar"));
        self.say("Agents whose tools and decisions are sandboxed WebAssembly components.");
        self.say(&self.with(
            Style::Dim,
            &format!("Everything happens in {}", self.scene.directory.display()),
        ));
    }

    async fn librarian(&self, runtime: &Runtime) -> Outcome<RunResult> {
        self.section(
            "1  An agent at work",
            "Its tools (`files`) and its decisions (`react`) are components. Its model is a script.",
        );
        self.say(&format!("{} {QUESTION}\n", self.with(Style::Cyan, "you:")));
        let mut transcript = Transcript::new(Stream::Out, self.paint());
        let stream = runtime.run(request("librarian", QUESTION)).await?;
        let result = watch(stream, runtime, self.terminal, |item| match self.terminal.json {
            true => show_as_json(self.terminal, item),
            false => transcript.show(item, self.terminal),
        })
        .await?;
        self.say(&format!("  {}", summary(&result, self.paint())));
        self.show_report()?;
        Ok(result)
    }

    fn show_report(&self) -> Outcome<()> {
        let path = self.scene.report();
        let report = std::fs::read_to_string(&path).map_err(|error| file_failed("read", &path, error))?;
        self.say(&format!("\n{} {}", self.with(Style::Cyan, "report:"), path.display()));
        for line in sanitise(&report).lines().take(8) {
            self.say(format!("  {} {line}", self.with(Style::Dim, "│")).trim_end());
        }
        Ok(())
    }

    async fn attacker(&self, runtime: &Runtime) -> Outcome<Attack> {
        self.section(
            "2  Hostile plugins in the same directory",
            "Another agent calls them one by one. Each has 250 ms of processor time and 32 MiB.",
        );
        let mut attack = Attack::default();
        let width = self.terminal.width(Stream::Out);
        let stream = runtime.run(request("attacker", "Do your worst.")).await?;
        let result = watch(stream, runtime, self.terminal, |item| {
            if self.terminal.json {
                show_as_json(self.terminal, item);
            }
            if let Some(line) = attack.see(item, width, self.paint()) {
                self.say(&line);
            }
        })
        .await?;
        attack.result = Some(result);
        Ok(attack)
    }

    fn end(&self, answered: &RunResult, attack: &Attack) -> Exit {
        self.say("");
        let exit = match (Exit::of_result(answered), attack.verdict()) {
            (Exit::Ok, Ok(verdict)) => {
                self.say(&format!("{} {verdict}", self.with(Style::Green, "The host is fine:")));
                Exit::Ok
            }
            (Exit::Ok, Err(problem)) => {
                self.terminal.note(&format!("error: {problem}"));
                Exit::Failure
            }
            _ => {
                let why = answered.error.as_ref().map(reason).unwrap_or_default();
                self.terminal
                    .note(&format!("error: the agent did not finish: {}", sanitise(&why)));
                Exit::Failure
            }
        };
        self.what_next(&answered.session);
        exit
    }

    fn what_next(&self, session: &SessionId) {
        let config = quoted(&self.scene.directory.join("sandbar.toml").display().to_string());
        let data = quoted(&self.scene.directory.join("data").display().to_string());
        self.say(&format!("\n{}", self.with(Style::Bold, "What next")));
        let mut table = crate::table::Table::default();
        for (command, why) in [
            ("sandbar init my-agent".to_owned(), "a project of your own"),
            (
                format!("sandbar plugins inspect nosy --config {config}"),
                "what a plugin may do",
            ),
            (
                format!("sandbar sessions show {session} --data-dir {data}"),
                "what happened, from the journal",
            ),
        ] {
            let cells = [Style::Dim, Style::Plain]
                .into_iter()
                .zip([format!("  {why}"), command]);
            table.row(
                cells
                    .map(|(style, text)| crate::table::cell(style, text))
                    .collect::<Vec<_>>(),
            );
        }
        for line in table.lines(self.paint()) {
            self.say(&line);
        }
    }

    fn section(&self, title: &str, text: &str) {
        self.say(&format!(
            "\n{}\n{}\n",
            self.with(Style::Bold, title),
            self.with(Style::Dim, text)
        ));
    }

    /// With `--json` standard output has the events and nothing else.
    fn say(&self, text: &str) {
        if !self.terminal.json {
            self.terminal.line(text);
        }
    }

    fn with(&self, style: Style, text: &str) -> String {
        self.paint().with(style, text)
    }

    fn paint(&self) -> crate::style::Paint {
        self.terminal.paint(Stream::Out)
    }
}

fn request(agent: &str, message: &str) -> RunRequest {
    RunRequest {
        agent: Some(agent.to_owned()),
        ..RunRequest::new(message)
    }
}
