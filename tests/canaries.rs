//! Canaries: values that lie where secrets lie, and every place to which a plugin, a model or a person could carry them.
//!
//! Each row of the tables is one such place, a *sink*. A plugin that has found all values, a model that was told them, or a person who
//! pastes them puts them there, in five forms; then all bytes are searched that the program has printed, written to its disk, sent to the
//! model or to a server that gets no secret. Beside the four protected values goes one that nobody protects: a row in which the walk does
//! not find that one has looked at the wrong place, and fails.

mod asked;
mod kept;
mod sent;
mod shown;
mod told;
mod walk;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::program::{Ended, sandbar};
use crate::support::provider::{Provider, Reply, answer, calls};
use crate::support::script::text;
use crate::support::web::Web;
use crate::support::world::World;
use crate::support::{each_file, holding};

/// The value of `[secrets.env-key]`, behind `env:`.
const ENV: &str = "Kx7mQ2vN9rTz4LwB8sYd3FgH6jPcA5eU";
/// The value of `[secrets.file-key]`, behind `file:`.
const FILE: &str = "pW3nVb8XkQ5tJr2MzE7yLs9GdC4hFu6A";
/// One that a person has planted in what plugins keep, before it became the value of `[secrets.kept-key]`.
const KEPT: &str = "Zh4RtY6cNq8WmJ2vKx5PbS7gLf3DeU9a";
/// The key of the model.
const MODEL: &str = "sk-T9wE2rG7uB4nX6mQ8zK3vC5jL1pHdYfA";
/// One that nobody protects.
const CONTROL: &str = "Vq5ZcJ8nD2sF7kR4wT6yM9bXhL3gPeAu";

const PROTECTED: [(&str, &str); 4] = [("env", ENV), ("file", FILE), ("kept", KEPT), ("model", MODEL)];

/// Everybody runs as this agent, which has a model behind HTTP and all tools of the plugin.
const SPY: [&str; 2] = ["--agent", "spy"];

/// A place where a value could come out.
struct Sink {
    name: &'static str,
    /// What the model answers, one after the other.
    replies: Vec<Reply>,
    /// What is done, once everything is there.
    act: fn(&Place),
    /// Where the value that nobody protects must be found.
    seen: &'static [&'static str],
}

/// Where something was found, and what; bytes that are no text are lost, and the values are ASCII.
type Seen = (&'static str, String);

/// Where one row takes place.
struct Place {
    world: World,
    /// Gets the secrets.
    home: Web,
    /// Gets none.
    other: Web,
    provider: Provider,
    /// `stdout` or `stderr`, and what was printed there.
    printed: RefCell<Vec<Seen>>,
}

/// Puts everything into a sink, and looks at everything.
#[track_caller]
fn check(sink: Sink) {
    let place = Place::new(sink.replies);
    (sink.act)(&place);
    let seen = place.walk();
    for (name, value) in PROTECTED {
        for (at, text) in &seen {
            if let Some(form) = walk::part_in(text, value) {
                let shown: String = text.chars().take(20_000).collect();
                panic!("{}: the value `{name}` is in {at}, {form}:\n{shown}", sink.name);
            }
        }
    }
    for wanted in sink.seen {
        let mut found = seen.iter().filter(|(at, _)| at == wanted);
        assert!(
            found.any(|(_, text)| walk::form_in(text, CONTROL).is_some()),
            "{}: nothing came to {wanted}:\n{}",
            sink.name,
            place.told()
        );
    }
}

/// All values, in all forms.
fn everything() -> String {
    walk::everything(&[&PROTECTED[..], &[("control", CONTROL)]].concat())
}

/// All values as they are, for what is shown on one line.
fn briefly() -> String {
    [CONTROL, ENV, FILE, KEPT, MODEL].join(" ")
}

/// A model that calls this tool of the plugin, and then ends.
fn calling(tool: &str, input: &str) -> Vec<Reply> {
    let name = format!("leaker__{tool}");
    vec![
        Reply::Stream(calls(&[("c1", &name, input)])),
        Reply::Stream(answer(&["done"])),
    ]
}

impl Place {
    fn new(replies: Vec<Reply>) -> Self {
        let (home, other) = (Web::start(), Web::start());
        let provider = Provider::start(7, replies);
        let lines = PROTECTED.iter().chain(&[("control", CONTROL)]);
        let found: String = lines.map(|(name, value)| format!("{name} {value}\n")).collect();
        let world = World::new()
            .guest("leaker")
            .guest("memory_probe")
            .guest("pattern_probe")
            .file("work/found.txt", found)
            .file("key.txt", format!("{FILE}\n"))
            .manifest("leaker", &format!("[requests]\n{}", requests(&home, &other)))
            .agents(&configuration(&home, &other, &provider));
        let place = Self {
            world,
            home,
            other,
            provider,
            printed: RefCell::default(),
        };
        place.before_it_is_protected(|| ());
        place
    }

    /// As a user starts it, with the variables that the configuration names.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = sandbar(&self.directory(), arguments);
        self.variables(&mut command);
        command
    }

    fn variables(&self, command: &mut Command) {
        let variables = [("CANARY_ENV", ENV), ("CANARY_KEPT", KEPT), ("CANARY_MODEL", MODEL)];
        command.envs(variables);
    }

    fn directory(&self) -> PathBuf {
        self.world.path("")
    }

    /// Does something while one of the values is none of the configuration's yet.
    fn before_it_is_protected(&self, act: impl FnOnce()) {
        self.world.write_config();
        act();
        std::fs::write(self.world.path("sandbar.toml"), self.world.config_text() + KEPT_KEY).unwrap();
        self.forget_what_was_printed();
    }

    /// Runs a command to its end, which must be with this exit code.
    #[track_caller]
    fn sandbar(&self, exit: i32, arguments: &[&str]) -> Ended {
        self.note(self.command(arguments).output().unwrap().into()).expect(exit)
    }

    /// One run of the agent in the session `talk`.
    #[track_caller]
    fn run(&self, exit: i32, more: &[&str]) -> Ended {
        self.sandbar(exit, &[&["run", "--session", "talk"], &SPY[..], more, &["go"]].concat())
    }

    fn note(&self, ended: Ended) -> Ended {
        let mut printed = self.printed.borrow_mut();
        printed.push(("stdout", ended.out.clone()));
        printed.push(("stderr", ended.err.clone()));
        ended
    }

    /// What was printed so far is none of the sink; the protected values aren't to be in it all the same.
    fn forget_what_was_printed(&self) {
        self.printed
            .borrow_mut()
            .iter_mut()
            .for_each(|(at, _)| *at = "what was printed before");
    }

    /// Everything that the program has printed, sent and written, but for the places where the values lie.
    fn walk(&self) -> Vec<Seen> {
        let mut seen = self.printed.borrow().clone();
        let (requests, asked) = (self.provider.requests().into_iter(), self.other.asked().into_iter());
        seen.extend(requests.map(|request| ("model", request.body.to_string())));
        seen.extend(asked.map(|asked| ("other", asked)));
        let directory = self.world.path("");
        each_file(&directory, &mut |path| {
            let at = path.strip_prefix(&directory).unwrap();
            let name = at.to_str().unwrap();
            let place = match name {
                "key.txt" | "work/found.txt" => return,
                "sandbar.lock" => "lock",
                _ if name.starts_with("data/") => "data",
                _ => "project",
            };
            let content = text_of(path).replace(&format!("{}{KEPT}", walk::MARK), "");
            seen.push((place, format!("{name}\n{content}")));
        });
        seen
    }

    /// Whether what was planted lies where it was put.
    fn has_planted(&self) -> bool {
        let planted = format!("{}{KEPT}", walk::MARK);
        !holding(&self.world.path("data"), &planted).is_empty()
    }

    /// What was printed, for who reads why a row fails.
    fn told(&self) -> String {
        let printed = self.printed.borrow();
        printed.iter().map(|(at, text)| format!("{at}: {text}\n")).collect()
    }
}

