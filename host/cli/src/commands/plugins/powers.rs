//! What a plugin requests, is granted and may do, one power after the other, and the lines that would allow more.

use std::collections::BTreeSet;

use sandbar::config::grants::Grant;
use sandbar::plugins::Plugin;
use sandbar::protocol::policy::{Effective, HttpRule, KvAccess, PowerSet};
use serde_json::{Value, json};

use super::{access_word, effective};
use crate::sanitise::{one_line, sanitise};
use crate::style::Style;
use crate::table::{Cell, Table, cell, plain};

/// One line for each power, and one for each request, secret and mount.
pub(super) fn table(effective: &Effective, grant: Option<&Grant>) -> Table {
    let (granted, powers) = (&effective.granted().powers, effective.powers());
    let requested = effective.requested();
    let mut table = Table::with_header(&["", "REQUESTED", "GRANTED", "EFFECTIVE"]);
    let mut row = |name: &str, requested: Option<String>, granted: String, effective: String| {
        let name = cell(Style::Dim, format!("  {name}"));
        let requested = plain(requested.unwrap_or_else(|| "-".to_owned()));
        table.row([name, requested, plain(granted), power(effective)]);
    };
    row(
        "files",
        requested.map(|requested| access_word(requested.files).to_owned()),
        access_word(granted.files).to_owned(),
        access_word(powers.files).to_owned(),
    );
    for mount in grant.iter().flat_map(|grant| &grant.mounts) {
        let place = sanitise(&mount.path.display().to_string()).into_owned();
        let reach = mount.access.min(powers.files);
        let quota = mount.quota_bytes.map(|bytes| format!(", {} MiB at most", bytes >> 20));
        row(
            &format!("/{}", mount.name),
            None,
            format!("{} of {place}{}", access_word(mount.access), quota.unwrap_or_default()),
            access_word(reach).to_owned(),
        );
    }
    let listed = |set: &PowerSet, of: fn(&PowerSet) -> Vec<String>| match of(set) {
        list if list.is_empty() => "none".to_owned(),
        list => list.join(", "),
    };
    for (name, of) in [("http", requests as fn(&PowerSet) -> Vec<String>), ("secrets", secrets)] {
        let requested = requested.map(|requested| listed(requested, of));
        row(name, requested, listed(granted, of), listed(&powers, of));
    }
    row(
        "kv",
        requested.map(|requested| kv_word(requested.kv).to_owned()),
        kv_word(granted.kv).to_owned(),
        kv_word(powers.kv).to_owned(),
    );
    table
}

fn power(effective: String) -> Cell {
    let style = if effective == "none" {
        Style::Plain
    } else {
        Style::Yellow
    };
    cell(style, effective)
}

fn requests(powers: &PowerSet) -> Vec<String> {
    let shown = |rule: &HttpRule| match rule.has_default_methods() {
        true => rule.url(),
        false => format!("{} {}", rule.methods.join("/"), rule.url()),
    };
    powers.http.iter().map(|rule| one_line(&shown(rule), 100)).collect()
}

fn secrets(powers: &PowerSet) -> Vec<String> {
    powers.secrets.iter().map(|name| one_line(name, 40)).collect()
}

fn kv_word(kv: KvAccess) -> &'static str {
    match kv {
        KvAccess::None => "none",
        KvAccess::Session => "session",
        KvAccess::Shared => "shared",
    }
}

/// The operator's conditions, one each.
pub(super) fn conditions(grant: Option<&Grant>) -> Vec<String> {
    let Some(grant) = grant else {
        return Vec::new();
    };
    let powers = grant
        .powers
        .rules
        .iter()
        .map(|(power, rule)| format!("calls with {power}: {rule}"));
    let origins = grant
        .powers
        .origins
        .iter()
        .map(|(origin, rule)| format!("calls by a {origin}: {rule}"));
    let limits = grant.powers.arguments.iter().map(|(tool, limits)| {
        let schema = limits.schema.as_ref().map(|_| "a schema".to_owned());
        let calls = limits.calls_per_run.map(|calls| format!("{calls} calls in a run"));
        let bytes = limits.bytes.map(|bytes| format!("{bytes} bytes"));
        let limits: Vec<String> = [schema, calls, bytes].into_iter().flatten().collect();
        format!("arguments of {}: {}", one_line(tool, 64), limits.join(", "))
    });
    powers.chain(origins).chain(limits).collect()
}

/// What is requested and not granted, or granted and not requested: each with the line that would make it effective.
pub(super) fn refused(effective: &Effective) -> Vec<Value> {
    let refused = |refusal: Refused| json!({ "power": refusal.power, "what": refusal.what, "line": refusal.line });
    differences(effective).into_iter().map(refused).collect()
}

pub(super) fn refused_lines(effective: &Effective) -> Vec<String> {
    let line = |refused: Refused| format!("{}; to allow it: {}", refused.what, refused.line);
    differences(effective).into_iter().map(line).collect()
}

/// What is granted and not requested, each with the line that would make it effective.
pub(in crate::commands) fn unrequested(plugin: &Plugin, grant: &Grant) -> Vec<(String, String)> {
    let effective = effective(plugin, Some(grant));
    let Some(requested) = effective.requested() else {
        return Vec::new();
    };
    let powers = differences(&effective).into_iter().filter(|refused| !refused.asked);
    let mounts = grant.mounts.iter().filter(|mount| mount.access > requested.files);
    let mounts = mounts.map(|mount| {
        let access = access_word(mount.access);
        let what = format!("the mount `{}` is granted {access}, and not requested", mount.name);
        (what, format!("`files = \"{access}\"` in `[requests]` of its manifest"))
    });
    powers
        .map(|refused| (refused.what, refused.line))
        .chain(mounts)
        .collect()
}

