//! Streams over a guest's files, counted.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

use super::directory::{Growth, OpenNode, Write};
use super::ledger::{Full, Held, HeldFile};
use super::quota::NoRoom;

/// Takes from the quota what makes the file longer.
pub(super) struct CountedOutput {
    inner: DynOutputStream,
    held: Held,
    node: Arc<OpenNode>,
    full: Arc<Full>,
    /// Where the next byte goes; none at the end, wherever that is.
    position: Option<u64>,
    /// The write that goes on.
    write: Option<Write>,
}

/// Holds the file's place in the count of open files.
pub(super) struct CountedInput {
    inner: DynInputStream,
    _file: Arc<HeldFile>,
}

impl CountedOutput {
    pub(super) fn new(
        inner: DynOutputStream,
        held: Held,
        node: Arc<OpenNode>,
        full: Arc<Full>,
        position: Option<u64>,
    ) -> Self {
        Self {
            inner,
            held,
            node,
            full,
            position,
            write: None,
        }
    }

    fn landed(&mut self) {
        if let Some(write) = self.write.take() {
            write.landed();
        }
    }
}

#[async_trait]
impl OutputStream for CountedOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let written = bytes.len() as u64;
        let growth = match self.position {
            Some(position) => Growth::To(position.saturating_add(written)),
            None => Growth::By(written),
        };
        let Some(write) = self.held.quota.write(&self.node, growth) else {
            self.full.tell(&self.held.quota);
            return Err(StreamError::LastOperationFailed(NoRoom.into()));
        };
        let accepted = self.inner.write(bytes);
        match &accepted {
            // It is accepted when the one before is over, and not earlier.
            Ok(()) => {
                self.landed();
                self.write = Some(write);
                self.position = self.position.map(|position| position.saturating_add(written));
            }
            Err(_) => write.landed(),
        }
        accepted
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let ready = self.inner.check_write();
        if !matches!(ready, Ok(0)) {
            self.landed();
        }
        ready
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
        self.landed();
    }
}

#[async_trait]
impl Pollable for CountedOutput {
    async fn ready(&mut self) {
        self.inner.ready().await;
        self.landed();
    }
}

impl CountedInput {
    pub(super) fn new(inner: DynInputStream, file: Arc<HeldFile>) -> Self {
        Self { inner, _file: file }
    }
}

#[async_trait]
impl InputStream for CountedInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.inner.read(size)
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[async_trait]
impl Pollable for CountedInput {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}
