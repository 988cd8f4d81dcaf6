//! The person at the terminal, whose word is read from there and from nowhere else.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{QueueSelector, tcflush};

/// The most that one answer may have.
const MAX_LINE: usize = 4096;

/// A terminal that a person reads and types at.
#[derive(Debug)]
pub(crate) struct Person {
    input: Arc<OwnedFd>,
}

impl Person {
    /// None where nobody would see a question, or nobody could answer it. Standard input may be a pipe: then the terminal of this
    /// process is asked, so that what comes through the pipe is never an answer.
    pub(crate) fn find() -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let input = match io::stdin().is_terminal() {
            true => io::stdin().as_fd().try_clone_to_owned().ok()?,
            false => File::open("/dev/tty").ok()?.into(),
        };
        Some(Self { input: Arc::new(input) })
    }

    /// Forgets what was typed before the question could be read.
    pub(crate) fn forget_typed(&self) {
        // What is no terminal has nothing to forget.
        let _ = tcflush(&self.input, QueueSelector::IFlush);
    }

    /// A line; none at the end of the input. Dropping the future ends the reading, and takes nothing from who reads next.
    pub(crate) async fn line(&self) -> io::Result<Option<String>> {
        let (stop, keep_on) = rustix::pipe::pipe()?;
        let input = self.input.clone();
        let reading = tokio::task::spawn_blocking(move || read_line(&input, &stop));
        let line = reading.await.map_err(io::Error::other)?;
        // Until here: its end is what stops the reading.
        drop(keep_on);
        line
    }
}

/// Reads until the end of the line, or until the other end of `stop` is closed.
fn read_line(input: &OwnedFd, stop: &OwnedFd) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    while line.len() < MAX_LINE {
        let mut ready = [PollFd::new(stop, PollFlags::IN), PollFd::new(input, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if !ready[0].revents().is_empty() {
            return Ok(None);
        }
        let mut byte = [0];
        match rustix::io::read(input, &mut byte) {
            Ok(0) => return Ok((!line.is_empty()).then(|| text(&line))),
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) => line.push(byte[0]),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(text(&line)))
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Person {
        /// Somebody who has typed all this, and then leaves.
        pub(crate) fn who_types(keys: &str) -> Self {
            let (person, input) = person();
            rustix::io::write(&input, keys.as_bytes()).unwrap();
            person
        }

        /// Somebody who has typed nothing yet, and the keyboard.
        pub(crate) fn who_thinks() -> (Self, OwnedFd) {
            person()
        }
    }

    fn person() -> (Person, OwnedFd) {
        let (input, keys) = rustix::pipe::pipe().unwrap();
        let person = Person { input: Arc::new(input) };
        (person, keys)
    }

    #[tokio::test]
    async fn lines_come_one_at_a_time() {
        let (person, keys) = person();
        rustix::io::write(&keys, "y\nn später\nla".as_bytes()).unwrap();
        drop(keys);
        let mut lines = Vec::new();
        while let Some(line) = person.line().await.unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, ["y", "n später", "la"]);
    }

    #[tokio::test]
    async fn who_stops_reading_takes_nothing() {
        let (person, keys) = person();
        {
            let line = person.line();
            tokio::pin!(line);
            // Polled once, so that the reading has begun.
            assert!(futures_poll(line.as_mut()).await.is_none());
        }
        rustix::io::write(&keys, b"y\n").unwrap();
        assert_eq!(person.line().await.unwrap(), Some("y".to_owned()));
    }

    /// What a future gives at its first poll.
    async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match future.as_mut().poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
