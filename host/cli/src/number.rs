//! Arguments that are numbers or spans of time: what was given, what is wanted, and where the right one is found.

use std::ops::RangeInclusive;

use sandbar::protocol::{Error, ErrorKind, Result};

/// Reads a number of a range; `what` is it, as in `the number of an approval`.
pub(crate) fn number<T: TryFrom<u64>>(
    what: &'static str,
    range: RangeInclusive<u64>,
    hint: &'static str,
) -> impl Fn(&str) -> Result<T> + Clone {
    move |text| {
        let read = text.parse().ok().filter(|number| range.contains(number));
        let (least, most) = (range.start(), range.end());
        read.and_then(|number: u64| T::try_from(number).ok())
            .ok_or_else(|| wrong(text, &format!("{what}: a whole number from {least} to {most}"), hint))
    }
}

/// How many entries a list may have.
pub(crate) fn count(text: &str) -> Result<usize> {
    number("how many to show", 0..=u32::MAX.into(), "such as `--limit 20`")(text)
}

/// A span of time in milliseconds: `90s`, `15m`, `2h` or `7d`.
pub(crate) fn span(text: &str) -> Result<u64> {
    let units = [('s', 1000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000)];
    let read = units.iter().find_map(|(unit, ms)| {
        let number: u64 = text.strip_suffix(*unit)?.parse().ok()?;
        number.checked_mul(*ms)
    });
    read.ok_or_else(|| {
        let wanted = "a span of time: a whole number and `s`, `m`, `h` or `d`";
        wrong(text, wanted, "such as `90s`, `15m`, `2h` or `7d`")
    })
}

/// An argument that is none of what is wanted.
pub(crate) fn wrong(given: &str, wanted: &str, hint: &str) -> Error {
    let shown: String = given.chars().take(80).flat_map(char::escape_debug).collect();
    let more = if given.chars().nth(80).is_some() { "…" } else { "" };
    let message = format!("found `{shown}{more}`, wanted {wanted}");
    Error::new(ErrorKind::InvalidInput, "bad-usage", message).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let check = |text: &str, expected: std::result::Result<u32, &str>| {
            let read = number::<u32>("so many calls", 1..=1000, "look")(text);
            let read = read.map_err(|error| format!("{}; {}", error.message, error.hint.unwrap_or_default()));
            assert_eq!(read, expected.map_err(str::to_owned), "{text}");
        };
        check("1", Ok(1));
        check("1000", Ok(1000));
        check(
            "0",
            Err("found `0`, wanted so many calls: a whole number from 1 to 1000; look"),
        );
        check(
            "1001",
            Err("found `1001`, wanted so many calls: a whole number from 1 to 1000; look"),
        );
        check(
            "-1",
            Err("found `-1`, wanted so many calls: a whole number from 1 to 1000; look"),
        );
        check(
            "\u{202e}\n",
            Err("found `\\u{202e}\\n`, wanted so many calls: a whole number from 1 to 1000; look"),
        );
        let long = format!(
            "found `{}…`, wanted so many calls: a whole number from 1 to 1000; look",
            "9".repeat(80)
        );
        check(&"9".repeat(99), Err(&long));
    }

    #[test]
    fn spans() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(span(text).ok(), expected, "{text}");
        check("90s", Some(90_000));
        check("15m", Some(900_000));
        check("2h", Some(7_200_000));
        check("7d", Some(604_800_000));
        check("0s", Some(0));
        for wrong in [
            "",
            "7",
            "d",
            "-1h",
            "1w",
            "7 d",
            "1ü",
            "99999999999999999999d",
            "999999999999999999d",
        ] {
            check(wrong, None);
        }
    }
}
