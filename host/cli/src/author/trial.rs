//! Runs one case: an agent, a scripted model, and the plugin in the real sandbox, with a journal in memory.
//!
//! A tool's case is a run as well - a model that calls the tool once - so that grants, limits and the check of the input are those
//! that the tool will meet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sandbar::agent::WhenUsedUp;
use sandbar::config::agents::AgentConfig;
use sandbar::config::grants::Grant;
use sandbar::config::models::ModelConfig;
use sandbar::plugins::{CallStats, Kind, Status, read_regular_text};
use sandbar::protocol::policy::{KvAccess, PowerGrant, PowerSet};
use sandbar::protocol::{
    Error, ErrorKind, EventBody, Limits, MemoryEntry, MemoryOp, MemoryOperation, MemoryOutcome, Result, RunRequest,
    RunResult, StreamItem, ToolOutcome,
};
use sandbar::{Config, Journal, OpenOptions, Runtime};
use serde_json::{Value, json};

use super::case::{self, Case, Expect};
use super::compare::Mismatch;
use super::packed;
use super::project::Project;
use crate::author::MAX_TEXT_BYTES;
use crate::failure::file_failed;

const AGENT: &str = "test";
const REACT: &str = "react";
/// In the directory of a case.
const WORKSPACE: &str = "workspace";
const SCRIPT: &str = "script.toml";

/// How a case went.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) mismatches: Vec<Mismatch>,
    /// Of the plugin; none if the host refused before.
    pub(crate) calls: usize,
    /// Of the plugin's calls alone: sums of the times, the highest of the memories.
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) peak_memory_bytes: u64,
}

/// What a run left.
struct Outcome {
    /// Of the first call.
    tool: Option<ToolOutcome>,
    /// In the order in which they were called.
    called: Vec<String>,
    /// In the order in which they ended.
    remembered: Vec<(MemoryOp, MemoryOutcome)>,
    result: RunResult,
}

/// An error means that the case could not be run; that it failed is in the trial.
pub(crate) async fn try_case(
    project: &Project,
    directory: &Path,
    case: &Case,
    config: &Config,
    open: &OpenOptions,
) -> Result<Trial> {
    let place =
        tempfile::tempdir().map_err(|error| file_failed("create a directory in", &std::env::temp_dir(), error))?;
    let workspace = place.path().join(WORKSPACE);
    let script = place.path().join(SCRIPT);
    fill(&workspace, &case.written.files)?;
    std::fs::write(&script, script_of(project, case)?).map_err(|error| file_failed("write", &script, error))?;
    let config = config_of(project, case, config, directory, place.path())?;
    let open = OpenOptions {
        journal: Journal::Memory,
        ..open.clone()
    };
    // The script's file is ours; its author knows it as the case.
    let origin = script.display().to_string();
    let runtime = Runtime::open_with(config, open)
        .await
        .map_err(|error| error.told(|message| format!("{}: {}", case.origin, message.replace(&origin, "script"))))?;
    check_tool(&runtime, project, case)?;
    let stats = Arc::new(Mutex::new(Vec::new()));
    let (seen, name) = (stats.clone(), project.name.clone());
    runtime.plugins().observe(move |call: CallStats| {
        if *call.plugin == *name {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        }
    });
    remember(&runtime, case).await?;
    let outcome = run(&runtime, case.written.message.as_deref().unwrap_or("test")).await?;
    runtime.close().await;
    let mut mismatches = match project.kind {
        Kind::Tool => compare_tool(&outcome, case),
        Kind::Pattern => compare_run(&outcome, case),
        Kind::Memory => compare_memory(&outcome, case),
    };
    mismatches.extend(compare_files(&workspace, &case.written.expect_files));
    let stats = stats.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Trial {
        mismatches,
        calls: stats.len(),
        wall: stats.iter().map(|call| call.wall).sum(),
        cpu: stats.iter().map(|call| call.cpu).sum(),
        peak_memory_bytes: stats.iter().map(|call| call.peak_memory_bytes).max().unwrap_or(0),
    })
}

fn fill(workspace: &Path, files: &BTreeMap<String, String>) -> Result<()> {
    std::fs::create_dir_all(workspace).map_err(|error| file_failed("create", workspace, error))?;
    for (name, text) in files {
        packed::write_new(&workspace.join(name), text)?;
    }
    Ok(())
}

