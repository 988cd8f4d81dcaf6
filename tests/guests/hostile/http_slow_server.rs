//! Fetches from a server that sends a byte a second.

use sandbar_sdk::{Context, Error, NoInput, Tool, http};
use sandbar_test_guests::Servers;

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("attack", attack)]
}

fn attack(_: NoInput, context: &Context) -> Result<String, Error> {
    let servers = Servers::of(context)?;
    loop {
        // What its own patience, or the rate of requests, has ended is begun again.
        match http::Request::get(format!("{}/slow", servers.home)).send() {
            Ok(response) => return Ok(format!("{} bytes", response.body.len())),
            Err(error) if error.code == "too-many-requests" => std::thread::sleep(std::time::Duration::from_millis(20)),
            Err(_) => {}
        }
    }
}
