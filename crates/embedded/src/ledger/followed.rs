//! One stored message on its way through the log: what happened to it, and how it stands.

use skep_protocol::{Event, Fate, Message, MessageRef, Position, Traced, format_time};

use crate::engine::{EXPIRED, Stand};
use crate::journal::{By, LeaseOf, MessageRecord, QueueId, Record, runs};
use crate::ledger::Names;
use crate::limits::{DETAIL_BYTES_MAX, EVENTS_MAX};
use crate::log::RecordView;
use crate::retained::Trees;

/// Why an attempt ended that the hub's end ended, as the next attempt learns it.
const RESTARTED: &str = "hub_restarted";

/// Why a stored message is in no queue.
const UNTAKEN: &str = "no queue matched it; it is stored, for its topics are retained";

/// A message that is followed.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    pub(super) position: u64,
    time_ms: u64,
    party: String,
    /// Without its payload, unless it is wanted whole.
    message: Message,
    whole: bool,
    queues: Vec<Way>,
    events: Vec<(Option<QueueId>, Event)>,
}

/// Its way through one queue.
#[derive(Clone, Debug)]
struct Way {
    queue: QueueId,
    end: End,
    /// When the last thing happened to it there.
    time_ms: u64,
    attempt: u32,
    /// What that was, if it told why.
    reason: String,
    /// Whether somebody had it when that happened.
    leased: bool,
}

/// How its way through a queue ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Not yet.
    Open,
    /// It went on to other queues: of that one nothing is left to say.
    Moved,
    /// For good.
    Now(Fate),
}

impl Followed {
    pub(super) fn new(view: &RecordView<'_>, record: &MessageRecord<'_>, found: &MessageRef<'_>, whole: bool) -> Self {
        let kept = if whole { Message::parse(record.message.to_vec().into()).ok() } else { None };
        let mut followed = Followed {
            position: view.position,
            time_ms: view.time_ms,
            party: record.party.to_owned(),
            message: kept.unwrap_or_else(|| found.bare()),
            whole,
            queues: Vec::new(),
            events: Vec::new(),
        };
        let to = found.to().collect::<Vec<_>>().join(", ");
        followed.tell(view, "accepted", None, None, record.party, &format!("to {to}"));
        let not_before_ms = found.not_before_ms().ok().flatten().unwrap_or(0);
        for queue in record.queues() {
            followed.enter(queue, view.time_ms, "");
            followed.tell(view, "stored", Some(queue), None, "", "");
            followed.tell_delay(view, queue, None, not_before_ms);
        }
        followed
    }

    /// The hub was started: who had the message has it no more.
    pub(super) fn restart(&mut self, view: &RecordView<'_>) {
        let mut ended = Vec::new();
        for way in self.queues.iter_mut().filter(|way| way.end == End::Open && way.leased) {
            (way.leased, way.time_ms) = (false, view.time_ms);
            RESTARTED.clone_into(&mut way.reason);
            ended.push((way.queue, way.attempt));
        }
        for (queue, attempt) in ended {
            self.tell(view, "returned", Some(queue), Some(attempt), "", RESTARTED);
        }
    }

    /// Another stored message names this one as what it answers or follows from.
    pub(super) fn replied(&mut self, view: &RecordView<'_>, party: &str, reply: &MessageRef<'_>) {
        self.tell(view, "replied", None, None, party, &format!("{} {}", reply.kind(), reply.id()));
    }

    /// The topic trees with a retention of their own that it belongs to.
    pub(super) fn trees(&self, trees: &Trees) -> u64 {
        trees.of(&self.message.view())
    }

    /// When it was stored.
    pub(super) fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// Its id.
    pub(super) fn id(&self) -> &str {
        self.message.id()
    }

