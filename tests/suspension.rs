//! Runs that wait for an answer: approvals, and what becomes of answers.

mod authority;
mod beside;
mod cancelling;
mod elsewhere;
mod questions;

use std::time::Duration;

use sandbar::protocol::{Answerers, EventBody, StopReason, SuspensionKind};
use sandbar::store::{ApprovalPlace, SuspensionState};
use sandbar::{Attended, Config, Runtime};
use serde_json::{Value, json};

use crate::support::desk::Desk;
use crate::support::person::{Person, answer, go_on, said};
use crate::support::ran::Ran;
use crate::support::script::{asks, asks_once, says, text};
use crate::support::world::{World, ask_in, request_in};

const RENT: &str = r#"{"text":"rent"}"#;

const DAY: Duration = Duration::from_hours(24);

/// A session that pays the rent with each request; `desk__pay` wants a person's word.
fn paying(desk: &Desk) -> World {
    let replies: String = (0..4).map(|_| asks_once("desk__pay", RENT)).collect();
    World::new().desk(desk).script(replies)
}

/// A request to its end, or to where it waits.
async fn read_in(runtime: &Runtime, session: &str, attended: Attended) -> Ran {
    let stream = runtime.run_attended(request_in(session, "go"), attended).await.unwrap();
    Ran::read(stream).await
}

/// What waits in a world with one question.
fn open_question(runtime: &Runtime) -> sandbar::store::SuspensionSummary {
    let mut open = runtime.store().open_suspensions().unwrap();
    assert_eq!(open.len(), 1, "{open:?}");
    open.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_for_days_and_is_made_as_it_was_asked_for() {
    let desk = Desk::new();
    let world = paying(&desk);
    let runtime = world.open().await;
    let waits = read_in(&runtime, "talk", Attended::Nobody).await;
    assert_eq!(waits.result.stop_reason, StopReason::Suspended);
    let Some(EventBody::Suspended(asked)) = waits.events().last().map(|event| &event.body) else {
        panic!("{:#?}", waits.lines())
    };
    let call = asked.call.as_ref().unwrap();
    assert_eq!(
        (asked.kind, asked.answered_by),
        (SuspensionKind::Approval, Answerers::Operator)
    );
    assert_eq!((call.call_id.as_str(), call.tool.as_str()), ("call-0-0", "desk__pay"));
    assert_eq!(call.arguments, json!({ "text": "rent" }));
    let summary = open_question(&runtime);
    assert_eq!((&summary.suspension, &summary.run), (&**asked, &waits.result.run));
    assert_eq!(runtime.store().run(&summary.run).unwrap().stop_reason, None);
    let busy = runtime.run(request_in("talk", "and now?")).await.unwrap_err();
    assert_eq!(busy.code, "session-suspended");
    assert!(busy.hint.unwrap().contains(asked.id.as_str()));
    assert!(desk.calls().is_empty());
    runtime.close().await;

    world.forward(3 * DAY);
    let runtime = world.open().await;
    let ran = go_on(&runtime, &asked.id, &json!({ "decision": "once" })).await;
    assert_eq!((&ran.result.run, ran.result.text.as_str()), (&waits.result.run, "done"));
    assert_eq!(desk.calls(), ["pay rent"]);
    let mut events = ran.events();
    let resumed = events.next().unwrap();
    let started = events.next().unwrap();
    assert!(resumed.at_ms > asked.expires_ms - 5 * DAY.as_millis() as u64);
    assert!(matches!(&resumed.body, EventBody::Resumed { by, .. } if by.as_deref() == Some("ada")));
    let EventBody::ToolStarted {
        effect,
        call_id,
        attempt,
        ..
    } = &started.body
    else {
        panic!("{:#?}", ran.lines())
    };
    assert_eq!(
        (Some(effect), call_id, *attempt),
        (asked.effect.as_ref(), &call.call_id, 1)
    );
    assert!(
        ran.result.wall_ms < DAY.as_millis() as u64,
        "nobody worked on it while it waited"
    );
    let state = runtime.store().suspension(&asked.id).unwrap().unwrap().state;
    assert_eq!(state, SuspensionState::Resumed);
    runtime.close().await;
}

/// What a person was asked is theirs to answer, also where who goes on with the run would not have asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_stays_a_question_whoever_goes_on() {
    for (decision, calls) in [("deny", 0), ("once", 1)] {
        let desk = Desk::new();
        let world = World::new().desk(&desk).script(asks_once("desk__send", RENT));
        let runtime = world.open().await;
        let person = Person::default();
        let waits = read_in(&runtime, "talk", person.shrugs()).await;
        let again = Ran::read(runtime.resume(&waits.result.run, Attended::Nobody).await.unwrap()).await;
        assert_eq!(
            (again.result.stop_reason, again.events().count(), desk.calls().len()),
            (StopReason::Suspended, 0, 0)
        );
        runtime.close().await;
        let world = world.with("[consent]\ntools = { \"*\" = \"allow\" }");
        let runtime = world.open().await;
        let asked = open_question(&runtime).suspension.id;
        let ran = go_on(&runtime, &asked, &json!({ "decision": decision })).await;
        assert_eq!(
            (ran.result.text.as_str(), desk.calls().len()),
            ("done", calls),
            "{decision}"
        );
        runtime.close().await;
    }
}

