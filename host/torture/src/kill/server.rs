//! The outside world of a trial: a server on loopback that counts what was done to it, and the client that the tools use.
//!
//! One connection after the other, in the order in which they came: who asks what a dead process has done is answered after
//! everything that the process has sent.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use sandbar::protocol::{Error, ErrorKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The path that asks whether something was done, and does nothing.
const KNOWN: &str = "known/";

/// The longest request that is read.
const MAX_REQUEST_BYTES: usize = 4096;

/// How often each tool did its work under each idempotency key.
pub(crate) type Counts = BTreeMap<(String, String), u64>;

#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    counts: Mutex<Counts>,
    closed: AtomicBool,
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port on loopback")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if serving.closed.load(Ordering::Relaxed) {
                    break;
                }
                // Whoever has died in the middle gets no answer.
                let _ = connection.and_then(|connection| serving.serve(connection));
            }
        });
        Ok(Self {
            address,
            shared,
            thread: Some(thread),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn counts(&self) -> Counts {
        self.shared.counts().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        // Wakes it up to see that.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut connection: TcpStream) -> std::io::Result<()> {
        let mut request = Vec::new();
        let mut bytes = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let count = connection.read(&mut bytes)?;
            if count == 0 || request.len() > MAX_REQUEST_BYTES {
                return Ok(());
            }
            request.extend(&bytes[..count]);
        }
        let request = String::from_utf8_lossy(&request);
        let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
        let key = request.lines().find_map(|line| line.strip_prefix("Idempotency-Key: "));
        let key = key.unwrap_or_default().to_owned();
        let answer = match path.strip_prefix(KNOWN) {
            Some(tool) => self.counts().get(&(tool.to_owned(), key)).copied().unwrap_or(0),
            None => {
                let mut counts = self.counts();
                let count = counts.entry((path.to_owned(), key)).or_default();
                *count += 1;
                *count
            }
        };
        let answer = answer.to_string();
        let length = answer.len();
        write!(
            connection,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
        )
    }
}

/// Does something once, or once more.
pub(crate) async fn act(address: SocketAddr, tool: &str, key: &str) -> sandbar::protocol::Result<()> {
    ask(address, tool, key).await.map(|_| ()).map_err(unreachable)
}

/// Whether something was done.
pub(crate) async fn is_done(address: SocketAddr, tool: &str, key: &str) -> sandbar::protocol::Result<bool> {
    let answer = ask(address, &format!("{KNOWN}{tool}"), key)
        .await
        .map_err(unreachable)?;
    Ok(answer != "0")
}

async fn ask(address: SocketAddr, path: &str, key: &str) -> std::io::Result<String> {
    let mut connection = tokio::net::TcpStream::connect(address).await?;
    let request =
        format!("POST /{path} HTTP/1.1\r\nHost: {address}\r\nIdempotency-Key: {key}\r\nContent-Length: 0\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.ok_or_else(|| std::io::Error::other("the answer has no end"))
}

fn unreachable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Plugin, "unreachable", "the counting server doesn't answer").with_source(error)
}