    /// What it counts for, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.message.bytes().len()
    }

    /// How it stands, if its way has ended in all queues that count.
    pub(super) fn ended(&self, counts: impl Fn(QueueId) -> bool) -> Option<Fate> {
        let mut worst = None;
        for way in self.judged(counts) {
            match way.end {
                End::Open => return None,
                End::Moved => {}
                End::Now(fate) => worst = Some(worst.map_or(fate, |known: Fate| known.min(fate))),
            }
        }
        worst
    }

    /// The queues that count; if none does, all.
    fn judged(&self, counts: impl Fn(QueueId) -> bool) -> impl Iterator<Item = &Way> {
        let any = self.queues.iter().any(|way| counts(way.queue));
        self.queues.iter().filter(move |way| !any || counts(way.queue))
    }

    /// The queues in which its way has not ended.
    pub(super) fn open(&self) -> impl Iterator<Item = QueueId> + '_ {
        self.queues.iter().filter(|way| way.end == End::Open).map(|way| way.queue)
    }

    /// All queues it ever was in.
    pub(super) fn queues(&self) -> impl Iterator<Item = QueueId> + '_ {
        self.queues.iter().map(|way| way.queue)
    }

    /// A record of this position, or of a queue that it is in.
    pub(super) fn see(&mut self, view: &RecordView<'_>, record: &Record<'_>) {
        match record {
            Record::Lease { lease, party } => {
                self.settle(view, lease, "leased", party, "", End::Open);
            }
            Record::Ack(lease) => self.settle(view, lease, "acked", "", "", End::Now(Fate::Acked)),
            Record::Nack { lease, not_before_ms, reason } => {
                self.settle(view, lease, "nacked", "", reason, End::Open);
                self.tell_delay(view, lease.queue, Some(lease.attempt), *not_before_ms);
            }
            Record::Return { lease, charged, reason } => self.returned(view, lease, *charged, reason),
            Record::Extend { lease, progress, .. } => self.settle(view, lease, "extended", "", progress, End::Open),
            Record::Dead { lease, to, reason, .. } => {
                self.settle(view, lease, "dead_lettered", "", reason, End::Moved);
                self.enter(*to, view.time_ms, reason);
            }
            Record::Drop { lease, by: By::Hub, reason: EXPIRED } => {
                self.settle(view, lease, "expired", "", "", End::Now(Fate::Expired));
            }
            Record::Drop { lease, reason, .. } => {
                self.settle(view, lease, "dropped", "", reason, End::Now(Fate::Dropped));
            }
            Record::Told { position, refused, .. } if *position == self.position && !refused.is_empty() => {
                self.tell(view, "notice_refused", None, None, "", refused);
            }
            Record::Redrive { dead, to, position } if *position == self.position => {
                self.end(*dead, view.time_ms, End::Moved);
                self.enter(*to, view.time_ms, "");
                self.tell(view, "redriven", Some(*to), None, "", "");
            }
            Record::Purge { queue, runs: bytes } => {
                let has = |(first, count): (u64, u64)| (first..first.saturating_add(count)).contains(&self.position);
                if runs(bytes).any(has) {
                    self.end(*queue, view.time_ms, End::Now(Fate::Purged));
                    self.tell(view, "purged", Some(*queue), None, "", "");
                }
            }
            Record::Undeclare { queue } if self.open().any(|open| open == *queue) => {
                self.end(*queue, view.time_ms, End::Now(Fate::Removed));
                self.tell(view, "removed", Some(*queue), None, "", "the queue was deleted");
            }
            _ => {}
        }
    }

    fn settle(&mut self, view: &RecordView<'_>, lease: &LeaseOf, what: &str, party: &str, detail: &str, end: End) {
        if lease.position != self.position {
            return;
        }
        if let Some(way) = self.queues.iter_mut().find(|way| way.queue == lease.queue) {
            way.end = end;
            way.time_ms = view.time_ms;
            way.attempt = lease.attempt;
            way.leased = matches!(what, "leased" | "extended");
            if !way.leased {
                detail.clone_into(&mut way.reason);
            }
        }
        self.tell(view, what, Some(lease.queue), Some(lease.attempt), party, detail);
    }

    fn returned(&mut self, view: &RecordView<'_>, lease: &LeaseOf, charged: bool, reason: &str) {
        let before = self.queues.iter().find(|way| way.queue == lease.queue).map(|way| way.reason.clone());
        let detail = match (charged, reason) {
            (true, reason) => reason.to_owned(),
            (false, "") => "uncharged".to_owned(),
            (false, reason) => format!("{reason}, uncharged"),
        };
        self.settle(view, lease, "returned", "", &detail, End::Open);
        // What does not count as an attempt is no reason why the message waits.
        let way = self.queues.iter_mut().find(|way| !charged && way.queue == lease.queue);
        if let Some(way) = way.filter(|_| lease.position == self.position) {
            way.attempt = lease.attempt.saturating_sub(1);
            way.reason = before.unwrap_or_default();
        }
    }

    /// It is not delivered before this moment.
    fn tell_delay(&mut self, view: &RecordView<'_>, queue: QueueId, attempt: Option<u32>, until_ms: u64) {
        if until_ms > view.time_ms {
            self.tell(view, "delayed", Some(queue), attempt, "", &format!("until {}", format_time(until_ms)));
        }
    }

    /// It is in a queue from now on.
    fn enter(&mut self, queue: QueueId, time_ms: u64, reason: &str) {
        self.queues.retain(|way| way.queue != queue);
        let reason = reason.to_owned();
        self.queues.push(Way { queue, end: End::Open, time_ms, attempt: 0, reason, leased: false });
    }

    fn end(&mut self, queue: QueueId, time_ms: u64, end: End) {
        if let Some(way) = self.queues.iter_mut().find(|way| way.queue == queue) {
            (way.end, way.time_ms) = (end, time_ms);
        }
    }

    fn tell(
        &mut self,
        view: &RecordView<'_>,
        what: &str,
        queue: Option<QueueId>,
        attempt: Option<u32>,
        party: &str,
        detail: &str,
    ) {
        if !self.whole {
            return;
        }
        if self.events.len() >= EVENTS_MAX {
            self.events.remove(EVENTS_MAX / 2);
        }
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let detail = detail.get(..detail.floor_char_boundary(DETAIL_BYTES_MAX)).unwrap_or_default();
        let event = Event {
            time_ms: view.time_ms,
            position: Position::Number(view.position),
            what: what.to_owned(),
            queue: None,
            attempt,
            party: text(party),
            detail: text(detail),
        };
        self.events.push((queue, event));
    }

    /// How it stands, of all queues that count where it stands worst. `stands` has what the engine
    /// says of it in those where its way has not ended, or in their dead letters; `has_gap` says that a part of the log behind it
    /// was removed, which may have told that it has.
    pub(super) fn shown(
        mut self,
        names: &Names,
        counts: impl Fn(QueueId) -> bool,
        stands: impl Fn(QueueId) -> Option<(QueueId, Stand)>,
        has_gap: bool,
    ) -> Option<Traced> {
        let events = std::mem::take(&mut self.events);
        let judged = self.judged(counts).filter_map(|way| {
            let (queue, stand) = stands(way.queue).map_or((way.queue, None), |(queue, stand)| (queue, Some(stand)));
            let dead = names.get(&queue).is_some_and(skep_protocol::QueueName::is_dead);
            Some((way.fate(dead, stand.as_ref(), has_gap)?, queue, way, stand))
        });
        let Some((state, queue, way, stand)) = judged.min_by_key(|(fate, ..)| *fate) else {
            return self.queues.is_empty().then(|| self.untaken(events));
        };
        let told = (!way.reason.is_empty()).then(|| way.reason.clone());
        let previous = stand.as_ref().and_then(|stand| stand.previous.as_ref()).map(|ended| ended.reason.clone());
        let reason = previous.or(told).filter(|_| !matches!(state, Fate::Acked | Fate::Waiting | Fate::Delayed));
        let named = |id: QueueId| names.get(&id).cloned();
        let events = events.into_iter().map(|(queue, event)| Event { queue: queue.and_then(named), ..event }).collect();
        Some(Traced {
            state,
            state_ms: way.time_ms,
            queue: named(queue),
            attempts: stand.as_ref().map_or(way.attempt, |stand| stand.attempts),
            due_ms: stand.as_ref().and_then(|stand| stand.due_ms),
            behind: stand.as_ref().and_then(|stand| stand.behind.clone()).filter(|_| state == Fate::Waiting),
            reason,
            holder: stand.and_then(|stand| stand.holder),
            events,
            ..self.untaken(Vec::new())
        })
    }

    /// It was stored for looks, and no queue took it.
    fn untaken(&self, events: Vec<(Option<QueueId>, Event)>) -> Traced {
        let view = self.message.view();
        Traced {
            id: view.id().to_owned(),
            position: Some(Position::Number(self.position)),
            time_ms: self.time_ms,
            conversation: view.conversation().to_owned(),
            kind: view.kind().to_owned(),
            source: view.source().to_owned(),
            party: self.party.clone(),
            to: view.to().map(str::to_owned).collect(),
            state: Fate::Unmatched,
            state_ms: self.time_ms,
            queue: None,
            attempts: 0,
            due_ms: None,
            behind: None,
            reason: Some(UNTAKEN.to_owned()),
            holder: None,
            events: events.into_iter().map(|(_, event)| event).collect(),
            message: self.whole.then(|| self.message.clone()),
        }
    }
}

impl Way {
    /// How a message stands here; none where it went on. What the log tells counts; what the engine
    /// adds is who has it, and that an attempt ended with the hub.
    fn fate(&self, dead: bool, stand: Option<&Stand>, has_gap: bool) -> Option<Fate> {
        Some(match (self.end, stand) {
            (End::Moved, _) => return None,
            (End::Now(fate), _) => fate,
            (End::Open, Some(Stand { holder: Some(_), .. })) => Fate::Leased,
            (End::Open, Some(_)) if dead => Fate::Dead,
            (End::Open, Some(Stand { attempts: 0, due_ms: Some(_), .. })) => Fate::Delayed,
            (End::Open, Some(Stand { attempts: 0, .. })) => Fate::Waiting,
            (End::Open, Some(_)) => Fate::Retrying,
            (End::Open, None) if has_gap => Fate::Settled,
            // It is on its way from one state to the next.
            (End::Open, None) if self.leased => Fate::Leased,
            (End::Open, None) if dead => Fate::Dead,
            (End::Open, None) if self.attempt > 0 => Fate::Retrying,
            (End::Open, None) => Fate::Waiting,
        })
    }
}
