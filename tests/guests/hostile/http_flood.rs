//! Sends requests without end, and hands on the first refusal.

use sandbar_sdk::{Context, Error, NoInput, Tool, http};
use sandbar_test_guests::Servers;

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("attack", attack)]
}

fn attack(_: NoInput, context: &Context) -> Result<String, Error> {
    let servers = Servers::of(context)?;
    loop {
        http::Request::get(format!("{}/", servers.home)).send()?;
    }
}
