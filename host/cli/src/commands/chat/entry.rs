//! What a person types in a chat: a message, or a command.

/// A command of the chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    Tools,
    Model,
    Session,
    Cost,
    UndoLastWrite,
    New,
    Quit,
}

/// Each with its name and what it does.
pub(super) const COMMANDS: [(Command, &str, &str); 8] = [
    (Command::Help, "/help", "what can be typed here"),
    (Command::Tools, "/tools", "the agent's tools, and what they may do"),
    (Command::Model, "/model", "which model answers, and where it is"),
    (
        Command::Session,
        "/session",
        "this session, and how to go on with it later",
    ),
    (Command::Cost, "/cost", "tokens and cost of this session"),
    (
        Command::UndoLastWrite,
        "/undo-last-write",
        "bring back a file as it was before the last change of it",
    ),
    (Command::New, "/new", "begin another session"),
    (Command::Quit, "/quit", "end the chat"),
];

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Nothing,
    Message(String),
    Command(Command),
    /// It looks like a command and is none; the nearest one, if one is near.
    Unknown(String, Option<&'static str>),
}

/// A slash begins a command if a word of letters and `-` follows: a path is part of a message. So is everything after a blank.
pub(super) fn parse(text: &str) -> Entry {
    if text.trim().is_empty() {
        return Entry::Nothing;
    }
    let command = text.trim_end();
    let is_word = |word: &str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    if !command.strip_prefix('/').is_some_and(is_word) {
        return Entry::Message(text.to_owned());
    }
    match COMMANDS.iter().find(|(_, name, _)| *name == command) {
        Some((command, ..)) => Entry::Command(*command),
        None => Entry::Unknown(command.to_owned(), nearest(command)),
    }
}

/// The commands that begin so.
pub(super) fn completions(start: &str) -> Vec<&'static str> {
    let names = COMMANDS.iter().map(|(_, name, _)| *name);
    names
        .filter(|name| start.starts_with('/') && name.starts_with(start))
        .collect()
}

/// A line that ends so goes on in the next one.
pub(super) fn goes_on(line: &str) -> bool {
    line.ends_with('\\')
}

/// Lines that went on, without the marks at their ends.
pub(super) fn joined(lines: &str) -> String {
    lines.replace("\\\n", "\n")
}

fn nearest(wanted: &str) -> Option<&'static str> {
    let scored = COMMANDS
        .iter()
        .map(|(_, name, _)| (strsim::jaro_winkler(name, wanted), *name));
    let (score, name) = scored.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (score > 0.8).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let check = |text: &str, expected: Entry| assert_eq!(parse(text), expected, "{text:?}");
        let message = |text: &str| Entry::Message(text.to_owned());
        check("", Entry::Nothing);
        check(" \n", Entry::Nothing);
        check("hello", message("hello"));
        check("/help", Entry::Command(Command::Help));
        check("/quit  ", Entry::Command(Command::Quit));
        check("/undo-last-write", Entry::Command(Command::UndoLastWrite));
        check(
            "/undo-last-writ",
            Entry::Unknown("/undo-last-writ".to_owned(), Some("/undo-last-write")),
        );
        check("/xyz", Entry::Unknown("/xyz".to_owned(), None));
        check("/etc/passwd is what?", message("/etc/passwd is what?"));
        check("/help me with this", message("/help me with this"));
        check(" /help", message(" /help"));
        check("two\n/help", message("two\n/help"));
    }

    #[test]
    fn commands_are_completed() {
        let check = |start: &str, expected: &[&str]| assert_eq!(completions(start), expected, "{start:?}");
        check("/t", &["/tools"]);
        check("/", &COMMANDS.map(|(_, name, _)| name));
        check("/undo", &["/undo-last-write"]);
        check("t", &[]);
        check("", &[]);
    }

    #[test]
    fn lines_go_on() {
        for (line, expected) in [("a\\", true), ("a", false), ("", false), ("a\\ ", false)] {
            assert_eq!(goes_on(line), expected, "{line:?}");
        }
        assert_eq!(joined("a\\\nb\\c\nd"), "a\nb\\c\nd");
    }
}
