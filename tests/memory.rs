//! What an agent remembers, what plugins keep, and what becomes of a run whose memory fails.

use sandbar::Attended;
use sandbar::protocol::{
    EventBody, MemoryOp, MemoryOperation, MemoryOutcome, RunId, RunRequest, StopReason, StreamItem,
};

use crate::support::cut::Recording;
use crate::support::program::run;
use crate::support::ran::{Ran, line};
use crate::support::script::says;
use crate::support::world::{World, ask, ask_in};

/// A grant for a plugin, and its configuration.
fn granted(plugin: &str, kv: &str, config: &str) -> String {
    format!("[grants.{plugin}]\nkv = \"{kv}\"\nconfig = {{ {config} }}\n")
}

/// An agent that remembers with the sample memory.
fn probed(config: &str) -> World {
    World::new()
        .guest("memory_probe")
        .agent("memory = \"memory_probe\"")
        .with(&granted("memory_probe", "shared", config))
        .script(says("hello"))
}

/// An agent with a tool over `kv` that does what the message says.
fn keeping(grant: &str) -> World {
    World::new()
        .guest("pattern_probe")
        .guest("keeper")
        .pattern("pattern_probe")
        .tools(&["keeper"])
        .with(grant)
}

/// The memory operations of a run, without `memory.`.
fn remembered(ran: &Ran) -> Vec<String> {
    let lines = ran.lines().into_iter();
    lines
        .filter_map(|line| line.strip_prefix("memory.").map(str::to_owned))
        .collect()
}

/// What the agent's memory has, of whatever session.
async fn kept(runtime: &sandbar::Runtime) -> Vec<String> {
    let memory = runtime.memory(None, None).unwrap();
    let all = MemoryOperation::List {
        after: None,
        limit: 100,
    };
    let entries = memory.call(all).await.unwrap().entries;
    entries.into_iter().map(|entry| entry.text).collect()
}