/// A question about a call that the configuration denies by now is taken back, and the run waits for what is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_about_what_is_denied_by_now_is_taken_back() {
    let desk = Desk::new();
    let replies = asks(&[("desk__pay", RENT), ("desk__send", RENT)]) + &says("done");
    let ask = "[consent]\ntools = { \"*\" = \"ask\" }";
    let world = World::new().desk(&desk).with(ask).script(replies);
    let runtime = world.open().await;
    read_in(&runtime, "talk", Attended::Nobody).await;
    let open = runtime.store().open_suspensions().unwrap();
    let of = |tool: &str| {
        let found = open
            .iter()
            .find(|open| open.suspension.call.as_ref().unwrap().tool == tool);
        found.unwrap().suspension.id.clone()
    };
    runtime.close().await;

    let text = world
        .config_text()
        .replace(ask, "[consent]\ntools = { \"*\" = \"ask\", desk__pay = \"deny\" }");
    let config = Config::from_toml(&text, &world.path("")).unwrap();
    let runtime = Runtime::open_with(config, world.options()).await.unwrap();
    let once = json!({ "decision": "once" });
    let waits = go_on(&runtime, &of("desk__pay"), &once).await;
    assert!(
        waits.said("desk__pay").starts_with("denied-by-rule"),
        "{:#?}",
        waits.lines()
    );
    assert_eq!(open_question(&runtime).suspension.id, of("desk__send"));
    let ran = go_on(&runtime, &of("desk__send"), &once).await;
    assert_eq!(
        (ran.result.text.as_str(), desk.calls()),
        ("done", vec!["send rent".to_owned()])
    );
    runtime.close().await;
}

/// Who allows everything beforehand answers also what was asked before they came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_allowed_by_who_allows_everything() {
    let desk = Desk::new();
    let world = paying(&desk);
    let runtime = world.open().await;
    let waits = read_in(&runtime, "talk", Attended::Nobody).await;
    let asked = open_question(&runtime).suspension.id;
    let ran = Ran::collect(runtime.resume(&waits.result.run, Attended::Allowing).await.unwrap()).await;
    assert_eq!(
        (ran.result.text.as_str(), desk.calls()),
        ("done", vec!["pay rent".to_owned()])
    );
    let found = runtime.store().suspension(&asked).unwrap().unwrap();
    assert_eq!((found.state, found.answer.is_some()), (SuspensionState::Resumed, true));
    runtime.close().await;
}

/// Who begins the next run of a session while somebody is there is asked first what the last one waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_request_asks_what_the_run_before_it_waits_for() {
    let desk = Desk::new();
    let world = paying(&desk);
    let runtime = world.open().await;
    let waits = read_in(&runtime, "talk", Attended::Nobody).await;
    let person = Person::default();
    let next = read_in(&runtime, "talk", person.says(&json!({ "decision": "once" }))).await;
    let ended = next.events().filter_map(|event| match &event.body {
        EventBody::RunFinished(result) => Some(&result.run),
        _ => None,
    });
    assert!(ended.eq([&waits.result.run, &next.result.run]), "{:#?}", next.lines());
    assert_eq!((person.asked().len(), desk.calls().len()), (2, 2));
    runtime.close().await;
}

