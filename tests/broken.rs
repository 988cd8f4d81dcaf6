//! Components and manifests that can't be used: each is told by name with the reason and the cure, and the others go on.

use sandbar::Runtime;
use sandbar::plugins::Status;
use sandbar::protocol::Error;

use crate::support::built;
use crate::support::script::asks_once;
use crate::support::world::{World, ask};

/// Why plugins of a name can't be used; more than one file may want a name.
fn errors<'a>(runtime: &'a Runtime, name: &str) -> Vec<&'a Error> {
    let named = runtime.plugins().list().filter(|plugin| &*plugin.name == name);
    named
        .filter_map(|plugin| match &plugin.status {
            Status::Broken(error) => Some(error),
            Status::Ready(_) => None,
        })
        .collect()
}

/// What is said of a broken plugin: its code, and words of its message and of its hint.
fn check(runtime: &Runtime, name: &str, code: &str, said: &str, hint: &str) {
    let errors = errors(runtime, name);
    let [error] = errors.as_slice() else {
        panic!("`{name}` has {} errors: {errors:?}", errors.len())
    };
    assert_eq!(error.code, code, "{name}: {error:?}");
    assert!(error.message.contains(said), "{name}: {error:?}");
    let given = error.hint.as_deref().unwrap_or_default();
    assert!(given.contains(hint) && !given.is_empty(), "{name}: {error:?}");
    assert!(
        error.text().lines().count() == 2 && !error.text().contains('\u{1b}'),
        "{name}: {error:?}"
    );
}

const LONG_NAME: &str = "a_name_that_is_far_too_long_for_the_tools_of_a_model";
const MEND: &str = "mend the plugin: `describe` has nothing to do but to hand over constants";
const BAD_FILE_NAME: &str = "its file name can't be a plugin's name";

/// Name, code of the error, a part of what it says, and of its hint.
const BROKEN: [(&str, &str, &str, &str); 15] = [
    (
        "empty",
        "not-wasm",
        "it is empty, not with 00 61 73 6d",
        "copy the component again",
    ),
    (
        "script",
        "not-wasm",
        "starts with 23 21 2f 62",
        "take it out of the directory",
    ),
    ("torn", "invalid-component", "it is damaged", "copy or build it again"),
    (
        "core_module",
        "core-module",
        "a core module, not a component",
        "wasm-tools component new",
    ),
    (
        "other_world",
        "other-world",
        "exports `acme:calc/adder@1.0.0`, not `sandbar:plugin/tool`",
        "`tool-plugin`",
    ),
    (
        "missing_import",
        "missing-import",
        "`acme:nothing/here@1.0.0`",
        "`wit/`",
    ),
    (
        "trap_in_describe",
        "plugin-trapped",
        "in `describe`: `trap_in_describe` crashed: thread",
        MEND,
    ),
    ("flood_in_describe", "transfer-limit", "passed more than 8 MiB", MEND),
    (
        "bad_schema",
        "bad-describe",
        "the input schema of `not_json`: not JSON",
        "see `tool-spec`",
    ),
    (
        "duplicate_tools",
        "bad-describe",
        "it describes the tool `same` twice",
        "see `tool-spec`",
    ),
    (
        "bad_tool_name",
        "bad-describe",
        "the tool name `` is not 1 to 40 of A-Z a-z 0-9 _ -",
        "see `tool-spec`",
    ),
    ("has space", "bad-name", BAD_FILE_NAME, "rename it: 1 to 40 of"),
    (LONG_NAME, "bad-name", BAD_FILE_NAME, "rename it: 1 to 40 of"),
    (
        "folder",
        "not-a-file",
        "folder.wasm` is not a file",
        "put the component itself there",
    ),
    (
        "dangling",
        "unreadable",
        "dangling.wasm` can't be read: ",
        "let this user read it",
    ),
];

