//! What may be said over a TCP connection before it is known who speaks. A WebSocket's own
//! bound holds for all its messages alike, so the bytes are counted where they are read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Any number of bytes may be read.
const OPEN: usize = usize::MAX;

/// How many bytes may still be read. Clones share it; it begins open.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<AtomicUsize>);

impl Default for Gate {
    fn default() -> Self {
        Gate(Arc::new(AtomicUsize::new(OPEN)))
    }
}

impl Gate {
    /// From now on so many bytes may be read, until it is opened.
    pub(crate) fn narrow(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn open(&self) {
        self.0.store(OPEN, Ordering::Relaxed);
    }

    /// Whether more was said than may be.
    pub(crate) fn is_shut(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn pass(&self, bytes: usize) {
        let left = self.0.load(Ordering::Relaxed);
        // Who reads, who narrows and who opens are one task at a time.
        if left != OPEN {
            self.0.store(left.saturating_sub(bytes), Ordering::Relaxed);
        }
    }
}

/// A stream with a gate before what is read.
pub(crate) struct Gated<S> {
    stream: S,
    gate: Gate,
}

impl<S> Gated<S> {
    pub(crate) fn new(stream: S, gate: Gate) -> Self {
        Gated { stream, gate }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gated<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.gate.is_shut() {
            return Poll::Ready(Err(io::Error::other("more was said than may be before Connect is answered")));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        self.gate.pass(into.filled().len().saturating_sub(before));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gated<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
