//! The same as the program shows it, and where values come from.

use std::path::Path;

use serde_json::Value;

use crate::support::built;
use crate::support::program::{Ended, run, sandbar};
use crate::support::world::World;

/// A configuration of one agent that lacks nothing; lines of `[agents.main]` may follow.
const LEAST: &str = "data_dir = \"data\"\n[models.script]\nprovider = \"scripted\"\nscript = \"replies.toml\"\n\
                     [agents.main]\nmodel = \"script\"\n";

fn world(config: &str) -> World {
    World::new().file("sandbar.toml", config)
}

fn directory(world: &World) -> String {
    world.path("").display().to_string().trim_end_matches('/').to_owned()
}

/// What is said of a configuration, with the world's directory as `DIR`; and the same with `--json`, one value for each problem.
fn check(config: &str, expected: &str) {
    let world = world(config);
    let shown = said(&world, &["config", "check"]);
    assert_eq!(shown, expected.trim_start(), "{config}");
    let as_json = run(&world.path(""), &["config", "check", "--json"]).expect(2);
    assert_eq!(as_json.out, "");
    let problems = as_json.err.lines().map(|line| {
        let problem: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(
            (&problem["severity"], &problem["kind"]),
            (&"error".into(), &"config".into()),
            "{line}"
        );
        assert!(problem["code"].as_str().unwrap().starts_with("config-"), "{line}");
        let hint = problem["hint"]
            .as_str()
            .map_or(String::new(), |hint| format!("hint: {hint}\n"));
        format!("error: {}\n{hint}", problem["message"].as_str().unwrap())
    });
    assert_eq!(
        problems.collect::<String>().replace(&directory(&world), "DIR"),
        expected.trim_start()
    );
}

/// A command that fails for its configuration, and what it says of that.
fn said(world: &World, arguments: &[&str]) -> String {
    let ended = run(&world.path(""), arguments).expect(2);
    assert_eq!(ended.out, "", "nothing is data");
    ended.err.replace(&directory(world), "DIR")
}

#[test]
fn all_problems_are_shown_at_once() {
    check(
        "default_agent = 'mian'\nworkspace = 'wrok'\nworkspce = 'work'\ndata_dir = 'data'\n[limits]\ncpu_msec = 5\n\
         [models.script]\nprovider = 'script'\nscript = 'replies.toml'\n[models.other]\nprovider = 'scripted'\n\
         script = 'lost.toml'\n[agents.main]\nmodel = 'oter'\n",
        "
error: sandbar.toml:6:1: unknown key `cpu_msec` in `limits`
hint: did you mean `cpu_ms`?
error: sandbar.toml:8:12: `models.script.provider` is `script`, but `scripted`, `openai`, `ollama`, `llama-cpp` or `vllm` is wanted
hint: did you mean `scripted`?
error: sandbar.toml:3:1: unknown key `workspce` at the top
hint: did you mean `workspace`?
error: sandbar.toml:2:13: `workspace` is `wrok`, but there is no such directory
hint: mkdir -p DIR/wrok
error: sandbar.toml:12:10: `models.other.script` is `lost.toml`, but there is no such file
hint: looked for `DIR/lost.toml`
error: sandbar.toml:14:9: `agents.main.model` is `oter`, but there is no such model
hint: did you mean `other`?
error: sandbar.toml:1:17: `default_agent` is `mian`, but there is no such agent
hint: did you mean `main`?
"
        .trim_start_matches('\n'),
    );
}

#[test]
fn names_of_plugins_are_checked() {
    check(
        &format!("{LEAST}pattern = 'raect'\nplugins = ['filse', 'react']\n[grants.flies]\nfiles = 'read-only'\n"),
        "
error: sandbar.toml:9:9: `grants.flies` is for a plugin that isn't there
hint: did you mean `files`?
error: sandbar.toml:7:11: `agents.main.pattern` is `raect`, but there is no such pattern
hint: did you mean `react`?
error: sandbar.toml:8:12: `agents.main.plugins[0]` is `filse`, but there is no such plugin
hint: did you mean `files`?
error: sandbar.toml:8:21: `agents.main.plugins[1]` is `react`, but there is no such plugin
hint: `react` is a pattern: name it as `pattern`
"
        .trim_start_matches('\n'),
    );
}

#[test]
fn what_is_no_toml_is_told_with_its_place() {
    check(
        "[agents.main]\nmodel = script\n",
        "error: sandbar.toml:2:9: string values must be quoted, expected literal string\n\
         hint: the file is TOML: `key = value` lines under `[section]` headers, texts in quotes\n",
    );
}

