//! What is left of a grant when a request is applied.

use sandbar_protocol::FileAccess;
use sandbar_protocol::policy::{Effective, HttpRule, KvAccess, Origin, Power, PowerGrant, PowerSet, Rule, Target};

use crate::choices::Choices;

const HOSTS: [&str; 10] = [
    "a.example",
    "x.a.example",
    "y.x.a.example",
    "*.a.example",
    "**.a.example",
    "*.x.a.example",
    "**.example.org",
    "example.org",
    "127.0.0.1",
    "[::1]",
];
const PATHS: [&str; 8] = ["/", "/v1", "/v1/", "/v1/a", "/v1/a/", "/v12", "/V1", "/v1/a/b"];
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "DELETE"];
const RANGES: [&str; 4] = ["10.0.0.0/8", "127.0.0.0/8", "fd00::/8", "10.1.0.0/16"];
const SECRETS: [&str; 3] = ["one", "two", "three"];
const RULES: [Rule; 3] = [Rule::Allow, Rule::Ask, Rule::Deny];

/// Effective is within what is requested and within what is granted, and is all that is in both.
pub fn policy(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let (requested, granted) = (powers(&mut choices), powers(&mut choices));
    let grant = PowerGrant {
        powers: granted.clone(),
        ..PowerGrant::default()
    };
    let effective = Effective::of("p", Some(requested.clone()), grant.clone());
    let left = effective.powers();
    assert!(granted.includes(&left));
    assert!(Effective::of("p", None, grant.clone()).powers().includes(&left));
    assert_eq!(
        (left.files, left.kv),
        (requested.files.min(granted.files), requested.kv.min(granted.kv))
    );
    for name in SECRETS {
        let has = |powers: &PowerSet| powers.secrets.iter().any(|secret| secret == name);
        assert_eq!(effective.may_use_secret(name), has(&requested) && has(&granted));
    }
    for _ in 0..4 {
        let method = choices.one(&METHODS);
        if let Some(target) = target(&mut choices) {
            let covers = |powers: &PowerSet| powers.http.iter().any(|rule| rule.covers(method, &target));
            assert_eq!(
                effective.http(method, &target).is_ok(),
                covers(&requested) && covers(&granted),
                "{method} {target}"
            );
        }
    }
    rules(&mut choices, grant);
}

fn rules(choices: &mut Choices<'_>, mut grant: PowerGrant) {
    grant.rules = Power::ALL
        .into_iter()
        .map(|power| (power, choices.one(&RULES)))
        .collect();
    let origin = choices.one(&Origin::ALL);
    let by_origin = choices.one(&RULES);
    grant.origins = [(origin, by_origin)].into();
    let powers = choices.some(&Power::ALL);
    let strictest = powers.iter().map(|power| grant.rules[power]).chain([by_origin]).max();
    let effective = Effective::of("p", None, grant);
    assert_eq!(Some(effective.tool_rule(origin, &powers).rule), strictest);
}

fn powers(choices: &mut Choices<'_>) -> PowerSet {
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let count = choices.up_to(4);
    let rule = |choices: &mut Choices<'_>| {
        let url = url(choices);
        HttpRule::parse(&url, &owned(choices.some(&METHODS)), &owned(choices.some(&RANGES))).ok()
    };
    PowerSet {
        files: choices.one(&[FileAccess::None, FileAccess::ReadOnly, FileAccess::ReadWrite]),
        http: (0..count).filter_map(|_| rule(choices)).collect(),
        secrets: owned(choices.some(&SECRETS)),
        kv: choices.one(&[KvAccess::None, KvAccess::Session, KvAccess::Shared]),
    }
}

fn target(choices: &mut Choices<'_>) -> Option<Target> {
    Target::parse(&url(choices)).ok()
}

fn url(choices: &mut Choices<'_>) -> String {
    let (scheme, port) = (choices.one(&["http", "https"]), choices.one(&["", ":8080"]));
    format!("{scheme}://{}{port}{}", choices.one(&HOSTS), choices.one(&PATHS))
}
