//! The kernel's wall around a process that runs plugins: what it holds back of code that has walked out of WebAssembly, and what has to
//! work behind it all the same.

// The program that users have: which commands are behind it, its spawner, and what it says.
mod program;

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Child, Command, Stdio};

use landlock::{ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, Scope};
use serde_json::json;

use crate::support::built;
use crate::support::program::Ended;
use crate::support::script::{asks, says};
use crate::support::world::World;

const WENT_WELL: &str = "went well";
/// "Permission denied", as Landlock says it of files.
const DENIED: &str = "error 13";
/// "Operation not permitted", as Landlock says it of processes and sockets.
const NOT_PERMITTED: &str = "error 1";

/// The version of Landlock that this kernel has, asked for in another way than the wall does.
fn landlock() -> u32 {
    let required = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let files = |version| required().handle_access(AccessFs::from_all(version)).is_ok();
    match () {
        () if required().scope(Scope::from_all(ABI::V6)).is_ok() => 6,
        () if files(ABI::V5) => 5,
        () if files(ABI::V3) => 3,
        () if files(ABI::V1) => 1,
        () => 0,
    }
}

#[expect(
    clippy::print_stdout,
    reason = "whoever reads the tests' output should know what was skipped"
)]
fn skipped(what: &str) {
    println!("skipped: {what}");
}

/// What code outside of WebAssembly tries, and what becomes of it behind the wall and without it.
struct Attempt {
    name: &'static str,
    target: String,
    behind: &'static str,
    /// The version of Landlock that has this.
    since: u32,
}

/// What became of each attempt: `name: end`.
fn walk_out(world: &World, attempts: &[Attempt], wall: bool) -> Vec<String> {
    let calls = attempts.iter().map(|attempt| {
        let arguments = json!({ "attempt": attempt.name, "target": attempt.target });
        asks(&[("escape__try", &arguments.to_string())])
    });
    let script = calls.collect::<String>() + &says("done");
    std::fs::write(world.path("replies.toml"), script).unwrap();
    let config = world
        .config_text()
        .replace("[limits]\n", &format!("[limits]\nkernel_sandbox = {wall}\n"));
    std::fs::write(world.path("sandbar.toml"), config).unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_walled"))
        .arg(world.path("sandbar.toml"))
        .env_clear()
        .env("SSL_CERT_DIR", world.path("certificates"))
        .output()
        .unwrap();
    let lines = Ended::from(ended)
        .expect(0)
        .out
        .lines()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    assert_eq!(lines.len(), attempts.len(), "{lines:#?}");
    lines
}

/// Each goes well without the wall, so that it is the wall that refuses it; and nothing is refused that should work.
fn check(world: &World, attempts: &[Attempt], prepare: impl Fn()) {
    let landlock = landlock();
    prepare();
    let without = walk_out(world, attempts, false);
    prepare();
    let behind = walk_out(world, attempts, true);
    for ((attempt, without), behind) in attempts.iter().zip(without).zip(behind) {
        let Attempt { name, target, .. } = attempt;
        if *name == "trace" && without != "trace: went well" {
            skipped("this system lets nobody trace a process that isn't a child");
            continue;
        }
        assert_eq!(without, format!("{name}: {WENT_WELL}"), "{target} without the wall");
        match landlock >= attempt.since {
            true => assert_eq!(
                behind,
                format!("{name}: {}", attempt.behind),
                "{target} behind the wall"
            ),
            false => skipped(&format!("{name}, which takes Landlock {}", attempt.since)),
        }
    }
}

/// A process to be attacked, until this is dropped.
struct Victim(Child);

