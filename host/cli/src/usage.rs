//! A command line that can't be read: told as every other error, also to programs.

use std::process::ExitCode;

use clap::error::ErrorKind as Problem;
use sandbar::protocol::{Error, ErrorKind};
use serde_json::json;

use crate::exit::Exit;
use crate::sanitise::sanitise;

/// Says what is wrong, or shows the help that was asked for.
#[expect(
    clippy::print_stderr,
    reason = "there is no terminal before the flags for it are read"
)]
pub(crate) fn misused(problem: &clap::Error) -> ExitCode {
    let asked_for = matches!(problem.kind(), Problem::DisplayHelp | Problem::DisplayVersion);
    let as_json = std::env::args_os().any(|argument| argument == "--json");
    if let (Some(error), false) = (own_error(problem), as_json) {
        eprintln!("error: {}", sanitise(&error.message));
        eprintln!("hint: {}", sanitise(error.hint.as_deref().unwrap_or(HELP_HINT)));
        return Exit::Usage.into();
    }
    if asked_for || !as_json {
        problem.exit();
    }
    let mut value = json!(as_error(problem));
    value["severity"] = json!("error");
    eprintln!("{value}");
    Exit::Usage.into()
}

const HELP_HINT: &str = "`--help` shows what can be said";

/// What our own parser of a value said: it names the value, cut to what can be read.
fn own_error(problem: &clap::Error) -> Option<&Error> {
    std::error::Error::source(problem)?.downcast_ref()
}

/// The first line is the problem; what clap proposes below it is the hint.
fn as_error(problem: &clap::Error) -> Error {
    if let Some(error) = own_error(problem) {
        return error.clone();
    }
    let text = problem.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("the command line can't be read");
    let message = first.strip_prefix("error: ").unwrap_or(first);
    let tip = lines.find_map(|line| line.strip_prefix("tip: "));
    Error::new(ErrorKind::InvalidInput, "bad-usage", message).with_hint(tip.unwrap_or(HELP_HINT))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn problems_become_errors() {
        let check = |arguments: &[&str], message: &str, hint: &str| {
            let error = as_error(&crate::cli::Cli::try_parse_from(arguments).unwrap_err());
            assert_eq!((error.message.as_str(), error.hint.as_deref()), (message, Some(hint)));
        };
        check(
            &["sandbar", "run", "--steps", "0"],
            "invalid value '0' for '--steps <N>': 0 is not in 1..=4294967295",
            "`--help` shows what can be said",
        );
        check(
            &["sandbar", "run", "--session", "../x"],
            "the session id `../x` starts with `.`",
            "an id is 1 to 128 of A-Z a-z 0-9 . _ - and does not start with a dot",
        );
        check(
            &["sandbar", "rum"],
            "unrecognized subcommand 'rum'",
            "some similar subcommands exist: 'runs', 'run'",
        );
    }
}
