//! Tasks for other agents: who may give them, what they may spend, and what becomes of them when somebody waits, cancels or dies.

mod recovery;
mod waiting;

use sandbar::protocol::{ChildRun, EventBody, RunRequest, StopReason, StreamItem, Usage};
use sandbar::{Attended, RunStream, Runtime};

use crate::support::desk::Desk;
use crate::support::ran::Ran;
use crate::support::script::{asks, asks_once, says};
use crate::support::world::{World, ask, ask_in, request_in};

const TEXT: &str = r#"{"text":"a"}"#;

/// The agent `main` does what it is told and may give tasks to `helper`, which follows a script.
fn chief(desk: &Desk, helper: &str) -> World {
    World::new()
        .guest("pattern_probe")
        .desk(desk)
        .pattern("pattern_probe")
        .agent("delegates = [\"helper\"]")
        .agents(
            "[agents.helper]\nmodel = \"helper\"\n[models.helper]\nprovider = \"scripted\"\nscript = \"helper.toml\"",
        )
        .file("helper.toml", helper)
}

/// The runs that work on what a run has handed over, in its order.
fn children(ran: &Ran) -> Vec<ChildRun> {
    let children = ran.events().filter_map(|event| match &event.body {
        EventBody::DelegateStarted { child, .. } => child.clone(),
        _ => None,
    });
    children.collect()
}

async fn read_in(runtime: &Runtime, session: &str, message: &str) -> Ran {
    Ran::read(runtime.run(request_in(session, message)).await.unwrap()).await
}

/// Reads a run until it has handed over a task, and gives who works on it.
async fn until_handed_over(stream: &mut RunStream) -> ChildRun {
    loop {
        let item = stream.next().await.expect("it hands over a task").unwrap();
        if let StreamItem::Event(event) = item
            && let EventBody::DelegateStarted { child, .. } = &event.body
        {
            return child.clone().expect("it is not refused");
        }
    }
}