/// The model's replies: those of the case, or one call of the tool.
fn script_of(project: &Project, case: &Case) -> Result<String> {
    let replies = match &case.written.tool {
        None => case.written.script.clone(),
        Some(tool) => {
            let mut call = toml::Table::new();
            call.insert("name".to_owned(), format!("{}__{tool}", project.name).into());
            // A script would take `${…}` for a name of its own.
            call.insert("arguments".to_owned(), case.input.replace("${", "$${").into());
            let calls = toml::Table::from_iter([("calls".to_owned(), toml::Value::Array(vec![call.into()]))]);
            vec![calls, toml::Table::from_iter([("text".to_owned(), "done".into())])]
        }
    };
    let replies = replies.into_iter().map(toml::Value::Table).collect();
    let script = toml::Table::from_iter([("reply".to_owned(), toml::Value::Array(replies))]);
    toml::to_string(&script).map_err(|error| bad_case(case, &format!("`script` can't be written: {error}")))
}

/// The configured limits and the directory for data; everything else is the case's.
fn config_of(project: &Project, case: &Case, config: &Config, directory: &Path, place: &Path) -> Result<Config> {
    let written = &case.written;
    let own = case::json_table(&written.config).map_err(|why| bad_case(case, &format!("`config` has {why}")))?;
    let kept = match project.kind {
        Kind::Memory => KvAccess::Shared,
        Kind::Tool | Kind::Pattern => KvAccess::None,
    };
    let grant = |config| Grant {
        powers: PowerGrant {
            powers: PowerSet {
                files: written.grant,
                kv: written.kv.unwrap_or(kept),
                ..PowerSet::default()
            },
            ..PowerGrant::default()
        },
        config,
        ..Grant::default()
    };
    let mut grants: BTreeMap<String, Grant> = written
        .plugins
        .iter()
        .map(|name| (name.clone(), grant(json!({}))))
        .collect();
    grants.insert(project.name.clone(), grant(own));
    let (pattern, plugins) = match project.kind {
        Kind::Tool => (REACT.to_owned(), vec![project.name.clone()]),
        Kind::Pattern => (project.name.clone(), written.plugins.clone()),
        Kind::Memory => (REACT.to_owned(), Vec::new()),
    };
    let agent = AgentConfig {
        name: AGENT.to_owned(),
        description: String::new(),
        model: AGENT.to_owned(),
        pattern,
        plugins,
        memory: (project.kind == Kind::Memory).then(|| project.name.clone()),
        delegates: Vec::new(),
        instructions: String::new(),
        limits: Limits::default(),
        when_used_up: WhenUsedUp::Stop,
    };
    let model = ModelConfig::Scripted {
        script: place.join(SCRIPT),
    };
    let mut config = config.clone();
    config.workspace = Some(place.join(WORKSPACE));
    // A case is run on what is there, however often it fails.
    (config.lock_file, config.put_aside) = (None, false);
    config.plugin_directories = vec![tightened(project, case, directory, place)?];
    config.grants = grants;
    config.models = [(AGENT.to_owned(), model)].into();
    config.agents = [(AGENT.to_owned(), agent)].into();
    AGENT.clone_into(&mut config.default_agent);
    Ok(config)
}

