//! From a configuration to what a runtime works with: plugins, models, grants.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sandbar_llm::{ApiKey, OpenAiModel, OpenAiSettings, ScriptedModel};
use sandbar_plugins::{
    EgressSettings, Grant, GuestLimits, Kind, LockFile, Mount, MountRoom, Plugins, PluginsConfig, Preparation,
    Resolver, Verified, Workspace, read_regular_text, why_unread,
};
use sandbar_protocol::{AuditEntry, Clock, Error, ErrorKind, Model, Protected, Result, SystemClock, Tool};

use sandbar_store::{Store, StoreOptions};

use crate::bundled::BUNDLED;
use crate::config::Config;
use crate::config::models::{ModelConfig, OpenAiConfig};
use crate::config::secrets::SecretRef;
use crate::own_places;
use crate::secrets::Secrets;

/// What comes in from outside besides the configuration.
#[derive(Clone)]
pub struct OpenOptions {
    /// Told while plugins are compiled.
    pub progress: Option<Arc<dyn Fn(Preparation) + Send + Sync>>,
    /// The program that compiles plugins; none takes the running one, which must call [`crate::worker_entry`] first.
    pub worker: Option<PathBuf>,
    pub clock: Arc<dyn Clock>,
    /// Gives the random numbers of ids.
    pub entropy: Arc<dyn Fn() -> u64 + Send + Sync>,
    pub journal: Journal,
    /// Tools of the embedding program, which every agent has beside those of its plugins. They run in this process, with its powers.
    pub tools: Vec<Arc<dyn Tool>>,
    /// Told the values that must not get out, as soon as they are known: for whoever writes a log.
    pub protect: Option<Arc<dyn Fn(Arc<Protected>) + Send + Sync>>,
    /// Gives the addresses of the hosts that plugins ask; by default the system does.
    pub resolver: Resolver,
    /// The size in bytes that the journal may grow to; none is what the disk holds.
    pub max_journal_bytes: Option<u64>,
}

/// Where events are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Journal {
    /// In the data directory: what was acknowledged survives a crash.
    #[default]
    Disk,
    /// Gone with the runtime: for throw-away sessions and for measuring what the disk costs.
    Memory,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            progress: None,
            worker: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(|| getrandom::u64().expect("the system has a source of random numbers")),
            journal: Journal::Disk,
            tools: Vec::new(),
            protect: None,
            resolver: Resolver::default(),
            max_journal_bytes: None,
        }
    }
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenOptions")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

/// The plugins of a configuration, without a journal and without secrets: what `plugins list` needs.
pub async fn load_plugins(config: &Config, options: &OpenOptions) -> Result<Arc<Plugins>> {
    let plugins = load_plugins_with(config, options, EgressSettings::default()).await?;
    if !plugins.recorded().is_empty() && options.journal == Journal::Disk {
        let clock = options.clock.clone();
        let store = Store::open(
            &config.data_dir,
            StoreOptions {
                clock,
                ..StoreOptions::default()
            },
        )?;
        audit_recorded(&plugins, &store).await?;
    }
    Ok(plugins)
}

/// Accounts for the plugins that `sandbar.lock` had nothing of, by whichever command they were first seen.
pub(crate) async fn audit_recorded(plugins: &Plugins, store: &Store) -> Result<()> {
    let entry = |name: &String| AuditEntry {
        plugin: Some(name.clone()),
        digest: plugins.get(name).map(|plugin| plugin.digest.clone()),
        ..AuditEntry::of("plugin.record", name)
    };
    let entries: Vec<_> = plugins.recorded().iter().map(entry).collect();
    if entries.is_empty() {
        return Ok(());
    }
    store.audit_commit()(entries).await
}

