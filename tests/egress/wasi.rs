//! Components that were written for `wasi:http`: the same decisions, the same secrets, the same limits.

use sandbar::Runtime;
use serde_json::{Value, json};

use super::{audited, wasi_fetching};
use crate::support::script::text;
use crate::support::web::Web;
use crate::support::world::ask;

async fn fetch(runtime: &Runtime, input: &Value) -> String {
    let ran = ask(runtime, &format!("tools wasi_fetcher__fetch {input}")).await;
    ran.said("wasi_fetcher__fetch")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_the_same_way_out() {
    let (web, other) = (Web::start(), Web::start());
    let rules = format!(
        "http = [{{ url = {}, methods = [\"GET\", \"POST\"] }}]\nsecrets = [\"key\"]",
        text(&web.url("/"))
    );
    let secret = format!(
        "[secrets.key]\nvalue = \"file:key.txt\"\nhosts = [{}]\nheader = \"authorization\"\nformat = \"Bearer {{}}\"",
        text(&web.url(""))
    );
    let world = wasi_fetching(&format!("{rules}\n{secret}")).file("key.txt", "s3cr3t-value-of-it");
    let runtime = world.open().await;
    let said = fetch(
        &runtime,
        &json!({ "url": web.url("/echo?a=b"), "headers": { "x-own": "1" } }),
    )
    .await;
    assert!(said.starts_with("200 GET /echo?a=b HTTP/1.1"), "{said}");
    assert!(
        said.contains("x-own: 1") && said.contains("authorization: Bearer [redacted]"),
        "{said}"
    );
    assert!(
        web.asked()[0].contains("authorization: Bearer s3cr3t-value-of-it"),
        "{:?}",
        web.asked()
    );
    let body = "x".repeat(20_000);
    let said = fetch(&runtime, &json!({ "url": web.url("/echo"), "body": body })).await;
    assert!(
        said.starts_with("200 POST /echo HTTP/1.1") && said.ends_with(&body),
        "{said}"
    );
    // It follows no redirect: its next request is one like every other.
    let said = fetch(&runtime, &json!({ "url": web.url(&format!("/to?{}", other.url("/"))) })).await;
    assert!(said.starts_with("302 "), "{said}");
    for (input, expected) in [
        (
            json!({ "url": other.url("/echo") }),
            "http: ErrorCode::HttpRequestDenied",
        ),
        (
            json!({ "url": format!("https://127.0.0.1:{}/", web.port()) }),
            "http: ErrorCode::HttpRequestDenied",
        ),
        (
            json!({ "url": "http://169.254.169.254/latest/" }),
            "http: ErrorCode::HttpRequestDenied",
        ),
        (
            json!({ "url": web.url("/large?8388609") }),
            "http: ErrorCode::HttpResponseBodySize(None)",
        ),
        (
            json!({ "url": web.url("/"), "headers": { "host": "example.com" } }),
            "invalid-input: the header can't be used",
        ),
    ] {
        let said = fetch(&runtime, &input).await;
        assert!(said.starts_with(expected), "{input}: {said}");
    }
    assert!(other.asked().is_empty());
    assert_eq!(audited(&runtime, "secret.use").len(), 4);
}
