//! Which headers a plugin may send, and which go along when a response redirects.

use http::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_LANGUAGE, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName};

use crate::egress::failure::Failure;
use crate::limits::{MAX_HEADER_BYTES, MAX_HEADERS};

/// The host sets them from what it knows; libraries write them by habit, so that they are dropped and not refused.
///
/// A plugin that asked for compression could have a secret echoed in a form in which nobody finds it.
const DROPPED: [&str; 2] = ["content-length", "accept-encoding"];

/// They say how the connection is used, or whom it is to: a second host name in `host`, a second end of the body in
/// `transfer-encoding`, another protocol in `upgrade`.
const REFUSED: [&str; 8] = [
    "host",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "expect",
];

/// Of a request that is sent on to another host: what can't be a credential.
const HARMLESS: [HeaderName; 5] = [ACCEPT, ACCEPT_LANGUAGE, CONTENT_LANGUAGE, CONTENT_TYPE, USER_AGENT];

/// They change what the body is, or how much of it comes: a secret in them would be a mistake that a server answers oddly.
const ABOUT_BODY: [&str; 7] = [
    "content-encoding",
    "content-range",
    "content-type",
    "if-range",
    "range",
    "transfer-encoding",
    "via",
];

/// Whether a secret can go into a header of this name.
pub(crate) fn can_hold_secret(name: &str) -> bool {
    const MAX_NAME_BYTES: usize = 100;
    let lower = name.to_ascii_lowercase();
    let is_own = DROPPED.contains(&lower.as_str()) || ABOUT_BODY.contains(&lower.as_str()) || is_refused(&lower);
    name.len() <= MAX_NAME_BYTES && HeaderName::from_bytes(name.as_bytes()).is_ok() && !is_own
}

fn is_refused(name: &str) -> bool {
    REFUSED.contains(&name) || name.starts_with("proxy-") || name == "http2-settings"
}

/// Whether the headers of `what`, a request or a response, are within the limits.
pub(super) fn check_size(what: &str, headers: &HeaderMap) -> Result<(), Failure> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        return Err(Failure::TooLarge(format!(
            "the {what} has {} headers of {bytes} bytes, the limits are {MAX_HEADERS} and {MAX_HEADER_BYTES}",
            headers.len()
        )));
    }
    Ok(())
}

/// What is left of a plugin's headers.
pub(super) fn checked(headers: &HeaderMap) -> Result<HeaderMap, Failure> {
    check_size("request", headers)?;
    if let Some(name) = headers.keys().find(|name| is_refused(name.as_str())) {
        return Err(Failure::Invalid(format!("the header `{name}` is the host's to set")));
    }
    let mut headers = headers.clone();
    for name in DROPPED {
        headers.remove(name);
    }
    Ok(headers)
}

/// What is sent to another host than the one that the plugin had in mind.
pub(super) fn for_another_host(headers: &HeaderMap) -> HeaderMap {
    let harmless = headers.iter().filter(|(name, _)| HARMLESS.contains(name));
    harmless.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Without what describes a body, for a request that lost it.
pub(super) fn without_body(headers: &mut HeaderMap) {
    let about_body: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("content-"))
        .cloned()
        .collect();
    for name in about_body {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        let parse = |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        headers.iter().map(parse).collect()
    }

    fn check(headers: &[(&str, &str)], expected: Result<&[&str], &str>) {
        let found = checked(&map(headers));
        let names = found
            .as_ref()
            .map(|left| left.keys().map(HeaderName::as_str).collect::<Vec<_>>());
        match (names, expected) {
            (Ok(names), Ok(expected)) => assert_eq!(names, expected, "{headers:?}"),
            (Err(failure), Err(expected)) => assert_eq!(failure.to_string(), expected, "{headers:?}"),
            (found, expected) => panic!("{headers:?}: {found:?}, wanted {expected:?}"),
        }
    }

    #[test]
    fn headers_of_the_connection_are_the_hosts() {
        check(&[("accept", "a/b"), ("x-own", "1")], Ok(&["accept", "x-own"]));
        check(&[("Authorization", "Bearer mine")], Ok(&["authorization"]));
        check(
            &[("content-length", "5"), ("accept-encoding", "gzip"), ("a", "b")],
            Ok(&["a"]),
        );
        for name in [
            "Host",
            "connection",
            "Transfer-Encoding",
            "upgrade",
            "TE",
            "expect",
            "Proxy-Authorization",
        ] {
            let said = format!("the header `{}` is the host's to set", name.to_ascii_lowercase());
            check(&[(name, "x")], Err(&said));
        }
    }

    #[test]
    fn headers_have_a_limit() {
        let many: Vec<(String, String)> = (0..=MAX_HEADERS).map(|n| (format!("x-{n}"), String::new())).collect();
        let many: Vec<(&str, &str)> = many
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        check(
            &many[1..],
            Ok(&many[1..].iter().map(|(name, _)| *name).collect::<Vec<_>>()),
        );
        let said = "the request has 101 headers of 395 bytes, the limits are 100 and 32768";
        check(&many, Err(said));
        let long = "x".repeat(MAX_HEADER_BYTES);
        check(
            &[("a", &long)],
            Err("the request has 1 headers of 32769 bytes, the limits are 100 and 32768"),
        );
    }

    #[test]
    fn nothing_that_may_be_a_credential_goes_to_another_host() {
        let sent = map(&[
            ("accept", "a/b"),
            ("authorization", "Bearer mine"),
            ("cookie", "a=b"),
            ("x-api-key", "mine"),
            ("content-type", "text/plain"),
        ]);
        let mut left = for_another_host(&sent);
        assert_eq!(left, map(&[("accept", "a/b"), ("content-type", "text/plain")]));
        without_body(&mut left);
        assert_eq!(left, map(&[("accept", "a/b")]));
    }
}
