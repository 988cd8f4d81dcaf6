//! `[models.<name>]`: where answers come from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sandbar_llm::{DEFAULT_IDLE, DEFAULT_MAX_RETRIES, Price, Sampling, Server, check_base_url};
use sandbar_protocol::Usage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Config;
use super::resolve::Resolution;
use super::secrets::SecretRef;

/// Where OpenAI's key is unless the configuration says otherwise.
pub(super) const OPENAI_KEY: &str = "OPENAI_API_KEY";

/// How a model is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelConfig {
    /// Answers from a file.
    Scripted { script: PathBuf },
    /// A server that speaks OpenAI's Chat Completions API.
    OpenAi(Box<OpenAiConfig>),
}

/// A model behind OpenAI's Chat Completions API.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenAiConfig {
    pub server: Server,
    /// As the server calls it.
    pub model: String,
    pub base_url: String,
    /// None sends no key.
    pub api_key: Option<SecretRef>,
    pub sampling: Sampling,
    pub headers: BTreeMap<String, String>,
    pub extra: Map<String, Value>,
    pub max_retries: u32,
    pub idle_seconds: u32,
    /// What was written, else what is listed for the model, else unknown.
    pub price: Option<Price>,
}

impl Config {
    /// What a model's tokens cost in US dollars; none if that isn't known.
    pub fn cost(&self, model: &str, usage: Usage) -> Option<f64> {
        match self.models.get(model)? {
            ModelConfig::OpenAi(config) => config.price?.cost(usage),
            ModelConfig::Scripted { .. } => None,
        }
    }
}

/// A model; `provider` says of which kind.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "provider", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum FileModel {
    /// Answers from a file, for examples, tests and evals.
    Scripted {
        /// The file of replies. Environment: `SANDBAR__MODELS__<NAME>__SCRIPT`.
        script: String,
    },
    /// OpenAI, or any server that speaks its Chat Completions API.
    #[serde(rename = "openai")]
    OpenAi(Box<FileOpenAi>),
    /// Ollama on this machine.
    Ollama(Box<FileOpenAi>),
    /// The server of llama.cpp on this machine.
    LlamaCpp(Box<FileOpenAi>),
    /// vLLM on this machine.
    Vllm(Box<FileOpenAi>),
}

/// A model behind OpenAI's Chat Completions API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileOpenAi {
    /// The model, as the server calls it. Environment: `SANDBAR__MODELS__<NAME>__MODEL`.
    model: String,
    /// The address of the API, up to `/v1`. Default: that of the provider; for `openai` `https://api.openai.com/v1`. Environment:
    /// `SANDBAR__MODELS__<NAME>__BASE_URL`.
    base_url: Option<String>,
    /// Where the key is: `env:NAME` or `file:PATH`. Default: `env:OPENAI_API_KEY` for OpenAI's own address, no key for another.
    /// Environment: `SANDBAR__MODELS__<NAME>__API_KEY`.
    api_key: Option<SecretRef>,
    /// How freely words are chosen. Default: the server's. Environment: `SANDBAR__MODELS__<NAME>__TEMPERATURE`.
    #[schemars(range(min = 0.0, max = 2.0))]
    temperature: Option<f64>,
    /// The share of likely words that are chosen from. Default: the server's. Environment: `SANDBAR__MODELS__<NAME>__TOP_P`.
    #[schemars(range(min = 0.0, max = 1.0))]
    top_p: Option<f64>,
    /// Makes answers repeatable, where the server can. Default: none. Environment: `SANDBAR__MODELS__<NAME>__SEED`.
    seed: Option<i64>,
    /// The longest answer. Default: the server's. Environment: `SANDBAR__MODELS__<NAME>__MAX_TOKENS`.
    #[schemars(range(min = 1))]
    max_tokens: Option<u32>,
    /// How long a reasoning model thinks, such as `low`. Default: the server's. Environment:
    /// `SANDBAR__MODELS__<NAME>__REASONING_EFFORT`.
    reasoning_effort: Option<String>,
    /// Further headers, by name. They are no place for secrets. Default: none. Environment: `SANDBAR__MODELS__<NAME>__HEADERS`.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Further fields of the request, as they are. Default: none. Environment: `SANDBAR__MODELS__<NAME>__EXTRA__<KEY>`.
    #[serde(default)]
    extra: Map<String, Value>,
    /// How often a call is tried again that the server did not begin to answer. Default: 4. Environment:
    /// `SANDBAR__MODELS__<NAME>__MAX_RETRIES`.
    #[schemars(range(max = 20))]
    max_retries: Option<u32>,
    /// How long the server may say nothing, in seconds. Default: 120. Environment: `SANDBAR__MODELS__<NAME>__IDLE_SECONDS`.
    #[schemars(range(min = 1, max = 3600))]
    idle_seconds: Option<u32>,
    /// What the model costs. Default: what is listed for it, else unknown.
    price: Option<FilePrice>,
}

