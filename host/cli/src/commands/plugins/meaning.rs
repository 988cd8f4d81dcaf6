//! What an import is good for, in plain words: a component can do nothing that it doesn't import.

/// Imports of the same meaning, with what they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group<'a> {
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
    pub(super) imports: Vec<&'a str>,
}

/// An interface, or the start of its name that ends with `/`; name of its group, meaning. The first that fits counts.
const KNOWN: [(&str, &str, &str); 15] = [
    ("sandbar:plugin/http", REQUESTS.0, REQUESTS.1),
    ("wasi:http/", REQUESTS.0, REQUESTS.1),
    (
        "sandbar:plugin/secrets",
        "secrets",
        "asks whether a secret is there, never for its value; it is put into requests, if that is granted",
    ),
    ("sandbar:plugin/log", "log", "writes messages that `-v` shows"),
    (
        "sandbar:plugin/progress",
        "progress",
        "shows partial output while a call runs",
    ),
    ("sandbar:plugin/history", "history", "reads the texts of its own run"),
    (
        "sandbar:plugin/kv",
        "keys and values",
        "keeps things of its own, if that is granted; without a grant nothing",
    ),
    ("sandbar:plugin/types", "data types", "no power"),
    (
        "wasi:filesystem/",
        "files",
        "in the directories that are granted; without a grant there are none",
    ),
    (
        "wasi:cli/environment",
        "environment",
        "always empty: no variables, no arguments",
    ),
    (
        "wasi:cli/",
        "standard streams",
        "no input; output is kept to explain a crash",
    ),
    (
        "wasi:clocks/",
        "clock",
        "reads the time and waits, within the limits of its call",
    ),
    ("wasi:random/", "random numbers", "for itself"),
    ("wasi:io/", "streams", "needed by the others; nothing by itself"),
    ("wasi:sockets/", "network", "refused: nothing grants it"),
];

const UNKNOWN: (&str, &str, &str) = ("", "unknown", "not known to this version");

const REQUESTS: (&str, &str) = (
    "requests",
    "over the network, where `http` is granted; without a grant none",
);

/// In the order of the table above.
pub(super) fn groups<'a>(imports: impl IntoIterator<Item = &'a str>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for import in imports {
        let interface = import.split('@').next().unwrap_or(import);
        let fits = |name: &str| match name.ends_with('/') {
            true => interface.starts_with(name),
            false => interface == name,
        };
        let known = KNOWN.iter().find(|(name, ..)| fits(name));
        let (_, name, meaning) = known.unwrap_or(&UNKNOWN);
        match groups.iter_mut().find(|group| group.name == *name) {
            Some(group) => group.imports.push(import),
            None => groups.push(Group {
                name,
                meaning,
                imports: vec![import],
            }),
        }
    }
    let place = |name: &str| KNOWN.iter().position(|(_, known, _)| *known == name);
    groups.sort_by_key(|group| place(group.name).unwrap_or(KNOWN.len()));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_grouped() {
        let check = |imports: &[&str], expected: &[&str]| {
            let found = groups(imports.iter().copied());
            let found: Vec<String> = found
                .iter()
                .map(|group| format!("{} {}", group.name, group.imports.join(" ")))
                .collect();
            assert_eq!(found, expected);
        };
        check(&[], &[]);
        check(
            &[
                "wasi:io/poll@0.2.3",
                "sandbar:plugin/log@0.1.0",
                "wasi:io/streams@0.2.3",
                "acme:x/y",
            ],
            &[
                "log sandbar:plugin/log@0.1.0",
                "streams wasi:io/poll@0.2.3 wasi:io/streams@0.2.3",
                "unknown acme:x/y",
            ],
        );
        check(
            &[
                "wasi:cli/stdout@0.2.3",
                "wasi:cli/environment@0.2.3",
                "wasi:sockets/tcp@0.2.0",
            ],
            &[
                "environment wasi:cli/environment@0.2.3",
                "standard streams wasi:cli/stdout@0.2.3",
                "network wasi:sockets/tcp@0.2.0",
            ],
        );
        check(
            &[
                "wasi:http/types@0.2.0",
                "sandbar:plugin/http@0.1.0",
                "sandbar:plugin/https@0.1.0",
            ],
            &[
                "requests wasi:http/types@0.2.0 sandbar:plugin/http@0.1.0",
                "unknown sandbar:plugin/https@0.1.0",
            ],
        );
    }

    /// Whatever the contract lets a plugin import is told in words.
    #[test]
    fn nothing_in_the_contract_is_unknown() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        let (mut interfaces, mut exports) = (Vec::new(), Vec::new());
        for file in std::fs::read_dir(directory).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for line in text.lines().map(str::trim) {
                if let Some(name) = line.strip_prefix("interface ") {
                    interfaces.push(name.trim_end_matches('{').trim().to_owned());
                }
                if let Some(name) = line.strip_prefix("export ") {
                    exports.push(name.trim_end_matches(';').to_owned());
                }
            }
        }
        interfaces.retain(|name| !exports.contains(name));
        assert!(
            interfaces.len() >= 7 && exports.len() >= 3,
            "{interfaces:?} {exports:?}"
        );
        for name in interfaces {
            let import = format!("sandbar:plugin/{name}@0.1.0");
            assert_ne!(
                groups([import.as_str()])[0].name,
                UNKNOWN.1,
                "`{name}` has no line in `KNOWN`"
            );
        }
    }
}
