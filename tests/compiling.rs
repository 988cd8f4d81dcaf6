//! Compiled code: the process that makes it, and the directory that keeps it.

#[cfg(target_os = "linux")]
mod wall;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sandbar::Runtime;
use sandbar::plugins::Status;
use sandbar::protocol::{Error, StopReason};

use crate::support::world::{World, ask};
use crate::support::{built, quiet};

/// An agent that does what the message says, with a cache of its own.
fn world() -> World {
    World::new()
        .own_cache()
        .guest("pattern_probe")
        .guest("echo")
        .pattern("pattern_probe")
        .tools(&["echo"])
}

fn broken<'a>(runtime: &'a Runtime, name: &str) -> &'a Error {
    match &runtime.plugins().get(name).unwrap().status {
        Status::Broken(error) => error,
        Status::Ready(_) => panic!("`{name}` can be used"),
    }
}

async fn assert_works(runtime: &Runtime) {
    let ran = ask(runtime, "tools echo__echo {\"text\":\"well\"}").await;
    assert_eq!(ran.said("echo__echo"), "well");
}

/// Files of the cache by extension.
fn cached(world: &World, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.path("data/cache/components")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .collect()
}

/// Tells how many components were compiled when a runtime was opened.
async fn compiled(world: &World) -> (Runtime, usize) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let mut options = world.options();
    options.progress = Some(Arc::new(move |preparation| {
        if matches!(preparation, sandbar::plugins::Preparation::Compiled { .. }) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let runtime = Runtime::open_with(world.config().unwrap(), options).await.unwrap();
    (runtime, count.load(Ordering::Relaxed))
}

/// A component is compiled once; what is damaged is compiled again, at once or at the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_is_used_and_heals() {
    let world = world();
    let (runtime, first) = compiled(&world).await;
    assert!(first >= 4, "two of the program and two guests at least: {first}");
    assert_works(&runtime).await;
    drop(runtime);
    assert_eq!(compiled(&world).await.1, 0, "the second start compiles nothing");

    for path in cached(&world, "json")
        .iter()
        .filter(|path| !path.ends_with("digests.json"))
    {
        std::fs::write(path, "{\"kind\": \"tool\"").unwrap();
    }
    let (runtime, again) = compiled(&world).await;
    assert_eq!(again, first, "damaged facts are no facts");
    assert_works(&runtime).await;
    drop(runtime);

    std::fs::write(world.path("data/cache/components/digests.json"), "garbage").unwrap();
    assert_works(&compiled(&world).await.0).await;

    for path in cached(&world, "code") {
        let mut code = std::fs::read(&path).unwrap();
        let middle = code.len() / 2;
        code[middle] ^= 0xff;
        std::fs::write(&path, code).unwrap();
    }
    // It is found out when the code is needed, before any of it runs; then it is forgotten.
    let (runtime, none) = compiled(&world).await;
    assert_eq!(none, 0);
    let ended = ask(&runtime, "tools echo__echo {\"text\":\"x\"}").await;
    let error = ended.result.error.unwrap();
    assert_eq!(
        (ended.result.stop_reason, error.code.as_str()),
        (StopReason::PatternFailed, "damaged-cache"),
        "{error}"
    );
    assert!(
        error.hint.as_ref().is_some_and(|hint| hint.contains("start again")),
        "{error:?}"
    );
    drop(runtime);
    // The pattern has healed, and the tool is found out in its turn.
    let (runtime, healed) = compiled(&world).await;
    assert_eq!(healed, 1);
    let said = ask(&runtime, "tools echo__echo {\"text\":\"x\"}")
        .await
        .said("echo__echo");
    assert!(said.starts_with("damaged-cache: its compiled code in `"), "{said}");
    drop(runtime);
    assert_works(&compiled(&world).await.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_that_can_not_be_made() {
    let world = world();
    std::fs::remove_dir_all(world.path("data/cache")).unwrap();
    let world = world.file("data/cache", "a file where a directory belongs");
    let error = world.try_open().await.unwrap_err();
    assert_eq!(error.code, "file-failed");
    assert!(
        error.message.starts_with("can't create `") && error.message.contains("data/cache/components`: "),
        "{error}"
    );
    assert!(
        error.hint.as_ref().is_some_and(|hint| hint.contains("may write there")),
        "{error:?}"
    );
}

/// A program that is no worker is found out by what it says, before it gets a component.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_none() {
    let cases = [
        (
            "/bin/echo",
            "said \"__sandbar-compile-worker\" instead of \"sandbar-compile-worker",
        ),
        ("/bin/true", "said \"\" instead of"),
        ("/nowhere/sandbar", "`/nowhere/sandbar` can't be started: "),
    ];
    for (program, said) in cases {
        let world = world();
        let mut options = world.options();
        options.worker = Some(program.into());
        let runtime = Runtime::open_with(world.config().unwrap(), options).await.unwrap();
        let error = broken(&runtime, "echo");
        assert_eq!(error.code, "no-compile-worker", "{error:?}");
        assert!(
            error.message.starts_with("plugins can't be compiled: ") && error.message.contains(said),
            "{error:?}"
        );
        assert!(
            error
                .hint
                .as_ref()
                .is_some_and(|hint| hint.contains("`sandbar::worker_entry()`")),
            "{error:?}"
        );
        drop(runtime);
        assert_works(&world.open().await).await;
    }
}

/// Components that would be slow to compile are refused before, and cost this process nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compile_bombs_that_can_be_seen() {
    let _alone = quiet::alone();
    let many = "(func)\n".repeat(100_001);
    let locals = format!("(func (local {}))", "i64 ".repeat(10_001));
    let long = format!("(func {})", "nop ".repeat((2 << 20) + 1));
    let nested = format!("{}{}", "(component ".repeat(20), ")".repeat(20));
    let module = |function: &str| format!("(component (core module {function}))");
    let cases = [
        ("many", module(&many), "it has more than 100000 functions"),
        (
            "locals",
            module(&locals),
            "has 10001 local variables, the limit is 10000",
        ),
        ("long", module(&long), "bytes, the limit is 2097152"),
        ("nested", format!("(component {nested})"), "nested more than 16 deep"),
    ];
    let plugin =
        |world: World, (name, text, _): &(&str, String, &str)| world.plugin(name, &wat::parse_str(text).unwrap());
    let world = cases.iter().fold(world(), plugin);
    let memory = Memory::now();
    let runtime = world.open().await;
    memory.assert_grown_by_at_most(16 << 20);
    for (name, _, said) in &cases {
        let error = broken(&runtime, name);
        assert_eq!(error.code, "compile-refused", "{error:?}");
        assert!(
            error.message.starts_with("it would take too long to compile: ") && error.message.contains(said),
            "{error:?}"
        );
        assert!(error.hint.is_some(), "{error:?}");
    }
    assert_works(&runtime).await;
}

/// One that no rule sees is stopped by the limits of the process that compiles it; here they are tighter, so that it takes less time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compile_bombs_that_can_not_be_seen() {
    let _alone = quiet::alone();
    let world = world();
    assert_works(&world.open().await).await;
    let script = format!("#!/bin/sh\nulimit -t 3\nexec '{}' \"$@\"\n", built::program().display());
    let world = world.plugin("slow", &slow_to_compile()).file("worker", script);
    std::fs::set_permissions(world.path("worker"), PermissionsExt::from_mode(0o755)).unwrap();
    let mut options = world.options();
    options.worker = Some(world.path("worker"));
    let memory = Memory::now();
    let runtime = Runtime::open_with(world.config().unwrap(), options).await.unwrap();
    memory.assert_grown_by_at_most(16 << 20);
    let error = broken(&runtime, "slow");
    assert_eq!(error.code, "compile-refused", "{error:?}");
    assert!(error.message.contains("s of processor time"), "{error:?}");
    assert_works(&runtime).await;
}

