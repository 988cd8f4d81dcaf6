//! The compile worker: this same program, started again as a child with limits on memory and time.
//!
//! Parent and child talk over pipes: the child says who it is, the parent sends the component, the child answers with one line of JSON
//! and, if it went well, the machine code. The parent alone writes the cache.

mod started;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sandbar_protocol::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::timeout;

use crate::compile::compile;
use crate::error::broken;
use crate::facts::Shape;
use crate::limits::{
    COMPILE_ADDRESS_SPACE, COMPILE_CPU_SECONDS, COMPILE_WALL, COMPILE_WALL_PER_MIB, MAX_CODE_BYTES,
    MAX_COMPONENT_BYTES, WORKER_HANDSHAKE,
};
use crate::wall::Wall;

pub(crate) use started::command;
use started::{Process, Started};

/// The first argument of a process that is a compile worker.
pub const WORKER_ARGUMENT: &str = "__sandbar-compile-worker";

/// The second argument of a worker that is to work without the kernel's wall.
const WITHOUT_WALL: &str = "without-kernel-sandbox";

/// What a worker says first, and then which wall it has. Another program that we started by mistake says something else.
const HANDSHAKE: &str = concat!("sandbar-compile-worker ", env!("CARGO_PKG_VERSION"));

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Compiled { shape: Shape, code_bytes: u64 },
    Refused(Error),
}

/// Call this first in `main` of a program that embeds Sandbar: plugins are compiled in a child process, and the child is your program
/// started again. In the child it does not return.
pub fn worker_entry() {
    if is_worker() {
        std::process::exit(match serve() {
            Ok(()) => 0,
            // The parent sees that the pipe closed early, and says so.
            Err(_) => 1,
        });
    }
}

/// Whether this process was started as a worker. If `worker_entry` was not called, it must not start workers itself: they would start
/// workers, and so on.
pub(crate) fn is_worker() -> bool {
    std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == WORKER_ARGUMENT)
}

fn serve() -> std::io::Result<()> {
    limit()?;
    let wall = match std::env::args_os().nth(2) {
        Some(argument) if argument == WITHOUT_WALL => Wall::default(),
        _ => Wall::around_compiler(),
    };
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{HANDSHAKE} {}", serde_json::to_string(&wall)?)?;
    stdout.flush()?;
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_COMPONENT_BYTES + 1)
        .read_to_end(&mut bytes)?;
    let (answer, code) = match compile(&bytes) {
        Ok((shape, code)) => (
            Answer::Compiled {
                shape,
                code_bytes: code.len() as u64,
            },
            code,
        ),
        Err(error) => (Answer::Refused(error), Vec::new()),
    };
    serde_json::to_writer(&mut stdout, &answer)?;
    writeln!(stdout)?;
    stdout.write_all(&code)?;
    stdout.flush()
}

/// Limits on this process, before it reads a byte from outside.
fn limit() -> std::io::Result<()> {
    let lower = |resource, to: u64| {
        let hard = getrlimit(resource).maximum;
        let to = hard.map_or(to, |hard| hard.min(to));
        setrlimit(
            resource,
            Rlimit {
                current: Some(to),
                maximum: Some(to),
            },
        )
    };
    // macOS has no limit on address space that works; there the parent's wall time and the size limits remain.
    #[cfg(target_os = "linux")]
    lower(Resource::As, COMPILE_ADDRESS_SPACE)?;
    lower(Resource::Cpu, COMPILE_CPU_SECONDS)?;
    lower(Resource::Core, 0)?;
    lower(Resource::Fsize, 0)?;
    Ok(())
}

/// Starts workers. One per host.
#[derive(Debug)]
pub(crate) struct CompileWorker {
    program: PathBuf,
    /// Whether the program is this one, which the spawner of a process behind the kernel's wall can start.
    #[cfg(target_os = "linux")]
    is_own: bool,
    kernel_sandbox: bool,
    /// What the first worker has said.
    wall: OnceLock<Wall>,
}

impl CompileWorker {
    /// `program`: the binary to start; none takes the running one.
    pub(crate) fn new(program: Option<PathBuf>, kernel_sandbox: bool) -> Result<Self> {
        if is_worker() {
            return Err(no_worker(
                "this process is a compile worker, but `worker_entry` was not called",
            ));
        }
        #[cfg(target_os = "linux")]
        let is_own = program.is_none();
        let program = match program {
            Some(program) => program,
            None => own_program().map_err(|source| no_worker("this program can't find itself").with_source(source))?,
        };
        Ok(Self {
            program,
            #[cfg(target_os = "linux")]
            is_own,
            kernel_sandbox,
            wall: OnceLock::new(),
        })
    }

    /// None: no worker was needed yet.
    pub(crate) fn wall(&self) -> Option<Wall> {
        self.wall.get().copied()
    }

    /// Compiles in a child. Every way to fail is an error that says what happened to the child.
    pub(crate) async fn compile(&self, bytes: &[u8]) -> Result<(Shape, Vec<u8>)> {
        let Started {
            stdin,
            stdout,
            mut process,
        } = self.start().await.map_err(|source| {
            no_worker(&format!("`{}` can't be started: {source}", self.program.display())).with_source(source)
        })?;
        let patience = patience(bytes.len());
        match timeout(patience, self.talk(stdin, stdout, bytes)).await {
            Ok(Ok(Some(answer))) => answer,
            Ok(Ok(None)) => Err(cause_of_death(&mut process).await),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(refused(&format!(
                "compiling it took more than {} s",
                patience.as_secs()
            ))),
        }
    }

