//! The values behind the configuration's references: read once, when a runtime is opened, and known to nobody else.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sandbar_plugins::{EgressSettings, Plugins, SecretEntry};
use sandbar_protocol::{Error, ErrorKind, MIN_PROTECTED_BYTES, Protected, Result};
use sandbar_store::Store;

use crate::config::Config;
use crate::config::credentials::Credential;
use crate::config::models::ModelConfig;
use crate::config::secrets::{Secret, SecretRef};

/// What is known of them. What is missing is a problem of who uses it.
pub(crate) struct Secrets {
    entries: Vec<SecretEntry>,
    /// Secrets for plugins that have no value, by name.
    missing: BTreeMap<String, Error>,
    /// By model; those that need none aren't here.
    keys: BTreeMap<String, Result<Secret>>,
    pub(crate) protected: Arc<Protected>,
}

/// What is wrong with the values behind a configuration's references. None of them is in it.
#[derive(Debug, Clone, Default)]
pub struct SecretsReport {
    /// What a grant or an agent needs isn't there, or is no secret that can be sent: runs end with it.
    pub problems: Vec<Error>,
    /// What nobody needs isn't there, or is so short that it isn't looked for.
    pub warnings: Vec<Error>,
}

/// Looks whether each secret, and each model's key, is where the configuration says.
pub fn check_secrets(config: &Config) -> SecretsReport {
    let secrets = Secrets::read(config);
    let mut report = SecretsReport {
        warnings: secrets.short(),
        ..SecretsReport::default()
    };
    let granted = |name: &String| {
        let mut grants = config.grants.values();
        grants.any(|grant| grant.powers.powers.secrets.contains(name))
    };
    let used = |model: &String| config.agents.values().any(|agent| agent.model == *model);
    let missing = secrets
        .missing
        .iter()
        .map(|(name, error)| (granted(name), error.clone()));
    let keys = secrets.keys.iter().filter_map(|(model, key)| match key {
        Err(error) => Some((used(model), error.clone())),
        Ok(key) if key.expose().chars().any(char::is_control) => Some((used(model), broken_key(model))),
        Ok(_) => None,
    });
    for (is_needed, error) in missing.chain(keys) {
        match is_needed {
            true => report.problems.push(error),
            false => report.warnings.push(error),
        }
    }
    report
}

fn broken_key(model: &str) -> Error {
    let message = format!("the key of the model `{model}` contains a line break or another control character");
    Error::new(ErrorKind::Config, "config-bad-secret", message)
        .with_hint("a key is one line of text without control characters")
}

impl Secrets {
    pub(crate) fn read(config: &Config) -> Self {
        let (mut entries, mut missing, mut values) = (Vec::new(), BTreeMap::new(), Vec::new());
        for (name, credential) in &config.secrets {
            match entry(name, credential) {
                Ok((entry, value)) => {
                    values.push((name.clone(), value));
                    entries.push(entry);
                }
                Err(error) => {
                    missing.insert(name.clone(), error);
                }
            }
        }
        let keys: BTreeMap<_, _> = config.models.iter().filter_map(key).collect();
        for (model, key) in &keys {
            if let Ok(key) = key {
                values.push((format!("models.{model}.api_key"), key.expose().to_owned()));
            }
        }
        Self {
            entries,
            missing,
            keys,
            protected: Arc::new(Protected::new(values)),
        }
    }

    /// Those that are not looked for, since they can't be told from other text.
    pub(crate) fn short(&self) -> Vec<Error> {
        let short = |name: &String| {
            let message = format!(
                "the secret `{name}` has fewer than {MIN_PROTECTED_BYTES} bytes: it is sent, but what plugins and models say isn't searched for it"
            );
            Error::new(ErrorKind::Config, "config-short-secret", message)
                .with_hint(format!("use one of {MIN_PROTECTED_BYTES} bytes or more"))
        };
        self.protected.too_short().iter().map(short).collect()
    }

    /// The key of a model; none where it needs none.
    pub(crate) fn key(&self, model: &str) -> Option<&Result<Secret>> {
        self.keys.get(model)
    }

    pub(crate) fn egress(&self, config: &Config, store: &Store) -> EgressSettings {
        EgressSettings {
            secrets: self.entries.clone(),
            protected: self.protected.clone(),
            audit: store.audit_sink(),
            audit_first: store.audit_commit(),
            proxy: config.proxy.clone(),
            ..EgressSettings::default()
        }
    }

    /// Whether all that these plugins were granted is there.
    pub(crate) fn check(&self, config: &Config, plugins: &Plugins, names: &[String]) -> Result<()> {
        for name in names {
            let (Some(plugin), Some(grant)) = (plugins.get(name), config.grants.get(name)) else {
                continue;
            };
            let powers = plugin.effective(grant.powers.clone()).powers();
            if let Some(error) = powers.secrets.iter().find_map(|secret| self.missing.get(secret)) {
                return Err(error
                    .clone()
                    .told(|message| format!("the plugin `{name}` can't be used: {message}")));
            }
        }
        Ok(())
    }
}

fn entry(name: &str, credential: &Credential) -> Result<(SecretEntry, String)> {
    // The configuration has made a file's path whole.
    let secret = credential.value.read(Path::new("")).map_err(|error| {
        error
            .told(|message| format!("the secret `{name}` has no value: {message}"))
            .with_hint(format!(
                "{}, or set `value` of `[secrets.{name}]` to where the secret is",
                put(&credential.value, "the secret")
            ))
    })?;
    let value = secret.expose().to_owned();
    let entry = SecretEntry::new(
        name,
        value.clone(),
        credential.audience.clone(),
        credential.place.clone(),
    )?;
    Ok((entry, value))
}

fn key((name, model): (&String, &ModelConfig)) -> Option<(String, Result<Secret>)> {
    let ModelConfig::OpenAi(model) = model else {
        return None;
    };
    let reference = model.api_key.as_ref()?;
    let key = reference.read(Path::new("")).map_err(|error| {
        error
            .told(|text| format!("the model `{name}` has no key: {text}"))
            .with_hint(format!(
                "{}, or set `api_key` of `[models.{name}]` to where the key is",
                put(reference, "the key")
            ))
    });
    Some((name.clone(), key))
}

/// How a value gets to where a reference says.
fn put(reference: &SecretRef, what: &str) -> String {
    match reference {
        SecretRef::Env(variable) => format!("export {variable}=…"),
        SecretRef::File(path) => format!("write {what} into `{}`", path.display()),
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets")
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}
