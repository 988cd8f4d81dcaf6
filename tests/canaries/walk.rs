//! Values in all forms in which they could get out, and a search for them that has nothing in common with the program's own.

/// Before what lies in a plugin's `kv` as it was planted; in JSON it would be written in another way.
pub(super) const MARK: &str = "\u{1}planted\u{2}";

/// In which form a text holds a value, if it does.
pub(super) fn form_in(text: &str, value: &str) -> Option<&'static str> {
    let found = |(form, written): (&'static str, String)| text.contains(&written).then_some(form);
    forms(value).into_iter().find_map(found)
}

/// The same where only a quarter of a form is there, its first or its last: what a cut leaves of a value.
pub(super) fn part_in(text: &str, value: &str) -> Option<&'static str> {
    let part = |written: &str| {
        let quarter = written.len() / 4;
        text.contains(&written[..quarter]) || text.contains(&written[written.len() - quarter..])
    };
    let found = |(form, written): (&'static str, String)| part(&written).then_some(form);
    forms(value).into_iter().find_map(found)
}

/// All values, each with its name and in all forms, in a line each: what somebody says who knows them.
pub(super) fn everything(values: &[(&str, &str)]) -> String {
    let lines = values.iter().flat_map(|(name, value)| {
        let forms = forms(value).into_iter();
        let whole = forms.filter(|(form, _)| !form.starts_with("base64 ") && *form != "spelled");
        whole.map(move |(form, text)| format!("{name} as {form}: {text}\n"))
    });
    lines.collect()
}

fn forms(value: &str) -> Vec<(&'static str, String)> {
    let each = |format: fn(u8) -> String| value.bytes().map(format).collect::<String>();
    vec![
        ("plain", value.to_owned()),
        ("base64", base64(value, 0)),
        ("base64 after a byte", base64(value, 1)),
        ("base64 after two bytes", base64(value, 2)),
        ("hex", each(|byte| format!("{byte:02x}"))),
        ("capital hex", each(|byte| format!("{byte:02X}"))),
        ("percent", each(|byte| format!("%{byte:02x}"))),
        ("capital percent", each(|byte| format!("%{byte:02X}"))),
        ("reversed", value.chars().rev().collect()),
        // No form that the program knows: what a guest would write that wants to get it past the searches behind it.
        ("spelled", each(|byte| format!("{}.", char::from(byte)))),
    ]
}

/// The digits of base64 that depend on the value alone, when so many bytes are before it.
fn base64(value: &str, before: usize) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = [&vec![0; before], value.as_bytes()].concat();
    let bit = |at: usize| usize::from(bytes[at / 8] >> (7 - at % 8) & 1);
    let digits = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
    let digit = |at: usize| char::from(DIGITS[(at * 6..at * 6 + 6).fold(0, |bits, at| bits << 1 | bit(at))]);
    digits.map(digit).collect()
}

#[test]
fn each_form_is_found() {
    let value = "Kx7mQ2vN9rTz";
    for (form, text) in [
        ("plain", "it is Kx7mQ2vN9rTz."),
        ("base64", "S3g3bVEydk45clR6"),
        ("base64 after a byte", "IEt4N21RMnZOOXJUeg=="),
        ("base64 after two bytes", "ICBLeDdtUTJ2TjlyVHo="),
        ("hex", "4b78376d5132764e3972547a"),
        ("capital hex", "4B78376D5132764E3972547A"),
        ("capital percent", "%4B%78%37%6D%51%32%76%4E%39%72%54%7A"),
        ("reversed", "zTr9Nv2Qm7xK"),
        ("spelled", "K.x.7.m.Q.2.v.N.9.r.T.z."),
    ] {
        assert_eq!(form_in(text, value), Some(form), "{text}");
    }
    assert_eq!(form_in("Kx7mQ2vN9rTy S3g3bVEydk45clR5", value), None);
    for (text, form) in [
        ("it is Kx7", Some("plain")),
        ("rTz", Some("plain")),
        ("it is Kx", None),
        ("4b7837", Some("hex")),
        ("%4b%78%37", Some("percent")),
    ] {
        assert_eq!(part_in(text, value), form, "{text}");
    }
}
