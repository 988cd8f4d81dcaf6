//! Refusals without a line, or with a warning above it: special addresses that are written in a URL, and previews.

use std::sync::Arc;

use super::super::*;
use super::{granted, owned, rule};
use crate::FileAccess;

fn check(refusal: &Refusal, sentence: &str, mend: &str) {
    assert_eq!(
        (refusal.sentence.as_str(), refusal.mend.as_deref().unwrap_or("")),
        (sentence, mend)
    );
}

fn target(url: &str) -> Target {
    Target::parse(url).unwrap()
}

/// An address that is written in the URL is granted by a line with it: whoever is offered that line learns what it opens.
#[test]
fn a_special_address_in_a_url_comes_with_a_warning() {
    let refused = |url: &str| granted(PowerSet::default()).http("GET", &target(url)).unwrap_err();
    let metadata = "a metadata service, which gives the credentials of this machine to whoever asks";
    for (url, address) in [
        ("http://169.254.169.254/latest", "169.254.169.254"),
        ("http://0xa9fea9fe/latest", "169.254.169.254"),
        ("http://[::ffff:169.254.169.254]/latest", "169.254.169.254"),
        ("http://[fd00:ec2::254]/latest", "fd00:ec2::254"),
        ("http://100.100.100.200/latest", "100.100.100.200"),
    ] {
        let refusal = refused(url);
        assert!(
            refusal
                .sentence
                .ends_with(&format!("nothing grants it; {address} is {metadata}")),
            "{refusal:?}"
        );
        assert_eq!(refusal.mend, None, "{url}");
    }
    let requested = Effective::of("weather", Some(PowerSet::default()), PowerGrant::default());
    let refusal = requested.http("GET", &target("http://169.254.169.254/")).unwrap_err();
    assert_eq!(refusal.mend, None);
    for (url, warning) in [
        (
            "http://127.0.0.1:8080/",
            "127.0.0.1 is this machine, with all that listens on it for nobody but itself",
        ),
        (
            "http://10.0.0.5/",
            "10.0.0.5 is in a network that isn't public, with all that trusts whoever is in it",
        ),
        (
            "http://[::1]/",
            "::1 is this machine, with all that listens on it for nobody but itself",
        ),
        ("http://240.0.0.1/", "240.0.0.1 is not of the public internet"),
    ] {
        let sentence = format!("the plugin `weather` may not send GET to {url}: nothing grants it; {warning}");
        check(
            &refused(url),
            &sentence,
            &format!("# careful: {warning}\n# in sandbar.toml\n[grants.weather]\nhttp = [\"{url}\"]"),
        );
    }
    assert!(!refused("http://93.184.216.34/").mend.unwrap().contains("careful"));
}

/// In a preview nothing is granted, and no line would change that: only what the call itself may not do either has lines.
#[test]
fn a_preview_is_no_reason_for_a_line() {
    let powers = PowerSet {
        files: FileAccess::ReadWrite,
        kv: KvAccess::Session,
        secrets: owned(&["key"]),
        http: vec![rule("https://a.example/")],
    };
    let preview = |powers: PowerSet| Arc::new(granted(powers)).for_preview();
    let all = preview(powers);
    assert_eq!(all.powers(), PowerSet::default());
    let not_yet =
        |what: &str, why: &str| format!("the plugin `weather` may not {what} yet: in a preview of a call {why}");
    check(
        &all.http("GET", &target("https://a.example/x?y")).unwrap_err(),
        &not_yet("send GET to https://a.example/x", "nothing is sent"),
        "",
    );
    check(
        &all.use_files(FileAccess::ReadWrite, "a").unwrap_err(),
        &not_yet("write a", "nothing is changed"),
        "",
    );
    check(
        &all.use_kv(KvAccess::Session).unwrap_err(),
        &not_yet("use key-value pairs", "nothing that is kept is reached"),
        "",
    );
    assert_eq!(all.use_files(FileAccess::ReadOnly, "a"), Ok(()));
    assert_eq!(all.use_secret("key"), Ok(()));
    let nothing = preview(PowerSet::default());
    let call = granted(PowerSet::default());
    let request = target("https://a.example/x");
    assert_eq!(nothing.http("GET", &request), call.http("GET", &request));
    assert_eq!(
        nothing.use_files(FileAccess::ReadOnly, "a"),
        call.use_files(FileAccess::ReadOnly, "a")
    );
    assert_eq!(nothing.use_kv(KvAccess::Session), call.use_kv(KvAccess::Session));
    assert_eq!(nothing.use_secret("key"), call.use_secret("key"));
}
