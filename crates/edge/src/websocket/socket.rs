//! A WebSocket as a wire: frames of the hub over frames of its own, read and written without a buffer between.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use skep_core::Incoming;
use skep_protocol::Encoding;
use skep_protocol::limits::CONNECT_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncWrite};

use super::frames::{self, Control, Frames};
use crate::limits::{BLOCKS_A_WRITE, STRANGER_READ_BYTES, TURN_BYTES_MAX};
use crate::wire::{Gone, Outbox, Wire, poll_read_some, poll_write_some};

pub(super) struct SocketWire<S> {
    stream: S,
    encoding: Encoding,
    frames: Frames,
    /// Bytes already written of the first block and its head.
    written: usize,
    /// What is to be written before the next block: the answer to a ping, or the close. One at a time.
    control: Vec<u8>,
    /// Bytes of it already written; then it goes before all else.
    control_written: usize,
    /// We have said that we close: nothing more may be said.
    has_closed: bool,
    /// Read so far of a peer that nobody knows; none once it is known.
    stranger_bytes: Option<usize>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> SocketWire<S> {
    pub(super) fn new(stream: S, encoding: Encoding) -> Self {
        SocketWire {
            stream,
            encoding,
            frames: Frames::default(),
            written: 0,
            control: Vec::new(),
            control_written: 0,
            has_closed: false,
            stranger_bytes: Some(0),
        }
    }

    /// Writes what is not for the hub's peer but for the WebSocket. Not into the midst of a block.
    fn poll_control(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        while !self.control.is_empty() && self.written == 0 {
            let rest = self.control.get(self.control_written..).unwrap_or_default();
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(Gone::Closed("it takes no more".into())));
            }
            self.control_written += count;
            if self.control_written >= self.control.len() {
                (self.control, self.control_written) = (Vec::new(), 0);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn answer(&mut self, control: Control, cx: &mut Context<'_>) -> Result<(), Gone> {
        let (frame, is_end) = match control {
            Control::Pong(frame) => (frame, false),
            Control::Close(frame) => (frame, true),
        };
        // One that is being written is finished; of several that wait the last one counts.
        if self.control_written == 0 && !self.has_closed {
            self.control = frame;
        }
        if let Poll::Ready(Err(gone)) = self.poll_control(cx) {
            return Err(gone);
        }
        if is_end { Err(Gone::Closed("it closed".into())) } else { Ok(()) }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for SocketWire<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<Incoming>) -> Poll<Result<usize, Gone>> {
        if let Poll::Ready(Err(gone)) = self.poll_control(cx) {
            return Poll::Ready(Err(gone));
        }
        let bytes_max = match self.stranger_bytes {
            None => TURN_BYTES_MAX,
            Some(read) if read > CONNECT_BYTES_MAX + STRANGER_READ_BYTES => {
                return Poll::Ready(Err(frames::too_much()));
            }
            Some(_) => STRANGER_READ_BYTES,
        };
        let mut control = None;
        let read = ready!(poll_read_some(&mut self.stream, cx, bytes_max, |came| {
            control = self.frames.take(came, into)?;
            Ok(())
        }))?;
        if let Some(stranger_bytes) = &mut self.stranger_bytes {
            *stranger_bytes += read;
        }
        if let Some(control) = control {
            self.answer(control, cx)?;
        }
        Poll::Ready(Ok(read))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Outbox) -> Poll<Result<(), Gone>> {
        let is_text = self.encoding == Encoding::Json;
        loop {
            ready!(self.poll_control(cx))?;
            if out.is_empty() {
                return Poll::Ready(Ok(()));
            }
            // What waits there goes next, also when more and more blocks come.
            let blocks_max = if self.control.is_empty() { BLOCKS_A_WRITE } else { 1 };
            let head = |bytes| frames::head(is_text, bytes);
            ready!(poll_write_some(&mut self.stream, cx, (out, &mut self.written), blocks_max, head))?;
        }
    }

    fn let_in(&mut self) {
        self.stranger_bytes = None;
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.control_written == 0 && !self.has_closed {
            (self.control, self.has_closed) = (frames::close(), true);
        }
        self.poll_control(cx).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const PING: [u8; 7] = [0x89, 0x81, 0, 0, 0, 0, b'?'];
    const PONG: [u8; 3] = [0x8a, 1, b'?'];

    fn wire(room: usize) -> (SocketWire<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(room);
        (SocketWire::new(ours, Encoding::Compact), theirs)
    }

    fn outbox(blocks: &[Vec<u8>]) -> Outbox {
        let mut out = Outbox::default();
        out.transmit().blocks = blocks.iter().map(|block| Bytes::from(block.clone()).into()).collect();
        out.transmit().bytes = blocks.iter().map(Vec::len).sum();
        out
    }

    #[tokio::test]
    async fn a_ping_is_answered_behind_the_block_that_is_being_written_and_before_the_next() {
        let (mut wire, mut theirs) = wire(1_000);
        let mut out = outbox(&[vec![1; 3_000], vec![2; 3_000]]);
        theirs.write_all(&PING).await.unwrap();
        poll_fn(|cx| {
            assert!(wire.poll_write(cx, &mut out).is_pending(), "there is no room");
            wire.poll_read(cx, &mut Vec::new())
        })
        .await
        .unwrap();
        let writing = async {
            poll_fn(|cx| wire.poll_write(cx, &mut out)).await.unwrap();
            drop(wire);
        };
        let mut came = Vec::new();
        let ((), read) = tokio::join!(writing, theirs.read_to_end(&mut came));
        read.unwrap();
        let block = |n: u8| [&[0x82, 126, 0x0b, 0xb8][..], &[n; 3_000]].concat();
        assert!(came == [&block(1)[..], &PONG, &block(2)].concat());
    }

    #[tokio::test]
    async fn a_close_is_answered_once_and_nothing_is_said_behind_our_own() {
        let close = [0x88, 0x80, 0, 0, 0, 0];
        for we_began in [false, true] {
            let (mut wire, mut theirs) = wire(1_000);
            if we_began {
                poll_fn(|cx| wire.poll_close(cx)).await;
            }
            theirs.write_all(&[&PING[..], &close].concat()).await.unwrap();
            let end = poll_fn(|cx| wire.poll_read(cx, &mut Vec::new())).await;
            assert!(matches!(end, Err(Gone::Closed(_))), "{end:?}");
            drop(wire);
            let mut came = Vec::new();
            theirs.read_to_end(&mut came).await.unwrap();
            assert_eq!(came, [0x88, 0], "{we_began}");
        }
    }

    #[tokio::test]
    async fn a_stranger_that_says_nothing_but_pings_is_told_that_it_is_too_much() {
        let (mut wire, mut theirs) = wire(2 * (CONNECT_BYTES_MAX + STRANGER_READ_BYTES));
        theirs.write_all(&PING.repeat(CONNECT_BYTES_MAX / 4)).await.unwrap();
        let mut read = 0;
        let end = loop {
            match poll_fn(|cx| wire.poll_read(cx, &mut Vec::new())).await {
                Ok(more) => read += more,
                Err(gone) => break gone,
            }
        };
        assert!(matches!(&end, Gone::Broken(error) if error.text.contains("first frame")), "{end:?}");
        assert!(read <= CONNECT_BYTES_MAX + 2 * STRANGER_READ_BYTES, "{read}");
    }
}
