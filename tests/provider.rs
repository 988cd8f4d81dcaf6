//! A model behind HTTP, without a configuration: its answers stream, its calls run, and whatever a server does wrong is said once.

use std::path::Path;
use std::slice;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::program::{Ended, sandbar};
use crate::support::provider::{Provider, Reply, answer, calls, complaint, said};
use crate::support::{built, quiet};

const KEY: &str = "sk-test-4f9ab71c";

/// A directory that is the workspace, a home with nothing but compiled code, and a provider.
struct Asked {
    provider: Provider,
    work: TempDir,
    home: TempDir,
    _share: quiet::Share,
}

impl Asked {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::seeded(42, replies)
    }

    fn seeded(seed: u64, replies: impl IntoIterator<Item = Reply>) -> Self {
        let (work, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cache = home.path().join(".local/share/sandbar/cache");
        std::fs::create_dir_all(&cache).unwrap();
        std::os::unix::fs::symlink(built::shared_cache(), cache.join("components")).unwrap();
        Self {
            provider: Provider::start(seed, replies),
            work,
            home,
            _share: quiet::share(),
        }
    }

    fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.work.path().join(name), content).unwrap();
        self
    }

    fn sandbar(&self, arguments: &[&str]) -> Ended {
        let mut command = sandbar(self.work.path(), arguments);
        command.env("HOME", self.home.path()).env("SECRET_KEY", KEY);
        command.output().unwrap().into()
    }

    /// `sandbar run` in the session `talk`, with a key.
    fn run(&self, more: &[&str]) -> Ended {
        let base_url = self.provider.base_url();
        let server = ["--base-url", &base_url, "--model", "m", "--api-key", "env:SECRET_KEY"];
        self.sandbar(&[&["run", "--session", "talk"], &server[..], more, &["go"]].concat())
    }

    /// The events of the session.
    fn journal(&self) -> Vec<Value> {
        let shown = self.sandbar(&["sessions", "show", "talk", "--json"]).expect(0).out;
        shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn stop_reason(&self) -> String {
        let journal = self.journal();
        let last = journal.last().unwrap();
        assert_eq!(last["type"], "run.finished", "{last}");
        last["result"]["stop_reason"].as_str().unwrap().to_owned()
    }

    /// The messages of a request, counted from 0.
    fn messages(&self, request: usize) -> Vec<Value> {
        self.provider.requests()[request].body["messages"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// What a request says of the results of tools: `id: text`.
    fn results(&self, request: usize) -> Vec<String> {
        let messages = self.messages(request).into_iter();
        let results = messages.filter(|message| message["role"] == "tool");
        let shown = results.map(|message| {
            format!(
                "{}: {}",
                message["tool_call_id"].as_str().unwrap(),
                message["content"].as_str().unwrap()
            )
        });
        shown.collect()
    }
}

#[test]
fn an_answer_streams_however_it_is_cut() {
    for seed in 1..=5 {
        let asked = Asked::seeded(seed, [Reply::Stream(answer(&["Grüße, ", "Welt – ", "日本\n"]))]);
        let ended = asked.run(&["--json"]).expect(0);
        let items: Vec<Value> = ended
            .out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        // What came while nobody read is one preview.
        let deltas = items.iter().filter(|item| item["type"] == "model.delta");
        let shown: String = deltas.map(|item| item["text"].as_str().unwrap()).collect();
        assert_eq!(shown, "Grüße, Welt – 日本\n", "{}", ended.out);
        let result = &items.last().unwrap()["result"];
        assert_eq!(result["text"], "Grüße, Welt – 日本\n", "seed {seed}");
        assert_eq!(
            (
                result["usage"]["input_tokens"].as_u64(),
                result["usage"]["output_tokens"].as_u64()
            ),
            (Some(10), Some(5)),
            "{result}"
        );
        let requests = asked.provider.requests();
        assert!(
            requests[0].head.starts_with("POST /v1/chat/completions "),
            "{}",
            requests[0].head
        );
        let body = &requests[0].body;
        assert_eq!((&body["model"], &body["stream"]), (&"m".into(), &true.into()), "{body}");
        assert_eq!(asked.stop_reason(), "finished");
    }
}

#[test]
fn a_key_is_sent_and_shown_nowhere() {
    let echoes = format!("the key {KEY} is not valid");
    let check = |replies: &[Reply], exit: i32, told: &str| {
        let asked = Asked::new(replies.iter().cloned());
        let ended = asked.run(&["-vvv"]).expect(exit);
        assert!(ended.err.contains(told), "{told} is not in:\n{}", ended.err);
        let head = asked.provider.requests()[0].head.to_ascii_lowercase();
        assert!(head.contains(&format!("authorization: bearer {KEY}")), "{head}");
        for text in [&ended.out, &ended.err] {
            assert!(!text.contains(KEY), "{text}");
        }
        let mut files = 0;
        for directory in [&asked.home, &asked.work] {
            each_file(directory.path(), &mut |path| {
                files += 1;
                let bytes = std::fs::read(path).unwrap();
                let found = bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes());
                assert!(!found, "{}", path.display());
            });
        }
        assert!(files > 0, "the journal is a file");
    };
    let done = Reply::Stream(answer(&["done"]));
    let busy = Reply::Status(429, "Retry-After: 0\r\n", complaint(&echoes, ""));
    let refused = Reply::Status(401, "", complaint(&echoes, "invalid_api_key"));
    check(slice::from_ref(&done), 0, "finished");
    check(
        &[busy, done],
        0,
        "model asked again  model-rate-limited: the server at ",
    );
    check(
        &[refused],
        6,
        "refuses the key (401): the key … is not valid\nhint: check ",
    );
    check(
        &[Reply::Status(400, "", echoes.clone())],
        6,
        "status 400: the key … is not valid\n",
    );
    check(&[Reply::Stream(echoes)], 6, "it has `the key … is not valid`\n");
}

/// Every file of ours; compiled code of the tests is behind a link, and knows of no key.
fn each_file(directory: &Path, see: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap()) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            each_file(&entry.path(), see);
        } else if kind.is_file() {
            see(&entry.path());
        }
    }
}

