//! Frames from the hub, borrowed from one buffer.

use std::io::{ErrorKind, Read as _};
use std::ops::Range;

use anyhow::{Context as _, bail};
use skep_protocol::limits::FRAME_BYTES_MAX;

use super::{Kind, Stream};

/// What is read at one go, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;

/// The receiving half of a link.
pub(crate) struct Reader {
    stream: Stream,
    buffer: Vec<u8>,
    /// What was read and not taken yet.
    unread: Range<usize>,
}

/// Where a whole unit of the transport lies behind the begin of what is unread.
struct Unit {
    body: Range<usize>,
    /// It is a frame, and not a sign of life of the transport.
    is_frame: bool,
}

impl Reader {
    pub(crate) fn new(stream: Stream) -> Self {
        Reader { stream, buffer: vec![0; BUFFER_BYTES], unread: 0..0 }
    }

    /// The next frame. Fails when none comes within the socket's timeout.
    pub(crate) fn next(&mut self) -> anyhow::Result<&[u8]> {
        loop {
            if let Some(range) = self.whole()? {
                return Ok(&self.buffer[range]);
            }
            self.fill()?;
        }
    }

    /// The next frame that has come already, if there is one.
    pub(crate) fn next_here(&mut self) -> anyhow::Result<Option<&[u8]>> {
        Ok(self.whole()?.map(|range| &self.buffer[range]))
    }

    /// Reads an HTTP head, to the empty line.
    pub(crate) fn http_head(&mut self) -> anyhow::Result<String> {
        const END: &[u8] = b"\r\n\r\n";
        loop {
            let here = &self.buffer[self.unread.clone()];
            if let Some(at) = here.windows(END.len()).position(|window| window == END) {
                let head = String::from_utf8_lossy(&here[..at]).into_owned();
                self.unread.start += at + END.len();
                return Ok(head);
            }
            self.fill()?;
        }
    }

    /// Takes the next whole frame out of what is here.
    fn whole(&mut self) -> anyhow::Result<Option<Range<usize>>> {
        loop {
            let here = &self.buffer[self.unread.clone()];
            let unit = match self.stream.kind() {
                Kind::Unix => prefixed(here)?,
                Kind::Ws => web_socket(here)?,
            };
            let Some(Unit { body, is_frame }) = unit else { return Ok(None) };
            let start = self.unread.start;
            self.unread.start += body.end;
            if is_frame {
                return Ok(Some(start + body.start..start + body.end));
            }
        }
    }

    fn fill(&mut self) -> anyhow::Result<()> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.end == self.buffer.len() {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
            if self.unread.len() * 2 > self.buffer.len() {
                self.buffer.resize((2 * self.buffer.len()).min(2 * FRAME_BYTES_MAX), 0);
            }
        }
        let read = match self.stream.read(&mut self.buffer[self.unread.end..]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("the hub said nothing for {:?}", super::link::PATIENCE)
            }
            read => read.context("cannot read from the hub")?,
        };
        if read == 0 {
            bail!("the hub closed a connection");
        }
        self.unread.end += read;
        Ok(())
    }
}

fn prefixed(here: &[u8]) -> anyhow::Result<Option<Unit>> {
    let Some((prefix, rest)) = here.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*prefix) as usize;
    unit(4, length, rest.len(), true)
}

/// The hub sends whole messages, unmasked.
fn web_socket(here: &[u8]) -> anyhow::Result<Option<Unit>> {
    let Some((&[first, second], rest)) = here.split_first_chunk::<2>() else { return Ok(None) };
    let (head, length) = match second {
        0..=125 => (2, usize::from(second)),
        126 => match rest.first_chunk::<2>() {
            Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (10, usize::try_from(u64::from_be_bytes(*length))?),
            None => return Ok(None),
        },
        _ => bail!("the hub masks what it sends"),
    };
    match first {
        0x82 => unit(head, length, here.len() - head, true),
        0x89 | 0x8a => unit(head, length, here.len() - head, false),
        0x88 => bail!("the hub closed a WebSocket: {}", String::from_utf8_lossy(&rest[rest.len().min(2)..])),
        other => bail!("a WebSocket frame begins with {other:#04x}; expected a whole binary message"),
    }
}

fn unit(head: usize, length: usize, here: usize, is_frame: bool) -> anyhow::Result<Option<Unit>> {
    if length > FRAME_BYTES_MAX {
        bail!("the hub sends a frame of {length} bytes; at most {FRAME_BYTES_MAX} are allowed");
    }
    Ok((here >= length).then_some(Unit { body: head..head + length, is_frame }))
}