/// Where the plugin is: a copy whose manifest asks for less, if the case does. The configured limits hold for every plugin of a run, and
/// a case means its own alone.
fn tightened(project: &Project, case: &Case, directory: &Path, place: &Path) -> Result<PathBuf> {
    let limits = &case.written.limits;
    let asked = [
        ("memory_mib", limits.memory_mib),
        ("cpu_ms", limits.cpu_ms),
        ("wall_ms", limits.wall_ms),
    ];
    let asked: Vec<(&str, u64)> = asked
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect();
    if asked.is_empty() {
        return Ok(directory.to_owned());
    }
    let (component, manifest) = (format!("{}.wasm", project.name), format!("{}.toml", project.name));
    let (from, copy) = (directory.join(&manifest), place.join("plugins"));
    let text = read_regular_text(&from, MAX_TEXT_BYTES).map_err(|error| file_failed("read", &from, error))?;
    let bad = |why: &str| Error::new(ErrorKind::Plugin, "bad-manifest", format!("{}: {why}", from.display()));
    let mut table: toml::Table = toml::from_str(&text).map_err(|error| bad(error.message()))?;
    let written = table.entry("limits").or_insert_with(|| toml::Table::new().into());
    let written = written.as_table_mut().ok_or_else(|| bad("`limits` is no table"))?;
    for (key, value) in asked {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        let least = written
            .get(key)
            .and_then(toml::Value::as_integer)
            .map_or(value, |old| old.min(value));
        written.insert(key.to_owned(), least.into());
    }
    packed::write_new(&copy.join(&manifest), &table.to_string())?;
    let from = directory.join(&component);
    std::fs::copy(&from, copy.join(&component)).map_err(|error| file_failed("copy", &from, error))?;
    Ok(copy)
}

fn bad_case(case: &Case, why: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, "bad-case", format!("{}: {why}", case.origin))
}

/// A misspelt tool is a mistake in the case; the model would only be told that there is no such tool.
fn check_tool(runtime: &Runtime, project: &Project, case: &Case) -> Result<()> {
    let plugin = runtime.plugins().get(&project.name);
    let plugin = plugin.ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            "no-plugin",
            format!("`{}` has not been built", project.name),
        )
        .with_hint("leave `--no-build` out")
    })?;
    let ready = match &plugin.status {
        Status::Ready(ready) => ready,
        Status::Broken(error) => {
            return Err(error
                .clone()
                .told(|message| format!("`{}` can't be used: {message}", project.name)));
        }
    };
    let names: Vec<&str> = ready.tools.iter().map(|tool| tool.name.as_str()).collect();
    match &case.written.tool {
        Some(tool) if !names.contains(&tool.as_str()) => {
            Err(bad_case(case, &format!("`{}` has no tool `{tool}`", project.name))
                .with_hint(case::suggest(tool, &names)))
        }
        _ => Ok(()),
    }
}

async fn run(runtime: &Runtime, message: &str) -> Result<Outcome> {
    let mut stream = runtime.run(RunRequest::new(message)).await?;
    let (mut tool, mut called, mut remembered) = (None, Vec::new(), Vec::new());
    while let Some(item) = stream.next().await {
        let StreamItem::Event(event) = item? else { continue };
        match &event.body {
            EventBody::ToolStarted { name, .. } => called.push(name.clone()),
            EventBody::ToolFinished { outcome, .. } if tool.is_none() => tool = Some(outcome.clone()),
            EventBody::MemoryFinished { op, outcome, .. } => remembered.push((*op, outcome.clone())),
            _ => {}
        }
    }
    let result = stream.result().await?;
    Ok(Outcome {
        tool,
        called,
        remembered,
        result,
    })
}

/// What the case wants to be there before its run.
async fn remember(runtime: &Runtime, case: &Case) -> Result<()> {
    for text in &case.written.remembered {
        let entry = MemoryEntry {
            text: text.clone(),
            ..MemoryEntry::default()
        };
        let kept = runtime
            .memory(None, None)?
            .call(MemoryOperation::Remember { entry })
            .await;
        kept.map_err(|error| error.told(|why| format!("{}: `remembered`: {why}", case.origin)))?;
    }
    Ok(())
}

fn compare_tool(outcome: &Outcome, case: &Case) -> Vec<Mismatch> {
    let expect = &case.written.expect;
    let output = match &outcome.tool {
        Some(ToolOutcome::Output(output)) => output,
        Some(ToolOutcome::Error(error)) => return compare_error(Some(error), "an output", case),
        None => return compare_error(outcome.result.error.as_ref(), "an output", case),
    };
    if let Some(error) = &expect.error {
        return vec![Mismatch::new("error", error, format!("an output: {}", output.text))];
    }
    let mut mismatches = compare_text(&output.text, case);
    if let Some(expected) = &expect.user_text
        && output.user_text.as_ref() != Some(expected)
    {
        mismatches.push(Mismatch::new(
            "user_text",
            expected,
            output.user_text.as_deref().unwrap_or_default(),
        ));
    }
    let structured = expect.structured.as_ref().and_then(|value| case::json(value).ok());
    if let Some(expected) = structured
        && output.structured.as_ref() != Some(&expected)
    {
        let found = output.structured.as_ref().map_or_else(|| "none".to_owned(), pretty);
        mismatches.push(Mismatch::new("structured", pretty(&expected), found));
    }
    mismatches
}

