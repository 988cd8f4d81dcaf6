//! One life of the child, as its parent sees it: what it said, and how it ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::world::World;

/// A child that has said nothing for so long hangs.
const HANGS: Duration = Duration::from_mins(3);

/// `SIGKILL`, by itself or by its parent.
const KILLED: i32 = 9;

/// When a child is to die.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kill {
    /// At the n-th passage of a point.
    Point(&'static str, u64),
    /// So long after its start, wherever it is.
    After(Duration),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Orders {
    pub(crate) kill: Option<Kill>,
    pub(crate) leave: bool,
    pub(crate) without_intents: bool,
    /// Another process answers what this one asks.
    pub(crate) elsewhere: bool,
}

/// An event that the child was shown.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) session: String,
    pub(crate) sequence: u64,
    pub(crate) digest: String,
}

#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// How often it passed each point; only where it lived to the end.
    pub(crate) passages: BTreeMap<String, u64>,
    pub(crate) killed: bool,
    /// From its start to the first event that it was shown.
    pub(crate) first_event: Option<Duration>,
    pub(crate) took: Duration,
    /// It ended as it never should, with its last words.
    pub(crate) problem: Option<String>,
}

/// Lets a child live on the world's directory until its end.
pub(crate) fn live(world: &World, server: SocketAddr, orders: &Orders) -> Result<Life> {
    let other = match orders.elsewhere {
        true => Some(Other::start(world, server)?),
        false => None,
    };
    let words = world.path().join("stderr");
    let begun = Instant::now();
    let mut child = start(world, server, orders, &words)?;
    let lines = lines(&mut child)?;
    let mut life = Life::default();
    let dies = match orders.kill {
        Some(Kill::After(after)) => Some(begun + after),
        _ => None,
    };
    let mut hung = false;
    loop {
        let patience = dies.map_or(HANGS, |dies| dies.saturating_duration_since(Instant::now()));
        match lines.recv_timeout(patience) {
            Ok(line) => life.hear(&line, begun.elapsed()),
            Err(RecvTimeoutError::Timeout) => {
                hung = dies.is_none();
                child.kill().context("the child can't be killed")?;
                break;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // What it said before it died was said.
    for line in lines {
        life.hear(&line, begun.elapsed());
    }
    let status = child.wait()?;
    life.took = begun.elapsed();
    life.killed = status.signal() == Some(KILLED);
    if hung {
        life.problem = Some(last_words("it hung", &words));
    } else if !(life.killed || status.success()) {
        life.problem = Some(last_words(&status.to_string(), &words));
    }
    if let Some(other) = other {
        other.end(&mut life)?;
    }
    Ok(life)
}

/// A process that begins nothing of its own.
struct Other {
    child: Child,
    lines: Receiver<String>,
    words: PathBuf,
}

impl Other {
    fn start(world: &World, server: SocketAddr) -> Result<Self> {
        let words = world.path().join("stderr-elsewhere");
        let mut command = command(world, server)?;
        command.arg("--elsewhere").stdin(Stdio::piped());
        let mut child = spawn(command, &words)?;
        let lines = lines(&mut child)?;
        Ok(Self { child, lines, words })
    }

    /// Waits until it has gone on with what it has in hand; it was shown things, too.
    fn end(mut self, life: &mut Life) -> Result<()> {
        drop(self.child.stdin.take());
        let mut other = Life::default();
        loop {
            match self.lines.recv_timeout(HANGS) {
                Ok(line) => other.hear(&line, Duration::ZERO),
                Err(RecvTimeoutError::Disconnected) => break,
                // It ends badly then, by this.
                Err(RecvTimeoutError::Timeout) => self.child.kill().context("the other child can't be killed")?,
            }
        }
        let status = self.child.wait()?;
        life.acknowledged.append(&mut other.acknowledged);
        if !status.success() {
            life.problem = Some(last_words(&format!("elsewhere, {status}"), &self.words));
        }
        Ok(())
    }
}

fn last_words(how: &str, words: &Path) -> String {
    let said = std::fs::read_to_string(words).unwrap_or_default();
    format!("a process ended badly: {how}: {}", said.trim())
}

fn start(world: &World, server: SocketAddr, orders: &Orders, words: &Path) -> Result<Child> {
    let mut command = command(world, server)?;
    if let Some(Kill::Point(name, passage)) = &orders.kill {
        command.arg("--kill-at").arg(format!("{name}:{passage}"));
    }
    if orders.leave {
        command.arg("--leave");
    }
    if orders.without_intents {
        command.arg("--without-intents");
    }
    command.stdin(Stdio::null());
    spawn(command, words)
}

fn command(world: &World, server: SocketAddr) -> Result<Command> {
    let program = std::env::current_exe().context("this program can't find itself")?;
    let mut command = Command::new(program);
    command.arg("kill-child").arg(world.path());
    command.args(["--server", &server.to_string()]);
    Ok(command)
}

fn spawn(mut command: Command, words: &Path) -> Result<Child> {
    command.stdout(Stdio::piped()).stderr(File::create(words)?);
    command.spawn().context("the child can't be started")
}

/// Whole lines: what a dying process had begun to say doesn't count.
fn lines(child: &mut Child) -> Result<Receiver<String>> {
    let out = child.stdout.take().context("the child has no output")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(out);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            let Some(whole) = line.strip_suffix('\n') else { break };
            if sender.send(whole.to_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });
    Ok(receiver)
}

impl Life {
    fn hear(&mut self, line: &str, at: Duration) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["event", session, sequence, _, digest] => {
                self.first_event.get_or_insert(at);
                self.acknowledged.push(Acknowledged {
                    session: session.to_owned(),
                    sequence: sequence.parse().unwrap_or(0),
                    digest: digest.to_owned(),
                });
            }
            ["passed", point, count] => {
                self.passages.insert(point.to_owned(), count.parse().unwrap_or(0));
            }
            _ => self.problem = Some(format!("the child said what it never should: `{line}`")),
        }
    }
}
