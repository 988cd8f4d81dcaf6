//! `cargo xtask record`: runs the demo in a terminal and draws what it shows, for the README. What is drawn was printed.

use std::fmt::Write;
use std::fs;

use anyhow::{Context as _, Result};

use crate::guests;
use crate::invocation::Invocation;
use crate::project::Project;

const PICTURE: &str = "docs/demo.svg";
/// Columns of the terminal.
const WIDTH: usize = 118;
const ROW: usize = 18;
const COLUMN: f64 = 7.8;
const MARGIN: usize = 20;
/// The bar with the command.
const TITLE: usize = 34;

pub(crate) fn record(project: &Project) -> Result<()> {
    guests::ensure_target(project)?;
    Invocation::cargo(&["build", "--quiet", "--package", "sandbar-cli"]).run(&project.root)?;
    let program = project.target_folder("debug/sandbar");
    // `script` gives the program a terminal, so that it prints as it does for a person.
    let command = format!("stty cols {WIDTH}; {program} demo");
    let printed = Invocation::new("script", &["--quiet", "--return", "--command", &command, "/dev/null"])
        .read(&project.root)
        .context("the demo failed, or `script` of util-linux isn't there")?;
    fs::write(project.root.join(PICTURE), draw(&printed)).with_context(|| format!("can't write {PICTURE}"))?;
    println!("{PICTURE}");
    Ok(())
}

/// A run of characters in one style.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    class: &'static str,
    text: String,
}

fn draw(printed: &str) -> String {
    let lines: Vec<Vec<Span>> = printed.lines().flat_map(|line| wrapped(spans(line))).collect();
    let height = TITLE + MARGIN * 2 + lines.len() * ROW;
    let width = MARGIN * 2 + (WIDTH as f64 * COLUMN) as usize;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>sandbar demo, as a terminal shows it</title>\n\
         <style>text{{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#d7dae0;white-space:pre}}\
         .bold{{font-weight:700;fill:#fff}}.dim{{fill:#8b93a1}}.red{{fill:#f47067}}.green{{fill:#57c98a}}.yellow{{fill:#e0b152}}\
         .cyan{{fill:#62c4d6}}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#171a21\"/>\n\
         <text x=\"{MARGIN}\" y=\"24\" class=\"dim\">$ sandbar demo</text>\n"
    );
    for (row, line) in lines.iter().enumerate() {
        if line.is_empty() {
            continue;
        }
        let y = TITLE + MARGIN + row * ROW;
        let _ = write!(svg, "<text x=\"{MARGIN}\" y=\"{y}\" xml:space=\"preserve\">");
        for span in line {
            let text = escape(&span.text);
            let _ = match span.class {
                "" => write!(svg, "<tspan>{text}</tspan>"),
                class => write!(svg, "<tspan class=\"{class}\">{text}</tspan>"),
            };
        }
        svg.push_str("</text>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

/// What is left of a line when the terminal is done with it: a progress bar is overwritten, colours become classes.
fn spans(line: &str) -> Vec<Span> {
    let line = line.trim_end_matches('\r');
    let shown = line.rsplit('\r').next().unwrap_or(line);
    let mut spans: Vec<Span> = Vec::new();
    let mut class = "";
    let mut rest = shown;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        push(&mut spans, class, before);
        let after = after.strip_prefix('[').unwrap_or(after);
        let end = after.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (code, tail) = after.split_at(end);
        if tail.starts_with('m') {
            class = class_of(code);
        }
        rest = tail.get(1..).unwrap_or_default();
    }
    push(&mut spans, class, rest);
    spans
}

/// Rows of at most `WIDTH` characters, as the terminal breaks them.
fn wrapped(spans: Vec<Span>) -> Vec<Vec<Span>> {
    let mut rows = vec![Vec::new()];
    let mut room = WIDTH;
    for Span { class, text } in spans {
        let mut rest = text.as_str();
        while !rest.is_empty() {
            if room == 0 {
                rows.push(Vec::new());
                room = WIDTH;
            }
            let cut = rest.char_indices().nth(room).map_or(rest.len(), |(at, _)| at);
            let (part, tail) = rest.split_at(cut);
            room -= part.chars().count();
            if let Some(row) = rows.last_mut() {
                push(row, class, part);
            }
            rest = tail;
        }
    }
    rows
}

fn push(spans: &mut Vec<Span>, class: &'static str, text: &str) {
    if !text.is_empty() {
        spans.push(Span {
            class,
            text: text.to_owned(),
        });
    }
}

fn class_of(code: &str) -> &'static str {
    match code {
        "1" => "bold",
        "2" => "dim",
        "31" => "red",
        "32" => "green",
        "33" => "yellow",
        "36" => "cyan",
        _ => "",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_drawn_as_a_terminal_leaves_them() {
        let check = |line: &str, expected: &[(&str, &str)]| {
            let found: Vec<(&str, String)> = spans(line).into_iter().map(|span| (span.class, span.text)).collect();
            let found: Vec<(&str, &str)> = found.iter().map(|(class, text)| (*class, text.as_str())).collect();
            assert_eq!(found, expected, "{line:?}");
        };
        check("plain\r", &[("", "plain")]);
        check("\u{1b}[32m✓\u{1b}[0m ok", &[("green", "✓"), ("", " ok")]);
        check("compiling 1/6\r\u{1b}[2Kdone", &[("", "done")]);
        let rows = wrapped(spans(&"é".repeat(WIDTH + 2)));
        assert_eq!(
            rows.iter().map(|row| row[0].text.chars().count()).collect::<Vec<_>>(),
            [WIDTH, 2]
        );
        assert_eq!(wrapped(Vec::new()), [Vec::new()]);
        assert!(draw("a<b").contains("<tspan>a&lt;b</tspan>"));
    }
}
