//! The corpus of requests, `tests/corpora/urls.txt`. Its head says how it is written.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::{Effective, Host, HttpRule, Target};
use super::{granted, owned, requests};

const CORPUS: &str = include_str!("../../../../../tests/corpora/urls.txt");
/// Where a name leads to if its line doesn't say it.
const ELSEWHERE: &str = "93.184.216.34";

#[test]
fn requests_are_decided_as_the_corpus_says() {
    let mut sets: BTreeMap<&str, Vec<HttpRule>> = BTreeMap::new();
    let (mut cases, mut wrong) = (0, Vec::new());
    for (number, line) in CORPUS.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] | ["#", ..] => {}
            ["rule", set, methods, url, addresses] => {
                let rule = HttpRule::parse(url, &listed(methods), &listed(addresses)).expect(line);
                sets.entry(set).or_default().push(rule);
            }
            [verdict, set, method, url, rest @ ..] => {
                cases += 1;
                let effective = granted(requests(sets.get(set).cloned().unwrap_or_default()));
                let (addresses, expected) = told(rest);
                let (found, sentence) = decide(&effective, &unescaped(method), &unescaped(url), addresses);
                if found != *verdict || !sentence.contains(&expected) {
                    wrong.push(format!("line {}: {line}\n    found {found}: {sentence}", number + 1));
                }
            }
            _ => panic!("line {}: {line}", number + 1),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases >= 200, "only {cases} cases");
}

/// What a host does with a request that a guest asks for.
fn decide(effective: &Effective, method: &str, url: &str, addresses: Option<&str>) -> (&'static str, String) {
    let target = match Target::parse(url) {
        Ok(target) => target,
        Err(sentence) => return ("bad", sentence),
    };
    assert_eq!(Target::parse(&target.to_string()), Ok(target.clone()), "{url}");
    if let Err(refusal) = effective.http(method, &target) {
        return ("deny", refusal.sentence);
    }
    let addresses: Vec<IpAddr> = match (&target.host, addresses) {
        (Host::Address(address), None) => vec![*address],
        (_, addresses) => addresses
            .unwrap_or(ELSEWHERE)
            .split(',')
            .map(|address| address.parse().unwrap())
            .collect(),
    };
    let refused = addresses
        .into_iter()
        .find_map(|address| effective.address(method, &target, address).err());
    match refused {
        Some(refusal) => ("address", refusal.sentence),
        None => ("allow", String::new()),
    }
}

/// What follows a URL: where it leads to, and a part of the sentence.
fn told<'a>(rest: &[&'a str]) -> (Option<&'a str>, String) {
    let (addresses, rest) = match rest {
        ["->", addresses, rest @ ..] => (Some(*addresses), rest),
        rest => (None, rest),
    };
    match rest {
        [":", sentence @ ..] => (addresses, sentence.join(" ")),
        [] => (addresses, String::new()),
        rest => panic!("{rest:?}"),
    }
}

fn listed(text: &str) -> Vec<String> {
    if text == "-" {
        Vec::new()
    } else {
        owned(&text.split(',').collect::<Vec<_>>())
    }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let (kind, after) = after.split_at(1);
        rest = after;
        plain.push(match kind {
            "s" => ' ',
            "t" => '\t',
            "n" => '\n',
            "r" => '\r',
            "0" => '\0',
            "u" => {
                let (code, after) = after
                    .strip_prefix('{')
                    .and_then(|after| after.split_once('}'))
                    .expect(text);
                rest = after;
                char::from_u32(u32::from_str_radix(code, 16).expect(text)).expect(text)
            }
            _ => '\\',
        });
    }
    plain + rest
}
