//! What plugins keep, and what is remembered.

use super::{KEPT, PROTECTED, Place, SPY, Sink, calling, check, everything, walk};
use crate::support::provider::{Reply, answer};

#[test]
fn what_a_plugin_keeps() {
    check(Sink {
        name: "kv, values and keys",
        replies: calling("keep", "{}"),
        act: |place| {
            place.run(0, &["-v"]);
            let said = place.provider.requests().pop().unwrap().body.to_string();
            for expected in PROTECTED.map(|(name, _)| format!("{name} invalid-key")) {
                assert!(said.contains(&expected), "{expected}: {said}");
            }
            assert!(said.contains("control kept"), "{said}");
        },
        seen: &["data", "model"],
    });
}

/// What was planted before anybody knew that it is a secret stays where it lies, and gets no further.
#[test]
fn what_was_planted() {
    check(Sink {
        name: "kv, read by its plugin",
        replies: [calling("plant", "{}"), calling("look", "{}")].concat(),
        act: |place| {
            place.before_it_is_protected(|| drop(place.run(0, &[])));
            assert!(place.has_planted());
            place.run(0, &[]);
        },
        seen: &["data", "model"],
    });
    check(Sink {
        name: "a memory, recalled",
        replies: vec![Reply::Stream(answer(&["done"]))],
        act: |place| {
            place.before_it_is_protected(|| remembered(place, &format!("{}{KEPT}", walk::MARK)));
            remembered(place, &everything());
            place.run(0, &["--json"]);
        },
        seen: &["data", "model", "stdout"],
    });
    check(Sink {
        name: "a memory, listed",
        replies: Vec::new(),
        act: |place| {
            place.before_it_is_protected(|| remembered(place, &format!("{}{KEPT}", walk::MARK)));
            remembered(place, &everything());
            place.forget_what_was_printed();
            place.sandbar(0, &[&["memory", "list"], &SPY[..]].concat());
            place.sandbar(0, &[&["memory", "list", "--json"], &SPY[..]].concat());
        },
        seen: &["data", "stdout"],
    });
}

fn remembered(place: &Place, text: &str) {
    place.sandbar(0, &[&["memory", "remember"], &SPY[..], &[text]].concat());
}
