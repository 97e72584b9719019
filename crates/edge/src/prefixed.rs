//! Frames over a byte stream: four bytes of length, little-endian, then a compact frame.
//!
//! Reads go through a buffer of the worker, and writes straight from the blocks, so an idle
//! connection owns no buffer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use skep_core::Incoming;
use skep_protocol::limits::{CONNECT_BYTES_MAX, FRAME_BYTES_MAX};
use skep_protocol::{Code, Encoding, Error, Frame};
use tokio::io::AsyncWrite;
use tokio::net::UnixStream;

use crate::limits::{BLOCKS_A_WRITE, TURN_BYTES_MAX};
use crate::wire::{Gone, Head, Outbox, Wire, poll_read_some, poll_write_some};

/// Bytes of the length before a frame.
const PREFIX: usize = 4;

/// Frames over one Unix stream.
pub(crate) struct PrefixedWire {
    stream: UnixStream,
    frames: Frames,
    /// Bytes already written of the first block and its length.
    written: usize,
}

/// The frames in bytes that come in pieces.
#[derive(Default)]
struct Frames {
    /// The beginning of a frame that has not come whole yet.
    partial: Vec<u8>,
    /// Its first frame has come whole.
    has_spoken: bool,
}

impl Frames {
    /// Takes the whole frames out of what came; keeps the rest.
    fn take(&mut self, mut came: &[u8], into: &mut Vec<Incoming>) -> Result<(), Gone> {
        while !came.is_empty() {
            if self.partial.is_empty()
                && let Some(whole) = self.frame_bytes(came)?
                && let Some(frame) = came.get(PREFIX..whole)
            {
                self.has_spoken = true;
                // A copy of its own: a message that stays must not hold a whole buffer.
                into.push(Incoming::Bytes(Bytes::copy_from_slice(frame)));
                came = came.get(whole..).unwrap_or_default();
                continue;
            }
            let known = self.frame_bytes(&self.partial)?;
            let missing = known.unwrap_or(PREFIX).saturating_sub(self.partial.len());
            let (more, rest) = came.split_at(missing.min(came.len()));
            self.partial.extend_from_slice(more);
            came = rest;
            if known.is_none()
                && let Some(whole) = self.frame_bytes(&self.partial)?
            {
                self.partial.reserve_exact(whole.min(TURN_BYTES_MAX) - PREFIX);
            }
            if self.frame_bytes(&self.partial)? == Some(self.partial.len()) {
                self.has_spoken = true;
                into.push(Incoming::Bytes(Bytes::from(std::mem::take(&mut self.partial)).slice(PREFIX..)));
            }
        }
        Ok(())
    }

    /// How many bytes a frame has with its length, once that can be read. The first one is a
    /// Connect: until it has come, nobody knows who speaks.
    fn frame_bytes(&self, bytes: &[u8]) -> Result<Option<usize>, Gone> {
        let Some(prefix) = bytes.first_chunk::<PREFIX>() else { return Ok(None) };
        let bytes = u32::from_le_bytes(*prefix) as usize;
        let (what, max) = if self.has_spoken { ("frame", FRAME_BYTES_MAX) } else { ("first frame", CONNECT_BYTES_MAX) };
        if bytes > max {
            let text = format!("{what} has {bytes} bytes; at most {max} are taken (u32 little-endian, then it)");
            return Err(Gone::Broken(Error::new(Code::TooLarge, text)));
        }
        Ok(Some(PREFIX + bytes))
    }
}

/// The frames that pieces hold, and how many bytes wait for the rest of theirs: the way in of the fuzzer.
///
/// # Errors
/// `too_large`, when a frame announces too much.
#[cfg(fuzzing)]
pub fn frames_in<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<Incoming>, usize), Error> {
    let (mut frames, mut into) = (Frames::default(), Vec::new());
    for piece in pieces {
        match frames.take(piece, &mut into) {
            Err(Gone::Broken(error)) => return Err(error),
            Err(Gone::Closed(why)) => unreachable!("{why}, and there is no connection"),
            Ok(()) => {}
        }
    }
    Ok((into, frames.partial.len()))
}

