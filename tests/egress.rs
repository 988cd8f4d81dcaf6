//! Requests of plugins: what is sent is what was granted, to the address that was checked, and nothing of a secret comes back.

mod limits;
mod recorded;
mod refused;
mod secrets;
mod tls;
mod wasi;

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use sandbar::plugins::Resolver;
use sandbar::protocol::{AuditDecision, Denial, EventBody};
use sandbar::{OpenOptions, Runtime};
use serde_json::{Value, json};

use crate::support::program::{run, sandbar};
use crate::support::ran::{Ran, told};
use crate::support::script::{asks_once, text};
use crate::support::web::Web;
use crate::support::world::{World, ask};

/// A plugin that sends requests, with these lines as its grant.
fn fetching(grant: &str) -> World {
    world_of("fetcher", grant)
}

/// One that sends them with `wasi:http`.
fn wasi_fetching(grant: &str) -> World {
    world_of("wasi_fetcher", grant)
}

fn world_of(plugin: &str, grant: &str) -> World {
    World::new()
        .guest("pattern_probe")
        .pattern("pattern_probe")
        .guest(plugin)
        .tools(&[plugin])
        .with(&format!("[grants.{plugin}]\n{grant}"))
}

/// A runtime whose names lead where the table says, and the names that were asked for.
async fn with_names(world: &World, names: &'static [(&'static str, &'static [&'static str])]) -> (Runtime, Asked) {
    let asked = Asked::default();
    let asking = asked.clone();
    let resolver = Resolver::new(move |name| {
        asking.lock().unwrap().push(name.clone());
        let found = names.iter().find(|(known, _)| *known == name);
        let addresses = found.map(|(_, addresses)| addresses.iter().map(|address| address.parse().unwrap()).collect());
        Box::pin(async { addresses.ok_or_else(|| io::Error::other("no such name")) })
    });
    let options = OpenOptions {
        resolver,
        ..world.options()
    };
    (
        Runtime::open_with(world.config().unwrap(), options).await.unwrap(),
        asked,
    )
}

type Asked = Arc<Mutex<Vec<String>>>;

async fn call(runtime: &Runtime, tool: &str, input: &Value) -> Ran {
    ask(runtime, &format!("tools fetcher__{tool} {input}")).await
}

/// What came of a request: its status, or the code of its error.
async fn fetched(runtime: &Runtime, input: &Value) -> String {
    let said = call(runtime, "fetch", input).await.said("fetcher__fetch");
    match serde_json::from_str::<Value>(&said) {
        Ok(got) => got["status"].to_string(),
        Err(_) => said.split(':').next().unwrap().to_owned(),
    }
}

/// The whole of what came.
async fn got(runtime: &Runtime, input: &Value) -> Value {
    let said = call(runtime, "fetch", input).await.said("fetcher__fetch");
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"))
}

fn denials(ran: &Ran) -> Vec<Denial> {
    let denials = ran.events().filter_map(|event| match &event.body {
        EventBody::ToolFinished { denials, .. } => Some(denials.clone()),
        _ => None,
    });
    denials.flatten().collect()
}

