//! What happens when a run's steps or tool calls are used up: it ends, or a person lets it go on.

use sandbar_protocol::{Error, ErrorKind, Result, StopReason, SuspensionKind};

use crate::effects::Asked;
use crate::steps::{Ended, Loop};

/// What becomes of a run that has used up its steps or tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenUsedUp {
    #[default]
    Stop,
    /// A person is asked whether it may go on.
    Ask,
}

impl Loop<'_> {
    /// How many of so many calls may be made.
    pub(crate) async fn more_calls(&mut self, asked: usize) -> Result<Result<usize, Ended>> {
        loop {
            let limit = self.effects.spending.limits().tool_calls;
            let left = limit.saturating_sub(self.effects.spending.tool_calls()) as usize;
            if asked <= left || self.when_used_up == WhenUsedUp::Stop {
                return Ok(Ok(left));
            }
            let text = format!(
                "the run has used {} of its {limit} tool calls and wants {asked} more",
                limit as usize - left
            );
            match self
                .ask_for_more(&text, u32::try_from(asked).unwrap_or(u32::MAX))
                .await?
            {
                Ok(by) => self
                    .effects
                    .spending
                    .extend(|limits| limits.tool_calls = limits.tool_calls.saturating_add(by)),
                Err(Some(ended)) => return Ok(Err(ended)),
                Err(None) => return Ok(Ok(left)),
            }
        }
    }

    pub(crate) fn out_of_calls(&self, more: usize) -> Ended {
        let limit = self.effects.spending.limits().tool_calls;
        let error = Error::new(
            ErrorKind::Limit,
            "max-tool-calls",
            format!(
                "the run has used up its limit of {}, {more} more were asked for",
                counted(limit, "tool call")
            ),
        );
        Ended::because(
            StopReason::MaxToolCalls,
            error.with_hint("ask for more, up to the agent's `limits.tool_calls` in the configuration"),
        )
    }

    /// None where a person lets the run go on.
    pub(crate) async fn used_up_steps(&mut self) -> Result<Option<Ended>> {
        let limit = self.effects.spending.limits().steps;
        if self.when_used_up == WhenUsedUp::Ask {
            let text = format!("the run has used its {}", counted(limit, "step"));
            match self.ask_for_more(&text, limit.max(1)).await? {
                Ok(by) => {
                    let spending = &self.effects.spending;
                    spending.extend(|limits| limits.steps = limits.steps.saturating_add(by));
                    return Ok(None);
                }
                Err(Some(ended)) => return Ok(Some(ended)),
                Err(None) => {}
            }
        }
        let error = Error::new(
            ErrorKind::Limit,
            "max-steps",
            format!("the run has used up its limit of {}", counted(limit, "step")),
        );
        Ok(Some(Ended::because(
            StopReason::MaxSteps,
            error.with_hint("ask for more steps, up to the agent's `limits.steps` in the configuration"),
        )))
    }

    /// How many more a person gives; none where they give none, or how the run ends.
    async fn ask_for_more(&mut self, text: &str, wanted: u32) -> Result<Result<u32, Option<Ended>>> {
        self.extensions += 1;
        let question = self.effects.question(
            SuspensionKind::Budget,
            self.effects.run.as_str(),
            self.extensions,
            &format!("{text}; may it go on?"),
        );
        Ok(match self.effects.ask_person(question).await? {
            Asked::Answered(answer) if answer.text("decision") == Some("extend") => {
                let by = answer.value.get("by").and_then(serde_json::Value::as_u64);
                Ok(by.and_then(|by| u32::try_from(by).ok()).unwrap_or(wanted))
            }
            Asked::Answered(_) => Err(None),
            Asked::Waits => Err(Some(Ended::waits())),
            Asked::Expired(error) => Err(Some(Ended::because(StopReason::Expired, error))),
        })
    }
}

fn counted(n: u32, noun: &str) -> String {
    match n {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}
