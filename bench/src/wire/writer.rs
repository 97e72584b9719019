//! Frames to the hub: gathered, then written at one go.

use std::io::Write as _;

use anyhow::Context as _;

use super::{Kind, Stream};

/// The sending half of a link.
pub(crate) struct Writer {
    stream: Stream,
    out: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(stream: Stream) -> Self {
        Writer { stream, out: Vec::new() }
    }

    /// Adds a frame; it leaves with the next flush.
    pub(crate) fn put(&mut self, frame: &[u8]) {
        match self.stream.kind() {
            Kind::Unix => {
                let length = u32::try_from(frame.len()).expect("frames are far below 4 GiB");
                self.out.extend_from_slice(&length.to_le_bytes());
            }
            Kind::Ws => put_header(frame.len(), &mut self.out),
        }
        self.out.extend_from_slice(frame);
    }

    /// Writes what was added.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        let written = self.stream.write_all(&self.out);
        self.out.clear();
        written.context("the hub takes no more from a connection")
    }
}

/// The head of a whole binary message. A client must mask, with any key (RFC 6455, 5.3): key 0
/// leaves the bytes as they are, so masking costs the generator nothing.
fn put_header(length: usize, out: &mut Vec<u8>) {
    const BINARY: u8 = 0x82;
    const MASKED: u8 = 0x80;
    out.push(BINARY);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => out.push(MASKED | short),
        (_, Ok(medium)) => {
            out.push(MASKED | 126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_said_in_as_few_bytes_as_the_rfc_demands() {
        for (length, head) in [
            (125, vec![0x82, 0x80 | 125]),
            (126, vec![0x82, 0x80 | 126, 0, 126]),
            (65_536, vec![0x82, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            put_header(length, &mut out);
            assert_eq!(out, [head, vec![0; 4]].concat());
        }
    }
}
