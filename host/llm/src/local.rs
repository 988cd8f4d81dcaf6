//! The servers that are known by name, and which of them runs on this machine.

use std::sync::Arc;

use futures::future::join_all;

use crate::failure::Target;
use crate::http::Http;
use crate::limits::PROBE_TIMEOUT;

/// Who serves a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// OpenAI, or any server that speaks its Chat Completions API.
    OpenAi,
    Ollama,
    LlamaCpp,
    Vllm,
}

/// A server that answers on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalServer {
    pub base_url: String,
    pub kind: Server,
    /// Empty if it has none yet.
    pub models: Vec<String>,
}

impl Server {
    /// Those that run on the user's own machine.
    pub const LOCAL: [Self; 3] = [Self::Ollama, Self::LlamaCpp, Self::Vllm];

    /// As the configuration calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Ollama => "ollama",
            Self::LlamaCpp => "llama-cpp",
            Self::Vllm => "vllm",
        }
    }

    /// Where it is unless the configuration says otherwise.
    pub fn base_url(self) -> &'static str {
        match self {
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Ollama => "http://127.0.0.1:11434/v1",
            Self::LlamaCpp => "http://127.0.0.1:8080/v1",
            Self::Vllm => "http://127.0.0.1:8000/v1",
        }
    }

    /// How it is started.
    pub(crate) fn start_command(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => None,
            Self::Ollama => Some("ollama serve"),
            Self::LlamaCpp => Some("llama-server -m model.gguf"),
            Self::Vllm => Some("vllm serve MODEL"),
        }
    }
}

/// Asks the usual addresses at once. The first server that has a model is taken, else the first that answers.
pub async fn find_local_server() -> Option<LocalServer> {
    first_with_models(Server::LOCAL.map(|kind| (kind, kind.base_url()))).await
}

async fn first_with_models<const N: usize>(places: [(Server, &str); N]) -> Option<LocalServer> {
    let asked = join_all(places.map(|(kind, base_url)| async move {
        let models = list_models(base_url).await?;
        Some(LocalServer {
            base_url: base_url.to_owned(),
            kind,
            models,
        })
    }));
    let mut servers: Vec<LocalServer> = asked.await.into_iter().flatten().collect();
    servers.sort_by_key(|server| server.models.is_empty());
    servers.into_iter().next()
}

/// The models of a server that asks for no key and answers at once; none if it doesn't.
pub async fn list_models(base_url: &str) -> Option<Vec<String>> {
    let target = Target {
        name: String::new(),
        model: String::new(),
        base_url: base_url.trim_end_matches('/').to_owned(),
        key_from: None,
        start: None,
        secret: None,
        protected: Arc::default(),
    };
    Http::new(target, &[]).ok()?.models(PROBE_TIMEOUT).await
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
