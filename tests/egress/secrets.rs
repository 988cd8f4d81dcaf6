//! Secrets: where they go, and that a plugin has no way to see or to send one.

use sandbar::Runtime;
use serde_json::json;

use super::{audited, call, denials, fetched, fetching, got};
use crate::support::script::text;
use crate::support::web::Web;
use crate::support::world::World;

const VALUE: &str = "s3cr3t/value+of-weather";

/// A secret for a server, and a plugin that may ask two.
fn with_secret(grant: &str, place: &str, audience: &Web, other: &Web) -> World {
    let rules = format!(
        "http = [{{ url = {}, methods = [\"GET\", \"POST\"] }}, {{ url = {}, methods = [\"GET\", \"POST\"] }}]",
        text(&audience.url("/")),
        text(&other.url("/"))
    );
    let config = format!("config = {{ value = {} }}", text(VALUE));
    let secret = format!(
        "[secrets.weather-key]\nvalue = \"file:key.txt\"\nhosts = [{}]\n{place}",
        text(&audience.url(""))
    );
    fetching(&format!("{rules}\n{grant}\n{config}\n{secret}")).file("key.txt", format!("{VALUE}\n"))
}

async fn exists(runtime: &Runtime, name: &str) -> String {
    call(runtime, "exists", &json!({ "name": name }))
        .await
        .said("fetcher__exists")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_goes_to_its_place_and_does_not_come_back() {
    for (place, body, sent) in [
        (
            "header = \"authorization\"\nformat = \"Bearer {}\"",
            "",
            "authorization: Bearer s3cr3t/value+of-weather\r\n",
        ),
        ("header = \"x-api-key\"", "", "x-api-key: s3cr3t/value+of-weather\r\n"),
        ("query = \"key\"", "", "?key=s3cr3t%2Fvalue%2Bof-weather HTTP"),
        (
            "json = \"/auth/key\"",
            r#"{"city":"Oslo"}"#,
            r#""auth":{"key":"s3cr3t/value+of-weather"}"#,
        ),
    ] {
        let (web, other) = (Web::start(), Web::start());
        let world = with_secret("secrets = [\"weather-key\"]", place, &web, &other);
        let runtime = world.open().await;
        assert_eq!(exists(&runtime, "weather-key").await, "true");
        assert_eq!(exists(&runtime, "other-key").await, "false");
        let method = if body.is_empty() { "GET" } else { "POST" };
        let input = |web: &Web, spelled: bool| {
            let headers = json!({ "x-api-key": "mine", "authorization": "mine", "range": "bytes=0-3" });
            json!({ "method": method, "url": web.url("/echo"), "body": body, "headers": headers, "spelled": spelled })
        };
        let came = got(&runtime, &input(&web, false)).await.to_string();
        assert!(came.contains("[redacted]"), "{place}: {came}");
        let asked = web.asked().pop().unwrap();
        assert!(asked.contains(sent) && !asked.contains("range: "), "{place}: {asked}");
        assert_eq!(
            asked.contains("x-api-key: mine"),
            !place.contains("x-api-key"),
            "{place}: {asked}"
        );
        // Not even in a form in which the journal would not have found it.
        let spelled = got(&runtime, &input(&web, true)).await["body"]
            .as_str()
            .unwrap()
            .replace('.', "");
        assert!(
            spelled.contains("[redacted]") && !spelled.contains("s3cr3t"),
            "{place}: {spelled}"
        );
        got(&runtime, &input(&other, false)).await;
        let asked = other.asked().pop().unwrap();
        assert!(
            !asked.contains("s3cr3t") && asked.contains("range: "),
            "{place}: {asked}"
        );
        let uses = audited(&runtime, "secret.use");
        let sent = format!("weather-key to {} Allowed", web.url(""));
        assert_eq!(uses, ["other-key Denied", &sent, &sent], "{place}");
        assert_eq!(audited(&runtime, "leak").len(), 2, "{place}");
    }
}

/// A request in which there is no place for it carries none, and none is accounted for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_was_not_sent_is_not_audited() {
    let (web, other) = (Web::start(), Web::start());
    let world = with_secret("secrets = [\"weather-key\"]", "json = \"/auth/key\"", &web, &other);
    let runtime = world.open().await;
    let input = json!({ "url": web.url("/echo"), "headers": { "range": "bytes=0-3" } });
    assert_eq!(fetched(&runtime, &input).await, "200");
    let asked = web.asked().pop().unwrap();
    assert!(!asked.contains("s3cr3t") && asked.contains("range: "), "{asked}");
    assert_eq!(audited(&runtime, "http.request").len(), 1);
    assert_eq!(audited(&runtime, "secret.use"), Vec::<String>::new());
    let input = json!({ "method": "POST", "url": web.url("/echo"), "body": "{}" });
    assert_eq!(fetched(&runtime, &input).await, "200");
    assert!(web.asked().pop().unwrap().contains("s3cr3t"));
    assert_eq!(audited(&runtime, "secret.use").len(), 1);
}

