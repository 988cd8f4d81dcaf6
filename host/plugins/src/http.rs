//! Our own interfaces to the network, `http` and `secrets` of `wit/`: small enough for every language.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::bindings::tool::sandbar::plugin::types::Error;
use crate::bindings::tool::sandbar::plugin::{http as wit, secrets};
use crate::egress::{Failure, Request, Response, method};
use crate::guest::GuestState;
use crate::limits::MAX_REDIRECTS;

impl wit::Host for GuestState {
    async fn fetch(&mut self, request: wit::Request) -> Result<wit::Response, Error> {
        let caller = self.caller();
        let response = match caller.enter() {
            Ok(pass) => caller.fetch(pass, async { read(request) }).await,
            Err(failure) => Err(failure),
        };
        let told = |failure: Failure| Error {
            code: failure.code().to_owned(),
            message: caller.boundary.protected.redact(&failure.to_string()).into_owned(),
            hint: failure.hint().map(str::to_owned),
            annotations: match failure.is_passing() {
                true => vec![("retryable".to_owned(), "true".to_owned())],
                false => Vec::new(),
            },
        };
        response.map(write).map_err(told)
    }
}

impl secrets::Host for GuestState {
    fn exists(&mut self, name: String) -> bool {
        self.caller().has_secret(&name)
    }
}

fn read(asked: wit::Request) -> Result<Request, Failure> {
    let mut request = Request::new(method(&asked.method)?, asked.url);
    request.headers = headers(&asked.headers)?;
    request.body = Bytes::from(asked.body);
    if let Some(ms) = asked.timeout_ms {
        request.patience = Duration::from_millis(ms.into());
    }
    for (key, value) in &asked.annotations {
        if key == "redirects" {
            request.redirects = value
                .parse()
                .ok()
                .filter(|most| *most <= MAX_REDIRECTS)
                .ok_or_else(|| {
                    Failure::Invalid(format!("the annotation `redirects` isn't `0` to `{MAX_REDIRECTS}`"))
                })?;
        }
    }
    Ok(request)
}

fn headers(asked: &[(String, String)]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in asked {
        let shown = || -> String { name.chars().take(60).flat_map(char::escape_debug).collect() };
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Failure::Invalid(format!("the header `{}` has no usable name", shown())))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| Failure::Invalid(format!("the header `{}` has no usable value", shown())))?;
        let added = headers.try_append(name, value);
        added.map_err(|_| Failure::TooLarge("the request has too many headers".to_owned()))?;
    }
    Ok(headers)
}

fn write(response: Response) -> wit::Response {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers.iter();
    wit::Response {
        status: response.status,
        headers: headers.map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: response.body.into(),
        annotations: vec![("url".to_owned(), response.url)],
    }
}
