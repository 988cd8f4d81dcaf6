//! What is wrong in one file.

use super::*;

/// A configuration that would load but for `text`.
pub(super) fn check(text: &str, expected: &str) {
    check_whole(&format!("{text}\n{LEAST}"), expected);
}

pub(super) fn check_whole(text: &str, expected: &str) {
    let directory = project();
    let base = directory.path();
    let got = match Config::from_toml(text, base) {
        Ok(_) => "loads".to_owned(),
        Err(errors) => {
            assert!(
                errors
                    .iter()
                    .all(|error| error.kind == sandbar_protocol::ErrorKind::Config),
                "{errors:?}"
            );
            shown(&errors, base)
        }
    };
    assert_eq!(got, expected, "{text}");
}

#[test]
fn unknown_keys_are_found_at_every_depth() {
    check(
        "workspce = 'work'",
        "sandbar.toml:1:1: unknown key `workspce` at the top\nhint: did you mean `workspace`?",
    );
    check(
        "[limits]\nzzz = 1",
        "sandbar.toml:2:1: unknown key `zzz` in `limits`\n\
         hint: known keys: `cpu_ms`, `guest_memory_mib`, `kernel_sandbox`, `max_instances`, `memory_mib`, `put_aside`, `wall_ms`, `workspace_mib`",
    );
    check(
        "[grants.files]\nmounts = [\n  { name = 'docs', path = 'docs' },\n  { name = 'd', path = 'docs', acces = 'none' },\n]",
        "sandbar.toml:4:32: unknown key `acces` in `grants.files.mounts[1]`\nhint: did you mean `access`?",
    );
    check(
        "[agents.a]\nmodel = 'script'\nlimits.step = 5",
        "sandbar.toml:3:8: unknown key `step` in `agents.a.limits`\nhint: did you mean `steps`?\n\
         sandbar.toml:1:2: there are several agents, and no `default_agent`: `a`, `main`\n\
         hint: add `default_agent = \"a\"` at the top of `sandbar.toml`",
    );
    check(
        "[models.gpt]\nprovider = 'scripted'\nscript = 'replies.toml'\napi_key = 'sk-1'",
        "sandbar.toml:4:1: unknown key `api_key` in `models.gpt`\nhint: known keys: `provider`, `script`",
    );
}

#[test]
fn wrong_types_say_what_is_wanted() {
    for (written, problem) in [
        (
            "workspace = 5",
            "1:13: `workspace` is a number, but a text is wanted\nhint: a text is written in quotes",
        ),
        (
            "limits.cpu_ms = 'much'",
            "1:17: `limits.cpu_ms` is a text, but a whole number is wanted\nhint: a number is written without quotes",
        ),
        (
            "limits.cpu_ms = 1.5",
            "1:17: `limits.cpu_ms` is a fraction, but a whole number is wanted\nhint: a number is written without quotes",
        ),
        (
            "limits.cpu_ms = 0",
            "1:17: `limits.cpu_ms` is 0, but at least 1 is wanted",
        ),
        (
            "limits.wall_ms = 4294967296",
            "1:18: `limits.wall_ms` is 4294967296, but 1 to 4294967295 is wanted",
        ),
        (
            "limits.memory_mib = 5000",
            "1:21: `limits.memory_mib` is 5000, but 1 to 4096 is wanted",
        ),
        (
            "limits.cpu_ms = 99999999999999999999",
            "1:17: `limits.cpu_ms` is an integer of more than 64 bits, but a whole number is wanted\n\
             hint: a number is written without quotes",
        ),
        (
            "limits = 7",
            "1:10: `limits` is a number, but a table is wanted\n\
             hint: a table is written `[section]` or `{ key = value }`",
        ),
        (
            "plugins.directories = 'plugins'",
            "1:23: `plugins.directories` is a text, but a list is wanted\n\
             hint: a list is written `[\"first\", \"second\"]`",
        ),
        (
            "plugins.directories = [['a']]",
            "1:24: `plugins.directories[0]` is a list, but a text is wanted\nhint: a text is written in quotes",
        ),
        (
            "grants.files.files = 'readonly'",
            "1:22: `grants.files.files` is `readonly`, but `none`, `read-only` or `read-write` is wanted\n\
             hint: did you mean `read-only`?",
        ),
        (
            "grants.files.files = true",
            "1:22: `grants.files.files` is a boolean, but a text is wanted\nhint: a text is written in quotes",
        ),
        (
            "grants.files.config = { since = 2024-01-01, deep = [nan] }",
            "1:53: `grants.files.config.deep` is a number that isn't finite, but plugins get JSON\n\
             hint: write it as a text\n\
             sandbar.toml:1:33: `grants.files.config.since` is a date, but plugins get JSON\nhint: write it as a text",
        ),
    ] {
        check(written, &format!("sandbar.toml:{problem}"));
    }
}