/// Of what `describe` does the compiler knows nothing, so that these are started.
const LOOPING: [&str; 2] = ["loop_in_describe", "loop_in_start"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_broken_component_is_told_and_left_out() {
    let world = World::new()
        .guest("echo")
        .tools(&["echo"])
        .script(asks_once("echo__echo", r#"{"text":"here"}"#));
    let echo = built::guest("echo");
    let world = world
        .plugin("empty", b"")
        .plugin("script", b"#!/bin/sh\necho hello\n")
        .plugin("torn", &echo[..echo.len() / 2])
        .plugin("has space", &echo)
        .plugin(LONG_NAME, &echo);
    let guests = BROKEN
        .iter()
        .filter(|(name, ..)| built::is_guest(name))
        .map(|(name, ..)| *name);
    let world = guests.chain(LOOPING).fold(world, World::guest);
    std::fs::create_dir(world.path("plugins/folder.wasm")).unwrap();
    std::os::unix::fs::symlink("nowhere", world.path("plugins/dangling.wasm")).unwrap();
    let large = std::fs::File::create(world.path("plugins/large.wasm")).unwrap();
    // Sparse: it has a size and takes no room.
    large.set_len(65 << 20).unwrap();
    let runtime = world.open().await;
    for (name, code, said, hint) in BROKEN {
        check(&runtime, name, code, said, hint);
    }
    check(
        &runtime,
        "large",
        "too-large",
        "it has 65 MiB, the limit is 64 MiB",
        "strip debug information",
    );
    for name in LOOPING {
        // On a busy machine the time on the clock is over before that on a processor.
        let code = &errors(&runtime, name)[0].code;
        assert!(["cpu-limit", "wall-limit"].contains(&code.as_str()), "{code}");
        check(
            &runtime,
            name,
            code,
            &format!("in `describe`: `{name}` was stopped after "),
            MEND,
        );
    }
    let ran = ask(&runtime, "go").await;
    assert_eq!(ran.said("echo__echo"), "here");
}

/// Each schema that can't be used, alone: the first of a component hides the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_that_can_not_be_used() {
    let text = built::written("table_bomb");
    let schema = r#"{\22type\22:\22object\22}"#;
    assert!(
        text.contains(schema) && text.contains(r#""\11\00\00\00")"#),
        "the guest has changed"
    );
    let with = |replacement: &str| {
        let escaped = replacement.replace('"', "\\22");
        let length: String = (replacement.len() as u32)
            .to_le_bytes()
            .iter()
            .map(|byte| format!("\\{byte:02x}"))
            .collect();
        let text = text
            .replace(schema, &escaped)
            .replace(r#""\11\00\00\00")"#, &format!("\"{length}\")"));
        wat::parse_str(text).unwrap()
    };
    let deep = format!("{}{{}}{}", r#"{"properties":{"a":"#.repeat(40), "}}".repeat(40));
    let cases = [
        (
            "remote",
            r#"{"$ref":"https://example.com/s.json"}"#,
            "another document, `https://example.com/s.json`",
        ),
        ("look", r#"{"pattern":"(?=a)b"}"#, "regex"),
        ("list", r#"{"type":"array"}"#, "is not of type `object`"),
        ("number", "17", "not a JSON object"),
        ("deep", &deep, "more than 32 levels deep"),
    ];
    let mut world = World::new().plugin("good", &with(r#"{"type":"object"}"#));
    for (name, schema, _) in cases {
        world = world.plugin(name, &with(schema));
    }
    let runtime = world.open().await;
    assert!(errors(&runtime, "good").is_empty());
    for (name, _, said) in cases {
        check(&runtime, name, "bad-describe", said, "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manifests_that_can_not_be_used() {
    let cases = [
        (
            "key",
            "lifetme = \"call\"",
            "key.toml:1: unknown field `lifetme`",
            "a manifest has `kind`",
        ),
        (
            "word",
            "lifetime = \"ever\"",
            "unknown variant `ever`, expected `call` or `session`",
            "a manifest has",
        ),
        (
            "kind",
            "kind = \"pattern\"",
            "its manifest says `pattern`, its exports say `tool`",
            "write `kind = \"tool\"`",
        ),
        (
            "request",
            "[requests]\nfiles = \"all\"",
            "request.toml:2: unknown variant `all`",
            "a manifest has",
        ),
        ("toml", "[limits", "toml.toml:1: ", "a manifest has"),
    ];
    let mut world = World::new().guest("echo").tools(&["echo"]);
    for (name, manifest, ..) in cases {
        world = world.guest_as("echo", name).manifest(name, manifest);
    }
    let long = format!("description = \"{}\"", "x".repeat(70_000));
    let runtime = world.guest_as("echo", "long").manifest("long", &long).open().await;
    for (name, _, said, hint) in cases {
        check(&runtime, name, "bad-manifest", said, hint);
    }
    check(
        &runtime,
        "long",
        "bad-manifest",
        "70016 bytes, the limit is 65536",
        "shorten it",
    );
    assert!(errors(&runtime, "echo").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_of_two_files_has_the_name() {
    let world = World::new().guest("echo").file("more/echo.wasm", built::guest("echo"));
    let world = world.file("more/files.wasm", built::guest("loop"));
    let text = world
        .config_text()
        .replace("directories = [\"plugins\"]", "directories = [\"plugins\", \"more\"]");
    let config = sandbar::Config::from_toml(&text, &world.path("")).unwrap();
    let runtime = Runtime::open_with(config, world.options()).await.unwrap();
    let first = world.path("plugins/echo.wasm").display().to_string();
    check(
        &runtime,
        "echo",
        "name-taken",
        &format!("its name is taken by `{first}`"),
        "rename one of the files",
    );
    assert!(
        runtime
            .plugins()
            .get("echo")
            .is_some_and(|plugin| matches!(plugin.status, Status::Ready(_)))
    );
    // A bundled plugin has no right of way: it comes last, as if it were in the last directory.
    let second = world.path("more/files.wasm").display().to_string();
    check(
        &runtime,
        "files",
        "name-taken",
        &format!("its name is taken by `{second}`"),
        "rename one of the files",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_directory_that_is_not_there() {
    let world = World::new();
    std::fs::remove_dir(world.path("plugins")).unwrap();
    let errors = world.config().err();
    let error = match errors {
        Some(errors) => errors[0].clone(),
        None => world.try_open().await.unwrap_err(),
    };
    assert!(error.message.contains("plugins") && error.hint.is_some(), "{error:?}");
}
