//! What runs went through: a promise that nothing strained is not shown to hold.

use std::fmt;

macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $name:ident $text:literal,)+) => {
        /// See the module.
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct Counts { $($(#[doc = $doc])+ pub(crate) $name: u64,)+ }

        impl Counts {
            pub(crate) fn add(&mut self, other: &Counts) {
                $(self.$name += other.$name;)+
            }

            /// What did not happen at all.
            #[cfg(test)]
            pub(super) fn unstrained(&self) -> Vec<&'static str> {
                let all = [$((self.$name, $text),)+];
                all.iter().filter(|(count, _)| *count == 0).map(|(_, what)| *what).collect()
            }
        }

        impl fmt::Display for Counts {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let all = [$((self.$name, $text),)+];
                all.iter().enumerate().try_for_each(|(at, (count, what))| {
                    write!(f, "{}{count} {what}", if at == 0 { "" } else { ", " })
                })
            }
        }
    };
}

counts! {
    /// Runs.
    runs "seeds",
    /// Events in their traces.
    events "events",
    /// Openings of a hub.
    openings "openings",
    /// Power losses.
    crashes "crashes",
    /// Power losses while the store opened.
    reopenings "of them while it opened",
    /// Stores that stopped for a failed sync, write or creation.
    failed "failed stores",
    /// Syncs that failed.
    syncs_failed "failed syncs",
    /// Writes that failed, halfway.
    writes_failed "writes",
    /// Files that could not be created.
    creates_failed "creations",
    /// Files that could not be removed.
    removes_failed "removals",
    /// Reads that failed.
    reads_failed "reads that failed",
    /// Times the disk had no room.
    full "full disks",
    /// Full disks on which everybody who published had an answer.
    full_answered "of them asked for all answers",
    /// Times the wall clock was set.
    jumps "jumps of the clock",
    /// Snapshots.
    snapshots "looks for a snapshot",
    /// Lost connections.
    cuts "lost connections",
    /// Sessions taken up again.
    resumed "sessions taken up again",
    /// Receipts.
    receipts "receipts",
    /// Receipts of what was here already.
    duplicates "of them for duplicates",
    /// Deliveries.
    deliveries "deliveries",
    /// Deliveries of dead letters.
    dead_deliveries "of them dead letters",
    /// Deliveries that came from the reading thread.
    cold "reads from disk",
    /// Acks.
    acks "acks",
    /// Steps that were done.
    steps "steps",
    /// Steps that were certainly not.
    steps_void "steps not done",
    /// Settles that came too late.
    fenced "settles of lost leases",
    /// Purges, deletions, redrives that were answered.
    commands "commands",
}
