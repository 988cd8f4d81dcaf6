//! Servers on this machine: which one is taken.

use super::*;
use crate::test_server::TestServer;

#[tokio::test]
async fn a_server_with_models_is_preferred() {
    let empty = TestServer::with_models([], Some(r#"{"object":"list","data":[]}"#)).await;
    let full = TestServer::with_models([], Some(r#"{"data":[{"id":"llama3.2:3b"},{"id":"qwen3"}]}"#)).await;
    let other = TestServer::start([]).await;
    // Nothing listens on a port that was just free.
    let gone = TestServer::start([]).await.base_url.clone();
    let found = first_with_models([
        (Server::Ollama, gone.as_str()),
        (Server::LlamaCpp, other.base_url.as_str()),
        (Server::LlamaCpp, empty.base_url.as_str()),
        (Server::Vllm, full.base_url.as_str()),
    ])
    .await;
    let expected = LocalServer {
        base_url: full.base_url.clone(),
        kind: Server::Vllm,
        models: vec!["llama3.2:3b".to_owned(), "qwen3".to_owned()],
    };
    assert_eq!(found, Some(expected));
    let found = first_with_models([
        (Server::Ollama, other.base_url.as_str()),
        (Server::Ollama, empty.base_url.as_str()),
    ])
    .await;
    assert_eq!(found.map(|server| server.models), Some(Vec::new()));
    assert_eq!(first_with_models([(Server::Ollama, gone.as_str())]).await, None);
    assert_eq!(list_models(&other.base_url).await, None);
    assert_eq!(list_models("nonsense").await, None);
}
