//! Hostile components: each is stopped within its limit, says so by name, gives its memory back, and nobody else notices.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sandbar::Runtime;
use sandbar::plugins::CallStats;
use sandbar::protocol::{EventBody, RunRequest, StopReason, StreamItem, ToolOutcome};

use crate::support::ran::{Ran, told};
use crate::support::world::{World, ask};
use crate::support::{built, quiet};

/// What a host may need beyond a limit to stop a guest.
const GRACE: Duration = Duration::from_millis(250);

const HOSTILE: [&str; 11] = [
    "loop",
    "memory_bomb",
    "memory_churn",
    "stack_overflow",
    "table_bomb",
    "stdout_flood",
    "log_flood",
    "progress_flood",
    "sleep_forever",
    "huge_result",
    "big_result",
];

/// An agent that has all hostile tools and does what the message says.
fn hostile(limits: &str) -> World {
    let names: Vec<&str> = HOSTILE.into_iter().chain(["echo"]).collect();
    guests().limits(limits).tools(&names)
}

fn guests() -> World {
    let world = World::new()
        .guest("pattern_probe")
        .guest("echo")
        .pattern("pattern_probe");
    HOSTILE.into_iter().fold(world, World::guest)
}

/// Recursion that needs no memory of the guest's, only the stack of the machine.
fn deep() -> Vec<u8> {
    let bomb = "(loop $again\n        (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 10000)) (i32.const -1))))";
    let text = built::written("table_bomb");
    assert!(text.contains(bomb), "the guest has changed");
    let text = text.replace(bomb, "(drop (call $deep))");
    let text = text.replace(
        "(table $t 1 funcref)",
        "(table $t 1 funcref) (func $deep (result i32) (i32.add (call $deep) (i32.const 1)))",
    );
    wat::parse_str(text).unwrap()
}

/// Calls a tool, and says how that ended.
async fn call(runtime: &Runtime, tool: &str, input: &str) -> ToolOutcome {
    let ran = ask(runtime, &format!("tools {tool} {input}\nfinish")).await;
    let found = ran.events().find_map(|event| match &event.body {
        EventBody::ToolFinished { outcome, .. } => Some(outcome.clone()),
        _ => None,
    });
    assert_eq!(
        ran.result.stop_reason,
        StopReason::Finished,
        "the run goes on: {:#?}",
        ran.lines()
    );
    found.unwrap()
}

