//! Names: of what is in the file, and of plugins.

use super::*;

fn check(text: &str, expected: &str) {
    let directory = project();
    let base = directory.path();
    let got = Config::from_toml(text, base).map_or_else(|errors| shown(&errors, base), |_| "loads".to_owned());
    assert_eq!(got, expected, "{text}");
}

#[test]
fn references_must_lead_somewhere() {
    check(
        "[agents.main]\nmodel = 'gpt'",
        "sandbar.toml:2:9: `agents.main.model` is `gpt`, but there is no such model\nhint: add `[models.gpt]`",
    );
    check(
        &LEAST.replace("model = 'script'", "model = 'gpt'"),
        "sandbar.toml:5:9: `agents.main.model` is `gpt`, but there is no such model\nhint: the models are: `script`",
    );
    check(
        &format!("default_agent = 'x'\n{LEAST}"),
        "sandbar.toml:1:17: `default_agent` is `x`, but there is no such agent\nhint: the agents are: `main`",
    );
    check(
        &format!("grants.files.mounts = [{{ name = 'd', path = 'docs' }}, {{ name = 'd', path = 'work' }}]\n{LEAST}"),
        "sandbar.toml:1:64: two mounts of `files` have the name `d`\nhint: give each mount its own name",
    );
}

#[test]
fn names_are_short_and_plain() {
    let long = "x".repeat(41);
    for bad in ["a b", "", "ü", "a.b", long.as_str()] {
        let expected =
            format!("sandbar.toml:1:9: `grants.\"{bad}\"` is not a name\nhint: a name is 1 to 40 of A-Z a-z 0-9 _ -");
        let expected = if bad == long {
            expected.replace('"', "")
        } else {
            expected
        };
        check(&format!("[grants.\"{bad}\"]\n{LEAST}"), &expected);
    }
    check(&format!("[grants.{}]\n{LEAST}", &long[1..]), "loads");
    check(
        &format!("{LEAST}plugins = ['ok', '../x']\npattern = ''"),
        "sandbar.toml:7:11: `agents.main.pattern` is not a name\nhint: a name is 1 to 40 of A-Z a-z 0-9 _ -\n\
         sandbar.toml:6:18: `agents.main.plugins[1]` is not a name\nhint: a name is 1 to 40 of A-Z a-z 0-9 _ -",
    );
}

#[test]
fn plugins_are_checked_when_they_are_known() {
    let text = format!(
        "[grants.flies]\n{LEAST}pattern = 'files'\nplugins = ['files', 'web', 'react', 'filse']\n[agents.b]\nmodel = 'script'\n"
    );
    let directory = project();
    let config = Config::from_toml(&format!("default_agent = 'b'\n{text}"), directory.path()).unwrap();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let problems = |tools: &[&str], patterns: &[&str]| {
        shown(
            &config.check_plugins(&names(tools), &names(patterns), &names(&["notes"])),
            directory.path(),
        )
    };
    let expected = "sandbar.toml:2:9: `grants.flies` is for a plugin that isn't there\nhint: did you mean `files`?\n\
        sandbar.toml:8:11: `agents.main.pattern` is `files`, but there is no such pattern\nhint: `files` has tools: name it in `plugins`\n\
        sandbar.toml:9:21: `agents.main.plugins[1]` is `web`, but there is no such plugin\nhint: the plugins are: `files`, `shell`\n\
        sandbar.toml:9:28: `agents.main.plugins[2]` is `react`, but there is no such plugin\nhint: `react` is a pattern: name it as `pattern`\n\
        sandbar.toml:9:37: `agents.main.plugins[3]` is `filse`, but there is no such plugin\nhint: did you mean `files`?";
    assert_eq!(problems(&["files", "shell"], &["react"]), expected);
    let memory = |name: &str| {
        let text = format!("[grants.notes]\n{LEAST}memory = '{name}'\n");
        let config = Config::from_toml(&text, directory.path()).unwrap();
        let problems = config.check_plugins(&names(&["files"]), &names(&["react"]), &names(&["notes"]));
        shown(&problems, directory.path())
    };
    let expected = |name: &str, hint: &str| {
        format!("sandbar.toml:7:10: `agents.main.memory` is `{name}`, but there is no such memory\nhint: {hint}")
    };
    assert_eq!(memory("notes"), "");
    assert_eq!(memory("note"), expected("note", "did you mean `notes`?"));
    assert_eq!(
        memory("files"),
        expected("files", "`files` has tools: name it in `plugins`")
    );
    assert_eq!(
        memory("react"),
        expected("react", "`react` is a pattern: name it as `pattern`")
    );
    // A default has no line of its own: the agent that takes it is named.
    let last = problems(&["flies", "files", "web", "react", "filse"], &["files"]);
    let expected = "sandbar.toml:10:9: `agents.b.pattern` is `react`, but there is no such pattern\nhint: `react` has tools: name it in `plugins`";
    assert_eq!(last, expected);
}
