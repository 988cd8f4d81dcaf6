//! `sandbar` without a command: what is here, and where one could begin.

use sandbar::Config;
use sandbar::config::BuiltIn;

use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::lines::count;
use crate::model_flags::look_for_server;
use crate::options::Options;
use crate::sanitise::one_line;
use crate::style::Style;
use crate::table::{Table, cell, plain};
use crate::terminal::{Stream, Terminal};

/// What a command is for.
type Next = (&'static str, &'static str);

const WITH_MODEL: [Next; 3] = [
    ("sandbar chat", "talk about the files in this directory"),
    ("sandbar run \"What is in this directory?\"", "ask once"),
    ("sandbar chat --write", "let it change them; you are asked first"),
];

const WITHOUT_MODEL: [Next; 4] = [
    ("sandbar demo", "see an agent at work; needs no model"),
    ("export OPENAI_API_KEY=…", "then `sandbar chat`: a model of OpenAI's"),
    (
        "ollama serve",
        "then `sandbar chat`: a model on this machine; llama.cpp and vLLM are found, too",
    ),
    (
        "sandbar chat --base-url URL --model NAME",
        "any server that speaks OpenAI's API",
    ),
];

const CONFIGURED: [Next; 3] = [
    ("sandbar chat", "talk with the agent"),
    ("sandbar run \"…\"", "ask once"),
    ("sandbar plugins list", "what it may use"),
];

const ALWAYS: [Next; 2] = [
    ("sandbar init my-agent", "a project with a configuration of your own"),
    ("sandbar --help", "everything else"),
];

pub(super) fn show(options: &Options, terminal: &Terminal) -> Outcome {
    let (here, next) = match options.config() {
        Ok(config) => (configured(&config), CONFIGURED.to_vec()),
        Err(Failure(problems)) if options.config.is_none() && Options::is_no_agent(&problems) => built_in(options)?,
        Err(Failure(problems)) => {
            let problems = count(problems.len() as u64, "problem");
            let here = format!("the configuration has {problems}");
            (here, vec![("sandbar config check", "what is wrong with it")])
        }
    };
    let paint = terminal.paint(Stream::Out);
    let title = paint.with(Style::Bold, &format!("Sandbar {}", env!("CARGO_PKG_VERSION")));
    terminal.line(&format!(
        "{title}  agents whose tools and decisions are sandboxed WebAssembly components"
    ));
    terminal.line(&format!("\nhere: {here}\n"));
    let mut table = Table::default();
    for (command, why) in next.into_iter().chain(ALWAYS) {
        table.row([plain(""), cell(Style::Cyan, command), plain(why)]);
    }
    terminal.lines(table.lines(paint));
    Ok(Exit::Ok)
}

fn configured(config: &Config) -> String {
    let name = one_line(&config.default_agent, 40);
    let others = match config.agents.len() {
        1 => String::new(),
        agents => format!(", {} in all", count(agents as u64, "agent")),
    };
    let model = config
        .agents
        .get(&config.default_agent)
        .map(|agent| one_line(&agent.model, 40));
    format!(
        "the agent `{name}` with the model `{}`{others}",
        model.unwrap_or_default()
    )
}

fn built_in(options: &Options) -> Outcome<(String, Vec<Next>)> {
    let sources = options.sources()?;
    let mut built_in = BuiltIn::from_environment(sources.start_dir.clone());
    look_for_server(&mut built_in)?;
    let found = match (Config::built_in(&built_in, &sources), &built_in.server) {
        (Err(_), Some(server)) => format!(
            "nothing is configured, and the server at {} has no model",
            one_line(&server.base_url, 80)
        ),
        (Err(_), None) => "nothing is configured, and no model was found".to_owned(),
        (Ok(_), Some(server)) => {
            let model = built_in
                .model
                .as_ref()
                .or(server.models.first())
                .map(|model| one_line(model, 60));
            let place = one_line(&server.base_url, 80);
            return Ok((
                format!("no configuration; the model `{}` at {place}", model.unwrap_or_default()),
                WITH_MODEL.to_vec(),
            ));
        }
        (Ok(_), None) => {
            return Ok((
                "no configuration; OPENAI_API_KEY is set".to_owned(),
                WITH_MODEL.to_vec(),
            ));
        }
    };
    Ok((found, WITHOUT_MODEL.to_vec()))
}
