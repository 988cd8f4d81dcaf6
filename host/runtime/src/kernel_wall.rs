//! The kernel's wall around a program that runs agents: what of the machine a configuration needs, and nothing else.

use std::collections::BTreeSet;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sandbar_plugins::wall::{self, Access, Reach};
use sandbar_plugins::{LockFile, linked_files};
use sandbar_protocol::{Error, ErrorKind, FileAccess, Result, SystemClock};

use crate::config::Config;
use crate::config::models::ModelConfig;
use crate::config::sources::certificate_places;
use crate::own_places::{FOLDERS, WORKSPACES, secret_files};

/// Where the system's C library looks for what names stand for.
const NAMES: &[&str] = &[
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/hostname",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/mdns.allow",
    // The first is a link into one of these, whose files are replaced when the network changes.
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
];

/// Where the certificates of authorities are, in the distributions that there are, and what the links in those directories lead to.
const CERTIFICATES: &[&str] = &[
    "/etc/ssl/certs",
    // Both are links to another place where the whole system is made of links.
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust",
    "/etc/ca-certificates",
    "/etc/security/certificates",
    "/opt/etc/ssl/certs",
    "/usr/share/ca-certificates",
    "/usr/share/pki",
    "/usr/local/share/ca-certificates",
    "/var/lib/ca-certificates",
];

const TIME_ZONES: &[&str] = &["/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo"];

/// What the standard library, the C library, the allocator and Wasmtime ask the kernel by way of files: about this process, the number of
/// cores, and memory.
const KERNEL: &[&str] = &[
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/dev/random",
    "/dev/urandom",
    // Which libraries there are: those that find out what a name stands for are loaded when one is asked for.
    "/etc/ld.so.cache",
];

const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/tty"];

/// Puts this process behind the kernel's wall, unless the configuration says that there should be none. There is no way back, and no way
/// to reach another configuration's files afterwards.
///
/// For the `main` of a program, before it starts its first thread. A library that does it to the program that it is part of breaks it:
/// neither [`crate::Runtime`] nor anything else here calls it.
pub fn enclose(config: &Config) -> Result<()> {
    if !config.kernel_sandbox || !cfg!(target_os = "linux") {
        return Ok(());
    }
    sandbar_store::prepare_directory(&config.data_dir)?;
    for folder in FOLDERS {
        // What can't be made is told by who needs it.
        let _ = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(config.data_dir.join(folder));
    }
    if let Some(lock) = &config.lock_file {
        make_lock(lock, config);
    }
    wall::enclose(reach(config)).map_err(not_enclosed)?;
    Ok(())
}

/// New plugins are recorded behind the wall, from which only a file that is there can be written. Where there is none, or it can't be
/// made, whoever records says so.
fn make_lock(lock: &Path, config: &Config) {
    let files = config
        .plugin_directories
        .iter()
        .filter_map(|directory| directory.read_dir().ok());
    let mut files = files.flatten().flatten();
    if files.any(|file| file.path().extension().is_some_and(|extension| extension == "wasm")) {
        let lock = LockFile {
            path: lock.to_owned(),
            clock: Arc::new(SystemClock),
        };
        let _ = lock.begin();
    }
}

/// Refuses a workspace of the journal that is outside of the wall of this process, if it has one. Of the kernel the user would only
/// learn that something was denied.
pub(crate) fn check_workspace(path: &Path, config: &Config) -> Result<()> {
    match wall::enclosure() {
        // Of what isn't there, that is told.
        Some(wall) if path.exists() && !wall.allows(path, in_workspaces(config)) => Err(outside(path)),
        _ => Ok(()),
    }
}

fn outside(path: &Path) -> Error {
    let shown = path.display();
    let message =
        format!("the workspace of the session is `{shown}`, which the kernel's sandbox of this process leaves out");
    // A text in JSON is one in TOML, too.
    let value = serde_json::Value::from(shown.to_string());
    Error::new(ErrorKind::Denied, "workspace-outside", message).with_hint(format!(
        "the configuration allows it with `workspace = {value}`; for this command, add `--set workspace={shown}`"
    ))
}

fn not_enclosed(error: std::io::Error) -> Error {
    let message = format!("the kernel's sandbox can't be put around this process: {error}");
    Error::new(ErrorKind::Internal, "not-enclosed", message)
        .with_hint(
            "a limit on processes may be too low, see `ulimit -u`; `--set limits.kernel_sandbox=false` goes without",
        )
        .with_source(error)
}

