//! Requests and replies, whole or in parts.

use std::sync::Arc;
use std::time::Duration;

use skep_protocol::limits::TIMEOUT_MS_MAX;
use skep_protocol::{Accepted, Code, Error, Kind, Message, MessageBuilder, Topic};

use crate::chunks::Chunks;
use crate::client::Client;
use crate::clock::within;
use crate::handle::{Handle, cost};
use crate::limits::{PARTS_WAITING_BYTES_MAX, PARTS_WAITING_MAX};
use crate::mailbox::{Bound, Mailbox};
use crate::reply_stream::ReplyStream;
use crate::verb::{Each, Left, Replies, Verb};

impl Client {
    /// Publishes a message and waits for a live reply to it, at most `timeout` or else
    /// [`Options::request_timeout`](crate::Options::request_timeout). Where the reply goes is set here, and the `timeout`: what
    /// a queue still holds of it then is delivered no more, for nobody waits for the reply. What comes there and does not
    /// name the request (`correlationid`) is no reply to it.
    ///
    /// # Errors
    /// As [`publish`](Self::publish); `no_responders`; `timeout`; `streamed` when the reply comes in parts, for
    /// [`request_stream`](Self::request_stream); `connection_lost` when the session was lost in between, for then no reply
    /// can come: it may have been acted on.
    pub async fn request(&self, message: MessageBuilder, timeout: Option<Duration>) -> Result<Message, Error> {
        let limit = timeout.unwrap_or(self.handle().options.request_timeout);
        let (message, mut waiting) = self.begin_request(message, limit)?;
        let late = format!("no reply to {message:?} within {limit:?}");
        let (handle, number) = (self.handle(), waiting.number);
        let asked = async {
            let room = handle.room_for_request().await?;
            let paid = handle.pay_for(cost(&message)).await?;
            let verb = |asker| Verb::Request { message, number, paid, room, replies: Replies::One(asker) };
            let coming = handle.pass(verb).await?;
            handle.answer(coming).await
        };
        let result = within(limit, asked).await;
        waiting.answered = result.is_some();
        result.unwrap_or_else(|| Err(Error::new(Code::Timeout, late)))
    }

    /// Publishes a message and reads the reply to it part by part. For the first part and then for each next one it waits
    /// at most `timeout`, or else [`Options::request_timeout`](crate::Options::request_timeout). A reply that does not
    /// come in parts is a stream of one.
    ///
    /// This returns when the request is on its way; what becomes of it, its refusal too, [`Chunks::next`] tells.
    ///
    /// # Errors
    /// `invalid_message` and its like; `timeout` when so much is under way that it could not even be sent;
    /// `connection_lost`, `shutting_down` when the client has ended.
    pub async fn request_stream(&self, message: MessageBuilder, timeout: Option<Duration>) -> Result<Chunks, Error> {
        let limit = timeout.unwrap_or(self.handle().options.request_timeout);
        let (message, waiting) = self.begin_request(message, limit)?;
        let mailbox = Arc::new(Mailbox::new(Bound { items: PARTS_WAITING_MAX, weight: PARTS_WAITING_BYTES_MAX }));
        let (number, replies) = (waiting.number, Replies::Each(Each(Arc::clone(&mailbox))));
        let late = format!("{message:?} could not be sent within {limit:?}");
        let asked = async {
            let room = self.handle().room_for_request().await?;
            let paid = self.handle().pay_for(cost(&message)).await?;
            self.handle().say(Verb::Request { message, number, paid, room, replies }).await
        };
        within(limit, asked).await.unwrap_or_else(|| Err(Error::new(Code::Timeout, late)))?;
        Ok(Chunks::new(waiting, mailbox, limit))
    }

    fn begin_request(&self, message: MessageBuilder, limit: Duration) -> Result<(Message, Waiting), Error> {
        let number = self.handle().next_request();
        let replyto = Topic::new(&format!("{}.{number}", self.handle().session.borrow().replies))?;
        let timeout_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).clamp(1, TIMEOUT_MS_MAX);
        let message = message.replyto(&replyto).timeout(timeout_ms).finish()?;
        Ok((message, Waiting { handle: Arc::clone(self.handle()), number, answered: false }))
    }

    /// Begins the reply to a request, of the type `response`: addressed, and in its conversation.
    ///
    /// # Errors
    /// `no_destination` when the message asks for no reply.
    pub fn reply_to(&self, request: &Message) -> Result<MessageBuilder, Error> {
        let view = request.view();
        let reply = self.message(Kind::RESPONSE).to(&replyto(request)?);
        Ok(reply.correlation(view.id()).causation(view.id()).conversation(view.conversation()))
    }

    /// Replies to a request: `fill` adds the payload.
    ///
    /// # Errors
    /// As [`reply_to`](Self::reply_to) and [`publish`](Self::publish).
    pub async fn reply(
        &self,
        request: &Message,
        fill: impl FnOnce(MessageBuilder) -> MessageBuilder,
    ) -> Result<Accepted, Error> {
        self.publish(fill(self.reply_to(request)?).finish()?).await
    }

    /// Begins a reply in parts to a request, live or to an inbox. Nothing is sent by this alone.
    ///
    /// # Errors
    /// As [`reply_to`](Self::reply_to).
    pub fn reply_stream(&self, request: &Message) -> Result<ReplyStream, Error> {
        let view = request.view();
        let stream = self.reply_stream_to(replyto(request)?, view.id());
        Ok(stream.caused_by(view.id()).in_conversation(view.conversation()))
    }

    /// The same where only the topic for replies and the request's id are known.
    #[must_use]
    pub fn reply_stream_to(&self, replyto: Topic, request: &str) -> ReplyStream {
        ReplyStream::new(self.clone(), replyto, request)
    }
}

fn replyto(request: &Message) -> Result<Topic, Error> {
    let view = request.view();
    let replyto = view.replyto().ok_or_else(|| {
        Error::new(Code::NoDestination, format!("message {} asks for no reply: it has no replyto", view.id()))
    })?;
    Topic::new(replyto)
}

/// A request under way. Dropped before its answer, the reply is no longer wanted.
pub(crate) struct Waiting {
    pub(crate) handle: Arc<Handle>,
    number: u64,
    pub(crate) answered: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.answered {
            let _ended = self.handle.left.offer(Left::Request(self.number));
        }
    }
}
