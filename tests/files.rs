//! What a plugin sees of the file system: what was granted, and nothing else.

use crate::support::world::World;

/// The guest `read_outside`, `write_read_only` and the bundled `files`, driven by the message.
fn world(grants: &str) -> World {
    let world = World::new()
        .guest("pattern_probe")
        .guest("read_outside")
        .guest("write_read_only")
        .pattern("pattern_probe");
    world
        .tools(&["read_outside", "write_read_only", "files"])
        .with(grants)
        .file("work/a.txt", "inside")
        .file("work/docs/b.txt", "deep")
        .file("secret.txt", "secret")
        .file("mounted/c.txt", "mounted")
}

const GRANTED: &str = "[grants.read_outside]\nfiles = \"read-write\"\n[grants.write_read_only]\nfiles = \"read-write\"\n\
                       [grants.files]\nfiles = \"read-write\"";

async fn check(world: &World, tool: &str, input: &str, expected: &str) {
    let said = world.ask(&format!("tools {tool} {input}")).await.said(tool);
    assert!(
        said.contains(expected),
        "{tool} {input}: `{said}` does not contain `{expected}`"
    );
    assert!(!said.contains("secret.txt\nsecret") && said != "secret", "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_without_a_grant_has_no_files() {
    let world = world("");
    check(
        &world,
        "read_outside__read",
        r#"{"path":"a.txt"}"#,
        "refused: `a.txt` was not read",
    )
    .await;
    check(
        &world,
        "read_outside__read",
        r#"{"path":"/etc/hostname"}"#,
        "refused: `/etc/hostname` was not read",
    )
    .await;
    check(
        &world,
        "files__read",
        r#"{"path":"a.txt"}"#,
        "no-workspace: this plugin was granted no files",
    )
    .await;
    check(&world, "write_read_only__write", "{}", "refused: ").await;
}

/// Everything that leads out is refused, whether a file of that name is there or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leads_out_of_the_workspace() {
    let world = world(GRANTED);
    std::os::unix::fs::symlink(world.path("secret.txt"), world.path("work/link")).unwrap();
    std::os::unix::fs::symlink("..", world.path("work/up")).unwrap();
    std::os::unix::fs::symlink("/", world.path("work/docs/root")).unwrap();
    let host_path = world.path("secret.txt").display().to_string();
    for path in [
        "../secret.txt",
        "docs/../../secret.txt",
        "link",
        "up/secret.txt",
        "docs/root/etc/hostname",
        &host_path,
    ] {
        let input = serde_json::json!({ "path": path }).to_string();
        check(&world, "read_outside__read", &input, "refused: ").await;
        let said = world
            .ask(&format!("tools files__read {input}"))
            .await
            .said("files__read");
        assert!(
            ["outside-workspace: ", "not-found: "]
                .iter()
                .any(|code| said.starts_with(code)),
            "{path}: {said}"
        );
    }
    // A link of the guest's own making.
    for target in ["/etc/hostname", "../secret.txt", &host_path] {
        let input = serde_json::json!({ "path": "made", "link_to": target }).to_string();
        check(&world, "read_outside__read", &input, "refused: ").await;
        let _ = std::fs::remove_file(world.path("work/made"));
    }
    check(&world, "read_outside__read", r#"{"path":"docs/../a.txt"}"#, "inside").await;
    assert_eq!(world.read("secret.txt"), "secret");
}

/// A tool that says that it only reads is held to it, also where the plugin may write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_can_not_write() {
    for grant in ["read-write", "read-only"] {
        let world = world(&format!("[grants.write_read_only]\nfiles = \"{grant}\""));
        check(&world, "write_read_only__write", "{}", "refused: write: ").await;
        assert_eq!(world.read("work/a.txt"), "inside");
        assert!(!world.path("work/written.txt").exists() && !world.path("work/made").exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_grant_reads_and_does_not_write() {
    let world = world("[grants.files]\nfiles = \"read-only\"");
    check(&world, "files__read", r#"{"path":"docs/b.txt"}"#, "deep").await;
    let calls = [
        ("files__write", r#"{"path":"new.txt","content":"x"}"#),
        ("files__edit", r#"{"path":"a.txt","old":"inside","new":"x"}"#),
        ("files__delete", r#"{"path":"a.txt"}"#),
    ];
    for (tool, input) in calls {
        check(&world, tool, input, "read-only").await;
    }
    assert_eq!(world.read("work/a.txt"), "inside");
    assert!(!world.path("work/new.txt").exists());
}

/// What the manifest asks for bounds what the operator grants.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_gets_no_more_than_it_asked_for() {
    let asks_nothing = world(GRANTED).manifest("read_outside", "[requests]\nfiles = \"none\"");
    check(&asks_nothing, "read_outside__read", r#"{"path":"a.txt"}"#, "refused: ").await;
    let asks = world(GRANTED).manifest("read_outside", "[requests]\nfiles = \"read-only\"");
    check(&asks, "read_outside__read", r#"{"path":"a.txt"}"#, "inside").await;
    check(
        &asks,
        "read_outside__read",
        r#"{"path":"made","link_to":"a.txt"}"#,
        "refused: the link to `a.txt` was not made",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mounts_lie_beside_the_workspace() {
    let mounts = "[grants.files]\nfiles = \"read-write\"\nmounts = [{ name = \"extra\", path = \"mounted\" }]";
    let world = world(mounts);
    check(&world, "files__read", r#"{"path":"extra/c.txt"}"#, "mounted").await;
    check(&world, "files__list", "{}", "extra/").await;
    check(
        &world,
        "files__write",
        r#"{"path":"extra/d.txt","content":"x"}"#,
        "read-only",
    )
    .await;
    check(
        &world,
        "files__write",
        r#"{"path":"e.txt","content":"x"}"#,
        "created `e.txt`",
    )
    .await;
    check(
        &world,
        "files__read",
        r#"{"path":"extra/../../secret.txt"}"#,
        "outside-workspace",
    )
    .await;
    let writable = mounts.replace("path = \"mounted\"", "path = \"mounted\", access = \"read-write\"");
    let world = self::world(&writable);
    check(
        &world,
        "files__write",
        r#"{"path":"extra/d.txt","content":"x"}"#,
        "created `extra/d.txt`",
    )
    .await;
    assert_eq!(world.read("mounted/d.txt"), "x");
}

/// Without a configured directory every session has one of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_have_workspaces_of_their_own() {
    let world = world(GRANTED).own_workspaces();
    check(
        &world,
        "files__write",
        r#"{"path":"mine.txt","content":"x"}"#,
        "created `mine.txt`",
    )
    .await;
    check(&world, "files__read", r#"{"path":"mine.txt"}"#, "not-found").await;
    check(&world, "files__read", r#"{"path":"a.txt"}"#, "not-found").await;
}
