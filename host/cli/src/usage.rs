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
    use std::any::TypeId;

    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    /// No argument that takes a number or a `key=value` is read by a parser of clap's own, which would know no hint.
    #[test]
    fn values_are_read_by_parsers_that_know_a_hint() {
        fn walk(command: &clap::Command, foreign: &mut Vec<String>) {
            let numbers = [
                TypeId::of::<u32>(),
                TypeId::of::<u64>(),
                TypeId::of::<usize>(),
                TypeId::of::<(String, String)>(),
            ];
            for argument in command.get_arguments() {
                let is_number = numbers
                    .iter()
                    .any(|number| argument.get_value_parser().type_id() == *number);
                if is_number && argument.get_action().takes_values() && !has_hint(argument) {
                    foreign.push(format!("{} {}", command.get_name(), argument.get_id()));
                }
            }
            command.get_subcommands().for_each(|inner| walk(inner, foreign));
        }
        fn has_hint(argument: &clap::Arg) -> bool {
            let command = clap::Command::new("one").arg(argument.clone().required(false));
            let flag = argument.get_long().map(|long| format!("--{long}=nonsense"));
            let words = ["one".to_owned(), flag.unwrap_or_else(|| "nonsense".to_owned())];
            let problem = command.try_get_matches_from(words).unwrap_err();
            own_error(&problem).is_some_and(|error| error.hint.is_some())
        }
        let mut foreign = Vec::new();
        walk(&crate::cli::Cli::command(), &mut foreign);
        assert_eq!(foreign, [""; 0]);
    }

    #[test]
    fn problems_become_errors() {
        let check = |arguments: &[&str], message: &str, hint: &str| {
            let error = as_error(&crate::cli::Cli::try_parse_from(arguments).unwrap_err());
            assert_eq!((error.message.as_str(), error.hint.as_deref()), (message, Some(hint)));
        };
        check(
            &["sandbar", "run", "--steps", "0"],
            "found `0`, wanted how many decisions: a whole number from 1 to 4294967295",
            "such as `--steps 20`",
        );
        check(
            &["sandbar", "run", "--session", "../x"],
            "the session id `../x` starts with `.`",
            "an id is 1 to 128 of A-Z a-z 0-9 . _ - and does not start with a dot",
        );
        check(
            &["sandbar", "grants", "revoke", "99999999999999999999"],
            "found `99999999999999999999`, wanted the number of an approval: a whole number from 1 to 9223372036854775807",
            "`sandbar grants list` numbers them",
        );
        check(
            &["sandbar", "sessions", "list", "--limit", "many"],
            "found `many`, wanted how many to show: a whole number from 0 to 4294967295",
            "such as `--limit 20`",
        );
        check(
            &["sandbar", "audit", "list", "--since", "yesterday"],
            "found `yesterday`, wanted a span of time: a whole number and `s`, `m`, `h` or `d`",
            "such as `90s`, `15m`, `2h` or `7d`",
        );
        check(
            &["sandbar", "doctor", "--set", "limits"],
            "found `limits`, wanted a key of the configuration and its value",
            "such as `--set limits.cpu_ms=100`",
        );
        check(
            &["sandbar", "rum"],
            "unrecognized subcommand 'rum'",
            "some similar subcommands exist: 'runs', 'run'",
        );
    }
}