pub(crate) async fn load_plugins_with(
    config: &Config,
    options: &OpenOptions,
    egress: EgressSettings,
) -> Result<Arc<Plugins>> {
    let limits = config.guest_limits;
    let settings = PluginsConfig {
        directories: config.plugin_directories.clone(),
        bundled: BUNDLED.to_vec(),
        cache_directory: config.data_dir.join(own_places::CACHE),
        worker: options.worker.clone(),
        lock: config.lock_file.as_ref().map(|path| LockFile {
            path: path.clone(),
            clock: options.clock.clone(),
        }),
        kernel_sandbox: config.kernel_sandbox,
        limits: GuestLimits {
            memory_bytes: limits.memory_bytes,
            cpu: Duration::from_millis(limits.cpu_ms),
            wall: Duration::from_millis(limits.wall_ms),
        },
        max_instances: config.max_instances,
        guest_memory_bytes: config.guest_memory_bytes,
        egress,
        own_places: own_places::of(config),
    };
    let progress = options.progress.clone();
    Plugins::open(settings, move |preparation| {
        if let Some(progress) = &progress {
            progress(preparation);
        }
    })
    .await
}

/// Compares the files in the plugin directories with `sandbar.lock`; nothing is compiled, and nothing runs.
pub fn verify_plugins(config: &Config) -> Result<Vec<Verified>> {
    let path = config.lock_file.clone().ok_or_else(|| {
        Error::new(
            ErrorKind::Config,
            "no-lock",
            "no file is configured that says what was approved",
        )
        .with_hint("a program that embeds Sandbar names one as `Config::lock_file`")
    })?;
    let clock = Arc::new(SystemClock);
    let lock = LockFile { path, clock };
    let cache = config.data_dir.join(own_places::CACHE);
    sandbar_plugins::verify(&config.plugin_directories, BUNDLED, &lock, &cache)
}

