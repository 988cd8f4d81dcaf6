//! Standard output and error of a guest: a bounded buffer each, since the useful text of a crash is there.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use sandbar_protocol::{Protected, with_unseen_replaced};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use crate::limits::MAX_STDIO_BYTES;

/// Keeps the end of what was written, where a crash explains itself, and counts what it dropped. Protected values are taken out before
/// anything is dropped: of one across the place where it was cut, the end would be left.
#[derive(Debug, Clone)]
pub(crate) struct OutputBuffer {
    protected: Arc<Protected>,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Up to twice as much as is shown: what is dropped is searched together with as much that comes after it.
    bytes: Vec<u8>,
    dropped: u64,
    /// Since somebody last asked.
    found: bool,
}

impl OutputBuffer {
    pub(crate) fn new(protected: Arc<Protected>) -> Self {
        let kept = Arc::default();
        Self { protected, kept }
    }

    fn push(&self, bytes: &[u8]) {
        let mut kept = self.kept();
        kept.bytes.extend_from_slice(bytes);
        if kept.bytes.len() > 2 * MAX_STDIO_BYTES {
            kept.cut(&self.protected);
        }
    }

    /// What was written, without protected values and characters that nobody sees; empty if nothing. Also whether there was such a value,
    /// which is told once: a warm instance keeps its buffer, and a crash is asked for it after the call's end has been.
    pub(crate) fn text(&self) -> (String, bool) {
        let mut kept = self.kept();
        kept.cut(&self.protected);
        let text = String::from_utf8_lossy(&kept.bytes);
        let text = with_unseen_replaced(text.trim()).into_owned();
        let text = match kept.dropped {
            0 => text,
            dropped => format!("[{dropped} bytes dropped] {text}"),
        };
        (text, std::mem::take(&mut kept.found))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn cut(&mut self, protected: &Protected) {
        if let Some(without) = protected.redact_bytes(&self.bytes) {
            self.bytes = without;
            self.found = true;
        }
        let over = self.bytes.len().saturating_sub(MAX_STDIO_BYTES);
        self.bytes.drain(..over);
        self.dropped += over as u64;
    }
}

impl IsTerminal for OutputBuffer {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for OutputBuffer {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn wasmtime_wasi::p2::OutputStream> {
        Box::new(self.clone())
    }
}

/// The direct way for WASI 0.2: never blocks, so that no task is needed for each stream.
#[wasmtime_wasi::async_trait]
impl wasmtime_wasi::p2::Pollable for OutputBuffer {
    async fn ready(&mut self) {}
}

impl wasmtime_wasi::p2::OutputStream for OutputBuffer {
    fn write(&mut self, bytes: bytes::Bytes) -> wasmtime_wasi::p2::StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> wasmtime_wasi::p2::StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> wasmtime_wasi::p2::StreamResult<usize> {
        Ok(MAX_STDIO_BYTES)
    }
}

impl AsyncWrite for OutputBuffer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_control_characters_are_not() {
        let buffer = OutputBuffer::new(Arc::default());
        for _ in 0..100 {
            buffer.push(&[b'x'; 1000]);
        }
        buffer.push("panicked\x1b[2J at \u{202e}here\n".as_bytes());
        let (text, found) = buffer.text();
        assert!(text.starts_with("[83640 bytes dropped] xxx"), "{}", &text[..40]);
        assert!(text.ends_with("panicked\u{fffd}[2J at \u{fffd}here"));
        assert!(!found);
    }

    /// The buffer stays as it is from call to call of an instance.
    #[test]
    fn a_value_is_told_once() {
        let value = "Kx7mQ2vN9rTz4LwB8sYd";
        let buffer = OutputBuffer::new(Arc::new(Protected::new([("key".to_owned(), value.to_owned())])));
        let check = |written: &str, expected: &str, found: bool| {
            buffer.push(written.as_bytes());
            assert_eq!(buffer.text(), (expected.to_owned(), found));
        };
        check(&format!("the key is {value}"), "the key is [redacted]", true);
        check("", "the key is [redacted]", false);
        check(", they say", "the key is [redacted], they say", false);
        check(value, "the key is [redacted], they say[redacted]", true);
        check("", "the key is [redacted], they say[redacted]", false);
    }

    /// Wherever it is cut, and in however many pieces a value was written: no end of it is left, and no beginning.
    #[test]
    fn what_is_written_is_searched_before_it_is_cut() {
        let value = "Kx7mQ2vN9rTz4LwB8sYd";
        let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
        let zeros: String = value.chars().map(|c| format!("{c}\0")).collect();
        for (written, end) in [(value, "sYd"), (&hex, "5964"), (&zeros, "Y\u{fffd}d")] {
            for more in 0..=written.len() {
                let protected = Protected::new([("key".to_owned(), value.to_owned())]);
                let buffer = OutputBuffer::new(Arc::new(protected));
                buffer.push(&[b'-'; 1000]);
                for piece in written.as_bytes().chunks(7) {
                    buffer.push(piece);
                }
                // So much that of the value only the end would fit.
                let mut rest = 4 * MAX_STDIO_BYTES - more;
                while rest > 0 {
                    let piece = rest.min(MAX_STDIO_BYTES - more);
                    buffer.push(&vec![b'.'; piece]);
                    rest -= piece;
                }
                let (text, found) = buffer.text();
                assert!(found && !text.contains(end), "{}", &text[..60]);
            }
        }
    }
}
