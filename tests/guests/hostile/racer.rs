//! Goes through a directory that somebody keeps swapping for a link, and counts what it meets.

use std::fs;
use std::io::ErrorKind;

use sandbar_sdk::schemars::{self, JsonSchema};
use sandbar_sdk::{Context, Error, Tool};
use serde::Deserialize;

sandbar_sdk::tool_plugin!(tools);

/// How often.
#[derive(Deserialize, JsonSchema)]
struct Race {
    times: u32,
}

fn tools() -> Vec<Tool> {
    vec![Tool::new("race", race)]
}

/// Reads, writes, moves and links through `/swap`; says how often it read what is inside and outside, and how often nothing.
fn race(input: Race, _: &Context) -> Result<String, Error> {
    let (mut inside, mut outside, mut nothing) = (0, 0, 0);
    for turn in 0..input.times {
        match fs::read_to_string("/swap/x.txt") {
            Ok(text) if text == "inside" => inside += 1,
            Ok(_) => outside += 1,
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                return Err(Error::new("no-race", error.to_string()));
            }
            Err(_) => nothing += 1,
        }
        let name = format!("/swap/made-{}", turn % 8);
        // What of it succeeded shows outside, if at all.
        let _ = fs::write(&name, "mine");
        let _ = fs::rename(&name, "/swap/moved");
        let _ = fs::hard_link("/swap/x.txt", "/stolen");
        if fs::read_to_string("/stolen").is_ok_and(|text| text != "inside") {
            outside += 1;
        }
        let _ = fs::remove_file("/stolen");
        let _ = fs::create_dir("/swap/directory");
        let _ = fs::remove_dir("/swap/directory");
        let _ = fs::remove_file("/swap/moved");
    }
    Ok(format!(
        "{{\"inside\":{inside},\"outside\":{outside},\"nothing\":{nothing}}}"
    ))
}
