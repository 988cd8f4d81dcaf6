//! What plugins and sessions look like.

use super::{json_lines, world};
use crate::support::built;
use crate::support::program::{Ended, run};
use crate::support::script::{asks_once, says};
use crate::support::world::World;

/// Takes out of a snapshot what differs from one time, place or compiler to another, and how wide columns are.
fn steady(world: &World) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    for (pattern, word) in [
        (world.path("").to_str().unwrap(), "DIR/"),
        (r"[0-9a-f]{64}", "DIGEST"),
        (r"\d+(\.\d)? (B|KB|MB)\b", "SIZE"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME"),
        (r"(✓ \S+ +|· )(\d+ ms|\d+\.\d s)", "${1}TIME"),
        (r"r-[0-9a-f]{16}", "RUN"),
        (r"(\S) {2,}", "$1  "),
        (r" +\n", "\n"),
    ] {
        settings.add_filter(pattern, word);
    }
    settings
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
    let shown = format!("{}\n--- standard error\n{}", ended.out, ended.err);
    steady(&world).bind(|| {
        insta::assert_snapshot!(shown, @"
        NAME  KIND  FILES  TOOLS  SIZE  FROM
        files  tool  read-write  list read search write edit delete  SIZE  bundled
        nonsense  broken  none  SIZE  DIR/plugins/nonsense.wasm
        notes  memory  none  SIZE  bundled
        pattern_trap  pattern  none  SIZE  DIR/plugins/pattern_trap.wasm
        react  pattern  none  SIZE  bundled
        table_bomb  tool  read-only  answer  SIZE  DIR/plugins/table_bomb.wasm

        --- standard error
        new: the plugin `pattern_trap` was recorded as it is now
        new: the plugin `table_bomb` was recorded as it is now; it has what `[grants.table_bomb]` gives

        nonsense is broken: not-wasm: it is not WebAssembly: it starts with 6e 6f 20 63, not with 00 61 73 6d
        hint: copy the component again, or take it out of the directory
        ");
    });
}

#[test]
fn a_plugin_is_inspected_before_it_runs() {
    let manifest = "description = 'Grows a table.'\nlifetime = 'session'\n[requests]\nfiles = 'read-only'\n[limits]\ncpu_ms = 50\n";
    let mount = "{ name = \"more\", path = \"more\", access = \"read-write\", quota_mib = 3 }";
    let world = World::new()
        .guest("table_bomb")
        .manifest("table_bomb", manifest)
        .file("more/a.txt", "more")
        .with("[grants.files]\nfiles = \"read-write\"")
        .with(&format!(
            "[grants.table_bomb]\nfiles = \"read-write\"\nmounts = [{mount}]"
        ));
    world.write_config();
    let ended = run(&world.path(""), &["plugins", "inspect", "table_bomb"]).expect(0);
    steady(&world).bind(|| {
        insta::assert_snapshot!(ended.out, @r#"
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
          /more  -  read-write of DIR/more, 3 MiB at most  read-only
          http  none  none  none
          secrets  none  none  none
          kv  none  none  none
          files read-write is granted and not requested; to allow it: `files = "read-write"` in `[requests]` of its manifest

        limits: configured, or less where the plugin asks for less
          memory  64 MiB
          processor time of a call  50 ms
          time of a call  30000 ms

        tools: as the model sees them
          table_bomb__answer
            Grows a table.
            input {"type":"object"}
        "#);
    });
    let new = "new: the plugin `table_bomb` was recorded as it is now; it has what `[grants.table_bomb]` gives\n";
    assert_eq!(ended.err, new);
    let files = run(&world.path(""), &["plugins", "inspect", "files"]).expect(0).out;
    let tools = files.lines().filter_map(|line| line.strip_prefix("  files__"));
    insta::assert_snapshot!(tools.collect::<Vec<_>>().join("\n"), @"
    list  read-only, idempotent, resource file:{/path}
    read  read-only, idempotent, resource file:{/path}
    search  read-only, idempotent, resource file:{/path}
    write  idempotent, previews, resource file:{/path}
    edit  previews, resource file:{/path}
    delete  destructive, previews, resource file:{/path}
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
    steady(&world).bind(|| {
        insta::assert_snapshot!(list, @"
        SESSION  UPDATED  AGENT  RUNS  LAST RUN  FIRST MESSAGE
        talk  TIME  main  3  model failed  one
        ");
    });
    let show = run(&world.path(""), &["sessions", "show", "talk"]).expect(0).out;
    steady(&world).bind(|| {
        insta::assert_snapshot!(show, @r#"
        talk  agent main · 3 runs · 23 events · since TIME

        ── RUN · main · TIME

        user
        one
          ▸ echo__echo {"text":"x"}
          ✓ echo__echo  TIME  SIZE

        model
        done

        finished · 4 steps · 1 tool call · 2 model calls · TIME

        ── RUN · main · TIME

        user
        two

        model
        More.

        finished · 2 steps · 0 tool calls · 1 model call · TIME

        ── RUN · main · TIME

        user
        three
          ✗ model  x: gone

        model failed · 1 step · 0 tool calls · 0 model calls · TIME
        error: gone
        "#);
    });
    let as_json = run(&world.path(""), &["sessions", "show", "talk", "--json"]).expect(0);
    let events = json_lines(&as_json.out);
    let sequences = events.iter().map(|event| event["sequence"].as_u64().unwrap());
    assert!(sequences.eq(1..=events.len() as u64));
}

/// Where the shell limits addresses, that is what is told, and no plugin is blamed for it.
#[cfg(target_os = "linux")]
#[test]
fn a_limit_on_address_space_is_no_fault_of_a_plugin() {
    let world = world(says("done"));
    run(&world.path(""), &["plugins", "list"]).expect(0);
    let limited = |command: &str| -> Ended {
        let sandbar = built::program();
        let line = format!("ulimit -v 3000000 && exec {} {command}", sandbar.display());
        let shell = std::process::Command::new("sh")
            .args(["-c", &line])
            .current_dir(world.path(""))
            .env_clear()
            .env("HOME", world.path(""))
            .output();
        shell.unwrap().into()
    };
    let ran = limited("run go");
    assert_ne!(ran.exit, Some(0), "{}", ran.err);
    let told = "`react` could not be started: this process may not reserve so much address space";
    assert!(ran.err.contains(told), "{}", ran.err);
    assert!(ran.err.contains("hint: raise what `ulimit -v` limits"), "{}", ran.err);
    assert!(!ran.err.contains("crashed"), "{}", ran.err);
    let checked = limited("doctor").expect(1);
    let told = "limited to 2929 MiB, and each memory of a plugin reserves 4160 MiB: none can be called";
    assert!(checked.out.contains(told), "{}", checked.out);
    assert!(!checked.out.contains("crashed"), "{}", checked.out);
}
