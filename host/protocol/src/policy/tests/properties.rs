//! What holds for all requests, grants and targets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::super::*;
use super::owned;
use crate::FileAccess;

/// Few names and paths, so that rules and targets meet often.
const HOSTS: [&str; 9] = [
    "a.example",
    "x.a.example",
    "y.x.a.example",
    "b.example",
    "a.example.com",
    "127.0.0.1",
    "169.254.169.254",
    "[::1]",
    "93.184.216.34",
];
const PATTERNS: [&str; 6] = [
    "*.a.example",
    "**.a.example",
    "*.x.a.example",
    "**.x.a.example",
    "*.b.example",
    "**.example.com",
];
const PATHS: [&str; 8] = [
    "/",
    "/v1",
    "/v1/",
    "/v1/a",
    "/v1/a/",
    "/v12",
    "/v1/..%2fb",
    "/v1/%252e%252e/b",
];
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "DELETE"];
const RANGES: [&str; 5] = ["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "::1", "fd00::/8"];
const ADDRESSES: [&str; 8] = [
    "10.0.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "169.254.0.1",
    "::1",
    "fd00::1",
    "93.184.216.34",
    "::ffff:10.0.0.1",
];
const SECRETS: [&str; 3] = ["one", "two", "three"];

fn target() -> impl Strategy<Value = Target> {
    (
        select(&["http", "https"][..]),
        select(&HOSTS[..]),
        select(&["", ":8080"][..]),
        select(&PATHS[..]),
        select(&["", "?q"][..]),
    )
        .prop_map(|(scheme, host, port, path, query)| {
            Target::parse(&format!("{scheme}://{host}{port}{path}{query}")).unwrap()
        })
}

fn method() -> impl Strategy<Value = &'static str> {
    select(&METHODS[..])
}

/// Rules that can be written; `addresses` are only for names.
fn rule(addresses: bool) -> impl Strategy<Value = HttpRule> {
    let hosts: Vec<&str> = HOSTS.into_iter().chain(PATTERNS).collect();
    let ranges = subsequence(&RANGES[..], if addresses { 0..=3 } else { 0..=0 });
    let parts = (
        select(&["http", "https"][..]),
        select(hosts),
        select(&["", ":8080"][..]),
        select(&PATHS[..6]),
        subsequence(&METHODS[..], 0..=3),
        ranges,
    );
    parts.prop_filter_map(
        "addresses are for names",
        |(scheme, host, port, path, methods, ranges)| {
            HttpRule::parse(
                &format!("{scheme}://{host}{port}{path}"),
                &owned(&methods),
                &owned(&ranges),
            )
            .ok()
        },
    )
}

fn powers(addresses: bool) -> impl Strategy<Value = PowerSet> {
    let files = select(&[FileAccess::None, FileAccess::ReadOnly, FileAccess::ReadWrite][..]);
    let kv = select(&[KvAccess::None, KvAccess::Session, KvAccess::Shared][..]);
    let secrets = subsequence(&SECRETS[..], 0..=3);
    (files, prop::collection::vec(rule(addresses), 0..6), secrets, kv).prop_map(|(files, http, secrets, kv)| PowerSet {
        files,
        http,
        secrets: owned(&secrets),
        kv,
    })
}

fn some_rule() -> impl Strategy<Value = Rule> {
    select(&[Rule::Allow, Rule::Ask, Rule::Deny][..])
}

fn conditions() -> impl Strategy<Value = (BTreeMap<Power, Rule>, BTreeMap<Origin, Rule>)> {
    let rules = prop::collection::btree_map(select(&Power::ALL[..]), some_rule(), 0..4);
    (
        rules,
        prop::collection::btree_map(select(&Origin::ALL[..]), some_rule(), 0..4),
    )
}

/// Addresses of which every second one is special.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).into()),
        select(&ADDRESSES[..]).prop_map(|text| text.parse().unwrap()),
    ]
}

fn granting(powers: PowerSet) -> PowerGrant {
    PowerGrant {
        powers,
        ..PowerGrant::default()
    }
}

fn covered(rules: &[HttpRule], method: &str, target: &Target) -> bool {
    rules.iter().any(|rule| rule.covers(method, target))
}

