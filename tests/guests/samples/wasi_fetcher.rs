//! A tool plugin that sends requests with `wasi:http`, as components do that were not written for Sandbar.

use std::collections::BTreeMap;

use sandbar_sdk::schemars::{self, JsonSchema};
use sandbar_sdk::{Context, Error, Tool};
use serde::Deserialize;

sandbar_sdk::tool_plugin!(tools);

/// Sends a request, and gives status and body.
#[derive(Deserialize, JsonSchema)]
struct Fetch {
    /// `http://` or `https://`, and a host and a path behind it.
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Makes it a `POST`.
    body: Option<String>,
}

/// Sends so many requests before it looks at the first response, and counts how they ended.
#[derive(Deserialize, JsonSchema)]
struct Many {
    url: String,
    times: u32,
}

fn tools() -> Vec<Tool> {
    vec![Tool::new("fetch", fetch), Tool::new("many", many)]
}

fn fetch(input: Fetch, _: &Context) -> Result<String, Error> {
    sent(&input)?.response().map_err(|code| Error::new("http", code))
}

fn many(input: Many, _: &Context) -> Result<String, Error> {
    let request = Fetch {
        url: input.url,
        headers: BTreeMap::new(),
        body: None,
    };
    let sent: Vec<_> = (0..input.times).map(|_| sent(&request)).collect::<Result<_, _>>()?;
    sandbar_sdk::progress("all are sent");
    let mut counts = BTreeMap::<String, u32>::new();
    for sent in sent {
        let ended = match sent.response() {
            Ok(response) => response.split(' ').next().unwrap_or_default().to_owned(),
            Err(code) => code,
        };
        *counts.entry(ended).or_default() += 1;
    }
    serde_json::to_string(&counts).map_err(|error| Error::new("bug", error.to_string()))
}

#[cfg(target_arch = "wasm32")]
use wasi::sent;

#[cfg(target_arch = "wasm32")]
mod wasi {
    use sandbar_sdk::Error;
    use wasip2::http::outgoing_handler;
    use wasip2::http::types::{
        Fields, FutureIncomingResponse, IncomingBody, Method, OutgoingBody, OutgoingRequest, Scheme,
    };
    use wasip2::io::streams::StreamError;

    use super::Fetch;

    /// A request under way.
    pub(super) struct Sent(Result<FutureIncomingResponse, String>);

    pub(super) fn sent(input: &Fetch) -> Result<Sent, Error> {
        let wrong = |what: &str| Error::new("invalid-input", format!("the {what} can't be used"));
        let (scheme, rest) = input.url.split_once("://").ok_or_else(|| wrong("url"))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let headers = Fields::new();
        for (name, value) in &input.headers {
            headers.append(name, value.as_bytes()).map_err(|_| wrong("header"))?;
        }
        let request = OutgoingRequest::new(headers);
        let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
        request.set_scheme(Some(&scheme)).map_err(|()| wrong("scheme"))?;
        request
            .set_authority(Some(authority))
            .map_err(|()| wrong("authority"))?;
        request.set_path_with_query(Some(path)).map_err(|()| wrong("path"))?;
        let Some(text) = &input.body else {
            return Ok(handled(request));
        };
        request.set_method(&Method::Post).map_err(|()| wrong("method"))?;
        let body = request.body().map_err(|()| wrong("body"))?;
        let sent = handled(request);
        let stream = body.write().map_err(|()| wrong("body"))?;
        // A host that takes no more has its reasons; the response tells them.
        let written = text
            .as_bytes()
            .chunks(4_096)
            .try_for_each(|piece| stream.blocking_write_and_flush(piece));
        drop(stream);
        if written.is_ok() {
            let _ = OutgoingBody::finish(body, None);
        }
        Ok(sent)
    }

    fn handled(request: OutgoingRequest) -> Sent {
        Sent(outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}")))
    }

    impl Sent {
        /// Status and body, or the code of the error.
        pub(super) fn response(self) -> Result<String, String> {
            let future = self.0?;
            future.subscribe().block();
            let response = future.get().ok_or("not ready")?.map_err(|()| "taken before")?;
            let response = response.map_err(|code| format!("{code:?}"))?;
            let body = response.consume().map_err(|()| "no body")?;
            let whole = read(&body)?;
            Ok(format!("{} {}", response.status(), String::from_utf8_lossy(&whole)))
        }
    }

    fn read(body: &IncomingBody) -> Result<Vec<u8>, String> {
        let stream = body.stream().map_err(|()| "no stream")?;
        let mut whole = Vec::new();
        loop {
            match stream.blocking_read(64 * 1024) {
                Ok(piece) => whole.extend(piece),
                Err(StreamError::Closed) => return Ok(whole),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
struct Sent;

#[cfg(not(target_arch = "wasm32"))]
fn sent(input: &Fetch) -> Result<Sent, Error> {
    let _ = (&input.headers, &input.body);
    Err(Error::new("denied", format!("natively `{}` can't be asked", input.url)))
}

#[cfg(not(target_arch = "wasm32"))]
impl Sent {
    fn response(self) -> Result<String, String> {
        Err("denied".to_owned())
    }
}
