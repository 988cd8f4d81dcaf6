//! Looks for what a program usually finds around it.

use std::fs;
use std::io::Read;

use sandbar_sdk::{Context, Error, NoInput, Tool};
use sandbar_test_guests::report;

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("attack", attack)]
}

fn attack(_: NoInput, _: &Context) -> Result<String, Error> {
    let attempts = [
        ("variables", std::env::vars_os().count() > 0),
        ("arguments", std::env::args_os().any(|argument| !argument.is_empty())),
        ("a file", fs::read_dir("/").is_ok() || fs::read_dir(".").is_ok()),
        ("input", std::io::stdin().read(&mut [0; 16]).is_ok_and(|read| read > 0)),
    ];
    report(&attempts.map(|(name, well)| (name.to_owned(), well)))
}
