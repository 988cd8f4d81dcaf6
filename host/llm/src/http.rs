//! HTTP to a provider: one client for each, and what its failures mean. Which attempts are made is `call`'s to say.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use rustls_platform_verifier::BuilderVerifierExt;
use sandbar_protocol::{Error, ErrorKind, Result};
use serde_json::Value;

use crate::failure::{Complaint, Failure, Target};
use crate::limits::{CONNECT_TIMEOUT, LIST_TIMEOUT, MAX_ERROR_BYTES, MAX_LIST_BYTES, MAX_RETRY_AFTER};

/// How many names a hint lists.
const NEAREST: usize = 3;

#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) target: Arc<Target>,
    headers: HeaderMap,
    /// Made when it is first used: reading the system's certificates takes longer than everything else at the start.
    client: OnceLock<Client>,
}

impl Http {
    pub(crate) fn new(target: Target, headers: &[(String, String)]) -> Result<Self> {
        check_base_url(&target.base_url)
            .map_err(|why| bad_setting(&target, &format!("`base_url` {why}"), "write it as `https://host/v1`"))?;
        let headers = headers_of(&target, headers)?;
        Ok(Self {
            target: Arc::new(target),
            headers,
            client: OnceLock::new(),
        })
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn post(&self, path: &str, body: Bytes, patience: Duration) -> Result<Response, Failure> {
        let client = self.client().map_err(Failure::lasting)?;
        let sent = client
            .post(format!("{}{path}", self.target.base_url))
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream, application/json")
            .body(body)
            .send();
        let response = match tokio::time::timeout(patience, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.not_sent(error)),
            Err(_) => return Err(Failure::lasting(self.target.stalled(patience))),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    /// The models that the server says it has; none if it doesn't say.
    pub(crate) async fn models(&self, patience: Duration) -> Option<Vec<String>> {
        let asked = async {
            let url = format!("{}/models", self.target.base_url);
            let response = self
                .client()
                .ok()?
                .get(url)
                .headers(self.headers.clone())
                .send()
                .await
                .ok()?;
            if !response.status().is_success() {
                return None;
            }
            let (body, _) = beginning(response, MAX_LIST_BYTES).await;
            let list: Value = serde_json::from_slice(&body).ok()?;
            let models = list.get("data").or_else(|| list.get("models"))?.as_array()?;
            let id = |model: &Value| {
                model
                    .get("id")
                    .or_else(|| model.get("name"))?
                    .as_str()
                    .map(str::to_owned)
            };
            Some(models.iter().filter_map(id).collect())
        };
        tokio::time::timeout(patience, asked).await.ok().flatten()
    }

    fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let secure = self.target.base_url.starts_with("https:");
        let client = new_client(secure).map_err(|error| {
            Error::new(
                ErrorKind::Config,
                "no-http-client",
                "the connection to the model's server can't be set up",
            )
            .with_hint("the system needs a store of root certificates, such as the package `ca-certificates`")
            .with_source(error)
        })?;
        Ok(self.client.get_or_init(|| client))
    }

    fn not_sent(&self, error: reqwest::Error) -> Failure {
        let error = error.without_url();
        let cause = root_cause(&error);
        if !error.is_connect() {
            // The server took the request and hung up.
            return Failure::passing(self.target.cut_off().with_source(error));
        }
        let untrusted = find_cause::<rustls::Error>(&error).is_some();
        let nobody = is_refused(&error) && self.is_local();
        let unreachable = self.target.unreachable(&cause).with_source(error);
        // Nothing trustworthy answers, or nothing listens on this machine: that doesn't pass by waiting a second.
        if untrusted {
            let hint = "this machine must trust the authority that signed the server's certificate, which must be for this host";
            return Failure::lasting(unreachable.with_hint(hint));
        }
        if nobody {
            Failure::lasting(unreachable.retryable())
        } else {
            Failure::passing(unreachable)
        }
    }

    async fn refused(&self, response: Response) -> Failure {
        let (status, wait) = (response.status(), retry_after(response.headers()));
        let (body, whole) = tokio::time::timeout(LIST_TIMEOUT, beginning(response, MAX_ERROR_BYTES))
            .await
            .unwrap_or_default();
        let complaint = Complaint::read(if whole { &body } else { self.target.beginning(&body) });
        let failure = self.target.refused(status, &complaint, wait);
        self.with_names(failure, status, &complaint).await
    }

    /// Adds to an unknown model which ones there are.
    pub(crate) async fn with_names(&self, failure: Failure, status: StatusCode, complaint: &Complaint) -> Failure {
        if !complaint.is_about_model(status) {
            return failure;
        }
        let Target {
            name, model, base_url, ..
        } = &*self.target;
        let mut names = self.models(LIST_TIMEOUT).await.unwrap_or_default();
        names.sort_by(|one, other| strsim::jaro_winkler(other, model).total_cmp(&strsim::jaro_winkler(one, model)));
        names.truncate(NEAREST);
        let names: Vec<String> = names
            .iter()
            .map(|name| format!("`{}`", self.target.quoted(name, 100)))
            .collect();
        let hint = if names.is_empty() {
            format!("check `model` and `base_url` of `[models.{name}]`; `{base_url}/models` lists no models")
        } else {
            format!(
                "the nearest that it has: {}; write one as `model` of `[models.{name}]`",
                names.join(", ")
            )
        };
        Failure {
            error: failure.error.with_hint(hint),
            ..failure
        }
    }

    fn is_local(&self) -> bool {
        let url = Url::parse(&self.target.base_url).ok();
        url.as_ref().and_then(Url::host_str).is_some_and(|host| {
            let host = host.trim_matches(['[', ']']);
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        })
    }
}

/// What is wrong with an address, as the end of a sentence.
pub fn check_base_url(text: &str) -> Result<(), &'static str> {
    let Ok(url) = Url::parse(text) else {
        return Err("is not an address");
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        Err("is not an `http://` or `https://` address")
    } else if !url.username().is_empty() || url.password().is_some() {
        Err("holds a user or a password, which belong into `api_key`")
    } else if url.query().is_some() || url.fragment().is_some() {
        Err("has a `?` or a `#`, but only a path may follow the host")
    } else if url.path().ends_with("/chat/completions") {
        Err("ends in `/chat/completions`, which is added to it")
    } else {
        Ok(())
    }
}

