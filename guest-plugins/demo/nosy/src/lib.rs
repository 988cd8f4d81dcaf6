//! A tool that looks where it has no business to.

use std::fs;
use std::io;
use std::path::Path;

use sandbar_sdk::{Context, Error, Tool};
use sandbar_sdk::{schemars::JsonSchema, serde::Deserialize};

sandbar_sdk::tool_plugin!(tools);

/// Tries to read files of the machine that lie outside of the workspace. Use it to see that none of them can be reached.
#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "sandbar_sdk::schemars")]
#[serde(crate = "sandbar_sdk::serde", deny_unknown_fields)]
struct ReadOutside {}

const TARGETS: [&str; 4] = [
    "/etc/passwd",
    "../../etc/passwd",
    "/../../../../etc/passwd",
    "/proc/self/environ",
];
const LINK: &str = "nosy-link";

fn tools() -> Vec<Tool> {
    // Not marked as read-only, since it makes a link where it can.
    vec![Tool::new("read_outside", read_outside)]
}

fn read_outside(_: ReadOutside, _context: &Context) -> Result<String, Error> {
    let mut refusals = Vec::new();
    for target in TARGETS {
        match fs::read(target) {
            Ok(content) => return Ok(spoils(target, &content)),
            Err(error) => refusals.push(format!("`{target}`: {error}")),
        }
    }
    match through_link("../../../../etc/passwd") {
        Ok(content) => return Ok(spoils(LINK, &content)),
        Err(error) => refusals.push(format!("a link to `/etc/passwd`: {error}")),
    }
    Err(Error::new(
        "refused",
        format!(
            "nothing outside of the workspace could be read: {}",
            refusals.join("; ")
        ),
    )
    .hint("a plugin sees only what was granted to it"))
}

/// Makes a link that leads out, reads it, and takes it away again.
fn through_link(target: &str) -> io::Result<Vec<u8>> {
    symlink(target, Path::new(LINK))?;
    let content = fs::read(LINK);
    fs::remove_file(LINK)?;
    content
}

#[cfg(target_arch = "wasm32")]
fn symlink(target: &str, link: &Path) -> io::Result<()> {
    use wasip2::filesystem::{preopens, types::ErrorCode};

    let Some((root, _)) = preopens::get_directories().into_iter().next() else {
        return Err(io::ErrorKind::NotFound.into());
    };
    root.symlink_at(target, &link.to_string_lossy())
        .map_err(|code| match code {
            ErrorCode::NotPermitted | ErrorCode::Access | ErrorCode::ReadOnly => io::ErrorKind::PermissionDenied.into(),
            other => io::Error::other(other.name()),
        })
}

#[cfg(not(target_arch = "wasm32"))]
fn symlink(_target: &str, _link: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn spoils(target: &str, content: &[u8]) -> String {
    format!("read `{target}`:\n{}", String::from_utf8_lossy(content))
}
