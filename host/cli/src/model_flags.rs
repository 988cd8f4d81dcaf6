//! Flags of the commands that run an agent, and the configuration that they lead to: what is written, or what is built in.

use sandbar::Config;
use sandbar::config::BuiltIn;
use sandbar::config::models::ModelConfig;
use sandbar::config::secrets::SecretRef;
use sandbar::config::sources::Sources;
use sandbar::protocol::{Error, ErrorKind, Result};

use crate::failure::{Failure, Outcome};
use crate::options::Options;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct ModelFlags {
    /// The address of a server that speaks OpenAI's API; only without a configuration
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Where the key for that server is: `env:NAME` or `file:PATH`
    #[arg(long, value_name = "PLACE", requires = "base_url")]
    api_key: Option<String>,
    /// The model, as its server calls it, or its name in the configuration
    #[arg(long, short, value_name = "NAME")]
    model: Option<String>,
    /// Let the plugin `files` change the workspace
    #[arg(long)]
    write: bool,
}

/// What the flags say, without a configuration.
const WAYS: &str = "\
each of these gives it a model:
  export OPENAI_API_KEY=…                        OpenAI
  ollama serve, and ollama pull qwen3            on this machine; llama.cpp and vLLM are found, too
  sandbar chat --base-url URL --model NAME       any server that speaks OpenAI's API
`sandbar demo` shows what an agent does, and needs no model";

impl ModelFlags {
    /// Where nothing is configured, asks for servers on this machine.
    pub(crate) fn config(&self, options: &Options, agent: Option<&str>) -> Outcome<Config> {
        let mut sources = options.sources()?;
        if self.write {
            set(&mut sources, "grants.files.files", "read-write");
        }
        match Config::load(&sources) {
            Ok(config) if self.base_url.is_some() => Err(self.base_url_is_configured(&config, agent).into()),
            Ok(config) => {
                let wanted = self.model.as_deref();
                match wanted
                    .map(|wanted| override_of_model(&config, agent, wanted))
                    .transpose()?
                    .flatten()
                {
                    Some((key, value)) => {
                        set(&mut sources, &key, &value);
                        Ok(Config::load(&sources)?)
                    }
                    None => Ok(config),
                }
            }
            Err(problems) if options.config.is_none() && Options::is_no_agent(&problems) => self.built_in(&sources),
            Err(problems) => Err(Failure(problems)),
        }
    }

    fn built_in(&self, sources: &Sources) -> Outcome<Config> {
        let mut built_in = BuiltIn::from_environment(sources.start_dir.clone());
        built_in.base_url.clone_from(&self.base_url);
        // Not by way of the flag's parser, which would show a key that was written by mistake.
        built_in.api_key = self.api_key.as_deref().map(str::parse::<SecretRef>).transpose()?;
        if self.model.is_some() {
            built_in.model.clone_from(&self.model);
        }
        built_in.write = self.write;
        look_for_server(&mut built_in)?;
        let nothing_found = built_in.base_url.is_none() && built_in.server.is_none();
        Config::built_in(&built_in, sources).map_err(|problems| {
            let tells_ways = |problem: Error| match nothing_found && problem.code == "no-model" {
                true => problem.with_hint(WAYS),
                false => problem,
            };
            Failure(problems.into_iter().map(tells_ways).collect())
        })
    }

    fn base_url_is_configured(&self, config: &Config, agent: Option<&str>) -> Error {
        let model = model_of(config, agent).map_or("NAME", |(_, model)| model);
        let message = "`--base-url` is for directories without a `sandbar.toml`, and here something is configured";
        Error::new(ErrorKind::InvalidInput, "already-configured", message).with_hint(format!(
            "set `base_url` of `[models.{model}]`; for this command alone with `--set models.{model}.base_url=URL`"
        ))
    }
}

/// A server on this machine, if nothing else is known. Takes 300 ms at most, and leaves no thread behind.
pub(crate) fn look_for_server(built_in: &mut BuiltIn) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            let message = format!("the network can't be used: {error}");
            Error::new(ErrorKind::Internal, "no-network", message).with_source(error)
        })?;
    runtime.block_on(built_in.find_server());
    Ok(())
}

/// The key that has to be set, and to what; none where there is no such agent, which is found out later.
fn override_of_model(config: &Config, agent: Option<&str>, wanted: &str) -> Result<Option<(String, String)>> {
    let Some((agent, model)) = model_of(config, agent) else {
        return Ok(None);
    };
    if config.models.contains_key(wanted) {
        return Ok(Some((format!("agents.{agent}.model"), wanted.to_owned())));
    }
    if let Some(ModelConfig::OpenAi(_)) = config.models.get(model) {
        return Ok(Some((format!("models.{model}.model"), wanted.to_owned())));
    }
    let names: Vec<&str> = config.models.keys().map(String::as_str).collect();
    let message = format!("the agent `{agent}` has the scripted model `{model}`, and no server for `{wanted}`");
    let hint = format!(
        "`--model` takes a name in `[models]`, too; there are: {}",
        names.join(", ")
    );
    Err(Error::new(ErrorKind::InvalidInput, "no-server", message).with_hint(hint))
}

/// An agent, and its model's name.
fn model_of<'a>(config: &'a Config, agent: Option<&str>) -> Option<(&'a str, &'a str)> {
    let agent = config.agents.get(agent.unwrap_or(&config.default_agent))?;
    Some((&agent.name, &agent.model))
}

fn set(sources: &mut Sources, key: &str, value: &str) {
    sources.overrides.push((key.to_owned(), value.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        default_agent = "main"
        [models.script]
        provider = "scripted"
        script = "replies.toml"
        [models.small]
        provider = "ollama"
        model = "qwen3"
        [agents.main]
        model = "script"
        [agents.other]
        model = "small"
    "#;

    #[test]
    fn a_model_is_named_as_it_is_configured_or_as_its_server_calls_it() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("replies.toml"), "").unwrap();
        let config = Config::from_toml(CONFIG, directory.path()).unwrap();
        let check = |agent: Option<&str>, wanted: &str, expected: &str| {
            let found = match override_of_model(&config, agent, wanted) {
                Ok(Some((key, value))) => format!("{key}={value}"),
                Ok(None) => "nothing".to_owned(),
                Err(error) => error.code,
            };
            assert_eq!(found, expected, "{agent:?} {wanted}");
        };
        check(None, "small", "agents.main.model=small");
        check(None, "qwen3:4b", "no-server");
        check(Some("other"), "qwen3:4b", "models.small.model=qwen3:4b");
        check(Some("other"), "script", "agents.other.model=script");
        check(Some("nobody"), "small", "nothing");
    }
}
