//! 1,858 names, and what is under each: what a guest gets of the file system by them, and what it can do there.
//!
//! `corpora/paths.jsonl` has a line for each name: the name, and the file that it leads to in the workspace below, `nothing` for what isn't
//! there or is no file, `outside` for what leads out of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::support::ran::told;
use crate::support::world::{World, ask};

const CORPUS: &str = include_str!("corpora/paths.jsonl");

/// The workspace that the corpus was written for; what is outside says `outside`.
fn world() -> World {
    let world = World::new()
        .guest("pattern_probe")
        .guest("names")
        .pattern("pattern_probe")
        .tools(&["names"])
        .with("[grants.names]\nfiles = \"read-write\"")
        .file("secret.txt", "outside")
        .file("work-evil/x.txt", "outside")
        .file("root/.ssh/id_rsa", "outside");
    let world = [
        "a.txt",
        "docs/b.txt",
        "docs/deep/c.txt",
        "sp ace.txt",
        "日本.txt",
        "...",
        "-rf",
        "%2e%2e",
    ]
    .into_iter()
    .fold(world, |world, name| world.file(&format!("work/{name}"), name));
    fs::create_dir(world.path("work/empty")).unwrap();
    let links = [
        ("in", "a.txt"),
        ("to-docs", "docs"),
        ("out", "../secret.txt"),
        ("up", ".."),
        ("root", "/"),
        ("loop", "loop"),
        ("docs/up2", "../.."),
        ("docs/back", "../a.txt"),
        ("docs/deep/top", "../.."),
        ("chain", "in"),
        ("chain-out", "out"),
        ("abs", "/etc/hostname"),
        ("dangling", "nothing-here"),
        ("docs/self", "."),
        ("evil", "../work-evil/x.txt"),
        ("procfs", "/proc/self/environ"),
    ];
    for (name, target) in links {
        symlink(target, world.path(&format!("work/{name}"))).unwrap();
    }
    world
}

fn corpus() -> Vec<(String, String)> {
    CORPUS.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the guest said of each of these names.
async fn said(world: World, names: &[&str], input: &str) -> (World, Vec<String>) {
    let list: String = names
        .iter()
        .map(|name| serde_json::to_string(name).unwrap() + "\n")
        .collect();
    let world = world.file("work/names.jsonl", list);
    let said = world.ask(&format!("tools names__try {input}")).await.said("names__try");
    let lines: Vec<String> = said.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), names.len(), "{said}");
    (world, lines)
}

/// Whether `..` and `/` alone lead out, whatever is there.
fn leads_out(name: &str) -> bool {
    let mut depth = 0_i32;
    name.starts_with('/')
        || name.split('/').any(|part| {
            depth += match part {
                "" | "." => 0,
                ".." => -1,
                _ => 1,
            };
            depth < 0
        })
}

fn tree(path: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            let content = if kind.is_file() {
                fs::read_to_string(entry.path()).unwrap()
            } else {
                String::new()
            };
            lines.push(format!("{} {kind:?} {content}", entry.path().display()));
            if kind.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_name_leads_where_the_corpus_says() {
    let corpus = corpus();
    assert!(corpus.len() >= 1_000);
    let names: Vec<&str> = corpus.iter().map(|(name, _)| name.as_str()).collect();
    let (_world, said) = said(world(), &names, "{}").await;
    let wrong: Vec<String> = corpus
        .iter()
        .zip(&said)
        .filter(|((_, verdict), said)| {
            let expected = if matches!(verdict.as_str(), "outside" | "nothing") {
                "-"
            } else {
                verdict
            };
            expected != *said
        })
        .map(|((name, verdict), said)| format!("{name:?}: wanted {verdict}, got {said}"))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} wrong: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(20)]
    );
}

/// By a name that leads out nothing can be made, moved, linked, cut, removed or looked at; and by no name at all can what is outside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_outside_can_be_changed() {
    let corpus = corpus();
    let outside: Vec<&str> = corpus
        .iter()
        .filter(|(_, verdict)| verdict == "outside")
        .map(|(name, _)| name.as_str())
        .collect();
    let world = world();
    let others = |world: &World| {
        ["secret.txt", "work-evil", "root"].map(|name| {
            let path = world.path(name);
            if path.is_dir() {
                tree(&path)
            } else {
                vec![fs::read_to_string(path).unwrap()]
            }
        })
    };
    let (before, entries) = (others(&world), fs::read_dir(world.path("")).unwrap().count());
    let (world, said) = said(world, &outside, r#"{"change":true}"#).await;
    assert_eq!(others(&world), before);
    assert_eq!(fs::read_dir(world.path("")).unwrap().count(), entries);
    for (name, said) in outside.iter().zip(said) {
        let words: Vec<&str> = said.split(' ').collect();
        assert!(
            !words.contains(&"stolen") && !words.contains(&"taken") && !words.contains(&"led"),
            "{name:?}: {said}"
        );
        assert!(!leads_out(name) || said == "-", "{name:?}: {said}");
    }
}

