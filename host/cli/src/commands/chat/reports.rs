//! What `/tools`, `/model`, `/session` and `/cost` show.

use std::collections::{BTreeMap, HashMap};

use sandbar::config::models::ModelConfig;
use sandbar::protocol::{Event, EventBody, Result, SessionId, ToolTraits, Usage};
use sandbar::store::{SessionSummary, Store};
use sandbar::{AgentTool, Config};

use crate::lines::{count, moment};
use crate::sanitise::{one_line, sanitise};
use crate::style::{Paint, Style};
use crate::table::{Table, cell, plain};

pub(super) fn tools(tools: &[AgentTool], paint: Paint) -> Vec<String> {
    if tools.is_empty() {
        return vec!["the agent has no tools".to_owned()];
    }
    let mut table = Table::with_header(&["TOOL", "TRAITS", "WHAT IT DOES"]);
    for tool in tools {
        let traits = traits(&tool.spec.traits).join(", ");
        table.row([
            cell(Style::Bold, tool.spec.name.as_str()),
            plain(traits),
            plain(one_line(&tool.spec.description, 60)),
        ]);
    }
    table.lines(paint)
}

/// What a tool may do, in words. One that is no reader is asked for.
pub(super) fn traits(traits: &ToolTraits) -> Vec<&'static str> {
    let named = [
        (traits.read_only, "reads"),
        (!traits.read_only, "changes"),
        (traits.destructive, "destroys"),
        (traits.idempotent && !traits.read_only, "may be repeated"),
        (traits.exclusive, "alone"),
        (traits.previews, "shows a preview"),
    ];
    named
        .into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, name)| name)
        .collect()
}

/// One line for the start of a chat, too.
pub(super) fn model(config: &Config, agent: &str) -> String {
    let Some(name) = config.agents.get(agent).map(|agent| agent.model.as_str()) else {
        return format!("there is no agent `{}`", sanitise(agent));
    };
    let told = match config.models.get(name) {
        Some(ModelConfig::OpenAi(model)) => {
            let key = model
                .api_key
                .as_ref()
                .map_or("no key".to_owned(), |key| format!("key in {}", key.place()));
            let facts = [model.model.as_str(), model.server.name(), &model.base_url, &key];
            facts.map(|fact| sanitise(fact).into_owned()).join(" · ")
        }
        Some(ModelConfig::Scripted { script }) => format!("scripted · {}", script.display()),
        None => "not configured".to_owned(),
    };
    format!("model {name}: {told}")
}

pub(super) fn session(summary: &SessionSummary, repeated: &str) -> Vec<String> {
    let facts = [
        format!("agent {}", one_line(&summary.agent, 40)),
        count(summary.runs, "run"),
        count(summary.events, "event"),
        format!("since {} UTC", moment(summary.created_ms)),
    ];
    vec![
        format!("session {}  {}", summary.id, facts.join(" · ")),
        format!("  continue: sandbar chat{repeated} --session {}", summary.id),
        format!("  events:   sandbar sessions show{repeated} {}", summary.id),
    ]
}

/// What the model calls of a session took. A model is counted under its name in the configuration.
#[derive(Debug, Default)]
pub(super) struct Bill {
    models: BTreeMap<String, Entry>,
    /// The model of each call that has not ended, by effect.
    open: HashMap<String, String>,
}

#[derive(Debug, Default)]
struct Entry {
    calls: u64,
    usage: Usage,
    /// Calls of which no tokens were told.
    silent: u64,
    /// Of the calls whose cost is known.
    dollars: f64,
    unpriced: u64,
}

impl Bill {
    pub(super) fn of(store: &Store, session: &SessionId, config: &Config) -> Result<Self> {
        let mut bill = Self::default();
        store.each_event(session, 0, |event| {
            bill.add(event, |model, usage| config.cost(model, usage));
        })?;
        Ok(bill)
    }

    fn add(&mut self, event: &Event, cost: impl Fn(&str, Usage) -> Option<f64>) {
        match &event.body {
            EventBody::ModelStarted { effect, model, .. } => {
                self.open.insert(effect.clone(), model.clone());
            }
            EventBody::ModelFinished { effect, reply, .. } => {
                let model = self.open.remove(effect).unwrap_or_default();
                let cost = cost(&model, reply.usage);
                self.models.entry(model).or_default().add(reply.usage, cost);
            }
            _ => {}
        }
    }