impl Victim {
    fn start() -> Self {
        Self(
            Command::new("cat")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_code_would_try_that_has_walked_out_of_webassembly() {
    // Outside of all that the configuration names, as `~/.ssh` is.
    let outside = tempfile::tempdir().unwrap();
    let path = |name: &str| outside.path().join(name).display().to_string();
    let world = World::new()
        .file("work/notes.md", "notes")
        .with("[grants.files]\nfiles = \"read-only\"");
    let inside = |name: &str| world.path(name).display().to_string();
    let name = format!("sandbar-test-{}", std::process::id());
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let victim = Victim::start();
    let attempt = |name, target: String, behind, since| Attempt {
        name,
        target,
        behind,
        since,
    };
    let attempts = [
        attempt("read", path("key"), DENIED, 1),
        attempt("read", "/etc/passwd".to_owned(), DENIED, 1),
        attempt("read", format!("/proc/{}/environ", std::process::id()), DENIED, 1),
        attempt("list", path("."), DENIED, 1),
        attempt("list", "/".to_owned(), DENIED, 1),
        attempt("list", std::env::temp_dir().display().to_string(), DENIED, 1),
        attempt("create", path("new"), DENIED, 1),
        attempt("make directory", path("folder"), DENIED, 1),
        attempt("link", path("link"), DENIED, 1),
        attempt("remove", path("old"), DENIED, 1),
        attempt("empty", path("key"), DENIED, 1),
        // Its own configuration can't be read again, nor written.
        attempt("read", inside("sandbar.toml"), DENIED, 1),
        attempt("empty", inside("sandbar.toml.bak"), DENIED, 1),
        // No plugin was granted to change what is there.
        attempt("create", inside("work/new.md"), DENIED, 1),
        attempt("create", inside("plugins/new.wasm"), DENIED, 1),
        // A link in its data could lead the next process there.
        attempt("link", inside("data/link"), DENIED, 1),
        attempt("execute", "/bin/sh".to_owned(), DENIED, 1),
        attempt("execute itself", built::program().display().to_string(), DENIED, 1),
        attempt("trace", victim.0.id().to_string(), NOT_PERMITTED, 1),
        attempt("signal", victim.0.id().to_string(), NOT_PERMITTED, 6),
        attempt("signal", std::process::id().to_string(), NOT_PERMITTED, 6),
        attempt("abstract", name, NOT_PERMITTED, 6),
    ];
    check(&world, &attempts, || {
        for made in ["new", "link"] {
            // The first time they aren't there.
            let _ = std::fs::remove_file(path(made));
        }
        let _ = std::fs::remove_dir(path("folder"));
        for (name, text) in [("key", "a key"), ("old", "old")] {
            std::fs::write(path(name), text).unwrap();
        }
        std::fs::write(inside("sandbar.toml.bak"), "").unwrap();
        for made in ["work/new.md", "plugins/new.wasm", "data/link"] {
            let _ = std::fs::remove_file(inside(made));
        }
    });
}

#[test]
fn what_works_behind_the_wall() {
    let library = tempfile::tempdir().unwrap();
    for mount in ["notes", "results"] {
        std::fs::create_dir(library.path().join(mount)).unwrap();
        std::fs::write(library.path().join(mount).join("a.md"), "a").unwrap();
    }
    let mount = |name: &str, access: &str| {
        let path = library.path().join(name);
        format!("[[grants.files.mounts]]\nname = \"{name}\"\npath = {path:?}\naccess = \"{access}\"\n")
    };
    let grants = "[grants.files]\nfiles = \"read-write\"\n".to_owned();
    let world = World::new().with(&(grants + &mount("notes", "read-only") + &mount("results", "read-write")));
    let inside = |name: &str| world.path(name).display().to_string();
    let mounted = |name: &str| library.path().join(name).display().to_string();
    std::fs::create_dir(world.path("certificates")).unwrap();
    std::fs::write(library.path().join("authority.pem"), "").unwrap();
    symlink(
        library.path().join("authority.pem"),
        world.path("certificates/link.pem"),
    )
    .unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let attempt = |name, target: String, behind| Attempt {
        name,
        target,
        behind,
        since: 1,
    };
    let attempts = [
        attempt("create", inside("work/new.md"), WENT_WELL),
        attempt("link", inside("work/link"), WENT_WELL),
        attempt("create", inside("data/new"), WENT_WELL),
        attempt("read", mounted("notes/a.md"), WENT_WELL),
        attempt("create", mounted("notes/new.md"), DENIED),
        attempt("create", mounted("results/new.md"), WENT_WELL),
        attempt("list", mounted("."), DENIED),
        attempt("tcp", tcp.local_addr().unwrap().to_string(), WENT_WELL),
        attempt("resolve", "localhost".to_owned(), WENT_WELL),
        attempt("read", "/etc/hosts".to_owned(), WENT_WELL),
        // An authority's certificate, where the environment says that it is, and where a link there leads to.
        attempt("read", inside("certificates/link.pem"), WENT_WELL),
        attempt("read", mounted("authority.pem"), WENT_WELL),
        attempt("read", "/proc/meminfo".to_owned(), WENT_WELL),
        attempt("read", "/proc/self/status".to_owned(), WENT_WELL),
        attempt("read", "/dev/urandom".to_owned(), WENT_WELL),
        attempt("empty", "/dev/null".to_owned(), WENT_WELL),
    ];
    check(&world, &attempts, || {
        for made in ["work/new.md", "work/link", "data/new"] {
            // The first time they aren't there.
            let _ = std::fs::remove_file(inside(made));
        }
        for made in ["notes/new.md", "results/new.md"] {
            let _ = std::fs::remove_file(mounted(made));
        }
    });
}
