//! Whether a tool call may be made at all: the agent has the tool, no rule denies it, its arguments fit, and the run may make one more.

use std::sync::Arc;

use sandbar_protocol::policy::{ArgumentBreach, Origin, Refusal, Rule, Ruling};
use sandbar_protocol::{Error, ErrorKind, Result, Tool};

use super::{Admitted, Effects, ToolEffect, lock};
use crate::arguments;

/// The code of a call that the configuration doesn't allow at all.
pub(crate) const DENIED_BY_RULE: &str = "denied-by-rule";
/// The code of a call whose arguments the configuration doesn't allow.
pub(crate) const ARGUMENTS_DENIED: &str = "arguments-denied";

impl Effects {
    pub(super) fn policy(&self, call: &ToolEffect) -> Result<Admitted> {
        let tool = self
            .tools
            .iter()
            .find(|tool| tool.spec().name == call.name)
            .ok_or_else(|| self.unknown(&call.name))?;
        let ruling = self.ruling(call, tool);
        if ruling.rule == Rule::Deny {
            return Err(self.denied_by(&ruling, call, tool));
        }
        let input = arguments::parse(&call.name, &call.arguments, tool.input_schema())?;
        let admitted = Admitted {
            tool: tool.clone(),
            input: Arc::new(input),
        };
        self.check_arguments(call, &admitted)?;
        Ok(admitted)
    }

    /// What holds for a call, and the line of the configuration that says so.
    pub(super) fn ruling(&self, call: &ToolEffect, tool: &Arc<dyn Tool>) -> Ruling {
        let origins = self.origins(call);
        self.consent
            .ruling(tool.spec(), tool.powers(), &origins, &self.attended)
    }

    /// Who asks for a call: the model, or the pattern on its own.
    pub(super) fn caller(&self, call: &ToolEffect) -> Origin {
        if call.own { Origin::Plugin } else { Origin::Model }
    }

    /// A call is the model's or the pattern's, and that of who wants the run: what is said of any of them holds.
    fn origins(&self, call: &ToolEffect) -> [Origin; 2] {
        let caller = self.caller(call);
        let run = match self.origin {
            Origin::Model => caller,
            other => other,
        };
        [caller, run]
    }

    /// The model is told that it is so; the hint, which the model doesn't get, says to whoever runs Sandbar why.
    fn denied_by(&self, ruling: &Ruling, call: &ToolEffect, tool: &Arc<dyn Tool>) -> Error {
        let error = Error::new(
            ErrorKind::Denied,
            DENIED_BY_RULE,
            format!("the configuration does not allow `{}`", call.name),
        );
        match (&ruling.line, tool.powers()) {
            (Some(line), Some(powers)) if line.starts_with("grants.") => {
                let export = export(&call.name, powers.effective.plugin());
                let refused = |origin| {
                    let denies = powers.ruling(&[origin]).rule == Rule::Deny;
                    denies.then(|| powers.effective.refuse_call(export, origin, &powers.kinds()))
                };
                match self.origins(call).into_iter().find_map(refused) {
                    Some(refusal) => error.with_hint(for_operator(refusal)),
                    None => error.with_hint(format!("`{line}` says so")),
                }
            }
            (Some(line), _) => error.with_hint(format!(
                "`{line}` is `deny`; this would allow it:\n# sandbar.toml\n[consent.tools]\n{} = \"allow\"",
                call.name
            )),
            (None, _) => error,
        }
    }

    /// What the operator allows as arguments, beyond what the tool takes.
    fn check_arguments(&self, call: &ToolEffect, admitted: &Admitted) -> Result<()> {
        self.check_limits(call, admitted, self.calls_of(&call.name))
    }

    fn check_limits(&self, call: &ToolEffect, admitted: &Admitted, calls_so_far: u32) -> Result<()> {
        let Some(powers) = admitted.tool.powers() else {
            return Ok(());
        };
        let export = export(&call.name, powers.effective.plugin());
        let Some(limits) = powers.effective.argument_limits(export) else {
            return Ok(());
        };
        limits
            .check(&admitted.input, call.arguments.len() as u64, calls_so_far)
            .map_err(|breach| arguments_denied(&call.name, &breach, powers.effective.refuse_arguments(export, &breach)))
    }

    /// One of the run's tool calls, and one of this tool's, if the run may still make it.
    pub(super) fn take_call(&self, call: &ToolEffect, admitted: &Admitted) -> Result<()> {
        let mut calls = lock(&self.state.calls);
        let so_far = calls.get(&call.name).copied().unwrap_or(0);
        // Calls of one turn were looked at beside each other.
        self.check_limits(call, admitted, so_far)?;
        self.budget()?;
        calls.insert(call.name.clone(), so_far + 1);
        Ok(())
    }

    pub(super) fn budget(&self) -> Result<()> {
        if self.spending.take_tool_call() {
            return Ok(());
        }
        let limit = self.spending.limits().tool_calls;
        Err(Error::new(
            ErrorKind::Limit,
            "tool-call-limit",
            format!("the run has used up its limit of {limit} tool calls"),
        ))
    }

    /// Counts one that was made already, whatever the limits are now.
    pub(super) fn count_call(&self, call: &ToolEffect) {
        self.spending.count_tool_call();
        *lock(&self.state.calls).entry(call.name.clone()).or_default() += 1;
    }

    fn calls_of(&self, tool: &str) -> u32 {
        lock(&self.state.calls).get(tool).copied().unwrap_or(0)
    }

    fn unknown(&self, name: &str) -> Error {
        let names: Vec<_> = self.tools.iter().map(|tool| tool.spec().name.as_str()).collect();
        let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
        let error = Error::new(
            ErrorKind::NotFound,
            "unknown-tool",
            format!("there is no tool `{shown}`"),
        );
        if names.is_empty() {
            error.with_hint("there are no tools: answer without one")
        } else {
            error.with_hint(format!("there are: {}", names.join(", ")))
        }
    }
}

/// The tool's own name.
fn export<'a>(name: &'a str, plugin: &str) -> &'a str {
    name.strip_prefix(plugin)
        .and_then(|rest| rest.strip_prefix("__"))
        .unwrap_or(name)
}

fn arguments_denied(tool: &str, breach: &ArgumentBreach, refusal: Refusal) -> Error {
    Error::new(
        ErrorKind::Denied,
        ARGUMENTS_DENIED,
        format!(
            "the configuration does not allow this call of `{tool}`: {}",
            breach.sentence()
        ),
    )
    .with_hint(for_operator(refusal))
}

fn for_operator(refusal: Refusal) -> String {
    match refusal.mend {
        Some(mend) => format!("{}; this would allow it:\n{mend}", refusal.sentence),
        None => refusal.sentence,
    }
}