#[test]
fn a_configuration_without_problems_is_ok() {
    let world = world(LEAST);
    assert_eq!(
        run(&world.path(""), &["config", "check"]).expect(0).out,
        "ok  1 agent, 1 model, 3 plugins\n"
    );
    assert_eq!(
        run(&world.path(""), &["config", "check", "--json"]).expect(0).out,
        "{\"ok\":true}\n"
    );
}

/// A grant can't give what the plugin's own manifest doesn't request: nothing is wrong, and whoever wrote it should know.
#[test]
fn a_grant_that_does_nothing_is_told() {
    let granted = "[plugins]\ndirectories = [\"plugins\"]\n[grants.echo]\nfiles = \"read-write\"\nkv = \"session\"\n\
                   http = [\"https://a.example/v1/\", \"https://b.example/\"]\nmounts = [{ name = \"docs\", path = \"docs\" }]\n\
                   [grants.other]\nfiles = \"read-write\"\n";
    let world = world(&format!("{LEAST}{granted}"))
        .guest("echo")
        .guest_as("echo", "other")
        .file("docs/a.md", "a");
    let asks =
        |files: &str| format!("[requests]\nfiles = \"{files}\"\nkv = \"shared\"\nhttp = [\"https://a.example/\"]\n");
    let world = world.manifest("echo", &asks("read-only"));
    let told = |what: &str, line: &str| {
        format!(
            "warning: `grants.echo` has no effect in one point: {what}\n\
             hint: take it out of `[grants.echo]`, or write `{line}` in `[requests]` of its manifest\n"
        )
    };
    let files = told(
        "files read-write is granted and not requested",
        "files = \"read-write\"",
    );
    let http = told(
        "http https://b.example/ is granted and not requested",
        "http = [\"https://b.example/\"]",
    );
    let ended = run(&world.path(""), &["config", "check"]).expect(0);
    let new = |name: &str| {
        format!("new: the plugin `{name}` was recorded as it is now; it has what `[grants.{name}]` gives\n")
    };
    assert_eq!(ended.err, format!("{}{}{files}{http}", new("echo"), new("other")));
    assert_eq!(ended.out, "ok  1 agent, 1 model, 5 plugins\n");

    let ended = run(&world.path(""), &["config", "check", "--json"]).expect(0);
    assert_eq!(ended.out, "{\"ok\":true}\n");
    let warnings: Vec<Value> = ended
        .err
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for warning in &warnings {
        let found = (&warning["severity"], &warning["code"]);
        assert_eq!(found, (&"warning".into(), &"grant-not-requested".into()));
    }
    assert_eq!(warnings.len(), 2);

    // Another request waits for a person, unless it is the first that is seen.
    std::fs::remove_file(world.path("sandbar.lock")).unwrap();
    let world = world.manifest("echo", &asks("none"));
    let ended = run(&world.path(""), &["config", "check"]).expect(0);
    let mount = told(
        "the mount `docs` is granted read-only, and not requested",
        "files = \"read-only\"",
    );
    assert_eq!(
        ended.err,
        format!("{}{}{files}{http}{mount}", new("echo"), new("other"))
    );
}

/// Whatever needs the configuration says the same of it, and does nothing else.
#[test]
fn every_command_says_what_is_wrong() {
    let world =
        world("[agents.main]\nmodel = 'script'\n[models.script]\nprovider = 'scripted'\nscript = 'lost.toml'\n");
    let expected = "error: sandbar.toml:5:10: `models.script.script` is `lost.toml`, but there is no such file\n\
                    hint: looked for `DIR/lost.toml`\n";
    for command in [
        &["run", "hello"][..],
        &["plugins", "list"],
        &["plugins", "inspect", "files"],
        &["sessions", "list"],
        &["config", "show"],
    ] {
        assert_eq!(said(&world, command), expected, "{command:?}");
    }
    assert!(!world.path(".local").exists(), "nothing was begun");
}

#[test]
fn a_configuration_that_was_named_must_be_there() {
    let world = world(LEAST);
    let expected = "error: the configuration `none.toml` does not exist\nhint: looked for `DIR/none.toml`\n";
    assert_eq!(said(&world, &["config", "check", "--config", "none.toml"]), expected);
}

/// A script is read when the runtime opens: what is wrong with it is told before anything is asked.
#[test]
fn scripts_are_read_before_a_run() {
    let check = |script: &str, expected: &str| {
        let told = said(&world(LEAST).script(script), &["run", "hello"]);
        assert_eq!(told.replace("DIR/", ""), expected);
    };
    check(
        "[[reply]]\ntxt = 'hello'\n",
        "error: line 2 of `replies.toml`: `[[reply]]` has no key `txt`\nhint: did you mean `text`?\n",
    );
    check(
        "[[reply]\n",
        "error: line 1 of `replies.toml` is not a script: unclosed array table, expected `]`\n\
         hint: a script is TOML: a list of `[[reply]]`, each with `text`, `calls`, `error` or `hang`\n",
    );
}

