//! Server-sent events: from bytes, cut anywhere, to events.
//!
//! As tolerant as the standard asks for and providers need: any line break, comments, a byte order mark, data of several lines, no
//! space after the colon, no blank line at the end. `id` and `retry` are ignored: a model's answer is never resumed.

use std::collections::VecDeque;

use crate::limits::MAX_EVENT_BYTES;

/// One event. Without a name it is a `message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SseEvent {
    pub(crate) name: String,
    pub(crate) data: String,
}

/// All events of a stream that comes in pieces, as names and data; none where one is too long. For who tries to break the decoder.
#[doc(hidden)]
pub fn decode_events(pieces: &[&[u8]]) -> Option<Vec<(String, String)>> {
    let mut decoder = Decoder::default();
    for piece in pieces {
        decoder.push(piece).ok()?;
    }
    decoder.finish().ok()?;
    let events = std::iter::from_fn(|| decoder.next());
    Some(events.map(|event| (event.name, event.data)).collect())
}

/// An event is longer than `MAX_EVENT_BYTES`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The line that is not ended yet.
    line: Vec<u8>,
    /// Whether the last byte was a carriage return: a line feed after it ends no second line.
    after_return: bool,
    /// Whether the first line is over: only that one may start with a byte order mark.
    begun: bool,
    name: String,
    data: Option<String>,
    ready: VecDeque<SseEvent>,
}

impl Decoder {
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        let mut rest = bytes;
        if std::mem::take(&mut self.after_return) && rest.first() == Some(&b'\n') {
            rest = &rest[1..];
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&rest[..end])?;
            self.end_line()?;
            let pair = rest[end..].starts_with(b"\r\n");
            self.after_return = rest[end] == b'\r' && end + 1 == rest.len();
            rest = &rest[end + 1 + usize::from(pair)..];
        }
        self.extend(rest)
    }

    /// The next whole event, if there is one.
    pub(crate) fn next(&mut self) -> Option<SseEvent> {
        self.ready.pop_front()
    }

    /// No byte follows: what was not ended by a blank line counts all the same.
    pub(crate) fn finish(&mut self) -> Result<(), TooLong> {
        self.end_line()?;
        self.dispatch();
        Ok(())
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.line.extend_from_slice(bytes);
        let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
        if held > MAX_EVENT_BYTES { Err(TooLong) } else { Ok(()) }
    }

    fn end_line(&mut self) -> Result<(), TooLong> {
        let bytes = std::mem::take(&mut self.line);
        let bytes = match bytes.strip_prefix(b"\xEF\xBB\xBF") {
            Some(rest) if !self.begun => rest,
            _ => &bytes,
        };
        self.begun = true;
        // A line is whole, so that no character in it is cut; what is no UTF-8 was none when it was sent.
        let line = String::from_utf8_lossy(bytes);
        if line.is_empty() {
            self.dispatch();
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "event" => value.clone_into(&mut self.name),
            _ => {}
        }
        // Empty lines of data grow what is held too, by their line breaks.
        self.extend(&[])
    }

    /// An event without data is none.
    fn dispatch(&mut self) {
        let name = std::mem::take(&mut self.name);
        if let Some(data) = self.data.take() {
            self.ready.push_back(SseEvent { name, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(pieces: &[&[u8]]) -> Vec<String> {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        for piece in pieces {
            decoder.push(piece).unwrap();
            events.extend(std::iter::from_fn(|| decoder.next()));
        }
        decoder.finish().unwrap();
        events.extend(std::iter::from_fn(|| decoder.next()));
        events
            .iter()
            .map(|event| format!("{}|{}", event.name, event.data))
            .collect()
    }

    /// The same however the stream is cut: whole, at each position, and byte by byte.
    fn check(stream: impl AsRef<[u8]>, expected: &[&str]) {
        let stream = stream.as_ref();
        let shown = String::from_utf8_lossy(stream);
        for at in 0..=stream.len() {
            assert_eq!(
                decode(&[&stream[..at], &stream[at..]]),
                expected,
                "{shown:?} cut at {at}"
            );
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(decode(&bytes), expected, "{shown:?} byte by byte");
    }

    #[test]
    fn events_are_found_however_they_are_written() {
        check("", &[]);
        check("data: a\n\ndata: b\n\n", &["|a", "|b"]);
        check("data: a\r\n\r\ndata: b\r\n\r\n", &["|a", "|b"]);
        check("data: a\r\rdata: b\r\r", &["|a", "|b"]);
        check("data: a\r\n\ndata: b\n\r\n", &["|a", "|b"]);
        check("data:a\n\ndata:  b\n\n", &["|a", "| b"]);
        check("data: a\ndata: b\ndata\n\n", &["|a\nb\n"]);
        check(": ping\n\n:\n\ndata: a\n: ping\ndata: b\n\n", &["|a\nb"]);
        check(
            "event: error\ndata: a\n\nevent: ping\n\ndata: b\n\n",
            &["error|a", "|b"],
        );
        check("id: 1\nretry: 5\nother: x\ndata: {\"a\": 1}\n\n", &["|{\"a\": 1}"]);
        check("\u{FEFF}data: a\n\n\u{FEFF}data: b\n\n", &["|a"]);
        check("data: größer 🦀\n\n", &["|größer 🦀"]);
        check(b"data: \xff\n\n", &["|\u{FFFD}"]);
        check("data: a\n\ndata: no end", &["|a", "|no end"]);
        check("data: a\n\ndata: no blank\n", &["|a", "|no blank"]);
        check("\n\n\n<html>\n</html>\n", &[]);
    }

    #[test]
    fn endless_events_are_refused() {
        let long = vec![b'x'; MAX_EVENT_BYTES / 2];
        let mut line = Decoder::default();
        assert_eq!(
            (line.push(&long), line.push(&long), line.push(b"x")),
            (Ok(()), Ok(()), Err(TooLong))
        );
        let mut lines = Decoder::default();
        let piece = [b"data: ", long.as_slice(), b"\n"].concat();
        assert_eq!(
            (lines.push(&piece), lines.push(&piece), lines.push(&piece)),
            (Ok(()), Err(TooLong), Err(TooLong))
        );
    }
}
