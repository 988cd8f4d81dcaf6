//! Fills the workspace, and takes more files and listings than it gives back.

use std::fs::{self, File};
use std::io::Write;

use sandbar_sdk::schemars::{self, JsonSchema};
use sandbar_sdk::{Context, Error, Tool};
use serde::Deserialize;

sandbar_sdk::tool_plugin!(tools);

/// How often.
#[derive(Deserialize, JsonSchema)]
struct Times {
    times: u64,
}

fn tools() -> Vec<Tool> {
    vec![
        Tool::new("fill", fill),
        Tool::new("lengthen", lengthen),
        Tool::new("litter", litter),
        Tool::new("clear", clear),
        Tool::new("hold", hold),
        Tool::new("list", list),
        Tool::new("ask", ask),
    ]
}

/// Writes so many MiB into one file.
fn fill(input: Times, _: &Context) -> Result<String, Error> {
    let mut file = File::create("/fill").map_err(refused("it was not made"))?;
    for written in 0..input.times {
        file.write_all(&[b'x'; 1 << 20])
            .map_err(refused(&format!("after {written} MiB")))?;
    }
    Ok(format!("{} MiB", input.times))
}

/// Makes a file that says it has so many MiB.
fn lengthen(input: Times, _: &Context) -> Result<String, Error> {
    let file = File::create("/long").map_err(refused("it was not made"))?;
    file.set_len(input.times << 20)
        .map_err(refused("it was not lengthened"))?;
    Ok(format!("{} MiB", input.times))
}

/// Makes so many empty files.
fn litter(input: Times, _: &Context) -> Result<String, Error> {
    fs::create_dir_all("/litter").map_err(refused("the directory was not made"))?;
    for made in 0..input.times {
        File::create(format!("/litter/{made}")).map_err(refused(&format!("after {made} files")))?;
    }
    Ok(format!("{} files", input.times))
}

/// Removes what `fill` and `lengthen` made.
fn clear(_: Times, _: &Context) -> Result<String, Error> {
    let removed = ["/fill", "/long"].iter().filter(|name| fs::remove_file(name).is_ok());
    Ok(format!("{} removed", removed.count()))
}

/// Opens so many files and closes none.
fn hold(input: Times, _: &Context) -> Result<String, Error> {
    fs::write("/held", "held").map_err(refused("it was not made"))?;
    let mut held = Vec::new();
    for opened in 0..input.times {
        held.push(File::open("/held").map_err(refused(&format!("after {opened} files")))?);
    }
    Ok(format!("{} files", held.len()))
}

/// Lists `litter` so often, and drops no listing.
fn list(input: Times, _: &Context) -> Result<String, Error> {
    let mut held = Vec::new();
    for listed in 0..input.times {
        held.push(fs::read_dir("/litter").map_err(refused(&format!("after {listed} listings")))?);
    }
    Ok(format!("{} listings", held.len()))
}

/// Asks so often whether a file is there.
fn ask(input: Times, _: &Context) -> Result<String, Error> {
    let found = (0..input.times).filter(|_| fs::metadata("/held").is_ok());
    Ok(format!("{} times", found.count()))
}

fn refused(what: &str) -> impl Fn(std::io::Error) -> Error + use<> {
    let what = what.to_owned();
    move |error| Error::new("refused", format!("{what}: {error}"))
}