/// What this process has had resident at most since then.
struct Memory {
    before: u64,
}

impl Memory {
    fn now() -> Self {
        // Linux forgets the peak so far.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        Self { before: peak_bytes() }
    }

    fn assert_grown_by_at_most(&self, bytes: u64) {
        let grown = peak_bytes().saturating_sub(self.before);
        assert!(grown <= bytes, "{} KiB", grown >> 10);
    }
}

/// Within every limit that is checked beforehand, and far too much for a compiler: one function that is nearly as
/// large as it may be.
pub(crate) fn slow_to_compile() -> Vec<u8> {
    let text = built::written("table_bomb");
    let start = "(table $t 1 funcref)";
    assert!(text.contains(start), "the guest has changed");
    let mut body = String::from("(func $slow (param i64) (result i64) (local.get 0)\n");
    let mut bytes = 0;
    // Nothing of it can be left out, and every block is one more for the compiler to order.
    let unit =
        "(local.get 0) (i64.mul) (local.tee 0) (block (br_if 0 (i64.eqz (local.get 0)))) (local.get 0) (i64.add)\n";
    while bytes < 1_900_000 {
        body.push_str(unit);
        bytes += 15;
    }
    body.push(')');
    wat::parse_str(text.replace(start, &format!("{start}\n{body}\n"))).unwrap()
}

/// The most that this process has had resident.
fn peak_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
