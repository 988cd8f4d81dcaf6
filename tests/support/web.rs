//! A web server on this machine that does what the path asks for, and remembers what it was asked.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sandbar_torture::listening::Listening;

use crate::support::provider::content_length;

/// Nothing that a test waits for takes as long.
const PATIENCE: Duration = Duration::from_secs(300);

/// Paths: `/echo…` repeats the request; `/to?URL` redirects with 302, `/307?URL` with 307; `/circle` redirects to itself; `/large?N` has N
/// bytes; `/endless` never stops; `/gzip` says that it is compressed; `/hang` answers nothing until the other side hangs up; `/hold`
/// answers when `release` was called. Its threads end with it.
#[derive(Debug)]
pub(crate) struct Web {
    listening: Listening,
    /// Scheme and host.
    base: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Head and body of each request.
    asked: Mutex<Vec<String>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    hanging: usize,
    hung_up: usize,
    released: bool,
}

impl Web {
    pub(crate) fn start() -> Self {
        let shared = Arc::<Shared>::default();
        let serving = shared.clone();
        Self {
            listening: Listening::start(move |socket| serving.serve(socket)).unwrap(),
            base: "http://127.0.0.1".to_owned(),
            shared,
        }
    }

    /// The same behind TLS, under a name that leads to this machine.
    pub(crate) fn start_secure(name: &str, config: ServerConfig) -> Self {
        let shared = Arc::<Shared>::default();
        let (serving, config) = (shared.clone(), Arc::new(config));
        let serve = move |socket: TcpStream| {
            let connection = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
            serving.serve(StreamOwned::new(connection, socket))
        };
        Self {
            listening: Listening::start(serve).unwrap(),
            base: format!("https://{name}"),
            shared,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listening.address.port()
    }

    /// With a path that begins with `/`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}:{}{path}", self.base, self.port())
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Waits until somebody waits for `/hang`.
    pub(crate) fn wait_until_hanging(&self) {
        self.wait(|state| state.hanging > 0, "nobody asks for `/hang`");
    }

    /// Waits until they who waited have hung up.
    pub(crate) fn wait_until_hung_up(&self, times: usize) {
        self.wait(|state| state.hung_up >= times, "the connection stays open");
    }

    pub(crate) fn release(&self) {
        self.shared.state.lock().unwrap().released = true;
        self.shared.changed.notify_all();
    }

    fn wait(&self, fulfilled: impl Fn(&State) -> bool, complaint: &str) {
        let state = self.shared.state.lock().unwrap();
        let (state, waited) = self
            .shared
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !fulfilled(state))
            .unwrap();
        drop(state);
        assert!(!waited.timed_out(), "{complaint}");
    }
}

impl Drop for Web {
    /// Nobody waits for `/hold` any more, so that the threads can end.
    fn drop(&mut self) {
        self.release();
    }
}

impl Shared {
    fn serve(&self, mut socket: impl Read + Write) -> Result<()> {
        let Some(request) = read_request(&mut socket)? else {
            return Ok(());
        };
        self.asked.lock().unwrap().push(request.clone());
        let url = request.split(' ').nth(1).unwrap_or_default();
        // A proxy is asked for whole addresses.
        let path = match url.strip_prefix("http://") {
            Some(rest) => &rest[rest.find('/').unwrap_or(rest.len())..],
            None => url,
        };
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match path {
            "/to" => answer(&mut socket, "302 Found", &format!("Location: {query}\r\n"), b""),
            "/307" => answer(
                &mut socket,
                "307 Temporary Redirect",
                &format!("Location: {query}\r\n"),
                b"",
            ),
            "/circle" => answer(&mut socket, "302 Found", "Location: /circle\r\n", b""),
            "/large" => answer(&mut socket, "200 OK", "", &vec![b'x'; query.parse().unwrap_or(0)]),
            "/gzip" => answer(&mut socket, "200 OK", "Content-Encoding: gzip\r\n", b"packed"),
            "/endless" => endless(&mut socket),
            "/hang" => self.hang(&mut socket),
            "/hold" => {
                let state = self.state.lock().unwrap();
                let released = self.changed.wait_while(state, |state| !state.released).unwrap();
                drop(released);
                answer(&mut socket, "200 OK", "", b"released")
            }
            _ => {
                // A header of the request in one of the response.
                let sent = |line: &str| {
                    let (name, value) = line.split_once(": ")?;
                    name.eq_ignore_ascii_case("authorization").then(|| value.to_owned())
                };
                let headers = request.lines().find_map(sent);
                let headers = headers.map_or(String::new(), |value| format!("X-Echo: {value}\r\n"));
                answer(&mut socket, "200 OK", &headers, request.as_bytes())
            }
        }
    }

    fn hang(&self, socket: &mut impl Read) -> Result<()> {
        self.state.lock().unwrap().hanging += 1;
        self.changed.notify_all();
        let ended = socket.read(&mut [0; 64]);
        assert!(
            !matches!(ended, Ok(read) if read > 0),
            "something came after the request"
        );
        self.state.lock().unwrap().hung_up += 1;
        self.changed.notify_all();
        Ok(())
    }
}

fn answer(socket: &mut impl Write, status: &str, headers: &str, body: &[u8]) -> Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
    socket.write_all(head.as_bytes())?;
    socket.write_all(body)?;
    socket.flush()
}

fn endless(socket: &mut impl Write) -> Result<()> {
    socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let piece = format!("{:x}\r\n{}\r\n", 64 << 10, "x".repeat(64 << 10));
    loop {
        socket.write_all(piece.as_bytes())?;
    }
}

/// Head and body; none where the other side says nothing.
fn read_request(socket: &mut impl Read) -> Result<Option<String>> {
    let (mut read, mut piece) = (Vec::new(), [0; 16 * 1024]);
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).into_owned();
            let whole = end + 4 + content_length(&head);
            while read.len() < whole {
                match socket.read(&mut piece)? {
                    0 => return Err(ErrorKind::UnexpectedEof.into()),
                    count => read.extend_from_slice(&piece[..count]),
                }
            }
            return Ok(Some(String::from_utf8_lossy(&read).into_owned()));
        }
        match socket.read(&mut piece)? {
            0 => return Ok(None),
            count => read.extend_from_slice(&piece[..count]),
        }
    }
}