/// What a configuration needs of the machine.
fn reach(config: &Config) -> Vec<Reach> {
    // No other links in it are followed, and behind the wall no such link can be made.
    let folders = FOLDERS.map(|folder| config.data_dir.join(folder));
    let folders = folders
        .into_iter()
        .filter(|folder| !is_in_plugins_hands(folder, config));
    let data = std::iter::once(config.data_dir.clone()).chain(folders);
    let (scripts, secrets) = scripts_and_secrets(config);
    let mut plugins = config.plugin_directories.clone();
    plugins.extend(linked_files(&plugins));
    let mut reach = vec![
        some("data", Access::Keep, data),
        some("plugins", Access::Read, plugins),
        // A link would open another file, whoever made it.
        some(
            "lock",
            Access::Keep,
            config.lock_file.clone().filter(|lock| !lock.is_symlink()),
        ),
        some("scripts", Access::Read, scripts),
        some("secrets", Access::Read, secrets),
        some("names", Access::Read, NAMES.iter().map(PathBuf::from)),
        some("certificates", Access::Read, certificates()),
        some("time zones", Access::Read, TIME_ZONES.iter().map(PathBuf::from)),
        some(
            "system",
            Access::Read,
            KERNEL.iter().map(PathBuf::from).chain(program()),
        ),
        some("devices", Access::Device, DEVICES.iter().map(PathBuf::from)),
    ];
    reach.extend(workspaces(config));
    reach.retain(|reach| !reach.paths.is_empty());
    reach
}

fn some(what: &'static str, access: Access, paths: impl IntoIterator<Item = PathBuf>) -> Reach {
    let paths = paths.into_iter().collect();
    Reach { what, access, paths }
}

/// Directories that plugins may see, as far as the one that may do most.
fn workspaces(config: &Config) -> Vec<Reach> {
    let own = Some(config.data_dir.join(WORKSPACES)).filter(|own| !is_in_plugins_hands(own, config));
    let workspaces = config.workspace.iter().cloned().chain(own);
    vec![
        some("workspaces", in_workspaces(config), workspaces),
        some("mounts", Access::Read, mounts(config, FileAccess::ReadOnly)),
        some("mounts", Access::Change, mounts(config, FileAccess::ReadWrite)),
    ]
}

fn mounts(config: &Config, access: FileAccess) -> Vec<PathBuf> {
    let mounts = config.grants.values().flat_map(|grant| &grant.mounts);
    let mounts = mounts.filter(|mount| mount.access == access);
    mounts.map(|mount| mount.path.clone()).collect()
}

/// Whether a folder of the data directory is a link that a plugin can have made: the directory lies in what plugins may change.
fn is_in_plugins_hands(folder: &Path, config: &Config) -> bool {
    let link = folder
        .is_symlink()
        .then(|| folder.parent()?.canonicalize().ok())
        .flatten();
    let workspace = config
        .workspace
        .clone()
        .filter(|_| in_workspaces(config) == Access::Change);
    let mut changed = mounts(config, FileAccess::ReadWrite).into_iter().chain(workspace);
    link.is_some_and(|link| changed.any(|root| root.canonicalize().is_ok_and(|root| link.starts_with(root))))
}

/// What can be done in workspaces: what the plugin may do that may do most.
fn in_workspaces(config: &Config) -> Access {
    let granted = config.grants.values().map(|grant| grant.powers.powers.files);
    match granted.max() {
        Some(FileAccess::ReadWrite) => Access::Change,
        Some(FileAccess::ReadOnly | FileAccess::None) | None => Access::Read,
    }
}

fn scripts_and_secrets(config: &Config) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let scripts = config.models.values().filter_map(|model| match model {
        ModelConfig::Scripted { script } => Some(script.clone()),
        ModelConfig::OpenAi(_) => None,
    });
    (scripts.collect(), secret_files(config).collect())
}

/// The usual places, and those that the environment names, with what links there lead to. There are hundreds of links in a directory of
/// certificates, so that those are not looked at that lead to the usual places.
fn certificates() -> Vec<PathBuf> {
    let usual = |path: &Path| CERTIFICATES.iter().any(|place| path.starts_with(place));
    let mut places: Vec<PathBuf> = CERTIFICATES.iter().map(PathBuf::from).collect();
    for named in certificate_places() {
        if !usual(&named) {
            let entries = named.read_dir().into_iter().flatten().flatten();
            let links = entries.filter_map(|entry| Some((entry.path(), std::fs::read_link(entry.path()).ok()?)));
            let elsewhere = links.filter(|(_, target)| target.components().count() > 1 && !usual(target));
            places.extend(elsewhere.map(|(link, _)| link));
        }
        places.push(named);
    }
    places
}

