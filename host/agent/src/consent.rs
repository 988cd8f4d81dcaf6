//! Whether a tool call needs a person's word, and what is done where nobody is there to give it.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbar_protocol::policy::{Origin, Rule, Ruling};
use sandbar_protocol::{Asker, ToolPowers, ToolSpec};

/// What the configuration says about asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentRules {
    /// By `<plugin>__<tool>`; a `*` at the end stands for any rest. The longest one that fits counts.
    pub tools: BTreeMap<String, Rule>,
    pub unattended: Unattended,
    /// How long a question may wait.
    pub expires: Duration,
}

/// What becomes of a question that nobody is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unattended {
    /// The run waits for an answer.
    Suspend,
    /// The model is told no.
    Deny,
}

/// Who is there while a run goes on.
#[derive(Clone, Default)]
pub enum Attended {
    /// Nobody: the rules decide, and what they want asked waits or is denied.
    #[default]
    Nobody,
    /// Somebody who has allowed beforehand whatever would be asked.
    Allowing,
    /// Somebody who is asked, also before changes that no rule wants asked.
    By(Asker),
}

impl Default for ConsentRules {
    fn default() -> Self {
        Self {
            tools: BTreeMap::new(),
            unattended: Unattended::Suspend,
            expires: Duration::from_hours(7 * 24),
        }
    }
}

impl ConsentRules {
    /// The rule that is written for a tool: the longest name that fits.
    fn closest(&self, tool: &str) -> Option<(&str, Rule)> {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(start) => tool.starts_with(start),
            None => tool == pattern,
        };
        let rules = self.tools.iter().filter(|(pattern, _)| fits(pattern));
        let closest = rules.max_by_key(|(pattern, _)| (pattern.len(), !pattern.ends_with('*')));
        closest.map(|(pattern, rule)| (pattern.as_str(), *rule))
    }

    /// What holds for a call of a tool, and the line that says so: the strictest of what is written for the tool, for the origins that
    /// the call has, and for the powers that it would get.
    pub fn ruling(
        &self,
        tool: &ToolSpec,
        powers: Option<&ToolPowers>,
        origins: &[Origin],
        attended: &Attended,
    ) -> Ruling {
        let by_powers = powers.map(|powers| powers.ruling(origins)).unwrap_or_default();
        let by_tool = self.of_tool(tool, attended);
        if by_powers.rule > by_tool.rule {
            by_powers
        } else {
            by_tool
        }
    }

    fn of_tool(&self, tool: &ToolSpec, attended: &Attended) -> Ruling {
        let unwritten = |rule| Ruling { rule, line: None };
        match self.closest(&tool.name) {
            Some((pattern, rule)) => Ruling {
                rule,
                line: Some(format!("consent.tools.\"{pattern}\"")),
            },
            // What a tool says of itself can only tighten.
            None if tool.traits.approval => unwritten(Rule::Ask),
            None if !tool.traits.read_only && matches!(attended, Attended::By(_)) => unwritten(Rule::Ask),
            None => unwritten(Rule::Allow),
        }
    }
}

impl std::fmt::Debug for Attended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nobody => "Nobody",
            Self::Allowing => "Allowing",
            Self::By(_) => "By",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sandbar_protocol::ToolTraits;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_closest_rule_counts() {
        let rules = ConsentRules {
            tools: [
                ("files__*", Rule::Deny),
                ("files__read*", Rule::Allow),
                ("files__read_all", Rule::Ask),
            ]
            .map(|(name, rule)| (name.to_owned(), rule))
            .into(),
            ..ConsentRules::default()
        };
        let person = Attended::By(Arc::new(|_| Box::pin(async { None })));
        let check = |name: &str, (read_only, approval): (bool, bool), attended: &Attended, expected: Rule| {
            let spec = ToolSpec {
                name: name.to_owned(),
                description: String::new(),
                input_schema: json!({}),
                output_schema: None,
                traits: ToolTraits {
                    read_only,
                    approval,
                    ..ToolTraits::default()
                },
            };
            let found = rules.ruling(&spec, None, &[Origin::Model], attended);
            assert_eq!(found.rule, expected, "{name} {attended:?}");
        };
        let (changes, reads, wants_asking) = ((false, false), (true, false), (true, true));
        check("files__write", changes, &Attended::Nobody, Rule::Deny);
        check("files__read", reads, &Attended::Nobody, Rule::Allow);
        check("files__read_all", reads, &Attended::Nobody, Rule::Ask);
        check("mail__send", changes, &Attended::Nobody, Rule::Allow);
        check("mail__send", changes, &Attended::Allowing, Rule::Allow);
        check("mail__send", changes, &person, Rule::Ask);
        check("mail__list", reads, &person, Rule::Allow);
        check("mail__list", wants_asking, &Attended::Nobody, Rule::Ask);
    }

    #[test]
    fn the_closest_rule_is_found() {
        let rules = [("files__*", Rule::Deny), ("files__write", Rule::Ask)];
        let consent = ConsentRules {
            tools: rules.map(|(name, rule)| (name.to_owned(), rule)).into(),
            ..ConsentRules::default()
        };
        let check = |tool: &str, expected: Option<(&str, Rule)>| assert_eq!(consent.closest(tool), expected, "{tool}");
        check("files__write", Some(("files__write", Rule::Ask)));
        check("files__read", Some(("files__*", Rule::Deny)));
        check("http__get", None);
    }
}