/// Action, target and decision of what was audited about a plugin's requests, oldest first.
fn audited(runtime: &Runtime, action: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let see = |record: &sandbar::store::AuditRecord| {
        if record.entry.action == action {
            lines.push(format!("{} {:?}", record.entry.target, record.entry.decision));
        }
        Ok(())
    };
    runtime.store().each_audit_entry(0, see).unwrap();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_is_what_is_granted() {
    let (web, other) = (Web::start(), Web::start());
    let world = fetching(&format!(
        "http = [{}, {{ url = {}, methods = [\"POST\"] }}]",
        text(&web.url("/open/")),
        text(&web.url("/post"))
    ));
    let runtime = world.open().await;
    let port = web.port();
    for (method, url, expected) in [
        ("GET", web.url("/open/a?b=c"), "200"),
        ("get", web.url("/open/"), "200"),
        ("HEAD", web.url("/open/"), "200"),
        ("POST", web.url("/post"), "200"),
        ("POST", web.url("/open/a"), "denied"),
        ("GET", web.url("/post"), "denied"),
        ("GET", web.url("/postal"), "denied"),
        ("GET", web.url("/open"), "denied"),
        ("GET", web.url("/"), "denied"),
        ("GET", web.url("/open/../post"), "denied"),
        ("GET", web.url("/open/%2e%2e/post"), "denied"),
        ("GET", web.url("/open/..%2fpost"), "denied"),
        ("GET", other.url("/open/a"), "denied"),
        ("GET", format!("https://127.0.0.1:{port}/open/a"), "denied"),
        ("GET", format!("http://localhost:{port}/open/a"), "denied"),
        ("GET", format!("http://127.0.0.2:{port}/open/a"), "denied"),
        ("GET", format!("http://127.0.0.1.:{port}/open/a"), "200"),
        ("GET", format!("http://[::ffff:127.0.0.1]:{port}/open/a"), "200"),
        ("GET", format!("http://user@127.0.0.1:{port}/open/a"), "invalid-request"),
        ("GET", "file:///etc/passwd".to_owned(), "invalid-request"),
        ("CONNECT", web.url("/open/a"), "denied"),
        ("TRACE", web.url("/open/a"), "invalid-request"),
        ("G T", web.url("/open/a"), "invalid-request"),
    ] {
        let expected = if method == "CONNECT" {
            "invalid-request"
        } else {
            expected
        };
        let input = json!({ "method": method, "url": url });
        assert_eq!(fetched(&runtime, &input).await, expected, "{method} {url}");
    }
    for header in ["host", "connection", "transfer-encoding", "proxy-authorization"] {
        let input = json!({ "url": web.url("/open/a"), "headers": { header: "example.com" } });
        assert_eq!(fetched(&runtime, &input).await, "invalid-request", "{header}");
    }
    let input = json!({ "url": web.url("/open/a"), "headers": { "Authorization": "mine", "x-own": "1", "Accept-Encoding": "gzip" } });
    let body = got(&runtime, &input).await["body"]
        .as_str()
        .unwrap()
        .to_ascii_lowercase();
    for line in [
        &format!("host: 127.0.0.1:{port}") as &str,
        "authorization: mine",
        "x-own: 1",
        "accept-encoding: identity",
    ] {
        assert_eq!(body.lines().filter(|found| *found == line).count(), 1, "{line}: {body}");
    }
    assert_eq!(web.asked().len(), 7, "{:?}", web.asked());
    assert!(other.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_leads_where_it_may() {
    const NAMES: &[(&str, &[&str])] = &[
        ("here.example", &["127.0.0.1"]),
        ("mixed.example", &["127.0.0.1", "10.0.0.1"]),
        ("public.example", &["203.0.113.5", "127.0.0.1"]),
        ("mapped.example", &["::ffff:127.0.0.1"]),
        ("metadata.example", &["169.254.169.254"]),
        ("six.example", &["::1"]),
    ];
    let web = Web::start();
    let port = web.port();
    let rule = |host: &str, more: &str| format!("{{ url = \"http://{host}.example:{port}/\"{more} }}");
    let loopback = ", addresses = [\"127.0.0.0/8\"]";
    let rules = [
        rule("here", loopback),
        rule("mixed", loopback),
        rule("mapped", ""),
        rule("public", ""),
        // All that surrounds the address can be granted, and the address is still not among it.
        rule("metadata", ", addresses = [\"169.254.0.0/16\"]"),
        rule("six", loopback),
        rule("nowhere", loopback),
    ];
    let world = fetching(&format!("http = [{}]", rules.join(", ")));
    let (runtime, asked) = with_names(&world, NAMES).await;
    for (host, expected) in [
        ("here", "200"),
        ("mixed", "denied"),
        ("public", "denied"),
        ("mapped", "denied"),
        ("metadata", "denied"),
        ("six", "denied"),
        ("nowhere", "unknown-host"),
        ("other", "denied"),
    ] {
        let input = json!({ "url": format!("http://{host}.example:{port}/echo") });
        assert_eq!(fetched(&runtime, &input).await, expected, "{host}");
    }
    // Each name once, and a name that nothing grants not at all: the resolver's answers are news for whoever runs the name's server.
    let hosts = ["here", "mixed", "public", "mapped", "metadata", "six", "nowhere"];
    let expected: Vec<String> = hosts.iter().map(|host| format!("{host}.example")).collect();
    assert_eq!(*asked.lock().unwrap(), expected);
    assert_eq!(web.asked().len(), 1);
    assert!(
        web.asked()[0].contains(&format!("here.example:{port}")),
        "{:?}",
        web.asked()
    );
}

/// A name that leads somewhere else when it is asked for again is asked for once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_checked_is_what_is_connected_to() {
    let web = Web::start();
    let world = fetching(&format!(
        "http = [{{ url = \"http://turning.example:{}/\", addresses = [\"127.0.0.0/8\"] }}]",
        web.port()
    ));
    let turns = Arc::new(Mutex::new(0_u32));
    let turning = turns.clone();
    let options = OpenOptions {
        resolver: Resolver::new(move |_| {
            let mut turn = turning.lock().unwrap();
            *turn += 1;
            let address: IpAddr = if *turn == 1 {
                [127, 0, 0, 1]
            } else {
                [169, 254, 169, 254]
            }
            .into();
            Box::pin(async move { Ok(vec![address]) })
        }),
        ..world.options()
    };
    let runtime = Runtime::open_with(world.config().unwrap(), options).await.unwrap();
    let input = json!({ "url": format!("http://turning.example:{}/", web.port()) });
    assert_eq!(fetched(&runtime, &input).await, "200");
    assert_eq!((*turns.lock().unwrap(), web.asked().len()), (1, 1));
    assert_eq!(fetched(&runtime, &input).await, "denied");
    assert_eq!((*turns.lock().unwrap(), web.asked().len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_redirect_is_a_request_of_its_own() {
    let (web, other, never) = (Web::start(), Web::start(), Web::start());
    let world = fetching(&format!(
        "http = [{{ url = {}, methods = [\"GET\", \"POST\"] }}, {}]",
        text(&web.url("/")),
        text(&other.url("/echo"))
    ));
    let runtime = world.open().await;
    for (path, redirects, expected) in [
        ("/to?/echo", 5, "200"),
        (&format!("/to?{}", other.url("/echo")) as &str, 5, "200"),
        (&format!("/to?{}", other.url("/elsewhere")), 5, "denied"),
        (&format!("/to?{}", never.url("/")), 5, "denied"),
        ("/to?http://169.254.169.254/latest", 5, "denied"),
        ("/to?file:///etc/passwd", 5, "bad-response"),
        ("/to?/echo", 0, "302"),
        ("/circle", 5, "too-many-redirects"),
        ("/to?/to?/echo", 1, "too-many-redirects"),
        ("/to?/to?/echo", 2, "200"),
    ] {
        let input = json!({ "url": web.url(path), "redirects": redirects });
        assert_eq!(fetched(&runtime, &input).await, expected, "{path}");
    }
    // What gives credentials away isn't offered as a line to paste.
    let input = json!({ "url": web.url("/to?http://169.254.169.254/latest") });
    let denial = denials(&call(&runtime, "fetch", &input).await).pop().unwrap();
    assert!(
        denial
            .reason
            .contains("gives the credentials of this machine to whoever asks"),
        "{denial:?}"
    );
    assert_eq!(denial.mend, None);
    let input = json!({ "url": web.url("/circle"), "redirects": 6 });
    assert_eq!(fetched(&runtime, &input).await, "invalid-request");
    let headers = json!({ "authorization": "mine", "cookie": "a=b", "x-own": "1", "accept": "a/b" });
    let input = json!({ "method": "POST", "url": web.url(&format!("/to?{}", other.url("/echo"))), "headers": headers, "body": "b" });
    let came = got(&runtime, &input).await;
    assert_eq!(came["url"], other.url("/echo"));
    let sent = other.asked().pop().unwrap().to_ascii_lowercase();
    assert!(sent.starts_with("get /echo ") && sent.contains("accept: a/b"), "{sent}");
    for gone in ["mine", "cookie", "x-own", "content-length"] {
        assert!(!sent.contains(gone), "{gone}: {sent}");
    }
    let input = json!({ "method": "POST", "url": web.url(&format!("/307?{}", other.url("/echo"))), "body": "b" });
    assert_eq!(
        fetched(&runtime, &input).await,
        "denied",
        "the other server may be asked with GET alone"
    );
    assert!(never.asked().is_empty());
}

/// The plugin hears `denied`, the model a little more, and the operator everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_what_would_allow_it() {
    let web = Web::start();
    let world = fetching("");
    let runtime = world.open().await;
    let url = web.url("/echo?key=1");
    let ran = call(&runtime, "fetch", &json!({ "url": url, "method": "POST" })).await;
    let said = ran.said("fetcher__fetch");
    assert_eq!(
        said,
        "denied: the request is not granted (the plugin was refused network access)"
    );
    let denial = denials(&ran).pop().unwrap();
    let shown = web.url("/echo");
    assert!(
        denial.reason.contains("`fetcher`") && denial.reason.contains(&shown),
        "{denial:?}"
    );
    assert!(!denial.reason.contains("key=1"), "{denial:?}");
    let mend = denial.mend.unwrap();
    assert!(mend.contains("[grants.fetcher]") && mend.contains("POST"), "{mend}");
    assert_eq!(
        audited(&runtime, "http.request"),
        [format!("POST {shown} {:?}", AuditDecision::Denied)]
    );
    // Also where the plugin keeps it to itself.
    let ran = call(&runtime, "swallow", &json!({})).await;
    assert_eq!(ran.said("fetcher__swallow"), "fine");
    assert_eq!(denials(&ran).len(), 1, "{:#?}", ran.lines());
    // The lines that it gives do allow it.
    let lines: Vec<&str> = mend.lines().filter(|line| line.starts_with("http = ")).collect();
    let world = fetching(lines[0]);
    let runtime = world.open().await;
    assert_eq!(fetched(&runtime, &json!({ "url": url, "method": "POST" })).await, "200");
}

/// What a tool would change is asked in an instance that reaches nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_sends_nothing() {
    let web = Web::start();
    let world = fetching(&format!("http = [{}]", text(&web.url("/"))));
    let runtime = world.open().await;
    let ran = call(&runtime, "peek", &json!({ "url": web.url("/echo") })).await;
    assert!(told(ran.calls()[0].1).starts_with("denied: "), "{:#?}", ran.lines());
    assert!(web.asked().is_empty());
    // The line that would grant it is there.
    let reason = format!(
        "the plugin `fetcher` may not send GET to {} yet: in a preview of a call nothing is sent",
        web.url("/echo")
    );
    assert_eq!(denials(&ran), [Denial { reason, mend: None }]);
    assert_eq!(fetched(&runtime, &json!({ "url": web.url("/echo") })).await, "200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_are_audited() {
    let web = Web::start();
    let world = fetching(&format!("http = [{}]", text(&web.url("/open/"))));
    let runtime = world.open().await;
    fetched(&runtime, &json!({ "url": web.url("/open/a?key=1") })).await;
    fetched(&runtime, &json!({ "url": web.url("/shut") })).await;
    runtime.close().await;
    let runtime = world.open().await;
    let line = |path: &str, decision: &str| format!("GET {} {decision}", web.url(path));
    assert_eq!(
        audited(&runtime, "http.request"),
        [line("/open/a", "Allowed"), line("/shut", "Denied")]
    );
}

/// The environment is nobody's word on where requests go; a line of the configuration is.
#[test]
fn a_proxy_is_configured_or_there_is_none() {
    let (web, proxy) = (Web::start(), Web::start());
    let url = web.url("/echo");
    let world = |network: &str| {
        World::new()
            .guest("fetcher")
            .tools(&["fetcher"])
            .script(asks_once("fetcher__fetch", &json!({ "url": url }).to_string()))
            .with(&format!(
                "[grants.fetcher]\nhttp = [{}]\n{network}",
                text(&web.url("/"))
            ))
    };
    let unset = world("");
    let ended = sandbar(unset.write_config(), &["run", "go"])
        .env("HTTP_PROXY", proxy.url(""))
        .env("http_proxy", proxy.url(""))
        .env("ALL_PROXY", proxy.url(""))
        .output()
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!((web.asked().len(), proxy.asked().len()), (1, 0));
    let set = world(&format!("[network]\nproxy = {}", text(&proxy.url(""))));
    run(set.write_config(), &["run", "go"]).expect(0);
    assert_eq!((web.asked().len(), proxy.asked().len()), (1, 1));
    assert!(
        proxy.asked()[0].starts_with(&format!("GET {url} ")),
        "{:?}",
        proxy.asked()
    );
}
