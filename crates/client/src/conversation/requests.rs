//! Live requests that wait for their replies.

use std::collections::HashMap;

use skep_protocol::{Code, Error, Message, Parts};

use crate::limits::{PARTS_WAITING_BYTES_MAX, PARTS_WAITING_MAX};
use crate::verb::{Each, Paid, Replies, unknown};

/// By number. Bounded by what callers paid for.
#[derive(Default)]
pub(super) struct Requests {
    waiting: HashMap<u64, Request>,
}

struct Request {
    /// A reply names it.
    id: Box<str>,
    replies: Replies,
    _room: Paid,
}

impl Requests {
    pub(super) fn begin(&mut self, number: u64, id: &str, replies: Replies, room: Paid) {
        self.waiting.insert(number, Request { id: id.into(), replies, _room: room });
    }

    /// Takes what comes to a reply topic, `<replies>.<number>`. A reply names the request of that number; what names
    /// another one answers nothing, and is dropped.
    pub(super) fn reply(&mut self, replies: &str, message: &Message) -> bool {
        let number = |topic: &str| topic.strip_prefix(replies)?.strip_prefix('.')?.parse::<u64>().ok();
        let mut topics = message.view().to();
        let Some(number) = topics.find_map(number) else { return false };
        let Some(request) = self.waiting.get(&number) else { return true };
        if message.view().correlation() != Some(&request.id) {
            tracing::debug!(reply = message.id(), request = request.id, "dropped a reply that names another request");
        } else if let Replies::Each(each) = &request.replies {
            if let Err(error) = part(each, message) {
                self.fail(number, error);
            }
        } else if let Some(Request { replies: Replies::One(asker), .. }) = self.waiting.remove(&number) {
            let _gave_up = asker.send(Parts::is_whole(&message.view()).map(|()| message.clone()));
        }
        true
    }

    pub(super) fn fail(&mut self, number: u64, error: Error) {
        if let Some(request) = self.waiting.remove(&number) {
            request.replies.fail(error);
        }
    }

    /// Nobody waits for this one any more.
    pub(super) fn forget(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// The reply topic is gone: no reply can come.
    pub(super) fn lost(&mut self) {
        for (_, request) in self.waiting.drain() {
            request.replies.fail(unknown("the request"));
        }
    }
}

/// Gives a reply to the reader of a stream. It never waits for a slow one: all that comes over the link would wait, too.
fn part(each: &Each, message: &Message) -> Result<(), Error> {
    each.0.offer_of(message.clone(), message.bytes().len()).map_err(|_| {
        let text = format!(
            "the streamed reply came faster than it was read: {PARTS_WAITING_MAX} parts or {PARTS_WAITING_BYTES_MAX} bytes wait, and more \
             are not kept; read it faster"
        );
        Error::new(Code::StreamBroken, text)
    })
}
