//! Many sessions at once, each with two model calls of 50 ms over loopback HTTP and a tool between them, against the bare client.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::try_join_all;
use sandbar::Journal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::measure::{ratio, show};
use crate::table::Table;
use crate::world::{World, turn};

const SESSIONS: usize = 200;
const ROUNDS: usize = 5;
const THINKING: Duration = Duration::from_millis(50);

pub(crate) async fn rows(guests: &Path, table: &mut Table) -> anyhow::Result<()> {
    // The bare client needs a provider of cryptography before it can say that it needs none here; a second one is no harm.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Server::start().await?;
    let bare = bare(&server.url).await?;
    let toml = format!(
        "[plugins]\ndirectories = [\"plugins\"]\n[models.http]\nprovider = \"openai\"\nmodel = \"m\"\nbase_url = \"{}\"\n\
         [agents.main]\nmodel = \"http\"\nplugins = [\"echo\"]\n",
        server.url
    );
    let world = World::new(guests, &["echo"], &toml, "")?;
    let runtime = world.open(Journal::Disk).await?;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        try_join_all((0..SESSIONS).map(|_| turn(&runtime, None))).await?;
        best = best.min(started.elapsed());
    }
    table.row(
        &format!("{SESSIONS} sessions at once, each two model calls of 50 ms over loopback HTTP and one tool, durable"),
        format!("all done in {}", show(best)),
        format!("bare reqwest, the same requests: {}; ideal: 100 ms", show(bare)),
        ratio(best, bare),
        "≤ 1.1",
    );
    runtime.close().await;
    Ok(())
}

async fn bare(url: &str) -> anyhow::Result<Duration> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let body = |messages: &str| format!("{{\"model\":\"m\",\"stream\":true,\"messages\":[{messages}]}}");
    let bodies = [
        body("{\"role\":\"user\",\"content\":\"go\"}"),
        body("{\"role\":\"tool\",\"content\":\"go\"}"),
    ];
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        try_join_all((0..SESSIONS).map(|_| async {
            for body in &bodies {
                let answer = client
                    .post(format!("{url}/chat/completions"))
                    .body(body.clone())
                    .send()
                    .await?;
                anyhow::ensure!(answer.bytes().await?.ends_with(b"[DONE]\n\n"));
            }
            anyhow::Ok(())
        }))
        .await?;
        best = best.min(started.elapsed());
    }
    Ok(best)
}

/// Speaks Chat Completions: asks for a tool, then answers, each after 50 ms.
struct Server {
    url: String,
    _connections: tokio::task::JoinSet<()>,
}

impl Server {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(async move {
                    // A client that goes away ends its connection, nothing else.
                    let _ = serve(connection).await;
                });
            }
        });
        Ok(Self {
            url,
            _connections: tasks,
        })
    }
}

async fn serve(connection: TcpStream) -> anyhow::Result<()> {
    connection.set_nodelay(true)?;
    let mut connection = BufReader::new(connection);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if connection.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().context("a length")?;
            }
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body).await?;
        tokio::time::sleep(THINKING).await;
        let asked_before = String::from_utf8_lossy(&body).contains("\"role\":\"tool\"");
        let answer = if asked_before {
            answer("{\"content\":\"done\"}", "stop")
        } else {
            answer(CALL, "tool_calls")
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        connection.write_all(head.as_bytes()).await?;
        connection.write_all(answer.as_bytes()).await?;
        connection.flush().await?;
    }
}

const CALL: &str = r#"{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"echo__echo","arguments":"{\"text\":\"hi\"}"}}]}"#;

fn answer(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}]}}\n\n\
         data: {{\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"{finish}\"}}]}}\n\n\
         data: [DONE]\n\n"
    )
}
