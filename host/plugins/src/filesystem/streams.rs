//! Streams over a guest's files, counted.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

use super::quota::{NoRoom, OpenFile, Quota};

/// Takes from the quota what makes the file longer.
pub(super) struct CountedOutput {
    inner: DynOutputStream,
    quota: Arc<Quota>,
    /// The file is open as long as this is.
    _file: Arc<OpenFile>,
    /// Where the next byte goes; none at the end, wherever that is.
    position: Option<u64>,
    /// How long the file is, as far as this stream knows.
    size: u64,
}

/// Holds the file's place in the count of open files.
pub(super) struct CountedInput {
    inner: DynInputStream,
    _file: Arc<OpenFile>,
}

impl CountedOutput {
    pub(super) fn new(
        inner: DynOutputStream,
        quota: Arc<Quota>,
        file: Arc<OpenFile>,
        position: Option<u64>,
        size: u64,
    ) -> Self {
        Self {
            inner,
            quota,
            _file: file,
            position,
            size,
        }
    }
}

#[async_trait]
impl OutputStream for CountedOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let written = bytes.len() as u64;
        let growth = match self.position {
            Some(position) => position.saturating_add(written).saturating_sub(self.size),
            None => written,
        };
        if !self.quota.take(growth) {
            return Err(StreamError::LastOperationFailed(NoRoom.into()));
        }
        self.size += growth;
        self.position = self.position.map(|position| position.saturating_add(written));
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.inner.check_write()
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[async_trait]
impl Pollable for CountedOutput {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

impl CountedInput {
    pub(super) fn new(inner: DynInputStream, file: Arc<OpenFile>) -> Self {
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
