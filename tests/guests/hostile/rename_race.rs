//! Swaps a directory for a link that leads out, again and again, and opens a file in it meanwhile: calls of this beside each other race.

use std::fs;

use sandbar_sdk::{Context, Error, NoInput, Tool};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("attack", attack)]
}

fn attack(_: NoInput, _: &Context) -> Result<String, Error> {
    // Others do the same: each step may fail.
    let _ = fs::create_dir_all("real");
    let _ = fs::write("real/passwd", "inside");
    let _ = symlink("/etc", "way-out");
    let mut reads = 0;
    for round in 0..200 {
        let _ = fs::rename("race", if round % 2 == 0 { "real" } else { "way-out" });
        let _ = fs::rename(if round % 2 == 0 { "way-out" } else { "real" }, "race");
        if let Ok(text) = fs::read("race/passwd") {
            reads += 1;
            if text != b"inside" {
                return Ok("read what is outside".to_owned());
            }
        }
    }
    Err(Error::new(
        "refused",
        format!("{reads} of 200 reads went well, all inside"),
    ))
}

#[cfg(target_arch = "wasm32")]
fn symlink(target: &str, name: &str) -> bool {
    let directories = wasip2::filesystem::preopens::get_directories();
    directories
        .first()
        .is_some_and(|(root, _)| root.symlink_at(target, name).is_ok())
}

#[cfg(not(target_arch = "wasm32"))]
fn symlink(_target: &str, _name: &str) -> bool {
    false
}
