//! The policy as a whole: a corpus of requests, what always holds, and the sentences of refusals.

mod no_lines;
mod properties;
mod refusals;
mod rules;
mod urls;

use super::{Effective, HttpRule, PowerGrant, PowerSet};

/// A rule without methods and addresses of its own.
fn rule(url: &str) -> HttpRule {
    HttpRule::parse(url, &[], &[]).unwrap_or_else(|why| panic!("{why}"))
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn requests(rules: Vec<HttpRule>) -> PowerSet {
    PowerSet {
        http: rules,
        ..PowerSet::default()
    }
}

/// A plugin without a manifest: the operator's word is both.
fn granted(powers: PowerSet) -> Effective {
    Effective::of(
        "weather",
        None,
        PowerGrant {
            powers,
            ..PowerGrant::default()
        },
    )
}
