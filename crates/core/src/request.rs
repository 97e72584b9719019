//! Live requests: where the replies to a session go, and that nobody else hears them.

use std::sync::{Arc, PoisonError, RwLock};

use foldhash::HashMap;
use skep_protocol::{Code, Error, Message, Retry};

use crate::clock::Now;
use crate::live::Live;
use crate::mailbox::{Mailbox, Wakes};
use crate::session::Session;

/// The root of reply topics: `$reply.<32 hexadecimal digits>.<any token>`.
pub(crate) const ROOT: &str = "$reply.";

/// The sessions that wait for replies, by the random part of their topic.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    waiting: RwLock<HashMap<Box<str>, Arc<Mailbox>>>,
}

impl Replies {
    /// Opens the reply topic of a session; answers the topic without its last token.
    pub(crate) fn open(&self, random: &str, mailbox: &Arc<Mailbox>) -> String {
        let mut waiting = self.waiting.write().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(random.into(), mailbox.clone());
        format!("{ROOT}{random}")
    }

    /// Closes it.
    pub(crate) fn close(&self, topic: &str) {
        if let Some(random) = topic.strip_prefix(ROOT) {
            self.waiting.write().unwrap_or_else(PoisonError::into_inner).remove(random);
        }
    }

    /// Hands a reply to the session that waits for it.
    ///
    /// # Errors
    /// `no_responders` if that session is gone, `queue_full` if it takes no more.
    pub(crate) fn deliver(&self, topic: &str, message: &Message, wakes: &mut Wakes) -> Result<(), Error> {
        let random = topic.strip_prefix(ROOT).and_then(|rest| rest.split('.').next()).unwrap_or_default();
        let waiting = self.waiting.read().unwrap_or_else(PoisonError::into_inner);
        let Some(mailbox) = waiting.get(random) else {
            // It is asked anew with another topic, never with this one.
            let text = format!("nobody waits for a reply at {topic} any more; it can reach nobody");
            return Err(Error { retry: Retry::Never, ..Error::new(Code::NoResponders, text) });
        };
        if !mailbox.push_reply(&Live::one(message.clone())) {
            return Err(Error::new(
                Code::QueueFull,
                format!("the requester at {topic} takes no more replies just now"),
            ));
        }
        wakes.add(mailbox);
        Ok(())
    }
}

impl Session {
    /// Whether a live message that came to a reply topic of this session answers the request of that id:
    /// it names it. One that does not is dropped by whoever asks, and a trace tells so.
    pub fn is_answered_by(&self, reply: &Message, request: &str, now: Now) -> bool {
        let answers = reply.view().correlation() == Some(request);
        if !answers {
            self.hub.unstored.astray(now.unix_ms, reply, request);
        }
        answers
    }
}
