//! What a person was told that a call could do, and whether that is still all that it can do.

use std::sync::Arc;

use sandbar_protocol::{Approval, Authority, Protected, Result, SuspendedCall, SuspensionKind, Tool, ToolPowers};

use super::Effects;
use super::question::{id_of, stored};

impl Effects {
    /// Which question about a call it is that counts: the last one that was asked, or the next one, where the tool can do more by now than
    /// the person was told. A no holds for more as well.
    pub(super) async fn number_of_approval(&self, id: &str, tool: &Arc<dyn Tool>) -> Result<u32> {
        let past = |number| self.tape.suspension(&id_of(SuspensionKind::Approval, id, number));
        let asked = (1..).map_while(|number| Some((number, past(number)?)));
        let Some((last, past)) = asked.last() else {
            return Ok(1);
        };
        // A tool of the embedding program has no powers that could be compared; a replay has no journal, and calls no tool.
        let (Some(powers), Some(writer)) = (tool.powers(), &self.writer) else {
            return Ok(last);
        };
        let store = writer.store();
        let told = past.suspension.call.as_ref();
        if told.is_some_and(|told| covers(told, powers, store.protected())) {
            return Ok(last);
        }
        let answer = match &past.answer {
            None => stored(store, &past.suspension.id)?,
            answer => answer.clone(),
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

/// Whether a question that is in the journal told of all these powers. What is compared with it has no protected value either.
fn covers(told: &SuspendedCall, powers: &ToolPowers, protected: &Protected) -> bool {
    let Some(authority) = &told.authority else {
        // A journal of before has nothing but the sentences.
        let mut now = powers.sentences().into_iter();
        return now.all(|now| told.powers.iter().any(|then| *then == protected.redact(&now)));
    };
    // A rule of which a part was taken out can't be read: where there is one, only the same powers are covered.
    as_journaled(&Authority::of(powers), protected).is_some_and(|now| now == *authority || now.is_within(authority))
}

/// None where what is left of it can't be read: no journal has that either.
fn as_journaled(authority: &Authority, protected: &Protected) -> Option<Authority> {
    let mut value = serde_json::to_value(authority).ok()?;
    protected.redact_json(&mut value);
    serde_json::from_value(value).ok()
}

#[cfg(test)]
mod tests {
    use sandbar_protocol::FileAccess::{self, ReadOnly, ReadWrite};
    use sandbar_protocol::Reachable;
    use sandbar_protocol::policy::{Effective, HttpRule, Origin, PowerGrant, PowerSet};

    use super::*;

    const SECRET: &str = "s3cr3t-value";

    fn powers(path: &str, access: FileAccess, url: &str, methods: &[&str]) -> ToolPowers {
        let methods: Vec<String> = methods.iter().map(|method| (*method).to_owned()).collect();
        let granted = PowerGrant {
            powers: PowerSet {
                files: access,
                http: vec![HttpRule::parse(url, &methods, &[]).unwrap()],
                ..PowerSet::default()
            },
            ..PowerGrant::default()
        };
        ToolPowers {
            effective: Arc::new(Effective::of("p", None, granted)),
            files: access,
            directories: vec![Reachable {
                path: path.to_owned(),
                access,
            }],
        }
    }

    /// As a question about a call with these powers is in the journal.
    fn told(powers: &ToolPowers, authority: Option<Authority>, protected: &Protected) -> SuspendedCall {
        let call = SuspendedCall {
            call_id: "c".to_owned(),
            tool: "p__t".to_owned(),
            arguments: serde_json::json!({}),
            origin: Origin::Model,
            powers: powers.sentences(),
            authority,
            destructive: false,
            preview: None,
        };
        let mut written = serde_json::to_value(call).unwrap();
        protected.redact_json(&mut written);
        assert!(!written.to_string().contains(SECRET), "{written}");
        serde_json::from_value(written).unwrap()
    }

    /// `by_sentences` is for a journal of before.
    #[test]
    fn powers_are_known_again_without_their_protected_values() {
        let protected = Protected::new([("key".to_owned(), SECRET.to_owned())]);
        let plain = ("/place", "https://a.example/v1/");
        let hidden = ("/s3cr3t-value/a", "https://a.example/s3cr3t-value/v1/");
        let host = ("/place", "https://s3cr3t-value.example/");
        let check = |then: &ToolPowers, now: &ToolPowers, expected: bool, by_sentences: bool| {
            let question = told(then, Some(Authority::of(then)), &protected);
            assert_eq!(covers(&question, now, &protected), expected, "{question:?} {now:?}");
            let before = told(then, None, &protected);
            assert_eq!(covers(&before, now, &protected), by_sentences, "{before:?} {now:?}");
        };
        for (path, url) in [plain, hidden, host] {
            let of = |access, methods: &[&str]| powers(path, access, url, methods);
            let all = of(ReadWrite, &["GET", "HEAD", "POST"]);
            check(&all, &all, true, true);
            check(&of(ReadOnly, &["GET"]), &all, false, false);
            let elsewhere = [
                powers("/place/inner", ReadOnly, url, &["GET"]),
                powers("/s3cr3t-value/b", ReadOnly, url, &["GET"]),
                powers(path, ReadOnly, "https://b.example/", &["GET"]),
            ];
            for now in &elsewhere {
                check(&all, now, false, false);
            }
        }
        let of = |access, methods: &[&str]| powers("/s3cr3t-value/a", access, plain.1, methods);
        let all = of(ReadWrite, &["GET", "HEAD", "POST"]);
        check(&all, &of(ReadOnly, &["GET", "HEAD", "POST"]), true, false);
        check(&all, &of(ReadWrite, &["GET"]), true, false);
    }
}
