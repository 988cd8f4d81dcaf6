//! How much guests may put into a directory: the workspace's room, and the quotas of mounts.

use std::fs;
use std::path::Path;

use sandbar::protocol::EventBody;

use crate::support::ran::{Ran, told};
use crate::support::world::{World, ask};

const MIB: u64 = 1 << 20;

/// The guest `overfill`, driven by the message, with a mount `out` in the directory `mounted`.
fn world(limits: &str, mount: &str) -> World {
    let world = World::new()
        .guest("pattern_probe")
        .guest("overfill")
        .pattern("pattern_probe");
    world
        .tools(&["overfill"])
        .limits(&format!("cpu_ms = 60000\nwall_ms = 60000\n{limits}"))
        .with(&grant("overfill", mount))
        .file("mounted/mine.txt", "mine")
}

fn grant(plugin: &str, mount: &str) -> String {
    format!(
        "[grants.{plugin}]\nfiles = \"read-write\"\n\
         mounts = [ {{ name = \"out\", path = \"mounted\", access = \"read-write\"{mount} }} ]"
    )
}

/// A tool of a plugin, and where and how often it does it.
fn line(plugin: &str, tool: &str, dir: &str, times: u64) -> String {
    format!("tools {plugin}__{tool} {{\"dir\":{dir:?},\"times\":{times}}}\n")
}

fn said(ran: &Ran) -> Vec<String> {
    ran.calls().into_iter().map(|(_, outcome)| told(outcome)).collect()
}

/// What each call says begins so.
async fn check(world: &World, calls: &[(&str, &str, u64, &str)]) -> Ran {
    let asked: String = calls
        .iter()
        .map(|(tool, dir, times, _)| line("overfill", tool, dir, *times))
        .collect();
    let ran = world.ask(&asked).await;
    let said = said(&ran);
    assert_eq!(said.len(), calls.len(), "{said:?}");
    for ((tool, dir, times, expected), said) in calls.iter().zip(said) {
        assert!(
            said.contains(expected),
            "{tool} {dir} {times}: `{said}` has no `{expected}`"
        );
    }
    ran
}

/// Bytes under a directory, each file and directory counting 4 KiB besides.
fn bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        4_096
            + match metadata.is_dir() {
                true => bytes(&entry.path()),
                false => metadata.len(),
            }
    });
    entries.sum()
}

/// Each way by which a guest could have more than there is room for ends at the room, in the workspace of a user, in one of the session's own and
/// in a mount.
async fn ends_at_the_room(tool: &str) {
    let attack = [(tool, "/", 8, "refused")];
    let own = world("workspace_mib = 4", "").own_workspaces();
    check(&own, &attack).await;
    assert!(bytes(&own.path("data/workspaces")) <= 4 * MIB + 4_096);
    let users = world("workspace_mib = 4", "");
    check(&users, &attack).await;
    assert!(bytes(&users.path("work")) <= 4 * MIB);
    let mount = world("workspace_mib = 40", ", quota_mib = 4");
    check(&mount, &[(tool, "/out", 8, "refused")]).await;
    assert!(bytes(&mount.path("mounted")) <= 4 * MIB);
}

macro_rules! attacks {
    ($($test:ident: $tool:literal,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                ends_at_the_room($tool).await;
            }
        )*
    };
}

attacks! {
    writing_ends_at_the_room: "write",
    appending_ends_at_the_room: "append",
    a_byte_far_behind_the_end_counts_as_what_is_before_it: "sparse",
    a_file_that_is_renamed_to_itself_still_counts: "rename",
    a_second_name_that_is_renamed_to_the_first_still_counts: "links",
    a_file_made_by_a_dangling_link_counts: "dangling",
    a_removed_file_counts_while_it_is_open: "unlink",
    a_file_that_is_cut_behind_a_stream_counts: "cut",
    files_that_were_opened_early_count: "early",
}

/// A mount is as a file system of its own: what would take room there is copied, and counted, or stays where it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_moved_into_a_mount() {
    for quota in ["", ", quota_mib = 4"] {
        let world = world("", quota);
        check(&world, &[("across", "/out", 8, "refused: 3 attempts")]).await;
        assert_eq!(bytes(&world.path("mounted")), 4_096 + 4);
    }
}

