//! Ephemeral queues: live messages on their way to one session, bounded, never in a backend.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use skep_protocol::{Encoding, Message, encode_live};

use crate::limits::{LIVE_BYTES_MAX, LIVE_FRAME_BYTES, LIVE_MESSAGES_MAX, REPLIES_BYTES_MAX, REPLIES_MAX};
use crate::request;

/// Live messages that came together and differ in id and payload alone. Every session that gets them shares them, and
/// they are encoded at most once per encoding.
#[derive(Debug)]
struct Run {
    messages: Vec<Message>,
    json: OnceLock<Bytes>,
    compact: OnceLock<Bytes>,
}

/// What one session gets of such a run: all but the first ones, which there was no room for.
#[derive(Clone, Debug)]
pub struct Live {
    run: Arc<Run>,
    /// How many it does not get.
    skipped: usize,
    /// Of those that it gets.
    bytes: usize,
}

impl Live {
    /// Shares a message.
    #[must_use]
    pub fn one(message: Message) -> Self {
        let bytes = message.bytes().len();
        Live::of(vec![message], bytes)
    }

    /// Shares messages that are alike, in order, in parts of the size of a frame.
    pub(crate) fn parts(messages: &[Message]) -> Vec<Self> {
        let (mut parts, mut begin, mut bytes) = (Vec::with_capacity(1), 0, 0);
        for (at, message) in messages.iter().enumerate() {
            bytes += message.bytes().len();
            let end = at + 1;
            if bytes >= LIVE_FRAME_BYTES || end == messages.len() {
                let part = messages.get(begin..end).unwrap_or_default();
                parts.push(Live::of(part.to_vec(), std::mem::take(&mut bytes)));
                begin = end;
            }
        }
        parts
    }

    fn of(messages: Vec<Message>, bytes: usize) -> Self {
        let run = Run { messages, json: OnceLock::new(), compact: OnceLock::new() };
        Live { run: Arc::new(run), skipped: 0, bytes }
    }

    /// The messages; one at least.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        self.run.messages.get(self.skipped..).unwrap_or_default()
    }

    /// The first of them; a reply is always alone.
    ///
    /// # Panics
    /// Never: there is one at least.
    #[must_use]
    pub fn message(&self) -> &Message {
        self.messages().first().expect("what has no messages left is passed on to nobody")
    }

    /// Bytes of the messages.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it answers a live request.
    pub(crate) fn is_reply(&self) -> bool {
        self.message().view().to().next().is_some_and(|topic| topic.starts_with(request::ROOT))
    }

    /// The frame that holds them alone.
    #[must_use]
    pub fn frame(&self, encoding: Encoding) -> Bytes {
        let encode = || {
            let mut out = Vec::with_capacity(self.bytes + 8 * self.messages().len() + 16);
            encode_live(encoding, self.messages().iter(), &mut out);
            out.into()
        };
        match encoding {
            // What others do not have in common with it is encoded for it alone.
            _ if self.skipped > 0 => encode(),
            Encoding::Json => self.run.json.get_or_init(encode).clone(),
            Encoding::Compact => self.run.compact.get_or_init(encode).clone(),
        }
    }

    /// Leaves the first one out.
    fn pop(&mut self) -> Option<Message> {
        let first = self.messages().first()?.clone();
        self.skipped += 1;
        self.bytes -= first.bytes().len();
        Some(first)
    }
}

/// Live messages that wait for one session.
#[derive(Debug, Default)]
pub(crate) struct LiveQueue {
    waiting: VecDeque<Live>,
    messages: usize,
    bytes: usize,
    dropped: u64,
}

