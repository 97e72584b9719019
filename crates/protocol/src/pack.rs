//! MessagePack, read in place from bytes that nobody has checked yet, and written to memory.

use rmp::Marker;

/// Why bytes cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

type Result<T> = std::result::Result<T, Malformed>;

/// A cursor over MessagePack; every read is checked against the bytes that are there.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    pub(crate) fn starting_at(bytes: &'a [u8], at: usize) -> Self {
        Reader { bytes, at }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(n).ok_or(Malformed("a length overflows"))?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed("it ends too early"))?;
        self.at = end;
        Ok(taken)
    }

    fn be(&mut self, n: usize) -> Result<u64> {
        Ok(self.take(n)?.iter().fold(0, |sum, b| sum << 8 | u64::from(*b)))
    }

    fn len(&mut self, n: usize) -> Result<usize> {
        usize::try_from(self.be(n)?).map_err(|_| Malformed("a length overflows"))
    }

    fn marker(&mut self) -> Result<Marker> {
        Ok(Marker::from_u8(*self.take(1)?.first().ok_or(Malformed("it ends too early"))?))
    }

    /// Takes a nil if one is next.
    pub(crate) fn nil(&mut self) -> bool {
        let is_nil = self.bytes.get(self.at) == Some(&0xc0);
        self.at += usize::from(is_nil);
        is_nil
    }

    pub(crate) fn array(&mut self) -> Result<usize> {
        match self.marker()? {
            Marker::FixArray(n) => Ok(usize::from(n)),
            Marker::Array16 => self.len(2),
            Marker::Array32 => self.len(4),
            _ => Err(Malformed("expected an array")),
        }
    }

    pub(crate) fn map(&mut self) -> Result<usize> {
        match self.marker()? {
            Marker::FixMap(n) => Ok(usize::from(n)),
            Marker::Map16 => self.len(2),
            Marker::Map32 => self.len(4),
            _ => Err(Malformed("expected a map")),
        }
    }

    pub(crate) fn bin(&mut self) -> Result<&'a [u8]> {
        let n = match self.marker()? {
            Marker::Bin8 => self.len(1)?,
            Marker::Bin16 => self.len(2)?,
            Marker::Bin32 => self.len(4)?,
            _ => return Err(Malformed("expected bytes (bin)")),
        };
        self.take(n)
    }

    pub(crate) fn str(&mut self) -> Result<&'a str> {
        let n = match self.marker()? {
            Marker::FixStr(n) => usize::from(n),
            Marker::Str8 => self.len(1)?,
            Marker::Str16 => self.len(2)?,
            Marker::Str32 => self.len(4)?,
            _ => return Err(Malformed("expected text (str)")),
        };
        std::str::from_utf8(self.take(n)?).map_err(|_| Malformed("a text is not UTF-8"))
    }

    pub(crate) fn uint(&mut self) -> Result<u64> {
        u64::try_from(self.int()?).map_err(|_| Malformed("expected a number of 0 or more"))
    }

    pub(crate) fn int(&mut self) -> Result<i128> {
        let signed = |n: u64, bytes: u32| i128::from((n << (64 - 8 * bytes)).cast_signed() >> (64 - 8 * bytes));
        Ok(match self.marker()? {
            Marker::FixPos(n) => i128::from(n),
            Marker::FixNeg(n) => i128::from(n),
            Marker::U8 => i128::from(self.be(1)?),
            Marker::U16 => i128::from(self.be(2)?),
            Marker::U32 => i128::from(self.be(4)?),
            Marker::U64 => i128::from(self.be(8)?),
            Marker::I8 => signed(self.be(1)?, 1),
            Marker::I16 => signed(self.be(2)?, 2),
            Marker::I32 => signed(self.be(4)?, 4),
            Marker::I64 => signed(self.be(8)?, 8),
            _ => return Err(Malformed("expected a whole number")),
        })
    }

    pub(crate) fn bool(&mut self) -> Result<bool> {
        match self.marker()? {
            Marker::True => Ok(true),
            Marker::False => Ok(false),
            _ => Err(Malformed("expected true or false")),
        }
    }

    /// The byte that says what comes next.
    pub(crate) fn peek(&self) -> Option<Marker> {
        self.bytes.get(self.at).copied().map(Marker::from_u8)
    }

    /// Steps over one value, however deep, without recursion: what is left to step over is
    /// counted, and every value takes at least one byte, so a lie about a length ends at once.
    pub(crate) fn skip(&mut self) -> Result<()> {
        let mut left: usize = 1;
        while left > 0 {
            left -= 1;
            let more = match self.marker()? {
                Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => 0,
                Marker::U8 | Marker::I8 => self.take(1).map(|_| 0)?,
                Marker::U16 | Marker::I16 | Marker::FixExt1 => self.take(2).map(|_| 0)?,
                Marker::U32 | Marker::I32 | Marker::F32 => self.take(4).map(|_| 0)?,
                Marker::U64 | Marker::I64 | Marker::F64 => self.take(8).map(|_| 0)?,
                Marker::FixExt2 => self.take(3).map(|_| 0)?,
                Marker::FixExt4 => self.take(5).map(|_| 0)?,
                Marker::FixExt8 => self.take(9).map(|_| 0)?,
                Marker::FixExt16 => self.take(17).map(|_| 0)?,
                Marker::FixStr(n) => self.take(usize::from(n)).map(|_| 0)?,
                Marker::Str8 | Marker::Bin8 => self.skip_sized(1, 0)?,
                Marker::Str16 | Marker::Bin16 => self.skip_sized(2, 0)?,
                Marker::Str32 | Marker::Bin32 => self.skip_sized(4, 0)?,
                Marker::Ext8 => self.skip_sized(1, 1)?,
                Marker::Ext16 => self.skip_sized(2, 1)?,
                Marker::Ext32 => self.skip_sized(4, 1)?,
                Marker::FixArray(n) => usize::from(n),
                Marker::Array16 => self.len(2)?,
                Marker::Array32 => self.len(4)?,
                Marker::FixMap(n) => 2 * usize::from(n),
                Marker::Map16 => 2 * self.len(2)?,
                Marker::Map32 => self.len(4)?.saturating_mul(2),
                Marker::Reserved => return Err(Malformed("it holds the reserved byte 0xc1")),
            };
            left = left.saturating_add(more);
            if left > self.bytes.len().saturating_sub(self.at) {
                return Err(Malformed("it ends too early"));
            }
        }
        Ok(())
    }

    fn skip_sized(&mut self, length_bytes: usize, extra: usize) -> Result<usize> {
        let n = self.len(length_bytes)?;
        self.take(n.saturating_add(extra)).map(|_| 0)
    }
}

