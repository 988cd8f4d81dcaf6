//! What an import is good for, in plain words: a component can do nothing that it doesn't import.

/// Imports of the same meaning, with what they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group<'a> {
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
    pub(super) imports: Vec<&'a str>,
}

/// Start of an import's name, name of its group, meaning. The first that fits counts.
const KNOWN: [(&str, &str, &str); 14] = [
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
    ("wasi:http/", "network", "refused: nothing grants it"),
    ("", "unknown", "not known to this version"),
];

/// In the order of the table above.
pub(super) fn groups<'a>(imports: impl IntoIterator<Item = &'a str>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for import in imports {
        let known = KNOWN.iter().find(|(start, ..)| import.starts_with(start));
        let (_, name, meaning) = known.expect("the last start is that of every text");
        match groups.iter_mut().find(|group| group.name == *name) {
            Some(group) => group.imports.push(import),
            None => groups.push(Group {
                name,
                meaning,
                imports: vec![import],
            }),
        }
    }
    groups.sort_by_key(|group| KNOWN.iter().position(|(_, name, _)| *name == group.name));
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
                "wasi:http/types@0.2.0",
                "wasi:sockets/tcp@0.2.0",
            ],
            &[
                "environment wasi:cli/environment@0.2.3",
                "standard streams wasi:cli/stdout@0.2.3",
                "network wasi:http/types@0.2.0 wasi:sockets/tcp@0.2.0",
            ],
        );
    }
}
