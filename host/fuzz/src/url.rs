//! URLs that guests write, rules that operators write, and whether the one is under the other.

use std::net::IpAddr;

use sandbar_protocol::policy::{Effective, Host, HostPattern, HttpRule, PowerGrant, PowerSet, Target, special_range};

/// Lines: a rule, a URL, an address that the name leads to.
pub fn url(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.splitn(3, '\n');
    let rule = HttpRule::parse(lines.next().unwrap_or_default(), &[], &[]);
    let target = Target::parse(lines.next().unwrap_or_default());
    let address = lines.next().and_then(|line| line.parse().ok());
    if let Ok(rule) = &rule {
        assert_eq!(HttpRule::parse(&rule.url(), &[], &[]).as_ref(), Ok(rule));
    }
    let Ok(target) = target else {
        return;
    };
    let shown = target.to_string();
    assert!(shown.is_ascii() && target.path.starts_with('/') && target.port != 0);
    assert_eq!(Target::parse(&shown).as_ref(), Ok(&target));
    let Ok(rule) = rule else {
        return;
    };
    let powers = PowerSet {
        http: vec![rule.clone()],
        ..PowerSet::default()
    };
    let effective = Effective::of(
        "p",
        None,
        PowerGrant {
            powers,
            ..PowerGrant::default()
        },
    );
    assert_eq!(effective.http("GET", &target).is_ok(), rule.covers("GET", &target));
    assert!(
        effective.http("POST", &target).is_err(),
        "the rule covers reading alone"
    );
    if rule.covers("GET", &target) {
        under(&rule, &target);
        reached(&effective, &rule, &target, address);
    }
}

/// The same decision, made in another way.
fn under(rule: &HttpRule, target: &Target) {
    assert_eq!((rule.scheme, rule.port), (target.scheme, target.port));
    match (&rule.host, &target.host) {
        (HostPattern::Exact(exact), host) => assert_eq!(exact, host),
        (HostPattern::OneLabel(suffix) | HostPattern::AnyLabels(suffix), Host::Name(name)) => {
            assert!(name.ends_with(&format!(".{suffix}")), "{name} and {suffix}");
        }
        (pattern, Host::Address(address)) => panic!("{pattern} and {address}"),
    }
    if rule.path != "/" {
        let (start, parts) = (parts(&rule.path), parts(&target.path));
        assert!(parts.starts_with(&start), "{} and {}", rule.path, target.path);
    }
}

/// The most careless reading of a path that a server could make.
fn parts(path: &str) -> Vec<String> {
    let mut plain = path.to_owned();
    for _ in 0..8 {
        plain = decoded(&plain);
    }
    let mut parts = Vec::new();
    for part in plain.replace('\\', "/").split('/') {
        match part.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part.to_owned()),
        }
    }
    parts
}

fn decoded(text: &str) -> String {
    let mut plain = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let code = code.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match code.filter(|_| *first == b'%') {
            Some(byte) => {
                plain.push(byte);
                rest = &after[2..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn reached(effective: &Effective, rule: &HttpRule, target: &Target, address: Option<IpAddr>) {
    let Some(address) = address else {
        return;
    };
    if effective.address("GET", target, address).is_ok() {
        let literal = Host::Address(address.to_canonical());
        let named = rule.host == HostPattern::Exact(literal.clone()) && target.host == literal;
        assert!(named || special_range(address).is_none(), "{target} at {address}");
    }
}
