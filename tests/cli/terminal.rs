//! Text from outside must not steer the terminal.

use std::path::Path;
use std::process::Stdio;

use super::world;
use crate::support::program::{Ended, run};
use crate::support::script::text;
use crate::support::terminal::at_terminal;

/// Steers a terminal: clears it, sets its title and its colour, turns the direction of writing, goes back over what was written.
const STEERING: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}dlo\u{2066}\u{8}\u{7f}\r\u{1b}";

/// A command at a terminal where nobody types, and what it shows there.
fn screen(directory: &Path, arguments: &[&str]) -> String {
    let mut command = at_terminal(directory, arguments);
    Ended::from(command.stdin(Stdio::null()).output().unwrap()).out
}

/// What models, tools, plugins and messages say is shown, and does nothing to the terminal.
#[test]
fn nothing_steers_a_terminal() {
    // JSON leaves one of these as it is, which TOML refuses.
    let said = |who: &str| text(&format!("{who}{STEERING}{who}")).replace('\u{7f}', "\\u007f");
    let script = format!(
        "[[reply]]\ntext = {}\ncalls = [ {{ name = \"echo__rich\", arguments = {{ text = {} }} }}, {{ name = \"echo__log\", \
         arguments = {{ message = {} }} }}, {{ name = {}, arguments = {{}} }} ]\n[[reply]]\nerror = {{ code = \"x\", message = {} }}\n",
        said("model"),
        said("tool"),
        said("log"),
        said("unknown"),
        said("failure")
    );
    let manifest = format!("description = {}\n", said("plugin"));
    let world = world(script).manifest("echo", &manifest);
    let message = format!("person{STEERING}person");
    let ask = ["run", &message, "--session", "talk", "-vv"];
    for (command, shown) in [
        (&ask[..], &["model", "tool", "log", "unknown", "failure"][..]),
        (&["sessions", "list"], &["person"]),
        (&["sessions", "show", "talk"], &["person", "model", "tool", "failure"]),
        (&["plugins", "inspect", "echo"], &["plugin"]),
        (&["run", "hi", "--agent", &message], &["person"]),
    ] {
        let seen = screen(&world.path(""), &[command, &["--no-color"]].concat());
        for who in shown {
            assert!(seen.contains(who), "`{who}` is not in:\n{seen:?}");
        }
        assert_harmless(&seen.replace("\r\n", "\n"), command);
        let piped = run(&world.path(""), command);
        assert_harmless(&(piped.out + &piped.err), command);
    }
    assert!(
        screen(&world.path(""), &["sessions", "list"]).contains("\u{1b}[1m"),
        "colours are ours"
    );
}

fn assert_harmless(text: &str, command: &[&str]) {
    let is_bidi = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let harmful = text
        .chars()
        .find(|c| (c.is_control() && !matches!(c, '\n' | '\t')) || is_bidi(*c));
    assert_eq!(harmful, None, "{command:?}\n{text:?}");
}
