//! `sandbar doctor`: whether this machine and this configuration are fit to run, and what isn't enforced here.

mod walls;

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use sandbar::plugins::wall::enclosure;
use sandbar::plugins::{EgressSettings, GuestLimits, Plugins, PluginsConfig, RESERVED_BYTES, Status};
use sandbar::protocol::{Error, Result};
use sandbar::store::{Store, StoreOptions, prepare_directory};
use sandbar::{Config, DEMO_PLUGINS};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::{Outcome, file_failed};
use crate::lines::{count, duration, reason};
use crate::options::Options;
use crate::progress::open_options;
use crate::sanitise::visible;
use crate::style::Style;
use crate::table::{Table, cell, plain};
use crate::terminal::{Stream, Terminal};

/// Check this machine and the configuration, and say what is not enforced here
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {}

const NO_AGENT: &str = "no agent is configured; `sandbar init` starts a project";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    /// Works, and the user should know.
    Note,
    Bad,
}

#[derive(Debug)]
struct Finding {
    health: Health,
    what: &'static str,
    text: String,
}

impl Doctor {
    pub(crate) fn run(self, options: &Options, terminal: &Terminal) -> Outcome {
        let mut findings = vec![platform(), memory()];
        findings.extend(address_space());
        match options.config_without_agent() {
            Ok(config) => {
                findings.push(match options.has_no_agent() {
                    true => Finding::new(Health::Note, "configuration", NO_AGENT.to_owned()),
                    false => Finding::new(Health::Good, "configuration", "can be read".to_owned()),
                });
                findings.extend(data_directory(&config.data_dir));
                findings.extend(secrets(&config));
                Options::enclose(&config)?;
                findings.extend(walls::of_host(enclosure(), &config));
                findings.extend(Options::block_on(async { Ok(plugin_host(&config, terminal).await) })?);
            }
            Err(failure) => {
                let text = format!(
                    "{}; see `sandbar config check`",
                    count(failure.0.len() as u64, "problem")
                );
                findings.push(Finding::new(Health::Bad, "configuration", text));
            }
        }
        findings.extend(not_enforced());
        show(&findings, terminal);
        Ok(match findings.iter().any(|finding| finding.health == Health::Bad) {
            true => Exit::Failure,
            false => Exit::Ok,
        })
    }
}

impl Finding {
    fn new(health: Health, what: &'static str, text: String) -> Self {
        Self { health, what, text }
    }

    fn bad(what: &'static str, error: &Error) -> Self {
        Self::new(Health::Bad, what, reason(error))
    }
}

fn show(findings: &[Finding], terminal: &Terminal) {
    let mut table = Table::default();
    for finding in findings {
        let (style, mark, word) = match finding.health {
            Health::Good => (Style::Green, "✓", "good"),
            Health::Note => (Style::Yellow, "!", "note"),
            Health::Bad => (Style::Red, "✗", "bad"),
        };
        if terminal.json {
            terminal.json_line(&json!({ "check": finding.what, "health": word, "text": finding.text }));
        }
        table.row([cell(style, mark), plain(finding.what), plain(visible(&finding.text))]);
    }
    if !terminal.json {
        terminal.lines(table.lines(terminal.paint(Stream::Out)));
    }
}

fn platform() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let text = format!(
        "sandbar {} on {} {}, {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        count(cores as u64, "core")
    );
    Finding::new(Health::Good, "platform", text)
}

fn memory() -> Finding {
    match total_memory_kib() {
        Some(kib) if kib < 512 * 1024 => {
            let text = format!("{} MiB; compiling a large plugin may need more", kib / 1024);
            Finding::new(Health::Note, "memory", text)
        }
        Some(kib) => Finding::new(Health::Good, "memory", format!("{} MiB", kib / 1024)),
        None => Finding::new(
            Health::Note,
            "memory",
            "its size can't be found out on this platform".to_owned(),
        ),
    }
}

/// Where a shell limits it to less than the memory of one instance reserves, nothing of a plugin can run, whatever is ready.
fn address_space() -> Option<Finding> {
    let limit = getrlimit(Resource::As).current?;
    let (limit, needed) = (limit >> 20, RESERVED_BYTES >> 20);
    let text = format!(
        "limited to {limit} MiB, and each memory of a plugin reserves {needed} MiB: none can be called; raise it with `ulimit -v`"
    );
    (limit < needed).then(|| Finding::new(Health::Bad, "address space", text))
}

fn total_memory_kib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn data_directory(directory: &Path) -> Vec<Finding> {
    let shown = directory.display();
    if !directory.exists() {
        let text = format!("`{shown}` isn't there yet; the first run makes it");
        let scratch = tempfile::tempdir().map_err(|error| file_failed("write in", &std::env::temp_dir(), error));
        let journal = scratch.and_then(|scratch| open_journal(scratch.path()));
        return vec![
            Finding::new(Health::Good, "data directory", text),
            journal_finding(journal),
        ];
    }
    let written = tempfile::tempfile_in(directory).map_err(|error| file_failed("write in", directory, error));
    let found = match written {
        Ok(_) => {
            let (private, mode) = mode(directory);
            let health = if private { Health::Good } else { Health::Note };
            let note = if private { "" } else { "; others can read it: chmod 700" };
            Finding::new(
                health,
                "data directory",
                format!("`{shown}` is writable, mode {mode:o}{note}"),
            )
        }
        Err(error) => Finding::bad("data directory", &error),
    };
    vec![found, journal_finding(open_journal(directory))]
}

