//! The seam to where durable queues live.

use std::future::Future;
use std::pin::Pin;

use skep_protocol::{
    Binding, Durability, Error, Filter, LeaseToken, Message, MessageRef, Position, ProducerId, QueueInfo, QueueName,
    QueueSpec, Search, Settle, Stored, Traced,
};

use crate::clock::Now;
use crate::mailbox::Outlet;
use crate::reply::Reply;

/// A boxed future, for verbs that are not hot.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where durable queues live.
///
/// Hot verbs are synchronous, batched and borrowed; cold ones are boxed futures. Errors
/// carry the stable code that the client will see, and whether it may have happened.
pub trait Backend: Send + Sync + 'static {
    /// Takes settles and publishes. Never waits for the disk: without room it completes the reply with
    /// `busy`, or keeps a copy until it is known whether there is room. Much at once it may take in slices, and sleep for microseconds on the caller's thread in between. The reply is completed once everything it says is durable, in the order of
    /// commits, from any thread. Input is borrowed: what must outlive the call is copied.
    /// A write of which nothing waits is answered before this returns. Of publishes that no queue takes a record is kept, if the reply is
    /// told by [`Reply::note_left`] while they are here.
    fn submit(&self, write: Write<'_>, now: Now, reply: Reply);

    /// Attaches a consumer: deliveries go to the outlet, never more than its window holds.
    /// Cancelling the future attaches nothing.
    ///
    /// # Errors
    /// `unknown_queue`, or why it cannot serve now.
    fn consume(&self, queue: &QueueName, how: Consume, to: Outlet) -> BoxFuture<'_, Result<Box<dyn Consumer>, Error>>;

    /// Declares, deletes, purges, redrives. Durable when it returns; may be retried; once
    /// begun, cancelling the future does not undo it. Consumers of a queue that is deleted are told
    /// by [`Entry::Ended`](crate::Entry::Ended), once that is durable.
    ///
    /// # Errors
    /// `unknown_queue`, `in_use`, or why it cannot serve now.
    fn manage(&self, command: QueueCommand, now: Now) -> BoxFuture<'_, Result<Changed, Error>>;

    /// Looks, and takes nothing. Shows only messages that are durable; queues are shown as they are
    /// declared and filled just now, perhaps a moment before that is durable. May be cancelled.
    ///
    /// # Errors
    /// `unknown_queue`, `not_found`, or why it cannot serve now.
    fn read(&self, read: Read) -> BoxFuture<'_, Result<Seen, Error>>;

    /// Whether any durable queue matches a topic of a message just now. On the path of every
    /// publish: it stops at the first. Where it cannot tell cheaply it says yes, and
    /// [`submit`](Self::submit) tells.
    fn matches(&self, message: &MessageRef<'_>) -> bool;

    /// What one queue holds, at once; none if there is no such queue.
    fn info(&self, queue: &QueueName) -> Option<QueueInfo>;

    /// Why it takes no publishes now; none when it does.
    fn trouble(&self) -> Option<Error>;

    /// What was found when it opened, one line for people.
    fn recovery(&self) -> String;

    /// What it measures of itself just now, for who watches the hub.
    fn gauges(&self) -> Vec<Gauge> {
        Vec::new()
    }

    /// Finishes what was accepted and closes. Afterwards every verb answers `shutting_down`.
    ///
    /// # Errors
    /// When what was accepted could not be made durable.
    fn close(&self) -> BoxFuture<'_, Result<(), Error>>;
}

/// A number that goes up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// Its name, which ends in its unit.
    pub name: &'static str,
    /// What it is, in one line.
    pub help: &'static str,
    /// What it is now.
    pub value: u64,
}

/// One consumer of one queue. Dropping it is [`End::Lost`].
pub trait Consumer: Send + Sync {
    /// Sets the most that may be unsettled at once; zero pauses. Repeating it is harmless.
    fn set_window(&self, messages: u32, bytes: u64);

    /// After a resume: every lease that is not in `held` returns to the queue, uncharged.
    /// Answers which of `held` are leases of this consumer still.
    fn keep(&self, held: &[LeaseToken], now: Now) -> Vec<LeaseToken>;

    /// Ends deliveries; what becomes of its leases, `end` says.
    fn detach(&self, end: End, now: Now);
}

/// What becomes of the leases of a consumer that goes. Leases bound to their deadline stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It said goodbye: messages return at once, uncharged.
    Goodbye,
    /// It was lost: the oldest leases, as many as it had handlers, are charged an attempt.
    Lost,
}

