//! What servers get that are to get no secret, and what comes back from the one that gets them.

use super::{CONTROL, ENV, FILE, MODEL, PROTECTED, Place, Sink, calling, check, everything};
use crate::support::script::text;

/// Sends everything to both servers in one part of a request.
fn sending(part: &'static str, act: fn(&Place)) {
    check(Sink {
        name: part,
        replies: Vec::new(),
        act,
        seen: &["other"],
    });
}

fn sends(place: &Place, part: &str) {
    for server in [&place.other, &place.home] {
        let url = if part == "path" {
            server.url("")
        } else {
            server.url("/echo")
        };
        let input = format!(r#"{{"url":{},"place":{}}}"#, text(&url), text(part));
        place.provider.then(calling("send", &input));
        place.run(0, &["-v"]);
    }
    // Of what the plugin had, only what nobody protects was sent, in all forms; and the server that gets secrets got them from the host.
    assert_eq!(place.other.asked().len(), 5, "{:#?}", place.other.asked());
    let home = place.home.asked();
    assert_eq!(home.len(), 5, "{home:#?}");
    for asked in home {
        assert!(
            asked.contains(&format!("authorization: Bearer {ENV}\r\n")) && asked.contains(&format!("key={FILE}")),
            "{asked}"
        );
        assert!(!asked.contains(MODEL), "{asked}");
    }
    let said = format!("{:#?}", place.provider.requests().last().unwrap().body);
    for (name, _) in PROTECTED {
        for form in ["plain", "base64", "hex", "percent", "reversed"] {
            assert!(said.contains(&format!("{name}/{form} denied")), "{name}/{form}: {said}");
        }
    }
}

#[test]
fn what_a_request_holds() {
    sending("path", |place| sends(place, "path"));
    sending("query", |place| sends(place, "query"));
    sending("header", |place| sends(place, "header"));
    sending("cookie", |place| sends(place, "cookie"));
    sending("body", |place| sends(place, "body"));
    sending("json", |place| sends(place, "json"));
}

/// Fetches this, and the tool tells it letter by letter, so that nobody behind it finds a word.
fn fetches(place: &Place, url: &str) {
    let input = format!(r#"{{"url":{}}}"#, text(url));
    place.provider.then(calling("fetch", &input));
    place.run(0, &["-v", "--json"]);
}

#[test]
fn what_comes_back() {
    check(Sink {
        name: "a server that repeats what it was sent",
        replies: Vec::new(),
        act: |place| {
            fetches(place, &place.home.url(&format!("/echo?{CONTROL}")));
            let asked = place.home.asked().pop().unwrap();
            assert!(asked.contains(ENV) && asked.contains(FILE), "{asked}");
        },
        seen: &["data", "model", "stdout"],
    });
    check(Sink {
        name: "a redirect to another server",
        replies: Vec::new(),
        act: |place| {
            // The parameter with the secret comes last, so that it becomes a part of where it leads.
            let there = place.other.url(&format!("/echo/{CONTROL}?a=b"));
            fetches(place, &place.home.url(&format!("/to?{there}")));
            fetches(place, &place.home.url(&format!("/307?{there}")));
            let asked = place.home.asked();
            assert!(
                asked.len() == 2 && asked.iter().all(|asked| asked.contains(ENV) && asked.contains(FILE)),
                "{asked:#?}"
            );
        },
        seen: &["other", "data"],
    });
    check(Sink {
        name: "a request that is refused",
        replies: Vec::new(),
        act: |place| {
            let query = everything().replace('%', "%25").replace(' ', "+").replace('\n', "&");
            fetches(place, &format!("http://127.0.0.1:9/{CONTROL}?{query}"));
        },
        seen: &["stderr", "data"],
    });
}