const MEMORY: &str = "writing to memory cannot fail";

pub(crate) fn put_array(out: &mut Vec<u8>, n: usize) {
    rmp::encode::write_array_len(out, u32::try_from(n).expect("batches are bounded")).expect(MEMORY);
}

pub(crate) fn put_map(out: &mut Vec<u8>, n: usize) {
    rmp::encode::write_map_len(out, u32::try_from(n).expect("attributes are bounded")).expect(MEMORY);
}

pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    rmp::encode::write_str(out, text).expect(MEMORY);
}

pub(crate) fn put_bin(out: &mut Vec<u8>, bytes: &[u8]) {
    rmp::encode::write_bin(out, bytes).expect(MEMORY);
}

pub(crate) fn put_uint(out: &mut Vec<u8>, n: u64) {
    rmp::encode::write_uint(out, n).expect(MEMORY);
}

pub(crate) fn put_int(out: &mut Vec<u8>, n: i64) {
    rmp::encode::write_sint(out, n).expect(MEMORY);
}

pub(crate) fn put_bool(out: &mut Vec<u8>, value: bool) {
    rmp::encode::write_bool(out, value).expect(MEMORY);
}

pub(crate) fn put_nil(out: &mut Vec<u8>) {
    rmp::encode::write_nil(out).expect(MEMORY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lie_about_a_length_ends_at_once() {
        for bytes in [
            &[0xdd, 0xff, 0xff, 0xff, 0xff][..],
            &[0xdf, 0xff, 0xff, 0xff, 0xff],
            &[0xc6, 0xff, 0xff, 0xff, 0xff],
            &[0xc1],
        ] {
            assert!(Reader::new(bytes).skip().is_err());
        }
    }

    #[test]
    fn numbers_of_every_width_are_read() {
        for n in [i64::MIN, -70_000, -129, -33, -1, 0, 127, 128, 70_000, i64::MAX] {
            let mut out = Vec::new();
            put_int(&mut out, n);
            assert_eq!(Reader::new(&out).int(), Ok(i128::from(n)));
            let mut reader = Reader::new(&out);
            reader.skip().unwrap();
            assert!(reader.is_done());
        }
    }
}
