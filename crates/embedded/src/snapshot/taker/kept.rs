//! Which snapshots there are and stay, and the segments that nobody needs any more.

use std::mem;

use super::{Taker, Untaken, Whole};
use crate::log::{Corrupt, FoundSnapshot, SnapshotHeader, snapshot_name, snapshots};
use crate::snapshot::base::load;

impl Taker {
    /// The newest that can be read. One that cannot is passed over, as an opening would: the one before goes on from its own tail.
    pub(super) fn newest_whole(&self) -> Result<Option<Whole>, Untaken> {
        let disk = &**self.follower.disk();
        let mut damaged = Vec::new();
        for found in snapshots(disk)?.into_iter().filter(|found| found.header.is_some()) {
            match load(disk, &found, self.seed)? {
                Ok((snapshot, engine)) => return Ok(Some(Whole { found, snapshot, engine })),
                Err(Corrupt(why)) => {
                    let text = format!("snapshot {} was found damaged ({why})", found.name);
                    tracing::error!("{text}; another is taken in its place, look at the disk");
                    self.known().damaged = Some(text.clone());
                    damaged.push(text);
                }
            }
        }
        if self.follower.is_whole() { Ok(None) } else { Err(Untaken::Base(damaged.join(", "))) }
    }

    /// Of the snapshots stay the one that was written just now, if it can be read, and the one before it, which was read for it. All
    /// others are older, or damaged.
    pub(super) fn keep(&self, written: &SnapshotHeader, before: Option<FoundSnapshot>) -> Result<(), Untaken> {
        let disk = &**self.follower.disk();
        let name = snapshot_name(written.segment);
        let found = snapshots(disk)?;
        let Some(newest) = found.iter().find(|found| found.name == name) else {
            return Err(Untaken::Changed(name, Corrupt("it is not there".into())));
        };
        match newest.verify(disk)? {
            Ok(read) if read == *written => {}
            Ok(_) => return Err(Untaken::Changed(name, Corrupt("it differs".into()))),
            Err(corrupt) => return Err(Untaken::Changed(name, corrupt)),
        }
        self.known().newest = Some(newest.clone());
        self.remove_others(Some(&name), before.as_ref().map(|before| &*before.name))
    }

    /// Removes all snapshots but these.
    pub(super) fn remove_others(&self, one: Option<&str>, other: Option<&str>) -> Result<(), Untaken> {
        let disk = &**self.follower.disk();
        for found in snapshots(disk)? {
            if Some(&*found.name) != one && Some(&*found.name) != other {
                disk.remove(&found.name)?;
            }
        }
        Ok(())
    }

    /// Removes what was let go of, also what could not be removed before; answers whether something went.
    pub(super) fn remove_leaving(&self) -> bool {
        let leaving = mem::take(&mut self.known().leaving);
        let (mut left, mut unremoved) = (Vec::new(), None);
        let count = leaving.len();
        for segment in leaving {
            if let Err(error) = self.follower.remove(segment) {
                left.push(segment);
                unremoved = Some(error.to_string());
            }
        }
        let is_any = left.len() < count;
        let unremoved = unremoved.map(|error| {
            tracing::warn!(error, segments = left.len(), "what nobody needs cannot be removed; it is tried again");
            format!("{} segments that nobody needs could not be removed: {error}", left.len())
        });
        let mut known = self.known();
        known.leaving.extend(left);
        known.unremoved = unremoved;
        is_any
    }
}
