//! Configurations, scripts and requests that are wrong: what is wrong, where, and how to mend it.

// The same through the program, and where values come from.
mod program;
// Whether the secrets are there.
mod secrets;

use sandbar::protocol::{Error, RunRequest};

use crate::support::world::World;

/// The only problem of a world, whether it is found in the text or when it is opened.
async fn problem(world: &World) -> Error {
    match world.config() {
        Err(errors) => {
            assert_eq!(errors.len(), 1, "{errors:?}");
            errors[0].clone()
        }
        Ok(_) => world.try_open().await.expect_err("something is wrong with it"),
    }
}

async fn check(world: World, said: &str, hint: &str) {
    let error = problem(&world).await;
    let told = error.text().replace(&world.path("").display().to_string(), "");
    assert!(told.lines().count() >= 2, "no hint: {told}");
    assert!(
        told.contains(said) && told.contains(&format!("hint: {hint}")),
        "wanted `{said}` and `{hint}`:\n{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_nothing_has() {
    check(
        World::new().agent("patern = \"react\""),
        "unknown key `patern` in `agents.main`",
        "did you mean `pattern`?",
    )
    .await;
    check(World::new().limits("cpu = 1"), "unknown key `cpu` in `limits`", "").await;
    check(
        World::new().agents("[agents.other]\nmodel = \"scrip\""),
        "`agents.other.model` is `scrip`",
        "did you mean `script`?",
    )
    .await;
    check(
        World::new().tools(&["file"]),
        "`agents.main.plugins[0]` is `file`, but there is no such plugin",
        "did you mean `files`?",
    )
    .await;
    check(
        World::new().pattern("reakt"),
        "`agents.main.pattern` is `reakt`",
        "did you mean `react`?",
    )
    .await;
    check(
        World::new().with("[grants.flies]\nfiles = \"none\""),
        "`grants.flies` is for a plugin that isn't there",
        "did you mean `files`?",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_do_not_fit() {
    check(
        World::new().limits("cpu_ms = \"much\""),
        "`limits.cpu_ms` is a text, but a whole number is wanted",
        "a number is written without quotes",
    )
    .await;
    check(
        World::new().with("[grants.files]\nfiles = \"read-writ\""),
        "`grants.files.files` is `read-writ`",
        "did you mean `read-write`?",
    )
    .await;
    check(
        World::new().with("[models.other]\nprovider = \"scripted\""),
        "`models.other` has no `script`",
        "add `script = …`",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_not_there() {
    let world = World::new();
    std::fs::remove_dir(world.path("work")).unwrap();
    check(world, "work", "").await;
    let world = World::new();
    std::fs::remove_file(world.path("replies.toml")).unwrap();
    check(world, "replies.toml", "").await;
    check(
        World::new().with("[grants.files]\nmounts = [{ name = \"x\", path = \"nowhere\" }]"),
        "nowhere",
        "",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_are_wrong() {
    let script = |text: &str| World::new().script(text);
    check(
        script("[[reply]]\ntxt = \"a\""),
        "line 2 of `replies.toml`: `[[reply]]` has no key `txt`",
        "did you mean `text`?",
    )
    .await;
    check(
        script("[[reply]]\n"),
        "reply 1 of `replies.toml` (line 1) answers nothing",
        "add `text`",
    )
    .await;
    check(
        script("[[reply]]\ntext = \"a\"\nhang = true"),
        "answers in more than one way",
        "`error`, `hang`",
    )
    .await;
    check(
        script("[[reply]]\ntext = \"a\"\nexpect = { last = \"(\" }"),
        "`expect.last` is not a regular expression",
        "",
    )
    .await;
    check(
        script("[[reply]]\ntext = \"${hit}\""),
        "uses `${hit}`, which no `capture` up to it has",
        "name a group",
    )
    .await;
    check(
        script("[[reply]"),
        "line 1 of `replies.toml` is not a script",
        "a script is TOML",
    )
    .await;
}

/// All problems are told at once, each with its place.
#[test]
fn several_problems_at_once() {
    let world = World::new()
        .agent("patern = \"react\"")
        .limits("memory_mib = 0")
        .agents("[agents.other]\nmodel = \"nobody\"");
    let errors = world.config().unwrap_err();
    assert_eq!(errors.len(), 3, "{errors:?}");
    for error in errors {
        let place = error.message.split(": ").next().unwrap();
        assert!(
            place.rsplit(':').take(2).all(|number| number.parse::<u32>().is_ok()),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_wrong() {
    let world = World::new().agents("[agents.second]\nmodel = \"script\"");
    let runtime = world.open().await;
    let agent = |name: &str| RunRequest {
        agent: Some(name.to_owned()),
        ..RunRequest::new("go")
    };
    let cases = [
        (
            agent("secnd"),
            "no-agent",
            "there is no agent `secnd`\nhint: did you mean `second`?",
        ),
        (
            agent("qqq"),
            "no-agent",
            "there is no agent `qqq`\nhint: there are: main, second",
        ),
        (
            RunRequest::new("x".repeat((4 << 20) + 1)),
            "message-too-large",
            "put the text into a file of the workspace",
        ),
    ];
    for (request, code, said) in cases {
        let error = runtime.run(request).await.unwrap_err();
        assert_eq!(error.code, code);
        assert!(error.text().contains(said), "{}", error.text());
    }
    assert!(
        runtime.store().sessions(10, None).unwrap().is_empty(),
        "nothing was begun"
    );
}
