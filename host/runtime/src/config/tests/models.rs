//! `[models]`: what is written, and what it means.

use sandbar_llm::{Price, Sampling, Server};
use sandbar_protocol::Usage;

use super::*;
use crate::config::models::OpenAiConfig;
use crate::config::secrets::SecretRef;

const AGENT: &str = "[agents.main]\nmodel = 'm'\n";

fn model(text: &str) -> OpenAiConfig {
    let directory = project();
    let config = Config::from_toml(&format!("{AGENT}[models.m]\n{text}"), directory.path()).unwrap();
    match config.models.into_iter().next() {
        Some((_, ModelConfig::OpenAi(model))) => *model,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_model_needs_a_provider_and_a_name() {
    for (provider, server, base_url, key) in [
        (
            "openai",
            Server::OpenAi,
            "https://api.openai.com/v1",
            Some("env:OPENAI_API_KEY"),
        ),
        ("ollama", Server::Ollama, "http://127.0.0.1:11434/v1", None),
        ("llama-cpp", Server::LlamaCpp, "http://127.0.0.1:8080/v1", None),
        ("vllm", Server::Vllm, "http://127.0.0.1:8000/v1", None),
    ] {
        let expected = OpenAiConfig {
            server,
            model: "m1".to_owned(),
            base_url: base_url.to_owned(),
            api_key: key.map(|key| key.parse().unwrap()),
            sampling: Sampling::default(),
            headers: BTreeMap::new(),
            extra: serde_json::Map::new(),
            max_retries: 4,
            idle_seconds: 120,
            price: None,
        };
        assert_eq!(model(&format!("provider = '{provider}'\nmodel = 'm1'")), expected);
    }
}

#[test]
fn every_key_of_a_model_is_taken() {
    let text = "provider = 'openai'\nmodel = 'm1'\nbase_url = 'https://h/v1'\napi_key = 'file:key'\ntemperature = 1\n\
        top_p = 0.5\nseed = -3\nmax_tokens = 9\nreasoning_effort = 'low'\nheaders = { X-Title = 'a' }\n\
        extra = { top_k = 5, deep = { a = [1] } }\nmax_retries = 0\nidle_seconds = 7\nprice = { input = 1, output = 2.5 }";
    let mut got = model(text);
    let Some(SecretRef::File(path)) = got.api_key.take() else {
        panic!("{got:?}")
    };
    assert!(path.is_absolute() && path.ends_with("key"), "{}", path.display());
    let expected = OpenAiConfig {
        server: Server::OpenAi,
        model: "m1".to_owned(),
        base_url: "https://h/v1".to_owned(),
        api_key: None,
        sampling: Sampling {
            temperature: Some(1.0),
            top_p: Some(0.5),
            seed: Some(-3),
            max_tokens: Some(9),
            reasoning_effort: Some("low".to_owned()),
        },
        headers: BTreeMap::from([("X-Title".to_owned(), "a".to_owned())]),
        extra: json!({ "top_k": 5, "deep": { "a": [1] } })
            .as_object()
            .cloned()
            .unwrap(),
        max_retries: 0,
        idle_seconds: 7,
        price: Some(Price {
            input: 1.0,
            output: 2.5,
            cached: None,
        }),
    };
    assert_eq!(got, expected);
}

#[test]
fn problems_of_models_have_places() {
    let directory = project();
    for (text, expected) in [
        (
            "provider = 'openai'",
            "3:9: `models.m` has no `model`\nhint: add `model = …`",
        ),
        (
            "provider = 'opnai'\nmodel = 'a'",
            "4:12: `models.m.provider` is `opnai`, but `scripted`, `openai`, `ollama`, `llama-cpp` or `vllm` is wanted\n\
             hint: did you mean `openai`?",
        ),
        (
            "provider = 'ollama'\nmodel = 'a'\ntemprature = 1",
            "6:1: unknown key `temprature` in `models.m`\nhint: did you mean `temperature`?",
        ),
        (
            "provider = 'ollama'\nmodel = 'a'\ntemperature = 3",
            "6:15: `models.m.temperature` is 3, but 0 to 2 is wanted",
        ),
        (
            "provider = 'ollama'\nmodel = 'a'\ntop_p = 'x'",
            "6:9: `models.m.top_p` is a text, but a number is wanted\nhint: a number is written without quotes",
        ),
        (
            "provider = 'ollama'\nmodel = 'a'\nprice = { input = -1, output = 1 }",
            "6:19: `models.m.price.input` is -1, but at least 0 is wanted",
        ),
        (
            "provider = 'openai'\nmodel = 'a'\napi_key = 'sk-12345'",
            "6:11: `models.m.api_key` is wrong: a reference to a secret is wanted, not a secret\n\
             hint: write `env:NAME` or `file:PATH`, and put the secret there",
        ),
        (
            "provider = 'openai'\nmodel = 'a'\nbase_url = 'localhost:11434'",
            "6:12: `models.m.base_url` is not an `http://` or `https://` address\nhint: write it as `https://host/v1`",
        ),
    ] {
        let errors = Config::from_toml(&format!("{AGENT}[models.m]\n{text}"), directory.path()).unwrap_err();
        assert_eq!(
            shown(&errors, directory.path()),
            format!("sandbar.toml:{expected}"),
            "{text}"
        );
    }
}

#[test]
fn costs_are_known_where_a_price_is() {
    let text = "[models.a]\nprovider = 'openai'\nmodel = 'gpt-4o-mini'\n[models.b]\nprovider = 'ollama'\nmodel = 'gpt-4o-mini'\n\
        [models.c]\nprovider = 'ollama'\nmodel = 'x'\nprice = { input = 1, output = 2 }\n";
    let directory = project();
    let config = Config::from_toml(&format!("{LEAST}{text}"), directory.path()).unwrap();
    let million = Usage {
        input_tokens: Some(1_000_000),
        output_tokens: Some(1_000_000),
        ..Usage::default()
    };
    for (model, expected) in [
        ("a", Some(0.75)),
        ("b", None),
        ("c", Some(3.0)),
        ("script", None),
        ("none", None),
    ] {
        assert_eq!(config.cost(model, million), expected, "{model}");
    }
    assert_eq!(config.cost("a", Usage::default()), None);
}