/// Reads along until a tool is called.
async fn until_called(runtime: &Runtime, child: &ChildRun) {
    loop {
        // The session is made when the task is handed over, and nobody may write to it yet.
        match runtime.store().subscribe(&child.session, 0) {
            Ok(mut events) => {
                while let Some(item) = events.next().await {
                    if matches!(item.unwrap(), StreamItem::Event(event) if matches!(event.body, EventBody::ToolStarted { .. }))
                    {
                        return;
                    }
                }
            }
            Err(error) => assert_eq!(error.code, "session-not-found"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_done_in_a_session_of_its_own() {
    let desk = Desk::new();
    let helper = asks(&[("desk__send", TEXT)])
        + "usage = { input_tokens = 7 }\n"
        + &says(&"x".repeat(3000))
        + "usage = { input_tokens = 9, output_tokens = 2 }\n";
    let world = chief(&desk, &helper);
    let runtime = world.open().await;
    let ran = ask_in(&runtime, "talk", "delegate helper Send a.\nview\nfinish").await;
    let [child] = children(&ran).try_into().unwrap();
    assert_eq!(desk.calls(), ["send a"]);
    // The pattern sees the head, and how long it is.
    let said: Vec<&str> = ran.result.text.lines().collect();
    assert_eq!(said[0], format!("delegate: {}", "x".repeat(2048)));
    assert!(
        said[1].contains("tool-calls-left 198") && said[1].ends_with("note delegate 3000"),
        "{}",
        said[1]
    );
    let usage = Usage {
        input_tokens: Some(16),
        output_tokens: Some(2),
        ..Usage::default()
    };
    let result = &ran.result;
    assert_eq!(
        (result.steps, result.tool_calls, result.model_calls, result.usage),
        (2, 2, 2, usage),
        "the helper's calls, and the one of it"
    );

    let store = runtime.store();
    let run = store.run(&child.run).unwrap();
    assert_eq!(
        (run.parent, run.session, run.stop_reason),
        (
            Some(result.run.clone()),
            child.session.clone(),
            Some(StopReason::Finished)
        )
    );
    let (above, below) = (
        store.session(&result.session).unwrap().unwrap(),
        store.session(&child.session).unwrap().unwrap(),
    );
    assert_eq!(
        (above.delegated_by, below.delegated_by),
        (None, Some(result.run.clone()))
    );
    assert_eq!(above.workspace, below.workspace);
    assert_eq!((below.agent.as_str(), below.title.as_str()), ("helper", "Send a."));
    // A replay goes by the recording.
    assert!(runtime.replay(&result.run).await.unwrap().agrees());
    assert_eq!((desk.calls().len(), store.sessions(10, None).unwrap().len()), (1, 2));
    runtime.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_answer_can_be_read() {
    let desk = Desk::new();
    let world = chief(&desk, &says(&"x".repeat(3000)));
    let ran = world.ask("delegate helper go\nemit done {}\nread 1").await;
    let [delegation] = ran
        .events()
        .filter_map(|event| match &event.body {
            EventBody::DelegateFinished { effect, .. } => Some(effect.clone()),
            _ => None,
        })
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    // Ids are the same in every world.
    let again = chief(&desk, &says(&"x".repeat(3000)));
    let ran = again
        .ask(&format!("delegate helper go\nread {delegation}\nfinish"))
        .await;
    assert!(ran.result.text.ends_with(&format!("3000 bytes: {}", "x".repeat(3000))));
}

/// What the pattern is told where a task may not be given; nobody is asked, and nothing is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_delegates_unless_the_configuration_says_so() {
    let desk = Desk::new();
    let world = chief(&desk, &says("never")).with("[agents.other]\nmodel = \"helper\"\npattern = \"pattern_probe\"");
    let runtime = world.open().await;
    let ran = ask(&runtime, "delegate other x\ndelegate nobody x").await;
    assert_eq!(
        ran.result.text,
        "delegate-failed: error [delegation-not-allowed]: the agent `main` may not delegate to `other`\n\
         hint: write `delegates = [\"helper\", \"other\"]` under `[agents.main]` in the configuration\n\
         delegate-failed: error [delegation-not-allowed]: the agent `main` may not delegate to `nobody`\n\
         hint: write `delegates = [\"helper\", \"nobody\"]` under `[agents.main]` in the configuration"
    );
    let request = RunRequest {
        agent: Some("other".to_owned()),
        ..RunRequest::new("delegate helper x")
    };
    let other = Ran::collect(runtime.run(request).await.unwrap()).await;
    assert!(
        other
            .result
            .text
            .contains("write `delegates = [\"helper\"]` under `[agents.other]`")
    );
    assert_eq!((ran.result.tool_calls, other.result.tool_calls), (0, 0));
    assert_eq!(runtime.store().sessions(10, None).unwrap().len(), 2);
    assert!(runtime.replay(&ran.result.run).await.unwrap().agrees());
    runtime.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_handed_on_four_times_at_most() {
    let world = World::new()
        .guest("pattern_probe")
        .pattern("pattern_probe")
        .agent("delegates = [\"main\"]");
    let runtime = world.open().await;
    let ran = ask(&runtime, &format!("{}finish top", "delegate main ".repeat(5))).await;
    let expected = "delegate: ".repeat(4)
        + "delegate-failed: error [delegation-too-deep]: the run is 4 delegations deep, and that is the limit\n\
           hint: let an agent further up do it";
    assert_eq!(
        (ran.result.text.as_str(), ran.result.tool_calls),
        (expected.as_str(), 4)
    );
    assert_eq!(runtime.store().sessions(10, None).unwrap().len(), 5);
    runtime.close().await;
}

/// Delegations and the calls of who works on them come out of one budget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_spends_what_its_run_has_left() {
    let desk = Desk::new();
    let world = chief(
        &desk,
        &(asks(&[("desk__look", TEXT), ("desk__send", TEXT)]) + &says("done")),
    )
    .agent("limits = { tool_calls = 4 }");
    let runtime = world.open().await;
    let ran = ask(&runtime, "delegate helper one\ndelegate helper two\nfinish").await;
    assert_eq!(
        ran.lines()
            .iter()
            .filter(|line| line.starts_with("delegate.finished"))
            .collect::<Vec<_>>(),
        [
            "delegate.finished helper ok \"done\" tools 2 models 2",
            "delegate.finished helper failed max-tool-calls: the agent `helper` gave no answer: the run has used up its limit of \
             0 tool calls, 2 more were asked for tools 0 models 1",
        ]
    );
    assert_eq!((desk.calls().len(), ran.result.tool_calls), (2, 4));
    let ran = ask(
        &runtime,
        "delegate helper one\ntools desk__look {\"text\":\"b\"}\ndelegate helper two\nfinish",
    )
    .await;
    let error = ran.result.error.unwrap();
    assert_eq!(
        (ran.result.stop_reason, error.code.as_str(), ran.result.tool_calls),
        (StopReason::MaxToolCalls, "max-tool-calls", 4)
    );
    runtime.close().await;
}

/// A helper has the time that is left, and it counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_that_never_ends_is_stopped_with_its_run() {
    let desk = Desk::new();
    let hangs = "[[reply]]\nhang = true\n";
    let world = chief(&desk, hangs).script(hangs).agent("limits = { wall_seconds = 5 }");
    let runtime = world.open().await;
    let ran = ask(&runtime, "delegate helper go\nmodel").await;
    let [child] = children(&ran).try_into().unwrap();
    assert_eq!(ran.result.stop_reason, StopReason::Timeout);
    assert_eq!(
        runtime.store().run(&child.run).unwrap().stop_reason,
        Some(StopReason::Timeout)
    );
    assert!(ran.result.wall_ms >= 5000, "{}", ran.result.wall_ms);
    runtime.close().await;
}

/// The helper works on the same files: its calls queue with those of others, and the delegation itself holds nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_shares_the_workspace() {
    let desk = Desk::new();
    let write = |content: &str| format!("{{\"path\":\"a.md\",\"content\":\"{content}\"}}");
    let world = chief(&desk, &asks_once("files__write", &write("by the helper")))
        .tools(&["files"])
        .with("[grants.files]\nfiles = \"read-write\"")
        .file("work/a.md", "old");
    let text = world
        .config_text()
        .replace("[agents.helper]\n", "[agents.helper]\nplugins = [\"files\"]\n");
    let config = sandbar::Config::from_toml(&text, &world.path("")).unwrap();
    let runtime = Runtime::open_with(config, world.options()).await.unwrap();
    let message = format!(
        "tools files__write {}\ndelegate helper go\ntools files__read {{\"path\":\"a.md\"}}\nfinish",
        write("by the chief")
    );
    let ran = ask(&runtime, &message).await;
    assert_eq!(ran.result.stop_reason, StopReason::Finished, "{:#?}", ran.lines());
    assert!(ran.said("files__read").contains("by the helper"));
    assert_eq!(world.read("work/a.md"), "by the helper");
    runtime.close().await;
}

/// Whoever stops a run stops who works for it, and what that has used is known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_a_run_cancels_who_works_for_it() {
    let desk = Desk::new();
    let helper = asks(&[("desk__wait", TEXT)]) + "usage = { input_tokens = 5 }\n";
    let world = chief(&desk, &helper);
    let runtime = world.open().await;
    for by_stream in [true, false] {
        let session = if by_stream { "one" } else { "two" };
        let mut stream = runtime
            .run(request_in(session, "delegate helper go\nfinish never"))
            .await
            .unwrap();
        let child = until_handed_over(&mut stream).await;
        until_called(&runtime, &child).await;
        if by_stream {
            stream.cancel();
        } else {
            assert_eq!(
                runtime.cancel(stream.run()).await.unwrap(),
                None,
                "who has it will obey"
            );
        }
        let ran = Ran::collect(stream).await;
        let result = &ran.result;
        assert_eq!(
            (result.stop_reason, result.tool_calls, result.model_calls),
            (StopReason::Cancelled, 2, 1)
        );
        assert_eq!(result.usage.input_tokens, Some(5));
        assert_eq!(
            ran.lines()[ran.lines().len() - 2],
            "delegate.finished helper failed cancelled: the run was cancelled tools 1 models 1"
        );
        let found = runtime.store().run(&child.run).unwrap();
        assert_eq!(found.stop_reason, Some(StopReason::Cancelled));
    }
    assert!(runtime.store().unfinished_runs().unwrap().is_empty());
    runtime.close().await;
}

/// Somebody stops the one who works on a task: its run goes on without an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_helper_is_a_failure_of_the_task() {
    let desk = Desk::new();
    let world = chief(&desk, &asks(&[("desk__wait", TEXT)]));
    let (here, elsewhere) = (world.open().await, world.open().await);
    let mut stream = here
        .run(request_in("talk", "delegate helper go\nfinish"))
        .await
        .unwrap();
    let child = until_handed_over(&mut stream).await;
    until_called(&here, &child).await;
    assert_eq!(
        elsewhere.cancel(&child.run).await.unwrap(),
        None,
        "who has it will obey"
    );
    let ran = Ran::collect(stream).await;
    assert_eq!(
        (ran.result.stop_reason, ran.result.text.as_str()),
        (
            StopReason::Finished,
            "delegate-failed: error [cancelled]: the agent `helper` gave no answer: the run was cancelled"
        )
    );
    here.close().await;
    elsewhere.close().await;
}

/// A person who is there is asked what the helper wants asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_is_asked_for_the_helper() {
    let desk = Desk::new();
    let world = chief(&desk, &asks_once("desk__pay", TEXT));
    let runtime = world.open().await;
    let person = crate::support::person::Person::default();
    let attended = person.says(&serde_json::json!({ "decision": "once" }));
    let stream = runtime
        .run_attended(request_in("talk", "delegate helper go\nfinish"), attended)
        .await
        .unwrap();
    let ran = Ran::collect(stream).await;
    assert_eq!(
        (ran.result.text.as_str(), desk.calls()),
        ("delegate: done", vec!["pay a".to_owned()])
    );
    assert_eq!(person.asked().len(), 1);
    let stream = runtime
        .run_attended(request_in("talk", "delegate helper go\nfinish"), Attended::Allowing)
        .await
        .unwrap();
    assert_eq!(Ran::collect(stream).await.result.text, "delegate: done");
    runtime.close().await;
}
