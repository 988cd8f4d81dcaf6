//! Questions: what a person is shown before they decide, and what they answer.

use serde_json::{Value, json};

use super::{Place, SPY, Sink, check, everything};
use crate::support::provider::{Reply, answer, calls};
use crate::support::terminal::{AtTerminal, at_terminal};

/// A model that wants a call with all values in its arguments, and whose tool shows them to whoever is asked.
fn wanting() -> Vec<Reply> {
    let arguments = json!({ "text": everything() }).to_string();
    vec![
        Reply::Stream(calls(&[("c1", "leaker__ask", &arguments)])),
        Reply::Stream(answer(&["done"])),
    ]
}

fn asked(name: &'static str, act: fn(&Place), seen: &'static [&'static str]) {
    check(Sink {
        name,
        replies: wanting(),
        act,
        seen,
    });
}

/// The question that the run waits with.
fn waiting(place: &Place) -> (String, String) {
    place.run(9, &[]);
    let listed: Value = serde_json::from_str(
        place
            .sandbar(0, &["runs", "list", "--json"])
            .out
            .lines()
            .next()
            .unwrap(),
    )
    .unwrap();
    let text = |at: &str| {
        listed
            .pointer(at)
            .unwrap_or_else(|| panic!("{listed:#}"))
            .as_str()
            .unwrap()
            .to_owned()
    };
    (text("/id"), text("/suspensions/0/id"))
}

#[test]
fn what_is_asked() {
    asked(
        "run, which leaves with a question",
        |place| drop(place.run(9, &["-v"])),
        &["stderr", "data"],
    );
    asked(
        "run --json, which leaves with a question",
        |place| drop(place.run(9, &["--json"])),
        &["stdout", "data"],
    );
    asked(
        "runs list",
        |place| {
            waiting(place);
            place.sandbar(0, &["runs", "list"]);
        },
        &["data"],
    );
    asked(
        "runs list --json",
        |place| {
            waiting(place);
            place.forget_what_was_printed();
            place.sandbar(0, &["runs", "list", "--json"]);
        },
        &["stdout"],
    );
    asked(
        "runs show",
        |place| {
            let (run, _) = waiting(place);
            place.forget_what_was_printed();
            place.sandbar(0, &["runs", "show", &run]);
        },
        &["stdout"],
    );
}

#[test]
fn what_is_answered() {
    asked(
        "runs answer, with the values as the reason",
        |place| {
            let (_, id) = waiting(place);
            place.forget_what_was_printed();
            place.sandbar(0, &["runs", "answer", &id, "deny", &everything()]);
        },
        &["data", "model"],
    );
    asked(
        "runs answer, and the call with the values is made",
        |place| {
            let (_, id) = waiting(place);
            place.forget_what_was_printed();
            place.sandbar(0, &["runs", "answer", &id, "once", "-v"]);
        },
        &["data", "model"],
    );
}

#[test]
fn what_is_asked_at_a_terminal() {
    asked(
        "a question at a terminal",
        |place| {
            let arguments = [&["run", "--session", "talk"], &SPY[..], &["go"]].concat();
            let mut command = at_terminal(&place.directory(), &arguments);
            place.variables(&mut command);
            let mut at = AtTerminal::begin(command);
            at.until("[q]uit: ").type_keys("y\n");
            place.note(at.end()).expect(0);
        },
        &["stdout", "data", "model"],
    );
}
