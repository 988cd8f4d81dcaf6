//! What plugins and sessions look like.

use std::fmt::Write as _;

use super::{json_lines, world};
use crate::support::program::run;
use crate::support::script::{asks_once, says};
use crate::support::world::World;

/// Text without what differs from one time or place to another; columns are two blanks apart.
fn steady(world: &World, text: &str) -> String {
    let text = text.replace(&world.path("").display().to_string(), "DIR/");
    let words = |line: &str| -> String {
        let columns = line.split("  ").map(str::trim).filter(|column| !column.is_empty());
        columns.map(steady_column).collect::<Vec<_>>().join("  ")
    };
    text.lines().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "{}", words(line));
        all
    })
}

fn steady_column(column: &str) -> String {
    let is_digest = column.len() == 64 && column.bytes().all(|b| b.is_ascii_hexdigit());
    let is_size = column
        .split_once(' ')
        .is_some_and(|(number, unit)| number.parse::<f64>().is_ok() && ["B", "KB", "MB"].contains(&unit));
    let is_time = column.len() == "2026-01-01 12:00".len()
        && column
            .chars()
            .zip("2026-01-01 12:00".chars())
            .all(|(one, other)| one == other || (one.is_ascii_digit() && other.is_ascii_digit()));
    match (is_digest, is_size, is_time) {
        (true, ..) => "DIGEST".to_owned(),
        (_, true, _) => "SIZE".to_owned(),
        (.., true) => "TIME".to_owned(),
        _ => column.to_owned(),
    }
}

#[test]
fn plugins_are_listed_with_what_they_may_do() {
    let world = World::new()
        .guest("table_bomb")
        .guest("pattern_trap")
        .plugin("nonsense", b"no component")
        .with("[grants.files]\nfiles = \"read-write\"\n[grants.table_bomb]\nfiles = \"read-only\"");
    world.write_config();
    let ended = run(&world.path(""), &["plugins", "list"]).expect(0);
    insta::assert_snapshot!(steady(&world, &ended.out), @"
    NAME  KIND  FILES  TOOLS  SIZE  FROM
    files  tool  read-write  list read search write edit delete  SIZE  bundled
    nonsense  broken  none  SIZE  DIR/plugins/nonsense.wasm
    pattern_trap  pattern  none  SIZE  DIR/plugins/pattern_trap.wasm
    react  pattern  none  SIZE  bundled
    table_bomb  tool  read-only  answer  SIZE  DIR/plugins/table_bomb.wasm
    ");
    insta::assert_snapshot!(steady(&world, &ended.err), @"

    nonsense is broken: not-wasm: it is not WebAssembly: it starts with 6e 6f 20 63, not with 00 61 73 6d
    hint: copy the component again, or take it out of the directory
    ");
}

#[test]
fn a_plugin_is_inspected_before_it_runs() {
    let manifest = "description = 'Grows a table.'\nlifetime = 'session'\n[requests]\nfiles = 'read-only'\n[limits]\ncpu_ms = 50\n";
    let world = World::new()
        .guest("table_bomb")
        .manifest("table_bomb", manifest)
        .with("[grants.files]\nfiles = \"read-write\"\n[grants.table_bomb]\nfiles = \"read-write\"\nmounts = [{ name = \"more\", path = \"work\", access = \"read-write\" }]");
    world.write_config();
    let ended = run(&world.path(""), &["plugins", "inspect", "table_bomb"]).expect(0);
    insta::assert_snapshot!(steady(&world, &ended.out), @r#"
    table_bomb
    Grows a table.

    kind  tool
    from  DIR/plugins/table_bomb.wasm
    sha256  DIGEST
    size  SIZE
    manifest  yes
    instance  one for a session

    imports: what it could ask the host for

    powers: requested and granted
    REQUESTED  GRANTED  EFFECTIVE
    files  read-only  read-write  read-only
    /more  -  read-write of DIR/work  read-only

    limits: configured, or less where the plugin asks for less
    memory  64 MiB
    processor time of a call  50 ms
    time of a call  30000 ms

    tools: as the model sees them
    table_bomb__answer
    Grows a table.
    input {"type":"object"}
    "#);
    assert_eq!(ended.err, "");
    let files = run(&world.path(""), &["plugins", "inspect", "files"]).expect(0).out;
    let tools: Vec<&str> = files
        .lines()
        .filter_map(|line| line.strip_prefix("  files__"))
        .collect();
    insta::assert_snapshot!(tools.join("\n"), @"
    list  read-only, idempotent, resource file:{/path}
    read  read-only, idempotent, resource file:{/path}
    search  read-only, idempotent, resource file:{/path}
    write  idempotent, resource file:{/path}
    edit  resource file:{/path}
    delete  destructive, resource file:{/path}
    ");
}

#[test]
fn sessions_are_shown_as_they_happened() {
    let world = world(
        asks_once("echo__echo", r#"{"text":"x"}"#)
            + &says("More.")
            + "[[reply]]\nerror = { code = 'x', message = 'gone' }\n",
    );
    for (message, exit) in [("one", 0), ("two", 0), ("three", 6)] {
        run(&world.path(""), &["run", message, "--session", "talk"]).expect(exit);
    }
    let list = run(&world.path(""), &["sessions", "list"]).expect(0).out;
    insta::assert_snapshot!(steady(&world, &list), @"
    SESSION  UPDATED  AGENT  RUNS  LAST RUN  FIRST MESSAGE
    talk  TIME  main  3  model failed  one
    ");
    let show = run(&world.path(""), &["sessions", "show", "talk"]).expect(0).out;
    let is_steady = |line: &&str| !line.starts_with("── ") && !line.contains(" ms");
    let show: Vec<&str> = show.lines().filter(is_steady).collect();
    insta::assert_snapshot!(show[1..].join("\n"), @r"");
    let events = json_lines(
        &run(&world.path(""), &["sessions", "show", "talk", "--json"])
            .expect(0)
            .out,
    );
    let sequences = events.iter().map(|event| event["sequence"].as_u64().unwrap());
    assert!(sequences.eq(1..=events.len() as u64));
}
