//! The two streams: data on standard output, everything else on standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sandbar::protocol::{Error, Protected};
use serde::Serialize;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::exit::Exit;
use crate::options::Options;
use crate::sanitise::sanitise;
use crate::style::{Paint, Style};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

#[derive(Debug)]
pub(crate) struct Terminal {
    /// JSON is wanted, one value a line.
    pub(crate) json: bool,
    coloured: bool,
    /// Why standard output failed, if it did: a command goes on, since a run must not stop when its reader goes away.
    failure: Mutex<Option<io::Error>>,
    /// What must not be in the log, once it is known.
    protected: Arc<OnceLock<Arc<Protected>>>,
}

/// Standard error for the log: each of its lines comes as one piece.
#[derive(Debug, Clone)]
struct LogWriter(Arc<OnceLock<Arc<Protected>>>);

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let redacted = self.0.get().and_then(|protected| protected.redact_bytes(bytes));
        io::stderr().write_all(redacted.as_deref().unwrap_or(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl Terminal {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            json: options.json,
            coloured: !options.no_color && !sandbar::config::sources::colour_is_unwanted(),
            failure: Mutex::new(None),
            protected: Arc::default(),
        }
    }

    /// What the runtime says beside its results, more with each `-v`; what a user must know is reported without it. Libraries stay
    /// quiet.
    pub(crate) fn start_logging(&self, verbose: u8) {
        let filter = match verbose {
            0 => "error",
            1 => "error,sandbar=info",
            2 => "warn,sandbar=debug",
            _ => "info,sandbar=trace",
        };
        let writer = LogWriter(self.protected.clone());
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(filter))
            .with_writer(move || writer.clone())
            .with_ansi(self.paint(Stream::Err).coloured)
            .with_target(false)
            .without_time()
            .init();
    }

    /// Takes what must not be in the log from now on. The first runtime that a command opens says it.
    pub(crate) fn protect(&self) -> Arc<dyn Fn(Arc<Protected>) + Send + Sync> {
        let protected = self.protected.clone();
        Arc::new(move |values| {
            protected.get_or_init(|| values);
        })
    }

    pub(crate) fn is_interactive(&self, stream: Stream) -> bool {
        match stream {
            Stream::Out => io::stdout().is_terminal(),
            Stream::Err => io::stderr().is_terminal(),
        }
    }

    /// In characters; none where the stream is no terminal.
    pub(crate) fn width(&self, stream: Stream) -> Option<usize> {
        let size = match stream {
            Stream::Out => rustix::termios::tcgetwinsize(io::stdout()),
            Stream::Err => rustix::termios::tcgetwinsize(io::stderr()),
        };
        // A terminal that doesn't know its size says 0.
        size.ok().map(|size| size.ws_col.into()).filter(|width| *width > 0)
    }

    pub(crate) fn paint(&self, stream: Stream) -> Paint {
        Paint {
            coloured: self.coloured && self.is_interactive(stream),
        }
    }

    /// A line of data.
    pub(crate) fn line(&self, text: &str) {
        self.write(Stream::Out, &format!("{text}\n"));
    }

    pub(crate) fn lines(&self, lines: impl IntoIterator<Item = String>) {
        for line in lines {
            self.line(&line);
        }
    }

    pub(crate) fn json_line(&self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(text) => self.line(&text),
            Err(error) => self.note(&format!("error: a value can't be written as JSON: {error}")),
        }
    }

    /// A line that is no data.
    pub(crate) fn note(&self, text: &str) {
        self.write(Stream::Err, &format!("{text}\n"));
    }

    /// Text as it is; it must be sanitised.
    pub(crate) fn write(&self, stream: Stream, text: &str) {
        let written = match stream {
            Stream::Out => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
            // There is nowhere to say that standard error failed.
            Stream::Err => io::stderr().lock().write_all(text.as_bytes()).or(Ok(())),
        };
        if let Err(error) = written {
            self.failure
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(error);
        }
    }

    pub(crate) fn errors(&self, errors: &[Error]) {
        for error in errors {
            self.report("error", Style::Red, error);
        }
    }

    pub(crate) fn warning(&self, error: &Error) {
        self.report("warning", Style::Yellow, error);
    }

    fn report(&self, severity: &str, style: Style, error: &Error) {
        if self.json {
            let mut value = json!(error);
            value["severity"] = json!(severity);
            self.note(&value.to_string());
            return;
        }
        let paint = self.paint(Stream::Err);
        let label = |style, label: &str| paint.with(style, label);
        self.note(&format!(
            "{} {}",
            label(style, &format!("{severity}:")),
            sanitise(&error.message)
        ));
        if let Some(hint) = &error.hint {
            self.note(&format!("{} {}", label(Style::Cyan, "hint:"), sanitise(hint)));
        }
    }

    /// The exit code, in the end. A reader that went away is no failure: `sandbar … | head` does that.
    pub(crate) fn finish(&self, exit: Exit) -> Exit {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        match failure {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.note(&format!("error: can't write to standard output: {error}"));
                if exit == Exit::Ok { Exit::Storage } else { exit }
            }
            _ => exit,
        }
    }
}
