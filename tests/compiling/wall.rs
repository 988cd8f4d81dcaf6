//! The kernel's wall around the process that compiles.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use landlock::{ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, Scope};
use sandbar::Runtime;
use sandbar::plugins::WORKER_ARGUMENT;
use sandbar::plugins::wall::Wall;

use super::{assert_works, broken, world};
use crate::support::built;
use crate::support::program::run;

const WENT_WELL: End = End::Exit(0);
/// "Operation not permitted", as the filter of system calls says it.
const NOT_PERMITTED: End = End::Exit(1);
/// "Permission denied", as Landlock says it.
const DENIED: End = End::Exit(13);
/// SIGSYS: a system call that ends the process.
const KILLED: End = End::Signal(31);

#[derive(Debug, PartialEq, Eq)]
enum End {
    Exit(i32),
    Signal(i32),
}

/// What an attempt comes to without a wall, and behind each.
struct Attempt {
    name: &'static str,
    target: String,
    /// And the version of Landlock that refuses it.
    landlock: (End, u32),
    seccomp: End,
}

fn probe(wall: &str, attempt: &Attempt) -> End {
    let status = Command::new(env!("CARGO_BIN_EXE_probe"))
        .args([wall, attempt.name, &attempt.target])
        .env_clear()
        .status()
        .unwrap();
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exit(code),
        (None, signal) => End::Signal(signal.unwrap()),
    }
}

/// What this kernel offers, asked for in another way than the wall does.
fn offered() -> Wall {
    let required = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let files = |version| required().handle_access(AccessFs::from_all(version)).is_ok();
    let scopes = || required().scope(Scope::from_all(ABI::V6)).is_ok();
    let landlock = match () {
        () if scopes() => 6,
        // The version that knows of the network knows no more of files than this one.
        () if files(ABI::V5) => 5,
        () if files(ABI::V3) => 3,
        () if files(ABI::V1) => 1,
        () => 0,
    };
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    Wall {
        landlock,
        seccomp: actions.contains("kill_process"),
    }
}

#[expect(
    clippy::print_stdout,
    reason = "whoever reads the tests' output should know what was skipped"
)]
fn skipped(what: &str) {
    println!("skipped: this kernel has no {what}");
}

/// Each attempt goes well without the wall, so that it is the wall that refuses it.
#[test]
fn what_an_attacker_would_try_from_inside() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "a key").unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let _unix = UnixListener::bind(path("socket")).unwrap();
    let attempt = |name, target: String, landlock, seccomp| Attempt {
        name,
        target,
        landlock,
        seccomp,
    };
    let attempts = [
        attempt("read", path("secret"), (DENIED, 1), NOT_PERMITTED),
        attempt("read", "/etc/passwd".to_owned(), (DENIED, 1), NOT_PERMITTED),
        attempt("write", path("new"), (DENIED, 1), NOT_PERMITTED),
        attempt("execute", "/bin/true".to_owned(), (DENIED, 1), KILLED),
        attempt("fork", "/bin/true".to_owned(), (DENIED, 1), KILLED),
        attempt("tcp", tcp.local_addr().unwrap().to_string(), (DENIED, 4), KILLED),
        // Only the newest versions of Landlock know sockets that are files.
        attempt("unix", path("socket"), (DENIED, 9), KILLED),
        attempt("signal", String::new(), (NOT_PERMITTED, 6), KILLED),
        // Landlock is about what has a name.
        attempt("code", String::new(), (WENT_WELL, 1), NOT_PERMITTED),
        attempt("thread", String::new(), (WENT_WELL, 1), WENT_WELL),
    ];
    let offered = offered();
    for attempt in &attempts {
        let name = attempt.name;
        assert_eq!(probe("none", attempt), WENT_WELL, "{name} without a wall");
        let (end, since) = &attempt.landlock;
        match offered.landlock >= *since {
            true => assert_eq!(probe("landlock", attempt), *end, "{name} under Landlock"),
            false => skipped(&format!("Landlock {since}, which is for: {name}")),
        }
        match offered.seccomp {
            true => {
                assert_eq!(probe("seccomp", attempt), attempt.seccomp, "{name} under seccomp");
                assert_eq!(probe("worker", attempt), attempt.seccomp, "{name} in a worker");
            }
            false => skipped("seccomp"),
        }
    }
}

