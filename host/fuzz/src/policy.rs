//! What is left of a grant when a request is applied.

use std::cell::RefCell;
use std::collections::HashMap;

use sandbar_protocol::FileAccess;
use sandbar_protocol::policy::{Effective, HttpRule, KvAccess, Origin, Power, PowerGrant, PowerSet, Rule, Target};

use crate::choices::Choices;

const SCHEMES: [&str; 2] = ["http", "https"];
const PORTS: [&str; 2] = ["", ":8080"];
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

/// A URL as the choices that it is made of.
type Url = [u8; 4];

thread_local! {
    /// Each rule and each target is read once: how they are read is what `url` fuzzes, and took most of the time here.
    static READ_RULES: RefCell<HashMap<(Url, u8, u8), Option<HttpRule>>> = RefCell::default();
    static READ_TARGETS: RefCell<HashMap<Url, Option<Target>>> = RefCell::default();
}

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
    for at in 0..4 {
        let method = choices.one(&METHODS);
        if let Some(target) = target(&mut choices) {
            let covers = |rules: &[HttpRule]| rules.iter().any(|rule| rule.covers(method, &target));
            let covered = covers(effective.http_rules());
            assert_eq!(
                covered,
                covers(&requested.http) && covers(&granted.http),
                "{method} {target}"
            );
            // A refusal says what would allow it, which takes ten times as long as to decide: one is enough.
            assert!(at > 0 || effective.http(method, &target).is_ok() == covered);
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
    let count = choices.up_to(4);
    PowerSet {
        files: choices.one(&[FileAccess::None, FileAccess::ReadOnly, FileAccess::ReadWrite]),
        http: (0..count).filter_map(|_| rule(choices)).collect(),
        secrets: owned(&choices.some(&SECRETS)),
        kv: choices.one(&[KvAccess::None, KvAccess::Session, KvAccess::Shared]),
    }
}

fn rule(choices: &mut Choices<'_>) -> Option<HttpRule> {
    let (url, methods, ranges) = (url(choices), choices.some(&METHODS), choices.some(&RANGES));
    let key = (url, bits(&METHODS, &methods), bits(&RANGES, &ranges));
    READ_RULES.with_borrow_mut(|read| {
        let parse = || HttpRule::parse(&written(url), &owned(&methods), &owned(&ranges)).ok();
        read.entry(key).or_insert_with(parse).clone()
    })
}

fn target(choices: &mut Choices<'_>) -> Option<Target> {
    let url = url(choices);
    READ_TARGETS.with_borrow_mut(|read| {
        let parse = || Target::parse(&written(url)).ok();
        read.entry(url).or_insert_with(parse).clone()
    })
}

fn url(choices: &mut Choices<'_>) -> Url {
    [SCHEMES.len(), PORTS.len(), HOSTS.len(), PATHS.len()].map(|count| choices.up_to(count - 1) as u8)
}

fn written(url: Url) -> String {
    let [scheme, port, host, path] = url.map(usize::from);
    format!("{}://{}{}{}", SCHEMES[scheme], HOSTS[host], PORTS[port], PATHS[path])
}

/// Which of some texts were chosen.
fn bits(of: &[&str], chosen: &[&str]) -> u8 {
    let is_chosen = |(at, text): (usize, &&str)| u8::from(chosen.contains(text)) << at;
    of.iter().enumerate().map(is_chosen).sum()
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
