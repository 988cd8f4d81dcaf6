//! What is not in the audit is not sent.

use rusqlite::Connection;
use serde_json::json;

use super::{audited, call, denials, fetched, fetching, wasi_fetching};
use crate::support::script::text;
use crate::support::web::Web;
use crate::support::world::{World, ask};

const VALUE: &str = "s3cr3t-value-of-weather";

fn grant(web: &Web) -> String {
    format!(
        "http = [{}]\nsecrets = [\"key\"]\n[secrets.key]\nvalue = \"file:key.txt\"\nhosts = [{}]\nheader = \"authorization\"",
        text(&web.url("/")),
        text(&web.url(""))
    )
}

/// Makes the table of the audit refuse an action, as a full disk or a damaged page would.
fn refuse(world: &World, action: &str) {
    let trigger = format!(
        "CREATE TRIGGER refusing BEFORE INSERT ON audit WHEN NEW.action = '{action}' BEGIN SELECT RAISE(ABORT, 'no room'); END"
    );
    execute(world, &trigger);
}

fn execute(world: &World, statement: &str) {
    let database = Connection::open(world.data().join("sandbar.db")).unwrap();
    database.execute_batch(statement).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_can_not_be_audited_is_not_sent() {
    for action in ["http.request", "secret.use"] {
        let web = Web::start();
        let world = fetching(&grant(&web)).file("key.txt", VALUE);
        let runtime = world.open().await;
        let input = json!({ "url": web.url("/echo") });
        assert_eq!(fetched(&runtime, &input).await, "200");
        refuse(&world, action);
        let ran = call(&runtime, "fetch", &input).await;
        assert_eq!(
            ran.said("fetcher__fetch"),
            "not-recorded: the request was not sent, since it can't be put down in the audit"
        );
        assert_eq!(web.asked().len(), 1, "{action}: {:?}", web.asked());
        let denial = denials(&ran).pop().unwrap();
        assert!(
            denial.reason.contains("was not sent: the audit can't be written: ") && denial.reason.contains("no room"),
            "{denial:?}"
        );
        // Both entries or none: a request of which only a part is known is none that was sent.
        let place = format!("GET {} Allowed", web.url("/echo"));
        assert_eq!(
            audited(&runtime, "http.request")
                .iter()
                .filter(|line| **line == place)
                .count(),
            1
        );
        assert_eq!(audited(&runtime, "secret.use").len(), 1);
        // Each redirect is a request of its own.
        execute(&world, "DROP TRIGGER refusing");
        assert_eq!(fetched(&runtime, &json!({ "url": web.url("/to?/echo") })).await, "200");
        assert_eq!(web.asked().len(), 3);
        assert_eq!(audited(&runtime, "secret.use").len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_one_of_wasi_http() {
    let web = Web::start();
    let world = wasi_fetching(&grant(&web)).file("key.txt", VALUE);
    let runtime = world.open().await;
    let message = format!("tools wasi_fetcher__fetch {}", json!({ "url": web.url("/echo") }));
    refuse(&world, "http.request");
    let said = ask(&runtime, &message).await.said("wasi_fetcher__fetch");
    assert!(
        said.contains("InternalError") && said.contains("put down in the audit"),
        "{said}"
    );
    assert_eq!(web.asked().len(), 0);
    execute(&world, "DROP TRIGGER refusing");
    let said = ask(&runtime, &message).await.said("wasi_fetcher__fetch");
    assert!(said.starts_with("200 "), "{said}");
}
