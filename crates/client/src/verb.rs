//! What callers ask of the client's task, and where it answers.

use std::sync::Arc;

use skep_protocol::{
    Accepted, Action, Answer, Ask, Binding, Code, Command, Delivery, Error, Filter, LeaseToken, Message, Page,
    QueueName, SubscriptionId,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::clock::Moment;
use crate::mailbox::Mailbox;

/// Where one answer goes. Nobody listens any more when the caller gave up; that is no error.
pub(crate) type Asker<T> = oneshot::Sender<Result<T, Error>>;

/// Room for what was asked, given back with the answer.
pub(crate) type Paid = OwnedSemaphorePermit;

/// One thing a caller wants done.
pub(crate) enum Verb {
    Publish {
        message: Message,
        paid: Paid,
        asker: Asker<Accepted>,
    },
    PublishAll {
        messages: Vec<Message>,
        paid: Paid,
        asker: oneshot::Sender<Vec<Result<Accepted, Error>>>,
    },
    /// A message whose replies go to the session's reply topic with this number.
    Request {
        message: Message,
        number: u64,
        paid: Paid,
        room: Paid,
        replies: Replies,
    },
    Settle {
        lease: LeaseToken,
        action: Action,
        paid: Paid,
        asker: Asker<()>,
    },
    /// Acks and publishes in one atomic step.
    HandOver {
        lease: LeaseToken,
        messages: Vec<Message>,
        paid: Paid,
        asker: Asker<Vec<Accepted>>,
    },
    Subscribe {
        id: SubscriptionId,
        feed: Feed,
        asker: Asker<()>,
    },
    Manage {
        command: Command,
        room: Paid,
        asker: Asker<Answer>,
    },
    Query {
        ask: Ask,
        room: Paid,
        asker: Asker<Page>,
    },
    /// Answered once everything else is, and Goodbye is said.
    Close {
        asker: oneshot::Sender<()>,
    },
}

/// Where the replies to a request go.
pub(crate) enum Replies {
    /// The first one is the answer.
    One(Asker<Message>),
    /// All of them, until the reader leaves.
    Each(Each),
}

/// The way to the reader of a streamed reply. Wherever it is dropped, the reader learns that nothing
/// more comes.
pub(crate) struct Each(pub(crate) Arc<Mailbox<Message>>);

impl Replies {
    /// Ends the request without an answer.
    pub(crate) fn fail(self, error: Error) {
        match self {
            Replies::One(asker) => drop(asker.send(Err(error))),
            Replies::Each(each) => each.0.end(error),
        }
    }

    /// Whether nobody waits for them any more.
    pub(crate) fn is_deserted(&self) -> bool {
        match self {
            Replies::One(asker) => asker.is_closed(),
            Replies::Each(each) => each.0.is_deserted(),
        }
    }
}

impl Drop for Each {
    fn drop(&mut self) {
        self.0.end(unknown("the request"));
    }
}

/// Where what is delivered goes.
pub(crate) enum Feed {
    Queue { queue: QueueName, options: Credit, mailbox: Arc<Mailbox<Held>> },
    Live { filter: Filter, mailbox: Arc<Mailbox<Message>> },
}

/// How much a queue subscription takes at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credit {
    pub(crate) messages: u32,
    pub(crate) bytes: u64,
    pub(crate) handlers: u32,
    pub(crate) binding: Binding,
}

/// A delivery under a lease, on its way to whoever works on it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) delivery: Delivery,
    /// Speaks when the lease is lost.
    pub(crate) lost: oneshot::Receiver<()>,
    pub(crate) since: Moment,
}

/// What a caller dropped and cannot wait for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// A delivery that was not settled: it returns.
    Lease(LeaseToken),
    /// A subscription: it ends.
    Subscription(SubscriptionId),
    /// A request: its reply is no longer wanted.
    Request(u64),
}

/// It was sent, and no answer came.
pub(crate) fn unknown(what: &str) -> Error {
    let text = format!("{what} was sent, but the connection went before the answer came");
    Error::new(Code::ConnectionLost, text)
}

/// It never left this process.
pub(crate) fn unsent(what: &str) -> Error {
    Error::new(Code::ShuttingDown, format!("{what} was not sent: the client is closed"))
}
