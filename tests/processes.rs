//! Several processes on one data directory, and what is left when one of them is killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::program::{Ended, run, sandbar};
use crate::support::script::says;
use crate::support::world::World;

/// An agent that answers, and one that never gets an answer.
fn world() -> World {
    let world = World::new()
        .script(says("done"))
        .file("silent.toml", "[[reply]]\nhang = true\n");
    let silent =
        "[models.silent]\nprovider = \"scripted\"\nscript = \"silent.toml\"\n[agents.waiting]\nmodel = \"silent\"\n";
    let world = world.agents(silent);
    world.write_config();
    world
}

fn run_in(world: &World, arguments: &[&str]) -> Ended {
    run(&world.path(""), arguments)
}

/// The events among lines of JSON.
fn events(text: &str) -> Vec<Value> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["sequence"].is_u64()).collect()
}

/// A run of the program whose model is silent, and the events that it has shown.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    shown: Vec<Value>,
}

impl Running {
    /// Starts it, and reads until the model was asked.
    fn start(world: &World, session: &str) -> Self {
        let arguments = ["run", "--json", "--agent", "waiting", "--session", session, "go"];
        let mut child = sandbar(&world.path(""), &arguments).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut running = Self {
            child,
            out,
            shown: Vec::new(),
        };
        while running
            .shown
            .last()
            .is_none_or(|event| event["type"] != "model.started")
        {
            let mut line = String::new();
            assert!(
                running.out.read_line(&mut line).unwrap() > 0,
                "it ended: {:?}",
                running.child.wait()
            );
            running.shown.extend(events(&line));
        }
        running
    }

    /// Sends a signal, and reads to the end.
    fn end(mut self, signal: Signal) -> (Vec<Value>, Option<i32>) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        for line in self.out.lines() {
            self.shown.extend(events(&line.unwrap()));
        }
        (self.shown, self.child.wait().unwrap().code())
    }
}

/// A session belongs to one process; the others are told to which, and go on with what is theirs.
#[test]
fn two_processes_at_once() {
    let world = world();
    let running = Running::start(&world, "talk");
    assert_eq!(
        run_in(&world, &["run", "--session", "other", "go"]).expect(0).out,
        "done\n"
    );
    let ended = run_in(&world, &["run", "--session", "talk", "me too"]).expect(1);
    let holder = format!("the session `talk` is in use by process {}\nhint: ", running.child.id());
    assert!(ended.err.contains(&holder), "{}", ended.err);
    let (shown, exit) = running.end(Signal::INT);
    assert_eq!(
        (exit, shown.last().unwrap()["result"]["stop_reason"].as_str()),
        (Some(130), Some("cancelled"))
    );
    assert_eq!(sessions(&world), 2);
}

/// How many sessions the journal has.
fn sessions(world: &World) -> usize {
    let listed = run_in(world, &["sessions", "list", "--json"]).expect(0);
    listed.out.lines().count()
}

/// Ten processes that begin at once make one data directory, and ten sessions.
#[test]
fn ten_processes_begin_at_once() {
    let world = world();
    let children: Vec<Child> = (0..10)
        .map(|_| sandbar(&world.path(""), &["run", "go"]).spawn().unwrap())
        .collect();
    for child in children {
        assert_eq!(Ended::from(child.wait_with_output().unwrap()).expect(0).out, "done\n");
    }
    assert_eq!(sessions(&world), 10);
}

/// What was shown is in the journal, and the session is free for the next.
#[test]
fn a_killed_process_loses_nothing_that_it_has_shown() {
    let world = world();
    let (shown, exit) = Running::start(&world, "talk").end(Signal::KILL);
    assert_eq!(exit, None);
    let kept = events(&run_in(&world, &["sessions", "show", "talk", "--json"]).expect(0).out);
    assert_eq!(kept[..shown.len()], shown[..]);
    // The run that was cut off goes on first.
    let world = world.file("silent.toml", says("where was I?") + &says("awake"));
    let ended = run_in(&world, &["run", "--session", "talk", "are you there?"]).expect(0);
    assert_eq!(ended.out, "where was I?\nawake\n");
    let events = events(&run_in(&world, &["sessions", "show", "talk", "--json"]).expect(0).out);
    let sequences: Vec<u64> = events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=events.len() as u64).collect::<Vec<_>>());
}
