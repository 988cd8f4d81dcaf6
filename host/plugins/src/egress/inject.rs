//! What goes over the wire: a plugin's request, searched for what it may not say, with the secrets that it may use.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sandbar_protocol::policy::Target;
use sandbar_protocol::{Leak, Protected};
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use crate::egress::failure::Failure;
use crate::egress::headers::checked;
use crate::egress::request::Request;
use crate::secrets::{SecretEntry, SecretPlace};

/// A request as it is sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The names of the secrets in it, which the response must not show.
    pub(super) added: Vec<String>,
}

/// Why a request isn't sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsendable {
    /// It holds a protected value.
    Leak(Leak),
    Failed(Failure),
}

impl From<Failure> for Unsendable {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Clears the places into which secrets go, searches the rest, puts the secrets in. In this order, so that a server that repeats a
/// parameter in the address to which it redirects doesn't make its own visitor look like a thief.
pub(super) fn outgoing(
    request: &Request,
    target: &Target,
    secrets: &[&SecretEntry],
    protected: &Protected,
) -> Result<Outgoing, Unsendable> {
    let added: Vec<&SecretEntry> = secrets
        .iter()
        .copied()
        .filter(|secret| has_place(request, secret))
        .collect();
    let mut draft = Draft::new(request, target, &added)?;
    for secret in &added {
        draft.clear(secret.place());
    }
    if let Some(leak) = draft.leak(request, target, protected) {
        return Err(Unsendable::Leak(leak));
    }
    for secret in &added {
        draft.put(secret)?;
    }
    let names = added.iter().map(|secret| secret.name().to_owned()).collect();
    draft.finish(request, target, names).map_err(Unsendable::Failed)
}

/// A request without a body carries nothing in it.
fn has_place(request: &Request, secret: &SecretEntry) -> bool {
    !request.body.is_empty() || !matches!(secret.place(), SecretPlace::Json { .. })
}

struct Draft {
    headers: HeaderMap,
    /// Pairs as they are written.
    query: Option<Vec<String>>,
    /// Taken apart only if a secret goes into it.
    json: Option<Value>,
}

impl Draft {
    fn new(request: &Request, target: &Target, secrets: &[&SecretEntry]) -> Result<Self, Failure> {
        let mut headers = checked(&request.headers)?;
        let into_body = secrets
            .iter()
            .any(|secret| matches!(secret.place(), SecretPlace::Json { .. }));
        if !secrets.is_empty() {
            // The two halves of a response could be asked for one after the other, and a secret in the middle would be in neither.
            for name in [RANGE, IF_RANGE] {
                headers.remove(name);
            }
        }
        let json = match into_body {
            false => None,
            true => {
                let parsed: Value = serde_json::from_slice(&request.body).map_err(|error| {
                    Failure::Invalid(format!("a secret goes into the body, which isn't JSON: {error}"))
                })?;
                Some(parsed)
            }
        };
        let pairs = |query: &String| query.split('&').map(str::to_owned).collect();
        Ok(Self {
            headers,
            query: target.query.as_ref().map(pairs),
            json,
        })
    }

    fn clear(&mut self, place: &SecretPlace) {
        match place {
            SecretPlace::Header { name, .. } => {
                self.headers.remove(name.as_str());
            }
            SecretPlace::Query { name } => {
                if let Some(query) = &mut self.query {
                    query.retain(|pair| name_of(pair) != *name);
                }
            }
            SecretPlace::Json { pointer } => {
                if let Some(there) = self.json.as_mut().and_then(|json| json.pointer_mut(pointer)) {
                    *there = Value::Null;
                }
            }
        }
    }

    /// The first protected value in what the plugin wants to say, in whichever way it would be read.
    fn leak(&self, request: &Request, target: &Target, protected: &Protected) -> Option<Leak> {
        if protected.is_empty() {
            return None;
        }
        let mut said: Vec<Vec<u8>> = Vec::new();
        // The host in the spelling of the plugin: what is sent has lost its upper case.
        said.push(request.url.split(['?', '#']).next().unwrap_or_default().into());
        said.push(target.without_query().into());
        said.extend(self.query().map(String::into_bytes));
        said.extend(said.iter().map(|text| decoded(text)).collect::<Vec<_>>());
        for (name, value) in &self.headers {
            said.push(name.as_str().into());
            said.push(value.as_bytes().into());
        }
        let body: Bytes = match &self.json {
            Some(json) => json.to_string().into(),
            None => request.body.clone(),
        };
        said.push(decoded(&body));
        // Escapes of JSON that need not be there are another way to write a value.
        if let Ok(json) = serde_json::from_slice::<Value>(&body) {
            said.push(strings(&json).into_bytes());
        }
        let found = said.iter().find_map(|text| protected.find(text));
        found.or_else(|| protected.find(&body))
    }

