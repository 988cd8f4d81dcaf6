//! What comes back: without what the plugin may not know.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use sandbar_protocol::Protected;

use crate::egress::failure::Failure;

/// They are about the connection, or about a body that may be a different one now.
const NOT_PASSED_ON: [HeaderName; 4] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    TRANSFER_ENCODING,
    CONTENT_LENGTH,
];

/// A response's headers for the plugin, and whether something was taken out of them.
pub(super) fn headers(received: &HeaderMap, protected: &Protected) -> (HeaderMap, bool) {
    let mut redacted = false;
    let mut headers = HeaderMap::with_capacity(received.len());
    for (name, value) in received {
        if NOT_PASSED_ON.contains(name) {
            continue;
        }
        if protected.find(name.as_str().as_bytes()).is_some() {
            redacted = true;
            continue;
        }
        match protected.redact_bytes(value.as_bytes()) {
            None => headers.append(name, value.clone()),
            Some(without) => {
                redacted = true;
                let value = HeaderValue::from_bytes(&without);
                headers.append(
                    name,
                    value.unwrap_or(HeaderValue::from_static(sandbar_protocol::REDACTED)),
                )
            }
        };
    }
    (headers, redacted)
}

/// A longer body takes milliseconds to search, for which no thread of the host's is held.
const SEARCHED_AT_ONCE: usize = 64 << 10;

/// A response's body for the plugin, and whether something was taken out of it.
pub(super) async fn body(received: Bytes, protected: &Arc<Protected>) -> Result<(Bytes, bool), Failure> {
    if protected.is_empty() {
        return Ok((received, false));
    }
    if received.len() <= SEARCHED_AT_ONCE {
        return Ok(searched(received, protected));
    }
    let protected = protected.clone();
    tokio::task::spawn_blocking(move || searched(received, &protected))
        .await
        .map_err(|_| Failure::BadResponse("the response could not be searched for protected values".to_owned()))
}

fn searched(received: Bytes, protected: &Protected) -> (Bytes, bool) {
    let (mut body, mut redacted) = match protected.redact_bytes(&received) {
        None => (received, false),
        Some(without) => (without.into(), true),
    };
    // A server may escape what need not be escaped.
    if body.contains(&b'\\')
        && let Ok(mut json) = serde_json::from_slice(&body)
        && protected.redact_json(&mut json)
    {
        (body, redacted) = (json.to_string().into(), true);
    }
    (body, redacted)
}

/// A compressed echo of a secret isn't found: where one was sent, nothing compressed is taken.
pub(super) fn check_encoding(received: &HeaderMap) -> Result<(), Failure> {
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    match received.get_all(CONTENT_ENCODING).iter().all(plain) {
        true => Ok(()),
        false => Err(Failure::BadResponse(
            "the response is compressed, although nobody asked for that".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protected() -> Protected {
        Protected::new([("key".to_owned(), "s3cr3t+value/of".to_owned())])
    }

    #[tokio::test]
    async fn bodies() {
        let protected = Arc::new(protected());
        let check = async |received: &str, expected: &str| {
            for padding in [0, SEARCHED_AT_ONCE] {
                let pad = |text: &str| format!("{text}{}", " ".repeat(padding));
                let (found, redacted) = body(pad(received).into(), &protected).await.unwrap();
                assert_eq!(String::from_utf8_lossy(&found).trim_end(), expected);
                assert_eq!(redacted, received != expected);
            }
        };
        check("", "").await;
        check("nothing of it", "nothing of it").await;
        check("you sent s3cr3t+value/of!", "you sent [redacted]!").await;
        check("?key=s3cr3t%2Bvalue%2Fof&b=1", "?key=[redacted]&b=1").await;
        check(
            r#"{"a":"\u0073\u0033cr3t+value\/of \\ and more"}"#,
            r#"{"a":"[redacted] \\ and more"}"#,
        )
        .await;
        check(r#"{"a":"\u0073 s3"}"#, r#"{"a":"\u0073 s3"}"#).await;
    }

    #[test]
    fn headers_too() {
        let mut received = HeaderMap::new();
        for (name, value) in [
            ("x-echo", "Bearer s3cr3t+value/of"),
            ("connection", "close"),
            ("content-length", "5"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=s3cr3t+value/of"),
        ] {
            received.append(name, value.parse().unwrap());
        }
        let (found, redacted) = headers(&received, &protected());
        let found: Vec<String> = found
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        assert_eq!(
            found,
            [
                "x-echo: Bearer [redacted]",
                "set-cookie: a=1",
                "set-cookie: b=[redacted]"
            ]
        );
        assert!(redacted);
    }

    #[test]
    fn a_compressed_echo_is_refused() {
        let check = |encodings: &[&'static str], expected: bool| {
            let mut received = HeaderMap::new();
            for encoding in encodings {
                received.append(CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
            assert_eq!(check_encoding(&received).is_ok(), expected, "{encodings:?}");
        };
        check(&[], true);
        check(&["Identity"], true);
        check(&["gzip"], false);
        check(&["identity", "br"], false);
    }
}
