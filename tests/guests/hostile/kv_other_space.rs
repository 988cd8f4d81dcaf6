//! Looks for what another plugin, `keeper`, keeps under `note`.

use sandbar_sdk::{Context, Error, NoInput, Tool, kv};
use sandbar_test_guests::report;

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("attack", attack)]
}

fn attack(_: NoInput, _: &Context) -> Result<String, Error> {
    let mut attempts: Vec<(String, bool)> = [
        "note",
        "keeper/note",
        "../keeper/note",
        "/note",
        "keeper:note",
        "keeper\0note",
        "%",
        "*",
    ]
    .into_iter()
    .map(|key| (format!("{key:?}"), kv::get(key).is_ok_and(|value| value.is_some())))
    .collect();
    for prefix in ["", "n", "keeper", "../", "%", "_"] {
        let keys = kv::all_keys(prefix);
        attempts.push((format!("keys of {prefix:?}"), keys.is_ok_and(|keys| !keys.is_empty())));
    }
    report(&attempts)
}
