//! Numbers of as many bytes as they need: LEB128, and steps from one number to another as zigzag.

/// Bytes of the largest number.
pub(super) const NUMBER_BYTES_MAX: u64 = 10;

pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_step(out: &mut Vec<u8>, from: u64, to: u64) {
    let step = to.wrapping_sub(from).cast_signed();
    put(out, ((step << 1) ^ (step >> 63)).cast_unsigned());
}

/// None where the bytes end, or where they are no number.
pub(super) fn take(byte: &mut impl FnMut() -> Option<u8>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let next = byte()?;
        number |= u64::from(next & 0x7f) << shift;
        if next < 0x80 {
            return Some(number);
        }
    }
    None
}

pub(super) fn take_step(byte: &mut impl FnMut() -> Option<u8>, from: u64) -> Option<u64> {
    let number = take(byte)?;
    Some(from.wrapping_add((number >> 1) ^ (number & 1).wrapping_neg()))
}
