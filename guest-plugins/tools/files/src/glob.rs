//! Globs for names: `*` and `?` within a part, `**` over parts, `[…]` and `{a,b}`.

use regex::Regex;
use sandbar_sdk::Error;

use crate::text::shown;

const MAX_GLOB_BYTES: usize = 500;

/// A glob without `/` is about the last part of a name, another one about the whole name.
#[derive(Debug)]
pub(crate) struct Glob {
    regex: Regex,
    whole_name: bool,
}

impl Glob {
    pub(crate) fn parse(glob: &str) -> Result<Self, Error> {
        let bad = |why: &str| {
            Error::new("bad-pattern", format!("the glob `{}` {why}", shown(glob)))
                .hint("`*.md`, `src/**/*.rs` and `*.{ts,tsx}` are globs")
        };
        if glob.is_empty() {
            return Err(bad("is empty"));
        }
        if glob.len() > MAX_GLOB_BYTES {
            return Err(bad("is too long"));
        }
        let glob = glob
            .strip_prefix("./")
            .or_else(|| glob.strip_prefix('/'))
            .unwrap_or(glob);
        let expression = expression(glob).map_err(bad)?;
        let regex = Regex::new(&expression).map_err(|_| bad("is not well formed"))?;
        Ok(Self {
            regex,
            whole_name: glob.contains('/'),
        })
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        let subject = if self.whole_name {
            name
        } else {
            name.rsplit('/').next().unwrap_or(name)
        };
        self.regex.is_match(subject)
    }
}

fn expression(glob: &str) -> Result<String, &'static str> {
    let mut out = String::from("(?s)^");
    let mut rest = glob;
    let mut braces = 0;
    while let Some(c) = rest.chars().next() {
        let mut used = c.len_utf8();
        match c {
            '*' if rest.starts_with("**/") => {
                out.push_str("(?:.*/)?");
                used = 3;
            }
            '*' if rest.starts_with("**") => {
                out.push_str(".*");
                used = 2;
            }
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '[' => {
                let end = rest.find(']').ok_or("has a `[` without `]`")?;
                let class = &rest[1..end];
                let (not, class) = match class.strip_prefix(['!', '^']) {
                    Some(class) => ("^/", class),
                    None => ("", class),
                };
                if class.is_empty() {
                    return Err("has an empty `[]`");
                }
                let escaped: String = class.chars().flat_map(escaped_in_class).collect();
                out.push_str(&format!("[{not}{escaped}]"));
                used = end + 1;
            }
            '{' => {
                braces += 1;
                out.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                out.push(')');
            }
            ',' if braces > 0 => out.push('|'),
            _ => out.push_str(&regex::escape(&rest[..used])),
        }
        rest = &rest[used..];
    }
    if braces > 0 {
        return Err("has a `{` without `}`");
    }
    out.push('$');
    Ok(out)
}

/// Only `-` keeps its meaning in a class of a glob.
fn escaped_in_class(c: char) -> impl Iterator<Item = char> {
    let escape = matches!(c, '\\' | '[' | '^' | '&' | '~').then_some('\\');
    escape.into_iter().chain([c])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let check = |glob: &str, name: &str, expected: bool| {
            assert_eq!(Glob::parse(glob).unwrap().matches(name), expected, "{glob} {name}");
        };
        check("*.md", "docs/README.md", true);
        check("*.md", "docs/README.mdx", false);
        check("src/*.rs", "src/lib.rs", true);
        check("src/*.rs", "src/a/lib.rs", false);
        check("src/**/*.rs", "src/lib.rs", true);
        check("src/**/*.rs", "src/a/b/lib.rs", true);
        check("src/**", "src/a/b", true);
        check("**/test?.txt", "test1.txt", true);
        check("*.{ts,tsx}", "a.tsx", true);
        check("*.{ts,tsx}", "a.js", false);
        check("[a-c]x", "bx", true);
        check("[!a-c]x", "bx", false);
        check("a+b(1).txt", "a+b(1).txt", true);
        check("/src/*", "src/x", true);
        check("ü?", "üß", true);
    }

    #[test]
    fn bad_globs() {
        for glob in ["", "[", "[]", "{a", "[z-a]"] {
            assert_eq!(Glob::parse(glob).unwrap_err().code, "bad-pattern", "{glob}");
        }
    }
}
