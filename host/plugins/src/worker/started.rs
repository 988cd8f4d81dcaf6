//! How a worker is started: by this process, or by its spawner where this process is behind the kernel's wall.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, ChildStdin, ChildStdout};

use super::{WITHOUT_WALL, WORKER_ARGUMENT};

/// A worker that was started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) process: Process,
}

/// A worker's process. It is killed when this is dropped.
#[derive(Debug)]
pub(super) enum Process {
    Child(Box<Child>),
    #[cfg(target_os = "linux")]
    OfSpawner(crate::spawner::SpawnedChild),
}

/// The command of a worker, but for its pipes.
pub(crate) fn command(program: &Path, kernel_sandbox: bool) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    command
        .arg(WORKER_ARGUMENT)
        .args((!kernel_sandbox).then_some(WITHOUT_WALL))
        .env_clear()
        .env("RAYON_NUM_THREADS", "2")
        // glibc reserves 64 MiB of address space per thread's arena; the child's address space is limited.
        .env("MALLOC_ARENA_MAX", "2")
        .stderr(Stdio::null());
    command
}

impl Started {
    /// A child of this process.
    pub(super) fn child(program: &Path, kernel_sandbox: bool) -> io::Result<Self> {
        let mut child = tokio::process::Command::from(command(program, kernel_sandbox))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.ok_or_else(|| io::Error::other("a child process has no pipes"))?;
        Ok(Self {
            stdin,
            stdout,
            process: Process::Child(Box::new(child)),
        })
    }

    /// A child of this process's spawner.
    #[cfg(target_os = "linux")]
    pub(super) async fn by_spawner(spawner: &crate::spawner::Spawner) -> io::Result<Self> {
        let (stdin, stdout, child) = spawner.compile_worker().await?;
        Ok(Self {
            stdin: ChildStdin::from_std(stdin)?,
            stdout: ChildStdout::from_std(stdout)?,
            process: Process::OfSpawner(child),
        })
    }
}

impl Process {
    /// Waits for its end.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        match self {
            Self::Child(child) => child.wait().await,
            #[cfg(target_os = "linux")]
            Self::OfSpawner(child) => child.wait().await,
        }
    }
}
