//! Without a configuration: which model is taken, and what the agent may do.

use sandbar_llm::{LocalServer, Server};

use super::*;

fn found(kind: Server, models: &[&str]) -> Option<LocalServer> {
    Some(LocalServer {
        base_url: kind.base_url().to_owned(),
        kind,
        models: models.iter().map(|model| (*model).to_owned()).collect(),
    })
}

fn check(built_in: BuiltIn, expected: &str) {
    let directory = project();
    let base = directory.path();
    let sources = Sources {
        start_dir: base.to_owned(),
        default_data_dir: Some(base.join("data")),
        ..Sources::default()
    };
    let shown_here = format!("{built_in:?}");
    let got = match Config::built_in(
        &BuiltIn {
            workspace: base.join("work"),
            ..built_in
        },
        &sources,
    ) {
        Ok(config) => {
            let agent = &config.agents[&config.default_agent];
            assert_eq!((agent.name.as_str(), agent.pattern.as_str()), ("main", "react"));
            assert_eq!(
                (agent.plugins.as_slice(), config.workspace),
                (["files".to_owned()].as_slice(), Some(base.join("work")))
            );
            match &config.models[&agent.model] {
                ModelConfig::OpenAi(model) => {
                    let key = model.api_key.as_ref().map_or("no key".to_owned(), ToString::to_string);
                    format!(
                        "{} at {} with {key}, {:?}",
                        model.model, model.base_url, config.grants["files"].powers.powers.files
                    )
                }
                ModelConfig::Scripted { .. } => unreachable!("no such model is built in"),
            }
        }
        Err(errors) => shown(&errors, base),
    };
    assert_eq!(got, expected, "{shown_here}");
}

#[test]
fn a_model_is_found_where_it_can_be() {
    let openai = "at https://api.openai.com/v1 with env:OPENAI_API_KEY";
    let text = |text: &str| Some(text.to_owned());
    let keyed = BuiltIn {
        has_openai_key: true,
        ..BuiltIn::default()
    };
    check(keyed.clone(), &format!("gpt-4o-mini {openai}, ReadOnly"));
    check(
        BuiltIn {
            model: text("o1"),
            write: true,
            ..keyed.clone()
        },
        &format!("o1 {openai}, ReadWrite"),
    );
    // A key for OpenAI goes nowhere else.
    let elsewhere = BuiltIn {
        base_url: text("https://h/v1"),
        model: text("m"),
        ..keyed
    };
    check(elsewhere.clone(), "m at https://h/v1 with no key, ReadOnly");
    check(
        BuiltIn {
            api_key: Some("env:OTHER".parse().unwrap()),
            ..elsewhere
        },
        "m at https://h/v1 with env:OTHER, ReadOnly",
    );
    let local = BuiltIn {
        server: found(Server::Ollama, &["qwen3:4b", "other"]),
        ..BuiltIn::default()
    };
    check(
        local.clone(),
        "qwen3:4b at http://127.0.0.1:11434/v1 with no key, ReadOnly",
    );
    check(
        BuiltIn {
            model: text("mine"),
            ..local
        },
        "mine at http://127.0.0.1:11434/v1 with no key, ReadOnly",
    );
}

#[test]
fn without_a_model_it_is_said_what_to_do() {
    check(
        BuiltIn::default(),
        "no model is configured, and no local server was found\n\
         hint: export OPENAI_API_KEY=…, or start a server such as `ollama serve`, or give `--base-url` and `--model`; \
         `sandbar demo` shows what an agent does without a model",
    );
    check(
        BuiltIn {
            server: found(Server::Ollama, &[]),
            ..BuiltIn::default()
        },
        "the server at `http://127.0.0.1:11434/v1` has no models\nhint: fetch one, such as `ollama pull qwen3`; `sandbar demo` needs none",
    );
    check(
        BuiltIn {
            base_url: Some("http://h/v1".to_owned()),
            ..BuiltIn::default()
        },
        "no model is named, and `http://h/v1` doesn't say which it has\n\
         hint: is the server running? name a model with `--model`; `sandbar demo` needs none",
    );
    check(
        BuiltIn {
            base_url: Some("h".to_owned()),
            model: Some("m".to_owned()),
            ..BuiltIn::default()
        },
        "built in: `models.default.base_url` is not an address\nhint: write it as `https://host/v1`",
    );
}

#[test]
fn flags_and_files_go_on_top() {
    let directory = project();
    let base = directory.path();
    std::fs::write(base.join("config.toml"), "[limits]\ncpu_ms = 7\n").unwrap();
    let sources = Sources {
        start_dir: base.to_owned(),
        user: Some(base.join("config.toml")),
        default_data_dir: Some(base.join("data")),
        overrides: vec![("agents.main.limits.steps".to_owned(), "3".to_owned())],
        ..Sources::default()
    };
    let built_in = BuiltIn {
        has_openai_key: true,
        workspace: base.join("work"),
        ..BuiltIn::default()
    };
    let config = Config::built_in(&built_in, &sources).unwrap();
    assert_eq!((config.guest_limits.cpu_ms, config.agents["main"].limits.steps), (7, 3));
    let origins = origins(&config, base);
    for line in [
        "agents.main.limits.steps = 3 (flag)",
        "limits.cpu_ms = 7 (DIR/config.toml:2)",
        "models.default.model = \"gpt-4o-mini\" (default)",
    ] {
        assert!(origins.contains(line), "{line} in {origins}");
    }
}
