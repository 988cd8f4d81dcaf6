//! `${name}` in the texts of a script.

use std::collections::BTreeMap;

/// What captures have found: names and texts.
pub(crate) type Variables = BTreeMap<String, String>;

/// The names that a text refers to.
pub(crate) fn names(text: &str) -> Vec<&str> {
    pieces(text)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Name(name) => Some(name),
            Piece::Text(_) => None,
        })
        .collect()
}

/// Fills in what has been captured. The loader has made sure that every name is captured somewhere; one that an optional group of a
/// regular expression left out is empty.
pub(crate) fn fill(text: &str, variables: &Variables) -> String {
    pieces(text)
        .into_iter()
        .map(|piece| match piece {
            Piece::Name(name) => variables.get(name).map_or("", String::as_str),
            Piece::Text(text) => text,
        })
        .collect()
}

#[derive(Debug)]
enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// `${name}` is a name, `$${name}` stands for `${name}` itself, and any other dollar sign is text.
fn pieces(mut text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    while let Some(start) = text.find("${") {
        let after = &text[start + 2..];
        let name = after.split_once('}').map(|(name, _)| name).filter(|name| is_name(name));
        let rest = match name {
            Some(name) if text[..start].ends_with('$') => {
                pieces.push(Piece::Text(&text[..start - 1]));
                pieces.push(Piece::Text(&text[start..start + name.len() + 3]));
                &after[name.len() + 1..]
            }
            Some(name) => {
                pieces.push(Piece::Text(&text[..start]));
                pieces.push(Piece::Name(name));
                &after[name.len() + 1..]
            }
            None => {
                pieces.push(Piece::Text(&text[..start + 2]));
                after
            }
        };
        text = rest;
    }
    pieces.push(Piece::Text(text));
    pieces
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in() {
        let variables = Variables::from([
            ("hit".to_owned(), "a.rs".to_owned()),
            ("line".to_owned(), "7".to_owned()),
        ]);
        for (text, expected) in [
            ("", ""),
            ("plain $5 {x}", "plain $5 {x}"),
            ("${hit}:${line}", "a.rs:7"),
            ("see ${hit}.", "see a.rs."),
            ("$${hit} is ${hit}", "${hit} is a.rs"),
            ("${no name} ${hit", "${no name} ${hit"),
            ("${other}", ""),
            ("ü${hit}ü", "üa.rsü"),
        ] {
            assert_eq!(fill(text, &variables), expected, "{text}");
        }
        assert_eq!(names("${a} $${b} ${c-d} ${e_1}"), ["a", "e_1"]);
    }
}
