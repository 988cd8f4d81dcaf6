//! Fetches a body that has no end.

use sandbar_sdk::{Context, Error, NoInput, Tool, http};
use sandbar_test_guests::Servers;

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("attack", attack)]
}

fn attack(_: NoInput, context: &Context) -> Result<String, Error> {
    let response = http::Request::get(format!("{}/endless", Servers::of(context)?.home)).send()?;
    Ok(format!("{} bytes", response.body.len()))
}
