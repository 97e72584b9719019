//! Live requests that wait for their reply.

use std::collections::HashMap;

use skep_protocol::{Error, Message};

use crate::verb::{Asker, Paid, unknown};

/// By number. Bounded by what callers paid for.
#[derive(Default)]
pub(super) struct Requests {
    waiting: HashMap<u64, Request>,
}

struct Request {
    /// A reply names it.
    id: Box<str>,
    asker: Asker<Message>,
    _room: Paid,
}

impl Requests {
    pub(super) fn begin(&mut self, number: u64, id: &str, asker: Asker<Message>, room: Paid) {
        self.waiting.insert(number, Request { id: id.into(), asker, _room: room });
    }

    /// Takes what comes to a reply topic, `<replies>.<number>`. The first reply counts that names the
    /// request of that number; what names another one answers nothing, and is dropped.
    pub(super) fn reply(&mut self, replies: &str, message: &Message) -> bool {
        let number = |topic: &str| topic.strip_prefix(replies)?.strip_prefix('.')?.parse::<u64>().ok();
        let mut topics = message.view().to();
        let Some(number) = topics.find_map(number) else { return false };
        match self.waiting.get(&number) {
            Some(request) if message.view().correlation() != Some(&request.id) => {
                tracing::debug!(
                    reply = message.id(),
                    request = request.id,
                    "dropped a reply that names another request"
                );
            }
            _ => self.finish(number, Ok(message.clone())),
        }
        true
    }

    pub(super) fn finish(&mut self, number: u64, result: Result<Message, Error>) {
        if let Some(request) = self.waiting.remove(&number) {
            let _gave_up = request.asker.send(result);
        }
    }

    /// Nobody waits for this one any more.
    pub(super) fn forget(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// The reply topic is gone: no reply can come.
    pub(super) fn lost(&mut self) {
        for (_, request) in self.waiting.drain() {
            let _gave_up = request.asker.send(Err(unknown("the request")));
        }
    }
}
