//! What commands show of what has happened, and of what is configured.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use super::{Place, SPY, Sink, briefly, calling, check, everything};
use crate::support::provider::{Reply, answer, calls};

/// A command that shows what a run has left; its name is its words.
fn after_a_run(name: &'static str, act: fn(&Place)) {
    check(Sink {
        name,
        replies: vec![
            Reply::Stream(calls(&[
                ("c1", "leaker__text", "{}"),
                ("c2", "leaker__error", "{}"),
                ("c3", "leaker__user_text", "{}"),
            ])),
            Reply::Stream(answer(&[&everything()])),
        ],
        act,
        seen: &["stdout"],
    });
}

/// The run of the session `talk`.
fn ran(place: &Place) -> String {
    place.sandbar(0, &[&["run", "--session", "talk"], &SPY[..], &[&briefly()]].concat());
    let shown = place.sandbar(0, &["sessions", "show", "talk", "--json"]).out;
    let first: Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
    place.forget_what_was_printed();
    first["run"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_shown_of_a_run() {
    after_a_run("sessions show", |place| {
        ran(place);
        place.sandbar(0, &["sessions", "show", "talk"]);
    });
    after_a_run("sessions show --json", |place| {
        ran(place);
        place.sandbar(0, &["sessions", "show", "talk", "--json"]);
    });
    after_a_run("runs show", |place| {
        let run = ran(place);
        place.sandbar(0, &["runs", "show", &run]);
    });
    after_a_run("runs show --json", |place| {
        let run = ran(place);
        place.sandbar(0, &["runs", "show", &run, "--json"]);
    });
    after_a_run("chat at a pipe", |place| {
        let mut child = place
            .command(&[&["chat"], &SPY[..]].concat())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(format!("{}\n", everything().replace('\n', " ")).as_bytes())
            .unwrap();
        place.note(child.wait_with_output().unwrap().into()).expect(0);
    });
}

#[test]
fn what_a_person_pastes() {
    check(Sink {
        name: "a message",
        replies: vec![Reply::Stream(answer(&["done"]))],
        act: |place| {
            place.sandbar(
                0,
                &[&["run", "--session", "talk", "--json"], &SPY[..], &[&everything()]].concat(),
            );
        },
        seen: &["stdout", "data", "model"],
    });
    check(Sink {
        name: "a task for another agent",
        replies: vec![Reply::Stream(answer(&["done"]))],
        act: |place| {
            let task = format!("delegate helper {}", everything().replace('\n', " "));
            place.sandbar(0, &["run", "--session", "talk", "--agent", "chief", "--json", &task]);
        },
        seen: &["stdout", "data", "model"],
    });
}

#[test]
fn what_is_in_the_audit() {
    fn audited(place: &Place) {
        let input = format!(r#"{{"url":"{}","place":"path"}}"#, place.other.url(""));
        place.provider.then(calling("send", &input));
        place.run(0, &["-v"]);
        place.forget_what_was_printed();
    }
    for act in [
        (|place| {
            audited(place);
            place.sandbar(0, &["audit", "list", "--limit", "200"]);
        }) as fn(&Place),
        |place| {
            audited(place);
            place.sandbar(0, &["audit", "list", "--limit", "200", "--json"]);
        },
        |place| {
            audited(place);
            place.sandbar(0, &["audit", "export"]);
        },
    ] {
        check(Sink {
            name: "the audit",
            replies: Vec::new(),
            act,
            seen: &["stdout", "data", "other"],
        });
    }
}

/// What the configuration says itself is no secret; where a secret is, it only names the place.
#[test]
fn what_is_shown_of_the_configuration() {
    fn configured(name: &'static str, act: fn(&Place), seen: &'static [&'static str]) {
        check(Sink {
            name,
            replies: Vec::new(),
            act,
            seen,
        });
    }
    configured(
        "config show",
        |place| drop(place.sandbar(0, &["config", "show"])),
        &["stdout"],
    );
    configured(
        "config show --json",
        |place| drop(place.sandbar(0, &["config", "show", "--json"])),
        &["stdout"],
    );
    configured(
        "plugins inspect",
        |place| drop(place.sandbar(0, &["plugins", "inspect", "leaker"])),
        &["stdout", "lock"],
    );
    configured(
        "plugins inspect --json",
        |place| drop(place.sandbar(0, &["plugins", "inspect", "leaker", "--json"])),
        &["stdout", "lock"],
    );
    // Its path is in what the doctor tells.
    configured("doctor", |place| drop(place.sandbar(0, &["doctor", "-v"])), &[]);
    configured(
        "doctor --json",
        |place| drop(place.sandbar(0, &["doctor", "--json"])),
        &[],
    );
    configured(
        "config check",
        |place| drop(place.sandbar(0, &["config", "check"])),
        &[],
    );
}
