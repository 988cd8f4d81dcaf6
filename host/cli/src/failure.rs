//! Why a command ends early: the runtime's own error, so that its code, hint and exit code reach the user as they are. A
//! configuration has several at once.

use sandbar::protocol::{Error, ErrorKind};

use crate::exit::Exit;

pub(crate) type Outcome<T = Exit> = Result<T, Failure>;

/// Never empty.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Vec<Error>);

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        self.0.first().map_or(Exit::Failure, Exit::of_error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl From<Vec<Error>> for Failure {
    fn from(errors: Vec<Error>) -> Self {
        Self(errors)
    }
}

/// A file of ours that can't be read or written.
pub(crate) fn file_failed(doing: &str, path: &std::path::Path, source: std::io::Error) -> Error {
    let message = format!("can't {doing} `{}`: {source}", path.display());
    Error::new(ErrorKind::Storage, "file-failed", message).with_source(source)
}
