//! Opens files without end, and never closes one.

use std::fs;

use sandbar_sdk::{Context, Error, NoInput, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("attack", attack)]
}

fn attack(_: NoInput, _: &Context) -> Result<String, Error> {
    fs::write("a.txt", "inside").map_err(|error| Error::new("could-not-write", error.to_string()))?;
    let mut hoard = Vec::new();
    loop {
        match fs::File::open("a.txt") {
            Ok(file) => hoard.push(file),
            Err(error) => return Err(Error::new("could-not-open", format!("{} files: {error}", hoard.len()))),
        }
    }
}