fn compare_run(outcome: &Outcome, case: &Case) -> Vec<Mismatch> {
    let (expect, result) = (&case.written.expect, &outcome.result);
    let expects_end = expect.error.is_some() || expect.stop_reason.is_some();
    let mut mismatches = match &result.error {
        Some(error) if expect.error.is_some() || !expects_end => {
            compare_error(Some(error), "a run without an error", case)
        }
        None if expect.error.is_some() => compare_error(None, "", case),
        _ => Vec::new(),
    };
    mismatches.extend(compare_text(&result.text, case));
    let mut check = |what: &str, expected: Option<String>, found: String| {
        if let Some(expected) = expected
            && expected != found
        {
            mismatches.push(Mismatch::new(what, expected, found));
        }
    };
    let stop_reason = json!(result.stop_reason).as_str().unwrap_or_default().to_owned();
    check("stop_reason", expect.stop_reason.clone(), stop_reason);
    check(
        "finish_reason",
        expect.finish_reason.clone(),
        result.finish_reason.clone().unwrap_or_default(),
    );
    check(
        "steps",
        expect.steps.map(|steps| steps.to_string()),
        result.steps.to_string(),
    );
    check(
        "tools",
        expect.tools.as_ref().map(|tools| tools.join("\n")),
        outcome.called.join("\n"),
    );
    mismatches
}

/// A memory's failure ends no run, so that it is looked for.
fn compare_memory(outcome: &Outcome, case: &Case) -> Vec<Mismatch> {
    let expect = &case.written.expect;
    let (mut recalled, mut failure) = (Vec::new(), outcome.result.error.as_ref());
    for (op, outcome) in &outcome.remembered {
        match outcome {
            MemoryOutcome::Error(error) => failure = failure.or(Some(error)),
            MemoryOutcome::Output(output) if *op == MemoryOp::Recall => {
                recalled.extend(output.entries.iter().map(|entry| entry.text.as_str()));
            }
            MemoryOutcome::Output(_) => {}
        }
    }
    let mut mismatches = match failure {
        None if expect.error.is_none() => Vec::new(),
        found => compare_error(found, "a memory without an error", case),
    };
    mismatches.extend(compare_text(&outcome.result.text, case));
    if let Some(expected) = expect.recalled.as_ref().filter(|expected| **expected != recalled) {
        mismatches.push(Mismatch::new("recalled", expected.join("\n"), recalled.join("\n")));
    }
    mismatches
}

fn compare_error(found: Option<&Error>, wanted: &str, case: &Case) -> Vec<Mismatch> {
    let Expect { error: expected, .. } = &case.written.expect;
    if expected.is_some() && found.map(|error| &error.code) == expected.as_ref() {
        return Vec::new();
    }
    let found = found.map_or_else(
        || "no error".to_owned(),
        |error| format!("{}: {}", error.code, error.text()),
    );
    vec![Mismatch::new("error", expected.as_deref().unwrap_or(wanted), found)]
}

fn compare_text(text: &str, case: &Case) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    if let Some(expected) = &case.written.expect.text
        && expected != text
    {
        mismatches.push(Mismatch::new("text", expected, text));
    }
    if let Some(expected) = &case.text_matches
        && !expected.is_match(text)
    {
        mismatches.push(Mismatch::new("text_matches", expected.as_str(), text));
    }
    mismatches
}

fn compare_files(workspace: &Path, expected: &BTreeMap<String, String>) -> Vec<Mismatch> {
    let compare = |(name, expected): (&String, &String)| match std::fs::read(workspace.join(name)) {
        Ok(found) if found == expected.as_bytes() => None,
        Ok(found) => Some(Mismatch::new(name, expected, String::from_utf8_lossy(&found))),
        Err(error) => Some(Mismatch::new(name, expected, format!("no file: {}", error.kind()))),
    };
    expected.iter().filter_map(compare).collect()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}
