//! Tools whose names a model could not write, or a terminal not show.

use sandbar_sdk::{Context, Error, NoInput, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![
        Tool::new("", answer),
        Tool::new("has space", answer),
        Tool::new("../up", answer),
        Tool::new("\u{1b}[31mred", answer),
        Tool::new("a_name_that_is_longer_than_the_forty_characters", answer),
    ]
}

fn answer(_: NoInput, _: &Context) -> Result<String, Error> {
    Ok("called".to_owned())
}
