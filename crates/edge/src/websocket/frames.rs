//! WebSocket frames (RFC 6455) in bytes that come in pieces: whole messages out of them, no I/O.

use bytes::Bytes;
use skep_core::Incoming;
use skep_protocol::limits::{CONNECT_BYTES_MAX, FRAME_BYTES_MAX};
use skep_protocol::{Code, Error};

use crate::limits::PARTIAL_BYTES_MAX;
use crate::wire::{Gone, Head};

/// Longest head of a frame: two bytes, eight of length, four of mask.
const HEAD_BYTES_MAX: usize = 14;
/// Longest payload of a ping, a pong or a close.
const CONTROL_BYTES_MAX: usize = 125;

const FINAL: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// What the peer said, as far as it came.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The head of the frame that comes just now.
    head: Option<Known>,
    /// What came of it: of its head, or once that is known, of its payload.
    partial: Vec<u8>,
    /// The beginning of a message that comes in several frames, and whether it is text.
    begun: Option<(Vec<u8>, bool)>,
    /// Its first message has come whole.
    has_spoken: bool,
}

/// What is to be done besides, for the last ping or the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// Say that we live: a frame that is ready to be sent.
    Pong(Vec<u8>),
    /// The peer closes: the answer to that, ready to be sent.
    Close(Vec<u8>),
}

/// What the head of a frame says.
#[derive(Clone, Copy, Debug)]
struct Known {
    is_final: bool,
    opcode: u8,
    bytes: usize,
    mask: [u8; 4],
}

impl Frames {
    /// Takes the whole messages out of what came; keeps the rest. Of several pings the last is answered.
    pub(super) fn take(&mut self, mut came: &[u8], into: &mut Vec<Incoming>) -> Result<Option<Control>, Gone> {
        let mut control = None;
        while let Some((head, rest)) = self.take_head(came)? {
            let missing = head.bytes - self.partial.len();
            let (more, rest) = rest.split_at(missing.min(rest.len()));
            if self.partial.is_empty() {
                // Mostly all of it is here already, and it is copied once.
                let room = if more.len() == missing { missing } else { head.bytes.min(PARTIAL_BYTES_MAX) };
                self.partial.reserve_exact(room);
            }
            self.partial.extend_from_slice(more);
            if more.len() < missing {
                return Ok(control);
            }
            self.head = None;
            came = rest;
            let mut payload = std::mem::take(&mut self.partial);
            unmask(&mut payload, head.mask);
            control = self.take_frame(head, payload, into)?.or(control);
            if matches!(control, Some(Control::Close(_))) {
                break;
            }
        }
        Ok(control)
    }

    /// The head of the frame that comes, and what came behind it; none when it has not come whole yet.
    fn take_head<'a>(&mut self, came: &'a [u8]) -> Result<Option<(Known, &'a [u8])>, Gone> {
        if let Some(head) = self.head {
            return Ok(Some((head, came)));
        }
        let known = self.partial.len();
        self.partial.extend_from_slice(came.get(..HEAD_BYTES_MAX - known).unwrap_or(came));
        let Some((head, bytes)) = parse(&self.partial)? else { return Ok(None) };
        self.check(&head)?;
        self.partial.clear();
        self.head = Some(head);
        Ok(Some((head, came.get(bytes - known..).unwrap_or_default())))
    }

    /// The first message is a Connect: until it has come, nobody knows who speaks.
    fn check(&self, head: &Known) -> Result<(), Gone> {
        let is_control = head.opcode >= CLOSE;
        if is_control && (!head.is_final || head.bytes > CONTROL_BYTES_MAX) {
            return Err(broken("a ping, pong or close is in parts, or longer than 125 bytes"));
        }
        match (head.opcode, &self.begun) {
            (CONTINUATION, None) => return Err(broken("a part of a message came that had not begun")),
            (TEXT | BINARY, Some(_)) => return Err(broken("a message came before the one that had begun was whole")),
            (CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG, _) => {}
            _ => return Err(broken("a frame of a kind came that is not known")),
        }
        let begun = self.begun.as_ref().filter(|_| !is_control).map_or(0, |(begun, _)| begun.len());
        let bytes = head.bytes.saturating_add(begun);
        if bytes > FRAME_BYTES_MAX {
            return Err(broken(&format!("a message has {bytes} bytes or more")));
        }
        if bytes > CONNECT_BYTES_MAX && !self.has_spoken {
            return Err(too_much());
        }
        Ok(())
    }

    fn take_frame(&mut self, head: Known, payload: Vec<u8>, into: &mut Vec<Incoming>) -> Result<Option<Control>, Gone> {
        let (whole, is_text) = match head.opcode {
            PING => return Ok(Some(Control::Pong(frame(PONG, &payload)))),
            // The code comes back, its reason need not.
            CLOSE => return Ok(Some(Control::Close(frame(CLOSE, payload.get(..2).unwrap_or_default())))),
            PONG => return Ok(None),
            CONTINUATION => {
                let (mut begun, is_text) = self.begun.take().unwrap_or_default();
                begun.extend_from_slice(&payload);
                (begun, is_text)
            }
            kind => (payload, kind == TEXT),
        };
        if !head.is_final {
            self.begun = Some((whole, is_text));
            return Ok(None);
        }
        if is_text && std::str::from_utf8(&whole).is_err() {
            return Err(broken("a text is not UTF-8"));
        }
        self.has_spoken = true;
        into.push(Incoming::Bytes(Bytes::from(whole)));
        Ok(None)
    }
}

