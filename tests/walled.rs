//! A program that embeds Sandbar and goes behind the kernel's wall as `sandbar` does, with a tool that no plugin could be: it tries what
//! code would try that has walked out of WebAssembly.
//!
//! `walled <configuration>` asks the agent once, and says what became of each call. It is a program of the tests alone: what users get has
//! no such tool.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _, ready};
use rustix::process::{Pid, test_kill_process};
use sandbar::config::sources::Sources;
use sandbar::protocol::{
    EventBody, Result, RunRequest, Schema, StreamItem, Tool, ToolInvocation, ToolOutcome, ToolOutput, ToolSpec,
    ToolTraits,
};
use sandbar::{Config, Runtime};
use serde_json::json;

type Failure = Box<dyn std::error::Error>;

fn main() -> std::result::Result<(), Failure> {
    sandbar::worker_entry();
    let sources = Sources {
        project: std::env::args_os().nth(1).map(Into::into),
        start_dir: std::env::current_dir()?,
        ..Sources::default()
    };
    let config = Config::load(&sources).map_err(|problems| format!("{problems:?}"))?;
    sandbar::enclose(&config)?;
    tokio::runtime::Runtime::new()?.block_on(ask(config))
}

async fn ask(config: Config) -> std::result::Result<(), Failure> {
    let options = sandbar::OpenOptions {
        tools: vec![Arc::new(Escape::new())],
        ..sandbar::OpenOptions::default()
    };
    let runtime = Runtime::open_with(config, options).await?;
    let mut stream = runtime.run(RunRequest::new("try")).await?;
    let mut out = io::stdout();
    while let Some(item) = stream.next().await {
        if let StreamItem::Event(event) = item?
            && let EventBody::ToolFinished { outcome, .. } = &event.body
        {
            match outcome {
                ToolOutcome::Output(output) => writeln!(out, "{}", output.text)?,
                ToolOutcome::Error(error) => writeln!(out, "{error:?}")?,
            }
        }
    }
    runtime.close().await;
    Ok(())
}

struct Escape {
    spec: Arc<ToolSpec>,
    schema: Schema,
}

impl Escape {
    fn new() -> Self {
        let schema = json!({ "type": "object", "required": ["attempt", "target"] });
        Self {
            schema: Schema::compile(&schema).expect("the schema is a good one"),
            spec: Arc::new(ToolSpec {
                name: "escape__try".to_owned(),
                description: String::new(),
                input_schema: schema,
                output_schema: None,
                // One after the other, in order.
                traits: ToolTraits {
                    exclusive: true,
                    ..ToolTraits::default()
                },
            }),
        }
    }
}

impl Tool for Escape {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    fn digest(&self) -> &str {
        "0a1b"
    }

    fn input_schema(&self) -> &Schema {
        &self.schema
    }

    fn call(&self, invocation: ToolInvocation) -> BoxFuture<'static, Result<ToolOutput>> {
        let text = |key: &str| invocation.input[key].as_str().unwrap_or_default().to_owned();
        let end = match attempt(&text("attempt"), &text("target")) {
            Ok(()) => "went well".to_owned(),
            Err(error) => match error.raw_os_error() {
                Some(number) => format!("error {number}"),
                None => error.to_string(),
            },
        };
        let output = ToolOutput {
            text: format!("{}: {end}", text("attempt")),
            ..ToolOutput::default()
        };
        ready(Ok(output)).boxed()
    }

    fn preview(&self, _: ToolInvocation) -> Option<BoxFuture<'static, Result<ToolOutput>>> {
        None
    }
}

fn attempt(what: &str, target: &str) -> io::Result<()> {
    match what {
        "read" => File::open(target).map(drop),
        "list" => std::fs::read_dir(target).map(drop),
        "create" => File::create_new(target).map(drop),
        "empty" => OpenOptions::new().write(true).truncate(true).open(target).map(drop),
        "remove" => std::fs::remove_file(target),
        "make directory" => std::fs::create_dir(target),
        "link" => symlink("/etc", target),
        "execute" | "execute itself" => Command::new(target).arg("--version").output().map(drop),
        "tcp" => TcpStream::connect(target).map(drop),
        "resolve" => (target, 80).to_socket_addrs().map(drop),
        "unix" => UnixStream::connect(target).map(drop),
        "signal" => Ok(test_kill_process(pid(target)?)?),
        #[cfg(target_os = "linux")]
        "abstract" => {
            use std::os::linux::net::SocketAddrExt as _;

            let address = std::os::unix::net::SocketAddr::from_abstract_name(target)?;
            UnixStream::connect_addr(&address).map(drop)
        }
        #[cfg(target_os = "linux")]
        "trace" => trace(pid(target)?),
        _ => Err(io::Error::other("no such attempt")),
    }
}

fn pid(text: &str) -> io::Result<Pid> {
    let number = text.parse().ok();
    number
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::other("not a process"))
}

/// Becomes the debugger of a process, until this one ends.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "there is no other way to ask the kernel for it")]
fn trace(pid: Pid) -> io::Result<()> {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: the call takes numbers, and touches no memory of ours.
    match unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid.as_raw_nonzero().get(), nothing, nothing) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
