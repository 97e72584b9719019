//! Ephemeral queues: live messages on their way to one session, bounded, never in a backend.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use skep_protocol::{Encoding, Frame, Message};

use crate::limits::{LIVE_BYTES_MAX, LIVE_MESSAGES_MAX, REPLIES_BYTES_MAX, REPLIES_MAX};
use crate::request;

/// A live message, shared by every session that gets it, and encoded at most once per encoding.
#[derive(Debug)]
pub struct LiveMessage {
    message: Message,
    json: OnceLock<Bytes>,
    compact: OnceLock<Bytes>,
}

impl LiveMessage {
    /// Shares a message.
    #[must_use]
    pub fn new(message: Message) -> Arc<Self> {
        Arc::new(LiveMessage { message, json: OnceLock::new(), compact: OnceLock::new() })
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Whether it answers a live request.
    pub(crate) fn is_reply(&self) -> bool {
        self.message.view().to().next().is_some_and(|topic| topic.starts_with(request::ROOT))
    }

    /// The frame that holds it alone.
    #[must_use]
    pub fn frame(&self, encoding: Encoding) -> Bytes {
        let cell = match encoding {
            Encoding::Json => &self.json,
            Encoding::Compact => &self.compact,
        };
        cell.get_or_init(|| {
            let mut out = Vec::with_capacity(self.message.bytes().len() + 16);
            encoding.encode(&Frame::Live(vec![self.message.clone()]), &mut out);
            out.into()
        })
        .clone()
    }
}

/// Live messages that wait for one session.
#[derive(Debug, Default)]
pub(crate) struct LiveQueue {
    messages: VecDeque<Arc<LiveMessage>>,
    bytes: usize,
    dropped: u64,
}

impl LiveQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Adds a message; if there is no room the oldest go, are counted and answered.
    pub(crate) fn push_over(&mut self, message: &Arc<LiveMessage>) -> Vec<Arc<LiveMessage>> {
        self.add(message);
        self.drop_oldest()
    }

    /// Puts back the message that was taken last before those that are here: it is the oldest,
    /// and the first to go.
    pub(crate) fn put_back(&mut self, message: Arc<LiveMessage>) -> Vec<Arc<LiveMessage>> {
        self.add_front(message);
        self.drop_oldest()
    }

    /// Adds a reply if there is room.
    pub(crate) fn push(&mut self, message: &Arc<LiveMessage>) -> bool {
        let room = self.has_reply_room();
        if room {
            self.add(message);
        }
        room
    }

    /// The same of a reply. Those that came since were accepted, too: without room it is dropped and counted.
    pub(crate) fn put_back_reply(&mut self, message: Arc<LiveMessage>) -> Vec<Arc<LiveMessage>> {
        if self.has_reply_room() {
            self.add_front(message);
            Vec::new()
        } else {
            self.dropped += 1;
            vec![message]
        }
    }

    /// Moves everything out; answers how many were dropped since the last time.
    pub(crate) fn drain(&mut self, into: &mut Vec<Arc<LiveMessage>>) -> u64 {
        into.extend(self.messages.drain(..));
        self.bytes = 0;
        std::mem::take(&mut self.dropped)
    }

    fn has_reply_room(&self) -> bool {
        self.messages.len() < REPLIES_MAX && self.bytes < REPLIES_BYTES_MAX
    }

    fn drop_oldest(&mut self) -> Vec<Arc<LiveMessage>> {
        let mut dropped = Vec::new();
        while self.messages.len() > 1 && (self.messages.len() > LIVE_MESSAGES_MAX || self.bytes > LIVE_BYTES_MAX) {
            if let Some(oldest) = self.messages.pop_front() {
                self.bytes -= oldest.message.bytes().len();
                self.dropped += 1;
                dropped.push(oldest);
            }
        }
        dropped
    }

    fn add_front(&mut self, message: Arc<LiveMessage>) {
        self.bytes += message.message.bytes().len();
        self.messages.push_front(message);
    }

    fn add(&mut self, message: &Arc<LiveMessage>) {
        self.bytes += message.message.bytes().len();
        self.messages.push_back(message.clone());
    }
}

#[cfg(test)]
mod tests {
    use skep_protocol::MessageId;

    use super::*;

    fn message(bytes: usize) -> Arc<LiveMessage> {
        let id = MessageId::new("1").unwrap();
        LiveMessage::new(Message::build(&id, "s", "t").payload("x/y", vec![0; bytes]).finish().unwrap())
    }

    #[test]
    fn a_full_live_queue_drops_its_oldest_and_counts_them() {
        let mut queue = LiveQueue::default();
        let large = message(1024 * 1024);
        let gone: usize = (0..10).map(|_| queue.push_over(&large).len()).sum();
        let mut all = Vec::new();
        assert_eq!(queue.drain(&mut all), gone as u64);
        assert_eq!(gone + all.len(), 10);
        assert!(all.len() * 1024 * 1024 <= LIVE_BYTES_MAX);
    }

    #[test]
    fn what_is_put_back_comes_first_and_goes_first_and_is_counted() {
        let mut queue = LiveQueue::default();
        let (large, small) = (message(1024 * 1024), message(1));
        queue.push_over(&small);
        (0..10).for_each(|_| drop(queue.put_back(large.clone())));
        let mut all = Vec::new();
        assert_eq!(queue.drain(&mut all) + all.len() as u64, 11);
        assert!(Arc::ptr_eq(&all[0], &large) && Arc::ptr_eq(all.last().unwrap(), &small));
        assert!(all.iter().map(|message| message.message.bytes().len()).sum::<usize>() <= LIVE_BYTES_MAX);
    }

    #[test]
    fn a_full_reply_queue_refuses() {
        let mut queue = LiveQueue::default();
        let small = message(1);
        assert!((0..REPLIES_MAX).all(|_| queue.push(&small)));
        assert!(!queue.push(&small));
    }
}