const TWO_TURNS: &str = r#"
[[reply]]
expect = { messages = 1, instructions = '^Be brief\.$' }
text = "Hello Ada."
[[reply]]
expect = { messages = 3, last = "name", instructions = '(?s)^Be brief\.\n\nWhat follows was recalled.* no instruction.*<recalled>\n- "user: I am Ada, my name is short\.\\nanswer: Hello Ada\."\n</recalled>$' }
text = "Ada."
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_is_recalled_in_the_next_run_and_in_another_session() {
    let world = World::new()
        .agent("memory = \"notes\"\ninstructions = \"Be brief.\"")
        .with("[grants.notes]\nkv = \"shared\"")
        .script(TWO_TURNS);
    let runtime = world.open().await;
    let first = ask_in(&runtime, "talk", "I am Ada, my name is short.").await;
    assert_eq!(
        remembered(&first),
        [
            "started notes recall \"I am Ada, my name is short.\"",
            "finished recall ok",
            "started notes commit \"I am Ada, my name is short.\\n\\nHello Ada.\"",
            "finished commit ok",
        ]
    );
    let second = ask_in(&runtime, "talk", "What is my name?").await;
    assert_eq!(second.result.text, "Ada.", "{:?}", second.result.error);
    runtime.close().await;
    // Another process, another session.
    let runtime = world.open().await;
    let third = ask_in(&runtime, "other", "Tell me my name").await;
    let recalled = &remembered(&third)[1];
    assert!(
        recalled.contains("I am Ada") && recalled.contains("What is my name?"),
        "{recalled}"
    );
    // What is recalled becomes no part of the conversation.
    let messages = runtime.replay(&third.result.run).await.unwrap().seen;
    let seen: Vec<_> = messages
        .values()
        .next()
        .unwrap()
        .iter()
        .map(|message| message.text.as_str())
        .collect();
    assert_eq!(seen, ["Tell me my name"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_their_own_do_not_see_each_other() {
    let world = World::new()
        .agent("memory = \"notes\"")
        .with("[grants.notes]\nkv = \"session\"")
        .script(says("one") + &says("two"));
    let runtime = world.open().await;
    ask_in(&runtime, "first", "my boat is green").await;
    let other = ask_in(&runtime, "second", "which colour has my boat?").await;
    assert_eq!(remembered(&other)[1], "finished recall ok");
    let same = ask_in(&runtime, "first", "which colour has my boat?").await;
    assert_eq!(
        remembered(&same)[1],
        "finished recall ok \"user: my boat is green\\nanswer: one\""
    );
}

/// The run goes on without it, and the journal says what would let it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_grant_nothing_is_remembered() {
    let check = async |grant: &str, manifest: Option<&str>| {
        let mut world = World::new().guest("memory_probe").agent("memory = \"memory_probe\"");
        if let Some(manifest) = manifest {
            world = world.manifest("memory_probe", manifest);
        }
        let ran = world.with(grant).script(says("hello")).ask("hi").await;
        assert_eq!(
            (ran.result.stop_reason, ran.result.text.as_str()),
            (StopReason::Finished, "hello")
        );
        let failed: Vec<_> = ran
            .events()
            .filter_map(|event| match &event.body {
                EventBody::MemoryFinished {
                    outcome: MemoryOutcome::Error(error),
                    ..
                } => Some((error.code.clone(), error.hint.clone())),
                _ => None,
            })
            .collect();
        let hint = "to let it keep things, write into sandbar.toml:\n[grants.memory_probe]\nkv = \"shared\"".to_owned();
        assert_eq!(failed, vec![("denied".to_owned(), Some(hint)); 2], "{grant}");
    };
    check("", None).await;
    check("[grants.memory_probe]\nkv = \"none\"", None).await;
    // Granted, and not requested.
    check("[grants.memory_probe]\nkv = \"shared\"", Some("kind = \"memory\"")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_that_fails_ends_no_run() {
    let check = async |config: &str, expected: [&str; 2]| {
        let ran = probed(config)
            .manifest(
                "memory_probe",
                "kind = \"memory\"\nrequests.kv = \"shared\"\nlimits.cpu_ms = 500",
            )
            .ask("hi")
            .await;
        assert_eq!(
            (ran.result.stop_reason, ran.result.text.as_str()),
            (StopReason::Finished, "hello")
        );
        assert_eq!(ran.result.model_calls, 1);
        let lines = remembered(&ran);
        for (line, expected) in [&lines[1], &lines[3]].into_iter().zip(expected) {
            assert!(line.starts_with(&format!("finished {expected}")), "{config}: {line}");
        }
    };
    check("", ["recall ok", "commit ok"]).await;
    check("recall = \"loop\"", ["recall failed cpu-limit", "commit ok"]).await;
    check("recall = \"trap\"", ["recall failed plugin-trapped", "commit ok"]).await;
    check("recall = \"fail\"", ["recall failed out-of-order", "commit ok"]).await;
    check("recall = \"flood\"", ["recall failed output-too-large", "commit ok"]).await;
    // Recalling only looks, so that it may be repeated.
    check("recall = \"write\"", ["recall failed denied", "commit ok"]).await;
    check("commit = \"loop\"", ["recall ok", "commit failed cpu-limit"]).await;
    check("commit = \"trap\"", ["recall ok", "commit failed plugin-trapped"]).await;
    check("commit = \"fail\"", ["recall ok", "commit failed out-of-order"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_memory_ends_no_run() {
    let world = World::new()
        .plugin("torn", b"\0asm")
        .agent("memory = \"torn\"")
        .script(says("hello"));
    let ran = world.ask("hi").await;
    assert_eq!(ran.result.text, "hello");
    let lines = remembered(&ran);
    assert!(lines[1].contains("the plugin `torn` can't be used"), "{lines:?}");
    let world = World::new().guest("echo").agent("memory = \"echo\"");
    assert_eq!(world.try_open().await.unwrap_err().code, "config-unknown-memory");
}

/// A run whose answer doesn't come from a finished pattern is no turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_did_not_finish_is_not_remembered() {
    let ran = probed("")
        .script("[[reply]]\nerror = { code = \"boom\", message = \"no\" }\n")
        .ask("hi")
        .await;
    assert_eq!(ran.result.stop_reason, StopReason::ModelFailed);
    assert_eq!(
        remembered(&ran),
        ["started memory_probe recall \"hi\"", "finished recall ok"]
    );
}

const RECALLED: &str = r#"
[[reply]]
expect = { instructions = "<recalled>\n- \"an old entry\"\n</recalled>$" }
text = "first"
calls = [{ name = "nothing", arguments = {} }]
[[reply]]
expect = { instructions = "<recalled>\n- \"an old entry\"\n</recalled>$" }
text = "second"
"#;

/// A whole run of the sample memory, which had one entry before.
async fn recording(world: &World) -> (Recording, RunId) {
    let runtime = world.open().await;
    let memory = runtime.memory(None, None).unwrap();
    let entry = sandbar::protocol::MemoryEntry {
        text: "an old entry".to_owned(),
        ..Default::default()
    };
    memory.call(MemoryOperation::Remember { entry }).await.unwrap();
    let ran = ask(&runtime, "go").await;
    assert_eq!(ran.result.text, "second", "{:?}", ran.result.error);
    assert_eq!(kept(&runtime).await, ["an old entry", "go -> second"]);
    let recording = Recording::of(&runtime, &ran.session);
    runtime.close().await;
    (recording, ran.result.run)
}

/// How many events there are up to the beginning, or the end, of an operation.
fn up_to(recording: &Recording, wanted: MemoryOp, ended: bool) -> usize {
    recording.up_to(|body| match body {
        EventBody::MemoryStarted { op, .. } => *op == wanted && !ended,
        EventBody::MemoryFinished { op, .. } => *op == wanted && ended,
        _ => false,
    })
}

/// Continues the run in a place where the memory is empty. Gives its memory operations, and what is kept then.
async fn continued(mut world: World, recording: &Recording, run: &RunId, events: usize) -> (Ran, Vec<String>) {
    world = world.data_dir(&format!("cut-{events}"));
    recording.cut(&world, events).await;
    let runtime = world.open().await;
    let ran = Ran::collect(runtime.resume(run, Attended::Nobody).await.unwrap()).await;
    assert_eq!(
        (ran.result.stop_reason, ran.result.text.as_str()),
        (StopReason::Finished, "second")
    );
    let replay = runtime.replay(run).await.unwrap();
    assert!(replay.agrees(), "{:#?}", replay.steps);
    let kept = kept(&runtime).await;
    runtime.close().await;
    (ran, kept)
}

/// The model is told what it was told before, whatever the memory would recall now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_on_with_what_was_recalled() {
    let world = probed("").script(RECALLED);
    let (recording, run) = recording(&world).await;
    let (ran, kept) = continued(world, &recording, &run, up_to(&recording, MemoryOp::Recall, true)).await;
    assert_eq!(
        remembered(&ran).len(),
        2,
        "nothing is recalled again: {:?}",
        remembered(&ran)
    );
    assert_eq!(kept, ["go -> second"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_is_committed_once() {
    let world = probed("").script(RECALLED);
    let (recording, run) = recording(&world).await;
    // It was, and the run only has to end.
    let (ran, kept) = continued(world, &recording, &run, up_to(&recording, MemoryOp::Commit, true)).await;
    assert_eq!(remembered(&ran), [""; 0]);
    assert_eq!(kept, [""; 0], "not a second time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_was_cut_off_is_not_repeated_unless_that_does_no_harm() {
    let world = probed("").script(RECALLED);
    let (recorded, run) = recording(&world).await;
    let (ran, kept) = continued(world, &recorded, &run, up_to(&recorded, MemoryOp::Commit, false)).await;
    let lines = remembered(&ran);
    assert!(
        lines[0].starts_with("finished commit failed outcome-unknown"),
        "{lines:?}"
    );
    assert_eq!((lines.len(), kept.len()), (1, 0));
    // The bundled one keeps a turn under the name of its run.
    let world = World::new()
        .agent("memory = \"notes\"")
        .with("[grants.notes]\nkv = \"shared\"")
        .script(says("second"));
    let runtime = world.open().await;
    let ran = ask(&runtime, "go").await;
    let (recorded, run) = (Recording::of(&runtime, &ran.session), ran.result.run.clone());
    runtime.close().await;
    let (ran, kept) = continued(world, &recorded, &run, up_to(&recorded, MemoryOp::Commit, false)).await;
    let lines = remembered(&ran);
    assert_eq!(
        lines,
        [
            "started notes commit \"go\\n\\nsecond\" attempt 2",
            "finished commit ok"
        ]
    );
    assert_eq!(kept, ["user: go\nanswer: second"]);
}

/// The run has its answer already: who cancels now doesn't get less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_a_commit_leaves_the_answer() {
    let world = probed("commit = \"loop\"");
    let runtime = world.open().await;
    let mut stream = runtime.run(RunRequest::new("hi")).await.unwrap();
    let is_commit = |body: &EventBody| {
        matches!(
            body,
            EventBody::MemoryStarted {
                op: MemoryOp::Commit,
                ..
            }
        )
    };
    while let Some(item) = stream.next().await {
        if matches!(item.unwrap(), StreamItem::Event(event) if is_commit(&event.body)) {
            stream.cancel();
        }
    }
    let result = stream.result().await.unwrap();
    assert_eq!(
        (result.stop_reason, result.text.as_str()),
        (StopReason::Finished, "hello")
    );
    let events = runtime.store().events(&result.session, 0, 100).unwrap();
    let last: Vec<String> = events.iter().rev().take(2).map(line).collect();
    assert_eq!(
        last[1],
        "memory.finished commit failed cancelled: the run was cancelled"
    );
    runtime.close().await;
}

/// People and programs remember, list and forget without a run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_can_be_asked_without_a_run() {
    let world = World::new()
        .agent("memory = \"notes\"")
        .with("[grants.notes]\nkv = \"shared\"");
    let runtime = world.open().await;
    let memory = runtime.memory(Some("main"), None).unwrap();
    let entry = |id: &str, text: &str| MemoryOperation::Remember {
        entry: sandbar::protocol::MemoryEntry {
            id: id.to_owned(),
            text: text.to_owned(),
            annotations: [("from".to_owned(), "me".to_owned())].into(),
        },
    };
    let id = memory.call(entry("", "buy milk")).await.unwrap().id.unwrap();
    assert_eq!(
        memory.call(entry(&id, "buy bread")).await.unwrap().id.as_ref(),
        Some(&id)
    );
    memory.call(entry("b", "mend the boat")).await.unwrap();
    let query = "what do I have to buy?".to_owned();
    let found = memory.call(MemoryOperation::Recall { query }).await.unwrap().entries;
    assert_eq!((found.len(), found[0].text.as_str()), (1, "buy bread"));
    assert_eq!(found[0].annotations["from"], "me");
    let page = MemoryOperation::List { after: None, limit: 1 };
    let page = memory.call(page).await.unwrap();
    assert_eq!(
        (page.entries[0].text.as_str(), page.next.as_deref()),
        ("mend the boat", Some("b"))
    );
    memory
        .call(MemoryOperation::Forget { id: "b".to_owned() })
        .await
        .unwrap();
    assert_eq!(kept(&runtime).await, ["buy bread"]);
    let without = World::new().open().await;
    assert_eq!(without.memory(None, None).unwrap_err().code, "no-memory");
}

#[test]
fn the_command_line_lists_remembers_and_forgets() {
    let world = World::new()
        .agent("memory = \"notes\"")
        .with("[grants.notes]\nkv = \"shared\"");
    let directory = world.write_config();
    let said = |arguments: &[&str], exit| run(directory, &[&["memory"], arguments].concat()).expect(exit);
    let nothing = said(&["list"], 0);
    assert_eq!(
        (nothing.out.as_str(), nothing.err.as_str()),
        ("", "the memory `notes` has nothing\n")
    );
    let id = said(&["remember", "buy milk"], 0).out.trim().to_owned();
    assert_eq!(
        said(&["remember", "--json", "--id", &id, "buy bread"], 0).out,
        format!("{{\"id\":\"{id}\"}}\n")
    );
    let listed = said(&["list"], 0).out;
    assert!(
        listed.contains(&id) && listed.contains("buy bread") && !listed.contains("milk"),
        "{listed}"
    );
    let entry: serde_json::Value = serde_json::from_str(&said(&["list", "--json"], 0).out).unwrap();
    assert_eq!(
        (entry["id"].as_str(), entry["text"].as_str()),
        (Some(id.as_str()), Some("buy bread"))
    );
    assert_eq!(said(&["forget", &id], 0).err, format!("forgot {id}\n"));
    assert_eq!(said(&["list", "--json"], 0).out, "");
    let refused = said(&["remember", ""], 7).err;
    assert!(refused.contains("a note has 1 to 4096 bytes"), "{refused}");
    let world = World::new();
    let missing = run(world.write_config(), &["memory", "list"]).expect(2).err;
    assert!(
        missing.contains("the agent `main` has no memory") && missing.contains("memory = \"notes\""),
        "{missing}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plugin_keeps_is_its_own() {
    let world = keeping("[grants.keeper]\nkv = \"session\"\n[grants.twin]\nkv = \"session\"")
        .guest_as("keeper", "twin")
        .agent_anew("pattern = \"pattern_probe\"\nplugins = [\"keeper\", \"twin\"]");
    let runtime = world.open().await;
    let said = async |session: &str, tool: &str, input: &str| {
        let ran = ask_in(&runtime, session, &format!("tools {tool} {input}")).await;
        ran.said(tool)
    };
    assert_eq!(said("a", "keeper__set", r#"{"key":"k","value":"v"}"#).await, "kept");
    assert_eq!(said("a", "keeper__get", r#"{"key":"k"}"#).await, "= v");
    assert_eq!(said("a", "twin__get", r#"{"key":"k"}"#).await, "none");
    assert_eq!(said("b", "keeper__get", r#"{"key":"k"}"#).await, "none");
    assert_eq!(said("a", "keeper__set", r#"{"key":"l","value":"w"}"#).await, "kept");
    assert_eq!(said("a", "keeper__keys", r#"{"key":"","n":1}"#).await, "k and more");
    assert_eq!(said("a", "keeper__keys", r#"{"key":"","n":1,"after":"k"}"#).await, "l");
    assert_eq!(said("a", "keeper__delete", r#"{"key":"k"}"#).await, "gone");
    assert_eq!(said("a", "keeper__get", r#"{"key":"k"}"#).await, "none");
    // What is wrong with a call is told to the plugin, which goes on.
    assert_eq!(
        said("a", "keeper__set", r#"{"key":"","value":"v"}"#).await,
        "invalid-key"
    );
    assert_eq!(
        said("a", "keeper__set", r#"{"key":"a b","value":"v"}"#).await,
        "invalid-key"
    );
    assert_eq!(said("a", "keeper__set", r#"{"key":"k","n":65536}"#).await, "kept");
    assert_eq!(said("a", "keeper__set", r#"{"key":"k","n":65537}"#).await, "too-large");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_grant_a_plugin_keeps_nothing() {
    let check = async |world: World| {
        let ran = world
            .ask("tools keeper__set {\"key\":\"k\"}\ntools keeper__get {\"key\":\"k\"}")
            .await;
        assert_eq!(
            (ran.said("keeper__set"), ran.said("keeper__get")),
            ("denied".to_owned(), "denied".to_owned())
        );
    };
    check(keeping("")).await;
    check(keeping("[grants.keeper]\nkv = \"none\"")).await;
    let unrequested = keeping("[grants.keeper]\nkv = \"shared\"");
    check(unrequested.manifest("keeper", "kind = \"tool\"\n[requests]\nfiles = \"read-only\"")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plugin_keeps_has_a_limit() {
    let world = keeping("[grants.keeper]\nkv = \"shared\"");
    let ran = world
        .ask("tools keeper__fill {\"n\":65000}\ntools keeper__hammer {}")
        .await;
    // 4 MiB, with what a key counts for.
    assert_eq!(ran.said("keeper__fill"), "64 then quota");
    assert_eq!(ran.said("keeper__hammer"), "4096 then too-many-calls");
}
