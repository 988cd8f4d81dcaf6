//! Puts itself behind the walls of a compile worker, as the worker does, and tries what an attacker would try from inside.
//!
//! `probe <wall> <attempt> <target>` ends with 0 if the attempt went well, with the kernel's error number if it was refused, and by a
//! signal if the kernel ended it. It is a program of the tests alone: what users get has no way to be asked such things.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use rustix::process::{getppid, test_kill_process};
use sandbar::plugins::wall::{Wall, only_compute, reach_nothing};

/// The end of a probe that was asked for something that it doesn't know.
const MISUSED: u8 = 255;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let texts: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let [wall, attempt, target] = texts.as_slice() else {
        return MISUSED.into();
    };
    // Found out while it may still be asked for.
    let parent = getppid();
    let stands = match *wall {
        "none" => true,
        "landlock" => reach_nothing() > 0,
        "seccomp" => only_compute(),
        "worker" => Wall::around_compiler().seccomp,
        _ => false,
    };
    if !stands {
        return MISUSED.into();
    }
    let outcome = match *attempt {
        "read" => File::open(target).map(drop),
        "write" => File::create(target).map(drop),
        "tcp" => target
            .parse::<SocketAddr>()
            .map_err(io::Error::other)
            .and_then(TcpStream::connect)
            .map(drop),
        "unix" => UnixStream::connect(target).map(drop),
        "execute" => Err(Command::new(target).exec()),
        "fork" => Command::new(target).status().map(drop),
        "signal" => parent.map_or(Ok(()), |parent| Ok(test_kill_process(parent)?)),
        "code" => executable_memory(),
        "thread" => std::thread::Builder::new().spawn(|| {}).map(drop),
        _ => return MISUSED.into(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error
            .raw_os_error()
            .and_then(|number| u8::try_from(number).ok())
            .unwrap_or(MISUSED)
            .into(),
    }
}

/// Memory that could be filled with machine code and run.
#[expect(unsafe_code, reason = "there is no other way to ask the kernel for it")]
fn executable_memory() -> io::Result<()> {
    const BYTES: usize = 4096;
    let protection = ProtFlags::READ | ProtFlags::WRITE | ProtFlags::EXEC;
    // SAFETY: the mapping is new, nothing refers to it, and it is gone before anything could.
    unsafe {
        let start = mmap_anonymous(std::ptr::null_mut(), BYTES, protection, MapFlags::PRIVATE)?;
        munmap(start, BYTES)?;
    }
    Ok(())
}
