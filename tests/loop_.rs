//! The agent loop, driven by a pattern that does what the message says, and by models that misbehave.

use std::fmt::Write as _;

use sandbar::protocol::{EventBody, Limits, RunRequest, StopReason, StreamItem};

use crate::support::ran::{Ran, finished, line};
use crate::support::script::{asks, says};
use crate::support::world::{World, ask, ask_in};

/// An agent that is driven by the message.
fn probed() -> World {
    World::new()
        .guest("pattern_probe")
        .guest("echo")
        .pattern("pattern_probe")
        .tools(&["echo"])
}

/// What a request to the probe comes to: how the run ended, its text, its error.
async fn probe(message: &str, script: &str) -> Ran {
    probed().limits("cpu_ms = 1000").script(script).ask(message).await
}

async fn check(message: &str, script: &str, expected: &str) {
    let ran = probe(message, script).await;
    assert_eq!(ran.result.text, expected, "{message}\n{:#?}", ran.lines());
    assert_eq!(ran.result.stop_reason, StopReason::Finished, "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actions_of_a_pattern() {
    check("finish bye", "", "bye").await;
    check("model", &says("hello"), "hello").await;
    check("model\nfinish mine", &says("hello"), "mine").await;
    let thread = "[[reply]]\nexpect = { thread = \"plan\", last = \"^think$\", messages = 1, instructions = \"^$\" }\ntext = \"I thought.\"\n\
                  [[reply]]\nexpect = { messages = 1, last = \"thread plan\" }\ntext = \"main is as it was\"\n";
    check(
        "thread plan think\nread reply\nmodel\nfinish",
        thread,
        "10 bytes: I thought.",
    )
    .await;
    let instructed = "[[reply]]\nexpect = { instructions = \"^be brief$\", tools = [] }\ntext = \"short\"\n";
    check("instruct be brief", instructed, "short").await;
    let only = "[[reply]]\nexpect = { tools = [\"echo__echo\"] }\ntext = \"one tool\"\n";
    check("only echo__echo no__such", only, "one tool").await;
    let own = "[[reply]]\nexpect = { messages = 2, last = \"^result of `echo__echo`:\\nhi$\" }\ntext = \"seen\"\n";
    check(
        "tools echo__echo {\"text\":\"hi\"}\nmodel",
        &own.replace("\\n", "\\\\n"),
        "seen",
    )
    .await;
    check(
        "both echo__echo {\"text\":\"hi\"}",
        &own.replace("\\n", "\\\\n"),
        "seen",
    )
    .await;
    let asking = asks(&[("echo__echo", "{\"text\":\"asked\"}")]);
    check("model\ncalls\nread result", &asking, "5 bytes: asked").await;
    check(
        "model\nasked call-0-0\nread result\nread call-0-0/input",
        &asking,
        "5 bytes: asked\n16 bytes: {\"text\":\"asked\"}",
    )
    .await;
    let discarded = says("wrong") + "[[reply]]\ntext = \"not due\"\n";
    check("model\ndiscard\nmodel", &discarded, "wrong").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_that_this_host_does_not_have_is_answered_with_a_note() {
    let ran = probe("compact\nview", "").await;
    let said = "the action `compact` is not supported by this version";
    assert!(
        ran.result.text.starts_with(&format!("unsupported: {said}\nstep 2;")),
        "{}",
        ran.result.text
    );
    assert!(ran.result.text.contains("note unsupported"), "{}", ran.result.text);
    assert!(
        ran.lines().contains(&format!("unsupported {said}")),
        "{:#?}",
        ran.lines()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_says_what_happened_and_what_is_left() {
    let message = "tools echo__echo {\"text\":\"hi\"}\nview\nmodel\nview";
    let world = probed()
        .agent("limits = { steps = 9, tool_calls = 7 }")
        .script(says("short"));
    let text = world.ask(message).await.result.text;
    let tools = "echo__echo,echo__fail,echo__slow,echo__count,echo__progress,echo__big,echo__noisy,echo__log,echo__config,\
                 echo__context,echo__clock,echo__rich";
    let expected = format!(
        "step 2; steps-left 7; tool-calls-left 6; tools {tools}; result echo__echo ok 2 hi\n\
         step 3; steps-left 6; tool-calls-left 6; tools {tools}; reply main stop 0 calls short"
    );
    assert_eq!(text, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_gives_what_a_view_shows_the_head_of() {
    let ran = probe("tools echo__big {\"bytes\":200000}\nread result\nread nothing", "").await;
    let (big, nothing) = ran.result.text.split_once('\n').unwrap();
    assert_eq!(big, format!("200000 bytes: {}", "x".repeat(200_000)));
    assert_eq!(nothing, "nothing is known by the id `nothing`");
    // A request that is longer than a view's head, with characters of several bytes at its end.
    let request = format!("read request\nfinish\n{}", "ü".repeat(3000));
    let ran = probe(&request, "").await;
    assert_eq!(ran.result.text, format!("{} bytes: {request}", request.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_lasts_from_step_to_step_and_is_journaled_when_it_changed() {
    let ran = probe("artifact a.txt text\nartifact b.txt text", "").await;
    let lines = ran.lines();
    assert_eq!(
        lines
            .iter()
            .filter(|line| !line.starts_with("run"))
            .cloned()
            .collect::<Vec<_>>(),
        [
            lines[1].as_str(),
            "artifact a.txt text/plain",
            lines[3].as_str(),
            "artifact b.txt text/plain",
            // The last step leaves it as it was.
            "step.decided 3: finish done",
        ]
    );
    assert!(
        lines[1].starts_with("step.decided 1: artifact a.txt +state "),
        "{lines:#?}"
    );
    assert!(
        lines[3].starts_with("step.decided 2: artifact b.txt +state "),
        "{lines:#?}"
    );
    check("state 65536\nartifact a text\nfinish kept", "", "kept").await;
    let ran = probe("state 65537\nartifact a text\nfinish", "").await;
    assert!(
        finished(&ran.result).contains("a state of 65537 bytes, the limit is 65536"),
        "{}",
        finished(&ran.result)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_and_random_numbers_follow_from_run_and_step() {
    let message = "random\nartifact a text\nrandom\nfinish";
    let first = probe(message, "").await;
    let again = probe(message, "").await;
    assert_eq!(first.events().next().unwrap().run, again.events().next().unwrap().run);
    assert_eq!(first.result.text, again.result.text);
    let lines: Vec<&str> = first.result.text.lines().collect();
    assert_ne!(lines[0], lines[1], "two steps");
    let world = probed();
    let runtime = world.open().await;
    let (one, other) = (ask(&runtime, message).await, ask(&runtime, message).await);
    assert_eq!(one.result.text, first.result.text);
    assert_ne!(one.result.text, other.result.text, "two runs");
}

/// Pattern, message, code of the error, and a part of what it says.
const FAILURES: [(&str, &str, &str, &str); 16] = [
    (
        "pattern_probe",
        "empty",
        "bad-decision",
        "`pattern_probe` decided something impossible: no action",
    ),
    (
        "pattern_probe",
        "fail no more",
        "pattern-failed",
        "`pattern_probe`: no more",
    ),
    ("pattern_probe", "trap", "plugin-trapped", "the probe was asked to trap"),
    (
        "pattern_probe",
        "loop",
        "cpu-limit",
        "`pattern_probe` was stopped after 1000 ms of processor time",
    ),
    (
        "pattern_probe",
        "asked nobody",
        "bad-decision",
        "the call \"nobody\", which the model did not ask for",
    ),
    (
        "pattern_probe",
        "gibberish",
        "pattern-failed",
        "does not know the line `gibberish `",
    ),
    (
        "pattern_loop",
        "x",
        "cpu-limit",
        "`pattern_loop` was stopped after 1000 ms of processor time",
    ),
    ("pattern_trap", "x", "plugin-trapped", "the pattern trapped in step 1"),
    ("pattern_garbage", "no-actions", "bad-decision", "no action"),
    (
        "pattern_garbage",
        "unknown-call",
        "bad-decision",
        "the call \"no-such-call\"",
    ),
    (
        "pattern_garbage",
        "unknown-reply",
        "bad-decision",
        "\"no-such-reply\", which is no reply",
    ),
    (
        "pattern_garbage",
        "big-state",
        "bad-decision",
        "a state of 1048576 bytes, the limit is 65536",
    ),
    (
        "pattern_garbage",
        "many-actions",
        "transfer-limit",
        "passed more than 8 MiB to the host in one call",
    ),
    (
        "pattern_garbage",
        "bad-role",
        "bad-decision",
        "a message with the role \"root\", wanted `user` or `system`",
    ),
    (
        "pattern_garbage",
        "bad-schema",
        "bad-decision",
        "a schema that is not JSON",
    ),
    // The first decision is a tool's error, which is no failure; the second is the pattern's own.
    (
        "pattern_garbage",
        "unknown-tool",
        "pattern-failed",
        "there is no garbage called ``",
    ),
];

/// A pattern that fails ends its run, says why, and leaves the session as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patterns_that_fail() {
    let mut world = World::new().limits("cpu_ms = 1000").script(says("still here"));
    let mut agents = String::new();
    for pattern in ["pattern_probe", "pattern_loop", "pattern_trap", "pattern_garbage"] {
        world = world.guest(pattern);
        let _ = writeln!(
            agents,
            "[agents.{pattern}]\nmodel = \"script\"\npattern = \"{pattern}\""
        );
    }
    let world = world.agents(&agents);
    let runtime = world.open().await;
    for (number, (pattern, message, code, said)) in FAILURES.into_iter().enumerate() {
        let session = format!("case-{number}");
        let mut request = crate::support::world::request_in(&session, message);
        request.agent = Some(pattern.to_owned());
        let ran = Ran::collect(runtime.run(request.clone()).await.unwrap()).await;
        let error = ran
            .result
            .error
            .clone()
            .unwrap_or_else(|| panic!("{pattern} {message}: {:#?}", ran.lines()));
        assert_eq!(
            (ran.result.stop_reason, error.code.as_str()),
            (StopReason::PatternFailed, code),
            "{message}: {error}"
        );
        assert!(error.message.contains(said), "{pattern} {message}: {error}");
        assert!(error.message.contains(pattern) || code == "bad-decision", "{error}");
        request.agent = Some("main".to_owned());
        let next = Ran::collect(runtime.run(request).await.unwrap()).await;
        assert_eq!(next.result.text, "still here", "{pattern} {message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_run_beside_each_other_unless_one_is_exclusive() {
    let calls = ["slow", "slow", "slow", "noisy", "slow", "slow"].map(|tool| match tool {
        "slow" => ("echo__slow", r#"{"ms":30}"#),
        _ => ("echo__noisy", r#"{"bytes":1}"#),
    });
    let world = World::new()
        .guest("echo")
        .tools(&["echo"])
        .script(asks(&calls) + &says("done"));
    let ran = world.ask("go").await;
    let order: Vec<String> = ran
        .events()
        .filter_map(|event| match &event.body {
            EventBody::ToolStarted { name, .. } => Some(format!("start {name}")),
            EventBody::ToolFinished { name, .. } => Some(format!("end {name}")),
            _ => None,
        })
        .collect();
    let (start, end) = (["start echo__slow"; 3], ["end echo__slow"; 3]);
    let expected = [
        &start[..],
        &end,
        &["start echo__noisy", "end echo__noisy"],
        &start[..2],
        &end[..2],
    ]
    .concat();
    assert_eq!(order, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_in_one_reply_are_no_more_than_the_limit() {
    let calls = vec![("echo__echo", r#"{"text":"a"}"#); 10_000];
    let world = World::new()
        .guest("echo")
        .tools(&["echo"])
        .agent("limits = { tool_calls = 3 }")
        .script(asks(&calls));
    let ran = world.ask("go").await;
    assert_eq!(ran.calls().len(), 3);
    let error = ran.result.error.unwrap();
    assert_eq!(
        (ran.result.stop_reason, error.code.as_str()),
        (StopReason::MaxToolCalls, "max-tool-calls")
    );
    assert!(
        error
            .message
            .contains("limit of 3 tool calls, 9997 more were asked for"),
        "{error}"
    );
    assert!(error.hint.is_some_and(|hint| hint.contains("limits.tool_calls")));
}

/// Reads a run until something happens.
async fn until(stream: &mut sandbar::RunStream, happens: impl Fn(&StreamItem) -> bool) {
    loop {
        let item = stream.next().await.expect("it happens before the end").unwrap();
        if happens(&item) {
            return;
        }
    }
}

fn is_event(item: &StreamItem, name: &str) -> bool {
    matches!(item, StreamItem::Event(event) if event.body.name() == name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_cancelled_while_the_model_is_silent() {
    let world = World::new().script("[[reply]]\nhang = true\n[[reply]]\ntext = \"not due\"\n");
    let runtime = world.open().await;
    let mut stream = runtime.run(RunRequest::new("go")).await.unwrap();
    until(&mut stream, |item| is_event(item, "model.started")).await;
    stream.cancel();
    let ran = Ran::collect(stream).await;
    let expected = [
        "model.discarded cancelled: the run was cancelled",
        "run.finished cancelled \"\" [cancelled: the run was cancelled] steps 1 tools 0 models 0",
    ];
    assert_eq!(ran.lines(), expected);
}

/// Whoever reads a journal finds the beginning of each run in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_cancelled_at_once_has_begun() {
    let world = World::new().script(says("not due"));
    let runtime = world.open().await;
    for _ in 0..20 {
        let stream = runtime.run(RunRequest::new("go")).await.unwrap();
        stream.cancel();
        let ran = Ran::collect(stream).await;
        assert_eq!(ran.lines()[0], "run.started main \"go\"");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_ends_when_its_time_is_over() {
    let world = World::new().script("[[reply]]\nhang = true\n");
    let runtime = world.open().await;
    let limits = Limits {
        wall_ms: 3_000,
        ..Limits::default()
    };
    let request = RunRequest {
        limits: Some(limits),
        ..RunRequest::new("go")
    };
    let ran = Ran::collect(runtime.run(request).await.unwrap()).await;
    assert_eq!(
        finished(&ran.result),
        "timeout \"\" [run-timeout: the run's 3 s are over] steps 1 tools 0 models 0"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_before_a_run_was_stopped_is_kept() {
    // It would go on for two minutes.
    let text = "One two three four five. ".repeat(480);
    let world = World::new().script(format!("[[reply]]\ntext = \"{text}\"\nchunk = 4\ndelay_ms = 40\n"));
    let runtime = world.open().await;
    let mut stream = runtime.run(RunRequest::new("go")).await.unwrap();
    until(&mut stream, |item| matches!(item, StreamItem::Delta(_))).await;
    stream.cancel();
    let ran = Ran::collect(stream).await;
    assert_eq!(ran.result.stop_reason, StopReason::Cancelled);
    assert!(
        ran.result.text.starts_with("One ") && ran.result.text.len() < text.len(),
        "{}",
        ran.result.text
    );
}

/// With a place for one instance: if the guest had stayed, nothing could run after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_is_gone_when_its_run_is_cancelled() {
    let world = probed()
        .guest("loop")
        .guest("sleep_forever")
        .limits("cpu_ms = 60000\nwall_ms = 60000\nmax_instances = 1");
    let text = world.config_text().replace(
        "plugins = [\"echo\"]",
        "plugins = [\"echo\", \"loop\", \"sleep_forever\"]",
    );
    let config = sandbar::Config::from_toml(&text, &world.path("")).unwrap();
    let runtime = sandbar::Runtime::open_with(config, world.options()).await.unwrap();
    for tool in ["loop__spin", "sleep_forever__sleep"] {
        let mut stream = runtime
            .run(RunRequest::new(format!("tools {tool} {{}}")))
            .await
            .unwrap();
        until(&mut stream, |item| is_event(item, "tool.started")).await;
        stream.cancel();
        let ran = Ran::collect(stream).await;
        assert_eq!(ran.said(tool), "cancelled: the run was cancelled");
        let session = ran.session.as_str();
        let next = ask_in(&runtime, session, "tools echo__echo {\"text\":\"alive\"}\nread result").await;
        assert_eq!(next.result.text, "5 bytes: alive", "{tool}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_calls_of_one_id_in_a_reply_are_the_models_failure() {
    let call = r#"{ id = "same", name = "echo__echo", arguments = { text = "a" } }"#;
    let script = format!("[[reply]]\ncalls = [{call}, {call}]\n");
    let ran = World::new()
        .guest("echo")
        .tools(&["echo"])
        .script(script)
        .ask("go")
        .await;
    assert_eq!(
        line(ran.events().last().unwrap()),
        "run.finished model-failed \"\" [model-malformed: the call `same` was started twice] steps 1 tools 0 models 0"
    );
}
