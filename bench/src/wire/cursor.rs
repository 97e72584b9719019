//! As much of MessagePack as counting needs.

use anyhow::{Context as _, bail};

/// A place in MessagePack bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes }
    }

    pub(crate) fn array(&mut self) -> anyhow::Result<usize> {
        match self.byte()? {
            n @ 0x90..=0x9f => Ok(usize::from(n & 0x0f)),
            0xdc => self.length(2),
            0xdd => self.length(4),
            other => bail!("expected an array, got {other:#04x}"),
        }
    }

    pub(crate) fn uint(&mut self) -> anyhow::Result<u64> {
        match self.byte()? {
            n @ 0..=0x7f => Ok(u64::from(n)),
            0xcc => self.be(1),
            0xcd => self.be(2),
            0xce => self.be(4),
            0xcf => self.be(8),
            other => bail!("expected a number, got {other:#04x}"),
        }
    }

    pub(crate) fn bin(&mut self) -> anyhow::Result<&'a [u8]> {
        let length = match self.byte()? {
            0xc4 => self.length(1)?,
            0xc5 => self.length(2)?,
            0xc6 => self.length(4)?,
            other => bail!("expected bytes, got {other:#04x}"),
        };
        self.take(length)
    }

    /// Takes these bytes if they are next.
    pub(crate) fn is(&mut self, expected: &[u8]) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes nil, or a number.
    pub(crate) fn optional_uint(&mut self) -> anyhow::Result<Option<u64>> {
        if self.is(&[0xc0]) { Ok(None) } else { self.uint().map(Some) }
    }

    /// Takes one value, whatever it is, as it stands.
    pub(crate) fn value(&mut self) -> anyhow::Result<&'a [u8]> {
        let start = self.rest;
        let mut left = 1_usize;
        while left > 0 {
            left -= 1;
            let (bytes, values) = match self.byte()? {
                0..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (0, 0),
                n @ 0x80..=0x8f => (0, 2 * usize::from(n & 0x0f)),
                n @ 0x90..=0x9f => (0, usize::from(n & 0x0f)),
                n @ 0xa0..=0xbf => (usize::from(n & 0x1f), 0),
                0xc4 | 0xd9 => (self.length(1)?, 0),
                0xc5 | 0xda => (self.length(2)?, 0),
                0xc6 | 0xdb => (self.length(4)?, 0),
                0xcc | 0xd0 => (1, 0),
                0xcd | 0xd1 => (2, 0),
                0xca | 0xce | 0xd2 => (4, 0),
                0xcb | 0xcf | 0xd3 => (8, 0),
                0xdc => (0, self.length(2)?),
                0xdd => (0, self.length(4)?),
                0xde => (0, 2 * self.length(2)?),
                0xdf => (0, 2 * self.length(4)?),
                other => bail!("no value of ours begins with {other:#04x}"),
            };
            self.take(bytes)?;
            left += values;
        }
        Ok(&start[..start.len() - self.rest.len()])
    }

    fn byte(&mut self) -> anyhow::Result<u8> {
        let (first, rest) = self.rest.split_first().context("a frame ends too early")?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, count: usize) -> anyhow::Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).context("a frame ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn be(&mut self, count: usize) -> anyhow::Result<u64> {
        Ok(self.take(count)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn length(&mut self, count: usize) -> anyhow::Result<usize> {
        Ok(usize::try_from(self.be(count)?)?)
    }
}
