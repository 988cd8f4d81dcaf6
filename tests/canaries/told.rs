//! What a plugin, a model and its server tell.

use super::{Place, Sink, briefly, calling, check, everything};
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
