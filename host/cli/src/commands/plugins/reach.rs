//! Which plugins a run of an agent can come to use.

use std::collections::BTreeSet;

use sandbar::Config;
use sandbar::protocol::MAX_DELEGATION_DEPTH;

/// Each once, in the order in which they would be met: those of the agent, then those of the agents that it may give tasks to, and so on as
/// deep as tasks are handed on.
pub(super) fn plugins_of<'a>(config: &'a Config, agent: &str) -> Vec<&'a str> {
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    let mut level: Vec<&str> = vec![agent];
    for _ in 0..=MAX_DELEGATION_DEPTH {
        let new = level.into_iter().filter(|name| seen.insert(*name));
        let agents: Vec<_> = new.filter_map(|name| config.agents.get(name)).collect();
        found.extend(
            agents
                .iter()
                .flat_map(|agent| agent.named_plugins().map(String::as_str)),
        );
        level = agents
            .iter()
            .flat_map(|agent| agent.delegates.iter().map(String::as_str))
            .collect();
    }
    let mut met = BTreeSet::new();
    found.retain(|name| met.insert(*name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_run_can_reach_is_found_once() {
        let agent = |name: &str, more: &str| format!("[agents.{name}]\nmodel = 'm'\n{more}\n");
        let text = [
            "default_agent = 'main'\n[models.m]\nprovider = 'openai'\nmodel = 'a'\n".to_owned(),
            agent(
                "main",
                "plugins = ['files', 'mail']\nmemory = 'notes'\ndelegates = ['first', 'second']",
            ),
            agent(
                "first",
                "plugins = ['mail', 'web']\npattern = 'slow'\ndelegates = ['main']",
            ),
            agent("second", "memory = 'vault'\ndelegates = ['third']"),
            agent("third", "plugins = ['p3']\ndelegates = ['fourth']"),
            agent("fourth", "plugins = ['p4']\ndelegates = ['fifth']"),
            agent("fifth", "plugins = ['p5']\ndelegates = ['sixth']"),
            agent("sixth", "plugins = ['p6']"),
            agent("other", "plugins = ['unused']"),
        ];
        let config = Config::from_toml(&text.concat(), std::path::Path::new("/")).unwrap();
        let check = |agent: &str, expected: &[&str]| assert_eq!(plugins_of(&config, agent), expected, "{agent}");
        let all = [
            "files", "mail", "react", "notes", "web", "slow", "vault", "p3", "p4", "p5",
        ];
        check("main", &all);
        check("fifth", &["p5", "react", "p6"]);
        check("other", &["unused", "react"]);
        check("nobody", &[]);
    }
}
