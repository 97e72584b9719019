//! One durable queue in memory: what is ready, by priority, and what it is bounded by.

use skep_protocol::{DeadKey, Ended, Priority, QueueInfo, QueueName, QueueSpec, Tries};

use super::asides::Asides;
use super::entry::{Entry, NEVER};
use super::keys::{Key, Keys};
use super::line::Line;
use super::memory::declared;
use super::timers::Handle;

/// One take in so many is the message that has waited longest, whatever its priority.
const FAIR_TAKE: u32 = 16;

/// A durable queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) name: QueueName,
    pub(crate) spec: QueueSpec,
    /// Ready messages by priority; none where nothing was ever ready.
    pub(super) ready: [Option<Box<Line>>; Priority::ALL.len()],
    pub(super) takes: u32,
    /// Order by key; none while no message in it has one.
    pub(super) keys: Option<Box<Keys>>,
    /// Messages held: staged, ready, leased, delayed, waiting behind others of their key.
    pub(crate) held: u64,
    pub(crate) held_bytes: u64,
    pub(crate) leased: u64,
    pub(crate) delayed: u64,
    /// What is known of single messages beside; none while it is nothing.
    pub(super) asides: Option<Box<Asides>>,
    /// What its declaration is counted as in memory, and all of it.
    pub(super) declared: u64,
    pub(super) weight: u64,
    /// When it is looked at for what expired.
    pub(super) alarm: Option<(u64, Handle)>,
    /// Its consumers, and which is next in turn.
    pub(crate) consumers: Vec<u64>,
    pub(crate) turn: usize,
    /// The number of the last message that was routed here.
    pub(crate) routed: u64,
}

impl Queue {
    pub(crate) fn new(spec: QueueSpec) -> Self {
        Queue {
            name: spec.name.clone(),
            declared: declared(&spec),
            spec,
            ready: Default::default(),
            takes: 0,
            keys: None,
            held: 0,
            held_bytes: 0,
            leased: 0,
            delayed: 0,
            asides: None,
            weight: 0,
            alarm: None,
            consumers: Vec::new(),
            turn: 0,
            routed: 0,
        }
    }