impl PrefixedWire {
    pub(crate) fn new(stream: UnixStream) -> Self {
        PrefixedWire { stream, frames: Frames::default(), written: 0 }
    }
}

fn length(bytes: usize) -> Head {
    Head::new(&u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes())
}

/// A frame alone, as it travels.
pub(crate) fn encode(frame: &Frame) -> Vec<u8> {
    let mut bytes = vec![0; PREFIX];
    Encoding::Compact.encode(frame, &mut bytes);
    let length = length(bytes.len() - PREFIX);
    bytes.iter_mut().zip(length.as_ref()).for_each(|(byte, of_length)| *byte = *of_length);
    bytes
}

impl Wire for PrefixedWire {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<Incoming>) -> Poll<Result<usize, Gone>> {
        poll_read_some(&mut self.stream, cx, TURN_BYTES_MAX, |came| self.frames.take(came, into))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Outbox) -> Poll<Result<(), Gone>> {
        while !out.is_empty() {
            ready!(poll_write_some(&mut self.stream, cx, (out, &mut self.written), BLOCKS_A_WRITE, length))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.stream).poll_shutdown(cx).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(frames: &[&[u8]]) -> Vec<u8> {
        frames.iter().flat_map(|f| [&u32::try_from(f.len()).unwrap().to_le_bytes()[..], f].concat()).collect()
    }

    fn lengths(frames: &[Incoming]) -> Vec<usize> {
        let len = |frame: &Incoming| match frame {
            Incoming::Bytes(bytes) => bytes.len(),
            Incoming::Frame(_) => unreachable!("bytes only"),
        };
        frames.iter().map(len).collect()
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let bytes = framed(&[&[1; 5], &[], &[2; 300]]);
        for cut in 1..bytes.len() {
            let mut came = Frames::default();
            let mut frames = Vec::new();
            bytes.chunks(cut).for_each(|chunk| came.take(chunk, &mut frames).unwrap());
            assert_eq!(lengths(&frames), [5, 0, 300], "cut every {cut} bytes");
            assert!(came.partial.is_empty());
        }
    }

    #[test]
    fn a_frame_that_announces_too_much_is_refused_before_it_comes() {
        let mut came = Frames::default();
        let error = came.take(&u32::MAX.to_le_bytes(), &mut Vec::new()).unwrap_err();
        assert!(matches!(error, Gone::Broken(Error { code: Code::TooLarge, .. })), "{error:?}");
    }

    #[test]
    fn a_first_frame_is_no_larger_than_a_connect_and_the_second_may_be() {
        let mut came = Frames::default();
        let large = u32::try_from(CONNECT_BYTES_MAX + 1).unwrap().to_le_bytes();
        let error = came.take(&large, &mut Vec::new()).unwrap_err();
        assert!(matches!(&error, Gone::Broken(e) if e.code == Code::TooLarge && e.text.contains("first")), "{error:?}");
        let mut came = Frames::default();
        let mut frames = Vec::new();
        came.take(&[&framed(&[&vec![1; CONNECT_BYTES_MAX]])[..], &large].concat(), &mut frames).unwrap();
        assert_eq!(lengths(&frames), [CONNECT_BYTES_MAX]);
    }

    #[tokio::test]
    async fn what_is_written_in_pieces_arrives_whole() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut wire = PrefixedWire::new(ours);
        let blocks: Vec<Vec<u8>> = (0..100u8).map(|n| vec![n; 20_000]).collect();
        let mut out = Outbox::default();
        out.transmit().blocks = blocks.iter().map(|block| Bytes::from(block.clone()).into()).collect();
        out.transmit().bytes = 2_000_000;
        let writing = async {
            std::future::poll_fn(|cx| wire.poll_write(cx, &mut out)).await.unwrap();
            drop(wire);
        };
        let mut came = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut theirs, &mut came);
        let ((), read) = tokio::join!(writing, reading);
        read.unwrap();
        let expected: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        assert!(came == framed(&expected));
    }
}