/// Refuses names in the configuration that no plugin has. A broken plugin has its name; using it says why it is broken.
pub(crate) fn check_names(config: &Config, plugins: &Plugins) -> Result<()> {
    let (tools, patterns) = (plugins.named(Kind::Tool), plugins.named(Kind::Pattern));
    let memories = plugins.named(Kind::Memory);
    match config.check_plugins(&tools, &patterns, &memories).into_iter().next() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// A key that is missing is an error here only for the agent that is taken when a request names none.
pub(crate) fn models(
    config: &Config,
    options: &OpenOptions,
    secrets: &Secrets,
) -> Result<BTreeMap<String, Arc<dyn Model>>> {
    let needed = config
        .agents
        .get(&config.default_agent)
        .map(|agent| agent.model.as_str());
    config
        .models
        .iter()
        .map(|(name, model)| {
            let model: Arc<dyn Model> = match model {
                ModelConfig::Scripted { script } => Arc::new(scripted(name, script)?),
                ModelConfig::OpenAi(model) => {
                    let settings = openai_settings(name, model, options, secrets);
                    match settings.key {
                        ApiKey::Missing(error) if needed == Some(name) => return Err(error),
                        _ => Arc::new(OpenAiModel::new(settings)?),
                    }
                }
            };
            Ok((name.clone(), model))
        })
        .collect()
}

/// The largest script that is read.
const MAX_SCRIPT_BYTES: u64 = 16 << 20;

pub(crate) fn scripted(name: &str, path: &Path) -> Result<ScriptedModel> {
    let origin = path.display().to_string();
    let text = read_regular_text(path, MAX_SCRIPT_BYTES).map_err(|error| {
        let message = format!("the script `{origin}` can't be read: {}", why_unread(&error));
        Error::new(ErrorKind::Config, "script-invalid", message)
            .with_hint("a script is a TOML file with a list of `[[reply]]`")
            .with_source(error)
    })?;
    ScriptedModel::parse(name, &text, origin)
}

fn openai_settings(name: &str, model: &OpenAiConfig, options: &OpenOptions, secrets: &Secrets) -> OpenAiSettings {
    let key = match secrets.key(name) {
        None => ApiKey::None,
        Some(Ok(secret)) => ApiKey::Known {
            value: secret.expose().to_owned(),
            from: model.api_key.as_ref().map(SecretRef::place).unwrap_or_default(),
        },
        Some(Err(error)) => ApiKey::Missing(error.clone()),
    };
    OpenAiSettings {
        name: name.to_owned(),
        model: model.model.clone(),
        server: model.server,
        base_url: model.base_url.clone(),
        key,
        protected: secrets.protected.clone(),
        sampling: model.sampling.clone(),
        headers: model.headers.clone().into_iter().collect(),
        extra: model.extra.clone(),
        max_retries: model.max_retries,
        idle: Duration::from_secs(model.idle_seconds.into()),
        entropy: options.entropy.clone(),
    }
}

/// Opens every mount once: sessions share the handles.
pub(crate) fn grants(config: &Config) -> Result<BTreeMap<String, Grant>> {
    config
        .grants
        .iter()
        .map(|(plugin, grant)| {
            let mounts = grant.mounts.iter().map(|mount| {
                let room = match mount.quota_bytes {
                    Some(quota) => MountRoom::Quota(quota),
                    None => MountRoom::Added(config.workspace_bytes),
                };
                Ok(Mount {
                    name: mount.name.clone(),
                    directory: Arc::new(Workspace::mounted(&mount.path, &mount.name, room)?),
                    access: mount.access,
                })
            });
            let mounts = mounts.collect::<Result<_>>()?;
            Ok((
                plugin.clone(),
                Grant {
                    powers: grant.powers.clone(),
                    mounts,
                    config: grant.config.clone(),
                },
            ))
        })
        .collect()
}

pub(crate) fn no_agent(name: &str, config: &Config) -> Error {
    let names: Vec<&str> = config.agents.keys().map(String::as_str).collect();
    let nearest = names
        .iter()
        .max_by(|one, other| strsim::jaro_winkler(one, name).total_cmp(&strsim::jaro_winkler(other, name)));
    let error = Error::new(
        ErrorKind::NotFound,
        "no-agent",
        format!("there is no agent `{}`", name.escape_debug()),
    );
    match nearest {
        Some(nearest) if strsim::jaro_winkler(nearest, name) > 0.7 => {
            error.with_hint(format!("did you mean `{nearest}`?"))
        }
        _ => error.with_hint(format!("there are: {}", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the default agent needs is missed at once, and what another one needs only when it is used.
    #[test]
    fn a_missing_key_is_told_where_it_is_needed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("key"), "sk-test-12345678\n").expect("a file");
        let agent = "[agents.main]\nmodel = 'm'\n[models.m]\nprovider = 'openai'\nmodel = 'a'\n";
        let other = "[models.o]\nprovider = 'openai'\nmodel = 'b'\napi_key = 'env:SANDBAR_TEST_NO_SUCH_VARIABLE'\n";
        let open = |key: &str| {
            let config =
                Config::from_toml(&format!("{agent}{key}{other}"), directory.path()).expect("a good configuration");
            models(&config, &OpenOptions::default(), &Secrets::read(&config))
        };
        let error = open("api_key = 'env:SANDBAR_TEST_NO_SUCH_VARIABLE'\n").expect_err("the key is missing");
        assert_eq!(error.kind, ErrorKind::Config);
        assert_eq!(
            error.text(),
            "the model `m` has no key: the variable `SANDBAR_TEST_NO_SUCH_VARIABLE` should hold a secret, but is not set to a text\n\
             hint: export SANDBAR_TEST_NO_SUCH_VARIABLE=…, or set `api_key` of `[models.m]` to where the key is"
        );
        let models = open("api_key = 'file:key'\n").expect("both models");
        assert_eq!(models.keys().collect::<Vec<_>>(), ["m", "o"]);
        assert!(!format!("{models:?}").contains("12345678"));
    }

    #[test]
    fn scripts_are_files() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("replies.toml");
        let error = scripted("script", &path).expect_err("it isn't there");
        let expected = format!("the script `{}` can't be read: entity not found", path.display());
        assert_eq!((error.code.as_str(), error.message), ("script-invalid", expected));
        std::fs::write(&path, "[[reply]]\ntext = 'a'").expect("a file");
        assert_eq!(scripted("script", &path).expect("a script").name(), "script");
    }
}
