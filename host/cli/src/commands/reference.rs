//! `sandbar generate-cli-reference`: all commands as Markdown, for `docs/reference/cli.md`.

use clap::builder::StyledStr;
use clap::{Arg, Command, CommandFactory as _};

use crate::cli::Cli;
use crate::exit::{self, Exit};
use crate::failure::Outcome;
use crate::terminal::Terminal;

/// Print a reference of all commands in Markdown
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct GenerateCliReference {}

impl GenerateCliReference {
    pub(crate) fn run(self, terminal: &Terminal) -> Outcome {
        terminal.write(crate::terminal::Stream::Out, &reference());
        Ok(Exit::Ok)
    }
}

fn reference() -> String {
    let mut root = Cli::command();
    root.build();
    let mut text = "# Command line\n\n`sandbar generate-cli-reference` writes this page.\n".to_owned();
    text.push_str(&format!("\n{}\n", paragraph(root.get_about())));
    let global: Vec<&Arg> = root.get_arguments().filter(|arg| arg.is_global_set()).collect();
    text.push_str(&format!("\n## Options of every command\n\n{}", table(&global)));
    describe(&root, &mut text);
    text.push_str(&format!("\n## Exit codes\n\n{}", exit_codes()));
    text
}

fn describe(parent: &Command, text: &mut String) {
    for command in parent
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
    {
        let mut command = command.clone();
        let name = command.get_bin_name().unwrap_or_default().to_owned();
        if command.has_subcommands() {
            describe(&command, text);
            continue;
        }
        text.push_str(&format!(
            "\n## {name}\n\n{}\n",
            paragraph(command.get_long_about().or(command.get_about()))
        ));
        let usage = command.render_usage().to_string();
        text.push_str(&format!("\n```\n{}\n```\n", usage.trim_start_matches("Usage: ")));
        let own: Vec<&Arg> = command
            .get_arguments()
            .filter(|arg| !arg.is_global_set() && arg.get_id() != "help")
            .collect();
        if !own.is_empty() {
            text.push_str(&format!("\n{}", table(&own)));
        }
    }
}

fn paragraph(about: Option<&StyledStr>) -> String {
    let about = about.map(ToString::to_string).unwrap_or_default();
    let sentences = about
        .split("\n\n")
        .map(|part| format!("{}.", part.trim().trim_end_matches('.')));
    sentences.collect::<Vec<_>>().join("\n\n")
}

fn table(args: &[&Arg]) -> String {
    let mut text = "| | |\n| --- | --- |\n".to_owned();
    for arg in args {
        let help = arg
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default()
            .replace('|', "\\|");
        let default: Vec<_> = arg
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy())
            .collect();
        let default = if default.is_empty() || !takes_value(arg) {
            String::new()
        } else {
            format!("; default `{}`", default.join(" "))
        };
        text.push_str(&format!("| `{}` | {help}{default} |\n", name(arg)));
    }
    text
}

fn name(arg: &Arg) -> String {
    if arg.is_positional() {
        return arg.to_string();
    }
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let value = takes_value(arg).then(|| {
        let names = arg.get_value_names().unwrap_or_default();
        format!(" <{}>", names.first().map_or("VALUE", |name| name.as_str()))
    });
    let names = [short, long].into_iter().flatten().collect::<Vec<_>>().join(", ");
    format!("{names}{}", value.unwrap_or_default())
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

fn exit_codes() -> String {
    let rows = exit::HELP
        .lines()
        .skip(1)
        .filter_map(|line| line.trim().split_once("  "));
    let rows = rows.map(|(code, meaning)| format!("| {code} | {} |\n", meaning.trim()));
    format!("| code | meaning |\n| --- | --- |\n{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_there() {
        let text = reference();
        for expected in [
            "## sandbar demo\n",
            "## sandbar plugins inspect\n",
            "| `--set <KEY=VALUE>` |",
            "| `-v, --verbose` |",
            "| `[MESSAGE]...` |",
            "| 130 | interrupted or cancelled |",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
        }
        assert!(!text.contains("generate-cli-reference\n"));
    }
}
