//! Limits of requests: each fires, and dropping a call hangs up.

use sandbar::protocol::{EventBody, RunRequest, StreamItem, ToolOutcome};
use serde_json::{Value, json};

use super::{call, fetched, fetching, wasi_fetching};
use crate::support::ran::Ran;
use crate::support::script::text;
use crate::support::web::Web;
use crate::support::world::World;

const MIB: usize = 1 << 20;

fn open_to(web: &Web) -> World {
    fetching(&format!(
        "http = [{{ url = {}, methods = [\"GET\", \"POST\"] }}]",
        text(&web.url("/"))
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_have_a_size() {
    let web = Web::start();
    let world = open_to(&web).limits("wall_ms = 60000\ncpu_ms = 60000");
    let runtime = world.open().await;
    for (path, expected) in [
        (format!("/large?{}", 8 * MIB + 1), "too-large"),
        ("/endless".to_owned(), "too-large"),
        ("/large?1000".to_owned(), "200"),
    ] {
        let said = fetched(&runtime, &json!({ "url": web.url(&path) })).await;
        assert_eq!(said, expected, "{path}");
    }
    let before = web.asked().len();
    for (bytes, expected) in [(4 * MIB + 1, "too-large"), (4 * MIB, "200")] {
        let ran = call(&runtime, "upload", &json!({ "url": web.url("/echo"), "bytes": bytes })).await;
        let said = ran.said("fetcher__upload");
        // The echo of so large a body is small enough.
        assert!(said.starts_with(expected), "{bytes}: {said}");
    }
    assert_eq!(web.asked().len() - before, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_is_left() {
    let web = Web::start();
    let world = open_to(&web);
    let runtime = world.open().await;
    let input = json!({ "url": web.url("/hang"), "timeout_ms": 3_000 });
    assert_eq!(fetched(&runtime, &input).await, "timeout");
    web.wait_until_hung_up(1);
    let manifest = format!("[requests]\nhttp = [{}]\n[limits]\nwall_ms = 3000", text(&web.url("/")));
    let world = open_to(&web).manifest("fetcher", &manifest);
    let runtime = world.open().await;
    let ran = call(&runtime, "fetch", &json!({ "url": web.url("/hang") })).await;
    assert!(
        ran.said("fetcher__fetch").starts_with("wall-limit: "),
        "{:#?}",
        ran.lines()
    );
    web.wait_until_hung_up(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_call_hangs_up() {
    let web = Web::start();
    let world = open_to(&web);
    let runtime = world.open().await;
    let message = format!("tools fetcher__fetch {}", json!({ "url": web.url("/hang") }));
    let stream = runtime.run(RunRequest::new(message)).await.unwrap();
    let web = tokio::task::spawn_blocking(move || {
        web.wait_until_hanging();
        web
    });
    let web = web.await.unwrap();
    stream.cancel();
    let ran = Ran::collect(stream).await;
    let [(_, ToolOutcome::Error(error))] = ran.calls()[..] else {
        panic!("{:#?}", ran.lines())
    };
    assert_eq!(error.code, "cancelled");
    tokio::task::spawn_blocking(move || web.wait_until_hung_up(1))
        .await
        .unwrap();
}

/// Refused requests count as well: the policy is not to be felt out, and the audit not to be filled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_have_a_rate() {
    let world = fetching("").limits("cpu_ms = 60000\nwall_ms = 60000");
    let runtime = world.open().await;
    let input = json!({ "url": "https://never.granted.example/", "times": 100_000 });
    let said = call(&runtime, "flood", &input).await.said("fetcher__flood");
    let counts: Value = serde_json::from_str(&said).unwrap();
    let denied = counts["denied"].as_u64().unwrap();
    assert!((100..100_000).contains(&denied), "{counts}");
    assert_eq!(counts["too-many-requests"], 1, "{counts}");
}

/// A component with `wasi:http` can have many at once; so many reach the server, and the others are told at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_so_many_requests_at_once() {
    let web = Web::start();
    let world = wasi_fetching(&format!("http = [{}]", text(&web.url("/"))));
    let world = world.limits("cpu_ms = 60000\nwall_ms = 60000");
    let runtime = world.open().await;
    let message = format!(
        "tools wasi_fetcher__many {}",
        json!({ "url": web.url("/hold"), "times": 20 })
    );
    let mut stream = runtime.run(RunRequest::new(message)).await.unwrap();
    let mut said = None;
    while let Some(item) = stream.next().await {
        match item.unwrap() {
            StreamItem::Delta(_) => web.release(),
            StreamItem::Event(event) => {
                if let EventBody::ToolFinished { outcome, .. } = &event.body {
                    said = Some(crate::support::ran::told(outcome));
                }
            }
        }
    }
    let counts: Value = serde_json::from_str(&said.unwrap()).unwrap();
    assert_eq!(counts, json!({ "200": 16, "ErrorCode::ConnectionLimitReached": 4 }));
    assert_eq!(web.asked().len(), 16);
}