/// How a consumer wants its deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consume {
    /// Most unsettled messages.
    pub messages: u32,
    /// Most unsettled bytes; one message may always pass.
    pub bytes: u64,
    /// How many messages are worked on at once.
    pub handlers: u32,
    /// When leases end.
    pub binding: Binding,
    /// Who consumes, for the history.
    pub party: String,
}

/// Settles and publishes that belong together.
pub struct Write<'a> {
    /// What became of leases.
    pub settles: &'a [Settle],
    /// What to store.
    pub publishes: &'a [Outgoing<'a>],
    /// All or nothing, guarded by every lease; else each item has its own result.
    pub atomic: bool,
    /// Who writes, for dedup by id and for the history.
    pub party: &'a str,
    /// Whose sequences the publishes carry, to recognise resends.
    pub producer: Option<ProducerId>,
}

/// One message to store, judged already.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// The message.
    pub message: MessageRef<'a>,
    /// The producer's number of it, from 1.
    pub sequence: u64,
    /// Refuse it with `no_queue` when no durable queue matches, unless its topics are kept without.
    pub required: bool,
    /// Recognise it by (party, source, id), too.
    pub by_id: bool,
    /// Answer once it is durable; else as soon as it is taken, with neither position nor durability.
    pub waits: bool,
    /// Why it is refused, unless it is stored already and comes again: then it is answered as it was.
    pub refusal: Option<&'a Error>,
}

/// What became of a write.
#[derive(Clone, Debug, Default)]
pub struct Completion {
    /// One for each settle, in order.
    pub settles: Vec<Result<(), Error>>,
    /// What became of the publishes, by runs of which the same can be said, in order.
    pub publishes: Vec<Run>,
}

/// What became of a run of publishes.
#[derive(Clone, Debug)]
pub struct Run {
    /// How many; the positions of a stored run follow one by one.
    pub count: u32,
    /// What became of them.
    pub result: Result<Kept, Error>,
}

/// What is true of a publish now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where the first of the run stands; none when no durable queue matched and its topics are not kept without.
    pub position: Option<Position>,
    /// What was reached; none when nothing holds it.
    pub durability: Option<Durability>,
    /// Queues that took it.
    pub queues: u32,
    /// Queues that matched but were full.
    pub skipped: u32,
    /// It was here already.
    pub duplicate: bool,
    /// It is recognised by its id when it comes again.
    pub by_id: bool,
    /// The queue, when one alone took it, and how many wait there, this one included.
    pub waiting: Option<(QueueName, u64)>,
}

impl Kept {
    /// Nothing holds it.
    pub(crate) fn is_left(&self) -> bool {
        self.position.is_none() && !self.duplicate
    }
}

/// What can be done to queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueCommand {
    /// Declares; one of that name gets the new declaration and keeps its messages.
    Declare(QueueSpec),
    /// Deletes; with messages only by force.
    Delete(QueueName, bool),
    /// Drops what is ready or delayed, the oldest first, at most so many.
    Purge(QueueName, u32),
    /// Moves at most so many dead letters back to this queue, oldest first.
    Redrive(QueueName, u32),
    /// Moves the dead letters that stand here back to this queue, at most 1,000; what is not there any more is passed over.
    RedriveAt(QueueName, Vec<Position>),
    /// Drops the messages of a queue that stand here, at most 1,000; what is leased or not there any more is passed over.
    PurgeAt(QueueName, Vec<Position>),
}

/// What a queue command changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Messages moved or dropped; of a declaration, 1 if it was not so before.
    pub count: u64,
}

/// What can be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Queues by name, those behind one if one is said, at most so many; fewer where they are large, but one at least.
    Queues(Option<QueueName>, u32),
    /// Messages of a queue, oldest first, from a position on if one is said, at most so many.
    Peek(QueueName, Option<Position>, u32),
    /// Stored messages whose topic matches, from a position on, at most so many.
    Replay(Filter, Position, u32),
    /// What became of the messages of an id, if one is named, that a search means. A page may be
    /// empty and yet say where to go on: each does a bounded piece of the work.
    Trace(Option<String>, Search),
}

/// What there is to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Queues, and behind which to go on.
    Queues(Vec<QueueInfo>, Option<QueueName>),
    /// Messages, and where to go on.
    Messages(Vec<Stored>, Option<Position>),
    /// Messages and what became of them, and the number from which to go on.
    Traced(Vec<Traced>, Option<Position>),
}

impl<'a> Outgoing<'a> {
    /// A message without sequence, stored if a queue matches, and waited for.
    #[must_use]
    pub fn new(message: &'a Message) -> Self {
        Outgoing { message: message.view(), sequence: 0, required: false, by_id: false, waits: true, refusal: None }
    }
}