/// What the user has there counts; where that is too much already, it can be read, cut and removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mount_that_is_over_its_quota_only_shrinks() {
    let world = world("", ", quota_mib = 4").file("mounted/0.bin", vec![b'y'; 6 * MIB as usize]);
    let calls = [
        ("append", "/out", 1, "refused: after 0 MiB"),
        ("dangling", "/out", 1, "refused: after 0 MiB"),
        ("read", "/out", 1, "6291456 bytes"),
        ("write", "/", 8, "8 MiB"),
        ("write", "/out", 1, "1 MiB"),
        ("append", "/out", 8, "refused: after 2 MiB"),
    ];
    let ran = check(&world, &calls).await;
    assert_eq!(denials(&ran), [TOO_MUCH; 3]);
    assert!(bytes(&world.path("mounted")) <= 4 * MIB);
    // The user makes room while the host runs.
    let runtime = world.open().await;
    let append = line("overfill", "append", "/out", 1);
    assert_eq!(denials(&ask(&runtime, &append).await), [TOO_MUCH]);
    fs::remove_file(world.path("mounted/0.bin")).unwrap();
    assert_eq!(said(&ask(&runtime, &append).await), ["1 MiB"]);
    runtime.close().await;
}

/// For the person; the plugin sees a full disk.
const TOO_MUCH: &str = "the plugin `overfill` may not put more into the mount `out`: `quota_mib` is 4, for all that is in it\n\
    # in sandbar.toml, `[grants.overfill]`, the mount `out`; or remove files there\nquota_mib = 8";

fn denials(ran: &Ran) -> Vec<String> {
    let denials = ran.events().filter_map(|event| match &event.body {
        EventBody::ToolFinished { denials, .. } => Some(denials),
        _ => None,
    });
    let told = denials
        .flatten()
        .map(|denial| format!("{}\n{}", denial.reason, denial.mend.as_deref().unwrap_or("-")));
    told.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_give_more_room_is_told_where() {
    let ran = check(
        &world("workspace_mib = 4", ""),
        &[("write", "/", 8, "refused: after 3 MiB")],
    )
    .await;
    assert_eq!(
        denials(&ran),
        [
            "the plugin `overfill` may not put more into the workspace: `limits.workspace_mib` is 4\n\
          # in sandbar.toml\n[limits]\nworkspace_mib = 8"
        ]
    );
    let ran = check(
        &world("workspace_mib = 4", ""),
        &[("sparse", "/out", 8, "refused: after 0 MiB")],
    )
    .await;
    assert_eq!(
        denials(&ran),
        [
            "the plugin `overfill` may not put more into the mount `out`: `limits.workspace_mib` is 4\n\
          # in sandbar.toml\n[limits]\nworkspace_mib = 8"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_write_at_once_share_a_quota() {
    let world = world("", ", quota_mib = 4")
        .file("mounted/a/x", "x")
        .file("mounted/b/x", "x");
    let runtime = world.open().await;
    let (a, b) = (
        line("overfill", "write", "/out/a", 4),
        line("overfill", "write", "/out/b", 4),
    );
    let (a, b) = tokio::join!(ask(&runtime, &a), ask(&runtime, &b));
    let refused = [a, b]
        .iter()
        .flat_map(said)
        .filter(|said| said.starts_with("refused"))
        .count();
    assert!(refused >= 1);
    assert!(bytes(&world.path("mounted")) <= 4 * MIB);
    runtime.close().await;
}

/// Each is refused what would be too much by its own quota, whoever put there what there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_two_mount_has_a_quota_for_each() {
    let world = world("", ", quota_mib = 4")
        .guest_as("overfill", "other")
        .with(&grant("other", ", quota_mib = 8"))
        .agent_anew("pattern = \"pattern_probe\"\nplugins = [\"overfill\", \"other\"]");
    let calls = [
        line("overfill", "write", "/out", 3),
        line("other", "append", "/out", 2),
        line("other", "write", "/out", 7),
        line("overfill", "append", "/out", 1),
        line("other", "append", "/out", 1),
        line("other", "remove", "/out", 6),
        line("overfill", "append", "/out", 1),
    ];
    let ran = world.ask(&calls.concat()).await;
    let said = said(&ran);
    let expected = [
        "3 MiB",
        "2 MiB",
        "7 MiB",
        "refused: after 0 MiB",
        "refused: after 0 MiB",
        "6 removed",
        "1 MiB",
    ];
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.contains(expected), "`{said}` has no `{expected}`");
    }
}
