//! Which hosts a rule covers: one, or those under a name.

use std::fmt;

use super::target::Host;

/// Which hosts a rule covers. A pattern covers names alone, and never the name that it begins at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// One name, lower case, or one address.
    Exact(Host),
    /// `*.example.com`: one more label.
    OneLabel(String),
    /// `**.example.com`: any number of further labels, at least one.
    AnyLabels(String),
}

/// What stands before a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    None,
    Star,
    TwoStars,
}

/// Names under which everybody can have one: a rule for all of them would be one for everybody. Those that are met most; names of one
/// label (`*.com`) are never accepted, and the whole list (publicsuffix.org) changes every week.
const SHARED: [&str; 50] = [
    "amazonaws.com",
    "appspot.com",
    "azureedge.net",
    "azurewebsites.net",
    "blob.core.windows.net",
    "blogspot.com",
    "cloudapp.azure.com",
    "cloudapp.net",
    "cloudfront.net",
    "cloudfunctions.net",
    "co.in",
    "co.jp",
    "co.kr",
    "co.nz",
    "co.uk",
    "co.za",
    "com.au",
    "com.br",
    "com.cn",
    "com.mx",
    "com.tr",
    "com.tw",
    "deno.dev",
    "duckdns.org",
    "dyndns.org",
    "firebaseapp.com",
    "fly.dev",
    "github.io",
    "githubusercontent.com",
    "gitlab.io",
    "herokuapp.com",
    "lambda-url.amazonaws.com",
    "loca.lt",
    "myshopify.com",
    "net.au",
    "netlify.app",
    "ngrok-free.app",
    "ngrok.io",
    "nip.io",
    "onrender.com",
    "org.uk",
    "pages.dev",
    "r2.dev",
    "run.app",
    "sslip.io",
    "trycloudflare.com",
    "vercel.app",
    "web.app",
    "windows.net",
    "workers.dev",
];

impl HostPattern {
    pub fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exact(exact), host) => exact == host,
            (Self::OneLabel(suffix), Host::Name(name)) => {
                labels_before(name, suffix).is_some_and(|labels| !labels.contains('.'))
            }
            (Self::AnyLabels(suffix), Host::Name(name)) => labels_before(name, suffix).is_some(),
            (Self::OneLabel(_) | Self::AnyLabels(_), Host::Address(_)) => false,
        }
    }

    /// Whether it covers all hosts that the other covers.
    pub fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (pattern, Self::Exact(host)) => pattern.matches(host),
            (Self::Exact(_), _) | (Self::OneLabel(_), Self::AnyLabels(_)) => false,
            (Self::OneLabel(own), Self::OneLabel(others)) => own == others,
            (Self::AnyLabels(own), Self::OneLabel(others) | Self::AnyLabels(others)) => {
                own == others || labels_before(others, own).is_some()
            }
        }
    }

    /// The hosts that both cover. Two patterns never overlap without one holding the other.
    pub(super) fn intersection(one: &Self, other: &Self) -> Option<Self> {
        if one.includes(other) {
            Some(other.clone())
        } else if other.includes(one) {
            Some(one.clone())
        } else {
            None
        }
    }

    /// Takes the stars from the host of a URL.
    pub(super) fn split(host: &str) -> Result<(Marker, &str), String> {
        let (marker, rest) = if let Some(rest) = host.strip_prefix("**.") {
            (Marker::TwoStars, rest)
        } else if let Some(rest) = host.strip_prefix("*.") {
            (Marker::Star, rest)
        } else {
            (Marker::None, host)
        };
        let name = host.split(':').next().unwrap_or(host);
        if matches!(name, "*" | "**") {
            return Err(
                "every host is too much, wanted the hosts by name, or those under one as in `https://*.example.com/`"
                    .to_owned(),
            );
        }
        if rest.contains('*') {
            return Err(
                "`*` stands for whole labels at the beginning: wanted `*.example.com` for one, `**.example.com` for any number".to_owned(),
            );
        }
        Ok((marker, rest))
    }

    pub(super) fn of(marker: Marker, host: Host) -> Result<Self, String> {
        let name = match (marker, host) {
            (Marker::None, host) => return Ok(Self::Exact(host)),
            (_, Host::Address(_)) => return Err("`*` can't stand before an address, wanted a name after it".to_owned()),
            (_, Host::Name(name)) => name,
        };
        if !name.contains('.') || SHARED.contains(&name.as_str()) {
            return Err(format!(
                "everybody can have a name under `{name}`, wanted one that belongs to somebody, as in `*.example.com`"
            ));
        }
        Ok(match marker {
            Marker::TwoStars => Self::AnyLabels(name),
            Marker::Star | Marker::None => Self::OneLabel(name),
        })
    }
}

/// As it stands in a URL.
impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::OneLabel(name) => write!(f, "*.{name}"),
            Self::AnyLabels(name) => write!(f, "**.{name}"),
        }
    }
}

/// What stands before `.<suffix>` in a name.
fn labels_before<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    name.strip_suffix(suffix)?
        .strip_suffix('.')
        .filter(|labels| !labels.is_empty())
}