/// What a person says, and how often they have been asked after a request, another one in the session, and one in another session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_far_an_approval_reaches() {
    for (decision, asked, calls) in [
        ("once", [1, 2, 3], 3),
        ("session", [1, 1, 2], 3),
        ("always", [1, 1, 1], 3),
        ("deny", [1, 2, 3], 0),
    ] {
        let desk = Desk::new();
        let world = paying(&desk);
        let runtime = world.open().await;
        let person = Person::default();
        let mut times = Vec::new();
        for session in ["talk", "talk", "other"] {
            let ran = read_in(&runtime, session, person.says(&json!({ "decision": decision }))).await;
            assert_eq!(ran.result.stop_reason, StopReason::Finished, "{decision}");
            times.push(person.asked().len());
        }
        assert_eq!(
            (times.as_slice(), desk.calls().len()),
            (&asked[..], calls),
            "{decision}"
        );
        runtime.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standing_approval_holds_until_it_is_revoked_and_for_one_component() {
    let desk = Desk::of("aa");
    let world = paying(&desk);
    let runtime = world.open().await;
    read_in(&runtime, "first", Attended::Nobody).await;
    let asked = open_question(&runtime).suspension.id;
    go_on(&runtime, &asked, &json!({ "decision": "always" })).await;
    let approvals = runtime.store().approvals().unwrap();
    let [approval] = approvals.as_slice() else {
        panic!("{approvals:?}")
    };
    assert_eq!(
        (approval.tool.as_str(), approval.digest.as_str(), approval.by.as_str()),
        ("desk__pay", "aa", "ada")
    );
    assert!(matches!(approval.place, ApprovalPlace::Workspace(_)));
    assert_eq!(read_in(&runtime, "second", Attended::Nobody).await.result.text, "done");
    runtime.close().await;

    // The same tool of another component is another tool.
    let other = Desk::of("bb");
    let world = world.desk(&other);
    let runtime = world.open().await;
    let waits = read_in(&runtime, "third", Attended::Nobody).await;
    assert_eq!(
        (waits.result.stop_reason, other.calls().len()),
        (StopReason::Suspended, 0)
    );
    runtime.close().await;

    let world = world.desk(&desk);
    let runtime = world.open().await;
    assert_eq!(read_in(&runtime, "fourth", Attended::Nobody).await.result.text, "done");
    runtime.store().revoke_approval(approval.id, "ada").await.unwrap();
    assert_eq!(
        runtime
            .store()
            .revoke_approval(approval.id, "ada")
            .await
            .unwrap_err()
            .code,
        "no-approval"
    );
    let waits = read_in(&runtime, "fifth", Attended::Nobody).await;
    assert_eq!(waits.result.stop_reason, StopReason::Suspended);
    runtime.close().await;
}

/// What the model reads where a call was not allowed.
async fn check_read(consent: &str, attended: &Value, tool: &str, read: &str) {
    let refused = format!(
        "[[reply]]\nexpect = {{ failed = true, last = {} }}\ntext = \"understood\"\n",
        text(read)
    );
    let desk = Desk::new();
    let world = World::new()
        .desk(&desk)
        .with(consent)
        .script(asks(&[(tool, RENT)]) + &refused);
    let runtime = world.open().await;
    let attended = match attended {
        Value::Null => Attended::Nobody,
        answer => Person::default().says(answer),
    };
    let ran = read_in(&runtime, "talk", attended).await;
    assert_eq!(ran.result.text, "understood", "{consent}: {:#?}", ran.lines());
    assert_eq!(
        (ran.result.tool_calls, desk.calls().len()),
        (0, 0),
        "what is refused doesn't count"
    );
    runtime.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_allowed_is_told_to_the_model() {
    let deny = json!({ "decision": "deny", "reason": "too dear" });
    check_read("", &deny, "desk__pay", "^error \\[denied-by-person\\]: .*: too dear").await;
    let unattended = "[consent]\nunattended = \"deny\"";
    check_read(
        unattended,
        &Value::Null,
        "desk__pay",
        "^error \\[nobody-to-ask\\]: `desk__pay`",
    )
    .await;
    let never = "[consent]\ntools = { \"desk__l*\" = \"deny\" }";
    let by_rule = "^error \\[denied-by-rule\\]: .*`desk__look`";
    check_read(never, &Value::Null, "desk__look", by_rule).await;
    check_read(never, &json!({ "decision": "always" }), "desk__look", by_rule).await;
}

/// Rules of the configuration, who is there, and whether a call of the tool is asked about.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_say_what_is_asked() {
    for (rules, tool, somebody, asked) in [
        ("", "desk__look", true, false),
        ("", "desk__send", false, false),
        ("", "desk__send", true, true),
        ("", "desk__pay", false, true),
        ("desk__look = \"ask\"", "desk__look", false, true),
        ("desk__pay = \"allow\"", "desk__pay", true, false),
        ("\"*\" = \"ask\", \"desk__s*\" = \"allow\"", "desk__send", false, false),
        ("\"*\" = \"ask\", \"desk__s*\" = \"allow\"", "desk__look", false, true),
    ] {
        let desk = Desk::new();
        let consent = format!("[consent]\ntools = {{ {rules} }}");
        let world = World::new().desk(&desk).with(&consent).script(asks_once(tool, RENT));
        let runtime = world.open().await;
        let person = Person::default();
        let attended = if somebody { person.shrugs() } else { Attended::Nobody };
        let ran = read_in(&runtime, "talk", attended).await;
        let case = format!("{rules} {tool} {somebody}");
        assert_eq!(ran.result.stop_reason == StopReason::Suspended, asked, "{case}");
        assert_eq!(desk.calls().is_empty(), asked, "{case}");
        assert_eq!(person.asked().len(), usize::from(asked && somebody), "{case}");
        runtime.close().await;
    }
}

/// Who has allowed everything beforehand isn't asked; what is denied stays denied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_allowed_beforehand_is_not_asked() {
    let desk = Desk::new();
    let world = paying(&desk);
    let runtime = world.open().await;
    let ran = read_in(&runtime, "talk", Attended::Allowing).await;
    assert_eq!(
        (ran.result.text.as_str(), desk.calls()),
        ("done", vec!["pay rent".to_owned()])
    );
    assert!(runtime.store().approvals().unwrap().is_empty());
    runtime.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_expires_and_its_run_with_it() {
    let desk = Desk::new();
    let world = paying(&desk).with("[consent]\nexpires_hours = 48");
    for late_answer in [true, false] {
        let session = if late_answer { "answered" } else { "resumed" };
        let runtime = world.open().await;
        let run = read_in(&runtime, session, Attended::Nobody).await.result.run;
        let asked = open_question(&runtime).suspension.id;
        runtime.close().await;
        world.forward(2 * DAY);
        let runtime = world.open().await;
        if late_answer {
            let error = answer(&runtime, &asked, &json!({ "decision": "once" }))
                .await
                .unwrap_err();
            assert_eq!(error.code, "suspension-expired");
        } else {
            // Nobody is asked what nobody may answer any more.
            let person = Person::default();
            let ran = Ran::collect(runtime.resume(&run, person.shrugs()).await.unwrap()).await;
            let error = ran.result.error.unwrap();
            assert_eq!(
                (ran.result.stop_reason, error.code.as_str()),
                (StopReason::Expired, "suspension-expired")
            );
            assert!(person.asked().is_empty());
        }
        assert_eq!(
            runtime.store().run(&run).unwrap().stop_reason,
            Some(StopReason::Expired)
        );
        assert!(runtime.store().open_suspensions().unwrap().is_empty());
        // The session is free for the next request; its transcript has a result for the call.
        assert_eq!(ask_in(&runtime, session, "and now?").await.result.text, "done");
        runtime.close().await;
    }
    assert!(desk.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_do_not_count() {
    let desk = Desk::new();
    let world = paying(&desk);
    let runtime = world.open().await;
    read_in(&runtime, "talk", Attended::Nobody).await;
    let asked = open_question(&runtime).suspension.id;
    for wrong in [json!("once"), json!({ "decision": "perhaps" }), json!({}), json!(null)] {
        let error = answer(&runtime, &asked, &wrong).await.unwrap_err();
        assert_eq!(error.code, "answer-does-not-fit", "{wrong}");
        assert!(error.hint.unwrap().contains("\"once\",\"session\",\"always\",\"deny\""));
    }
    let once = json!({ "decision": "once" });
    let by_user = runtime
        .answer(&asked, said(&once), Answerers::User, Attended::Nobody)
        .await;
    assert_eq!(by_user.unwrap_err().code, "not-yours-to-answer");
    let unknown = sandbar::protocol::SuspensionId::parse("nobody-asked").unwrap();
    assert_eq!(
        answer(&runtime, &unknown, &once).await.unwrap_err().code,
        "suspension-not-found"
    );
    assert!(desk.calls().is_empty());

    assert_eq!(go_on(&runtime, &asked, &once).await.result.text, "done");
    let second = answer(&runtime, &asked, &json!({ "decision": "deny" }))
        .await
        .unwrap_err();
    assert_eq!(second.code, "already-answered");
    assert!(second.message.contains("by `ada`"), "{second}");
    assert_eq!(desk.calls(), ["pay rent"]);
    runtime.close().await;
}
