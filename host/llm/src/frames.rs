//! The body of an answer, cut into what a codec reads: events of a stream, or one JSON document from a server that doesn't stream.

use crate::limits::MAX_EVENT_BYTES;
use crate::sse::{Decoder, SseEvent, TooLong};

/// How much of a body is kept to show in an error.
const HEAD_BYTES: usize = 1024;
/// How much white space at the start may leave open what follows.
const MAX_LEADING_BYTES: usize = 4096;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Event(SseEvent),
    /// The whole body.
    Document(Vec<u8>),
}

/// Which form a body has is told by its first character: the header `content-type` is wrong too often.
#[derive(Debug)]
pub(crate) struct Frames {
    body: Body,
    head: Vec<u8>,
}

#[derive(Debug)]
enum Body {
    Unknown(Vec<u8>),
    Document(Vec<u8>),
    Events(Decoder),
    Over,
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self {
            body: Body::Unknown(Vec::new()),
            head: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        let room = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        match &mut self.body {
            Body::Unknown(start) => {
                start.extend_from_slice(bytes);
                let start = std::mem::take(start);
                self.settle(start)
            }
            Body::Document(document) => {
                document.extend_from_slice(bytes);
                if document.len() > MAX_EVENT_BYTES {
                    Err(TooLong)
                } else {
                    Ok(())
                }
            }
            Body::Events(decoder) => decoder.push(bytes),
            Body::Over => Ok(()),
        }
    }

    /// No byte follows.
    pub(crate) fn finish(&mut self) -> Result<(), TooLong> {
        match &mut self.body {
            Body::Events(decoder) => decoder.finish(),
            _ => Ok(()),
        }
    }

    pub(crate) fn next(&mut self) -> Option<Frame> {
        match &mut self.body {
            Body::Events(decoder) => decoder.next().map(Frame::Event),
            _ => None,
        }
    }

    /// The document, if the body is one: it is whole only once the body has ended.
    pub(crate) fn take_document(&mut self) -> Option<Frame> {
        match std::mem::replace(&mut self.body, Body::Over) {
            Body::Document(document) => Some(Frame::Document(document)),
            other => {
                self.body = other;
                None
            }
        }
    }

    /// What the body began with, and whether that is all of it.
    pub(crate) fn head(&self) -> (&[u8], bool) {
        (&self.head, self.head.len() < HEAD_BYTES)
    }

    fn settle(&mut self, start: Vec<u8>) -> Result<(), TooLong> {
        const MARK: &[u8] = b"\xEF\xBB\xBF";
        let text = start.strip_prefix(MARK).unwrap_or(&start).trim_ascii_start();
        let open = text.is_empty() || MARK.starts_with(&start);
        if text.first() == Some(&b'{') {
            let document = text.to_owned();
            let long = document.len() > MAX_EVENT_BYTES;
            self.body = Body::Document(document);
            return if long { Err(TooLong) } else { Ok(()) };
        }
        if open && start.len() <= MAX_LEADING_BYTES {
            self.body = Body::Unknown(start);
            return Ok(());
        }
        let mut decoder = Decoder::default();
        let pushed = decoder.push(&start);
        self.body = Body::Events(decoder);
        pushed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(pieces: &[&[u8]]) -> Vec<String> {
        let mut frames = Frames::new();
        for piece in pieces {
            frames.push(piece).unwrap();
        }
        frames.finish().unwrap();
        let mut found: Vec<Frame> = std::iter::from_fn(|| frames.next()).collect();
        found.extend(frames.take_document());
        let shown = found.into_iter().map(|frame| match frame {
            Frame::Event(event) => format!("event {}", event.data),
            Frame::Document(bytes) => format!("document {}", String::from_utf8_lossy(&bytes)),
        });
        shown.collect()
    }

    fn check(body: &str, expected: &[&str]) {
        let body = body.as_bytes();
        for at in 0..=body.len() {
            assert_eq!(frames(&[&body[..at], &body[at..]]), expected, "cut at {at}");
        }
    }

    #[test]
    fn the_first_character_tells_the_form() {
        check("data: {}\n\n", &["event {}"]);
        check("\u{FEFF}data: {}\n\n", &["event {}"]);
        check("\n\n: ping\n\ndata: {}", &["event {}"]);
        check(" \n{\"a\":\n1}", &["document {\"a\":\n1}"]);
        check("\u{FEFF}{}", &["document {}"]);
        check("<html>", &[]);
        check("  \n", &[]);
        let mut long = "\n".repeat(MAX_LEADING_BYTES + 1);
        long.push_str("data: a");
        assert_eq!(frames(&[long.as_bytes()]), ["event a"]);
    }

    #[test]
    fn documents_have_a_limit() {
        let mut frames = Frames::new();
        frames.push(b"{").unwrap();
        assert_eq!(frames.push(&vec![b' '; MAX_EVENT_BYTES]), Err(TooLong));
        assert_eq!(
            Frames::new().push(&[vec![b'{'], vec![b' '; MAX_EVENT_BYTES]].concat()),
            Err(TooLong)
        );
    }
}
