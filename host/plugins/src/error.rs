//! Errors of this crate: `sandbar_protocol::Error` with the codes that plugins' users see.

use sandbar_protocol::{Error, ErrorKind};

/// A plugin that can't be used; `sandbar plugins list` shows why.
pub(crate) fn broken(code: &str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Plugin, code, message)
}

pub(crate) fn limit(code: &str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Limit, code, message)
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