impl LiveQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds messages; if there is no room the oldest go, are counted and answered.
    pub(crate) fn push_over(&mut self, live: &Live) -> Vec<Message> {
        self.add(live);
        self.drop_oldest()
    }

    /// Puts back what was taken last before those that are here: it is the oldest, and the first to go.
    pub(crate) fn put_back(&mut self, live: Live) -> Vec<Message> {
        self.add_front(live);
        self.drop_oldest()
    }

    /// Adds a reply if there is room.
    pub(crate) fn push(&mut self, reply: &Live) -> bool {
        let room = self.has_reply_room();
        if room {
            self.add(reply);
        }
        room
    }

    /// Puts a reply back. Those that came since were accepted, too: without room it is dropped and counted.
    pub(crate) fn put_back_reply(&mut self, reply: Live) -> Vec<Message> {
        if self.has_reply_room() {
            self.add_front(reply);
            return Vec::new();
        }
        self.dropped += reply.messages().len() as u64;
        reply.messages().to_vec()
    }

    /// Moves everything out; answers how many were dropped since the last time.
    pub(crate) fn drain(&mut self, into: &mut Vec<Live>) -> u64 {
        into.extend(self.waiting.drain(..));
        (self.messages, self.bytes) = (0, 0);
        std::mem::take(&mut self.dropped)
    }

    fn has_reply_room(&self) -> bool {
        self.messages < REPLIES_MAX && self.bytes < REPLIES_BYTES_MAX
    }

    fn drop_oldest(&mut self) -> Vec<Message> {
        let mut dropped = Vec::new();
        while self.messages > 1 && (self.messages > LIVE_MESSAGES_MAX || self.bytes > LIVE_BYTES_MAX) {
            let Some(front) = self.waiting.front_mut() else { break };
            if let Some(oldest) = front.pop() {
                self.messages -= 1;
                self.bytes -= oldest.bytes().len();
                self.dropped += 1;
                dropped.push(oldest);
            }
            if front.messages().is_empty() {
                self.waiting.pop_front();
            }
        }
        dropped
    }

    fn count(&mut self, live: &Live) {
        self.messages += live.messages().len();
        self.bytes += live.bytes();
    }

    fn add_front(&mut self, live: Live) {
        self.count(&live);
        self.waiting.push_front(live);
    }

    fn add(&mut self, live: &Live) {
        self.count(live);
        self.waiting.push_back(live.clone());
    }
}

#[cfg(test)]
mod tests {
    use skep_protocol::MessageId;

    use super::*;

    fn message(bytes: usize) -> Message {
        let id = MessageId::new("1").unwrap();
        Message::build(&id, "s", "t").payload("x/y", vec![0; bytes]).finish().unwrap()
    }

    fn count(all: &[Live]) -> usize {
        all.iter().map(|live| live.messages().len()).sum()
    }

    #[test]
    fn a_full_live_queue_drops_its_oldest_and_counts_them() {
        let mut queue = LiveQueue::default();
        let large = Live::one(message(1024 * 1024));
        let gone: usize = (0..10).map(|_| queue.push_over(&large).len()).sum();
        let mut all = Vec::new();
        assert_eq!(queue.drain(&mut all), gone as u64);
        assert_eq!(gone + all.len(), 10);
        assert!(all.len() * 1024 * 1024 <= LIVE_BYTES_MAX);
    }

    #[test]
    fn of_a_run_only_as_many_are_dropped_as_there_is_no_room_for() {
        let mut queue = LiveQueue::default();
        let runs = Live::parts(&vec![message(1); LIVE_MESSAGES_MAX - 5]);
        assert!(runs.len() > 1 && runs.iter().all(|run| queue.push_over(run).is_empty()));
        let (nine, other) = (Live::parts(&vec![message(2); 9]), Live::one(message(2)));
        let dropped = queue.push_over(&nine[0]).len() + queue.push_over(&other).len();
        let mut all = Vec::new();
        assert_eq!((dropped, queue.drain(&mut all), count(&all)), (5, 5, LIVE_MESSAGES_MAX));
        assert_eq!(queue.bytes, 0);
        let (cut, whole) = (all.first().unwrap(), runs.first().unwrap());
        assert_eq!(cut.messages().len() + 5, whole.messages().len());
        for encoding in [Encoding::Json, Encoding::Compact] {
            for live in [cut, whole] {
                let frame = encoding.decode(&live.frame(encoding)).unwrap();
                assert!(matches!(frame, skep_protocol::Frame::Live(read) if read == live.messages()));
            }
        }
    }

    #[test]
    fn what_is_put_back_comes_first_and_goes_first_and_is_counted() {
        let mut queue = LiveQueue::default();
        let (large, small) = (Live::one(message(1024 * 1024)), Live::one(message(1)));
        queue.push_over(&small);
        (0..10).for_each(|_| drop(queue.put_back(large.clone())));
        let mut all = Vec::new();
        assert_eq!(queue.drain(&mut all) + all.len() as u64, 11);
        assert!(Arc::ptr_eq(&all[0].run, &large.run) && Arc::ptr_eq(&all.last().unwrap().run, &small.run));
        assert!(all.iter().map(Live::bytes).sum::<usize>() <= LIVE_BYTES_MAX);
    }

    #[test]
    fn a_full_reply_queue_refuses() {
        let mut queue = LiveQueue::default();
        let small = Live::one(message(1));
        assert!((0..REPLIES_MAX).all(|_| queue.push(&small)));
        assert!(!queue.push(&small));
    }
}
