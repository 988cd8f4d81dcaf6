//! `[grants]`, `[secrets]` and `[network]`: what they mean, and what is said of wrong ones.

use sandbar_protocol::policy::{KvAccess, Origin, Power, Rule};

use super::problems::{check, check_whole};
use super::*;

const ALL: &str = r#"
    [grants.weather]
    http = ["https://api.example.com/v1/", { url = "https://b.example.com/", methods = ["POST"], addresses = ["10.0.0.0/8"] }]
    secrets = ["weather-key"]
    kv = "session"
    rules = { http = "ask", kv = "deny" }
    origins = { schedule = "deny", plugin = "ask" }
    [grants.weather.tools.now]
    schema = { properties = { city = { maxLength = 40 } } }
    calls_per_run = 3
    max_bytes = 200
    [secrets.weather-key]
    value = "env:WEATHER_KEY"
    hosts = ["https://api.example.com"]
    header = "authorization"
    format = "Bearer {}"
    [secrets.other]
    value = "file:keys/other"
    hosts = ["https://b.example.com:8443", "http://127.0.0.1:8080"]
    query = "key"
    [network]
    proxy = "http://proxy.example.com:3128"
"#;

#[test]
fn all_powers_can_be_granted() {
    let directory = project();
    let base = directory.path();
    let config = Config::from_toml(&format!("{ALL}{LEAST}"), base).unwrap();
    let grant = &config.grants["weather"].powers;
    let rules: Vec<String> = grant.powers.http.iter().map(ToString::to_string).collect();
    assert_eq!(rules.len(), 2, "{rules:?}");
    assert_eq!(grant.powers.http[0].methods, ["GET", "HEAD"]);
    assert_eq!(grant.powers.http[1].methods, ["POST"]);
    assert_eq!(grant.powers.secrets, ["weather-key"]);
    assert_eq!(grant.powers.kv, KvAccess::Session);
    assert_eq!(grant.rules, [(Power::Http, Rule::Ask), (Power::Kv, Rule::Deny)].into());
    assert_eq!(
        grant.origins,
        [(Origin::Schedule, Rule::Deny), (Origin::Plugin, Rule::Ask)].into()
    );
    let limits = &grant.arguments["now"];
    assert_eq!((limits.calls_per_run, limits.bytes), (Some(3), Some(200)));
    assert!(limits.schema.is_some());
    assert_eq!(config.secrets["weather-key"].value.to_string(), "env:WEATHER_KEY");
    let other = &config.secrets["other"];
    assert_eq!(
        other.value.to_string(),
        format!("file:{}", base.join("keys/other").display())
    );
    assert_eq!(other.audience.len(), 2);
    assert_eq!(config.proxy.as_deref(), Some("http://proxy.example.com:3128"));
    check("", "loads");
}

