//! A pass along the log: messages that are sought are found, and followed from there on.
//!
//! What it comes to depends only on the records that concern what is sought or followed; so a pass
//! may leave out batches in which there are none, and sees the same.

use std::collections::BTreeMap;
use std::ops::Range;

use skep_protocol::{MessageRef, Search};

use super::followed::Followed;
use super::index::{Key, Stretch};
use crate::journal::{MessageRecord, QueueId, Record};
use crate::limits::{FOLLOWED_MAX, LOOK_BYTES_MAX, SEARCH_BYTES_MAX, WHOLE_MAX};
use crate::log::{Batch, RecordKind, RecordView};

/// What is sought.
#[derive(Clone, Debug)]
pub(super) struct Sought {
    pub(super) id: Option<String>,
    pub(super) search: Search,
    /// The queues that are called like the receiver that is sought, or are their dead letters.
    pub(super) queues: Vec<QueueId>,
    /// Records from here on.
    pub(super) from: u64,
    /// And below this: they are durable.
    pub(super) until: u64,
    /// What a stretch of the log has in which a message is meant: of each of these at least one.
    keys: Vec<Vec<Key>>,
}

impl Sought {
    pub(super) fn new(id: Option<String>, search: Search, queues: Vec<QueueId>, positions: Range<u64>) -> Self {
        let id_key = id.as_deref().map(Key::id);
        let conversation = search.conversation.as_deref().map(Key::conversation);
        let from = search.from.as_deref().map(Key::from);
        let to = search.to.as_deref().map(|to| {
            let taken = queues.iter().copied().map(Key::taken);
            taken.chain([Key::to(to)]).collect::<Vec<_>>()
        });
        let one = [id_key, conversation, from].into_iter().flatten().map(|key| vec![key]);
        let keys = one.chain(to).collect();
        Sought { id, search, queues, from: positions.start, until: positions.end, keys }
    }

    fn limit(&self) -> usize {
        usize::try_from(self.search.limit.unwrap_or(1)).unwrap_or(usize::MAX).max(1)
    }

    /// Messages that are followed at a time: where all that are found are meant, as many as are wanted.
    fn followed_max(&self) -> usize {
        match &self.search {
            search if search.whole => self.limit().min(WHOLE_MAX),
            search if search.outcome.is_none() => self.limit(),
            _ => FOLLOWED_MAX.max(self.limit()),
        }
    }

    /// Whether what becomes of a message in a queue counts, if any of its queues does.
    pub(super) fn counts(&self, queue: QueueId) -> bool {
        self.queues.contains(&queue)
    }

    fn means(&self, record: &MessageRecord<'_>, found: &MessageRef<'_>) -> bool {
        let taken = !self.queues.is_empty() && record.queues().any(|queue| self.counts(queue));
        self.id.as_deref().is_none_or(|id| found.id() == id) && self.search.meets(found, record.party, taken)
    }
}

/// A pass in the making.
#[derive(Clone, Debug)]
pub(super) struct History<'a> {
    pub(super) sought: &'a Sought,
    pub(super) followed: BTreeMap<u64, Followed>,
    /// Whether more are looked for.
    pub(super) seeks: bool,
    /// Where another pass goes on.
    pub(super) next: Option<u64>,
    /// What may still be read to find messages.
    bytes_left: usize,
    /// Bytes of what is followed.
    bytes: usize,
}

impl<'a> History<'a> {
    pub(super) fn new(sought: &'a Sought) -> Self {
        History { sought, followed: BTreeMap::new(), seeks: true, next: None, bytes_left: SEARCH_BYTES_MAX, bytes: 0 }
    }

    /// Whether no later record can change what it comes to.
    pub(super) fn is_done(&self) -> bool {
        !self.seeks && (self.followed.is_empty() || !self.sought.search.whole && self.open().next().is_none())
    }

    /// Whether records of a stretch may concern what is sought or followed.
    pub(super) fn wants(&self, stretch: &Stretch) -> bool {
        if self.seeks && self.sought.keys.iter().all(|any| any.iter().any(|key| stretch.has(*key))) {
            return true;
        }
        let whole = self.sought.search.whole;
        let mut followed = self.followed.values().filter(|one| whole || one.open().next().is_some()).peekable();
        let is_concerned =
            |one: &Followed| stretch.has(Key::at(one.position)) || whole && stretch.has(Key::cause(one.id()));
        followed.peek().is_some() && (stretch.is_broad || followed.any(is_concerned))
    }