/// The program that users have is behind the wall before it takes a byte of a component.
#[test]
fn the_worker_is_behind_the_wall_before_it_reads() {
    check_worker(&[WORKER_ARGUMENT], offered());
    check_worker(&[WORKER_ARGUMENT, "without-kernel-sandbox"], Wall::default());
}

fn check_worker(arguments: &[&str], wanted: Wall) {
    let mut child = Command::new(built::program())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    // It has said who it is, and waits for the component.
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    let (_, said) = line.split_once(" {").unwrap();
    let said: Wall = serde_json::from_str(&format!("{{{said}")).unwrap();
    assert_eq!(said.seccomp, wanted.seccomp, "{line}");
    assert!(said.landlock >= wanted.landlock, "{line}");
    assert_eq!(said.landlock > 0, wanted.landlock > 0, "{line}");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    assert_eq!(field("Seccomp:"), if wanted.seccomp { "2" } else { "0" }, "{status}");
    let closed = wanted.seccomp || wanted.landlock > 0;
    assert_eq!(field("NoNewPrivs:"), if closed { "1" } else { "0" }, "{status}");
}

/// The wall is there unless the configuration takes it down, and components compile on both sides of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wall_can_be_taken_down() {
    let walled = world();
    let runtime = walled.open().await;
    let wall = runtime.plugins().worker_wall().unwrap();
    assert_eq!(wall.seccomp, offered().seccomp);
    assert_eq!(wall.landlock > 0, offered().landlock > 0);
    assert_works(&runtime).await;

    let open = world().limits("kernel_sandbox = false");
    let runtime = open.open().await;
    assert_eq!(runtime.plugins().worker_wall(), Some(Wall::default()));
    assert_works(&runtime).await;
}

/// What is shown to the operator is what the worker has said.
#[test]
fn the_doctor_says_what_the_kernel_gave() {
    let world = world();
    let shown = |arguments: &[&str]| {
        let out = run(&world.path(""), &[&["doctor"], arguments].concat()).expect(0).out;
        let line = out.lines().find(|line| line.contains("wall of workers"));
        line.unwrap_or_else(|| panic!("{out}")).to_owned()
    };
    let offered = offered();
    let here = shown(&[]);
    assert_eq!(here.ends_with(" and seccomp"), offered.seccomp, "{here}");
    assert_eq!(here.contains("gave Landlock "), offered.landlock > 0, "{here}");
    let both = offered.seccomp && offered.landlock > 0;
    assert_eq!(here.starts_with('✓'), both, "{here}");
    assert_eq!(
        shown(&["--set", "limits.kernel_sandbox=false"]),
        "!  wall of workers   is off: `limits.kernel_sandbox` is false"
    );
}

/// A compiler that was made to do something else is ended by the kernel, and the plugin is the only one to suffer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_the_kernel_ends() {
    let world = world();
    assert_works(&world.open().await).await;
    let handshake = format!(
        "sandbar-compile-worker {} {{\"landlock\":0,\"seccomp\":true}}",
        env!("CARGO_PKG_VERSION")
    );
    let script = format!("#!/bin/sh\necho '{handshake}'\nkill -SYS $$\n");
    let component = built::guest("big_result");
    let world = world.plugin("evil", &component).file("worker", script);
    std::fs::set_permissions(world.path("worker"), PermissionsExt::from_mode(0o755)).unwrap();
    let mut options = world.options();
    options.worker = Some(world.path("worker"));
    let runtime = Runtime::open_with(world.config().unwrap(), options).await.unwrap();
    let error = broken(&runtime, "evil");
    assert_eq!(error.code, "compile-forbidden", "{error:?}");
    assert!(error.message.ends_with("and the kernel ended it"), "{error:?}");
    assert!(
        error.hint.as_ref().is_some_and(|hint| hint.contains("don't use")),
        "{error:?}"
    );
    assert_works(&runtime).await;
}
