//! Text for a model: what is text, numbered lines, sizes, names.

use std::borrow::Cow;

/// How many bytes decide whether a file is text.
pub(crate) const SNIFF_BYTES: usize = 8192;

/// What a file seems to be if it isn't text.
pub(crate) fn binary_type(head: &[u8]) -> Option<&'static str> {
    const MAGIC: &[(&[u8], &str)] = &[
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"GIF8", "a GIF image"),
        (b"%PDF-", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive or an office document"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"BZh", "a bzip2 archive"),
        (b"\xfd7zXZ", "an xz archive"),
        (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
        (b"\x7fELF", "an ELF executable or library"),
        (b"\0asm", "WebAssembly"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\xff\xfe", "UTF-16 text"),
        (b"\xfe\xff", "UTF-16 text"),
    ];
    let head = &head[..head.len().min(SNIFF_BYTES)];
    let known = MAGIC.iter().find(|(magic, _)| head.starts_with(magic));
    match known {
        // Text may begin like an archive by chance; only these formats are certain to be text if they hold no NUL.
        Some((magic, _)) if matches!(*magic, b"BZh" | b"GIF8") && std::str::from_utf8(head).is_ok() => None,
        Some((_, what)) => Some(what),
        None if head.contains(&0) => Some("binary data"),
        None => None,
    }
}

/// A line of text with its number, as `read` and `edit` show it.
pub(crate) fn numbered(number: u64, line: &str) -> String {
    format!("{number:>6}\t{line}\n")
}

/// At most `limit` bytes of a line, with a notice where something was cut.
pub(crate) fn cut(line: &str, limit: usize) -> Cow<'_, str> {
    if line.len() <= limit {
        return Cow::Borrowed(line);
    }
    let kept = &line[..line.floor_char_boundary(limit)];
    Cow::Owned(format!("{kept} [… {} more bytes]", line.len() - kept.len()))
}

/// A name without control characters, short enough for a message.
pub(crate) fn shown(name: &str) -> String {
    let clean: Cow<'_, str> = if name.chars().any(char::is_control) {
        Cow::Owned(name.escape_debug().collect())
    } else {
        Cow::Borrowed(name)
    };
    cut(&clean, 200).into_owned()
}

/// `1 byte`, `12 bytes`, `3.4 KiB`, `5.6 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const KIB: f64 = 1024.0;
    let value = bytes as f64;
    match bytes {
        0..10_000 => plural(bytes, "byte"),
        10_000..1_048_576 => format!("{:.1} KiB", value / KIB),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", value / KIB / KIB),
        _ => format!("{:.1} GiB", value / KIB / KIB / KIB),
    }
}

/// `1 line`, `2 lines`.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    let ending = match (count, noun.strip_suffix('y')) {
        (1, _) => return format!("1 {noun}"),
        (_, Some(stem)) => return format!("{count} {stem}ies"),
        _ if noun.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{count} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_types() {
        let check = |head: &[u8], expected: Option<&str>| assert_eq!(binary_type(head), expected, "{head:?}");
        check(b"plain", None);
        check(b"", None);
        check("früh".as_bytes(), None);
        check(b"fr\xfch in Latin-1", None);
        check(b"BZh is how this text begins", None);
        check(b"a\0b", Some("binary data"));
        check(b"\x89PNG\r\n\x1a\n....", Some("a PNG image"));
        check(b"\xff\xfea\0", Some("UTF-16 text"));
        check(b"\0asm\x01\0\0\0", Some("WebAssembly"));
    }

    #[test]
    fn words() {
        let check = |got: String, expected: &str| assert_eq!(got, expected);
        check(size(1), "1 byte");
        check(size(2048), "2048 bytes");
        check(size(20 * 1024), "20.0 KiB");
        check(size(5 * 1024 * 1024), "5.0 MiB");
        check(plural(2, "entry"), "2 entries");
        check(plural(3, "match"), "3 matches");
        check(cut("äöü", 3).into_owned(), "ä [… 4 more bytes]");
        check(shown("a\nb"), "a\\nb");
        check(numbered(12, "text"), "    12\ttext\n");
    }
}
