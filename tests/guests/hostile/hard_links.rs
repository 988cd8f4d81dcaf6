//! Gives files outside of the workspace a second name inside.

use std::fs;

use sandbar_sdk::{Context, Error, NoInput, Tool};
use sandbar_test_guests::report;

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("attack", attack)]
}

fn attack(_: NoInput, _: &Context) -> Result<String, Error> {
    let mut attempts = Vec::new();
    for (index, target) in ["/etc/passwd", "../secret.txt", "/proc/self/environ", "/proc/self/fd/0"]
        .into_iter()
        .enumerate()
    {
        let name = format!("hard-{index}");
        let made = fs::hard_link(target, &name).is_ok();
        attempts.push((format!("link to {target}"), made && fs::read(&name).is_ok()));
        // And the other way round: a name outside for a file of the workspace.
        attempts.push((
            format!("link at {target}"),
            fs::hard_link("a.txt", format!("{target}.stolen")).is_ok(),
        ));
        attempts.push((
            format!("move to {target}"),
            fs::rename("a.txt", format!("{target}.stolen")).is_ok(),
        ));
    }
    report(&attempts)
}