    fn put(&mut self, secret: &SecretEntry) -> Result<(), Failure> {
        match secret.place() {
            SecretPlace::Header { name, format } => {
                let bad = || Failure::Invalid("a secret doesn't fit into its header".to_owned());
                let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
                let text = Zeroizing::new(format.replacen("{}", secret.value(), 1));
                let mut value = HeaderValue::from_str(&text).map_err(|_| bad())?;
                value.set_sensitive(true);
                self.headers.insert(name, value);
            }
            SecretPlace::Query { name } => {
                let mut pair = form_urlencoded::Serializer::new(String::new());
                let pair = pair.append_pair(name, secret.value()).finish();
                self.query.get_or_insert_default().push(pair);
            }
            SecretPlace::Json { pointer } => {
                if let Some(json) = &mut self.json {
                    *place_of(json, pointer)? = Value::String(secret.value().to_owned());
                }
            }
        }
        Ok(())
    }

    fn finish(mut self, request: &Request, target: &Target, added: Vec<String>) -> Result<Outgoing, Failure> {
        self.headers
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut text = target.without_query();
        if let Some(query) = self.query() {
            text.push('?');
            text.push_str(&query);
        }
        let url = Url::parse(&text).map_err(|error| Failure::Invalid(format!("the URL can't be read: {error}")))?;
        Ok(Outgoing {
            method: request.method.clone(),
            url,
            headers: self.headers,
            body: match self.json {
                Some(json) => json.to_string().into(),
                None => request.body.clone(),
            },
            added,
        })
    }

    fn query(&self) -> Option<String> {
        self.query.as_ref().map(|pairs| pairs.join("&"))
    }
}

/// The name of a parameter as servers read it.
fn name_of(pair: &str) -> String {
    let name = form_urlencoded::parse(pair.as_bytes()).next();
    name.map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// What percent signs stand for, and `+` for a space.
fn decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text
        .iter()
        .map(|&byte| if byte == b'+' { b' ' } else { byte })
        .collect();
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = spaced.as_slice();
    while let Some((&first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high << 4 | low) as u8);
                rest = &after[2..];
            }
            _ => {
                decoded.push(first);
                rest = after;
            }
        }
    }
    decoded
}

/// All texts of a JSON value, on a line each.
fn strings(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text}\n"),
        Value::Array(items) => items.iter().map(strings).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| format!("{key}\n{}", strings(value)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => String::new(),
    }
}

/// The place of a JSON Pointer; objects on the way are made, and what is there is overwritten.
fn place_of<'a>(json: &'a mut Value, pointer: &str) -> Result<&'a mut Value, Failure> {
    let mut place = json;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        if place.is_null() {
            *place = Value::Object(Map::new());
        }
        let next = match place {
            Value::Object(members) => Some(members.entry(step).or_insert(Value::Null)),
            Value::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            _ => None,
        };
        place = next.ok_or_else(|| no_place(pointer))?;
    }
    Ok(place)
}

