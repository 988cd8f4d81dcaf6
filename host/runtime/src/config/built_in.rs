//! What holds where nothing is configured: one agent, on the current directory, with a model that is found.

use std::path::PathBuf;
use std::sync::Arc;

use sandbar_llm::{LocalServer, Server, find_local_server, list_models};
use sandbar_protocol::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use super::document::Document;
use super::models::OPENAI_KEY;
use super::origin::{Layer, LayerKind};
use super::secrets::SecretRef;

/// The name of the model in `[models]`.
const MODEL: &str = "default";
/// What OpenAI is asked for unless somebody says otherwise.
const OPENAI_MODEL: &str = "gpt-4o-mini";
/// The variable that names a model instead.
const MODEL_VARIABLE: &str = "SANDBAR_MODEL";
const INSTRUCTIONS: &str = include_str!("built_in.md");

/// What is known of a model and a workspace without a configuration.
#[derive(Debug, Clone, Default)]
pub struct BuiltIn {
    /// The address of a server, as a flag gives it. It gets only a key that is given with it.
    pub base_url: Option<String>,
    pub model: Option<String>,
    pub api_key: Option<SecretRef>,
    /// The directory that the agent sees.
    pub workspace: PathBuf,
    /// Whether it may change files there.
    pub write: bool,
    /// A server that answered: filled in by [`BuiltIn::find_server`].
    pub server: Option<LocalServer>,
    /// Whether the environment has a key for OpenAI.
    pub has_openai_key: bool,
}

impl BuiltIn {
    /// `SANDBAR_MODEL`, and whether there is an `OPENAI_API_KEY`.
    pub fn from_environment(workspace: PathBuf) -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            model: variable(MODEL_VARIABLE),
            workspace,
            has_openai_key: variable(OPENAI_KEY).is_some(),
            ..Self::default()
        }
    }

    /// Asks servers for models where nothing else says which to take: the one at `base_url`, or those that usually run on this
    /// machine. Takes 300 ms at most.
    pub async fn find_server(&mut self) {
        self.server = match &self.base_url {
            Some(base_url) if self.model.is_none() && !is_openai(base_url) => {
                list_models(base_url).await.map(|models| LocalServer {
                    base_url: base_url.clone(),
                    kind: Server::OpenAi,
                    models,
                })
            }
            None if !self.has_key() => find_local_server().await,
            _ => None,
        };
    }

    pub(super) fn document(&self) -> Result<Document> {
        let files = if self.write { "read-write" } else { "read-only" };
        let mut document = Document::default();
        let layer = Arc::new(Layer {
            kind: LayerKind::BuiltIn,
            name: "built in".to_owned(),
            base: self.workspace.clone(),
        });
        let workspace = self.workspace.to_string_lossy();
        let values = [
            ("workspace", json!(workspace)),
            ("grants.files.files", json!(files)),
            ("agents.main.model", json!(MODEL)),
            ("agents.main.plugins", json!(["files"])),
            ("agents.main.instructions", json!(INSTRUCTIONS)),
        ];
        for (key, value) in values
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .chain(self.model()?)
        {
            let path: Vec<String> = key.split('.').map(str::to_owned).collect();
            document.set_json(&path, &value, &layer);
        }
        Ok(document)
    }

    /// The keys of the model.
    fn model(&self) -> Result<Vec<(String, Value)>> {
        let (server, base_url, model) = self.place()?;
        let mut fields = vec![
            ("provider", json!(server.name())),
            ("base_url", json!(base_url)),
            ("model", json!(model)),
        ];
        if let Some(key) = &self.api_key {
            fields.push(("api_key", json!(key.to_string())));
        }
        Ok(fields
            .into_iter()
            .map(|(field, value)| (format!("models.{MODEL}.{field}"), value))
            .collect())
    }

    fn place(&self) -> Result<(Server, &str, &str)> {
        let wanted = self.model.as_deref();
        match (&self.base_url, &self.server) {
            (None, _) if self.has_key() => Ok((Server::OpenAi, Server::OpenAi.base_url(), wanted.unwrap_or(OPENAI_MODEL))),
            (None, None) => Err(no_model("no model is configured, and no local server was found".to_owned()).with_hint(
                "export OPENAI_API_KEY=…, or start a server such as `ollama serve`, or give `--base-url` and `--model`; \
                 `sandbar demo` shows what an agent does without a model",
            )),
            (Some(base_url), _) if is_openai(base_url) => Ok((Server::OpenAi, base_url, wanted.unwrap_or(OPENAI_MODEL))),
            (Some(base_url), None) => wanted.map(|model| (Server::OpenAi, base_url.as_str(), model)).ok_or_else(|| {
                no_model(format!("no model is named, and `{base_url}` doesn't say which it has"))
                    .with_hint("is the server running? name a model with `--model`; `sandbar demo` needs none")
            }),
            (_, Some(server)) => {
                let first = server.models.first().map(String::as_str);
                wanted.or(first).map(|model| (server.kind, server.base_url.as_str(), model)).ok_or_else(|| {
                    let hint = match server.kind {
                        Server::Ollama => "fetch one, such as `ollama pull qwen3`; `sandbar demo` needs none",
                        _ => "load one, or name it with `--model`; `sandbar demo` needs none",
                    };
                    no_model(format!("the server at `{}` has no models", server.base_url)).with_hint(hint)
                })
            }
        }
    }

    fn has_key(&self) -> bool {
        self.has_openai_key || self.api_key.is_some()
    }
}

fn is_openai(base_url: &str) -> bool {
    base_url.trim_end_matches('/') == Server::OpenAi.base_url()
}

fn no_model(message: String) -> Error {
    Error::new(ErrorKind::Config, "no-model", message)
}
