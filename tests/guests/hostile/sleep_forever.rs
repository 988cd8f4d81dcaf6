//! Waits for a year.

use sandbar_sdk::{Context, Error, NoInput, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("sleep", sleep)]
}

fn sleep(_: NoInput, _: &Context) -> Result<String, Error> {
    std::thread::sleep(std::time::Duration::from_secs(365 * 24 * 3600));
    Ok("slept".to_owned())
}