fn no_place(pointer: &str) -> Failure {
    Failure::Invalid(format!(
        "a secret goes into the body at `{pointer}`, and there is something else than an object on the way"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Audience;

    const VALUE: &str = "s3cr3t+value/of";

    fn secret(place: SecretPlace) -> SecretEntry {
        let audience = vec![Audience::parse("https://a.example").unwrap()];
        SecretEntry::new("key", VALUE.to_owned(), audience, place).unwrap()
    }

    fn header(name: &str, format: &str) -> SecretEntry {
        secret(SecretPlace::Header {
            name: name.to_owned(),
            format: format.to_owned(),
        })
    }

    fn query(name: &str) -> SecretEntry {
        secret(SecretPlace::Query { name: name.to_owned() })
    }

    fn json(pointer: &str) -> SecretEntry {
        let pointer = pointer.to_owned();
        secret(SecretPlace::Json { pointer })
    }

    fn request(url: &str, headers: &[(&'static str, &str)], body: &str) -> Request {
        let mut request = Request::new(Method::POST, url.to_owned());
        for (name, value) in headers {
            request.headers.append(*name, value.parse().unwrap());
        }
        request.body = Bytes::copy_from_slice(body.as_bytes());
        request
    }

    /// URL, headers and body as they are sent, or why not.
    fn sent(request: &Request, secrets: &[&SecretEntry]) -> String {
        let protected = Protected::new([("key".to_owned(), VALUE.to_owned())]);
        let target = Target::parse(&request.url).unwrap();
        match outgoing(request, &target, secrets, &protected) {
            Ok(sent) => {
                let headers = sent.headers.iter().filter(|(name, _)| **name != ACCEPT_ENCODING);
                let headers: Vec<String> = headers
                    .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                    .collect();
                format!(
                    "{} [{}] {}",
                    sent.url,
                    headers.join(", "),
                    String::from_utf8_lossy(&sent.body)
                )
            }
            Err(Unsendable::Leak(leak)) => format!("leak of {} as {}", leak.name, leak.form),
            Err(Unsendable::Failed(failure)) => failure.to_string(),
        }
    }

    #[test]
    fn secrets_go_to_their_places() {
        let check = |url: &str, headers: &[(&'static str, &str)], body: &str, secret: &SecretEntry, expected: &str| {
            assert_eq!(sent(&request(url, headers, body), &[secret]), expected);
        };
        let page = "https://a.example/page";
        let bearer = header("authorization", "Bearer {}");
        check(
            page,
            &[],
            "",
            &bearer,
            "https://a.example/page [authorization: Bearer s3cr3t+value/of] ",
        );
        let mine = [("authorization", "mine"), ("range", "bytes=0-3"), ("x-own", "1")];
        check(
            page,
            &mine,
            "",
            &bearer,
            "https://a.example/page [x-own: 1, authorization: Bearer s3cr3t+value/of] ",
        );
        let key = query("key");
        check(
            page,
            &[],
            "",
            &key,
            "https://a.example/page?key=s3cr3t%2Bvalue%2Fof [] ",
        );
        let pairs = "https://a.example/page?a=1&key=mine&b=%20&%6bey=mine";
        check(
            pairs,
            &[],
            "",
            &key,
            "https://a.example/page?a=1&b=%20&key=s3cr3t%2Bvalue%2Fof [] ",
        );
        let deep = json("/auth/key");
        check(
            page,
            &[],
            r#"{"a":1}"#,
            &deep,
            r#"https://a.example/page [] {"a":1,"auth":{"key":"s3cr3t+value/of"}}"#,
        );
        check(
            page,
            &[],
            r#"{"auth":{"key":"mine","b":[]}}"#,
            &deep,
            r#"https://a.example/page [] {"auth":{"b":[],"key":"s3cr3t+value/of"}}"#,
        );
        check(page, &[], "", &deep, "https://a.example/page [] ");
        check(
            page,
            &[],
            "[{}]",
            &json("/0/key"),
            r#"https://a.example/page [] [{"key":"s3cr3t+value/of"}]"#,
        );
        let no_place =
            "a secret goes into the body at `/auth/key`, and there is something else than an object on the way";
        check(page, &[], r#"{"auth":1}"#, &deep, no_place);
        check(page, &[], "[]", &deep, no_place);
        check(
            page,
            &[],
            "a=b",
            &deep,
            "a secret goes into the body, which isn't JSON: expected value at line 1 column 1",
        );
    }

    #[test]
    fn what_is_protected_is_not_sent() {
        let check = |url: &str, headers: &[(&'static str, &str)], body: &str, expected: &str| {
            let found = sent(&request(url, headers, body), &[]);
            assert_eq!(
                found.split(" as ").next().unwrap(),
                expected,
                "{url} {headers:?} {body}"
            );
        };
        let (page, leak) = ("https://b.example/page", "leak of key");
        check("https://b.example/s3cr3t+value/of", &[], "", leak);
        check("https://b.example/?q=s3cr3t%2Bvalue%2Fof", &[], "", leak);
        check("https://b.example/?q=%73%33cr3t%2bvalue%2fof", &[], "", leak);
        check(page, &[("x-a", VALUE)], "", leak);
        check(page, &[("cookie", "a=b; c=s3cr3t+value/of")], "", leak);
        check(page, &[], "before s3cr3t+value/of after", leak);
        check(page, &[], "a=b&c=%73%33%63r3t%2Bvalue/of", leak);
        check(page, &[], r#"{"a":["\u0073\u0033cr3t+value\/of"]}"#, leak);
        check(page, &[], r#"{"s3cr3t+value/of":1}"#, leak);
        check(page, &[], "s3cr3t", "https://b.example/page [] s3cr3t");
    }

    /// In the place into which the host puts it anyway it is no leak; beside it, it is.
    #[test]
    fn a_place_of_a_secret_is_overwritten() {
        let echoed = "https://a.example/?key=s3cr3t%2Bvalue%2Fof";
        assert_eq!(
            sent(&request(echoed, &[], ""), &[&query("key")]),
            "https://a.example/?key=s3cr3t%2Bvalue%2Fof [] "
        );
        assert!(sent(&request(echoed, &[], ""), &[&header("authorization", "{}")]).starts_with("leak of key"));
        let body = r#"{"auth":{"key":"s3cr3t+value/of"},"b":"s3cr3t+value/of"}"#;
        assert!(sent(&request("https://a.example/", &[], body), &[&json("/auth/key")]).starts_with("leak of key"));
    }
}
