//! What a person was told that a call could do, and whether that is still all that it can do.

use std::sync::Arc;

use sandbar_protocol::{Approval, Authority, REDACTED, Result, SuspensionKind, Tool, ToolPowers};

use super::Effects;
use super::question::{id_of, stored};

impl Effects {
    /// Which question about a call it is that counts: the last one that was asked, or the next one, where the tool can do more by now than
    /// the person was told. A no holds for more as well.
    pub(super) async fn number_of_approval(&self, id: &str, tool: &Arc<dyn Tool>) -> Result<u32> {
        let asked = |number: &u32| self.tape.suspension(&id_of(SuspensionKind::Approval, id, *number));
        let Some(last) = (1..).take_while(|number| asked(number).is_some()).last() else {
            return Ok(1);
        };
        let Some(past) = asked(&last) else {
            return Ok(1);
        };
        let told = past.suspension.call.as_ref().map_or(&[][..], |call| &call.powers);
        let can = tool.powers().map(ToolPowers::sentences).unwrap_or_default();
        if can.iter().all(|now| told.iter().any(|then| reads_as(then, now))) {
            return Ok(last);
        }
        let answer = match (&past.answer, &self.writer) {
            (None, Some(writer)) => stored(writer.store(), &past.suspension.id)?,
            (answer, _) => answer.clone(),
        };
        if answer.is_some_and(|answer| matches!(answer.decision(), Some(Approval::Deny) | None)) {
            return Ok(last);
        }
        if past.answer.is_none() {
            self.take_back(id).await?;
        }
        Ok(last + 1)
    }
}

/// None for a tool of the embedding program.
pub(super) fn authority(tool: &Arc<dyn Tool>) -> Option<Authority> {
    tool.powers().map(Authority::of)
}

pub(super) fn may_it(tool: &str, number: u32) -> String {
    match number {
        1 => format!("may `{tool}` be called?"),
        _ => format!("may `{tool}` be called? it can do something else by now than when this was asked before"),
    }
}

/// Whether a sentence is the one that the journal has, which has no protected value in it any more.
fn reads_as(written: &str, now: &str) -> bool {
    match (written.split_once(REDACTED), written.rsplit_once(REDACTED)) {
        (Some((start, _)), Some((_, end))) => now.starts_with(start) && now.ends_with(end),
        _ => written == now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_known_again_without_its_protected_values() {
        let check =
            |written: &str, now: &str, expected: bool| assert_eq!(reads_as(written, now), expected, "{written}");
        check("read the files of /place", "read the files of /place", true);
        check("read the files of /place", "read the files of /place/inner", false);
        check("read the files of /[redacted]/a", "read the files of /s3cr3t/a", true);
        check(
            "read the files of /[redacted]/[redacted]",
            "read the files of /s3cr3t/s3cr3t",
            true,
        );
        check(
            "read the files of /[redacted]/a",
            "read and write the files of /s3cr3t/a",
            false,
        );
        check("read the files of /[redacted]/a", "read the files of /s3cr3t/b", false);
    }
}
