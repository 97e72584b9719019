//! Which calls of a disk answer EIO, and how many did.

use std::io;

const EIO: i32 = 5;

/// A call of a disk, or of a file on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Of a file, the folder, and what is created.
    Sync,
    /// Half of the bytes are written.
    Write,
    /// Nothing is created.
    Create,
    /// The name stays.
    Remove,
    /// Nothing is read.
    Read,
}

/// All of them.
pub const CALLS: [Call; 5] = [Call::Sync, Call::Write, Call::Create, Call::Remove, Call::Read];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Failing {
    /// How many more go well before one fails.
    after: [Option<u64>; CALLS.len()],
    pub(super) failed: [u64; CALLS.len()],
}

impl Failing {
    pub(super) fn set(&mut self, call: Call, after: Option<u64>) {
        self.after[call as usize] = after;
    }

    pub(super) fn take(&mut self, call: Call) -> io::Result<()> {
        let after = &mut self.after[call as usize];
        match after {
            Some(0) => {
                *after = None;
                self.failed[call as usize] += 1;
                Err(io::Error::from_raw_os_error(EIO))
            }
            left => {
                *left = left.map(|left| left - 1);
                Ok(())
            }
        }
    }
}
