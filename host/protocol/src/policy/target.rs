//! Where a request goes, taken apart once: policy, resolver and transport all use this and no text.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use url::Url;

/// The longest URL that is looked at, in bytes. Servers refuse longer ones too, and each byte is looked at several times.
pub const MAX_URL_BYTES: usize = 8 * 1024;
/// The longest name of a host, and of one of its labels (RFC 1035).
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// Lower case, in ASCII (punycode), without a dot at its end.
    Name(String),
    /// However it was written; an IPv4 address in an IPv6 one (`::ffff:127.0.0.1`) is the IPv4 address.
    Address(IpAddr),
}

/// A URL that may be requested, if a rule covers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub scheme: Scheme,
    pub host: Host,
    pub port: u16,
    /// Begins with `/`; dot segments are resolved. As it is sent: what was percent-encoded is.
    pub path: String,
    /// Without `?`.
    pub query: Option<String>,
}

impl Target {
    /// Takes a URL apart as browsers do (the URL standard), and refuses what honest programs don't write and others read in another way:
    /// user names, backslashes, control characters and spaces, anything encoded in the host, encoded control characters in the path.
    /// The fragment is dropped. The error is one sentence about the URL, fit for a guest.
    pub fn parse(url: &str) -> Result<Self, String> {
        if url.len() > MAX_URL_BYTES {
            return Err(format!(
                "the URL is {} bytes long, the limit is {MAX_URL_BYTES}",
                url.len()
            ));
        }
        if let Some(bad) = url.chars().find(|&c| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err(format!(
                "the URL contains `{}`, which has no place in one",
                bad.escape_default()
            ));
        }
        let (scheme, authority) = split(url)?;
        check_authority(authority)?;
        let parsed = Url::parse(url).map_err(|error| format!("the URL can't be read: {error}"))?;
        let host = match parsed.host() {
            Some(url::Host::Domain(name)) => Host::Name(host_name(name)?),
            Some(url::Host::Ipv4(address)) => Host::Address(address.into()),
            Some(url::Host::Ipv6(address)) => Host::Address(IpAddr::from(address).to_canonical()),
            None => return Err(NO_HOST.to_owned()),
        };
        let port = parsed.port().unwrap_or(scheme.default_port());
        if port == 0 {
            return Err("the URL has the port 0, wanted 1 to 65535".to_owned());
        }
        let path = parsed.path().to_owned();
        check_path(&path)?;
        Ok(Self {
            scheme,
            host,
            port,
            path,
            query: parsed.query().map(str::to_owned),
        })
    }

    /// As it is shown and kept: a query often holds what is nobody's business.
    pub fn without_query(&self) -> String {
        format!("{}{}", self.origin(), self.path)
    }

    /// Scheme, host and port, as in `https://api.example.com`.
    pub fn origin(&self) -> String {
        let (scheme, host) = (self.scheme, &self.host);
        if self.port == scheme.default_port() {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{}", self.port)
        }
    }

    /// Whether servers may take the path for another one, which isn't under the same beginning: encoded dots and slashes, once or
    /// several times over, backslashes, parameters of segments (`/v1/..;/admin`), dots that aren't ASCII.
    pub(super) fn path_is_ambiguous(&self) -> bool {
        let Some(plain) = fully_decoded(&self.path) else {
            return true;
        };
        let dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
        plain
            .chars()
            .any(|c| c == '\\' || c.is_control() || LOOKALIKES.contains(&c))
            || plain.split('/').any(dots)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_query())?;
        match &self.query {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// As in a URL: an IPv6 address is in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{}]", SegmentsOnly(*address)),
        }
    }
}

/// The standard library writes some IPv6 addresses with an IPv4 tail (`::1.2.3.4`); URLs don't.
struct SegmentsOnly(Ipv6Addr);

impl fmt::Display for SegmentsOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.segments() {
            [0, 0, 0, 0, 0, 0, high, low] if high != 0 => write!(f, "::{high:x}:{low:x}"),
            _ => self.0.fmt(f),
        }
    }
}

const NO_HOST: &str = "the URL has no host, wanted one as in `https://api.example.com/`";

/// Dots and slashes that some servers fold into ASCII ones.
const LOOKALIKES: [char; 7] = [
    '\u{2024}', '\u{2025}', '\u{2215}', '\u{2216}', '\u{FF0E}', '\u{FF0F}', '\u{FF3C}',
];

/// The scheme, and what is between `//` and the path. The URL standard would make up for missing or additional slashes.
fn split(url: &str) -> Result<(Scheme, &str), String> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or("the URL has no scheme, wanted one that begins with `https://` or `http://`")?;
    let scheme = match scheme {
        scheme if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
        scheme if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
        _ => return Err("the URL's scheme is another than `https` and `http`".to_owned()),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Ok((scheme, &rest[..end]))
}

fn check_authority(authority: &str) -> Result<(), String> {
    if authority.contains('@') {
        return Err("the URL has a user name or a password before `@`, wanted none".to_owned());
    }
    if authority.contains('%') {
        return Err("the URL's host contains `%`: zones and encoded characters in it aren't allowed".to_owned());
    }
    if authority.is_empty() || authority.starts_with(':') {
        return Err(NO_HOST.to_owned());
    }
    Ok(())
}

/// A name that a resolver and a certificate can know, in the one way in which it is compared.
fn host_name(name: &str) -> Result<String, String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
    };
    if name.len() <= MAX_NAME_BYTES && name.split('.').all(is_label) {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "the URL's host isn't a name: wanted labels of 1 to {MAX_LABEL_BYTES} of `a-z 0-9 - _` with dots between them, \
             {MAX_NAME_BYTES} bytes in all"
        ))
    }
}

/// Each `%` begins a byte, and none of them is a control character: some servers cut a path at such a one.
fn check_path(path: &str) -> Result<(), String> {
    let mut bytes = path.bytes();
    while bytes.by_ref().any(|byte| byte == b'%') {
        match (bytes.next().and_then(hex), bytes.next().and_then(hex)) {
            (Some(high), Some(low)) if (high << 4 | low).is_ascii_control() => {
                return Err("the URL's path contains an encoded control character".to_owned());
            }
            (Some(_), Some(_)) => {}
            _ => return Err("the URL's path contains a `%` that isn't followed by two hexadecimal digits".to_owned()),
        }
    }
    Ok(())
}

/// The path as the last of several servers may see it. None where it isn't UTF-8, or hides under too many layers.
fn fully_decoded(path: &str) -> Option<String> {
    const MOST_LAYERS: usize = 5;
    let mut plain = path.to_owned();
    for _ in 0..MOST_LAYERS {
        if !plain.contains('%') {
            return Some(plain);
        }
        let decoded = String::from_utf8(decoded_once(plain.as_bytes())).ok()?;
        if decoded == plain {
            return Some(plain);
        }
        plain = decoded;
    }
    None
}

fn decoded_once(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| Some(hex(pair[0])? << 4 | hex(pair[1])?));
        match pair.filter(|_| first == b'%') {
            Some(byte) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            None => {
                decoded.push(first);
                rest = after;
            }
        }
    }
    decoded
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