/// Lets the other thread end, also when this one panics.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// While a guest goes through a directory, somebody keeps swapping it for a link that leads out. `cargo xtask torture race` does this for longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_is_not_won() {
    let world = World::new()
        .guest("pattern_probe")
        .guest("racer")
        .pattern("pattern_probe")
        .tools(&["racer"])
        .with("[grants.racer]\nfiles = \"read-write\"")
        .limits("cpu_ms = 60000\nwall_ms = 60000")
        .file("work/swap/x.txt", "inside")
        .file("outside/x.txt", "outside");
    symlink("../outside", world.path("work/link")).unwrap();
    let before = tree(&world.path("outside"));
    let over = AtomicBool::new(false);
    let (swap, link) = (world.path("work/swap"), world.path("work/link"));
    let runtime = world.open().await;
    let (mut inside, mut nothing, mut rounds) = (0, 0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                renameat_with(CWD, &swap, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let _ended = Ended(&over);
        // Once a round, and until both have been met: a busy machine may let one of the two run for a while.
        while rounds == 0 || inside == 0 || nothing == 0 {
            let raced = ask(&runtime, "tools racer__race {\"times\":1000}");
            let ran = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(raced));
            let said = ran.said("racer__race");
            let met: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert_eq!(met["outside"], 0, "{said}");
            inside += met["inside"].as_u64().unwrap();
            nothing += met["nothing"].as_u64().unwrap();
            rounds += 1;
            assert_eq!(inside + nothing, rounds * 1_000, "{said}");
            assert!(
                rounds < 100,
                "nobody raced: {inside} times inside, {nothing} times nothing"
            );
        }
    });
    assert_eq!(tree(&world.path("outside")), before);
}

/// A pipe is never opened, which would wait for whoever writes into it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_is_no_file() {
    let world = world();
    let made = std::process::Command::new("mkfifo")
        .arg(world.path("work/pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    symlink("pipe", world.path("work/to-pipe")).unwrap();
    let (_world, said) = said(world, &["pipe", "to-pipe", "docs/../pipe", "a.txt"], "{}").await;
    assert_eq!(said, ["-", "-", "-", "a.txt"]);
}

fn hoarder(limits: &str) -> World {
    let world = World::new()
        .guest("pattern_probe")
        .guest("hoarder")
        .pattern("pattern_probe");
    world
        .tools(&["hoarder"])
        .with("[grants.hoarder]\nfiles = \"read-write\"")
        .limits(limits)
}

async fn check(world: &World, calls: &[(&str, u64, &str)]) {
    let asked: String = calls
        .iter()
        .map(|(tool, times, _)| format!("tools hoarder__{tool} {{\"times\":{times}}}\n"))
        .collect();
    let ran = world.ask(&asked).await;
    let said: Vec<String> = ran.calls().into_iter().map(|(_, outcome)| told(outcome)).collect();
    assert_eq!(said.len(), calls.len(), "{said:?}");
    for ((tool, times, expected), said) in calls.iter().zip(said) {
        assert!(said.contains(expected), "{tool} {times}: `{said}` has no `{expected}`");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workspace_has_so_much_room() {
    for own in [false, true] {
        let world = hoarder("workspace_mib = 4\ncpu_ms = 250000\nwall_ms = 250000");
        let world = if own { world.own_workspaces() } else { world };
        check(
            &world,
            &[
                ("fill", 3, "3 MiB"),
                ("fill", 3, "3 MiB"),
                ("lengthen", 3, "refused: it was not lengthened"),
                ("fill", 5, "refused: after "),
                ("clear", 1, "2 removed"),
                ("lengthen", 3, "3 MiB"),
                ("clear", 1, "1 removed"),
                ("litter", 900, "900 files"),
                ("litter", 1_200, "refused: after "),
            ],
        )
        .await;
    }
}

/// What the user had there is theirs, and doesn't count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_files_take_no_room() {
    let world = hoarder("workspace_mib = 2").file("work/large", vec![0_u8; 3 << 20]);
    check(&world, &[("fill", 1, "1 MiB"), ("fill", 3, "refused: after ")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_files_listings_and_operations_have_limits() {
    let world = hoarder("cpu_ms = 250000\nwall_ms = 250000");
    check(
        &world,
        &[
            ("hold", 100, "100 files"),
            ("hold", 500, "refused: after 12"),
            ("litter", 2_000, "2000 files"),
            ("list", 40, "40 listings"),
            ("list", 60, "refused: after 50 listings"),
            ("ask", 1_000, "1000 times"),
            ("ask", 1_000_000, "more than 200000 file operations in one call"),
            ("ask", 1, "1 times"),
        ],
    )
    .await;
}