async fn assert_alive(runtime: &Runtime) {
    let outcome = call(runtime, "echo__echo", r#"{"text":"alive"}"#).await;
    assert_eq!(told(&outcome), "alive");
}

/// The processor time of those that use it up. Who takes memory goes on asking when it has all, and has to get there first. For all others it
/// is far, like the clock, since another program may have the machine; but for who sleeps that is near.
const CPU: Duration = Duration::from_millis(120);
const HOARDERS_CPU: Duration = Duration::from_secs(1);
const SLEEPERS_WALL: Duration = Duration::from_millis(400);

const USED_UP: &str = "stopped after 120 ms of processor time";
const TOO_MUCH: &str = "passed more than 8 MiB to the host in one call";

/// Tool, code of the error, and a part of what it says.
const STOPPED: [(&str, &str, &str); 11] = [
    ("loop__spin", "cpu-limit", USED_UP),
    ("memory_bomb__allocate", "memory-limit", "stopped at 32 MiB of memory"),
    ("memory_churn__churn", "cpu-limit", USED_UP),
    (
        "stack_overflow__recurse",
        "plugin-trapped",
        "out of bounds memory access: endless recursion?",
    ),
    ("deep__answer", "stack-overflow", "ran out of stack: endless recursion?"),
    ("stdout_flood__flood", "cpu-limit", USED_UP),
    ("log_flood__flood", "transfer-limit", TOO_MUCH),
    ("progress_flood__flood", "transfer-limit", TOO_MUCH),
    ("sleep_forever__sleep", "wall-limit", "stopped after 400 ms"),
    ("huge_result__answer", "plugin-trapped", "crashed: "),
    ("big_result__answer", "transfer-limit", TOO_MUCH),
];

/// What ends those with this code, if that is their processor time.
fn cpu_limit(code: &str) -> Option<Duration> {
    match code {
        "cpu-limit" => Some(CPU),
        "memory-limit" => Some(HOARDERS_CPU),
        _ => None,
    }
}

/// A manifest with so much processor time.
fn near(limit: Duration) -> String {
    format!("[limits]\ncpu_ms = {}", limit.as_millis())
}

fn plugin_of(tool: &str) -> &str {
    tool.split("__").next().unwrap()
}

/// What each call has used.
fn observed(runtime: &Runtime) -> Arc<Mutex<Vec<CallStats>>> {
    let stats = Arc::<Mutex<Vec<CallStats>>>::default();
    let sink = stats.clone();
    runtime.plugins().observe(move |call| sink.lock().unwrap().push(call));
    stats
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_tool_is_stopped() {
    let _alone = quiet::alone();
    let names: Vec<&str> = HOSTILE.into_iter().chain(["echo", "deep"]).collect();
    let world = guests().plugin("deep", &deep()).tools(&names);
    let sleeper = format!("[limits]\nwall_ms = {}", SLEEPERS_WALL.as_millis());
    let mut world = world
        .manifest("sleep_forever", &sleeper)
        .limits("put_aside = false\nmemory_mib = 32\ncpu_ms = 10000\nwall_ms = 50000");
    for (tool, code, _) in STOPPED {
        if let Some(limit) = cpu_limit(code) {
            world = world.manifest(plugin_of(tool), &near(limit));
        }
    }
    let runtime = world.open().await;
    let stats = observed(&runtime);
    assert_alive(&runtime).await;
    // What the allocator keeps of the first large transfers on each thread is no leak, so that the second round is measured.
    for (tool, ..) in STOPPED {
        call(&runtime, tool, "{}").await;
    }
    let memory_before = resident_bytes();
    for (tool, code, said) in STOPPED {
        let (plugin, limit) = (plugin_of(tool), cpu_limit(code));
        let mut took = Vec::new();
        // Whoever looks at the clocks may be late on a busy machine: a host that is too slow is so each time.
        for _ in 0..3 {
            stats.lock().unwrap().clear();
            let ToolOutcome::Error(error) = call(&runtime, tool, "{}").await else {
                panic!("`{tool}` answered")
            };
            assert_eq!(error.code, code, "{tool}: {error:?}");
            assert!(
                error.message.starts_with(&format!("`{plugin}` ")) && error.message.contains(said),
                "{tool}: {error:?}"
            );
            let found = stats
                .lock()
                .unwrap()
                .iter()
                .find(|call| &*call.plugin == plugin)
                .cloned();
            let used = found.expect("a call that was stopped is observed as well");
            // Its last slice may be counted a moment after the caller has heard of its end.
            assert!(code != "cpu-limit" || used.cpu >= CPU / 2, "{tool}: {used:?}");
            assert!(code != "wall-limit" || used.wall >= SLEEPERS_WALL, "{tool}: {used:?}");
            took.push(used.cpu);
            if limit.is_none_or(|limit| used.cpu <= limit + GRACE) {
                break;
            }
        }
        println!("{tool:24} {code:14} stopped after {took:?} of processor time");
        assert!(
            limit.is_none_or(|limit| took.last() <= Some(&(limit + GRACE))),
            "`{tool}` was stopped after {took:?} of processor time, the limit is {limit:?}"
        );
        assert_alive(&runtime).await;
    }
    let grown = resident_bytes().saturating_sub(memory_before);
    println!("memory kept after all of them: {} KiB", grown >> 10);
    assert!(grown < 24 << 20, "{} KiB were not given back", grown >> 10);
    // A table that may not grow any more is no reason to fail.
    let outcome = call(&runtime, "table_bomb__answer", "{}").await;
    assert_eq!(told(&outcome), "100000");
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

/// What an honest run may take beside twenty loops.
const EACH: Duration = Duration::from_millis(500);

/// Twenty sessions loop; one that does not gets its answer, and all twenty can be cancelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_session_goes_on_beside_twenty_loops() {
    let _alone = quiet::alone();
    let world = hostile("cpu_ms = 250000\nwall_ms = 250000").own_workspaces();
    let runtime = world.open().await;
    assert_alive(&runtime).await;
    let mut loops = Vec::new();
    for _ in 0..20 {
        let mut stream = runtime
            .run(RunRequest::new("tools loop__spin {}\nfinish"))
            .await
            .unwrap();
        while let Some(item) = stream.next().await {
            if matches!(item.unwrap(), StreamItem::Event(event) if event.body.name() == "tool.started") {
                break;
            }
        }
        loops.push(stream);
    }
    let mut each = Vec::new();
    // Another program may have the machine for a while: a host that is too slow is so each time.
    while each.len() < 3 && each.last().is_none_or(|each| *each >= EACH) {
        let started = Instant::now();
        for _ in 0..20 {
            assert_alive(&runtime).await;
        }
        each.push(started.elapsed() / 20);
    }
    println!("beside 20 loops an honest run takes {each:?}");
    assert!(each.last() < Some(&EACH), "{each:?}");
    for stream in loops {
        stream.cancel();
        let ran = Ran::collect(stream).await;
        assert_eq!(ran.said("loop__spin"), "cancelled: the run was cancelled");
    }
    assert_alive(&runtime).await;
}

/// All guests together get no more than the host has set aside; when one has gone, the next has room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_share_the_memory_of_the_host() {
    // It goes on asking when there is no more, and has the time to get there.
    let world = hostile("memory_mib = 64\nguest_memory_mib = 24").manifest("memory_bomb", &near(HOARDERS_CPU));
    let runtime = world.open().await;
    for _ in 0..3 {
        let outcome = call(&runtime, "memory_bomb__allocate", "{}").await;
        let ToolOutcome::Error(error) = outcome else {
            panic!("it answered")
        };
        assert_eq!(
            (error.code.as_str(), error.retryable),
            ("guest-memory-exhausted", true),
            "{error:?}"
        );
        let said = "`memory_bomb` was stopped: all plugins together would need more than 24 MiB";
        assert!(error.message.starts_with(said), "{error:?}");
        let outcome = call(&runtime, "echo__big", r#"{"bytes":1000000}"#).await;
        assert_eq!(told(&outcome).len(), 1_000_000);
    }
}

/// What a guest prints ends up in the error of its crash, and no more than fits there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_says_what_was_printed() {
    let world = hostile("cpu_ms = 60000\nwall_ms = 60000");
    let runtime = world.open().await;
    let outcome = call(&runtime, "echo__noisy", r#"{"bytes":10,"panic":true}"#).await;
    let ToolOutcome::Error(error) = outcome else {
        panic!("it answered")
    };
    assert_eq!(error.code, "plugin-trapped");
    assert!(error.message.starts_with("`echo` crashed: eeeeeeeeee"), "{error}");
    assert!(error.message.contains("noisy was asked to panic"), "{error}");
    let outcome = call(&runtime, "echo__noisy", r#"{"bytes":4000000,"panic":true}"#).await;
    let ToolOutcome::Error(error) = outcome else {
        panic!("it answered")
    };
    assert!(
        error.message.len() < 600 && error.message.contains("noisy was asked to panic"),
        "{error}"
    );
    let outcome = call(&runtime, "echo__noisy", r#"{"bytes":4000000}"#).await;
    assert_eq!(told(&outcome), "printed");
}

/// Progress is shown as it comes, and no more of it than fits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_shown_up_to_its_limit() {
    let world = hostile("cpu_ms = 60000\nwall_ms = 60000");
    let runtime = world.open().await;
    let ran = ask(&runtime, "tools echo__progress {\"times\":3}").await;
    assert_eq!(ran.progress(), "1 of 3\n2 of 3\n3 of 3\n");
    let ran = ask(&runtime, "tools echo__progress {\"times\":40000}").await;
    let shown = ran.progress();
    // A reader that is slow loses previews, so that it may be less.
    assert!((1..=64 << 10).contains(&shown.len()), "{} bytes", shown.len());
    assert_eq!(ran.said("echo__progress"), "done");
    assert_eq!(
        told(&call(&runtime, "echo__log", r#"{"message":"for the operator"}"#).await),
        "logged"
    );
}

/// A session in which a plugin reports all that it may in each of its calls. So much may come at once, and more in the time that the run takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_has_a_rate() {
    const CALLS: usize = 48;
    let world = hostile("cpu_ms = 60000\nwall_ms = 60000").agent("limits = { steps = 100, tool_calls = 100 }");
    let call = "tools echo__progress {\"times\":6000}\n";
    let ran = world.ask(&call.repeat(CALLS)).await;
    assert_eq!(ran.calls().len(), CALLS);
    let shown = ran.progress().len();
    let most = (1 << 20) + (ran.result.wall_ms as usize / 1000 + 1) * (16 << 10);
    assert!(shown > 0 && shown <= most, "{shown} bytes, wanted {most} at most");
    assert!(CALLS * (64 << 10) > most, "without a rate it could be more");
}

/// A tool's own limit on time is below the configured one, and a result has a size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_have_a_size() {
    let world = hostile("cpu_ms = 60000\nwall_ms = 60000");
    let runtime = world.open().await;
    let outcome = call(&runtime, "echo__big", r#"{"bytes":1048577}"#).await;
    assert_eq!(
        told(&outcome),
        "output-too-large: `echo__big` returned 1048577 bytes, the limit is 1048576"
    );
    let outcome = call(&runtime, "echo__big", r#"{"bytes":1048576}"#).await;
    assert_eq!(told(&outcome).len(), 1_048_576);
}