fn headers_of(target: &Target, further: &[(String, String)]) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in further {
        let shown = format!("the header `{}`", target.quoted(name, 60));
        let hint = "a header has a name of letters, digits and `-`, and one line of text";
        let name = HeaderName::try_from(name)
            .map_err(|_| bad_setting(target, &format!("{shown} has no usable name"), hint))?;
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| bad_setting(target, &format!("{shown} has no usable text"), hint))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    if let Some(secret) = &target.secret {
        let mut value = HeaderValue::try_from(format!("Bearer {}", secret.0)).map_err(|_| {
            let from = target.key_from.as_deref().unwrap_or("the configuration");
            bad_setting(
                target,
                &format!("the key from {from} has characters that no key has"),
                "check that it is one line",
            )
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn bad_setting(target: &Target, what: &str, hint: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        "bad-model",
        format!("{what}, in `[models.{}]`", target.name),
    )
    .with_hint(hint)
}

#[derive(Debug)]
enum ClientError {
    Tls(rustls::Error),
    Http(reqwest::Error),
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tls(error) => error.fmt(f),
            Self::Http(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ClientError {}

/// Follows no redirect, since the key is for one host, and takes no proxy from the environment, which is read in one place only.
fn new_client(secure: bool) -> Result<Client, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|tls| {
            if secure {
                return tls.with_platform_verifier();
            }
            Ok(tls.with_root_certificates(rustls::RootCertStore::empty()))
        })
        .map_err(ClientError::Tls)?
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("sandbar/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(ClientError::Http)
}

/// As much of a body as comes, up to a limit, and whether that is all of it.
async fn beginning(mut response: Response, most: usize) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) if bytes.len() <= most - body.len() => body.extend_from_slice(&bytes),
            Ok(Some(bytes)) => {
                body.extend_from_slice(&bytes[..most - body.len()]);
                return (body, false);
            }
            Ok(None) => return (body, true),
            Err(_) => return (body, false),
        }
    }
}

/// `Retry-After` in seconds or as a date, which is compared with the server's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let asked: &str = text(RETRY_AFTER)?;
    let wait = match asked.trim().parse::<f64>() {
        Ok(seconds) => {
            Duration::try_from_secs_f64(seconds).unwrap_or(if seconds > 0.0 { MAX_RETRY_AFTER } else { Duration::ZERO })
        }
        Err(_) => {
            let until = httpdate::parse_http_date(asked).ok()?;
            let now = httpdate::parse_http_date(text(DATE)?).ok()?;
            until.duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn is_refused(error: &reqwest::Error) -> bool {
    find_cause::<std::io::Error>(error).is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// The first cause of a type. An input-output error hides what it was made of, so that it is looked into.
fn find_cause<'a, E: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a E> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
        cause = match inner {
            Some(inner) => Some(inner as _),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for (text, expected) in [
            ("https://api.openai.com/v1", ""),
            ("http://127.0.0.1:11434/v1", ""),
            ("http://[::1]:8080", ""),
            ("api.openai.com/v1", "is not an address"),
            ("localhost:8080/v1", "is not an `http://` or `https://` address"),
            ("file:///v1", "is not an `http://` or `https://` address"),
            (
                "https://a:b@host/v1",
                "holds a user or a password, which belong into `api_key`",
            ),
            (
                "https://host/v1?key=b",
                "has a `?` or a `#`, but only a path may follow the host",
            ),
            (
                "https://host/v1/chat/completions",
                "ends in `/chat/completions`, which is added to it",
            ),
        ] {
            assert_eq!(check_base_url(text).err().unwrap_or_default(), expected, "{text}");
        }
    }

    #[test]
    fn waits_are_read_and_limited() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        for (asked, date, expected) in [
            ("0", None, Some(0)),
            ("2", None, Some(2000)),
            ("0.25", None, Some(250)),
            ("3600", None, Some(60_000)),
            ("1e300", None, Some(60_000)),
            ("-5", None, Some(0)),
            ("soon", None, None),
            ("Sun, 06 Nov 1994 08:49:40 GMT", date, Some(3000)),
            ("Sun, 06 Nov 1994 09:49:40 GMT", date, Some(60_000)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", date, Some(0)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, asked.parse().unwrap());
            if let Some(date) = date {
                headers.insert(DATE, date.parse().unwrap());
            }
            assert_eq!(retry_after(&headers).map(|wait| wait.as_millis()), expected, "{asked}");
        }
    }
}
