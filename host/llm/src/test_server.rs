//! A provider on this machine, for tests: real HTTP, answers as written down, cut anywhere.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// What one request gets.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status with headers, each `Name: value\r\n`, and a body.
    Status(u16, &'static str, String),
    /// A stream of events, cut at random places.
    Stream(String),
    /// The beginning of a stream, and then the end of the connection.
    Broken(String),
    /// The beginning of a stream, and then nothing.
    Stuck(String),
    /// No answer at all.
    Hang,
    /// The end of the connection instead of an answer.
    Close,
    /// The same again and again, as long as somebody reads.
    Endless(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Method, path, headers, as they came.
    pub(crate) head: String,
    pub(crate) body: Value,
}

#[derive(Debug)]
pub(crate) struct TestServer {
    pub(crate) base_url: String,
    shared: Arc<Shared>,
    /// Its tasks end with it.
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    models: Option<String>,
    requests: Mutex<Vec<Request>>,
    asked: Notify,
    closed: Notify,
    random: Mutex<u64>,
}

impl TestServer {
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::with_models(replies, None).await
    }

    /// `models` is what `GET /models` answers with; none answers 404.
    pub(crate) async fn with_models(replies: impl IntoIterator<Item = Reply>, models: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            replies: Mutex::new(replies.into_iter().collect()),
            models: models.map(str::to_owned),
            requests: Mutex::default(),
            asked: Notify::new(),
            closed: Notify::new(),
            random: Mutex::new(42),
        });
        let mut tasks = JoinSet::new();
        let serving = shared.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let shared = serving.clone();
                connections.spawn(async move {
                    let _ = shared.serve(socket).await;
                    shared.closed.notify_one();
                });
            }
        });
        Self {
            base_url,
            shared,
            _tasks: tasks,
        }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Until a request has come.
    pub(crate) async fn asked(&self) {
        self.shared.asked.notified().await;
    }

    /// Until a connection has ended.
    pub(crate) async fn closed(&self) {
        self.shared.closed.notified().await;
    }
}

impl Shared {
    async fn serve(&self, mut socket: TcpStream) -> std::io::Result<()> {
        socket.set_nodelay(true)?;
        let mut buffer = Vec::new();
        while let Some(request) = read_request(&mut socket, &mut buffer).await? {
            if request.head.starts_with("GET ") {
                let (status, body) = self.models.as_ref().map_or((404, ""), |models| (200, models));
                write_whole(&mut socket, status, "", body).await?;
                continue;
            }
            self.requests.lock().unwrap().push(request);
            self.asked.notify_one();
            let reply = self
                .replies
                .lock()
                .unwrap()
                .pop_front()
                .expect("the test has a reply for each request");
            if !self.answer(&mut socket, reply).await? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the connection goes on.
    async fn answer(&self, socket: &mut TcpStream, reply: Reply) -> std::io::Result<bool> {
        match reply {
            Reply::Status(status, headers, body) => write_whole(socket, status, headers, &body).await?,
            Reply::Stream(body) => {
                self.write_stream(socket, &body).await?;
                socket.write_all(b"0\r\n\r\n").await?;
            }
            Reply::Broken(body) => {
                self.write_stream(socket, &body).await?;
                return Ok(false);
            }
            Reply::Stuck(body) => {
                self.write_stream(socket, &body).await?;
                until_closed(socket).await;
                return Ok(false);
            }
            Reply::Hang => {
                until_closed(socket).await;
                return Ok(false);
            }
            Reply::Close => return Ok(false),
            Reply::Endless(piece) => {
                write_head(socket).await?;
                loop {
                    write_chunk(socket, piece.as_bytes()).await?;
                }
            }
        }
        Ok(true)
    }

    async fn write_stream(&self, socket: &mut TcpStream, body: &str) -> std::io::Result<()> {
        write_head(socket).await?;
        let mut rest = body.as_bytes();
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(self.random(60).min(rest.len()));
            write_chunk(socket, piece).await?;
            rest = more;
        }
        Ok(())
    }

    /// 1 to `most`; the same in each run of a test.
    fn random(&self, most: u64) -> usize {
        let mut state = self.random.lock().unwrap();
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((*state >> 33) % most) as usize + 1
    }
}

async fn write_head(socket: &mut TcpStream) -> std::io::Result<()> {
    socket
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await
}

async fn write_chunk(socket: &mut TcpStream, piece: &[u8]) -> std::io::Result<()> {
    let framed = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    socket.write_all(&framed).await
}

async fn write_whole(socket: &mut TcpStream, status: u16, headers: &str, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body.as_bytes()).await
}

async fn until_closed(socket: &mut TcpStream) {
    while matches!(socket.read(&mut [0; 64]).await, Ok(bytes) if bytes > 0) {}
}

async fn read_request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<Request>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")?
                    .trim()
                    .parse()
                    .ok()
            });
            let whole = end + 4 + length.unwrap_or(0);
            if buffer.len() >= whole {
                let body = serde_json::from_slice(&buffer[end + 4..whole]).unwrap_or_default();
                buffer.drain(..whole);
                return Ok(Some(Request { head, body }));
            }
        }
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}
