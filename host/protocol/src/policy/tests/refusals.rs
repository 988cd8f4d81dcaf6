//! One sentence for each power, and the lines that would allow it. That they do is checked by reading them back.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::json;

use super::super::*;
use super::{granted, owned, requests, rule};
use crate::{Error, FileAccess};

fn check(refusal: &Refusal, sentence: &str, mend: &str) {
    assert_eq!(
        (refusal.sentence.as_str(), refusal.mend.as_deref().unwrap_or("")),
        (sentence, mend)
    );
    assert_eq!(refusal.plugin, "weather");
}

fn target(url: &str) -> Target {
    Target::parse(url).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_request_that_nothing_grants() {
    let url = "https://api.example.com/v1/?key=private";
    let refused = |effective: &Effective, method: &str| effective.http(method, &target(url)).unwrap_err();
    check(
        &refused(&granted(PowerSet::default()), "POST"),
        "the plugin `weather` may not send POST to https://api.example.com/v1/: nothing grants it",
        "# in sandbar.toml\n[grants.weather]\nhttp = [{ url = \"https://api.example.com/\", methods = [\"POST\"] }]",
    );
    check(
        &refused(&granted(requests(vec![rule("https://a.example/")])), "GET"),
        "the plugin `weather` may not send GET to https://api.example.com/v1/: nothing grants it",
        "# in sandbar.toml\n[grants.weather]\nhttp = [\"https://a.example/\", \"https://api.example.com/\"]",
    );
    let grant = PowerGrant {
        powers: requests(vec![rule("https://api.example.com/")]),
        ..PowerGrant::default()
    };
    check(
        &refused(&Effective::of("weather", Some(PowerSet::default()), grant), "GET"),
        "the plugin `weather` may not send GET to https://api.example.com/v1/: its manifest doesn't request it",
        "# in the plugin's manifest, and then approve that: sandbar plugins approve weather\n[requests]\nhttp = [\"https://api.example.com/\"]",
    );
    check(
        &refused(
            &Effective::of("weather", Some(PowerSet::default()), PowerGrant::default()),
            "GET",
        ),
        "the plugin `weather` may not send GET to https://api.example.com/v1/: its manifest doesn't request it, and nothing grants it",
        "# in the plugin's manifest, and then approve that: sandbar plugins approve weather\n[requests]\nhttp = [\"https://api.example.com/\"]\n\
         # in sandbar.toml\n[grants.weather]\nhttp = [\"https://api.example.com/\"]",
    );
    // Nothing would allow these.
    check(
        &refused(&granted(PowerSet::default()), "CONNECT"),
        "the plugin `weather` may not send CONNECT to https://api.example.com/v1/: nothing grants it",
        "",
    );
    check(
        &refused(&granted(PowerSet::default()), "G\n\u{202E}T"),
        "the plugin `weather` may not send G\\n\\u{202e}T to https://api.example.com/v1/: nothing grants it",
        "",
    );
}

#[test]
fn an_address_that_is_special() {
    let request = target("http://intranet.example.com/x");
    let powers = requests(vec![rule("https://a.example/"), rule("http://*.example.com/")]);
    let refused = |to: &str| {
        granted(powers.clone())
            .address("GET", &request, address(to))
            .unwrap_err()
    };
    check(
        &refused("10.0.0.5"),
        "the plugin `weather` may not connect to 10.0.0.5, to which `intranet.example.com` leads: that address is special (private), \
         in a network that isn't public, with all that trusts whoever is in it",
        "# careful: 10.0.0.5 is in a network that isn't public, with all that trusts whoever is in it\n# in sandbar.toml\n[grants.weather]\nhttp = [\"https://a.example/\", { url = \"http://*.example.com/\", addresses = [\"10.0.0.5/32\"] }]",
    );
    check(
        &refused("::ffff:169.254.169.254"),
        "the plugin `weather` may not connect to 169.254.169.254, to which `intranet.example.com` leads: that address is special (metadata), \
         a metadata service, which gives the credentials of this machine to whoever asks",
        "",
    );
    // A literal address leads nowhere else, whatever a resolver says.
    let literal = granted(requests(vec![rule("http://10.0.0.5/")]));
    assert_eq!(
        literal.address("GET", &target("http://10.0.0.5/"), address("10.0.0.5")),
        Ok(())
    );
    check(
        &literal
            .address("GET", &target("http://10.0.0.5/"), address("93.184.216.34"))
            .unwrap_err(),
        "the plugin `weather` may not connect to 93.184.216.34, to which `10.0.0.5` leads: that isn't the address in the URL",
        "",
    );
}

#[test]
fn other_powers() {
    let nothing = granted(PowerSet::default());
    check(
        &nothing
            .use_files(FileAccess::ReadWrite, "notes\u{1b}[2J.md")
            .unwrap_err(),
        "the plugin `weather` may not write notes\\u{1b}[2J.md: nothing grants it",
        "# in sandbar.toml\n[grants.weather]\nfiles = \"read-write\"",
    );
    check(
        &nothing.use_kv(KvAccess::Shared).unwrap_err(),
        "the plugin `weather` may not use key-value pairs of all sessions: nothing grants it",
        "# in sandbar.toml\n[grants.weather]\nkv = \"shared\"",
    );
    let some = PowerSet {
        files: FileAccess::ReadWrite,
        kv: KvAccess::Session,
        secrets: owned(&["weather-key"]),
        ..PowerSet::default()
    };
    let both = Effective::of(
        "weather",
        Some(PowerSet {
            files: FileAccess::ReadOnly,
            ..some.clone()
        }),
        PowerGrant {
            powers: some,
            ..PowerGrant::default()
        },
    );
    assert_eq!(both.use_files(FileAccess::ReadOnly, "a"), Ok(()));
    assert_eq!(both.use_kv(KvAccess::Session), Ok(()));
    assert_eq!(both.use_secret("weather-key"), Ok(()));
    check(
        &both.use_files(FileAccess::ReadWrite, "a").unwrap_err(),
        "the plugin `weather` may not write a: its manifest doesn't request it",
        "# in the plugin's manifest, and then approve that: sandbar plugins approve weather\n[requests]\nfiles = \"read-write\"",
    );
    check(
        &both.use_secret("other").unwrap_err(),
        "the plugin `weather` may not use the secret `other`: its manifest doesn't request it, and nothing grants it",
        "# in the plugin's manifest, and then approve that: sandbar plugins approve weather\n[requests]\nsecrets = [\"weather-key\", \"other\"]\n\
         # in sandbar.toml\n[grants.weather]\nsecrets = [\"weather-key\", \"other\"]",
    );
}

#[test]
fn what_a_rule_denies() {
    let grant = PowerGrant {
        powers: PowerSet {
            files: FileAccess::ReadWrite,
            kv: KvAccess::Session,
            secrets: owned(&["key"]),
            http: vec![rule("https://a.example/")],
        },
        rules: Power::ALL.into_iter().map(|power| (power, Rule::Deny)).collect(),
        origins: [(Origin::Schedule, Rule::Deny), (Origin::Model, Rule::Ask)].into(),
        ..PowerGrant::default()
    };
    let denied = Effective::of("weather", None, grant.clone());
    let lines = |allowed: &str| {
        let line = Power::ALL.map(|power| {
            format!(
                "{power} = \"{}\"",
                if power.as_str() == allowed { "allow" } else { "deny" }
            )
        });
        format!("# in sandbar.toml\n[grants.weather]\nrules = {{ {} }}", line.join(", "))
    };
    let sentence = |power: &str, what: &str| {
        format!("the plugin `weather` may not use `{power}` for {what}: `rules.{power}` is `deny`")
    };
    let request = denied.http("GET", &target("https://a.example/x")).unwrap_err();
    check(&request, &sentence("http", "GET https://a.example/x"), &lines("http"));
    assert!(
        denied
            .address("GET", &target("https://a.example/"), address("93.184.216.34"))
            .is_err()
    );
    check(
        &denied.use_files(FileAccess::ReadOnly, "a").unwrap_err(),
        &sentence("files", "read a"),
        &lines("files"),
    );
    check(
        &denied.use_secret("key").unwrap_err(),
        &sentence("secrets", "key"),
        &lines("secrets"),
    );
    check(
        &denied.use_kv(KvAccess::Session).unwrap_err(),
        &sentence("kv", "use key-value pairs"),
        &lines("kv"),
    );
    check(
        &denied.refuse_call("post", Origin::Model, &[Power::Kv]),
        &sentence("kv", "tool post"),
        &lines("kv"),
    );
    let open = Effective::of(
        "weather",
        None,
        PowerGrant {
            rules: [].into(),
            ..grant
        },
    );
    check(
        &open.refuse_call("post", Origin::Schedule, &[Power::Kv]),
        "the tool `post` of the plugin `weather` may not be called: `origins.schedule` is `deny`",
        "# in sandbar.toml\n[grants.weather]\norigins = { model = \"ask\", schedule = \"allow\" }",
    );
}

#[test]
fn the_strictest_rule_counts_and_is_named() {
    let grant = PowerGrant {
        powers: PowerSet {
            files: FileAccess::ReadOnly,
            http: vec![rule("https://a.example/")],
            ..PowerSet::default()
        },
        rules: [(Power::Http, Rule::Ask), (Power::Secrets, Rule::Deny)].into(),
        origins: [
            (Origin::Plugin, Rule::Deny),
            (Origin::Person, Rule::Allow),
            (Origin::Schedule, Rule::Ask),
        ]
        .into(),
        ..PowerGrant::default()
    };
    let effective = Effective::of("weather", None, grant);
    for (origin, powers, expected, line) in [
        (Origin::Model, &[][..], Rule::Allow, None),
        (Origin::Model, &[Power::Files], Rule::Allow, None),
        (
            Origin::Model,
            &[Power::Files, Power::Http],
            Rule::Ask,
            Some("grants.weather.rules.http"),
        ),
        (
            Origin::Person,
            &[Power::Files],
            Rule::Allow,
            Some("grants.weather.origins.person"),
        ),
        (
            Origin::Person,
            &[Power::Http],
            Rule::Ask,
            Some("grants.weather.rules.http"),
        ),
        (
            Origin::Schedule,
            &[Power::Http],
            Rule::Ask,
            Some("grants.weather.rules.http"),
        ),
        (
            Origin::Plugin,
            &[Power::Http],
            Rule::Deny,
            Some("grants.weather.origins.plugin"),
        ),
        (
            Origin::Model,
            &[Power::Http, Power::Secrets],
            Rule::Deny,
            Some("grants.weather.rules.secrets"),
        ),
    ] {
        let ruling = effective.tool_rule(origin, powers);
        assert_eq!(
            (ruling.rule, ruling.line.as_deref()),
            (expected, line),
            "{origin} {powers:?}"
        );
    }
    // The plugin has no secrets, so that the rule for them doesn't hold for it.
    assert_eq!(effective.rule(Origin::Model), Rule::Ask);
}

#[test]
fn limits_of_arguments() {
    let schema = json!({ "properties": { "amount": { "maximum": 100 } } });
    let limits = ArgumentLimits {
        schema: Some(ArgumentSchema::compile(schema.clone()).unwrap()),
        calls_per_run: Some(2),
        bytes: Some(20),
    };
    assert_eq!(limits.schema.as_ref().map(ArgumentSchema::text), Some(&schema));
    let arguments = [("pay".to_owned(), limits.clone())].into();
    let effective = Effective::of(
        "weather",
        None,
        PowerGrant {
            arguments,
            ..PowerGrant::default()
        },
    );
    assert_eq!(effective.argument_limits("pay"), Some(&limits));
    assert_eq!(effective.argument_limits("other"), None);
    let small = json!({ "amount": 100 });
    assert_eq!(limits.check(&small, 20, 1), Ok(()));
    let refused =
        |value, bytes, calls| effective.refuse_arguments("pay", &limits.check(value, bytes, calls).unwrap_err());
    check(
        &refused(&small, 20, 2),
        "the tool `pay` of the plugin `weather` may not be called: it may be called 2 times in a run, and was",
        "# in sandbar.toml\n[grants.weather.tools.pay]\ncalls_per_run = 3",
    );
    check(
        &refused(&small, 21, 0),
        "the tool `pay` of the plugin `weather` may not be called: the arguments are 21 bytes long, the limit is 20",
        "# in sandbar.toml\n[grants.weather.tools.pay]\nmax_bytes = 21",
    );
    check(
        &refused(&json!({ "amount": 101 }), 20, 0),
        "the tool `pay` of the plugin `weather` may not be called: the arguments aren't allowed: `/amount`: 101 is greater than the maximum of 100",
        "",
    );
    assert_eq!(
        ArgumentLimits::default().check(&json!(null), u64::MAX, u32::MAX),
        Ok(())
    );
    assert!(ArgumentSchema::compile(json!({ "type": "objekt" })).is_err());
}

/// What a guest or a model chose is short and harmless in a sentence, and in the lines.
#[test]
fn what_others_wrote_is_escaped() {
    let name = format!("key\"\n]\u{202E}{}", "x".repeat(500));
    let refusal = granted(PowerSet::default()).use_secret(&name).unwrap_err();
    assert_eq!(
        refusal.sentence,
        format!(
            "the plugin `weather` may not use the secret `key\"\\n]\\u{{202e}}{}… (309 bytes more)`: nothing grants it",
            "x".repeat(191)
        )
    );
    let mend: toml::Table = toml::from_str(&refusal.mend.unwrap()).unwrap();
    assert_eq!(mend["grants"]["weather"]["secrets"][0].as_str(), Some(name.as_str()));
    let odd = Effective::of("a.b", None, PowerGrant::default())
        .use_kv(KvAccess::Session)
        .unwrap_err();
    assert_eq!(
        odd.mend.unwrap(),
        "# in sandbar.toml\n[grants.\"a.b\"]\nkv = \"session\""
    );
}

/// The lines that a refusal names, put into the configuration, allow what was refused.
#[test]
fn the_lines_do_what_they_say() {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Url(String),
        Rule {
            url: String,
            #[serde(default)]
            methods: Vec<String>,
            #[serde(default)]
            addresses: Vec<String>,
        },
    }
    let mut effective = granted(requests(vec![rule("https://a.example/")]));
    for (method, url, to) in [
        ("GET", "https://b.example/x", "93.184.216.34"),
        ("DELETE", "https://b.example/x", "10.0.0.1"),
        ("POST", "http://[::1]:8080/v1/..%2fx", "::1"),
        ("PUT", "https://bücher.example:8443/", "fd00::1"),
    ] {
        let request = target(url);
        // First the request, then the address that it leads to.
        let refusals = std::iter::from_fn(|| {
            let refusal = effective.address(method, &request, address(to)).err()?;
            let lines: toml::Table = toml::from_str(&refusal.mend.expect(&refusal.sentence)).unwrap();
            let rules: Vec<Written> = lines["grants"]["weather"]["http"].clone().try_into().unwrap();
            let read = |written| match written {
                Written::Url(url) => rule(&url),
                Written::Rule {
                    url,
                    methods,
                    addresses,
                } => HttpRule::parse(&url, &methods, &addresses).unwrap(),
            };
            effective = granted(requests(rules.into_iter().map(read).collect()));
            Some(())
        });
        assert!((1..=2).contains(&refusals.take(3).count()), "{url}");
    }
    assert!(
        effective.http("GET", &target("https://a.example/")).is_ok(),
        "what was granted before still is"
    );
}

#[test]
fn a_refusal_is_an_error_with_its_lines_as_hint() {
    let error = Error::from(granted(PowerSet::default()).use_kv(KvAccess::Session).unwrap_err());
    assert_eq!(
        (error.code.as_str(), error.text()),
        (
            "denied",
            "the plugin `weather` may not use key-value pairs: nothing grants it\n\
             hint: this would allow it:\n# in sandbar.toml\n[grants.weather]\nkv = \"session\""
                .to_owned()
        )
    );
    assert_eq!(Refusal::GUEST_TEXT, "denied");
}
