//! A tool plugin with one tool for each thing that the host's tests look at.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use sandbar_sdk::schemars::{self, JsonSchema};
use sandbar_sdk::{Artifact, Context, Error, NoInput, Output, Tool};
use serde::Deserialize;

sandbar_sdk::tool_plugin!(tools);

/// Answers with the text that it got.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Echo {
    text: String,
}

/// Fails with a code, a message and a hint.
#[derive(Deserialize, JsonSchema)]
struct Fail {
    #[serde(default)]
    retryable: bool,
}

/// Waits before it answers, and says for how long.
#[derive(Deserialize, JsonSchema)]
struct Slow {
    ms: u64,
}

/// Reports progress before it answers.
#[derive(Deserialize, JsonSchema)]
struct Progress {
    times: u32,
}

/// Answers with a text of so many bytes.
#[derive(Deserialize, JsonSchema)]
struct Big {
    bytes: usize,
}

/// Prints so many bytes to standard output and to standard error, then panics if asked to.
#[derive(Deserialize, JsonSchema)]
struct Noisy {
    bytes: usize,
    #[serde(default)]
    panic: bool,
}

/// Logs a message at every level.
#[derive(Deserialize, JsonSchema)]
struct Log {
    message: String,
}

/// Counts the calls of this instance.
static CALLS: AtomicU64 = AtomicU64::new(0);

fn tools() -> Vec<Tool> {
    vec![
        Tool::new("echo", echo).read_only().idempotent(),
        Tool::new("fail", fail).idempotent(),
        Tool::new("slow", slow).read_only(),
        Tool::new("count", count).description("Counts the calls of this instance: 1 in a fresh one."),
        Tool::new("progress", progress).read_only(),
        Tool::new("big", big).read_only(),
        Tool::new("noisy", noisy).exclusive(),
        Tool::new("log", log).read_only(),
        Tool::new("config", config)
            .description("Gives the configuration of the plugin.")
            .read_only(),
        Tool::new("context", context)
            .description("Gives session, run and call.")
            .read_only(),
        Tool::new("clock", clock)
            .description("Gives the wall clock in milliseconds and 8 random bytes.")
            .read_only()
            .annotated("timeout-ms", "1000"),
        Tool::new("rich", rich)
            .resource("report:{/text}")
            .annotated("acme.colour", "red"),
    ]
}

fn echo(input: Echo, _: &Context) -> Result<String, Error> {
    Ok(input.text)
}

fn fail(input: Fail, _: &Context) -> Result<String, Error> {
    let error = Error::new("asked-to-fail", "`fail` was called").hint("call `echo` instead");
    Err(if input.retryable { error.retryable() } else { error })
}

fn slow(input: Slow, _: &Context) -> Result<String, Error> {
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(input.ms));
    Ok(format!("waited {} ms", start.elapsed().as_millis()))
}

fn count(_: NoInput, _: &Context) -> Result<String, Error> {
    Ok((CALLS.fetch_add(1, Ordering::Relaxed) + 1).to_string())
}

fn progress(input: Progress, _: &Context) -> Result<String, Error> {
    for time in 1..=input.times {
        sandbar_sdk::progress(format!("{time} of {}\n", input.times));
    }
    Ok("done".to_owned())
}

fn big(input: Big, _: &Context) -> Result<String, Error> {
    Ok("x".repeat(input.bytes))
}

fn noisy(input: Noisy, _: &Context) -> Result<String, Error> {
    // A host that takes no more output is no failure of the tool.
    let _ = std::io::stdout().write_all(&vec![b'o'; input.bytes]);
    let _ = std::io::stderr().write_all(&vec![b'e'; input.bytes]);
    assert!(!input.panic, "noisy was asked to panic");
    Ok("printed".to_owned())
}

fn log(input: Log, _: &Context) -> Result<String, Error> {
    sandbar_sdk::debug(&input.message);
    sandbar_sdk::info(&input.message);
    sandbar_sdk::warn(&input.message);
    sandbar_sdk::error(&input.message);
    Ok("logged".to_owned())
}

fn config(_: NoInput, context: &Context) -> Result<String, Error> {
    Ok(context.config.clone())
}

fn context(_: NoInput, context: &Context) -> Result<String, Error> {
    Ok(format!("{} {} {}", context.session, context.run, context.call))
}

fn clock(_: NoInput, _: &Context) -> Result<String, Error> {
    #[expect(clippy::disallowed_methods, reason = "the host's clock is what the test looks at")]
    let now = std::time::SystemTime::now();
    let ms = now.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis());
    Ok(format!("{ms} {:016x}", random()))
}

/// Gives every field of an output.
fn rich(input: Echo, _: &Context) -> Result<Output, Error> {
    let mut output = Output::new(input.text.clone()).user_text(format!("for people: {}", input.text));
    output.structured = Some(serde_json::json!({"text": input.text}).to_string());
    output.artifacts.push(Artifact {
        name: "report.md".to_owned(),
        media_type: "text/markdown".to_owned(),
        content: input.text.into_bytes(),
    });
    Ok(output)
}

#[cfg(target_arch = "wasm32")]
fn random() -> u64 {
    wasip2::random::random::get_random_u64()
}

#[cfg(not(target_arch = "wasm32"))]
fn random() -> u64 {
    0
}
