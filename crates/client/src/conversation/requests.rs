//! Live requests that wait for their reply.

use std::collections::HashMap;

use skep_protocol::{Error, Message};

use crate::verb::{Asker, Paid, unknown};

/// By number. Bounded by what callers paid for.
#[derive(Default)]
pub(super) struct Requests {
    waiting: HashMap<u64, (Asker<Message>, Paid)>,
}

impl Requests {
    pub(super) fn begin(&mut self, number: u64, asker: Asker<Message>, room: Paid) {
        self.waiting.insert(number, (asker, room));
    }

    /// Takes a reply if it is one: published to `<replies>.<number>`. The first one counts.
    pub(super) fn reply(&mut self, replies: &str, message: &Message) -> bool {
        let number = |topic: &str| topic.strip_prefix(replies)?.strip_prefix('.')?.parse::<u64>().ok();
        let mut topics = message.view().to();
        let Some(number) = topics.find_map(number) else { return false };
        self.finish(number, Ok(message.clone()));
        true
    }

    pub(super) fn finish(&mut self, number: u64, result: Result<Message, Error>) {
        if let Some((asker, _room)) = self.waiting.remove(&number) {
            let _gave_up = asker.send(result);
        }
    }

    /// Nobody waits for this one any more.
    pub(super) fn forget(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// The reply topic is gone: no reply can come.
    pub(super) fn lost(&mut self) {
        for (_, (asker, _room)) in self.waiting.drain() {
            let _gave_up = asker.send(Err(unknown("the request")));
        }
    }
}