#[test]
fn missing_keys_are_named() {
    check_whole(
        "",
        "no agent is configured\nhint: add `[agents.main]` with `model = \"…\"` to `sandbar.toml`",
    );
    check_whole(
        "[agents.main]",
        "sandbar.toml:1:9: `agents.main` has no `model`\nhint: add `model = …`",
    );
    check(
        "[models.a]\nscript = 'replies.toml'",
        "sandbar.toml:1:9: `models.a` has no `provider`\nhint: `provider` is `scripted`, `openai`, `ollama`, `llama-cpp` or `vllm`",
    );
    check(
        "[models.a]\nprovider = 'script'",
        "sandbar.toml:2:12: `models.a.provider` is `script`, but `scripted`, `openai`, `ollama`, `llama-cpp` or `vllm` is wanted\nhint: did you mean `scripted`?",
    );
    check(
        "[models.a]\nprovider = 'scripted'",
        "sandbar.toml:1:9: `models.a` has no `script`\nhint: add `script = …`",
    );
    check(
        "grants.files.mounts = [ { name = 'docs' } ]",
        "sandbar.toml:1:25: `grants.files.mounts[0]` has no `path`\nhint: add `path = …`",
    );
}

#[test]
fn missing_files_say_where_they_were_looked_for() {
    check(
        "workspace = 'my work'",
        "sandbar.toml:1:13: `workspace` is `my work`, but there is no such directory\nhint: mkdir -p 'DIR/my work'",
    );
    check(
        "workspace = 'main.md'",
        "sandbar.toml:1:13: `workspace` is `main.md`, but there is no such directory\nhint: `DIR/main.md` is not a directory",
    );
    check(
        "workspace = '~/work'",
        "sandbar.toml:1:13: `workspace` starts with `~`, which only a shell knows\nhint: write the whole path",
    );
    check(
        "data_dir = ''",
        "sandbar.toml:1:12: `data_dir` is an empty path\nhint: write a path, or leave the key out",
    );
    check(
        "[models.a]\nprovider = 'scripted'\nscript = 'nothing.toml'",
        "sandbar.toml:3:10: `models.a.script` is `nothing.toml`, but there is no such file\nhint: looked for `DIR/nothing.toml`",
    );
    check(
        "grants.files.mounts = [ { name = 'd', path = 'none' } ]",
        "sandbar.toml:1:46: `grants.files.mounts[0].path` is `none`, but there is no such directory\nhint: mkdir -p DIR/none",
    );
    check_whole(
        &format!("{LEAST}instructions_file = 'you.md'"),
        "sandbar.toml:6:21: `agents.main.instructions_file` is `you.md`, but there is no such file\nhint: looked for `DIR/you.md`",
    );
    check_whole(
        &format!("{LEAST}instructions = 'a'\ninstructions_file = 'main.md'"),
        "sandbar.toml:7:21: `agents.main` has both `instructions` and `instructions_file`\nhint: remove one of them",
    );
}

#[test]
fn syntax_errors_have_a_place() {
    check_whole(
        "[agents.main]\nmodel = ",
        "sandbar.toml:2:9: string values must be quoted, expected literal string\n\
         hint: the file is TOML: `key = value` lines under `[section]` headers, texts in quotes",
    );
    check_whole(
        "[limits]\nwall_ms = 1\nwall_ms = 2",
        "sandbar.toml:3:1: duplicate key\n\
         hint: the file is TOML: `key = value` lines under `[section]` headers, texts in quotes",
    );
}

#[test]
fn all_problems_are_reported_at_once() {
    check_whole(
        "default_agent = 'mian'\nworkspace = 'nowhere'\n[limits]\ncpu = 1\nwall_ms = '1'\n\
         [agents.main]\nmodel = 'scrpt'\n[agents.b]\n[models.script]\nscript = 'x'\n",
        "sandbar.toml:8:9: `agents.b` has no `model`\nhint: add `model = …`\n\
         sandbar.toml:4:1: unknown key `cpu` in `limits`\nhint: did you mean `cpu_ms`?\n\
         sandbar.toml:5:11: `limits.wall_ms` is a text, but a whole number is wanted\n\
         hint: a number is written without quotes\n\
         sandbar.toml:9:9: `models.script` has no `provider`\nhint: `provider` is `scripted`, `openai`, `ollama`, `llama-cpp` or `vllm`\n\
         sandbar.toml:2:13: `workspace` is `nowhere`, but there is no such directory\nhint: mkdir -p DIR/nowhere\n\
         sandbar.toml:7:9: `agents.main.model` is `scrpt`, but there is no such model\nhint: did you mean `script`?\n\
         sandbar.toml:1:17: `default_agent` is `mian`, but there is no such agent\nhint: did you mean `main`?",
    );
}
