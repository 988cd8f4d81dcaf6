//! Who decided on the calls that go on, for the audit: kept until a call's intent is journaled with it.

use std::collections::HashMap;
use std::sync::Mutex;

use sandbar_protocol::policy::Rule;
use sandbar_protocol::{DecidedBy, Result};

use super::policy::{ARGUMENTS_DENIED, DENIED_BY_RULE};
use super::{Admitted, Effects, ToolEffect, lock};

/// By effect. What isn't in it was decided by nobody in particular.
#[derive(Debug, Default)]
pub(super) struct Decisions(Mutex<HashMap<String, DecidedBy>>);

impl Decisions {
    pub(super) fn note(&self, effect: &str, by: DecidedBy) {
        lock(&self.0).insert(effect.to_owned(), by);
    }

    pub(super) fn take(&self, effect: &str) -> DecidedBy {
        lock(&self.0).remove(effect).unwrap_or_default()
    }
}

impl Effects {
    /// Notes the line of the configuration that has allowed or denied a call, if one has.
    pub(super) fn note_ruling(&self, id: &str, call: &ToolEffect, admitted: &Result<Admitted>) {
        let Some(tool) = self.tools.iter().find(|tool| tool.spec().name == call.name) else {
            return;
        };
        let ruling = self.ruling(call, tool);
        let line = match admitted {
            Ok(_) => ruling.line.filter(|_| ruling.rule == Rule::Allow),
            Err(error) if error.code == DENIED_BY_RULE => ruling.line,
            Err(error) if error.code == ARGUMENTS_DENIED => call
                .name
                .split_once("__")
                .map(|(plugin, tool)| format!("grants.{plugin}.tools.{tool}")),
            Err(_) => None,
        };
        if let Some(line) = line {
            self.state.decisions.note(id, DecidedBy::Rule(line));
        }
    }
}
