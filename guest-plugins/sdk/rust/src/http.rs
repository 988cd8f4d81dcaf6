//! Requests to the outside, as far as the operator granted them. Natively nothing is sent: every request is `denied`.
//!
//! ```
//! use sandbar_sdk::{Error, http};
//!
//! fn weather(city: &str) -> Result<String, Error> {
//!     let response = http::Request::get("https://api.example.com/v1/weather")
//!         .query("city", city)
//!         .header("accept", "application/json")
//!         .send()?;
//!     if response.status != 200 {
//!         return Err(Error::new("upstream", format!("the weather service answered {}", response.status)));
//!     }
//!     Ok(response.text())
//! }
//! # fn main() { assert_eq!(weather("Oslo").unwrap_err().code, "denied"); }
//! ```
//!
//! A key for the service isn't read and sent by the plugin: the operator configures it, the host adds it on the way out. Whether there is
//! one is asked with [`secrets::exists`](crate::secrets::exists).

use crate::Error;
use crate::bindings::sandbar::plugin::http as wit;

/// A request, built step by step.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request(wit::Request);

/// What came back, whatever its status.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Response {
    pub status: u16,
    /// In their order, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Where it came from, after redirects.
    pub url: String,
}

impl Request {
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self(wit::Request {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: None,
            annotations: Vec::new(),
        })
    }

    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// With a body; say what it is in the header `content-type`.
    pub fn post(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", url).body(body)
    }

    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.headers.push((name.into(), value.into()));
        self
    }

    /// One more parameter of the URL, encoded as it must be.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let mark = if self.0.url.contains('?') { '&' } else { '?' };
        self.0.url.push(mark);
        encode(&mut self.0.url, name);
        self.0.url.push('=');
        encode(&mut self.0.url, value);
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }

    /// 30 s if it isn't said, 120 s at most.
    pub fn timeout_ms(mut self, ms: u32) -> Self {
        self.0.timeout_ms = Some(ms);
        self
    }

    /// How many redirects are followed: 0 to 5, and 5 if it isn't said.
    pub fn redirects(mut self, most: u8) -> Self {
        self.0.annotations.push(("redirects".to_owned(), most.to_string()));
        self
    }

    /// Waits for the whole response. The codes of its errors are in `wit/http.wit`; `denied` is one.
    pub fn send(self) -> Result<Response, Error> {
        let response = fetch(&self.0)?;
        let url = response.annotations.into_iter().find(|(key, _)| key == "url");
        Ok(Response {
            status: response.status,
            headers: response.headers,
            body: response.body,
            url: url.map(|(_, url)| url).unwrap_or_default(),
        })
    }
}

impl Response {
    /// The first value of a header, whose name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body; what isn't UTF-8 becomes replacement characters.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[cfg(target_arch = "wasm32")]
fn fetch(request: &wit::Request) -> Result<wit::Response, Error> {
    wit::fetch(request)
}

#[cfg(not(target_arch = "wasm32"))]
fn fetch(_: &wit::Request) -> Result<wit::Response, Error> {
    Err(Error::new("denied", "natively there is no network"))
}

/// Percent-encodes all but what never needs it (RFC 3986, 2.3).
fn encode(url: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_built() {
        let request = Request::post("https://a.example/x", "body")
            .query("q", "a b&c=ü")
            .query("page", "2")
            .header("accept", "a/b")
            .timeout_ms(5)
            .redirects(0);
        assert_eq!(
            request.0,
            wit::Request {
                method: "POST".to_owned(),
                url: "https://a.example/x?q=a%20b%26c%3D%C3%BC&page=2".to_owned(),
                headers: vec![("accept".to_owned(), "a/b".to_owned())],
                body: b"body".to_vec(),
                timeout_ms: Some(5),
                annotations: vec![("redirects".to_owned(), "0".to_owned())],
            }
        );
        assert_eq!(request.send().unwrap_err().code, "denied");
    }

    #[test]
    fn a_response_is_read() {
        let response = Response {
            headers: vec![("content-type".to_owned(), "a/b".to_owned())],
            body: b"caf\xe9".to_vec(),
            ..Response::default()
        };
        assert_eq!(response.header("content-type"), Some("a/b"));
        assert_eq!(response.header("accept"), None);
        assert_eq!(response.text(), "caf\u{fffd}");
    }
}
