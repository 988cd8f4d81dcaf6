//! `mounts` of a grant: quotas, and where they would not hold.

use super::problems::check;
use super::*;

fn quotas(text: &str) -> Vec<Option<u64>> {
    let directory = project();
    let config = Config::from_toml(&format!("{text}\n{LEAST}"), directory.path()).expect(text);
    let mounts = config.grants["w"].mounts.iter();
    mounts.map(|mount| mount.quota_bytes).collect()
}

#[test]
fn a_quota_is_in_mebibytes() {
    let out = "grants.w.mounts = [{ name = 'out', path = 'out', access = 'read-write'";
    assert_eq!(quotas(&format!("{out} }}]")), [None]);
    assert_eq!(quotas(&format!("{out}, quota_mib = 1 }}]")), [Some(1 << 20)]);
    assert_eq!(
        quotas(&format!("{out}, quota_mib = 4294967295 }}]")),
        [Some(0xffff_ffff << 20)]
    );
}

#[test]
fn a_quota_that_lets_nothing_in_is_wrong() {
    check(
        "grants.w.mounts = [{ name = 'out', path = 'out', access = 'read-write', quota_mib = 0 }]",
        "sandbar.toml:1:85: `grants.w.mounts[0].quota_mib` is 0, but at least 1 is wanted\n\
         hint: for a mount into which nothing may be put, write `access = \"read-only\"` and remove `quota_mib`",
    );
    check(
        "grants.w.mounts = [{ name = 'out', path = 'out', access = 'read-write', quota_mib = -1 }]",
        "sandbar.toml:1:85: `grants.w.mounts[0].quota_mib` is -1, but at least 0 is wanted",
    );
    check(
        "grants.w.mounts = [{ name = 'out', path = 'out', quota_mib = 1 }]",
        "sandbar.toml:1:62: `grants.w.mounts[0].quota_mib` is for a mount that can be written, and this one can't\n\
         hint: add `access = \"read-write\"`, or remove `quota_mib`",
    );
}

/// By a directory that has the mount's in it, or lies in it, or is the same, the plugin would write past the quota.
#[test]
fn a_quota_with_a_way_around_it_is_wrong() {
    let with = |files: &str, path: &str, more: &str| {
        format!(
            "[grants.w]\nfiles = '{files}'\nmounts = [\n  \
             {{ name = 'out', path = '{path}', access = 'read-write', quota_mib = 1 }},\n{more}]\n"
        )
    };
    let wrong = |text: &str, why: &str| {
        check(
            text,
            &format!(
                "sandbar.toml:4:69: `grants.w.mounts[0].quota_mib` would not hold: its directory {why}, which `w` can write too\n\
                 hint: mount a directory that lies apart, or remove `quota_mib`"
            ),
        );
    };
    let mount = |path: &str, access: &str| format!("  {{ name = 'm', path = '{path}', access = '{access}' }},\n");
    wrong(
        &with("read-write", "docs", &mount("docs", "read-write")),
        "is that of the mount `m`",
    );
    wrong(
        &with("read-write", "docs", &mount(".//", "read-write")),
        "lies in the mount `m`",
    );
    // Nothing is written there.
    assert_eq!(
        quotas(&with("read-write", "out", &mount("out", "read-only"))),
        [Some(1 << 20), None]
    );
    assert_eq!(
        quotas(&with("read-only", "out", &mount("out", "read-write"))),
        [Some(1 << 20), None]
    );
    // A name that begins alike is another directory's.
    assert_eq!(
        quotas(&with("read-write", "out", &mount("docs", "read-write"))),
        [Some(1 << 20), None]
    );
    let workspace = |path: &str| format!("workspace = '{path}'\n{}", with("read-write", "docs", ""));
    check(
        &workspace("docs"),
        "sandbar.toml:5:69: `grants.w.mounts[0].quota_mib` would not hold: its directory is that of the workspace, which `w` can write too\n\
         hint: mount a directory that lies apart, or remove `quota_mib`",
    );
    assert_eq!(quotas(&workspace("work")), [Some(1 << 20)]);
}

/// Where the workspaces will be is known before the first start has made them.
#[test]
fn a_way_around_a_quota_is_found_by_a_link_too() {
    let found = |data: &str| {
        let directory = project();
        let base = directory.path();
        std::os::unix::fs::symlink("out", base.join("link")).unwrap();
        let text = format!(
            "data_dir = '{data}'\n[grants.w]\nfiles = 'read-write'\n\
             mounts = [{{ name = 'm', path = 'out', access = 'read-write', quota_mib = 1 }}]\n{LEAST}"
        );
        match Config::from_toml(&text, base) {
            Ok(_) => "loads".to_owned(),
            Err(errors) => shown(&errors, base),
        }
    };
    assert_eq!(
        found("link/data"),
        "sandbar.toml:4:74: `grants.w.mounts[0].quota_mib` would not hold: its directory has in it the workspace, which `w` can write too\n\
         hint: mount a directory that lies apart, or remove `quota_mib`"
    );
    assert_eq!(found("docs/data"), "loads");
}