    /// The queues in which what is followed still is, each perhaps several times.
    pub(super) fn open(&self) -> impl Iterator<Item = QueueId> + '_ {
        self.followed.values().flat_map(Followed::open)
    }

    /// Sees the records of a batch.
    pub(super) fn see(&mut self, batch: &Batch) {
        if self.seeks {
            match self.bytes_left.checked_sub(batch.bytes.len()) {
                Some(left) => self.bytes_left = left,
                None => self.stop_at(batch.header.position.max(self.sought.from)),
            }
        }
        let range = self.sought.from..self.sought.until;
        for view in batch.records().flatten().filter(|view| range.contains(&view.position)) {
            if view.kind == RecordKind::Open {
                self.followed.values_mut().for_each(|followed| followed.restart(&view));
            } else if let Ok(Some(record)) = Record::decode(&view) {
                self.see_record(&view, &record);
            }
        }
    }

    fn stop_at(&mut self, position: u64) {
        (self.seeks, self.next) = (false, Some(position));
    }

    fn see_record(&mut self, view: &RecordView<'_>, record: &Record<'_>) {
        let of = match record {
            Record::Message(message) => return self.find(view, message),
            Record::Ack(lease)
            | Record::Nack { lease, .. }
            | Record::Dead { lease, .. }
            | Record::Lease { lease, .. }
            | Record::Return { lease, .. }
            | Record::Drop { lease, .. }
            | Record::Extend { lease, .. } => lease.position,
            Record::Redrive { position, .. } | Record::Told { position, .. } => *position,
            Record::Purge { .. } | Record::Undeclare { .. } => {
                self.followed.values_mut().for_each(|followed| followed.see(view, record));
                let all: Vec<u64> = self.followed.keys().copied().collect();
                return all.into_iter().for_each(|position| self.dismiss(position));
            }
            Record::Declare { .. } | Record::FactPut { .. } | Record::FactDelete { .. } => return,
        };
        let Some(followed) = self.followed.get_mut(&of) else { return };
        // Of a list only the end counts, and after it nothing may come; of a history all is told.
        if self.sought.search.whole || followed.open().next().is_some() {
            followed.see(view, record);
            self.dismiss(of);
        }
    }

    /// What has come to an end that is not meant makes room for others.
    fn dismiss(&mut self, position: u64) {
        let search = &self.sought.search;
        let Some(outcome) = search.outcome.filter(|_| !search.whole) else { return };
        let Some(followed) = self.followed.get(&position) else { return };
        if followed.ended(|queue| self.sought.counts(queue)).is_some_and(|fate| !outcome.takes(fate)) {
            self.followed.remove(&position);
        }
    }

    fn see_reply(&mut self, view: &RecordView<'_>, record: &MessageRecord<'_>, found: &MessageRef<'_>) {
        let Some(cause) = found.causation().filter(|_| self.sought.search.whole) else { return };
        for followed in self.followed.values_mut().filter(|followed| followed.id() == cause) {
            followed.replied(view, record.party, found);
        }
    }

    fn find(&mut self, view: &RecordView<'_>, record: &MessageRecord<'_>) {
        let Ok(found) = MessageRef::parse(record.message) else { return };
        self.see_reply(view, record, &found);
        if !self.seeks || self.sought.search.since_ms.is_some_and(|since| view.time_ms < since) {
            return;
        }
        if self.sought.search.until_ms.is_some_and(|until| view.time_ms > until) {
            // The log's time never decreases.
            self.seeks = false;
            return;
        }
        if !self.sought.means(record, &found) {
            return;
        }
        if self.followed.len() >= self.sought.followed_max() {
            return self.stop_at(view.position);
        }
        let followed = Followed::new(view, record, &found, self.sought.search.whole);
        self.bytes += followed.bytes();
        if self.sought.search.whole && self.bytes > LOOK_BYTES_MAX && !self.followed.is_empty() {
            return self.stop_at(view.position);
        }
        self.followed.insert(view.position, followed);
    }
}