/// Configured is not granted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_added_for_those_that_were_granted_it() {
    let (web, other) = (Web::start(), Web::start());
    let world = with_secret("", "header = \"authorization\"", &web, &other);
    let runtime = world.open().await;
    assert_eq!(exists(&runtime, "weather-key").await, "false");
    assert_eq!(fetched(&runtime, &json!({ "url": web.url("/echo") })).await, "200");
    assert!(!web.asked()[0].contains("s3cr3t"), "{:?}", web.asked());
    assert_eq!(audited(&runtime, "secret.use"), ["weather-key Denied"]);
    // The manifest must want it, too.
    let world = with_secret(
        "secrets = [\"weather-key\"]",
        "header = \"authorization\"",
        &web,
        &other,
    );
    let world = world.manifest("fetcher", &format!("[requests]\nhttp = [{}]", text(&web.url("/"))));
    let runtime = world.open().await;
    assert_eq!(exists(&runtime, "weather-key").await, "false");
    assert_eq!(fetched(&runtime, &json!({ "url": web.url("/echo") })).await, "200");
    assert!(!web.asked()[1].contains("s3cr3t"), "{:?}", web.asked());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_takes_no_secret_along() {
    for place in ["header = \"authorization\"", "query = \"key\""] {
        let (web, other) = (Web::start(), Web::start());
        let world = with_secret("secrets = [\"weather-key\"]", place, &web, &other);
        let runtime = world.open().await;
        for (path, status) in [("/to", "302"), ("/307", "307")] {
            let input = json!({ "url": web.url(&format!("{path}?{}", other.url("/echo"))) });
            assert_eq!(fetched(&runtime, &input).await, "200", "{status}");
        }
        assert!(
            web.asked().iter().all(|asked| asked.contains("s3cr3t")),
            "{place}: {:?}",
            web.asked()
        );
        assert!(
            other.asked().iter().all(|asked| !asked.contains("s3cr3t")),
            "{place}: {:?}",
            other.asked()
        );
        // At home it is added again.
        let input = json!({ "url": web.url("/to?/echo") });
        assert_eq!(fetched(&runtime, &input).await, "200");
        assert!(
            web.asked().iter().all(|asked| asked.contains("s3cr3t")),
            "{place}: {:?}",
            web.asked()
        );
    }
}

/// However it got the value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_a_plugin_holds_a_protected_value() {
    let (web, other) = (Web::start(), Web::start());
    let world = with_secret(
        "secrets = [\"weather-key\"]",
        "header = \"authorization\"",
        &web,
        &other,
    );
    let runtime = world.open().await;
    let places = ["path", "query", "header", "cookie", "body", "json"];
    for server in [&web, &other] {
        for place in places {
            let input = json!({ "url": server.url("/echo/"), "place": place });
            let ran = call(&runtime, "steal", &input).await;
            assert!(
                ran.said("fetcher__steal").starts_with("denied: "),
                "{place}: {:#?}",
                ran.lines()
            );
            let denial = denials(&ran).pop().unwrap();
            assert!(
                denial.reason.contains("`weather-key`") && !denial.reason.contains("s3cr3t"),
                "{denial:?}"
            );
        }
    }
    assert_eq!(web.asked().len() + other.asked().len(), 0);
    assert_eq!(audited(&runtime, "leak").len(), 2 * places.len());
    assert!(
        audited(&runtime, "http.request")
            .iter()
            .all(|line| !line.contains("s3cr3t"))
    );
    // Also where nothing grants the request, and its URL is too long to be told: it is cut in the middle of the value.
    for length in [150, 160, 165] {
        let url = format!("https://never.granted.example/{}", "-".repeat(length));
        let ran = call(&runtime, "steal", &json!({ "url": url, "place": "path" })).await;
        let denial = denials(&ran).pop().unwrap();
        let told = format!("{denial:?} {:?}", audited(&runtime, "http.request"));
        assert!(
            denial.reason.contains("`weather-key`") && !told.contains("s3cr"),
            "{told}"
        );
    }
}

/// A response in which a secret could hide isn't taken where one was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packed_response_to_a_secret_is_refused() {
    let (web, other) = (Web::start(), Web::start());
    let world = with_secret(
        "secrets = [\"weather-key\"]",
        "header = \"authorization\"",
        &web,
        &other,
    );
    let runtime = world.open().await;
    assert_eq!(
        fetched(&runtime, &json!({ "url": web.url("/gzip") })).await,
        "bad-response"
    );
    assert_eq!(fetched(&runtime, &json!({ "url": other.url("/gzip") })).await, "200");
}

/// Whatever a plugin says, it says without the values that are protected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plugin_tells_is_searched() {
    let (web, other) = (Web::start(), Web::start());
    let world = with_secret("", "header = \"authorization\"", &web, &other);
    let runtime = world.open().await;
    let sinks = ["progress Redacted", "a log message Redacted"];
    let mut expected = Vec::new();
    for (how, said, more) in [
        (
            "output",
            "text [redacted]",
            &[
                "the tool's text Redacted",
                "the tool's text for the user Redacted",
                "the tool's structured content Redacted",
                "an artifact Redacted",
            ] as &[&str],
        ),
        (
            "error",
            "failed: message [redacted]",
            &["the plugin's error Redacted"; 2],
        ),
        (
            "crash",
            "plugin-trapped: `fetcher` crashed: ",
            &["standard error Redacted"],
        ),
    ] {
        let ran = call(&runtime, "tell", &json!({ "how": how })).await;
        assert!(ran.said("fetcher__tell").starts_with(said), "{how}: {:#?}", ran.lines());
        assert!(
            !format!("{:?}", ran.items).contains("s3cr3t"),
            "{how}: {:#?}",
            ran.lines()
        );
        assert!(
            ran.progress().is_empty() || ran.progress() == "progress [redacted]\n",
            "{how}: {}",
            ran.progress()
        );
        expected.extend(sinks.iter().chain(more).map(|line| (*line).to_owned()));
        if how == "crash" {
            assert!(ran.said("fetcher__tell").contains("[redacted]"), "{:#?}", ran.lines());
        }
    }
    let found: Vec<String> = audited(&runtime, "leak");
    for line in &expected {
        let (found, wanted) = (
            found.iter().filter(|found| *found == line),
            expected.iter().filter(|found| *found == line),
        );
        assert!(found.count() >= wanted.count(), "{line}");
    }
}