/// This program's file, which says where in it a crash was, and the directories of the libraries that it was started with.
fn program() -> BTreeSet<PathBuf> {
    let mapped = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let files = mapped
        .lines()
        .filter_map(|line| line.find('/').map(|start| Path::new(&line[start..])));
    let is_library = |path: &&Path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().contains(".so"))
    };
    let libraries = files
        .filter(is_library)
        .filter_map(|path| path.parent().map(Path::to_owned));
    libraries.chain(std::env::current_exe()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        data_dir = "data"
        workspace = "work"
        [plugins]
        directories = ["plugins"]
        [models.script]
        provider = "scripted"
        script = "replies.toml"
        [models.other]
        provider = "openai"
        model = "m"
        api_key = "file:key"
        [secrets.token]
        value = "file:token"
        hosts = ["https://api.example.com"]
        header = "authorization"
        [agents.main]
        model = "script"
    "#;

    /// What a group has of a configuration, without what is the machine's.
    fn check(more: &str, expected: &[(&str, Access, &[&str])]) {
        let directory = tempfile::tempdir().unwrap();
        for name in ["work", "notes", "plugins", "data"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        std::fs::write(directory.path().join("replies.toml"), "").unwrap();
        let config = Config::from_toml(&format!("{CONFIG}{more}"), directory.path()).unwrap();
        let own = |path: &PathBuf| {
            path.strip_prefix(directory.path())
                .ok()
                .map(|path| path.display().to_string())
        };
        let found = reach(&config).into_iter().filter_map(|reach| {
            let paths: Vec<String> = reach.paths.iter().filter_map(own).collect();
            (!paths.is_empty()).then_some((reach.what, reach.access, paths))
        });
        let expected = expected.iter().map(|(what, access, paths)| {
            let paths = paths.iter().map(|path| (*path).to_owned()).collect();
            (*what, *access, paths)
        });
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{more}");
    }

    #[test]
    fn a_configuration_says_what_is_reached() {
        let data: &[&str] = &["data", "data/cache", "data/cache/components", "data/workspaces"];
        let always: [(&str, Access, &[&str]); 4] = [
            ("data", Access::Keep, data),
            ("plugins", Access::Read, &["plugins"]),
            ("scripts", Access::Read, &["replies.toml"]),
            ("secrets", Access::Read, &["token", "key"]),
        ];
        let with = |more: &[(&'static str, Access, &'static [&'static str])]| [&always, more].concat();
        let both: &[&str] = &["work", "data/workspaces"];
        check("", &with(&[("workspaces", Access::Read, both)]));
        check(
            "[grants.a]\nfiles = 'read-only'\n[grants.b]\nfiles = 'read-write'\n",
            &with(&[("workspaces", Access::Change, both)]),
        );
        let mount = |access: &str| format!("[[grants.a.mounts]]\nname = 'n'\npath = 'notes'\naccess = '{access}'\n");
        let mounts = |access| with(&[("workspaces", Access::Read, both), ("mounts", access, &["notes"])]);
        check(&mount("read-only"), &mounts(Access::Read));
        check(&mount("read-write"), &mounts(Access::Change));
        check(&mount("none"), &with(&[("workspaces", Access::Read, both)]));
    }

    /// A link in the data directory is followed, unless a plugin can have made it.
    #[test]
    fn links_that_plugins_can_make_lead_nowhere() {
        let check = |more: &str, workspace: &str, expected: bool| {
            let directory = tempfile::tempdir().unwrap();
            let path = |name: &str| directory.path().join(name);
            for name in ["work/data", "elsewhere"] {
                std::fs::create_dir_all(path(name)).unwrap();
            }
            std::os::unix::fs::symlink(path("elsewhere"), path("work/data/cache")).unwrap();
            std::fs::write(path("replies.toml"), "").unwrap();
            let text = format!(
                "data_dir = 'work/data'\n{workspace}\n[models.m]\nprovider = 'scripted'\nscript = 'replies.toml'\n\
                 [agents.main]\nmodel = 'm'\n{more}"
            );
            let config = Config::from_toml(&text, directory.path()).unwrap();
            let reach = reach(&config);
            let data = reach.iter().find(|reach| reach.what == "data").unwrap();
            assert_eq!(
                data.paths.contains(&path("work/data/cache")),
                expected,
                "{more}{workspace}"
            );
        };
        let (workspace, may_write) = ("workspace = 'work'", "[grants.a]\nfiles = 'read-write'\n");
        check("", "", true);
        check("", workspace, true);
        check(may_write, "", true);
        check(may_write, workspace, false);
        let mount = "[[grants.a.mounts]]\nname = 'n'\npath = 'work'\naccess = 'read-write'\n";
        check(mount, "", false);
    }

    #[test]
    fn the_libraries_of_this_program_are_among_the_places() {
        let places = program();
        assert!(places.contains(&std::env::current_exe().unwrap()), "{places:?}");
        assert!(
            !cfg!(all(target_os = "linux", target_env = "gnu")) || places.len() > 1,
            "{places:?}"
        );
    }
}