/// Flags, the environment, the project, the user, what is built in: the strongest wins, key by key.
#[test]
fn values_tell_where_they_come_from() {
    let user = "[limits]\ncpu_ms = 1\nwall_ms = 1\nmemory_mib = 1\nmax_instances = 1\n";
    let world = world(&format!(
        "[limits]\ncpu_ms = 2\nwall_ms = 2\nmemory_mib = 2\n{}",
        LEAST.replace("data_dir = \"data\"", "")
    ))
    .file(".config/sandbar/config.toml", user)
    .file("elsewhere/sandbar/config.toml", "[limits]\nmax_instances = 7\n");
    let show = |more: &[&str], variables: &[(&str, &str)], key: &str| {
        let mut command = sandbar(&world.path(""), &["config", "show", "--json"]);
        let ended: Ended = command
            .args(more)
            .envs(variables.iter().copied())
            .output()
            .unwrap()
            .into();
        let settings = ended.expect(0).out;
        let found = settings
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .find(|it| it["key"] == key);
        let found = found.unwrap_or_else(|| panic!("`{key}` is not in:\n{settings}"));
        let text = format!("{} {}", found["value"], found["origin"].as_str().unwrap());
        text.replace(&directory(&world), "DIR")
    };
    let cpu = ("SANDBAR__LIMITS__CPU_MS", "3");
    let wall = ("SANDBAR__LIMITS__WALL_MS", "3");
    let flag = ["--set", "limits.cpu_ms=4"];
    assert_eq!(show(&flag, &[cpu, wall], "limits.cpu_ms"), "4 flag");
    assert_eq!(
        show(&flag, &[cpu, wall], "limits.wall_ms"),
        "3 env SANDBAR__LIMITS__WALL_MS"
    );
    assert_eq!(show(&[], &[cpu], "limits.cpu_ms"), "3 env SANDBAR__LIMITS__CPU_MS");
    assert_eq!(show(&flag, &[cpu, wall], "limits.memory_mib"), "2 sandbar.toml:4");
    assert_eq!(show(&[], &[], "limits.cpu_ms"), "2 sandbar.toml:2");
    assert_eq!(
        show(&flag, &[cpu, wall], "limits.max_instances"),
        "1 DIR/.config/sandbar/config.toml:5"
    );
    let elsewhere = world.path("elsewhere").display().to_string();
    let found = show(&[], &[("XDG_CONFIG_HOME", &elsewhere)], "limits.max_instances");
    assert_eq!(found, "7 DIR/elsewhere/sandbar/config.toml:2");
    assert_eq!(show(&[], &[], "agents.main.limits.steps"), "50 default");
    assert_eq!(show(&[], &[], "data_dir"), "\"DIR/.local/share/sandbar\" default");
    assert_eq!(show(&["--data-dir", "d"], &[], "data_dir"), "\"d\" flag");
}

#[test]
fn the_table_of_values_is_for_people() {
    let world = world(LEAST);
    let shown = run(&world.path(""), &["config", "show", "--set", "limits.cpu_ms=4"])
        .expect(0)
        .out;
    let words: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["KEY", "VALUE", "FROM"]);
    for expected in [
        ["limits.cpu_ms", "4", "flag"],
        ["agents.main.model", "\"script\"", "sandbar.toml:6"],
        ["limits.wall_ms", "30000", "default"],
    ] {
        assert!(
            words.iter().any(|line| *line == expected),
            "{expected:?} is not in:\n{shown}"
        );
    }
}

#[test]
fn variables_and_flags_are_checked_like_files() {
    let check = |more: &[&str], variables: &[(&str, &str)], expected: &str| {
        let world = world(LEAST);
        let mut command = sandbar(&world.path(""), &["config", "check"]);
        let ended: Ended = command
            .args(more)
            .envs(variables.iter().copied())
            .output()
            .unwrap()
            .into();
        assert_eq!(ended.expect(2).err, expected);
    };
    check(
        &[],
        &[("SANDBAR__LIMITS__CPUMS", "4")],
        "error: env SANDBAR__LIMITS__CPUMS: unknown key `cpums` in `limits`\nhint: did you mean `cpu_ms`?\n",
    );
    check(
        &["--set", "agents.main.modle=script"],
        &[],
        "error: --set agents.main.modle: unknown key `modle` in `agents.main`\nhint: did you mean `model`?\n",
    );
    check(
        &[],
        &[("SANDBAR__AGENTS__MAIN__PLUGINS", "['flies']")],
        "error: env SANDBAR__AGENTS__MAIN__PLUGINS: `agents.main.plugins[0]` is `flies`, but there is no such plugin\n\
         hint: did you mean `files`?\n",
    );
}

