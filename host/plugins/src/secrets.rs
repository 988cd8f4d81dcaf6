//! Secrets that plugins use and never read: what each is, where it goes, and to whom.

use std::fmt;
use std::sync::Arc;

use sandbar_protocol::policy::{HostPattern, HttpRule, Scheme, Target};
use sandbar_protocol::{Error, ErrorKind, Result};
use zeroize::Zeroizing;

use crate::egress::can_hold_secret;

/// A secret that the host adds to requests of the plugins that were granted it.
#[derive(Clone)]
pub struct SecretEntry {
    name: String,
    value: Arc<Zeroizing<String>>,
    audience: Vec<Audience>,
    place: SecretPlace,
}

/// Where requests that carry a secret may go: nowhere else does it leave the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    pub scheme: Scheme,
    pub host: HostPattern,
    pub port: u16,
}

/// Where in a request a secret is put, in the place of whatever the plugin wrote there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// A header; `format` has one `{}`, as in `Bearer {}`.
    Header { name: String, format: String },
    /// A parameter of the URL's query.
    Query { name: String },
    /// A text in a JSON body, by its JSON Pointer (RFC 6901); objects on the way are made. A request without a body carries none.
    Json { pointer: String },
}

impl SecretEntry {
    /// The error says what is wrong with it, and never the value.
    pub fn new(name: &str, value: String, audience: Vec<Audience>, place: SecretPlace) -> Result<Self> {
        let value = Arc::new(Zeroizing::new(value));
        let wrong = |what: &str, hint: &str| {
            let message = format!("the secret `{}` {what}", name.escape_debug());
            Err(Error::new(ErrorKind::Config, "bad-secret", message).with_hint(hint))
        };
        if value.is_empty() {
            return wrong("is empty", "put a value where the configuration says that it is");
        }
        if value.chars().any(char::is_control) {
            let hint = "a secret is one line of text without control characters";
            return wrong("contains a line break or another control character", hint);
        }
        if audience.is_empty() {
            return wrong(
                "has no `hosts`",
                "name those that may get it, as in `hosts = [\"https://api.example.com\"]`",
            );
        }
        match &place {
            SecretPlace::Header { name: header, format } => {
                if !SecretPlace::is_header(header) {
                    let hint = "name a header such as `authorization` or `x-api-key`";
                    return wrong("goes into a header that can't be set", hint);
                }
                let fits = format.matches("{}").count() == 1 && !format.chars().any(char::is_control);
                if !fits || !value.is_ascii() || !format.is_ascii() {
                    let hint = "write it as in `format = \"Bearer {}\"`, on one line of ASCII, with one `{}`";
                    return wrong("doesn't fit into its header", hint);
                }
            }
            SecretPlace::Query { name } if name.is_empty() => {
                return wrong(
                    "goes into a parameter without a name",
                    "write it as in `query = \"key\"`",
                );
            }
            SecretPlace::Json { pointer } if !pointer.starts_with('/') => {
                return wrong("has no place in the body", "write it as in `json = \"/auth/key\"`");
            }
            SecretPlace::Query { .. } | SecretPlace::Json { .. } => {}
        }
        Ok(Self {
            name: name.to_owned(),
            value,
            audience,
            place,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn place(&self) -> &SecretPlace {
        &self.place
    }

    /// Whether requests to there carry it.
    pub fn is_for(&self, target: &Target) -> bool {
        self.audience.iter().any(|audience| audience.covers(target))
    }

    pub(crate) fn value(&self) -> &str {
        &self.value
    }
}

impl Audience {
    /// From `https://api.example.com` or, where it has to be, `http://127.0.0.1:8080`: a scheme, a host and at most a port. The error
    /// says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let rule = HttpRule::parse(url, &[], &[])?;
        if rule.path != "/" {
            return Err(format!(
                "`{}` has a path, but whoever is at a host gets the secret: wanted as in `https://api.example.com`",
                url.escape_debug()
            ));
        }
        Ok(Self {
            scheme: rule.scheme,
            host: rule.host,
            port: rule.port,
        })
    }

    fn covers(&self, target: &Target) -> bool {
        self.scheme == target.scheme && self.port == target.port && self.host.matches(&target.host)
    }

    /// Those that are of both: of two patterns for hosts that have one in common, one always holds the other.
    pub fn common<'a>(&'a self, other: &'a Self) -> Option<&'a Self> {
        if self.scheme != other.scheme || self.port != other.port {
            None
        } else if self.host.includes(&other.host) {
            Some(other)
        } else {
            other.host.includes(&self.host).then_some(self)
        }
    }
}

/// As it is written.
impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if self.port == self.scheme.default_port() {
            return Ok(());
        }
        write!(f, ":{}", self.port)
    }
}

impl SecretPlace {
    /// Whether a secret can go into a header of this name: not into those that the host sets itself, nor into those that say how a
    /// message is carried or what its body is.
    pub fn is_header(name: &str) -> bool {
        can_hold_secret(name)
    }

    /// Whether of two secrets that go there one would take the other's place.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header { name: one, .. }, Self::Header { name: other, .. }) => one.eq_ignore_ascii_case(other),
            (Self::Query { name: one }, Self::Query { name: other }) => one == other,
            (Self::Json { pointer: one }, Self::Json { pointer: other }) => {
                let (long, short) = if one.len() < other.len() {
                    (other, one)
                } else {
                    (one, other)
                };
                let rest = long.strip_prefix(short.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            _ => false,
        }
    }
}

/// As the configuration names it.
impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { name, .. } => write!(f, "the header `{name}`"),
            Self::Query { name } => write!(f, "the parameter `{name}`"),
            Self::Json { pointer } => write!(f, "the field `{pointer}`"),
        }
    }
}