fn text_of(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

/// Its value was somewhere else before it became a secret.
const KEPT_KEY: &str =
    "[secrets.kept-key]\nvalue = \"env:CANARY_KEPT\"\nhosts = [\"https://kept.example\"]\nheader = \"x-kept\"\n";

fn configuration(home: &Web, other: &Web, provider: &Provider) -> String {
    format!(
        "[models.remote]\nprovider = \"openai\"\nbase_url = {base}\nmodel = \"m\"\napi_key = \"env:CANARY_MODEL\"\n\
         [agents.spy]\nmodel = \"remote\"\nplugins = [\"leaker\"]\nmemory = \"memory_probe\"\n\
         [agents.chief]\nmodel = \"remote\"\npattern = \"pattern_probe\"\ndelegates = [\"helper\"]\n\
         [agents.helper]\nmodel = \"remote\"\ndescription = \"{CONTROL}\"\n\
         [grants.memory_probe]\nkv = \"shared\"\n\
         [grants.leaker]\n{grant}\n\
         [secrets.env-key]\nvalue = \"env:CANARY_ENV\"\nhosts = [{home}]\nheader = \"authorization\"\nformat = \"Bearer {{}}\"\n\
         [secrets.file-key]\nvalue = \"file:key.txt\"\nhosts = [{home}]\nquery = \"key\"\n",
        base = text(&provider.base_url()),
        home = text(&home.url("")),
        grant = requests(home, other),
    )
}

/// What the plugin asks for, and gets.
fn requests(home: &Web, other: &Web) -> String {
    let rule = |web: &Web| format!("{{ url = {}, methods = [\"GET\", \"POST\"] }}", text(&web.url("/")));
    format!(
        "files = \"read-only\"\nkv = \"shared\"\nsecrets = [\"env-key\", \"file-key\"]\n\
         http = [{}, {}, \"https://example.com/{CONTROL}/\"]",
        rule(home),
        rule(other)
    )
}

/// The walk finds what is not protected: here one of the values isn't the configuration's, and nothing else is different.
#[test]
#[should_panic(expected = "a reply: the value `kept` is in stdout, plain")]
fn a_value_that_nobody_protects_is_found() {
    check(Sink {
        name: "a reply",
        replies: vec![Reply::Stream(answer(&[&everything()]))],
        act: |place| {
            place.world.write_config();
            place.run(0, &[]);
        },
        seen: &["stdout"],
    });
}
