//! Errors of this crate: `sandbar_protocol::Error` with the codes that plugins' users see.

use sandbar_protocol::{Error, ErrorKind};

use crate::limits::RESERVED_BYTES;

/// A plugin that can't be used; `sandbar plugins list` shows why.
pub(crate) fn broken(code: &str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Plugin, code, message)
}

pub(crate) fn limit(code: &str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Limit, code, message)
}

/// How wasmtime's errors say that the system gave no addresses; it keeps their type to itself.
pub(crate) const MMAP_FAILED: &str = "mmap failed";

/// The code of an instance for which there is no room in this process: no fault of the plugin's.
pub(crate) const NO_ADDRESS_SPACE: &str = "no-address-space";

/// The memory of an instance is reserved as addresses, whatever of it is used.
pub(crate) fn no_address_space(what: &str) -> Error {
    let message = format!("{what}: this process may not reserve so much address space");
    limit(NO_ADDRESS_SPACE, message).with_hint(format!(
        "raise what `ulimit -v` limits: each memory of a plugin takes {} MiB of addresses, which cost nothing until they are used",
        RESERVED_BYTES >> 20
    ))
}

/// The same of an instance.
pub(crate) fn not_started(plugin: &str) -> Error {
    no_address_space(&format!("`{plugin}` could not be started"))
}

/// The host's own files failed.
pub(crate) fn storage(what: &str, path: &std::path::Path, source: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Storage,
        "file-failed",
        format!("can't {what} `{}`: {source}", path.display()),
    )
    .with_hint("check that the disk has room, and that this user may write there")
    .with_source(source)
}

pub(crate) fn internal(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, "defect", message).with_hint("this is a defect in Sandbar: please report it")
}

/// For wasmtime's error type, which is no `std::error::Error`: the chain as one line.
pub(crate) fn chain(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text[..text.floor_char_boundary(600)].to_owned()
}