#[test]
fn a_call_runs_and_its_result_goes_back_under_its_id() {
    let asked = Asked::new([
        Reply::Stream(calls(&[
            ("abc-1", "files__list", "{}"),
            ("abc-2", "files__nothing", "{}"),
        ])),
        Reply::Stream(answer(&["I see."])),
    ])
    .file("notes.md", "x\n");
    let ended = asked.run(&[]).expect(0);
    assert_eq!(ended.out, "I see.\n");
    let offered = asked.provider.requests()[0].body["tools"].to_string();
    assert!(offered.contains("\"files__list\""), "{offered}");

    let messages = asked.messages(1);
    let asking = messages
        .iter()
        .find(|message| message["role"] == "assistant")
        .expect("what the model asked for is repeated");
    let ids: Vec<&str> = asking["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call["id"].as_str().unwrap())
        .collect();
    let results = asked.results(1);
    assert_eq!(results.len(), 2, "{results:?}");
    assert!(
        results[0].starts_with(&format!("{}: ", ids[0])) && results[0].contains("notes.md"),
        "{ids:?} {results:?}"
    );
    assert!(
        results[1].starts_with(&format!("{}: ", ids[1])) && results[1].contains("files__nothing"),
        "{ids:?} {results:?}"
    );
    assert_eq!(ids, ["abc-1", "abc-2"]);
    assert_eq!(asked.stop_reason(), "finished");
}

#[test]
fn files_are_written_only_where_that_is_said() {
    let check = |flags: &[&str], expected: &str, told: &str| {
        let write = r#"{"path":"notes.md","content":"new\n"}"#;
        let asked = Asked::new([
            Reply::Stream(calls(&[("w-1", "files__write", write)])),
            Reply::Stream(answer(&["done"])),
        ])
        .file("notes.md", "old\n");
        asked.run(flags).expect(0);
        let content = std::fs::read_to_string(asked.work.path().join("notes.md")).unwrap();
        let results = asked.results(1);
        assert_eq!(content, expected, "{results:?}");
        assert!(
            results[0].starts_with("w-1: ") && results[0].contains(told),
            "{results:?}"
        );
    };
    check(&[], "old\n", "read-only");
    check(&["--write"], "new\n", "notes.md");
}

/// So many calls that a run may not make them all: those over its limit are not made, and it ends.
#[test]
fn thousands_of_calls_in_one_reply_end_with_the_limit() {
    let asked = Asked::new([many_calls(3000)]);
    let started = Instant::now();
    let ended = asked.run(&["--tool-calls", "20"]).expect(4);
    assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
    assert_eq!(asked.stop_reason(), "max-tool-calls");
    let made = asked
        .journal()
        .iter()
        .filter(|event| event["type"] == "tool.started")
        .count();
    assert!(made <= 20, "{made}");
    assert_eq!(asked.provider.requests().len(), 1);
    assert!(ended.err.contains("limit of 20 tool calls"), "{}", ended.err);
}

/// More than a reply may hold, which is found out while it is read.
#[test]
fn ten_thousand_calls_are_no_reply() {
    let asked = Asked::new([many_calls(10_000)]);
    fails(&asked, &["tool calls at once", "hint: the model has lost its way"]);
}

fn many_calls(count: usize) -> Reply {
    let ids: Vec<String> = (0..count).map(|index| format!("c{index}")).collect();
    let each: Vec<_> = ids.iter().map(|id| (id.as_str(), "files__list", "{}")).collect();
    Reply::Large(calls(&each))
}

/// A run that fails with one error, in the words that are given, and one hint.
fn fails(asked: &Asked, expected: &[&str]) {
    let ended = asked.run(&[]).expect(6);
    let lines: Vec<&str> = ended.err.lines().collect();
    for word in ["error: ", "hint: "] {
        let count = lines.iter().filter(|line| line.starts_with(word)).count();
        assert_eq!(count, 1, "`{word}` in:\n{}", ended.err);
    }
    for expected in expected {
        assert!(ended.err.contains(expected), "{expected} is not in:\n{}", ended.err);
    }
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
    assert_eq!(asked.stop_reason(), "model-failed");
}

#[test]
fn what_a_server_refuses_is_said_once() {
    let check = |reply: Reply, expected: &[&str]| {
        let asked = Asked::new([reply]);
        fails(&asked, expected);
        // What another attempt would not mend is not asked again.
        assert_eq!(asked.provider.requests().len(), 1, "{expected:?}");
    };
    check(
        Reply::Status(401, "", complaint("no such key", "invalid_api_key")),
        &["refuses the key (401): no such key\nhint: check ", "SECRET_KEY"],
    );
    check(
        Reply::Status(404, "", complaint("gone", "model_not_found")),
        &[
            "has no model `m` (404): gone\nhint: the nearest that it has: `m-large`, `zebra`; write one as `model` of `[models.default]`",
        ],
    );
    check(
        Reply::Status(404, "", "<html>nothing here</html>".to_owned()),
        &["has no model `m` (404): a web page\nhint: "],
    );
    check(
        Reply::Status(400, "", complaint("no \u{1b}[31mtools", "")),
        &[
            "failed with status 400: no",
            "hint: the server doesn't accept the request",
        ],
    );
    check(
        Reply::Status(302, "Location: /v2\r\n", String::new()),
        &["has moved (302)\nhint: write its new address as `base_url`"],
    );
}

#[test]
fn what_is_no_answer_is_said_once() {
    let check = |reply: Reply, expected: &[&str]| {
        let asked = Asked::new([reply]);
        fails(&asked, expected);
        assert_eq!(asked.provider.requests().len(), 1, "{expected:?}");
    };
    let too_large = ["larger than 4 MiB\nhint: set `max_tokens` of `[models.default]`, or ask for less"];
    check(
        Reply::Broken(said("The answer is ") + &said("for")),
        &["ended in the middle\nhint: the connection was lost, or the server stopped; ask again"],
    );
    check(
        Reply::Stream("<html>a page</html>".to_owned()),
        &["can't be read, it has `<html>a page</html>`\nhint: `base_url`"],
    );
    check(
        Reply::Stream("data: {\"choices\": [\n\n".to_owned()),
        &["can't be read, it has `{\"choices\": [`\nhint: `base_url`"],
    );
    check(Reply::Endless(said(&"x".repeat(50_000))), &too_large);
    check(Reply::Endless("x".repeat(100_000)), &too_large);
    check(Reply::Large(answer(&["x".repeat(10 << 20).as_str()])), &too_large);
}

#[test]
fn nobody_listens() {
    let asked = Asked::new([]);
    // Nothing listens on port 1.
    let server = ["--base-url", "http://127.0.0.1:1/v1", "--model", "m"];
    let ended = asked
        .sandbar(&[&["run", "--session", "talk", "go"], &server[..]].concat())
        .expect(6);
    let expected = "error: the server at `http://127.0.0.1:1/v1` can't be reached: Connection refused (os error 111)\n\
                    hint: is the server running? its address is `base_url` of `[models.default]`\n";
    assert!(ended.err.contains(expected), "{}", ended.err);
    assert_eq!(asked.stop_reason(), "model-failed");
}

#[test]
fn what_passes_is_asked_again() {
    let busy = || Reply::Status(429, "Retry-After: 0\r\n", complaint("slow down", "rate_limit_exceeded"));
    let failed = Reply::Status(500, "Retry-After: 0\r\n", "oops".to_owned());
    // Nothing of it was shown, so that it may be asked again.
    let silent = Reply::Broken(": soon\n\n".to_owned());
    let check = |mut replies: Vec<Reply>| {
        replies.push(Reply::Stream(answer(&["done"])));
        let count = replies.len();
        let asked = Asked::new(replies);
        assert_eq!(asked.run(&[]).expect(0).out, "done\n");
        let requests = asked.provider.requests();
        assert_eq!(requests.len(), count);
        assert!(requests.iter().all(|request| request.body == requests[0].body));
        // Attempts are no calls: one was begun, and one came back.
        let journal = asked.journal();
        let of = |kind: &str| journal.iter().filter(|event| event["type"] == kind).count();
        assert_eq!((of("model.started"), of("model.finished")), (1, 1));
    };
    check(vec![busy()]);
    check(vec![failed, busy()]);
    check(vec![silent]);

    let asked = Asked::new((0..5).map(|_| busy()));
    fails(
        &asked,
        &["is asked too often (429): slow down (5 attempts)\nhint: wait a little"],
    );
    assert_eq!(asked.provider.requests().len(), 5);
}
