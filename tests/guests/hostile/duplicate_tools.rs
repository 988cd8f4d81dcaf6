//! Two tools of one name.

use sandbar_sdk::{Context, Error, NoInput, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("same", first), Tool::new("same", second)]
}

fn first(_: NoInput, _: &Context) -> Result<String, Error> {
    Ok("first".to_owned())
}

fn second(_: NoInput, _: &Context) -> Result<String, Error> {
    Ok("second".to_owned())
}
