//! What a plugin, a model and its server tell.

use serde_json::json;

use super::{CONTROL, Place, Sink, briefly, calling, check, everything};
use crate::support::provider::{Reply, answer, calls, complaint};

/// A tool that tells all it knows in its own way; the run, with these flags, ends well.
fn telling(tool: &'static str, act: fn(&Place), seen: &'static [&'static str]) -> Sink {
    Sink {
        name: tool,
        replies: calling(tool, "{}"),
        act,
        seen,
    }
}

fn runs(place: &Place) {
    place.run(0, &[]);
}

#[test]
fn what_a_tool_gives() {
    check(telling("text", runs, &["data", "model"]));
    check(telling("structured", runs, &["data"]));
    check(telling("user_text", runs, &["data"]));
    check(telling("artifact", runs, &["data"]));
    check(telling("error", runs, &["data", "model"]));
    check(telling("crash", runs, &["data", "model"]));
}

#[test]
fn what_a_tool_tells_while_it_works() {
    fn says_more(place: &Place) {
        place.run(0, &["-vv"]);
    }
    fn as_lines(place: &Place) {
        place.run(0, &["--json"]);
    }
    check(telling("progress", as_lines, &["stdout"]));
    check(telling("log", says_more, &["stderr"]));
    check(telling("printed", says_more, &["stderr"]));
}

/// So many bytes into the list of all values in all forms, or before its end, a form is cut by each of these: plain or reversed, base64,
/// hexadecimal, percent-encoded.
const CUTS: [usize; 4] = [26, 80, 140, 240];

/// More than a sink takes: it ends in the middle of a value, plain and in other forms.
#[test]
fn what_a_sink_has_no_room_for() {
    for (sink, room) in [("log", 64 << 10), ("progress", 64 << 10), ("printed", 16 << 10)] {
        for keeps in CUTS {
            let input = json!({ "sink": sink, "room": room, "keeps": keeps }).to_string();
            check(Sink {
                name: sink,
                replies: calling("over", &input),
                act: match sink {
                    "progress" => |place| drop(place.run(0, &["--json"])),
                    _ => |place| drop(place.run(0, &["-vv"])),
                },
                seen: if sink == "progress" { &["stdout"] } else { &["stderr"] },
            });
        }
    }
}

/// Errors show the beginning of what a server says, and of a long body only the beginning is read.
#[test]
fn what_an_error_has_no_room_for() {
    let forms = everything();
    for cut in CUTS {
        let before = |read: usize, blank: &str| format!("{CONTROL} {}", blank.repeat(read - CONTROL.len() - 1 - cut));
        check(Sink {
            name: "a refusal that is cut",
            replies: vec![Reply::Status(401, "", complaint(&(before(300, "-") + &forms), ""))],
            act: |place| drop(place.run(6, &["-v"])),
            seen: &["stderr", "data"],
        });
        for (read, reply) in [
            (64 << 10, (|body| Reply::Status(401, "", body)) as fn(String) -> Reply),
            (1 << 10, Reply::Large),
        ] {
            check(Sink {
                name: "a body of which only the beginning is read",
                replies: vec![reply(before(read, " ") + &forms)],
                act: |place| drop(place.run(6, &["-v"])),
                seen: &["stderr", "data"],
            });
        }
    }
}

/// A server that knows them, and says so: the model's own key, because it was sent it.
#[test]
fn what_a_model_says() {
    let whole = || Reply::Stream(answer(&[&everything()]));
    let refusal = || complaint(&briefly(), &briefly());
    // The text of a reply is shown piece by piece.
    let text = everything();
    let pieces: Vec<&str> = text.split_inclusive(&['M', '4', '%'][..]).collect();
    let in_pieces = Reply::Stream(answer(&pieces));
    check(Sink {
        name: "a reply, which the next request has again",
        replies: vec![whole(), Reply::Stream(answer(&["done"]))],
        act: |place| {
            place.run(0, &[]);
            place.run(0, &[]);
        },
        seen: &["stdout", "data", "model"],
    });
    check(Sink {
        name: "a reply in pieces, as lines",
        replies: vec![in_pieces],
        act: |place| drop(place.run(0, &["--json"])),
        seen: &["stdout", "data"],
    });
    check(Sink {
        name: "a reply that is cut off",
        replies: vec![Reply::Broken(
            answer(&[&everything(), " and so on"])
                .split("data: [DONE]")
                .next()
                .unwrap()
                .replace("\"finish_reason\":\"stop\"", "\"finish_reason\":null"),
        )],
        act: |place| drop(place.run(6, &[])),
        seen: &["stdout"],
    });
    check(Sink {
        name: "a refusal",
        replies: vec![Reply::Status(401, "", refusal())],
        act: |place| drop(place.run(6, &["-v"])),
        seen: &["stderr", "data"],
    });
    check(Sink {
        name: "a failure that passes",
        replies: vec![
            Reply::Status(503, "Retry-After: 0\r\n", refusal()),
            Reply::Stream(answer(&["done"])),
        ],
        act: |place| drop(place.run(0, &["-v", "--json"])),
        seen: &["stdout", "data"],
    });
    let arguments = serde_json::json!({ "text": everything() }).to_string();
    check(Sink {
        name: "a call that is none",
        replies: vec![
            Reply::Stream(calls(&[
                ("c1", "leaker__nothing", &arguments),
                ("c2", "leaker__text", &arguments),
            ])),
            Reply::Stream(answer(&["done"])),
        ],
        act: runs,
        seen: &["data", "model"],
    });
}