#[test]
fn every_key_can_be_set_from_outside() {
    let directory = project();
    let base = directory.path();
    std::fs::write(base.join("sandbar.toml"), format!("{ALL}{LEAST}")).unwrap();
    let set = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let sources = Sources {
        start_dir: base.to_owned(),
        default_data_dir: Some(base.join("data")),
        env: [
            ("SANDBAR__GRANTS__WEATHER__RULES__FILES", "ask"),
            ("SANDBAR__GRANTS__WEATHER__TOOLS__NOW__CALLS_PER_RUN", "1"),
            ("SANDBAR__SECRETS__WEATHER_KEY__VALUE", "env:OTHER_KEY"),
            ("SANDBAR__NETWORK__PROXY", "http://other.example.com:1"),
        ]
        .map(set)
        .into(),
        overrides: [
            ("grants.weather.http", "[\"https://c.example.com/\"]"),
            ("grants.weather.origins.model", "ask"),
        ]
        .map(set)
        .into(),
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap();
    let grant = &config.grants["weather"].powers;
    assert_eq!(grant.rules[&Power::Files], Rule::Ask);
    assert_eq!(grant.arguments["now"].calls_per_run, Some(1));
    assert_eq!(grant.powers.http.len(), 1);
    assert_eq!(grant.origins[&Origin::Model], Rule::Ask);
    assert_eq!(config.secrets["weather-key"].value.to_string(), "env:OTHER_KEY");
    assert_eq!(config.proxy.as_deref(), Some("http://other.example.com:1"));
    let shown = origins(&config, base);
    assert!(
        shown.contains("secrets.weather-key.value = \"env:OTHER_KEY\" (env SANDBAR__SECRETS__WEATHER_KEY__VALUE)"),
        "{shown}"
    );
}

/// The beginning of each problem; hints of addresses are the policy's own.
fn check_starts(text: &str, expected: &[&str]) {
    let directory = project();
    let base = directory.path();
    let errors = Config::from_toml(&format!("{text}\n{LEAST}"), base).expect_err(text);
    let texts: Vec<String> = errors.iter().map(|error| error.message.clone()).collect();
    assert_eq!(texts.len(), expected.len(), "{texts:#?}");
    for (text, expected) in texts.iter().zip(expected) {
        assert!(text.starts_with(expected), "{text}\n{expected}");
    }
    assert!(errors.iter().all(|error| error.hint.is_some()), "{errors:?}");
}

#[test]
fn wrong_requests_are_told_where_they_stand() {
    check_starts(
        "[grants.w]\nhttp = [\n  \"api.example.com\",\n  \"https://*\",\n  { url = \"ftp://a.example/\" },\n]",
        &[
            "sandbar.toml:3:3: `grants.w.http[0]` can't be granted: ",
            "sandbar.toml:4:3: `grants.w.http[1]` can't be granted: ",
            "sandbar.toml:5:3: `grants.w.http[2]` can't be granted: ",
        ],
    );
    // A password in a URL is not repeated.
    let directory = project();
    let text = format!(
        "grants.w.http = ['https://ada:hunter2secret@a.example/']\nnetwork.proxy = 'http://u:hunter2secret@p.example'\n{LEAST}"
    );
    let errors = Config::from_toml(&text, directory.path()).expect_err("both are wrong");
    let shown = shown(&errors, directory.path());
    assert_eq!(errors.len(), 2, "{shown}");
    assert!(!shown.contains("hunter2secret"), "{shown}");
}

#[test]
fn keys_of_a_grant_are_checked_at_every_depth() {
    check(
        "grants.w.http = [5]",
        "sandbar.toml:1:18: `grants.w.http[0]` is a number, but a text or a table is wanted\n\
         hint: a text is written in quotes, a table as `{ key = value }`",
    );
    check(
        "grants.w.http = [{ url = 'https://a.example/', method = ['GET'] }]",
        "sandbar.toml:1:48: unknown key `method` in `grants.w.http[0]`\nhint: did you mean `methods`?",
    );
    check(
        "grants.w.http = [{ methods = ['GET'] }]",
        "sandbar.toml:1:18: `grants.w.http[0]` has no `url`\nhint: add `url = …`",
    );
    check(
        "grants.w.rules = { htp = 'ask' }",
        "sandbar.toml:1:20: unknown key `htp` in `grants.w.rules`\nhint: did you mean `http`?",
    );
    check(
        "grants.w.rules.http = 'aks'",
        "sandbar.toml:1:23: `grants.w.rules.http` is `aks`, but `allow`, `ask` or `deny` is wanted\nhint: did you mean `ask`?",
    );
    check(
        "grants.w.origins.cron = 'deny'",
        "sandbar.toml:1:18: unknown key `cron` in `grants.w.origins`\n\
         hint: known keys: `model`, `person`, `plugin`, `schedule`",
    );
    check(
        "grants.w.kv = 'all'",
        "sandbar.toml:1:15: `grants.w.kv` is `all`, but `none`, `session` or `shared` is wanted",
    );
    check(
        "grants.w.tools.now.calls_per_run = -1",
        "sandbar.toml:1:36: `grants.w.tools.now.calls_per_run` is -1, but at least 0 is wanted",
    );
    check_starts(
        "grants.w.tools.now.schema = { type = 'objekt' }",
        &["sandbar.toml:1:29: `grants.w.tools.now.schema` is no JSON Schema: "],
    );
}

#[test]
fn secrets_are_checked_before_anything_runs() {
    const KEY: &str = "[secrets.key]\nvalue = 'env:KEY'\nhosts = ['https://a.example']\n";
    check(
        "[grants.w]\nsecrets = ['kye']\n[secrets.key]\nvalue = 'env:KEY'\nhosts = ['https://a.example']\nquery = 'k'",
        "sandbar.toml:2:12: `grants.w.secrets[0]` is `kye`, but there is no such secret\nhint: did you mean `key`?",
    );
    check(
        "grants.w.secrets = ['key']",
        "sandbar.toml:1:21: `grants.w.secrets[0]` is `key`, but there is no such secret\n\
         hint: add `[secrets.key]` with `value = \"env:NAME\"` and `hosts = [\"https://…\"]`",
    );
    check(
        "[secrets.key]\nvalue = 'sk-12345678'\nhosts = ['https://a.example']\nquery = 'k'",
        "sandbar.toml:2:9: `secrets.key.value` is wrong: a reference to a secret is wanted, not a secret\n\
         hint: write `env:NAME` or `file:PATH`, and put the secret there",
    );
    check(
        KEY,
        "sandbar.toml:1:1: `secrets.key` doesn't say where in a request the secret goes\n\
         hint: add one of `header = \"authorization\"`, `query = \"key\"` or `json = \"/key\"`",
    );
    check(
        &format!("{KEY}header = 'x-key'\nquery = 'k'"),
        "sandbar.toml:1:1: `secrets.key` says in more than one way where the secret goes\n\
         hint: leave one of `header`, `query` and `json`",
    );
    check(
        &format!("{KEY}header = 'Host'"),
        "sandbar.toml:4:10: `secrets.key.header` is no header that a secret can go into\n\
         hint: write the name of a header that a request has for it, such as `authorization` or `x-api-key`",
    );
    check(
        &format!("{KEY}header = 'authorization'\nformat = 'Bearer'"),
        "sandbar.toml:5:10: `secrets.key.format` needs `{}` once, where the secret goes\nhint: write it as `\"Bearer {}\"`",
    );
    check(
        &format!("{KEY}query = 'k'\nformat = '{{}}'"),
        "sandbar.toml:5:10: `secrets.key.format` is for a header, and there is none\n\
         hint: add `header = \"authorization\"`, or remove `format`",
    );
    check(
        &format!("{KEY}json = 'key'"),
        "sandbar.toml:4:8: `secrets.key.json` is no JSON pointer to a field\nhint: write the way to the field, such as `/auth/key`",
    );
    check(
        "[secrets.key]\nvalue = 'env:KEY'\nhosts = []\nquery = 'k'",
        "sandbar.toml:3:9: `secrets.key.hosts` is empty: the secret could be sent nowhere\n\
         hint: write a host as `\"https://api.example.com\"`, without a path",
    );
    check_starts(
        "[secrets.key]\nvalue = 'env:KEY'\nhosts = ['https://a.example/v1/']\nquery = 'k'",
        &["sandbar.toml:3:10: `secrets.key.hosts[0]` is no host for a secret: "],
    );
    check_whole(
        &format!("{LEAST}[secrets.key]\nhosts = ['https://a.example']\nquery = 'k'"),
        "sandbar.toml:6:10: `secrets.key` has no `value`\nhint: add `value = …`",
    );
    check_starts(
        "network.proxy = 'proxy.example.com:3128'",
        &["sandbar.toml:1:17: `network.proxy` is no address of a proxy: "],
    );
    check_starts(
        "network.proxy = 'http://proxy.example.com/a'",
        &["sandbar.toml:1:17: `network.proxy` is no address of a proxy: it has a path"],
    );
}

/// Of two secrets in the same place one would be sent, and nobody has said which.
#[test]
fn two_secrets_in_one_place_are_told() {
    let told = |one: &str, other: &str, expected: &str| {
        let secret = |name: &str, place: &str| format!("[secrets.{name}]\nvalue = 'env:KEY'\n{place}\n");
        let text = format!(
            "[grants.w]\nsecrets = ['one', 'two']\n{}{}",
            secret("one", one),
            secret("two", other)
        );
        let expected = match expected {
            "" => "loads".to_owned(),
            common => format!(
                "sandbar.toml:2:19: `grants.w.secrets[1]` is `two`, which goes into {common}, and so does `one`\n\
                 hint: grant one of the two to `w`, or give `[secrets.two]` other `hosts` or another place"
            ),
        };
        check(&text, &expected);
    };
    let a = "hosts = ['https://a.example']";
    let both = "hosts = ['https://b.example', 'https://a.example']";
    let under = "hosts = ['https://*.a.example']";
    let one_under = "hosts = ['https://x.a.example']";
    let header = |hosts: &str, name: &str| format!("{hosts}\nheader = '{name}'");
    let query = |hosts: &str, name: &str| format!("{hosts}\nquery = '{name}'");
    let json = |hosts: &str, pointer: &str| format!("{hosts}\njson = '{pointer}'");
    told(
        &header(a, "X-Key"),
        &header(a, "x-key"),
        "the header `x-key` of requests to https://a.example",
    );
    told(
        &query(a, "k"),
        &query(both, "k"),
        "the parameter `k` of requests to https://a.example",
    );
    told(
        &json(a, "/a"),
        &json(a, "/a/b"),
        "the field `/a/b` of requests to https://a.example",
    );
    told(
        &header(under, "x-key"),
        &header(one_under, "x-key"),
        "the header `x-key` of requests to https://x.a.example",
    );
    told(&header(a, "x-key"), &header(a, "x-other"), "");
    told(&header(a, "k"), &query(a, "k"), "");
    told(&header(a, "x-key"), &header(under, "x-key"), "");
    told(&query(a, "k"), &query("hosts = ['http://a.example']", "k"), "");
    told(&json(a, "/a"), &json(a, "/b"), "");
    // Those of two plugins never meet.
    check(
        "[grants.v]\nsecrets = ['one']\n[grants.w]\nsecrets = ['two', 'two']\n\
         [secrets.one]\nvalue = 'env:KEY'\nhosts = ['https://a.example']\nquery = 'k'\n\
         [secrets.two]\nvalue = 'env:KEY'\nhosts = ['https://a.example']\nquery = 'k'",
        "loads",
    );
}
