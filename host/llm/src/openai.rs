//! Models behind the Chat Completions API: OpenAI's own, and the many servers that speak it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use sandbar_protocol::{Error, ErrorKind, Model, ModelRequest, ModelStream, Protected, Result};
use serde_json::{Map, Value, json};

use crate::call::{self, Attempts};
use crate::chat_request;
use crate::failure::{Secret, Target};
use crate::http::Http;
use crate::limits::FIRST_BACKOFF;
use crate::local::Server;

pub const DEFAULT_MAX_RETRIES: u32 = 4;
pub const DEFAULT_IDLE: Duration = Duration::from_secs(120);

const OFFICIAL: &str = "https://api.openai.com/";
const PATH: &str = "/chat/completions";

/// What a model needs besides requests.
#[derive(Clone)]
pub struct OpenAiSettings {
    /// The name in the configuration.
    pub name: String,
    /// The provider's name for the model.
    pub model: String,
    pub server: Server,
    /// The address up to and including `/v1`.
    pub base_url: String,
    pub key: ApiKey,
    /// What must not be in an error, whoever says it.
    pub protected: Arc<Protected>,
    pub sampling: Sampling,
    /// Sent with every request; their texts are shown nowhere.
    pub headers: Vec<(String, String)>,
    /// Further fields of the body, as they are.
    pub extra: Map<String, Value>,
    pub max_retries: u32,
    /// The longest time without a byte.
    pub idle: Duration,
    /// Gives the random numbers that spread attempts.
    pub entropy: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// The key that is sent.
#[derive(Clone)]
pub enum ApiKey {
    None,
    /// `from` says where it was read, for errors.
    Known {
        value: String,
        from: String,
    },
    /// It should be there and isn't: calls fail with this error.
    Missing(Error),
}

/// How the model chooses its words; what is not set is the provider's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub seed: Option<i64>,
    pub max_tokens: Option<u32>,
    pub reasoning_effort: Option<String>,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Known { from, .. } => write!(f, "Known(from {from})"),
            Self::Missing(error) => write!(f, "Missing({error:?})"),
        }
    }
}

impl std::fmt::Debug for OpenAiSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenAiSettings")
            .field("name", &self.name)
            .field("model", &self.model)
            .field("base_url", &self.base_url)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// A model behind the Chat Completions API.
#[derive(Debug)]
pub struct OpenAiModel {
    http: Arc<Http>,
    attempts: Attempts,
    /// The fields that every request has.
    fields: Map<String, Value>,
    missing_key: Option<Error>,
}

impl OpenAiModel {
    pub fn new(settings: OpenAiSettings) -> Result<Self> {
        let base_url = settings.base_url.trim_end_matches('/').to_owned();
        let fields = fields(&settings, &base_url);
        let (secret, key_from, missing_key) = match settings.key {
            ApiKey::None => (None, None, None),
            ApiKey::Known { value, from } => (Some(Secret(value)), Some(from), None),
            ApiKey::Missing(error) => (None, None, Some(error)),
        };
        let target = Target {
            name: settings.name,
            model: settings.model,
            base_url,
            key_from,
            start: settings.server.start_command(),
            secret,
            protected: settings.protected,
        };
        Ok(Self {
            http: Arc::new(Http::new(target, &settings.headers)?),
            attempts: Attempts {
                max_retries: settings.max_retries,
                idle: settings.idle,
                backoff: FIRST_BACKOFF,
                entropy: settings.entropy,
            },
            fields,
            missing_key,
        })
    }
}

impl Model for OpenAiModel {
    fn name(&self) -> &str {
        &self.http.target.name
    }

    fn call(&self, request: ModelRequest) -> ModelStream {
        if let Some(error) = &self.missing_key {
            return stream::iter([Err(error.clone())]).boxed();
        }
        let body = chat_request::body(&self.fields, &request);
        match serde_json::to_vec(&body) {
            Ok(body) => call::stream(self.http.clone(), self.attempts.clone(), PATH, Bytes::from(body)),
            Err(error) => {
                let error = Error::new(
                    ErrorKind::Internal,
                    "model-request",
                    "the request can't be written as JSON",
                )
                .with_source(error);
                stream::iter([Err(error)]).boxed()
            }
        }
    }
}

fn fields(settings: &OpenAiSettings, base_url: &str) -> Map<String, Value> {
    let official = format!("{base_url}/").starts_with(OFFICIAL);
    let mut fields = Map::new();
    fields.insert("model".to_owned(), settings.model.as_str().into());
    fields.insert("stream".to_owned(), true.into());
    fields.insert("stream_options".to_owned(), json!({"include_usage": true}));
    let Sampling {
        temperature,
        top_p,
        seed,
        max_tokens,
        reasoning_effort,
    } = &settings.sampling;
    // Newer models refuse the old name of the limit; other servers know only that one.
    let limit = if official {
        "max_completion_tokens"
    } else {
        "max_tokens"
    };
    let sampling = [
        ("temperature", temperature.map(Value::from)),
        ("top_p", top_p.map(Value::from)),
        ("seed", seed.map(Value::from)),
        (limit, max_tokens.map(Value::from)),
        ("reasoning_effort", reasoning_effort.as_deref().map(Value::from)),
    ];
    for (key, value) in sampling {
        if let Some(value) = value {
            fields.insert(key.to_owned(), value);
        }
    }
    fields.extend(settings.extra.clone());
    fields
}

#[cfg(test)]
#[path = "openai_tests.rs"]
mod tests;