proptest! {
    #[test]
    fn effective_is_what_is_requested_and_granted(
        requested in powers(false), granted in powers(true), method in method(), target in target(), name in select(&SECRETS[..]),
    ) {
        let effective = Effective::of("p", Some(requested.clone()), granting(granted.clone()));
        let powers = effective.powers();
        prop_assert_eq!(powers.files, requested.files.min(granted.files));
        prop_assert_eq!(powers.kv, requested.kv.min(granted.kv));
        let both = covered(&requested.http, method, &target) && covered(&granted.http, method, &target);
        prop_assert_eq!(effective.http(method, &target).is_ok(), both);
        let has = |powers: &PowerSet| powers.secrets.iter().any(|secret| secret == name);
        prop_assert_eq!(has(&powers), has(&requested) && has(&granted));
        prop_assert_eq!(effective.use_secret(name).is_ok(), has(&powers));
        prop_assert!(granted.includes(&powers));
        // Where a name may lead to is for the operator alone.
        let mut plain = powers.clone();
        plain.http.iter_mut().for_each(|rule| rule.addresses.clear());
        prop_assert!(requested.includes(&plain));
        for (file, kv) in [(FileAccess::ReadOnly, KvAccess::Session), (FileAccess::ReadWrite, KvAccess::Shared)] {
            prop_assert_eq!(effective.use_files(file, "a").is_ok(), powers.files >= file);
            prop_assert_eq!(effective.use_kv(kv).is_ok(), powers.kv >= kv);
        }
    }

    #[test]
    fn more_is_never_less(
        requested in powers(true), granted in powers(true), more in powers(true), whom in any::<[bool; 2]>(),
        method in method(), target in target(), address in address(),
    ) {
        let with = |powers: &PowerSet, more: &PowerSet| PowerSet {
            files: powers.files.max(more.files),
            http: powers.http.iter().chain(&more.http).cloned().collect(),
            secrets: powers.secrets.iter().chain(&more.secrets).cloned().collect(),
            kv: powers.kv.max(more.kv),
        };
        let before = Effective::of("p", Some(requested.clone()), granting(granted.clone()));
        let after = Effective::of(
            "p",
            Some(if whom[0] { with(&requested, &more) } else { requested }),
            granting(if whom[1] { with(&granted, &more) } else { granted }),
        );
        prop_assert!(after.powers().includes(&before.powers()));
        prop_assert!(before.http(method, &target).is_err() || after.http(method, &target).is_ok());
        prop_assert!(before.address(method, &target, address).is_err() || after.address(method, &target, address).is_ok());
    }

    #[test]
    fn a_manifest_only_takes_away(requested in powers(true), granted in powers(true), method in method(), target in target(), address in address()) {
        let without = Effective::of("p", None, granting(granted.clone()));
        let with = Effective::of("p", Some(requested), granting(granted.clone()));
        prop_assert_eq!(&without.powers(), &granted);
        prop_assert!(without.powers().includes(&with.powers()));
        prop_assert!(with.address(method, &target, address).is_err() || without.address(method, &target, address).is_ok());
        let kinds = with.powers().kinds();
        prop_assert!(kinds.iter().all(|kind| without.powers().kinds().contains(kind)));
    }

    #[test]
    fn special_addresses_are_granted_by_name_of_the_address_alone(granted in powers(true), method in method(), target in target(), address in address()) {
        let effective = Effective::of("p", None, granting(granted.clone()));
        let allowed = effective.address(method, &target, address).is_ok();
        let covering: Vec<&HttpRule> = granted.http.iter().filter(|rule| rule.covers(method, &target)).collect();
        let expected = match &target.host {
            Host::Address(literal) => *literal == address.to_canonical() && covering.iter().all(|rule| rule.host == HostPattern::Exact(target.host.clone())),
            Host::Name(_) => match special_range(address) {
                None => true,
                Some(METADATA) => false,
                Some(_) => covering.iter().any(|rule| rule.covers_address(address.to_canonical())),
            },
        };
        prop_assert_eq!(allowed, expected && !covering.is_empty());
    }

    #[test]
    fn a_special_literal_is_never_allowed_without_its_own_rule(bits in any::<u128>(), small in any::<u32>(), method in method(), granted in powers(true)) {
        for address in [IpAddr::from(Ipv4Addr::from(small)), IpAddr::from(Ipv6Addr::from(bits)), IpAddr::from(Ipv4Addr::from(small).to_ipv6_mapped())] {
            let target = Target::parse(&format!("http://{}/", Host::Address(address))).unwrap();
            let own = granted.http.iter().any(|rule| rule.host == HostPattern::Exact(target.host.clone()));
            let effective = Effective::of("p", None, granting(granted.clone()));
            prop_assert!(own || effective.http(method, &target).is_err());
        }
    }

    #[test]
    fn rules_say_again_what_they_say(rule in rule(true), target in target()) {
        let ranges: Vec<String> = rule.addresses.iter().map(ToString::to_string).collect();
        prop_assert_eq!(HttpRule::parse(&rule.url(), &rule.methods, &ranges), Ok(rule));
        prop_assert_eq!(Target::parse(&target.to_string()), Ok(target));
    }

    #[test]
    fn what_a_rule_includes_it_covers(one in rule(true), other in rule(true), method in method(), target in target(), address in address()) {
        prop_assert!(one.includes(&one));
        if one.includes(&other) {
            prop_assert!(one.covers(method, &target) || !other.covers(method, &target));
            prop_assert!(one.covers_address(address) || !other.covers_address(address));
        }
        let both = HttpRule::intersection(&one, &other);
        prop_assert_eq!(both.as_ref().is_some_and(|rule| rule.covers(method, &target)), one.covers(method, &target) && other.covers(method, &target));
        prop_assert!(both.is_none_or(|rule| other.includes(&rule)));
    }

    /// More of a path under a covered one is covered, but for what climbs out again.
    #[test]
    fn a_prefix_covers_what_is_under_it(rule in rule(false), method in method(), target in target(), below in "[a-z0-9]{1,5}") {
        let deeper = Target { path: format!("{}/{below}", target.path.trim_end_matches('/')), ..target.clone() };
        prop_assert!(!rule.covers(method, &target) || rule.covers(method, &deeper));
    }

    #[test]
    fn any_text_is_a_url_or_has_a_sentence(text in any::<String>(), url in "(https?://)?[a-zA-Z0-9.%@:\\[\\]\\\\*_-]{0,20}[/?#]?[ -~äß。①]{0,20}") {
        for text in [text, url] {
            match Target::parse(&text) {
                Ok(target) => {
                    prop_assert_eq!(Target::parse(&target.to_string()), Ok(target.clone()));
                    prop_assert!(target.path.starts_with('/') && target.to_string().is_ascii());
                }
                Err(sentence) => prop_assert!(sentence.starts_with("the URL") && !sentence.contains('\n'), "{}", sentence),
            }
            if let Ok(rule) = HttpRule::parse(&text, &[], &[]) {
                prop_assert_eq!(HttpRule::parse(&rule.url(), &[], &[]), Ok(rule));
            }
        }
    }

    #[test]
    fn the_strictest_rule_holds((rules, origins) in conditions(), powers in subsequence(&Power::ALL[..], 0..=4), origin in select(&Origin::ALL[..])) {
        let grant = PowerGrant { rules: rules.clone(), origins: origins.clone(), ..PowerGrant::default() };
        let effective = Effective::of("p", None, grant);
        let ruling = effective.tool_rule(origin, &powers);
        let named = powers.iter().filter_map(|power| rules.get(power)).chain(origins.get(&origin));
        prop_assert_eq!(ruling.rule, named.copied().max().unwrap_or_default());
        prop_assert_eq!(ruling.line.is_some(), powers.iter().any(|power| rules.contains_key(power)) || origins.contains_key(&origin));
        // A call with fewer powers is never ruled more strictly.
        for skipped in 0..powers.len() {
            let fewer: Vec<Power> = powers.iter().enumerate().filter(|(at, _)| *at != skipped).map(|(_, power)| *power).collect();
            prop_assert!(effective.tool_rule(origin, &fewer).rule <= ruling.rule);
        }
    }
}
