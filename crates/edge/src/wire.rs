//! The seam between a transport and its driver: whole frames in, whole frames out.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use skep_core::{Block, Incoming, Transmit};
use skep_protocol::{Encoding, Error, Frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::{TURN_BYTES_MAX, UNWRITTEN_BYTES_MAX};

thread_local! {
    /// What reads go through, so that an idle connection owns no buffer. Used within one poll only; nothing of it outlives that.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; TURN_BYTES_MAX].into());
}

/// One transport of one connection, both halves. It keeps no frame beyond what it is
/// writing just now; what waits, waits in the [`Outbox`], where it is counted.
pub(crate) trait Wire: Send + Unpin {
    /// Appends what the peer said, one frame or batch at a time; answers about how many
    /// bytes that was, never 0. A sign of life that is no frame appends nothing. At the end of
    /// what can be read it may have appended what came before.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<Incoming>) -> Poll<Result<usize, Gone>>;

    /// Writes what is in the outbox; ready when all of it is on its way to the peer.
    fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Outbox) -> Poll<Result<(), Gone>>;

    /// It is known who the peer is: it may say as much as a frame may hold.
    fn let_in(&mut self) {}

    /// Says that nothing more will be written.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Why the other side can be read or written no more.
#[derive(Debug)]
pub(crate) enum Gone {
    /// It closed, or the network did.
    Closed(String),
    /// It said what no frame can be read from; it is told so, if it still listens.
    Broken(Error),
}

impl From<io::Error> for Gone {
    fn from(error: io::Error) -> Self {
        Gone::Closed(error.to_string())
    }
}

/// Reads what is there, at most so much, and has `take` take it; answers how much it was, never 0.
pub(crate) fn poll_read_some(
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    bytes_max: usize,
    take: impl FnOnce(&[u8]) -> Result<(), Gone>,
) -> Poll<Result<usize, Gone>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let room = bytes_max.min(scratch.len());
        let mut buffer = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        let came = buffer.filled();
        if came.is_empty() {
            return Poll::Ready(Err(Gone::Closed("it closed".into())));
        }
        take(came)?;
        Poll::Ready(Ok(came.len()))
    })
}

/// What stands before a frame on a stream of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    len: usize,
}

const HEAD_BYTES_MAX: usize = 10;

impl Head {
    /// Of at most 10 bytes.
    pub(crate) fn new(head: &[u8]) -> Self {
        let mut bytes = [0; HEAD_BYTES_MAX];
        bytes.iter_mut().zip(head).for_each(|(byte, known)| *byte = *known);
        Head { bytes, len: head.len().min(HEAD_BYTES_MAX) }
    }
}

impl AsRef<[u8]> for Head {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Writes some of the blocks that wait, at most so many, straight from where they lie, each behind its head. `written` are the
/// bytes of the first one and its head that went before.
pub(crate) fn poll_write_some(
    stream: &mut (impl AsyncWrite + Unpin),
    cx: &mut Context<'_>,
    (out, written): (&mut Outbox, &mut usize),
    blocks_max: usize,
    head: impl Fn(usize) -> Head,
) -> Poll<Result<(), Gone>> {
    let blocks = out.blocks();
    let blocks = blocks.get(..blocks_max).unwrap_or(blocks);
    let heads: Vec<Head> = blocks.iter().map(|block| head(block.bytes.len())).collect();
    let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(2 * blocks.len());
    for (head, block) in heads.iter().zip(blocks) {
        slices.extend([IoSlice::new(head.as_ref()), IoSlice::new(&block.bytes)]);
    }
    let mut slices = slices.as_mut_slice();
    IoSlice::advance_slices(&mut slices, *written);
    let count = ready!(Pin::new(stream).poll_write_vectored(cx, slices))?;
    if count == 0 {
        return Poll::Ready(Err(Gone::Closed("it takes no more".into())));
    }
    *written += count;
    out.passed += count as u64;
    for head in heads {
        let whole = head.len + out.blocks().first().map_or(0, |block| block.bytes.len());
        if *written < whole {
            break;
        }
        *written -= whole;
        out.pop();
    }
    Poll::Ready(Ok(()))
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    transmit: Transmit,
    /// Blocks already handed over.
    taken: usize,
    /// See [`Outbox::passed`].
    passed: u64,
}

impl Outbox {
    /// Where the connection appends.
    pub(crate) fn transmit(&mut self) -> &mut Transmit {
        &mut self.transmit
    }

    /// Whether more may be gathered. Frames as values are not counted in bytes: one batch waits at most.
    pub(crate) fn has_room(&self) -> bool {
        self.transmit.bytes <= UNWRITTEN_BYTES_MAX && self.transmit.values.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks().is_empty() && self.transmit.values.is_empty()
    }

    /// Something that grows whenever the peer takes something, be it a part of a block.
    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    /// The encoded frames that wait.
    pub(crate) fn blocks(&self) -> &[Block] {
        self.transmit.blocks.get(self.taken..).unwrap_or_default()
    }

    /// Takes the first of them.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let block = std::mem::take(self.transmit.blocks.get_mut(self.taken)?).bytes;
        self.taken += 1;
        self.passed += 1;
        self.transmit.bytes -= block.len();
        // Behind a peer that is never quite up to date, too.
        if 2 * self.taken >= self.transmit.blocks.len() {
            self.transmit.blocks.drain(..self.taken);
            self.taken = 0;
        }
        Some(block)
    }

    /// Takes all frames that wait as values.
    pub(crate) fn take_values(&mut self) -> Vec<Frame> {
        self.passed += u64::from(!self.transmit.values.is_empty());
        std::mem::take(&mut self.transmit.values)
    }

    /// Adds a frame of the driver's own.
    pub(crate) fn put(&mut self, encoding: Encoding, frame: &Frame) {
        let mut block = Vec::new();
        encoding.encode(frame, &mut block);
        self.transmit.bytes += block.len();
        self.transmit.blocks.push(Bytes::from(block).into());
    }

    /// What was not handed over.
    pub(crate) fn into_unwritten(self) -> Transmit {
        self.transmit
    }

    /// An idle connection owns no buffer.
    pub(crate) fn release(&mut self) {
        if self.is_empty() {
            *self = Outbox::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_makes_room_again() {
        let mut out = Outbox::default();
        let large = Bytes::from(vec![0; UNWRITTEN_BYTES_MAX]);
        for _ in 0..2 {
            out.transmit().bytes += large.len();
            out.transmit().blocks.push(large.clone().into());
        }
        assert!(!out.has_room());
        out.pop();
        assert!(out.has_room() && !out.is_empty());
        out.pop();
        assert!(out.is_empty() && out.pop().is_none());
    }

    #[test]
    fn who_is_never_quite_up_to_date_makes_nothing_grow() {
        let mut out = Outbox::default();
        let block = Bytes::from_static(b"block");
        let put = |out: &mut Outbox| {
            out.transmit().bytes += block.len();
            out.transmit().blocks.push(block.clone().into());
        };
        put(&mut out);
        for _ in 0..10_000 {
            put(&mut out);
            out.pop();
        }
        assert_eq!((out.blocks().len(), out.transmit.bytes), (1, block.len()));
        assert!(out.transmit.blocks.capacity() < 16, "{}", out.transmit.blocks.capacity());
    }
}
