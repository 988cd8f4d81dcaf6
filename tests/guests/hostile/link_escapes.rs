//! Makes links that lead out of the workspace, and opens what they lead to, with and without a slash behind.

use std::fs;

use sandbar_sdk::{Context, Error, NoInput, Tool};
use sandbar_test_guests::report;

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("attack", attack)]
}

fn attack(_: NoInput, _: &Context) -> Result<String, Error> {
    let mut attempts = Vec::new();
    for (index, target) in ["/etc", "/etc/passwd", "..", "../secret.txt", "/proc/self/root", "/"]
        .into_iter()
        .enumerate()
    {
        let link = format!("link-{}-{index}", unique());
        let made = symlink(target, &link);
        let ways = [
            link.clone(),
            format!("{link}/"),
            format!("{link}/."),
            format!("{link}//"),
            format!("{link}/passwd"),
            format!("{link}/secret.txt"),
        ];
        for way in ways {
            let opened = fs::read(&way).is_ok() || fs::read_dir(&way).is_ok();
            attempts.push((format!("{way} to {target}"), opened));
            attempts.push((
                format!("write {way} to {target}"),
                fs::write(format!("{way}stolen.txt"), "here").is_ok() && way.ends_with('/'),
            ));
        }
        if made {
            // Another call may have taken it away.
            let _ = fs::remove_file(&link);
        }
    }
    report(&attempts)
}

#[cfg(target_arch = "wasm32")]
fn symlink(target: &str, name: &str) -> bool {
    let directories = wasip2::filesystem::preopens::get_directories();
    directories
        .first()
        .is_some_and(|(root, _)| root.symlink_at(target, name).is_ok())
}

#[cfg(not(target_arch = "wasm32"))]
fn symlink(_target: &str, _name: &str) -> bool {
    false
}

/// Calls beside each other must not take each other's links away.
#[cfg(target_arch = "wasm32")]
fn unique() -> u64 {
    wasip2::random::random::get_random_u64()
}

#[cfg(not(target_arch = "wasm32"))]
fn unique() -> u64 {
    0
}
