//! Plugins that nobody has seen before: whoever loads them first says so, and the audit has it.

use super::{run_in, told, written};
use crate::support::world::World;

/// A runtime that can't be opened has recorded it, and no later one would.
#[tokio::test]
async fn what_is_seen_first_is_audited_also_where_nothing_can_be_opened() {
    let world = World::new().guest("echo").guest_as("echo", "other").tools(&["echo"]);
    let world = written(world);
    let open = |tools: &[&str]| {
        let text = world
            .config_text()
            .replace("plugins = [\"echo\"]", &format!("plugins = {tools:?}"));
        let mut config = sandbar::Config::from_toml(&text, &world.path("")).unwrap();
        config.lock_file = Some(world.path("sandbar.lock"));
        sandbar::Runtime::open_with(config, world.options())
    };
    let error = open(&["echo", "ehco"]).await.unwrap_err();
    assert!(error.message.contains("ehco"), "{error}");
    let lock = world.read("sandbar.lock");
    assert!(
        lock.contains("[plugins.echo]") && lock.contains("[plugins.other]"),
        "{lock}"
    );
    open(&["echo"]).await.unwrap().close().await;
    let audited = run_in(&world, &["audit", "list", "--json", "--action", "plugin"])
        .expect(0)
        .out;
    let expected = [
        "plugin.record echo allowed default",
        "plugin.record other allowed default",
    ];
    assert_eq!(told(&audited), expected);
}

/// Who looks at a memory loads all plugins as well.
#[test]
fn what_is_seen_first_is_told_with_a_memory() {
    let world = World::new().guest("echo").guest("memory_probe");
    let world = world
        .agent("memory = \"memory_probe\"")
        .with("[grants.memory_probe]\nkv = \"shared\"");
    let world = written(world);
    let listed = run_in(&world, &["memory", "list"]).expect(0).err;
    for name in ["echo", "memory_probe"] {
        let note = format!("new: the plugin `{name}` was recorded as it is now");
        assert!(listed.contains(&note), "`{note}` is not in {listed}");
    }
}
