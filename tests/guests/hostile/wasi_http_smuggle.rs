//! Sends headers that only the host may set, with `wasi:http`: another host, a second length, a connection that is kept, another encoding.

use sandbar_sdk::{Context, Error, NoInput, Tool};
use sandbar_test_guests::{Servers, ask_home, report};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("attack", attack)]
}

/// Names and values; none of these values is one that the host would send.
const HEADERS: [(&str, &str); 12] = [
    ("Host", "smuggled.example"),
    ("Connection", "smuggled"),
    ("Keep-Alive", "smuggled"),
    ("Transfer-Encoding", "smuggled"),
    ("Content-Length", "777"),
    ("Upgrade", "smuggled"),
    ("TE", "smuggled"),
    ("Trailer", "smuggled"),
    ("Expect", "smuggled"),
    ("Accept-Encoding", "smuggled"),
    ("Proxy-Authorization", "smuggled"),
    ("x-own", "a\r\nx-smuggled: smuggled"),
];

fn attack(_: NoInput, context: &Context) -> Result<String, Error> {
    let servers = Servers::of(context)?;
    ask_home(&servers)?;
    let address = servers.home.trim_start_matches("http://");
    let attempts = HEADERS.map(|(name, value)| {
        // The server echoes the head of the request.
        let through = sent(address, name, value).is_some_and(|echo| echo.contains("smuggled") || echo.contains("777"));
        (name.to_owned(), through)
    });
    report(&attempts)
}

/// What the server answers; none if nothing was sent, or nothing came.
#[cfg(target_arch = "wasm32")]
fn sent(address: &str, name: &str, value: &str) -> Option<String> {
    use wasip2::http::outgoing_handler;
    use wasip2::http::types::{Fields, OutgoingRequest, Scheme};

    let headers = Fields::new();
    headers.append(name, value.as_bytes()).ok()?;
    let request = OutgoingRequest::new(headers);
    request.set_scheme(Some(&Scheme::Http)).ok()?;
    request.set_authority(Some(address)).ok()?;
    request.set_path_with_query(Some("/echo")).ok()?;
    let future = outgoing_handler::handle(request, None).ok()?;
    future.subscribe().block();
    let response = future.get()?.ok()?.ok()?;
    let body = response.consume().ok()?;
    let stream = body.stream().ok()?;
    let mut whole = Vec::new();
    while let Ok(piece) = stream.blocking_read(64 * 1024) {
        whole.extend(piece);
    }
    Some(String::from_utf8_lossy(&whole).into_owned())
}

/// Natively there is no `wasi:http`.
#[cfg(not(target_arch = "wasm32"))]
fn sent(_address: &str, _name: &str, _value: &str) -> Option<String> {
    None
}
