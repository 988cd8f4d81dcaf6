//! Servers on this machine that plugins are sent to, and what came to them.

use std::io::{ErrorKind, Read as _, Result, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::listening::Listening;

/// The head of a request: none of ours has more.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// What is sent of an endless body at once.
const PIECE: usize = 64 << 10;
/// Between two bytes of a slow body.
const SLOW: Duration = Duration::from_secs(1);

/// A server. It answers `/endless` without an end, `/slow` with a byte a second, `/to?<url>` with a redirect, and everything else with
/// the head of the request.
#[derive(Debug)]
pub struct Loopback {
    listening: Listening,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    looks_for: &'static str,
    /// Requests so far, and how many of them held what is looked for.
    asked: AtomicUsize,
    found: AtomicUsize,
    over: AtomicBool,
}

impl Loopback {
    /// One that counts the requests with this text in them.
    pub fn start(looks_for: &'static str) -> Result<Self> {
        let shared = Arc::new(Shared {
            looks_for,
            ..Shared::default()
        });
        let serving = shared.clone();
        Ok(Self {
            listening: Listening::start(move |socket| serving.serve(socket))?,
            shared,
        })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    /// Requests so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Acquire)
    }

    /// Those of them that held what is looked for.
    #[must_use]
    pub fn found(&self) -> usize {
        self.shared.found.load(Ordering::Acquire)
    }
}

impl Shared {
    fn serve(&self, mut socket: TcpStream) -> Result<()> {
        let Some(head) = head_of(&mut socket)? else {
            return Ok(());
        };
        if head.contains(self.looks_for) {
            self.found.fetch_add(1, Ordering::AcqRel);
        }
        self.asked.fetch_add(1, Ordering::AcqRel);
        let target = head.split(' ').nth(1).unwrap_or_default();
        match target.split_once('?').unwrap_or((target, "")) {
            ("/endless", _) => endless(&mut socket),
            ("/slow", _) => self.slow(&mut socket),
            ("/to", url) => answer(&mut socket, "302 Found", &format!("Location: {url}\r\n"), ""),
            _ => answer(&mut socket, "200 OK", "", &head),
        }
    }

    fn slow(&self, socket: &mut TcpStream) -> Result<()> {
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")?;
        // Whoever hangs up is seen before the next byte.
        socket.set_read_timeout(Some(SLOW))?;
        while !self.over.load(Ordering::Acquire) {
            socket.write_all(b"x")?;
            match socket.read(&mut [0; 64]) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                _ => break,
            }
        }
        Ok(())
    }
}

impl Drop for Loopback {
    /// Who answers `/slow` ends with it, whoever still listens.
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
    }
}

fn answer(socket: &mut TcpStream, status: &str, headers: &str, body: &str) -> Result<()> {
    let length = body.len();
    let whole = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}");
    socket.write_all(whole.as_bytes())
}

fn endless(socket: &mut TcpStream) -> Result<()> {
    socket.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
    loop {
        socket.write_all(&[b'x'; PIECE])?;
    }
}

/// Up to the empty line; none where the other side says nothing.
fn head_of(socket: &mut TcpStream) -> Result<Option<String>> {
    let (mut head, mut piece) = (Vec::new(), [0; 4 << 10]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD_BYTES {
        match socket.read(&mut piece)? {
            0 => return Ok(None),
            read => head.extend_from_slice(&piece[..read]),
        }
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}
