//! Signals, and sessions that another process holds.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{HANGS, fails, json_lines, world};
use crate::support::program::{Ended, run, sandbar};
use crate::support::world::World;

/// A command that is at work.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    read: String,
}

impl Running {
    /// Until an event of that type has been printed.
    fn until(mut command: Command, kind: &str) -> Self {
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut running = Self {
            child,
            out,
            read: String::new(),
        };
        let wanted = format!("\"type\":\"{kind}\"");
        while !running.read.lines().last().is_some_and(|line| line.contains(&wanted)) {
            let read = running.out.read_line(&mut running.read).unwrap();
            assert!(read > 0, "no `{kind}` in:\n{}", running.read);
        }
        running
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn end(mut self) -> Ended {
        self.out.read_to_string(&mut self.read).unwrap();
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        Ended {
            exit: self.child.wait().unwrap().code(),
            out: self.read,
            err,
        }
    }
}

/// A run that waits for its model in the session `talk`; should a test fail to stop it, it ends by itself.
fn waiting(world: &World) -> Running {
    let arguments = ["run", "hi", "--json", "--session", "talk", "--timeout", "60"];
    Running::until(sandbar(&world.path(""), &arguments), "model.started")
}

fn last_event(world: &World) -> Value {
    let shown = run(&world.path(""), &["sessions", "show", "talk", "--json"])
        .expect(0)
        .out;
    json_lines(&shown).pop().unwrap()
}

#[test]
fn an_interrupt_cancels_the_run() {
    for signal in [Signal::INT, Signal::TERM] {
        let world = world(HANGS);
        let running = waiting(&world);
        running.signal(signal);
        let ended = running.end().expect(130);
        assert!(
            ended.err.contains("cancelling; interrupt again to quit at once\n"),
            "{}",
            ended.err
        );
        let shown = json_lines(&ended.out).pop().unwrap();
        assert_eq!(
            (&shown["type"], &shown["result"]["stop_reason"]),
            (&"run.finished".into(), &"cancelled".into())
        );
        assert_eq!(last_event(&world), shown, "and it is in the journal");
    }
}

/// The second interrupt waits for nothing, not even for the end of the run. Both signals arrive together, so that the run has no
/// time to end in between; should it do so once, it doesn't always.
#[test]
fn a_second_interrupt_quits_at_once() {
    let cut_short = (0..20).any(|_| {
        let world = world(HANGS);
        let running = waiting(&world);
        running.signal(Signal::STOP);
        running.signal(Signal::INT);
        running.signal(Signal::TERM);
        running.signal(Signal::CONT);
        let ended = running.end().expect(130);
        !ended.out.contains("run.finished")
    });
    assert!(cut_short, "the run was waited for");
}

#[test]
fn whoever_holds_a_session_is_named() {
    let world = world(HANGS);
    let running = waiting(&world);
    let busy = format!("the session `talk` is in use by process {}", running.child.id());
    fails(&world, &["run", "again", "--session", "talk"], 1, &busy);
    // Others may look at it.
    assert_eq!(last_event(&world)["type"], "model.started");
    running.signal(Signal::KILL);
    assert_eq!(running.end().exit, None);
    fails(
        &world,
        &["run", "again", "--session", "talk", "--timeout", "1"],
        5,
        "are over",
    );
}
