//! The spawner: a small process that starts children for one that is behind the kernel's wall and can start none itself.
//!
//! It is forked off before the wall goes up, so it is outside. What it can be asked for is a closed list: the request names an entry, and
//! the spawner alone knows program, arguments and environment of it. The child's ends of its pipes come with the request, and a socket
//! for this one child: over it the spawner says that the child runs and how it ended; closing it ends the child. The spawner ends with the
//! process that it serves, and takes its children along.

use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::sync::OnceLock;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::AsyncReadExt as _;

use crate::worker::command;

/// More than a host compiles at once; one that was taken over can't fill the machine with processes.
const MAX_CHILDREN: usize = 64;

/// The only entry of the list of what may be started: this program as a compile worker, behind its own wall.
const COMPILE_WORKER: u8 = b'c';

/// The pipes of a child, and the socket on which its life is told.
const DESCRIPTORS: usize = 3;

/// What is told of a child: a letter, and a number.
const STARTED: u8 = b's';
/// With the system's number of the error.
const FAILED: u8 = b'f';
/// With the status as `wait` gives it.
const ENDED: u8 = b'e';
const TOLD_BYTES: usize = 5;

static SPAWNER: OnceLock<Spawner> = OnceLock::new();

/// The way to the spawner of this process.
#[derive(Debug)]
pub(crate) struct Spawner {
    requests: OwnedFd,
}

/// A child of the spawner. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct SpawnedChild {
    life: tokio::net::UnixStream,
}

/// None: no spawner was started, so that this process starts its children itself.
pub(crate) fn of_this_process() -> Option<&'static Spawner> {
    SPAWNER.get()
}

/// Forks the spawner off. This process must have one thread.
#[expect(
    unsafe_code,
    reason = "a process that is to stay outside of the wall can only be forked off"
)]
pub(crate) fn start() -> io::Result<()> {
    if SPAWNER.get().is_some() {
        return Ok(());
    }
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // SAFETY: the caller has made sure that there is one thread, so that nobody else holds a lock or changes memory, and the child may do
    // what any process may. It never returns from here.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(ours);
            let served = std::panic::catch_unwind(|| serve(&theirs));
            // SAFETY: ends the process at once. The output that the parent may have buffered is the parent's to write.
            unsafe { libc::_exit(i32::from(!matches!(served, Ok(Ok(()))))) }
        }
        _ => {
            SPAWNER
                .set(Spawner { requests: ours })
                .expect("one thread, which has looked above");
            Ok(())
        }
    }
}

impl Spawner {
    /// Has a compile worker started.
    pub(crate) async fn compile_worker(&self) -> io::Result<(ChildStdin, ChildStdout, SpawnedChild)> {
        let (their_input, input) = io::pipe()?;
        let (output, their_output) = io::pipe()?;
        let (ours, theirs) = UnixStream::pair()?;
        let descriptors = [their_input.as_fd(), their_output.as_fd(), theirs.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fits = ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        debug_assert!(fits, "the space was made for them");
        let request = [IoSlice::new(&[COMPILE_WORKER])];
        sendmsg(&self.requests, &request, &mut ancillary, SendFlags::NOSIGNAL)?;
        ours.set_nonblocking(true)?;
        let mut child = SpawnedChild {
            life: tokio::net::UnixStream::from_std(ours)?,
        };
        // The child's ends are the child's alone from here, so that it sees when ours are closed.
        drop((their_input, their_output, theirs));
        match child.told().await? {
            (STARTED, _) => Ok((OwnedFd::from(input).into(), OwnedFd::from(output).into(), child)),
            (FAILED, number) => Err(io::Error::from_raw_os_error(number)),
            _ => Err(io::Error::other("the spawner says what it shouldn't")),
        }
    }
}

impl SpawnedChild {
    /// Waits for the end of the child.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        match self.told().await? {
            (ENDED, status) => Ok(ExitStatus::from_raw(status)),
            _ => Err(io::Error::other("the spawner says what it shouldn't")),
        }
    }

    async fn told(&mut self) -> io::Result<(u8, i32)> {
        let mut told = [0; TOLD_BYTES];
        self.life.read_exact(&mut told).await?;
        let [letter, number @ ..] = told;
        Ok((letter, i32::from_ne_bytes(number)))
    }
}

/// A child, in the spawner. Dropping it kills it, if it still runs.
struct Running {
    child: Child,
    /// Readable when it has ended.
    end: OwnedFd,
    /// Closed by the other side when nobody wants it any more.
    life: UnixStream,
}