fn mode(directory: &Path) -> (bool, u32) {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = directory
        .metadata()
        .map_or(0, |metadata| metadata.permissions().mode() & 0o7777);
    (mode & 0o077 == 0, mode)
}

fn open_journal(directory: &Path) -> Result<usize> {
    Ok(Store::open(directory, StoreOptions::default())?
        .sessions(1000, None)?
        .len())
}

fn journal_finding(opened: Result<usize>) -> Finding {
    match opened {
        Ok(sessions) => {
            let more = if sessions == 1000 { " or more" } else { "" };
            Finding::new(
                Health::Good,
                "journal",
                format!("opens; {}{more}", count(sessions as u64, "session")),
            )
        }
        Err(error) => Finding::bad("journal", &error),
    }
}

/// None where the configuration names no secret.
fn secrets(config: &Config) -> Vec<Finding> {
    let report = sandbar::check_secrets(config);
    let problems = report.problems.iter().map(|error| Finding::bad("secrets", error));
    let notes = report.warnings.iter();
    let notes = notes.map(|error| Finding::new(Health::Note, "secrets", reason(error)));
    let findings: Vec<Finding> = problems.chain(notes).collect();
    if findings.is_empty() && !config.secrets.is_empty() {
        let text = format!(
            "{}, there and fit to be sent",
            count(config.secrets.len() as u64, "secret")
        );
        return vec![Finding::new(Health::Good, "secrets", text)];
    }
    findings
}

async fn plugin_host(config: &Config, terminal: &Terminal) -> Vec<Finding> {
    let mut findings = match compile_one(config).await {
        Ok((plugins, took)) => vec![
            compiler(&plugins, took),
            walls::of_workers(&plugins, config),
            allocator(&plugins),
        ],
        Err(error) => vec![Finding::bad("compile worker", &error)],
    };
    match sandbar::load_plugins(config, &open_options(terminal)).await {
        Ok(plugins) => {
            let unrecorded = plugins.unrecorded();
            findings.extend(unrecorded.map(|error| Finding::new(Health::Note, "lock", reason(error))));
            findings.push(ready_plugins(&plugins));
        }
        Err(error) => findings.push(Finding::bad("plugins", &error)),
    }
    findings
}

/// Compiles a small component into a cache of its own, so that the worker has to be started. It is where this process may write.
async fn compile_one(config: &Config) -> Result<(std::sync::Arc<Plugins>, Duration)> {
    prepare_directory(&config.data_dir)?;
    let cache =
        tempfile::tempdir_in(&config.data_dir).map_err(|error| file_failed("write in", &config.data_dir, error))?;
    let started = Instant::now();
    let settings = PluginsConfig {
        directories: Vec::new(),
        bundled: DEMO_PLUGINS[..1].to_vec(),
        cache_directory: cache.path().to_owned(),
        lock: None,
        worker: None,
        kernel_sandbox: config.kernel_sandbox,
        limits: GuestLimits::default(),
        max_instances: config.max_instances,
        guest_memory_bytes: config.guest_memory_bytes,
        egress: EgressSettings::default(),
        own_places: Vec::new(),
    };
    let plugins = Plugins::open(settings, |_| {}).await?;
    Ok((plugins, started.elapsed()))
}

fn compiler(plugins: &Plugins, took: Duration) -> Finding {
    let broken = plugins.list().find_map(|plugin| match &plugin.status {
        Status::Broken(error) => Some(error),
        Status::Ready(_) => None,
    });
    match broken {
        Some(error) => Finding::bad("compile worker", error),
        None => {
            let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let text = format!("answers; a small plugin took {}", duration(ms));
            Finding::new(Health::Good, "compile worker", text)
        }
    }
}

fn allocator(plugins: &Plugins) -> Finding {
    if plugins.is_pooling() {
        return Finding::new(Health::Good, "instances", "come from a pool".to_owned());
    }
    let text = "are made one by one, which is slower: address space is short (see `ulimit -v`), or lower \
                `limits.max_instances`";
    Finding::new(Health::Note, "instances", text.to_owned())
}

fn ready_plugins(plugins: &Plugins) -> Finding {
    let mut ready = 0;
    let mut broken = Vec::new();
    for plugin in plugins.list() {
        match &plugin.status {
            Status::Ready(_) => ready += 1,
            Status::Broken(_) => broken.push(plugin.name.to_string()),
        }
    }
    if broken.is_empty() {
        return Finding::new(Health::Good, "plugins", format!("{ready} ready"));
    }
    let text = format!(
        "{ready} ready, {} broken: {}; see `sandbar plugins list`",
        broken.len(),
        broken.join(", ")
    );
    Finding::new(Health::Note, "plugins", text)
}

fn not_enforced() -> Option<Finding> {
    let text = "a limit on the memory of the compile worker, which macOS lacks; its time and its input are limited";
    cfg!(target_os = "macos").then(|| Finding::new(Health::Note, "not enforced", text.to_owned()))
}
