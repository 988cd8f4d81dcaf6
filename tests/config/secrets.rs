//! Whether secrets are where the configuration says, before a run finds that they aren't.

use crate::support::program::{Ended, run, sandbar};
use crate::support::script::says;
use crate::support::world::World;

const LEAST: &str = "data_dir = \"data\"\n[models.script]\nprovider = \"scripted\"\nscript = \"replies.toml\"\n\
                     [agents.main]\nmodel = \"script\"\n";

fn world(config: &str) -> World {
    World::new().file("sandbar.toml", config)
}

/// What a run would end with is said before it: no command shows a secret, and each looks where it is.
#[test]
fn secrets_are_looked_for_where_they_are_said_to_be() {
    let check = |value: &str, header: &str, place: &str, variables: &[(&str, &str)], problem: &str| {
        let granted = format!(
            "{LEAST}plugins = ['fetcher']\n[plugins]\ndirectories = ['plugins']\n[grants.fetcher]\nsecrets = ['key']\n\
             [secrets.key]\nvalue = '{value}'\nhosts = ['https://a.example']\nheader = '{header}'\n"
        );
        let world = world(&granted)
            .guest("fetcher")
            .script(says("hi"))
            .file("key.txt", place);
        let command = |arguments: &[&str]| -> Ended {
            let mut command = sandbar(&world.path(""), arguments);
            command.envs(variables.iter().copied()).output().unwrap().into()
        };
        let (exit, ill) = if problem.is_empty() { (0, 0) } else { (2, 1) };
        for arguments in [
            &["config", "check"][..],
            &["config", "check", "--json"],
            &["run", "hello"],
        ] {
            let ended = command(arguments).expect(exit);
            assert!(
                ended.err.contains(problem),
                "{arguments:?}: `{problem}` is not in:\n{}",
                ended.err
            );
            assert!(!format!("{ended:?}").contains("s3cr3t"), "{ended:?}");
        }
        for arguments in [&["doctor"][..], &["doctor", "--json"]] {
            let ended = command(arguments).expect(ill);
            let line = ended
                .out
                .lines()
                .find(|line| line.contains("secret"))
                .expect(&ended.out);
            assert!(line.contains(problem), "`{problem}` is not in:\n{line}");
            assert_eq!(line.contains("✗") || line.contains("\"bad\""), ill == 1, "{line}");
            assert!(!format!("{ended:?}").contains("s3cr3t"), "{ended:?}");
        }
    };
    let (file, variable, header) = ("file:key.txt", "env:MY_KEY", "x-key");
    check(file, header, "s3cr3t-value\n", &[], "");
    check(variable, header, "", &[("MY_KEY", "s3cr3t-value")], "");
    check(
        variable,
        header,
        "",
        &[],
        "the variable `MY_KEY` should hold a secret, but is not set",
    );
    check(
        variable,
        header,
        "",
        &[("MY_KEY", "")],
        "the variable `MY_KEY` should hold a secret, but is empty",
    );
    check(file, header, "", &[], "should hold a secret, but is empty");
    check(
        "file:none.txt",
        header,
        "",
        &[],
        "should hold a secret, but can't be read",
    );
    check(
        file,
        header,
        "s3cr3t\nvalue\n",
        &[],
        "the secret `key` contains a line break",
    );
}

/// What nobody needs is no reason to stop, and is told.
#[test]
fn a_secret_that_nobody_needs_may_be_missing() {
    let config = format!(
        "{LEAST}[secrets.key]\nvalue = 'env:MY_KEY'\nhosts = ['https://a.example']\nquery = 'key'\n\
         [models.gpt]\nprovider = 'openai'\nmodel = 'gpt'\napi_key = 'env:MY_KEY'\n"
    );
    let world = world(&config).script(says("hi"));
    let ended = run(&world.path(""), &["config", "check"]).expect(0);
    for what in ["the secret `key` has no value", "the model `gpt` has no key"] {
        assert!(
            ended.err.contains(&format!("warning: {what}: the variable `MY_KEY`")),
            "{}",
            ended.err
        );
    }
    let doctor = run(&world.path(""), &["doctor"]).expect(0).out;
    assert_eq!(
        doctor.lines().filter(|line| line.starts_with("!  secrets")).count(),
        2,
        "{doctor}"
    );
    run(&world.path(""), &["run", "hello"]).expect(0);
    // The key of a model that an agent has is needed.
    let used = config.replace("model = \"script\"", "model = 'gpt'");
    let world = world.file("sandbar.toml", used);
    let ended = run(&world.path(""), &["config", "check"]).expect(2);
    assert!(
        ended
            .err
            .starts_with("error: the model `gpt` has no key: the variable `MY_KEY`"),
        "{}",
        ended.err
    );
}

/// It is sent, and isn't looked for: whoever relies on that is told by every command that reads it.
#[test]
fn a_secret_that_is_too_short_to_be_looked_for_is_told() {
    let config =
        format!("{LEAST}[secrets.key]\nvalue = 'file:key.txt'\nhosts = ['https://a.example']\nheader = 'x-key'\n");
    for (value, told) in [("1234567", true), ("12345678", false)] {
        let world = world(&config).script(says("hi")).file("key.txt", value);
        let warning = "the secret `key` has fewer than 8 bytes: it is sent, but what plugins and models say isn't searched for it";
        for arguments in [
            &["config", "check"][..],
            &["run", "hello"],
            &["chat"],
            &["run", "hello", "--json"],
            &["doctor"],
        ] {
            let ended = run(&world.path(""), arguments).expect(0);
            let all = match arguments {
                ["doctor"] => ended.out,
                _ => ended.err,
            };
            assert_eq!(all.contains(warning), told, "{arguments:?}:\n{all}");
            assert!(!all.contains(value), "{all}");
        }
    }
}
