//! Frames over anything that carries one frame's bytes at a time.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use skep_protocol::{Encoding, Error, Frame};

use crate::limits::RECEIVE_FRAMES_MAX;

/// Takes what is there as one batch; gives a batch piece by piece and flushes once.
pub(super) struct Encoded<S> {
    inner: S,
    /// An error, or the end, that came behind frames: told after them.
    last: Option<Option<Error>>,
}

impl<S> Encoded<S> {
    pub(super) fn new(inner: S) -> Self {
        Encoded { inner, last: None }
    }
}

impl<S: Stream<Item = Result<Bytes, Error>> + Unpin> Stream for Encoded<S> {
    type Item = Result<Vec<Frame>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut frames = Vec::new();
        while self.last.is_none() && frames.len() < RECEIVE_FRAMES_MAX {
            match self.inner.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(bytes))) => match Encoding::Compact.decode(&bytes) {
                    Ok(frame) => frames.push(frame),
                    Err(error) => self.last = Some(Some(error)),
                },
                Poll::Ready(Some(Err(error))) => self.last = Some(Some(error)),
                Poll::Ready(None) => self.last = Some(None),
                Poll::Pending if frames.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        if !frames.is_empty() {
            return Poll::Ready(Some(Ok(frames)));
        }
        Poll::Ready(self.last.clone().flatten().map(Err))
    }
}

impl<S: Sink<Bytes, Error = Error> + Unpin> Sink<Vec<Frame>> for Encoded<S> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready_unpin(cx)
    }

    /// The pieces of one batch are taken without asking in between: the batch is bounded.
    fn start_send(mut self: Pin<&mut Self>, frames: Vec<Frame>) -> Result<(), Error> {
        for frame in frames {
            let mut bytes = Vec::new();
            Encoding::Compact.encode(&frame, &mut bytes);
            self.inner.start_send_unpin(bytes.into())?;
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_flush_unpin(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_close_unpin(cx)
    }
}
