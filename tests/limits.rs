//! Hostile components: each is stopped within its limit, says so by name, gives its memory back, and nobody else notices.

use std::time::{Duration, Instant};

use sandbar::Runtime;
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
    let bomb = "(loop $again\n        (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1))))";
    let text = built::written("table_bomb");
    assert!(text.contains(bomb), "the guest has changed");
    let text = text.replace(bomb, "(drop (call $deep))");
    let text = text.replace(
        "(table $t 1 funcref)",
        "(func $deep (result i32) (i32.add (call $deep) (i32.const 1)))",
    );
    wat::parse_str(text).unwrap()
}

/// Calls a tool, and says how that ended and how long it took.
async fn call(runtime: &Runtime, tool: &str, input: &str) -> (ToolOutcome, Duration) {
    let ran = ask(runtime, &format!("tools {tool} {input}\nfinish")).await;
    let found = ran.events().find_map(|event| match &event.body {
        EventBody::ToolFinished { outcome, ms, .. } => Some((outcome.clone(), Duration::from_millis(*ms))),
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
    let (outcome, _) = call(runtime, "echo__echo", r#"{"text":"alive"}"#).await;
    assert_eq!(told(&outcome), "alive");
}

/// The processor time limit in these tests, and the time on the clock.
const CPU: Duration = Duration::from_millis(120);
const WALL: Duration = Duration::from_millis(400);

const USED_UP: &str = "stopped after 120 ms of processor time";

/// Tool, code of the error, a part of what it says, and the limit that it meets at the latest.
const STOPPED: [(&str, &str, &str, Duration); 11] = [
    ("loop__spin", "cpu-limit", USED_UP, CPU),
    (
        "memory_bomb__allocate",
        "memory-limit",
        "stopped at 32 MiB of memory",
        CPU,
    ),
    ("memory_churn__churn", "cpu-limit", USED_UP, CPU),
    (
        "stack_overflow__recurse",
        "plugin-trapped",
        "out of bounds memory access: endless recursion?",
        CPU,
    ),
    (
        "deep__answer",
        "stack-overflow",
        "ran out of stack: endless recursion?",
        CPU,
    ),
    ("stdout_flood__flood", "cpu-limit", USED_UP, CPU),
    (
        "log_flood__flood",
        "transfer-limit",
        "passed more than 8 MiB to the host in one call",
        CPU,
    ),
    (
        "progress_flood__flood",
        "transfer-limit",
        "passed more than 8 MiB to the host in one call",
        CPU,
    ),
    ("sleep_forever__sleep", "wall-limit", "stopped after 400 ms", WALL),
    ("huge_result__answer", "plugin-trapped", "crashed: ", CPU),
    (
        "big_result__answer",
        "transfer-limit",
        "passed more than 8 MiB to the host in one call",
        CPU,
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_tool_is_stopped() {
    let _alone = quiet::alone();
    let names: Vec<&str> = HOSTILE.into_iter().chain(["echo", "deep"]).collect();
    let world = guests().plugin("deep", &deep()).tools(&names);
    let world = world.limits(&format!(
        "memory_mib = 32\ncpu_ms = {}\nwall_ms = {}",
        CPU.as_millis(),
        WALL.as_millis()
    ));
    let runtime = world.open().await;
    assert_alive(&runtime).await;
    // What the allocator keeps of the first large transfers on each thread is no leak, so that the second round is measured.
    for (tool, ..) in STOPPED {
        call(&runtime, tool, "{}").await;
    }
    let memory_before = resident_bytes();
    for (tool, code, said, limit) in STOPPED {
        let mut took = Vec::new();
        // Another program may have the machine: a host that is too slow is so each time.
        for _ in 0..3 {
            let (outcome, ms) = call(&runtime, tool, "{}").await;
            let ToolOutcome::Error(error) = outcome else {
                panic!("`{tool}` answered")
            };
            let plugin = tool.split("__").next().unwrap();
            assert_eq!(error.code, code, "{tool}: {error:?}");
            assert!(
                error.message.starts_with(&format!("`{plugin}` ")) && error.message.contains(said),
                "{tool}: {error:?}"
            );
            took.push(ms);
            if ms <= limit + GRACE {
                break;
            }
        }
        let best = took.iter().min().unwrap();
        println!("{tool:24} {code:14} limit {limit:>5?}, stopped after {took:?}");
        assert!(
            *best <= limit + GRACE,
            "`{tool}` was stopped after {took:?}, its limit is {limit:?}"
        );
        assert_alive(&runtime).await;
    }
    let grown = resident_bytes().saturating_sub(memory_before);
    println!("memory kept after all of them: {} KiB", grown >> 10);
    assert!(grown < 24 << 20, "{} KiB were not given back", grown >> 10);
    // A table that may not grow any more is no reason to fail.
    let (outcome, _) = call(&runtime, "table_bomb__answer", "{}").await;
    assert_eq!(told(&outcome), "answer");
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

/// Twenty sessions loop; one that does not gets its answer, and all twenty can be cancelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_session_goes_on_beside_twenty_loops() {
    let _alone = quiet::alone();
    let world = hostile("cpu_ms = 50000\nwall_ms = 50000").own_workspaces();
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
    let started = Instant::now();
    for _ in 0..20 {
        assert_alive(&runtime).await;
    }
    let each = started.elapsed() / 20;
    println!("beside 20 loops an honest run takes {each:?}");
    assert!(each < Duration::from_millis(500), "{each:?}");
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
    let world = hostile("memory_mib = 64\nguest_memory_mib = 24\ncpu_ms = 200");
    let runtime = world.open().await;
    for _ in 0..3 {
        let (outcome, _) = call(&runtime, "memory_bomb__allocate", "{}").await;
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
        let (outcome, _) = call(&runtime, "echo__big", r#"{"bytes":1000000}"#).await;
        assert_eq!(told(&outcome).len(), 1_000_000);
    }
}

/// What a guest prints ends up in the error of its crash, and no more than fits there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_says_what_was_printed() {
    let world = hostile("cpu_ms = 2000");
    let runtime = world.open().await;
    let (outcome, _) = call(&runtime, "echo__noisy", r#"{"bytes":10,"panic":true}"#).await;
    let ToolOutcome::Error(error) = outcome else {
        panic!("it answered")
    };
    assert_eq!(error.code, "plugin-trapped");
    assert!(error.message.starts_with("`echo` crashed: eeeeeeeeee"), "{error}");
    assert!(error.message.contains("noisy was asked to panic"), "{error}");
    let (outcome, _) = call(&runtime, "echo__noisy", r#"{"bytes":4000000,"panic":true}"#).await;
    let ToolOutcome::Error(error) = outcome else {
        panic!("it answered")
    };
    assert!(
        error.message.len() < 600 && error.message.contains("noisy was asked to panic"),
        "{error}"
    );
    let (outcome, _) = call(&runtime, "echo__noisy", r#"{"bytes":4000000}"#).await;
    assert_eq!(told(&outcome), "printed");
}

/// Progress is shown as it comes, and no more of it than fits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_shown_up_to_its_limit() {
    let world = hostile("cpu_ms = 2000");
    let runtime = world.open().await;
    let ran = ask(&runtime, "tools echo__progress {\"times\":3}").await;
    assert_eq!(ran.progress(), "1 of 3\n2 of 3\n3 of 3\n");
    let ran = ask(&runtime, "tools echo__progress {\"times\":40000}").await;
    let shown = ran.progress();
    // A reader that is slow loses previews, so that it may be less.
    assert!((1..=64 << 10).contains(&shown.len()), "{} bytes", shown.len());
    assert_eq!(ran.said("echo__progress"), "done");
    assert_eq!(
        told(&call(&runtime, "echo__log", r#"{"message":"for the operator"}"#).await.0),
        "logged"
    );
}

/// A tool's own limit on time is below the configured one, and a result has a size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_have_a_size() {
    let world = hostile("cpu_ms = 2000");
    let runtime = world.open().await;
    let (outcome, _) = call(&runtime, "echo__big", r#"{"bytes":1048577}"#).await;
    assert_eq!(
        told(&outcome),
        "output-too-large: `echo__big` returned 1048577 bytes, the limit is 1048576"
    );
    let (outcome, _) = call(&runtime, "echo__big", r#"{"bytes":1048576}"#).await;
    assert_eq!(told(&outcome).len(), 1_048_576);
}
