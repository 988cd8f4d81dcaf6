//! A provider on this machine that speaks Chat Completions: real HTTP, answers as written down, cut anywhere.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Result, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use sandbar_torture::listening::Listening;
use serde_json::{Value, json};

/// What one request gets.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status with headers, each `Name: value\r\n`, and a body.
    Status(u16, &'static str, String),
    /// A stream of events, cut at random places.
    Stream(String),
    /// The beginning of a stream, and then the end of the connection.
    Broken(String),
    /// A stream in large pieces.
    Large(String),
    /// The same again and again, as long as somebody reads.
    Endless(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Method, path, headers, as they came.
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// Its threads end with it: nobody is connected any more, for the program has ended before.
#[derive(Debug)]
pub(crate) struct Provider {
    listening: Listening,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Request>>,
    random: Mutex<u64>,
}

impl Provider {
    /// The seed decides where streams are cut.
    pub(crate) fn start(seed: u64, replies: impl IntoIterator<Item = Reply>) -> Self {
        let shared = Arc::new(Shared {
            replies: Mutex::new(replies.into_iter().collect()),
            requests: Mutex::default(),
            random: Mutex::new(seed),
        });
        let serving = shared.clone();
        Self {
            listening: Listening::start(move |socket| serving.serve(socket)).unwrap(),
            shared,
        }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.listening.address)
    }

    /// What further requests get, after the replies that are left.
    pub(crate) fn then(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.replies.lock().unwrap().extend(replies);
    }

    /// The requests for an answer of the model; others are not kept.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }
}

impl Shared {
    fn serve(&self, mut socket: TcpStream) -> Result<()> {
        socket.set_nodelay(true)?;
        let mut buffer = Vec::new();
        while let Some(request) = read_request(&mut socket, &mut buffer)? {
            if request.head.starts_with("GET ") {
                let models = json!({ "data": [{ "id": "m-large" }, { "id": "zebra" }] });
                write_whole(&mut socket, 200, "", &models.to_string())?;
                continue;
            }
            self.requests.lock().unwrap().push(request);
            let reply = self.replies.lock().unwrap().pop_front();
            // A refusal, so that nobody asks again.
            let reply = reply.unwrap_or_else(|| Reply::Status(400, "", "the test has no reply left".to_owned()));
            if !self.answer(&mut socket, reply)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the connection goes on.
    fn answer(&self, socket: &mut TcpStream, reply: Reply) -> Result<bool> {
        match reply {
            Reply::Status(status, headers, body) => write_whole(socket, status, headers, &body)?,
            Reply::Stream(body) => {
                self.write_stream(socket, &body, 60)?;
                socket.write_all(b"0\r\n\r\n")?;
            }
            Reply::Broken(body) => {
                self.write_stream(socket, &body, 60)?;
                return Ok(false);
            }
            Reply::Large(body) => {
                self.write_stream(socket, &body, 200_000)?;
                socket.write_all(b"0\r\n\r\n")?;
            }
            Reply::Endless(piece) => {
                write_head(socket)?;
                loop {
                    write_chunk(socket, piece.as_bytes())?;
                }
            }
        }
        Ok(true)
    }

    fn write_stream(&self, socket: &mut TcpStream, body: &str, most: u64) -> Result<()> {
        write_head(socket)?;
        let mut rest = body.as_bytes();
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(self.random(most).min(rest.len()));
            write_chunk(socket, piece)?;
            rest = more;
        }
        Ok(())
    }

    /// 1 to `most`; the same for the same seed.
    fn random(&self, most: u64) -> usize {
        let mut state = self.random.lock().unwrap();
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((*state >> 33) % most) as usize + 1
    }
}

/// An answer in pieces, as a body.
pub(crate) fn answer(pieces: &[&str]) -> String {
    let said: String = pieces.iter().map(|piece| said(piece)).collect();
    said + &end("stop")
}

/// A piece of an answer.
pub(crate) fn said(text: &str) -> String {
    event(&json!({ "content": text }))
}

/// An answer that calls tools: id, name and arguments of each, the arguments in two fragments.
pub(crate) fn calls(calls: &[(&str, &str, &str)]) -> String {
    let fragments = calls.iter().enumerate().map(|(index, (id, name, arguments))| {
        let (first, second) = arguments.split_at(arguments.len() / 2);
        let opened =
            json!({ "index": index, "id": id, "type": "function", "function": { "name": name, "arguments": first } });
        let closed = json!({ "index": index, "function": { "arguments": second } });
        event(&json!({ "tool_calls": [opened] })) + &event(&json!({ "tool_calls": [closed] }))
    });
    fragments.collect::<String>() + &end("tool_calls")
}

/// An error as OpenAI writes it.
pub(crate) fn complaint(message: &str, code: &str) -> String {
    json!({ "error": { "message": message, "type": "error", "code": code } }).to_string()
}

fn event(delta: &Value) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": delta }] }))
}

fn end(reason: &str) -> String {
    let ended = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] });
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 10, "completion_tokens": 5 } });
    format!("data: {ended}\n\ndata: {usage}\n\ndata: [DONE]\n\n")
}

fn write_head(socket: &mut TcpStream) -> Result<()> {
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
}

fn write_chunk(socket: &mut TcpStream, piece: &[u8]) -> Result<()> {
    let framed = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    socket.write_all(&framed)
}

fn write_whole(socket: &mut TcpStream, status: u16, headers: &str, body: &str) -> Result<()> {
    let length = body.len();
    let whole = format!("HTTP/1.1 {status} Status\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    socket.write_all(whole.as_bytes())
}

fn read_request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Option<Request>> {
    let mut piece = [0; 16 * 1024];
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let whole = end + 4 + content_length(&head);
            while buffer.len() < whole {
                match socket.read(&mut piece)? {
                    0 => return Err(ErrorKind::UnexpectedEof.into()),
                    read => buffer.extend_from_slice(&piece[..read]),
                }
            }
            let body = serde_json::from_slice(&buffer[end + 4..whole]).unwrap_or_default();
            buffer.drain(..whole);
            return Ok(Some(Request { head, body }));
        }
        match socket.read(&mut piece)? {
            0 => return Ok(None),
            read => buffer.extend_from_slice(&piece[..read]),
        }
    }
}

/// Of the body that follows this head.
pub(crate) fn content_length(head: &str) -> usize {
    let value = |line: &str| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length:")?
            .trim()
            .parse()
            .ok()
    };
    head.lines().find_map(value).unwrap_or(0)
}
