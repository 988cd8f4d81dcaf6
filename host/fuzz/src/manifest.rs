//! Manifests, as a plugin's author wrote them.

use std::fmt::Write as _;

use sandbar_protocol::FileAccess;
use sandbar_protocol::manifest::{Lifetime, Manifest};
use sandbar_protocol::policy::{Effective, KvAccess, PowerGrant, PowerSet};

/// What is refused is refused with its line; what is read asks for what it says, read again as well, and gets nothing by asking.
pub fn manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let manifest = match Manifest::parse(text, "x.toml") {
        Ok(manifest) => manifest,
        Err(error) => {
            let place = error
                .message
                .strip_prefix("x.toml:")
                .and_then(|rest| rest.split_once(": "));
            let line = place.and_then(|(line, _)| line.parse::<usize>().ok());
            let lines = text.matches('\n').count() + 1;
            assert!(
                line.is_some_and(|line| (1..=lines).contains(&line)),
                "{}",
                error.message
            );
            assert!(
                !error.message.contains('\n') && error.hint.is_some(),
                "{}",
                error.message
            );
            return;
        }
    };
    let nothing = Effective::of("p", Some(manifest.requests.clone()), PowerGrant::default()).powers();
    assert_eq!(nothing, PowerSet::default());
    let written = written(&manifest);
    assert_eq!(Manifest::parse(&written, "x.toml").as_ref(), Ok(&manifest), "{written}");
}

fn written(manifest: &Manifest) -> String {
    let lifetime = match manifest.lifetime {
        Lifetime::Call => "call",
        Lifetime::Session => "session",
    };
    let mut text = format!("lifetime = '{lifetime}'\n");
    if let Some(kind) = manifest.kind {
        let _ = writeln!(text, "kind = '{kind}'");
    }
    if let Some(description) = &manifest.description {
        // The one character that JSON leaves as it is and TOML doesn't take.
        let description = serde_json::to_string(description).expect("a text has a JSON form");
        let _ = writeln!(text, "description = {}", description.replace('\u{7F}', "\\u007f"));
    }
    let requests = &manifest.requests;
    let files = match requests.files {
        FileAccess::None => "none",
        FileAccess::ReadOnly => "read-only",
        FileAccess::ReadWrite => "read-write",
    };
    let kv = match requests.kv {
        KvAccess::None => "none",
        KvAccess::Session => "session",
        KvAccess::Shared => "shared",
    };
    let http: Vec<String> = requests.http.iter().map(|rule| rule.to_toml()).collect();
    let (http, secrets) = (http.join(", "), &requests.secrets);
    let _ = write!(
        text,
        "[requests]\nfiles = '{files}'\nkv = '{kv}'\nhttp = [{http}]\nsecrets = {secrets:?}\n[limits]\n"
    );
    let limits = manifest.limits;
    for (name, limit) in [
        ("memory_mib", limits.memory_mib),
        ("cpu_ms", limits.cpu_ms),
        ("wall_ms", limits.wall_ms),
    ] {
        if let Some(limit) = limit {
            let _ = writeln!(text, "{name} = {limit}");
        }
    }
    text
}