impl fmt::Debug for SecretEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretEntry")
            .field("name", &self.name)
            .field("audience", &self.audience)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, format: &str) -> SecretPlace {
        SecretPlace::Header {
            name: name.to_owned(),
            format: format.to_owned(),
        }
    }

    #[test]
    fn what_can_not_be_a_secret() {
        let audience = || vec![Audience::parse("https://a.example").unwrap()];
        let check = |value: &str, audience: Vec<Audience>, place: SecretPlace, expected: &str| {
            let found = SecretEntry::new("key", value.to_owned(), audience, place);
            let found = found.map_or_else(|error| error.message, |entry| format!("{entry:?}"));
            assert!(found.starts_with(expected), "{found}");
            assert!(value.is_empty() || !found.contains(value), "the value is told: {found}");
        };
        let bearer = || header("Authorization", "Bearer {}");
        check(
            "s3cr3t-value",
            audience(),
            bearer(),
            "SecretEntry { name: \"key\", audience: [",
        );
        check("", audience(), bearer(), "the secret `key` is empty");
        check(
            "s3cr3t\r\nX-More: 1",
            audience(),
            bearer(),
            "the secret `key` contains a line break",
        );
        check("s3cr3t-value", Vec::new(), bearer(), "the secret `key` has no `hosts`");
        for name in [
            "Host",
            "content-length",
            "Accept-Encoding",
            "content-encoding",
            "range",
            "proxy-authorization",
            "a b",
            "",
        ] {
            let said = "the secret `key` goes into a header that can't be set";
            check("s3cr3t-value", audience(), header(name, "{}"), said);
        }
        for format in ["Bearer", "{} {}", "{}\r\nX-More: 1"] {
            check(
                "s3cr3t-value",
                audience(),
                header("x-key", format),
                "the secret `key` doesn't fit into its header",
            );
        }
        check(
            "geheimnisträger",
            audience(),
            bearer(),
            "the secret `key` doesn't fit into its header",
        );
        let query = |name: &str| SecretPlace::Query { name: name.to_owned() };
        check(
            "s3cr3t-value",
            audience(),
            query(""),
            "the secret `key` goes into a parameter without a name",
        );
        let pointer = "auth".to_owned();
        let place = SecretPlace::Json { pointer };
        check(
            "s3cr3t-value",
            audience(),
            place,
            "the secret `key` has no place in the body",
        );
    }

    #[test]
    fn some_places_are_the_same() {
        let query = |name: &str| SecretPlace::Query { name: name.to_owned() };
        let json = |pointer: &str| SecretPlace::Json {
            pointer: pointer.to_owned(),
        };
        for (one, other, expected) in [
            (header("X-Key", "{}"), header("x-key", "Bearer {}"), true),
            (header("x-key", "{}"), header("x-keys", "{}"), false),
            (header("key", "{}"), query("key"), false),
            (query("key"), query("key"), true),
            (query("key"), query("Key"), false),
            (json("/a"), json("/a"), true),
            (json("/a"), json("/a/b"), true),
            (json("/a"), json("/ab"), false),
            (json("/a/b"), json("/a/c"), false),
        ] {
            assert_eq!(one.overlaps(&other), expected, "{one} {other}");
            assert_eq!(other.overlaps(&one), expected, "{other} {one}");
        }
        for (one, other, expected) in [
            ("https://a.example", "https://a.example", "https://a.example"),
            ("https://a.example", "http://a.example", ""),
            ("https://a.example", "https://a.example:8443", ""),
            ("https://*.a.example", "https://b.a.example", "https://b.a.example"),
            (
                "https://**.a.example",
                "https://*.b.a.example:443",
                "https://*.b.a.example",
            ),
            ("https://*.a.example", "https://a.example", ""),
            ("http://127.0.0.1:80", "http://127.0.0.1:8080", ""),
            (
                "http://127.0.0.1:8080",
                "http://127.0.0.1:8080",
                "http://127.0.0.1:8080",
            ),
        ] {
            let (one, other) = (Audience::parse(one).unwrap(), Audience::parse(other).unwrap());
            let common =
                |one: &Audience, other: &Audience| one.common(other).map(ToString::to_string).unwrap_or_default();
            assert_eq!(common(&one, &other), expected, "{one} {other}");
            assert_eq!(common(&other, &one), expected, "{other} {one}");
        }
    }

    #[test]
    fn a_secret_is_for_scheme_host_and_port() {
        let check = |audience: &str, url: &str, expected: bool| {
            let audience = vec![Audience::parse(audience).unwrap()];
            let entry = SecretEntry::new(
                "key",
                "s3cr3t-value".to_owned(),
                audience.clone(),
                header("x-key", "{}"),
            );
            let target = Target::parse(url).unwrap();
            assert_eq!(entry.unwrap().is_for(&target), expected, "{audience:?} {url}");
        };
        check("https://a.example", "https://a.example/x?y", true);
        check("https://a.example", "https://A.example:443", true);
        check("https://a.example", "http://a.example", false);
        check("https://a.example", "https://a.example:8443", false);
        check("https://a.example", "https://b.a.example", false);
        check("https://*.a.example", "https://b.a.example", true);
        check("http://127.0.0.1:8080", "http://127.0.0.1:8080/x", true);
        check("http://127.0.0.1:8080", "https://127.0.0.1:8080/x", false);
        assert!(
            Audience::parse("https://a.example/v1/")
                .unwrap_err()
                .contains("has a path")
        );
        assert!(Audience::parse("*").is_err());
    }
}