/// US dollars for a million tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FilePrice {
    /// Of input. Environment: `SANDBAR__MODELS__<NAME>__PRICE__INPUT`.
    #[schemars(range(min = 0.0))]
    input: f64,
    /// Of output, thoughts included. Environment: `SANDBAR__MODELS__<NAME>__PRICE__OUTPUT`.
    #[schemars(range(min = 0.0))]
    output: f64,
    /// Of input from the provider's cache. Default: as other input. Environment: `SANDBAR__MODELS__<NAME>__PRICE__CACHED`.
    #[schemars(range(min = 0.0))]
    cached: Option<f64>,
}

impl FileModel {
    pub(super) fn resolve(self, name: &str, resolution: &mut Resolution) -> ModelConfig {
        let (server, file) = match self {
            Self::Scripted { script } => {
                let script = resolution.file(&format!("models.{name}.script"), &script);
                return ModelConfig::Scripted { script };
            }
            Self::OpenAi(file) => (Server::OpenAi, file),
            Self::Ollama(file) => (Server::Ollama, file),
            Self::LlamaCpp(file) => (Server::LlamaCpp, file),
            Self::Vllm(file) => (Server::Vllm, file),
        };
        ModelConfig::OpenAi(Box::new(file.resolve(server, &format!("models.{name}"), resolution)))
    }
}

impl FileOpenAi {
    fn resolve(self, server: Server, key: &str, resolution: &mut Resolution) -> OpenAiConfig {
        fn or_default<T: Serialize>(
            key: &str,
            name: &str,
            resolution: &mut Resolution,
            written: Option<T>,
            default: T,
        ) -> T {
            resolution.or_default(&format!("{key}.{name}"), written, default)
        }
        let base_url = or_default(key, "base_url", resolution, self.base_url, server.base_url().to_owned());
        if let Err(why) = check_base_url(&base_url) {
            let url_key = format!("{key}.base_url");
            resolution.problem(
                &url_key,
                "bad-url",
                &format!("`{url_key}` {why}"),
                "write it as `https://host/v1`",
            );
        }
        let idle = u32::try_from(DEFAULT_IDLE.as_secs()).unwrap_or(u32::MAX);
        let written = self.price.map(|price| Price {
            input: price.input,
            output: price.output,
            cached: price.cached,
        });
        OpenAiConfig {
            api_key: api_key(self.api_key, &base_url, &format!("{key}.api_key"), resolution),
            sampling: Sampling {
                temperature: self.temperature,
                top_p: self.top_p,
                seed: self.seed,
                max_tokens: self.max_tokens,
                reasoning_effort: self.reasoning_effort,
            },
            headers: self.headers,
            extra: self.extra,
            max_retries: or_default(key, "max_retries", resolution, self.max_retries, DEFAULT_MAX_RETRIES),
            idle_seconds: or_default(key, "idle_seconds", resolution, self.idle_seconds, idle),
            price: written.or_else(|| Price::listed(&base_url, &self.model)),
            model: self.model,
            base_url,
            server,
        }
    }
}

/// OpenAI's key is for OpenAI: another address gets a key only if one is written for it.
fn api_key(written: Option<SecretRef>, base_url: &str, key: &str, resolution: &mut Resolution) -> Option<SecretRef> {
    match written {
        Some(SecretRef::File(path)) => Some(SecretRef::File(resolution.path(key, &path.to_string_lossy()))),
        Some(reference) => Some(reference),
        None if base_url.trim_end_matches('/') == Server::OpenAi.base_url() => {
            let reference = SecretRef::Env(OPENAI_KEY.to_owned());
            resolution.note_default(key, &reference.to_string());
            Some(reference)
        }
        None => None,
    }
}
