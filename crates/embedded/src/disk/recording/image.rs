//! What a power loss could have left, decided operation by operation.

use std::collections::BTreeMap;

use super::sparse::{Sparse, pieces};
use super::{Contents, Inode, Operation};

/// Which of the writes that no sync covered reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// None of them, and no name that the folder was not synced for.
    OnlySynced,
    /// All of them.
    AllWritten,
    /// A random half of their 512-byte blocks, in no order, and a random half of the names.
    Random {
        /// Decides which half.
        seed: u64,
    },
    /// All of them, but the very last write stopped at a random byte.
    TornLast {
        /// Decides where.
        seed: u64,
    },
}

pub(super) fn rebuild(base: &Contents, trace: &[Operation], image: Image) -> Contents {
    let mut crash = Crash::new(base, image);
    crash.torn = match image {
        Image::TornLast { .. } => trace.iter().rposition(|operation| matches!(operation, Operation::Write { .. })),
        _ => None,
    };
    for (index, operation) in trace.iter().enumerate() {
        crash.apply(index, operation);
    }
    crash.finish()
}

/// A write no sync has covered yet.
#[derive(Clone)]
enum Pending {
    Zero(u64),
    Write { index: usize, offset: u64, bytes: std::sync::Arc<[u8]> },
}

struct Crash {
    image: Image,
    torn: Option<usize>,
    random: u64,
    durable: Contents,
    pending: BTreeMap<Inode, Vec<Pending>>,
    pending_names: Vec<(String, Option<Inode>)>,
}

impl Crash {
    fn new(base: &Contents, image: Image) -> Self {
        let random = match image {
            Image::Random { seed } | Image::TornLast { seed } => seed,
            Image::OnlySynced | Image::AllWritten => 0,
        };
        Self { image, torn: None, random, durable: base.clone(), pending: BTreeMap::new(), pending_names: Vec::new() }
    }

    fn apply(&mut self, index: usize, operation: &Operation) {
        match operation {
            Operation::Create { name, inode } => self.pending_names.push((name.clone(), Some(*inode))),
            Operation::Remove { name } => self.pending_names.push((name.clone(), None)),
            Operation::Zero { inode, bytes } => self.pending.entry(*inode).or_default().push(Pending::Zero(*bytes)),
            Operation::Write { inode, offset, bytes } => {
                let write = Pending::Write { index, offset: *offset, bytes: bytes.clone() };
                self.pending.entry(*inode).or_default().push(write);
            }
            Operation::Sync { inode } => {
                for write in self.pending.remove(inode).unwrap_or_default() {
                    write_whole(self.durable.file(*inode), &write);
                }
            }
            // What a failed sync covered is decided now and for ever: the kernel holds those pages to be clean.
            Operation::SyncFailed { inode } => self.settle(*inode),
            Operation::SyncFolder => {
                for (name, inode) in std::mem::take(&mut self.pending_names) {
                    self.name(name, inode);
                }
            }
        }
    }

    fn finish(mut self) -> Contents {
        for inode in self.pending.keys().copied().collect::<Vec<_>>() {
            self.settle(inode);
        }
        for (name, inode) in std::mem::take(&mut self.pending_names) {
            if self.survives() {
                self.name(name, inode);
            }
        }
        let Contents { names, files } = self.durable;
        let files = files.into_iter().filter(|(inode, _)| names.values().any(|named| named == inode)).collect();
        Contents { names, files }
    }

    fn name(&mut self, name: String, inode: Option<Inode>) {
        match inode {
            Some(inode) => {
                self.durable.file(inode);
                self.durable.names.insert(name, inode);
            }
            None => {
                self.durable.names.remove(&name);
            }
        }
    }

    /// Decides which of a file's pending writes survive.
    fn settle(&mut self, inode: Inode) {
        for write in self.pending.remove(&inode).unwrap_or_default() {
            match (&write, self.image) {
                (_, Image::OnlySynced) => {}
                (Pending::Write { index, offset, bytes }, Image::TornLast { .. }) if self.torn == Some(*index) => {
                    let kept = self.next_random() as usize % bytes.len().max(1);
                    self.durable.file(inode).write(*offset, &bytes[..kept]);
                }
                (_, Image::AllWritten | Image::TornLast { .. }) => write_whole(self.durable.file(inode), &write),
                (Pending::Zero(bytes), Image::Random { .. }) => {
                    let kept = self.next_random() % (bytes + 1);
                    self.durable.file(inode).extend_to(kept);
                }
                (Pending::Write { offset, bytes, .. }, Image::Random { .. }) => {
                    for (offset, piece) in pieces(*offset, bytes) {
                        if self.survives() {
                            self.durable.file(inode).write(offset, piece);
                        }
                    }
                }
            }
        }
    }

    fn survives(&mut self) -> bool {
        match self.image {
            Image::OnlySynced => false,
            Image::AllWritten | Image::TornLast { .. } => true,
            Image::Random { .. } => self.next_random() & 1 == 0,
        }
    }

    /// SplitMix64: small, and the same on every machine, so that a seed names an image.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

fn write_whole(file: &mut Sparse, write: &Pending) {
    match write {
        Pending::Zero(bytes) => file.extend_to(*bytes),
        Pending::Write { offset, bytes, .. } => file.write(*offset, bytes),
    }
}
