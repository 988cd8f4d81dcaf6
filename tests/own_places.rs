//! Sandbar's own places in a directory that plugins were given: refused at the start where they are all of it, left out where they are a part.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::program::{Ended, run};
use crate::support::script::{asks_once, says};
use crate::support::world::World;

/// A project whose workspace is the directory of the project itself, with the bundled plugin for files.
fn world(script: &str) -> World {
    World::new()
        .own_workspaces()
        .with("[grants.files]\nfiles = \"read-write\"")
        .tools(&["files"])
        .script(script)
        .file("notes.txt", "mine\n")
}

/// Writes the configuration, with a line at its top.
fn configured(world: World, line: &str) -> World {
    let text = format!("{line}\n{}", world.config_text());
    world.file("sandbar.toml", text)
}

fn go(world: &World, arguments: &[&str]) -> Ended {
    run(&world.path(""), arguments)
}

/// What the operator is told of a call of the bundled plugin in the directory of the project.
fn check(world: &World, tool: &str, input: &str, refused: Option<&str>) {
    let script = asks_once(&format!("files__{tool}"), input);
    fs::write(world.path("replies.toml"), script).unwrap();
    let before = world.read("sandbar.toml");
    let lock_before = fs::read(world.path("sandbar.lock")).ok();
    let ran = go(world, &["run", "--yes", "go"]).expect(0);
    match refused {
        Some(refused) => assert!(ran.err.contains(refused), "{tool} {input}: {}", ran.err),
        None => assert!(!ran.err.contains("refused:"), "{tool} {input}: {}", ran.err),
    }
    assert_eq!(world.read("sandbar.toml"), before, "{tool} {input}");
    assert_eq!(fs::read(world.path("sandbar.lock")).ok(), lock_before, "{tool} {input}");
    assert!(world.path("data/sandbar.db").is_file(), "{tool} {input}");
    if refused.is_some() {
        let audited = go(world, &["audit", "list", "--json", "--action", "files"])
            .expect(0)
            .out;
        assert!(audited.contains("\"denied\""), "{tool} {input}: {audited}");
    }
}

#[test]
fn the_directory_of_the_project_is_a_workspace_without_what_is_sandbars() {
    // Who may change the directory in which a link is isn't taken at its word.
    let world = configured(world("").own_cache(), "workspace = \".\"");
    let check = |tool: &str, input: &str, refused: Option<&str>| check(&world, tool, input, refused);
    let change = |what: &str| format!("the plugin `files` may not change {what}");
    let (configuration, plugins) = (change("Sandbar's configuration"), change("a directory of plugins"));
    check("write", r#"{"path":"new.txt","content":"a"}"#, None);
    check("read", r#"{"path":"notes.txt"}"#, None);
    check("read", r#"{"path":"sandbar.toml"}"#, None);
    check("list", r#"{"path":"."}"#, None);
    check("list", r#"{"path":"plugins"}"#, None);
    // What a plugin can't read isn't listed, so that looking through a project refuses nothing.
    check("search", r#"{"pattern":"mine"}"#, None);
    check(
        "write",
        r#"{"path":"sandbar.toml","content":"a"}"#,
        Some(&configuration),
    );
    check(
        "write",
        r#"{"path":"sandbar.lock","content":"a"}"#,
        Some("may not change"),
    );
    check("write", r#"{"path":"plugins/echo.toml","content":"a"}"#, Some(&plugins));
    check(
        "write",
        r#"{"path":"data/cache/x.txt","content":"a"}"#,
        Some("Sandbar's data"),
    );
    check("delete", r#"{"path":"data/sandbar.db"}"#, Some("Sandbar's data"));
    check(
        "read",
        r#"{"path":"data/sandbar.db"}"#,
        Some("may not read Sandbar's data"),
    );
}

/// What can't be given at all is told with its place, by whichever command comes first.
#[test]
fn a_directory_of_sandbars_own_is_no_workspace_and_no_mount() {
    let refused = |world: &World, place: &str, why: &str| {
        for command in [&["config", "check"][..], &["run", "go"], &["plugins", "list"]] {
            let ended = go(world, command);
            assert_ne!(ended.exit, Some(0), "{command:?}");
            for part in [place, why, "hint: name a directory of its own"] {
                assert!(
                    ended.err.contains(part),
                    "{command:?}: `{part}` is not in {}",
                    ended.err
                );
            }
        }
        let doctor = go(world, &["doctor"]);
        assert_ne!(doctor.exit, Some(0), "{}", doctor.out);
    };
    let workspace = |path: &str, why: &str| {
        let world = configured(world(&says("done")), &format!("workspace = {path:?}"));
        fs::create_dir_all(world.path("data/deep")).unwrap();
        symlink("data", world.path("link")).unwrap();
        refused(&world, "sandbar.toml:", &format!("which {why}"));
    };
    workspace("data", "is Sandbar's directory for data");
    workspace("data/deep", "lies in Sandbar's directory for data");
    workspace("link/deep", "lies in Sandbar's directory for data");
    workspace("plugins", "is a directory of plugins");
    workspace("/", "is the root of the file system");
    workspace("/proc", "is `/proc`");
    workspace("/dev/fd/..", "lies in `/proc`");
    let mount = |path: &str, why: &str| {
        let mount = format!("[[grants.files.mounts]]\nname = \"m\"\npath = {path:?}");
        let world = configured(world(&says("done")).with(&mount), "");
        fs::create_dir_all(world.path("data/deep")).unwrap();
        refused(&world, "sandbar.toml:", &format!("which {why}"));
    };
    mount("data/deep", "lies in Sandbar's directory for data");
    mount("plugins", "is a directory of plugins");
    mount("/", "is the root of the file system");
    mount("/sys", "is `/sys`");
}

/// Pipes and devices in the places where files are looked for: nobody waits for them, and nobody reads them whole.
#[test]
fn what_is_no_file_is_not_read() {
    let world = configured(World::new().guest("echo"), "");
    symlink("/dev/zero", world.path("plugins/echo.toml")).unwrap();
    let listed = go(&world, &["plugins", "list"]).expect(0);
    assert!(
        listed.err.contains("it is a device, and a file was wanted"),
        "{}",
        listed.err
    );
    fs::remove_file(world.path("plugins/echo.toml")).unwrap();
    let pipe = |name: &str| {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, world.path(name), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    pipe("plugins/echo.toml");
    let listed = go(&world, &["plugins", "list"]).expect(0);
    assert!(
        listed.err.contains("it is a pipe, and a file was wanted"),
        "{}",
        listed.err
    );
    fs::remove_file(world.path("plugins/echo.toml")).unwrap();
    fs::remove_file(world.path("sandbar.lock")).ok();
    pipe("sandbar.lock");
    let listed = go(&world, &["plugins", "list"]);
    assert!(
        listed.err.contains("it is a pipe, and a file was wanted"),
        "{}",
        listed.err
    );
    fs::remove_file(world.path("sandbar.lock")).unwrap();
    fs::remove_file(world.path("sandbar.toml")).unwrap();
    pipe("sandbar.toml");
    let listed = run(&world.path(""), &["plugins", "list"]);
    assert!(
        listed.err.contains("it is a pipe, and a file was wanted"),
        "{}",
        listed.err
    );
}