#[test]
fn the_schema_is_the_one_in_the_reference() {
    let printed = run(&World::new().path(""), &["config", "schema"]).expect(0).out;
    let reference = Path::new("docs/reference/sandbar.schema.json");
    let written = std::fs::read_to_string(built::sources().parent().unwrap().join(reference)).unwrap();
    assert!(
        printed == written,
        "`{}` is out of date: `cargo xtask docs` writes it",
        reference.display()
    );
    serde_json::from_str::<Value>(&printed).unwrap();
}

const SECRET: &str = "sk-abcdef123456";

/// A reference is shown; what it leads to never is, and a secret in its place is refused without being repeated.
#[test]
fn secrets_are_never_printed() {
    let config = |key: &str| format!("{LEAST}[models.gpt]\nprovider = 'openai'\nmodel = 'gpt'\napi_key = '{key}'\n");
    let check = |config: &str, more: &[&str], variables: &[(&str, &str)], exit: i32, expected: &str| {
        let world = world(config).file("key", SECRET);
        for form in [&[][..], &["--json"], &["-vvv"]] {
            let mut command = sandbar(&world.path(""), more);
            let ended: Ended = command
                .args(form)
                .envs(variables.iter().copied())
                .output()
                .unwrap()
                .into();
            let ended = ended.expect(exit);
            let all = ended.out + &ended.err;
            assert!(!all.contains(SECRET), "{more:?} {form:?}\n{all}");
            assert!(
                all.contains(expected),
                "{more:?} {form:?}: `{expected}` is not in:\n{all}"
            );
        }
    };
    let refused = "a reference to a secret is wanted, not a secret";
    let (show, lint, ask) = (&["config", "show"][..], &["config", "check"][..], &["run", "hello"][..]);
    for command in [show, lint, ask] {
        check(&config(SECRET), command, &[], 2, refused);
        check(
            &config(&format!("env:{SECRET}")),
            command,
            &[],
            2,
            "is not the name of a variable",
        );
    }
    check(
        LEAST,
        lint,
        &[
            ("SANDBAR__MODELS__GPT__API_KEY", SECRET),
            ("SANDBAR__MODELS__GPT__PROVIDER", "openai"),
        ],
        2,
        refused,
    );
    let flag = format!("models.gpt.api_key={SECRET}");
    let with_flag = ["config", "check", "--set", "models.gpt.provider=openai", "--set", &flag];
    check(LEAST, &with_flag, &[], 2, refused);
    // Nothing is configured here, so that a server can be named.
    let with_key = [
        "run",
        "hello",
        "--base-url",
        "http://127.0.0.1:1/v1",
        "--model",
        "m",
        "--api-key",
        SECRET,
    ];
    check("data_dir = 'data'\n", &with_key, &[], 2, refused);
    check(&config("env:MY_KEY"), show, &[("MY_KEY", SECRET)], 0, "env:MY_KEY");
    check(&config("file:key"), show, &[], 0, "file:key");
}

/// A secret is looked for when its model is opened, and the message says where.
#[test]
fn a_secret_that_is_not_there_is_asked_for() {
    let world = world(&format!(
        "{LEAST}[models.gpt]\nprovider = 'openai'\nmodel = 'gpt'\napi_key = 'env:MY_KEY'\n"
    ));
    let arguments = ["run", "hello", "--model", "gpt"];
    let ended = run(&world.path(""), &arguments).expect(2);
    assert!(
        ended
            .err
            .contains("the variable `MY_KEY` should hold a secret, but is not set"),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("hint: "), "{}", ended.err);
}

/// A header that the host sets itself, or that says what a body is, can't hold a secret.
#[test]
fn a_header_of_the_host_is_no_place_for_a_secret() {
    for header in [
        "accept-encoding",
        "Content-Encoding",
        "range",
        "transfer-encoding",
        "host",
        "content-length",
    ] {
        check(
            &format!(
                "{LEAST}[secrets.key]\nvalue = 'file:key.txt'\nhosts = ['https://a.example']\nheader = '{header}'\n"
            ),
            "
error: sandbar.toml:10:10: `secrets.key.header` is no header that a secret can go into
hint: write the name of a header that a request has for it, such as `authorization` or `x-api-key`
",
        );
    }
}