    /// By the spawner, if this process is behind a wall that lets it start nothing itself.
    async fn start(&self) -> std::io::Result<Started> {
        #[cfg(target_os = "linux")]
        if self.is_own
            && let Some(spawner) = crate::spawner::of_this_process()
        {
            return Started::by_spawner(spawner).await;
        }
        Started::child(&self.program, self.kernel_sandbox)
    }

    /// None: the child ended without an answer.
    async fn talk(
        &self,
        mut stdin: ChildStdin,
        stdout: ChildStdout,
        bytes: &[u8],
    ) -> Result<Option<Result<(Shape, Vec<u8>)>>> {
        let mut stdout = BufReader::new(stdout);
        self.shake_hands(&mut stdout).await?;
        // If the child dies while we write, reading finds out why.
        let write = async {
            let _ = stdin.write_all(bytes).await;
            drop(stdin);
        };
        let read = async {
            let mut line = Vec::new();
            (&mut stdout).take(1 << 20).read_until(b'\n', &mut line).await.ok()?;
            let answer: Answer = serde_json::from_slice(&line).ok()?;
            match answer {
                Answer::Refused(error) => Some(Err(error)),
                Answer::Compiled { code_bytes, .. } if code_bytes > MAX_CODE_BYTES => {
                    Some(Err(refused(&format!("its machine code would have {code_bytes} bytes"))))
                }
                Answer::Compiled { shape, code_bytes } => {
                    let mut code = vec![0; code_bytes as usize];
                    stdout.read_exact(&mut code).await.ok()?;
                    Some(Ok((shape, code)))
                }
            }
        };
        let ((), answer) = futures::join!(write, read);
        Ok(answer)
    }

    async fn shake_hands(&self, stdout: &mut (impl AsyncBufReadExt + Unpin)) -> Result<()> {
        let mut line = Vec::new();
        let read = timeout(WORKER_HANDSHAKE, stdout.take(200).read_until(b'\n', &mut line)).await;
        let said = String::from_utf8_lossy(&line);
        match read {
            Ok(_) if let Some(wall) = wall_said(&said) => {
                // All workers of a host are alike.
                let _ = self.wall.set(wall);
                Ok(())
            }
            Ok(_) => Err(no_worker(&format!(
                "`{}` was started as compile worker and said {:?} instead of {HANDSHAKE:?}",
                self.program.display(),
                said.trim_end()
            ))),
            Err(_) => Err(no_worker(&format!(
                "`{}` was started as compile worker and said nothing for {} s",
                self.program.display(),
                WORKER_HANDSHAKE.as_secs()
            ))),
        }
    }
}

async fn cause_of_death(process: &mut Process) -> Error {
    let status = match timeout(Duration::from_secs(1), process.wait()).await {
        Ok(Ok(status)) => status,
        _ => return refused("the compiler stopped answering"),
    };
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        // SIGABRT is how an allocation fails, SIGSEGV a stack that can't grow, SIGXCPU and SIGKILL the limit on processor time.
        match status.signal() {
            Some(6 | 11) => {
                return refused(&format!(
                    "compiling it took more than {} GiB",
                    COMPILE_ADDRESS_SPACE >> 30
                ));
            }
            Some(9 | 24) => {
                return refused(&format!(
                    "compiling it took more than {COMPILE_CPU_SECONDS} s of processor time"
                ));
            }
            // SIGSYS: the filter of system calls.
            Some(31) => return forbidden(),
            _ => {}
        }
    }
    refused(&format!("the compiler ended with {status}"))
}

/// How long compiling may take on the clock: a large component is honest for longer than a small one.
fn patience(bytes: usize) -> Duration {
    COMPILE_WALL + COMPILE_WALL_PER_MIB.mul_f64(bytes as f64 / f64::from(1 << 20))
}

/// The running program. Its file may have been replaced by a newer version since it was started.
fn own_program() -> std::io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let gone = cfg!(target_os = "linux") && !path.exists();
    Ok(if gone { "/proc/self/exe".into() } else { path })
}

/// What stands behind the handshake; none if this isn't one.
fn wall_said(line: &str) -> Option<Wall> {
    serde_json::from_str(line.strip_prefix(HANDSHAKE)?).ok()
}

fn forbidden() -> Error {
    broken(
        "compile-forbidden",
        "compiling it made the compiler do what compilers don't do, and the kernel ended it",
    )
    .with_hint("it may be an attack: don't use this file")
}

fn refused(why: &str) -> Error {
    broken("compile-refused", why).with_hint("split it into smaller plugins, or build it optimised for size")
}

fn no_worker(why: &str) -> Error {
    Error::new(ErrorKind::Config, "no-compile-worker", format!("plugins can't be compiled: {why}")).with_hint(
        "a program that embeds Sandbar calls `sandbar::worker_entry()` first in its `main`, or names the `sandbar` binary as worker",
    )
}
