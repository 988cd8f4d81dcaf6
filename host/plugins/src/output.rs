//! Standard output and error of a guest: a bounded buffer each, since the useful text of a crash is there.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use crate::limits::MAX_STDIO_BYTES;

/// Keeps the end of what was written, where a crash explains itself, and counts what it dropped.
#[derive(Debug, Clone, Default)]
pub(crate) struct OutputBuffer(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    dropped: u64,
}

impl OutputBuffer {
    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = &bytes[bytes.len().saturating_sub(MAX_STDIO_BYTES)..];
        let overflow = (kept.bytes.len() + tail.len()).saturating_sub(MAX_STDIO_BYTES);
        kept.bytes.drain(..overflow);
        kept.bytes.extend_from_slice(tail);
        kept.dropped += (overflow + bytes.len() - tail.len()) as u64;
    }

    /// What was written, without control characters; empty if nothing.
    pub(crate) fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text: String = String::from_utf8_lossy(&kept.bytes)
            .trim()
            .chars()
            .map(|c| if is_harmless(c) { c } else { '\u{fffd}' })
            .collect();
        match kept.dropped {
            0 => text,
            dropped => format!("[{dropped} bytes dropped] {text}"),
        }
    }
}

/// Control characters move a terminal's cursor, direction marks make a line read as another, and what has no width and no part in writing
/// any language says something to a model that nobody else sees.
pub(crate) fn is_harmless(c: char) -> bool {
    let mark = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let unseen = matches!(c, '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
    matches!(c, '\n' | '\t') || !(c.is_control() || mark || unseen)
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
        let buffer = OutputBuffer::default();
        for _ in 0..100 {
            buffer.push(&[b'x'; 1000]);
        }
        buffer.push("panicked\x1b[2J at \u{202e}here\n".as_bytes());
        let text = buffer.text();
        assert!(text.starts_with("[83640 bytes dropped] xxx"), "{}", &text[..40]);
        assert!(text.ends_with("panicked\u{fffd}[2J at \u{fffd}here"));
    }
}