/// The messages that pieces hold until one closes, and how many bytes wait for the rest of theirs: the way in of the fuzzer.
///
/// # Errors
/// `invalid_frame` or `too_large`, for what no client may say.
#[cfg(fuzzing)]
pub fn web_socket_frames_in<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<Incoming>, usize), Error> {
    let (mut frames, mut into) = (Frames::default(), Vec::new());
    for piece in pieces {
        match frames.take(piece, &mut into) {
            Err(Gone::Broken(error)) => return Err(error),
            Err(Gone::Closed(why)) => unreachable!("{why}, and there is no connection"),
            Ok(Some(Control::Close(_))) => break,
            Ok(_) => {}
        }
    }
    Ok((into, frames.partial.len() + frames.begun.map_or(0, |(begun, _)| begun.len())))
}

/// The head that bytes begin with, and how long it is; none when more must come first.
fn parse(bytes: &[u8]) -> Result<Option<(Known, usize)>, Gone> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(broken("a frame has bits set that nobody agreed on"));
    }
    if second & FINAL == 0 {
        return Err(broken("a frame of a client has no mask"));
    }
    let (length, rest) = match second & !FINAL {
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest),
            None => return Ok(None),
        },
        short => (u64::from(short), rest),
    };
    let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
    let bytes_here = usize::try_from(length).unwrap_or(usize::MAX);
    let head = Known { is_final: first & FINAL != 0, opcode: first & 0xf, bytes: bytes_here, mask: *mask };
    Ok(Some((head, bytes.len() - rest.len())))
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    if mask == [0; 4] {
        return;
    }
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    chunks.iter_mut().for_each(|chunk| *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes());
    rest.iter_mut().zip(mask.into_iter().cycle()).for_each(|(byte, key)| *byte ^= key);
}

/// The head of a message of ours: one frame, without a mask.
pub(super) fn head(is_text: bool, bytes: usize) -> Head {
    head_of(if is_text { TEXT } else { BINARY }, bytes)
}

/// A frame of ours that closes.
pub(super) fn close() -> Vec<u8> {
    frame(CLOSE, &[])
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head_of(opcode, payload.len()).as_ref().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

fn head_of(opcode: u8, bytes: usize) -> Head {
    let first = FINAL | opcode;
    match (u8::try_from(bytes), u16::try_from(bytes)) {
        (Ok(short @ ..126), _) => Head::new(&[first, short]),
        (_, Ok(middle)) => Head::new(&[&[first, 126][..], &middle.to_be_bytes()].concat()),
        _ => Head::new(&[&[first, 127][..], &(bytes as u64).to_be_bytes()].concat()),
    }
}

fn broken(what: &str) -> Gone {
    let text = format!("websocket: {what}; expected whole messages of at most {FRAME_BYTES_MAX} bytes");
    Gone::Broken(Error::new(Code::InvalidFrame, text))
}

/// More was said than may be before it is known who speaks.
pub(super) fn too_much() -> Gone {
    let text = format!("first frame: at most {CONNECT_BYTES_MAX} bytes are taken before Connect is answered");
    Gone::Broken(Error::new(Code::TooLarge, text))
}

#[cfg(test)]
mod tests;