    pub(super) fn lines(&self, paint: Paint) -> Vec<String> {
        if self.models.is_empty() {
            return vec!["no model has answered in this session yet".to_owned()];
        }
        let mut table = Table::with_header(&["MODEL", "CALLS", "TOKENS IN", "TOKENS OUT", "COST"]);
        for (model, entry) in &self.models {
            table.row([
                cell(Style::Bold, one_line(model, 40)),
                plain(entry.calls.to_string()),
                plain(entry.tokens(entry.usage.input_tokens)),
                plain(entry.tokens(entry.usage.output_tokens)),
                plain(entry.cost()),
            ]);
        }
        table.lines(paint)
    }
}

impl Entry {
    fn add(&mut self, usage: Usage, cost: Option<f64>) {
        self.calls += 1;
        self.usage.add(usage);
        self.silent += u64::from(usage.input_tokens.is_none() || usage.output_tokens.is_none());
        match cost {
            Some(cost) => self.dollars += cost,
            None => self.unpriced += 1,
        }
    }

    fn tokens(&self, sum: Option<u64>) -> String {
        match (sum, self.silent) {
            (None, _) => "unknown".to_owned(),
            (Some(sum), 0) => sum.to_string(),
            (Some(sum), silent) => format!("{sum} and {} unknown", count(silent, "call")),
        }
    }

    fn cost(&self) -> String {
        match self.calls - self.unpriced {
            0 => "unknown".to_owned(),
            _ if self.unpriced == 0 => format!("${:.4}", self.dollars),
            _ => format!("${:.4} and {} unknown", self.dollars, count(self.unpriced, "call")),
        }
    }
}

#[cfg(test)]
mod tests {
    use sandbar::protocol::RunId;
    use serde_json::{Value, json};

    use super::*;

    const PLAIN: Paint = Paint { coloured: false };

    fn event(body: Value) -> Event {
        Event {
            session: SessionId::from_entropy(1),
            sequence: 1,
            run: RunId::from_entropy(1),
            at_ms: 0,
            body: serde_json::from_value(body).unwrap(),
        }
    }

    /// Calls of the model `m`, of which only those with usage have a price.
    fn check(usages: &[Value], expected: &str) {
        let mut bill = Bill::default();
        let cost = |_: &str, usage: Usage| usage.input_tokens.map(|tokens| tokens as f64 / 1000.0);
        for (number, usage) in usages.iter().enumerate() {
            let effect = format!("e.{number}");
            let started =
                json!({ "type": "model.started", "effect": effect, "ordinal": 1, "model": "m", "thread": "main" });
            let reply = json!({ "message": { "role": "assistant" }, "finish_reason": "stop", "usage": usage });
            let finished =
                json!({ "type": "model.finished", "effect": effect, "thread": "main", "ms": 1, "reply": reply });
            bill.add(&event(started), cost);
            bill.add(&event(finished), cost);
        }
        let lines = bill.lines(PLAIN);
        let last = lines.last().unwrap();
        let fields: Vec<&str> = last
            .split("  ")
            .map(str::trim)
            .filter(|field| !field.is_empty())
            .collect();
        assert_eq!(fields.join(" | "), expected);
    }

    #[test]
    fn what_is_unknown_stays_unknown() {
        let known = json!({ "input_tokens": 10, "output_tokens": 2 });
        check(&[], "no model has answered in this session yet");
        check(std::slice::from_ref(&known), "m | 1 | 10 | 2 | $0.0100");
        check(&[known.clone(), known.clone()], "m | 2 | 20 | 4 | $0.0200");
        check(&[json!({})], "m | 1 | unknown | unknown | unknown");
        check(
            &[known, json!({})],
            "m | 2 | 10 and 1 call unknown | 2 and 1 call unknown | $0.0100 and 1 call unknown",
        );
    }

    #[test]
    fn traits_in_words() {
        let check = |value: Value, expected: &[&str]| {
            assert_eq!(traits(&serde_json::from_value(value).unwrap()), expected);
        };
        check(json!({ "read_only": true, "idempotent": true }), &["reads"]);
        check(json!({}), &["changes"]);
        check(
            json!({ "destructive": true, "previews": true }),
            &["changes", "destroys", "shows a preview"],
        );
    }
}
