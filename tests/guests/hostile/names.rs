//! Goes through the names in `names.jsonl` of its workspace and tries each: what it reads, and whether it can change something there.

use std::fs;

use sandbar_sdk::schemars::{self, JsonSchema};
use sandbar_sdk::{Context, Error, Tool};
use serde::Deserialize;

sandbar_sdk::tool_plugin!(tools);

/// Tries every name that is listed.
#[derive(Deserialize, JsonSchema)]
struct TryNames {
    /// Try to change what is there as well.
    #[serde(default)]
    change: bool,
}

fn tools() -> Vec<Tool> {
    vec![Tool::new("try", try_names)]
}

/// A line for each name: what was read, or `-`; then what could be changed.
fn try_names(input: TryNames, _: &Context) -> Result<String, Error> {
    let list = fs::read_to_string("/names.jsonl").map_err(|error| Error::new("refused", error.to_string()))?;
    let mut said = String::new();
    for line in list.lines() {
        let name: String = serde_json::from_str(line).map_err(|error| Error::new("refused", error.to_string()))?;
        said.push_str(&read(&name).unwrap_or_else(|| "-".to_owned()));
        if input.change {
            for changed in change(&name) {
                said.push(' ');
                said.push_str(changed);
            }
        }
        said.push('\n');
    }
    Ok(said)
}

#[cfg(target_arch = "wasm32")]
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};

#[cfg(target_arch = "wasm32")]
fn root() -> Descriptor {
    let mut directories = wasip2::filesystem::preopens::get_directories();
    directories.remove(0).0
}

/// Past the C library, which would make names whole.
#[cfg(target_arch = "wasm32")]
fn read(name: &str) -> Option<String> {
    let file = root()
        .open_at(
            PathFlags::SYMLINK_FOLLOW,
            name,
            OpenFlags::empty(),
            DescriptorFlags::READ,
        )
        .ok()?;
    let (bytes, _) = file.read(4096, 0).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What could be done there, each in a word.
#[cfg(target_arch = "wasm32")]
fn change(name: &str) -> Vec<&'static str> {
    let root = root();
    let follow = PathFlags::SYMLINK_FOLLOW;
    let writable = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let mut done = Vec::new();
    let mut note = |what: &'static str, ok: bool| {
        if ok {
            done.push(what);
        }
    };
    let _ = fs::write("/own.txt", "mine");
    let stolen = |from: &str| read(from).is_some_and(|text| text.contains("outside"));
    note(
        "stolen",
        root.link_at(PathFlags::empty(), name, &root, "stolen").is_ok() && stolen("stolen"),
    );
    note(
        "linked",
        root.link_at(PathFlags::empty(), "own.txt", &root, name).is_ok(),
    );
    note("moved", root.rename_at("own.txt", &root, name).is_ok());
    note("pointed", root.symlink_at("own.txt", name).is_ok());
    note(
        "led",
        root.symlink_at(name, "led").is_ok() && root.unlink_file_at("led").is_err(),
    );
    note("made", root.create_directory_at(name).is_ok());
    note(
        "created",
        root.open_at(follow, name, OpenFlags::CREATE, writable).is_ok(),
    );
    note(
        "cut",
        root.open_at(follow, name, OpenFlags::CREATE | OpenFlags::TRUNCATE, writable)
            .is_ok(),
    );
    note("taken", root.rename_at(name, &root, "taken").is_ok() && stolen("taken"));
    note(
        "removed",
        root.unlink_file_at(name).is_ok() || root.remove_directory_at(name).is_ok(),
    );
    note("looked", root.stat_at(follow, name).is_ok());
    done
}

#[cfg(not(target_arch = "wasm32"))]
fn read(_: &str) -> Option<String> {
    None
}

#[cfg(not(target_arch = "wasm32"))]
fn change(_: &str) -> Vec<&'static str> {
    Vec::new()
}