struct Refused {
    power: &'static str,
    /// It lacks the grant, not the request.
    asked: bool,
    what: String,
    line: String,
}

fn differences(effective: &Effective) -> Vec<Refused> {
    let Some(requested) = effective.requested() else {
        return Vec::new();
    };
    let granted = &effective.granted().powers;
    let plugin = effective.plugin();
    let mut refused = Vec::new();
    let mut differs = |power: &'static str, asked: bool, wanted: &str, line: String| {
        let (what, place) = match asked {
            true => (
                format!("{power} {wanted} is requested and not granted"),
                format!("`{line}` in `[grants.{plugin}]`"),
            ),
            false => (
                format!("{power} {wanted} is granted and not requested"),
                format!("`{line}` in `[requests]` of its manifest"),
            ),
        };
        refused.push(Refused {
            power,
            asked,
            what,
            line: place,
        });
    };
    if requested.files != granted.files {
        let wanted = access_word(requested.files.max(granted.files));
        differs(
            "files",
            requested.files > granted.files,
            wanted,
            format!("files = \"{wanted}\""),
        );
    }
    if requested.kv != granted.kv {
        let wanted = kv_word(requested.kv.max(granted.kv));
        differs("kv", requested.kv > granted.kv, wanted, format!("kv = \"{wanted}\""));
    }
    let names = |powers: &PowerSet| powers.secrets.iter().cloned().collect::<BTreeSet<_>>();
    for name in names(requested).symmetric_difference(&names(granted)) {
        let asked = requested.secrets.contains(name);
        differs(
            "secrets",
            asked,
            &one_line(name, 40),
            format!("secrets = [\"{}\"]", one_line(name, 40)),
        );
    }
    let mut rules = |of: &PowerSet, other: &PowerSet, asked: bool| {
        for rule in &of.http {
            if !other.http.iter().any(|wider| wider.includes(rule)) {
                let line = format!("http = [{}]", rule.to_toml());
                differs("http", asked, &one_line(&rule.url(), 100), line);
            }
        }
    };
    rules(requested, granted, true);
    rules(granted, requested, false);
    refused
}

/// For programs: in the form in which grants are written.
pub(super) fn json(powers: &PowerSet) -> Value {
    json!({
        "files": powers.files,
        "http": powers.http.iter().map(rule_json).collect::<Vec<_>>(),
        "secrets": powers.secrets,
        "kv": powers.kv,
    })
}

fn rule_json(rule: &HttpRule) -> Value {
    let addresses: Vec<String> = rule.addresses.iter().map(ToString::to_string).collect();
    json!({ "url": rule.url(), "methods": rule.methods, "addresses": addresses })
}

pub(super) fn granted_json(grant: Option<&Grant>) -> Value {
    let nothing = Grant::default();
    let grant = grant.unwrap_or(&nothing);
    let mut value = json(&grant.powers.powers);
    value["mounts"] = grant
        .mounts
        .iter()
        .map(|mount| {
            let quota_mib = mount.quota_bytes.map(|bytes| bytes >> 20);
            json!({ "name": mount.name, "path": mount.path, "access": mount.access, "quota_mib": quota_mib })
        })
        .collect();
    value["rules"] = json!(grant.powers.rules);
    value["origins"] = json!(grant.powers.origins);
    value["tools"] = grant
        .powers
        .arguments
        .iter()
        .map(|(tool, limits)| {
            let schema = limits.schema.as_ref().map(|schema| schema.text());
            let limits = json!({ "schema": schema, "calls_per_run": limits.calls_per_run, "max_bytes": limits.bytes });
            (tool.clone(), limits)
        })
        .collect();
    value
}

#[cfg(test)]
mod tests {
    use sandbar::protocol::FileAccess;
    use sandbar::protocol::policy::PowerGrant;

    use super::*;

    #[test]
    fn what_is_refused_names_the_line_that_allows_it() {
        let rule = |url: &str| HttpRule::parse(url, &[], &[]).unwrap();
        let requested = PowerSet {
            files: FileAccess::ReadWrite,
            http: vec![rule("https://api.example.com/"), rule("https://b.example.com/v1/")],
            secrets: vec!["key".to_owned()],
            kv: KvAccess::None,
        };
        let granted = PowerSet {
            files: FileAccess::ReadOnly,
            http: vec![rule("https://b.example.com/")],
            secrets: Vec::new(),
            kv: KvAccess::Session,
        };
        let granted = PowerGrant {
            powers: granted,
            ..PowerGrant::default()
        };
        let effective = Effective::of("w", Some(requested), granted.clone());
        assert_eq!(
            refused_lines(&effective),
            [
                "files read-write is requested and not granted; to allow it: `files = \"read-write\"` in `[grants.w]`",
                "kv session is granted and not requested; to allow it: `kv = \"session\"` in `[requests]` of its manifest",
                "secrets key is requested and not granted; to allow it: `secrets = [\"key\"]` in `[grants.w]`",
                "http https://api.example.com/ is requested and not granted; to allow it: \
                 `http = [\"https://api.example.com/\"]` in `[grants.w]`",
                "http https://b.example.com/ is granted and not requested; to allow it: \
                 `http = [\"https://b.example.com/\"]` in `[requests]` of its manifest",
            ]
        );
        // Without a manifest what is granted is requested.
        assert!(refused_lines(&Effective::of("w", None, granted)).is_empty());
    }
}
