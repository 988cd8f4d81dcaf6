//! From an empty directory to an answer, and what the program says of itself.

use super::{json_lines, world};
use crate::support::program::{Ended, run, sandbar};
use crate::support::quiet;
use crate::support::script::says;

/// In an empty directory, with an empty home, without a key and without a network.
#[test]
fn a_new_project_works_at_once() {
    let _share = quiet::share();
    let (home, project) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = |arguments: &[&str]| -> Ended {
        let mut command = sandbar(project.path(), arguments);
        Ended::from(command.env("HOME", home.path()).output().unwrap())
    };
    let read = |name: &str| std::fs::read_to_string(project.path().join(name)).unwrap();
    let begun = run(&["init"]).expect(0);
    assert!(
        begun.out.lines().all(|line| line.trim_start().starts_with("created ")),
        "{}",
        begun.out
    );
    assert_eq!(begun.err, "\nnow try: sandbar run \"hello\"\n");
    std::fs::write(project.path().join("work/plan.md"), "x").unwrap();
    let ended = run(&["run", "hello"]).expect(0);
    assert!(ended.out.contains("plan.md"), "{}", ended.out);
    assert!(run(&["config", "check"]).expect(0).out.starts_with("ok  "));
    assert!(!project.path().join(".local").exists(), "data is in the home");

    // What is there stays as it is; what is asked to be new leaves the old beside it.
    std::fs::write(project.path().join("replies.toml"), says("mine")).unwrap();
    std::fs::remove_file(project.path().join("instructions.md")).unwrap();
    let again = run(&["init"]).expect(0).out;
    let created: Vec<&str> = again.lines().filter(|line| line.contains("created ")).collect();
    assert_eq!(created, ["  created  ./instructions.md"]);
    assert_eq!(run(&["run", "hello"]).expect(0).out, "mine\n");
    run(&["init", "--force"]).expect(0);
    assert_eq!(read("replies.toml.bak"), says("mine"));
    assert!(run(&["run", "hello"]).expect(0).out.contains("plan.md"));
}

#[test]
fn the_doctor_says_what_is_wrong() {
    let world = world(says("hello")).guest("trap_in_describe");
    let healthy = run(&world.path(""), &["doctor"]).expect(0).out;
    for part in [
        "✓  compile worker",
        "✓  journal",
        "1 broken: trap_in_describe",
        "!  not enforced",
    ] {
        assert!(healthy.contains(part), "`{part}` is not in:\n{healthy}");
    }
    let world = world.file("sandbar.toml", "[agents.main]\nmodle = 'x'\n");
    let ill = run(&world.path(""), &["doctor"]).expect(1).out;
    assert!(
        ill.lines()
            .any(|line| line.starts_with("✗  configuration") && line.contains("2 problems")),
        "{ill}"
    );
}

#[test]
fn the_demo_shows_an_agent_and_four_attacks() {
    let _share = quiet::share();
    let directory = tempfile::tempdir().unwrap();
    let demo = |arguments: &[&str]| -> Ended {
        let mut command = sandbar(directory.path(), arguments);
        Ended::from(command.env("TMPDIR", directory.path()).output().unwrap()).expect(0)
    };
    let shown = demo(&["demo"]);
    assert_eq!(shown.err, "");
    assert!(!shown.out.contains('\u{1b}'), "{}", shown.out);
    let report = "  │ > A plugin in an endless loop is stopped when its processor time is used up";
    assert!(shown.out.contains(report), "{}", shown.out);
    for (plugin, reason) in [
        ("endless_loop", "stopped after 250 ms of processor time"),
        ("memory_bomb", "32 MiB of memory"),
        ("nosy", "nothing outside of the workspace could be read"),
        ("crasher", "crashed"),
    ] {
        let line = shown
            .out
            .lines()
            .find(|line| line.starts_with(&format!("  ✓ {plugin} ")));
        let line = line.unwrap_or_else(|| panic!("`{plugin}` is missing:\n{}", shown.out));
        assert!(
            line.contains(reason) && (line.contains(" ms  ") || line.contains(" s  ")),
            "{line}"
        );
    }
    assert!(
        shown.out.contains("The host is fine: 4 attacks, 4 contained"),
        "{}",
        shown.out
    );
    // What it proposes to do next works.
    let next = |command: &str| {
        let line = shown.out.lines().find_map(|line| line.split_once(command)).unwrap().1;
        let more: Vec<&str> = command
            .split_whitespace()
            .skip(1)
            .chain(line.split_whitespace())
            .collect();
        run(directory.path(), &more).expect(0).out
    };
    let inspected = next("sandbar plugins inspect ");
    let powers = inspected
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert!(
        powers
            .into_iter()
            .any(|words| words == ["files", "read-write", "read-write", "read-write"]),
        "{inspected}"
    );
    assert!(next("sandbar sessions show ").contains("files__search"));

    let values = json_lines(&demo(&["demo", "--json", "--dir", "again"]).out);
    let finished = values.iter().filter(|value| value["type"] == "run.finished");
    let reasons: Vec<&str> = finished
        .map(|value| value["result"]["stop_reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, ["finished", "finished"]);
    assert!(directory.path().join("again/work/report.md").is_file());
}

#[test]
fn the_program_explains_itself() {
    let world = world("");
    let printed = |arguments: &[&str]| {
        let ended = run(&world.path(""), arguments).expect(0);
        assert_eq!(ended.err, "", "{arguments:?}");
        assert!(!ended.out.contains('\u{1b}'), "{arguments:?}");
        ended.out
    };
    let version = printed(&["--version"]);
    assert_eq!(version, concat!("sandbar ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = printed(&["--help"]);
    for part in [
        "Usage: sandbar",
        "Exit codes:",
        "  130  interrupted",
        "--json",
        "doctor",
    ] {
        assert!(help.contains(part), "`{part}` is not in:\n{help}");
    }
    for command in ["run", "chat", "init", "demo", "doctor", "plugins", "sessions", "config"] {
        assert!(
            help.contains(&format!("\n  {command} ")),
            "`{command}` is not in:\n{help}"
        );
        assert!(printed(&[command, "--help"]).contains(&format!("Usage: sandbar {command}")));
        assert!(printed(&["man", command]).contains(&format!(".TH sandbar-{command} 1")));
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(printed(&["completions", shell]).contains("sandbar"), "{shell}");
    }
    assert!(printed(&[]).contains("here: the agent `main` with the model `script`"));
}
