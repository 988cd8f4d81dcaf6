//! One line of an http grant: which requests it covers.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::host_pattern::HostPattern;
use super::target::{Host, Scheme, Target};

/// What a rule without methods covers: requests that change nothing by their own account. They can still tell something.
const DEFAULT_METHODS: [&str; 2] = ["GET", "HEAD"];
/// The longest name of a method; the longest in the registry of HTTP has 17 letters.
const MAX_METHOD_BYTES: usize = 20;

/// Requests that are asked for, or allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRule {
    pub scheme: Scheme,
    pub host: HostPattern,
    pub port: u16,
    /// A path, and what is under it: `/v1` covers `/v1` and `/v1/a`, `/v1/` only the latter. `/` covers all.
    pub path: String,
    /// Upper case, sorted. By default `GET` and `HEAD`.
    pub methods: Vec<String>,
    /// Special addresses (private, loopback …) that a named host may resolve to. A literal address in `host` is granted by itself.
    pub addresses: Vec<IpNet>,
}

impl HttpRule {
    /// From `https://api.example.com/v1/`, `http://127.0.0.1:8080/`, `https://**.example.com`; the error says what is wrong with it.
    pub fn parse(url: &str, methods: &[String], addresses: &[String]) -> Result<Self, String> {
        // What stands before an `@` may be a password.
        let shown = if url.contains('@') {
            "…@…".to_owned()
        } else {
            url.escape_debug().to_string()
        };
        let wrong = |why: String| format!("the rule `{shown}` can't be used: {why}");
        let (pattern, target) = read_url(url).map_err(wrong)?;
        let methods = read_methods(methods).map_err(wrong)?;
        let addresses = read_addresses(addresses).map_err(wrong)?;
        if !addresses.is_empty() && matches!(pattern, HostPattern::Exact(Host::Address(_))) {
            return Err(wrong(
                "`addresses` is for names; an address in the URL is granted by itself".to_owned(),
            ));
        }
        Ok(Self {
            scheme: target.scheme,
            host: pattern,
            port: target.port,
            path: target.path,
            methods,
            addresses,
        })
    }

    /// Whether it covers a request, its address aside.
    pub fn covers(&self, method: &str, target: &Target) -> bool {
        self.methods.iter().any(|allowed| allowed == method) && self.covers_place(target) && self.covers_path(target)
    }

    /// Whether a name that it covers may lead to a special address.
    pub fn covers_address(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|range| range.contains(&address))
    }

    /// The requests that both cover. The addresses are those of `granted`: where a name leads to is for the operator to know.
    pub fn intersection(requested: &Self, granted: &Self) -> Option<Self> {
        if (requested.scheme, requested.port) != (granted.scheme, granted.port) {
            return None;
        }
        let path = match (
            under(&requested.path, &granted.path),
            under(&granted.path, &requested.path),
        ) {
            (true, _) => &requested.path,
            (false, true) => &granted.path,
            (false, false) => return None,
        };
        let common = |method: &&String| granted.methods.contains(*method);
        let methods: Vec<String> = requested.methods.iter().filter(common).cloned().collect();
        if methods.is_empty() {
            return None;
        }
        Some(Self {
            scheme: granted.scheme,
            host: HostPattern::intersection(&requested.host, &granted.host)?,
            port: granted.port,
            path: path.clone(),
            methods,
            addresses: granted.addresses.clone(),
        })
    }

    /// Whether it covers all that the other covers, addresses included.
    pub fn includes(&self, other: &Self) -> bool {
        let has_methods = other.methods.iter().all(|method| self.methods.contains(method));
        let has_address = |range: &IpNet| self.addresses.iter().any(|own| own.contains(range));
        (self.scheme, self.port) == (other.scheme, other.port)
            && self.host.includes(&other.host)
            && under(&other.path, &self.path)
            && has_methods
            && other.addresses.iter().all(has_address)
    }

    /// Whether scheme, host and port are those of a target.
    pub(super) fn covers_place(&self, target: &Target) -> bool {
        self.scheme == target.scheme && self.port == target.port && self.host.matches(&target.host)
    }

    fn covers_path(&self, target: &Target) -> bool {
        self.path == "/" || (under(&target.path, &self.path) && !target.path_is_ambiguous())
    }

    /// The URL, as `parse` takes it.
    pub fn url(&self) -> String {
        let (scheme, host, path) = (self.scheme, &self.host, &self.path);
        if self.port == scheme.default_port() {
            format!("{scheme}://{host}{path}")
        } else {
            format!("{scheme}://{host}:{}{path}", self.port)
        }
    }

    /// Whether it covers `GET` and `HEAD` and no more, so that nobody has to write its methods.
    pub fn has_default_methods(&self) -> bool {
        self.methods == DEFAULT_METHODS
    }

    /// As it is written in a list of TOML: the URL alone where that says it all.
    pub fn to_toml(&self) -> String {
        let list = |texts: &mut dyn Iterator<Item = String>| texts.collect::<Vec<_>>().join(", ");
        let methods = list(&mut self.methods.iter().map(|method| format!("\"{method}\"")));
        let addresses = list(&mut self.addresses.iter().map(|range| format!("\"{range}\"")));
        let url = self.url();
        match (self.has_default_methods(), self.addresses.is_empty()) {
            (true, true) => format!("\"{url}\""),
            (true, false) => format!("{{ url = \"{url}\", addresses = [{addresses}] }}"),
            (false, true) => format!("{{ url = \"{url}\", methods = [{methods}] }}"),
            (false, false) => format!("{{ url = \"{url}\", methods = [{methods}], addresses = [{addresses}] }}"),
        }
    }
}

