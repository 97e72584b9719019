//! Replying in parts.

use std::fmt;
use std::time::Duration;

use skep_protocol::limits::PARTS_MAX;
use skep_protocol::{Accepted, Code, Error, Kind, Message, MessageBuilder, Outcome, Retry, Topic};

use crate::client::Client;
use crate::clock::pause;

/// A reply in parts, in the making. Each part goes once the hub has taken the one before, so that none overtakes another; a
/// requester whose room at the hub is full is waited for, as long as
/// [`Options::request_timeout`](crate::Options::request_timeout) says.
///
/// Parts to an inbox are durable, and count in their conversation, which has 1,000 messages unless the hub was told otherwise.
///
/// It ends by [`end`](Self::end) or [`fail`](Self::fail). Dropped before, nobody is told: the requester hears no more, and
/// gives up when its own time has passed.
pub struct ReplyStream {
    client: Client,
    replyto: Topic,
    request: String,
    causation: Option<String>,
    conversation: Option<String>,
    sent: u32,
}

impl ReplyStream {
    pub(crate) fn new(client: Client, replyto: Topic, request: &str) -> Self {
        ReplyStream { client, replyto, request: request.into(), causation: None, conversation: None, sent: 0 }
    }

    pub(crate) fn caused_by(self, id: &str) -> Self {
        ReplyStream { causation: Some(id.into()), ..self }
    }

    pub(crate) fn in_conversation(self, id: &str) -> Self {
        ReplyStream { conversation: Some(id.into()), ..self }
    }

    /// Sends the next part: `fill` adds the payload. More must follow.
    ///
    /// Cancelled, the part may have been sent or not; its number is spent, so that a requester notices if it was not.
    ///
    /// # Errors
    /// As [`publish`](Client::publish). `no_responders`: the requester is gone. A part that was refused was not sent, and
    /// the next call sends another in its place.
    pub async fn send(&mut self, fill: impl FnOnce(MessageBuilder) -> MessageBuilder) -> Result<Accepted, Error> {
        let part = self.part(Kind::STREAM_CHUNK, fill)?;
        self.sent += 1;
        let result = self.publish(part).await;
        if result.as_ref().is_err_and(|error| error.outcome == Outcome::Refused) {
            self.sent -= 1;
        }
        result
    }

    /// Sends the last part, or, where `fill` adds no payload, only the end.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn end(self, fill: impl FnOnce(MessageBuilder) -> MessageBuilder) -> Result<Accepted, Error> {
        self.publish(self.part(Kind::STREAM_END, fill)?).await
    }

    /// Gives up, and says why: the requester's stream ends with an error.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn fail(self, fill: impl FnOnce(MessageBuilder) -> MessageBuilder) -> Result<Accepted, Error> {
        self.publish(self.part(Kind::ERROR, fill)?).await
    }

    /// How many parts were sent.
    #[must_use]
    pub fn sent(&self) -> u32 {
        self.sent
    }

    fn part(&self, kind: Kind, fill: impl FnOnce(MessageBuilder) -> MessageBuilder) -> Result<Message, Error> {
        if self.sent == PARTS_MAX {
            return Err(Error::new(Code::TooLarge, format!("a streamed reply has {PARTS_MAX} parts at most")));
        }
        let mut part = self.client.message(kind).to(&self.replyto);
        if let Some(id) = &self.causation {
            part = part.causation(id);
        }
        if let Some(id) = &self.conversation {
            part = part.conversation(id);
        }
        fill(part).correlation(&self.request).part(self.sent + 1).finish()
    }

    /// Publishes a part; where there is no room for it just now, again and again.
    async fn publish(&self, part: Message) -> Result<Accepted, Error> {
        let handle = self.client.handle();
        let until = handle.clock.now() + handle.options.request_timeout;
        loop {
            let refused = match self.client.publish(part.clone()).await {
                Err(error) if is_for_now(&error) => error,
                result => return result,
            };
            let Retry::After(ms) = refused.retry else { return Err(refused) };
            let wait = Duration::from_millis(ms);
            if handle.clock.now() + wait > until {
                return Err(refused);
            }
            pause(wait).await;
        }
    }
}

/// Whether there was no room for a part, and there may be some later.
fn is_for_now(error: &Error) -> bool {
    error.outcome == Outcome::Refused && matches!(error.code, Code::QueueFull | Code::Busy | Code::RateExceeded)
}

impl fmt::Debug for ReplyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplyStream({} sent to {})", self.sent, self.replyto)
    }
}