impl Running {
    /// None: it has ended, and that has been told.
    fn unless_ended(mut self) -> Option<Self> {
        match self.child.try_wait() {
            Ok(None) => Some(self),
            Ok(Some(status)) => {
                tell(&self.life, ENDED, status.into_raw());
                None
            }
            Err(_) => None,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is left alone by both.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The life of the spawner: ends when the process that it serves has.
fn serve(requests: &OwnedFd) -> io::Result<()> {
    leave_parent(requests)?;
    let mut children: Vec<Running> = Vec::new();
    loop {
        let (asked, wanted) = happened(requests, &children)?;
        let still_wanted = children.into_iter().zip(wanted).filter(|(_, wanted)| *wanted);
        children = still_wanted.filter_map(|(child, _)| child.unless_ended()).collect();
        if !asked {
            continue;
        }
        match receive(requests)? {
            Asked::ToEnd => return Ok(()),
            Asked::ToStart(pipes) => children.extend(started(pipes, children.len())),
            Asked::Nonsense => {}
        }
    }
}

/// Keeps nothing of the parent's: no terminal, no open file, no process group that a Ctrl-C goes to.
#[expect(
    unsafe_code,
    reason = "descriptors that others opened can only be closed by their numbers"
)]
fn leave_parent(requests: &OwnedFd) -> io::Result<()> {
    let _ = rustix::process::setsid();
    let _ = rustix::thread::set_name(c"sandbar-spawner");
    rustix::thread::set_no_new_privs(true)?;
    let nothing = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    rustix::stdio::dup2_stderr(&nothing)?;
    drop(nothing);
    let kept = requests.as_raw_fd().unsigned_abs();
    for (from, to) in [(3, kept.saturating_sub(1)), (kept + 1, u32::MAX)] {
        if from <= to {
            // SAFETY: what is closed belongs to nobody here: the owners are on the stack of a function that never goes on. A kernel that
            // doesn't know the call leaves the descriptors open, which harms nobody.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        }
    }
    Ok(())
}

/// Waits for something to happen: whether there is a request, and for each child whether it is still wanted.
fn happened(requests: &OwnedFd, children: &[Running]) -> io::Result<(bool, Vec<bool>)> {
    let mut waited = vec![PollFd::new(requests, PollFlags::IN)];
    for child in children {
        waited.push(PollFd::new(&child.end, PollFlags::IN));
        // That the other side is gone is told unasked.
        waited.push(PollFd::new(&child.life, PollFlags::empty()));
    }
    match poll(&mut waited, None) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return Ok((false, vec![true; children.len()])),
        Err(error) => return Err(error.into()),
    }
    let wanted = waited[1..].chunks(2).map(|child| child[1].revents().is_empty());
    Ok((!waited[0].revents().is_empty(), wanted.collect()))
}

enum Asked {
    /// Whoever asked is gone.
    ToEnd,
    ToStart([OwnedFd; DESCRIPTORS]),
    /// Nothing that the list has. Whoever asked sees that the socket of the child is closed.
    Nonsense,
}

fn receive(requests: &OwnedFd) -> io::Result<Asked> {
    let mut request = [0; 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        requests,
        &mut [IoSliceMut::new(&mut request)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Ok(Asked::ToEnd);
    }
    let descriptors: Vec<OwnedFd> = ancillary
        .drain()
        .flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
            _ => Vec::new(),
        })
        .collect();
    Ok(match (request, <[OwnedFd; DESCRIPTORS]>::try_from(descriptors)) {
        ([COMPILE_WORKER], Ok(descriptors)) => Asked::ToStart(descriptors),
        _ => Asked::Nonsense,
    })
}

fn started([input, output, life]: [OwnedFd; DESCRIPTORS], running: usize) -> Option<Running> {
    let life = UnixStream::from(life);
    let start = || {
        if running >= MAX_CHILDREN {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        // The spawner is a copy of the process that it serves: whatever happens to the file, this is the same program.
        let mut child = command(Path::new("/proc/self/exe"), true)
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output))
            .spawn()?;
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(end) => Ok((child, end)),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error.into())
            }
        }
    };
    match start() {
        Ok((child, end)) => {
            tell(&life, STARTED, 0);
            Some(Running { child, end, life })
        }
        Err(error) => {
            tell(&life, FAILED, error.raw_os_error().unwrap_or(libc::EIO));
            None
        }
    }
}

/// Who doesn't listen any more need not be told.
fn tell(mut life: &UnixStream, letter: u8, number: i32) {
    let mut told = [letter; TOLD_BYTES];
    told[1..].copy_from_slice(&number.to_ne_bytes());
    let _ = life.write_all(&told);
}