/// In one line for people: `GET, HEAD https://api.example.com/v1/`, and where a name may lead, if that is special.
impl fmt::Display for HttpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.methods.join(", "), self.url())?;
        for (index, range) in self.addresses.iter().enumerate() {
            write!(f, "{} {range}", if index == 0 { " at" } else { "," })?;
        }
        Ok(())
    }
}

/// Whether a path is one, or under one that begins at it and ends at a `/`.
fn under(path: &str, start: &str) -> bool {
    path.strip_prefix(start)
        .is_some_and(|rest| rest.is_empty() || start.ends_with('/') || rest.starts_with('/'))
}

fn read_url(url: &str) -> Result<(HostPattern, Target), String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err("it has no scheme, wanted one as in `https://api.example.com/`".to_owned());
    };
    if rest.contains(['?', '#']) {
        return Err("it has a query or a fragment; a path is the most that a rule can say".to_owned());
    }
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if path.contains('*') {
        return Err("a path can't contain `*`; it covers what is under it anyway".to_owned());
    }
    let (marker, suffix) = HostPattern::split(host)?;
    let target = Target::parse(&format!("{scheme}://{suffix}{path}"))?;
    if target.path_is_ambiguous() {
        return Err(
            "its path can be read in more than one way: write it without encoded dots, slashes and backslashes"
                .to_owned(),
        );
    }
    Ok((HostPattern::of(marker, target.host.clone())?, target))
}

fn read_methods(methods: &[String]) -> Result<Vec<String>, String> {
    let mut read: Vec<String> = Vec::new();
    for method in methods {
        let upper = method.to_ascii_uppercase();
        let is_word = (1..=MAX_METHOD_BYTES).contains(&method.len())
            && upper.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        if !is_word {
            let shown = method.escape_debug();
            return Err(format!(
                "`{shown}` is no method, wanted some of `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE` …"
            ));
        }
        if *method != upper {
            return Err(format!("methods are upper case: found `{method}`, wanted `{upper}`"));
        }
        if matches!(upper.as_str(), "CONNECT" | "TRACE" | "TRACK") {
            return Err(format!(
                "the method `{upper}` can't be granted: it opens a tunnel, or shows credentials to who sends it"
            ));
        }
        read.push(upper);
    }
    if read.is_empty() {
        read = DEFAULT_METHODS.map(str::to_owned).to_vec();
    }
    read.sort_unstable();
    read.dedup();
    Ok(read)
}

fn read_addresses(addresses: &[String]) -> Result<Vec<IpNet>, String> {
    addresses.iter().map(|text| read_range(text)).collect()
}

fn read_range(text: &str) -> Result<IpNet, String> {
    let shown = text.escape_debug();
    let range = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("`{shown}` is no range of addresses, wanted one as in `10.0.0.0/8` or `192.168.1.5`"))?;
    if range.addr() != range.trunc().addr() {
        return Err(format!(
            "`{shown}` has bits after its prefix, wanted `{}`",
            range.trunc()
        ));
    }
    if range.prefix_len() == 0 {
        return Err(format!(
            "`{shown}` is every address there is, wanted the range where the host is"
        ));
    }
    if matches!(range.addr(), IpAddr::V6(address) if address.to_ipv4_mapped().is_some()) {
        return Err(format!(
            "`{shown}` holds IPv4 addresses written as IPv6 ones, wanted them as in `10.0.0.0/8`"
        ));
    }
    Ok(range)
}