    /// Whether one more message of so many bytes is within its bounds.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.held < self.spec.messages_max && self.held_bytes + bytes as u64 <= self.spec.bytes_max
    }

    /// Whether it holds more than its bounds, and more than one message.
    pub(crate) fn is_over(&self) -> bool {
        self.held > 1 && (self.held > self.spec.messages_max || self.held_bytes > self.spec.bytes_max)
    }

    /// A message is held from now on, ready or not.
    pub(crate) fn hold(&mut self, entry: &Entry) {
        self.held += 1;
        self.held_bytes += entry.bytes();
    }

    /// The next attempt on a message learns how the last one ended.
    pub(super) fn note(&mut self, position: u64, ended: Ended) {
        self.beside().note(position, ended);
    }

    /// How the last attempt on a message ended, if it was tried.
    pub(super) fn ended(&self, position: u64) -> Option<&Ended> {
        self.asides()?.notes.get(&position)
    }

    /// The same of a message that says itself how it is tried again.
    pub(super) fn hold_tries(&mut self, position: u64, tries: Tries) {
        self.beside().tries.insert(position, tries);
    }

    /// How a message is tried again, if it says it itself.
    pub(super) fn tries(&self, position: u64) -> Option<Tries> {
        self.asides()?.tries.get(&position).copied()
    }

    /// A dead letter died at a moment, in unix milliseconds.
    pub(super) fn hold_died(&mut self, position: u64, at_ms: u64) {
        self.beside().died.insert(position, at_ms);
    }

    /// When a dead letter died, if it is known.
    pub(super) fn died(&self, position: u64) -> Option<u64> {
        self.asides()?.died.get(&position).copied()
    }

    /// What is known of single messages, if anything is.
    pub(super) fn asides(&self) -> Option<&Asides> {
        self.asides.as_deref()
    }

    /// The same, to be told something.
    pub(super) fn beside(&mut self) -> &mut Asides {
        self.asides.get_or_insert_default()
    }

    /// What was known of messages is forgotten.
    pub(super) fn forget(&mut self, forget: impl FnOnce(&mut Asides)) {
        if let Some(asides) = &mut self.asides {
            forget(asides);
            if asides.is_empty() {
                self.asides = None;
            }
        }
    }

    /// How often a message is tried at most, 0 for without end: as it says itself, else as the declaration has it. A dead letter
    /// that somebody works on is tried as its queue says.
    pub(super) fn attempts_max(&self, position: u64) -> u32 {
        self.tried(position).and_then(|tries| tries.attempts_max).unwrap_or(self.spec.attempts_max)
    }

    /// Its shortest and its longest wait before it is delivered again, in milliseconds.
    pub(super) fn backoff_ms(&self, position: u64) -> (u64, u64) {
        let own = self.tried(position).and_then(|tries| tries.backoff_ms);
        own.unwrap_or((self.spec.backoff_min_ms, self.spec.backoff_max_ms))
    }

    fn tried(&self, position: u64) -> Option<Tries> {
        self.tries(position).filter(|_| !self.name.is_dead())
    }

    /// The same of a message with a key.
    pub(super) fn hold_key(&mut self, position: u64, key: Key) {
        self.keyed().hold(position, key);
    }

    /// And no more; the next of its key is ready by that, if it had one. Answers the key of a dead letter, which
    /// the queue that it came from is to be told of.
    pub(super) fn release(&mut self, entry: &Entry) -> Option<Key> {
        self.held -= 1;
        self.held_bytes -= entry.bytes();
        self.forget(|asides| asides.release(entry.position, entry.expires_ms));
        let is_dead = self.name.is_dead();
        let keys = self.keys.as_mut()?;
        let key = if is_dead { keys.exhume(entry.position) } else { None };
        let next = keys.leave(entry.position);
        self.go_on(next);
        key
    }

    /// A message dies here; if it had a key and may come back, the key is parked. Answers its key.
    pub(super) fn die(&mut self, entry: &Entry, comes_back: bool) -> Option<Key> {
        let key = self.keys.as_ref().and_then(|keys| keys.key_of(entry.position));
        if let Some(key) = key.filter(|_| comes_back) {
            self.keyed().bury(entry.position, key, entry.expires_ms, true);
        }
        self.release(entry);
        if key.is_some() && comes_back {
            self.note_expiry(entry);
        }
        key
    }

    /// A dead letter of a message with a key is held here.
    pub(super) fn hold_dead_key(&mut self, entry: &Entry, key: Key) {
        self.keyed().bury(entry.position, key, entry.expires_ms, false);
    }

    /// The dead letters of the queue that had this name before park their keys here.
    pub(super) fn inherit(&mut self, dead: &Queue) {
        for (position, key, expires_ms) in dead.keys.iter().flat_map(|keys| keys.dead()) {
            self.keyed().bury(position, key, expires_ms, true);
            if expires_ms != NEVER {
                self.beside().expiring.insert((expires_ms, position));
            }
        }
    }

    /// A dead letter comes back no more: its key goes on, if no other parks it.
    pub(super) fn give_up(&mut self, position: u64) {
        let given_up = self.keys.as_mut().and_then(|keys| keys.give_up(position));
        if let Some((expires_ms, next)) = given_up {
            self.forget(|asides| _ = asides.expiring.remove(&(expires_ms, position)));
            self.go_on(next);
        }
    }

    /// The dead letters that had a key.
    pub(super) fn dead_with_keys(&self) -> Vec<u64> {
        self.keys.iter().flat_map(|keys| keys.dead()).map(|(position, ..)| position).collect()
    }

    /// The queue has this declaration from now on.
    pub(super) fn set_spec(&mut self, spec: QueueSpec) {
        self.declared = declared(&spec);
        self.spec = spec;
        let parks = self.spec.on_dead_key == DeadKey::Park;
        if let Some(mut keys) = self.keys.take() {
            let ready = keys.set_parks(parks, |position| self.take_untried(position));
            self.keys = Some(keys);
            ready.into_iter().for_each(|entry| self.make_ready(entry));
        }
    }

    /// Takes a ready message if nobody was ever at work on it.
    fn take_untried(&mut self, position: u64) -> Option<Entry> {
        let entry = self.take_at(position)?;
        if entry.attempts == 0 {
            return Some(entry);
        }
        self.make_ready(entry);
        None
    }

    /// What is known of its keys.
    pub(super) fn keys(&self) -> Option<&Keys> {
        self.keys.as_deref()
    }

    /// The same, to be told something.
    pub(super) fn keys_mut(&mut self) -> Option<&mut Keys> {
        self.keys.as_deref_mut()
    }

    fn keyed(&mut self) -> &mut Keys {
        let parks = self.spec.on_dead_key == DeadKey::Park;
        self.keys.get_or_insert_with(|| Box::new(Keys::new(parks)))
    }

    /// The next of a key is ready, if there is one.
    fn go_on(&mut self, next: Option<Entry>) {
        if let Some(entry) = next {
            self.make_ready(entry);
        }
        if self.keys.as_ref().is_some_and(|keys| keys.is_empty()) {
            self.keys = None;
        }
    }

    /// A message is leased, as the log says: it is the head of its key.
    pub(super) fn begin(&mut self, position: u64) {
        if let Some(mut keys) = self.keys.take() {
            keys.begin(position, |other| self.take_at(other));
            self.keys = Some(keys);
        }
    }

    /// A message that waits here may expire. A dead letter does not: it is dead.
    pub(super) fn note_expiry(&mut self, entry: &Entry) {
        if entry.expires_ms != NEVER && !self.name.is_dead() {
            self.beside().expiring.insert((entry.expires_ms, entry.position));
        }
    }

    /// When the next message may expire.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.asides()?.expiring.first().map(|(at_ms, _)| *at_ms)
    }

    /// Whether one may have.
    pub(super) fn has_expired(&self, unix_ms: u64) -> bool {
        self.next_expiry().is_some_and(|at_ms| at_ms <= unix_ms)
    }

    /// The position of the first to expire, which is then forgotten until it waits here again.
    pub(super) fn take_expired(&mut self) -> Option<u64> {
        let mut first = None;
        self.forget(|asides| first = asides.expiring.pop_first());
        first.map(|(_, position)| position)
    }

    /// Makes a message ready, or lets it wait behind the others of its key.
    pub(crate) fn put(&mut self, entry: Entry) {
        self.put_due(entry, None);
    }

    /// The same of one that was delayed: when it came due, and the position that came next then.
    pub(super) fn put_due(&mut self, entry: Entry, came_due: Option<(u64, u64)>) {
        self.note_expiry(&entry);
        match self.keys.as_mut() {
            None => self.make_ready(entry),
            Some(keys) => {
                let ready = keys.put(entry, came_due);
                self.go_on(ready);
            }
        }
    }

    /// In order of position, however late it comes.
    fn make_ready(&mut self, entry: Entry) {
        self.ready[usize::from(entry.priority.number())].get_or_insert_default().put(entry);
    }

    /// The message that is to be delivered next.
    pub(crate) fn next(&self) -> Option<&Entry> {
        self.ready[self.class()?].as_ref()?.first()
    }

    /// Takes it.
    pub(crate) fn take(&mut self) -> Option<Entry> {
        let class = self.class()?;
        self.takes = self.takes.wrapping_add(1);
        self.ready[class].as_mut()?.take()
    }

    /// Strict by priority, but for one take in 16.
    fn class(&self) -> Option<usize> {
        if self.takes % FAIR_TAKE == FAIR_TAKE - 1 {
            return self.oldest();
        }
        self.ready.iter().position(|line| line.as_ref().is_some_and(|line| line.len() > 0))
    }

    /// The priority of the message that has waited longest.
    fn oldest(&self) -> Option<usize> {
        let classes = self.ready.iter().enumerate();
        classes
            .filter_map(|(class, line)| Some((line.as_ref()?.first()?.position, class)))
            .min()
            .map(|(_, class)| class)
    }

    /// Takes the message that has waited longest, whatever its priority.
    pub(crate) fn take_oldest(&mut self) -> Option<Entry> {
        self.oldest().and_then(|class| self.ready[class].as_mut()?.take())
    }

    /// Takes the message at a position, if it is ready or waits behind others of its key.
    pub(crate) fn take_at(&mut self, position: u64) -> Option<Entry> {
        let waiting = self.keys.as_mut().and_then(|keys| keys.take(position));
        waiting.or_else(|| self.ready.iter_mut().flatten().find_map(|line| line.take_at(position)))
    }

    /// Whether the message at a position is ready, or waits behind others of its key.
    pub(crate) fn has_ready(&self, position: u64) -> bool {
        self.ready_from(position, 1).any(|entry| entry.position == position)
    }

    /// All messages that are ready: of each priority in order of position.
    pub(super) fn in_line(&self) -> impl Iterator<Item = Entry> {
        self.ready.iter().flatten().flat_map(|line| line.iter())
    }

    /// How many of them are packed, and what those take, in bytes.
    pub(super) fn packed(&self) -> (u64, u64) {
        let lines = self.ready.iter().flatten().map(|line| line.packed());
        lines.fold((0, 0), |(count, bytes), more| (count + more.0 as u64, bytes + more.1 as u64))
    }

    /// All messages that are ready or wait behind others of their key, in no order.
    pub(crate) fn ready(&self) -> impl Iterator<Item = Entry> {
        let waiting = self.keys.iter().flat_map(|keys| keys.iter());
        self.in_line().chain(waiting.copied())
    }

    /// Those from a position on, in no order: of each priority, and of those that wait, at least the oldest, so many.
    pub(crate) fn ready_from(&self, position: u64, limit: usize) -> impl Iterator<Item = Entry> {
        let waiting = self.keys.iter().flat_map(move |keys| keys.from(position)).take(limit).copied();
        self.ready.iter().flatten().flat_map(move |line| line.from(position, limit)).chain(waiting)
    }

    pub(crate) fn ready_count(&self) -> u64 {
        self.ready.iter().flatten().map(|line| line.len() as u64).sum()
    }

    /// What it holds, as it is shown; its dead letters and who is active are known elsewhere.
    pub(crate) fn info(&self) -> QueueInfo {
        let (parked_keys, parked) = self.keys.as_ref().map_or((0, 0), |keys| keys.parked());
        QueueInfo {
            spec: self.spec.clone(),
            ready: self.ready_count() + self.keys.as_ref().map_or(0, |keys| keys.waiting()),
            leased: self.leased,
            delayed: self.delayed,
            bytes: self.held_bytes,
            consumers: self.consumers.len() as u64,
            dead: 0,
            parked,
            parked_keys,
            active: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use skep_core::Level;

    use super::super::entry::Place;
    use super::*;
    use crate::log::BatchAt;

    fn entry(position: u64, priority: Priority) -> Entry {
        let place = Place::new(BatchAt { segment: 1, offset: 0 }, 0, 1).expect("a place");
        Entry { position, place, attempts: 0, priority, level: Level::FSYNC, expires_ms: NEVER }
    }

    fn queue() -> Queue {
        Queue::new(QueueSpec::new(QueueName::new("jobs").unwrap()))
    }

    #[test]
    fn higher_priorities_go_first_and_none_starves() {
        let mut queue = queue();
        (0..100).for_each(|n| queue.put(entry(100 + n, Priority::Critical)));
        queue.put(entry(1, Priority::Bulk));
        let order: Vec<u64> = std::iter::from_fn(|| queue.take()).map(|entry| entry.position).collect();
        assert_eq!(order.iter().position(|p| *p == 1), Some(15));
        assert_eq!(order[..15], (100..115).collect::<Vec<_>>());
        assert_eq!(order.len(), 101);
    }

    #[test]
    fn a_message_that_comes_back_takes_its_old_place() {
        let mut queue = queue();
        [1, 2, 4].into_iter().for_each(|n| queue.put(entry(n, Priority::Normal)));
        queue.put(entry(3, Priority::Normal));
        assert_eq!(queue.take_at(2).map(|entry| entry.position), Some(2));
        assert_eq!(queue.take_at(2), None);
        let order: Vec<u64> = std::iter::from_fn(|| queue.take()).map(|entry| entry.position).collect();
        assert_eq!(order, [1, 3, 4]);
    }

    #[test]
    fn the_oldest_of_all_priorities_is_taken_and_no_turn_is_counted() {
        let mut queue = queue();
        let messages = [(5, Priority::Critical), (3, Priority::Normal), (9, Priority::Normal), (4, Priority::Bulk)];
        messages.into_iter().for_each(|(position, priority)| queue.put(entry(position, priority)));
        assert_eq!(queue.take_oldest().map(|entry| entry.position), Some(3));
        assert_eq!(queue.take_oldest().map(|entry| entry.position), Some(4));
        assert_eq!(queue.takes, 0);
    }
}
