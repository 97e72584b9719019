//! What two sides of a connection say to each other: one verb set for every transport.
//!
//! A frame is one value. In JSON it is an object with one member that names it,
//! `{"publish":{"sequence":1,"messages":[..]}}`; in the compact form an array of its
//! number and its body, whose members stand in the order in which they are written here.
//! New members are added at the end, with a default.

mod codec;
mod heard;
mod manage;
mod pick;
mod trace;

use serde::{Deserialize, Serialize};

pub use codec::{Encoding, encode_live};
pub use heard::Heard;
pub use manage::{AgentInfo, Answer, Ask, Command, Event, Manage, Managed, Page, Query, Report, Status};
pub use pick::{Pick, Picked};
pub use trace::{Fate, Found, Search, Traced, Wanted};

use crate::{
    AgentId, Delivery, Durability, Error, Filter, Guarantee, LeaseToken, Message, Position, ProducerId, QueueName,
    ResumeToken, Settle,
};

/// The protocol version this crate speaks.
pub const VERSION: u32 = 1;
/// The features of this version, one bit each; none is optional yet.
pub const FEATURES: u64 = 0;

/// Names one subscription within a session; the subscriber draws it.
pub type SubscriptionId = u32;

/// One thing said over a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    /// To the hub, first: who speaks.
    Connect(Connect),
    /// From the hub: the session stands.
    Welcome(Welcome),
    /// To the hub: messages.
    Publish(Publish),
    /// From the hub: what became of them, by runs of sequences.
    Receipt(Vec<Publication>),
    /// To the hub: deliver to me.
    Subscribe(Subscribe),
    /// From the hub: deliveries will come.
    Subscribed(SubscriptionId),
    /// To the hub: deliver no more; held messages return, uncharged.
    Unsubscribe(SubscriptionId),
    /// To the hub: hold at most this much.
    Window(Window),
    /// From the hub: messages under leases.
    Deliver(Vec<Delivery>),
    /// From the hub: live messages, for every subscription of the session that matches.
    Live(Vec<Message>),
    /// To the hub: what became of deliveries, and in the atomic form what to publish with it.
    Settle(SettleBatch),
    /// From the hub: the answer to that.
    Settled(Settled),
    /// To the hub: declare, delete, register, ...
    Manage(Manage),
    /// From the hub: the answer to that.
    Managed(Managed),
    /// To the hub: look.
    Query(Query),
    /// From the hub: what there is to see.
    Page(Report),
    /// Either way: are you there? The number comes back in the pong.
    Ping(u64),
    /// The answer to a ping.
    Pong(u64),
    /// Either way: something went wrong that answers no single frame.
    Error(Error),
    /// Either way: the last word.
    Goodbye(Goodbye),
}

/// Who speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    /// The highest protocol version the client speaks.
    pub version: u32,
    /// The features it knows.
    #[serde(default)]
    pub features: u64,
    /// The token, unless the transport brought it.
    #[serde(default)]
    pub token: Option<String>,
    /// The agent to act as, where the token allows it.
    #[serde(default)]
    pub agent: Option<AgentId>,
    /// The producer whose sequences the publishes carry; unsaid, the hub draws one.
    #[serde(default)]
    pub producer: Option<ProducerId>,
    /// Takes up a session again.
    #[serde(default)]
    pub resume: Option<ResumeToken>,
    /// The leases the client still works on, when it takes up a session.
    #[serde(default)]
    pub held: Vec<LeaseToken>,
    /// The client's name and version, for people.
    #[serde(default)]
    pub client: String,
}

/// The session stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol version both sides speak from now on.
    pub version: u32,
    /// The features both sides know.
    pub features: u64,
    /// The hub's name and version, for people.
    pub hub: String,
    /// Whom the hub takes the client for.
    pub agent: Option<AgentId>,
    /// The producer whose sequences publishes carry.
    pub producer: ProducerId,
    /// By which the session can be taken up again.
    pub resume: ResumeToken,
    /// Whether a session was taken up. If not, and one was asked for, every lease is lost.
    pub resumed: bool,
    /// Of the leases named in Connect, those that are lost.
    pub lost: Vec<LeaseToken>,
    /// Where live replies to this session go: a topic to which a token may be added.
    pub replies: String,
    /// Say something at least this often, in milliseconds.
    pub heartbeat_ms: u64,
    /// The largest payload, in bytes.
    pub payload_bytes_max: u64,
}

/// Messages, the first of which has this sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// The producer's number of the first message; the others follow one by one. Numbers begin at 1.
    pub sequence: u64,
    /// The messages.
    pub messages: Vec<Message>,
}

/// What became of a run of messages of which the same can be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// The first one's sequence.
    pub sequence: u64,
    /// How many; the positions of an accepted run follow one by one, too.
    pub count: u32,
    /// What became of them.
    pub result: Settlement<Accepted>,
}

/// A result on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement<T> {
    /// It was done.
    Ok(T),
    /// It was not, or may not have been.
    Error(Error),
}

impl<T> From<Result<T, Error>> for Settlement<T> {
    fn from(result: Result<T, Error>) -> Self {
        match result {
            Ok(value) => Settlement::Ok(value),
            Err(error) => Settlement::Error(error),
        }
    }
}

impl<T> From<Settlement<T>> for Result<T, Error> {
    fn from(settlement: Settlement<T>) -> Self {
        match settlement {
            Settlement::Ok(value) => Ok(value),
            Settlement::Error(error) => Err(error),
        }
    }
}

/// A receipt: what is true of the message now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Where it stands; none when no durable queue holds it.
    pub position: Option<Position>,
    /// What was reached before this was said; none when nothing holds it.
    pub durability: Option<Durability>,
    /// The guarantee it has.
    pub guarantee: Guarantee,
    /// Durable queues that took it.
    pub queues: u32,
    /// Durable queues that matched but were full.
    pub skipped: u32,
    /// Sessions with live subscriptions that match.
    pub live: u32,
    /// It was here already: this is the first one's receipt.
    pub duplicate: bool,
    /// When it was sent to one agent: what awaits it there.
    pub recipient: Option<Recipient>,
}

impl Accepted {
    /// What is true of the message `n` after the first of an accepted run: positions follow one by
    /// one, where they are numbers.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        if let Some(Position::Number(first)) = self.position {
            self.position = Some(Position::Number(first.saturating_add(n)));
        }
        self
    }
}

/// The agent a message was sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Its id.
    pub agent: AgentId,
    /// Messages in its inbox, this one included.
    pub waiting: u64,
    /// Whether it is connected now; none while the hub cannot know yet.
    pub connected: Option<bool>,
    /// When it was last seen, in unix milliseconds; none if never.
    pub last_seen_ms: Option<u64>,
}

/// Deliver to me.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// The subscription's number, drawn by the subscriber.
    pub id: SubscriptionId,
    /// From where.
    pub target: Target,
    /// How much may be unsettled at once.
    pub window: Window,
    /// How many messages are worked on at once; only so many are charged an attempt when the
    /// consumer is lost.
    #[serde(default = "one")]
    pub handlers: u32,
    /// When its leases end.
    #[serde(default)]
    pub binding: Binding,
}

fn one() -> u32 {
    1
}

/// From where to deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A durable queue: each message under a lease.
    Queue(QueueName),
    /// Live messages whose topic matches.
    Live(Filter),
}

/// When the leases of a subscription end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// With the connection, after a short grace for resume.
    #[default]
    Connection,
    /// At their deadline, whatever becomes of the connection.
    Deadline,
}

/// Credit: the most that may be unsettled at once. Settling frees it; repeating it is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// Messages.
    pub messages: u32,
    /// Bytes of messages; one message may always pass.
    pub bytes: u64,
}

/// What became of deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleBatch {
    /// Comes back in the answer.
    pub tag: u64,
    /// One each.
    pub settles: Vec<Settle>,
    /// All or nothing, guarded by every lease; else one by one.
    #[serde(default)]
    pub atomic: bool,
    /// What to publish with it, the first with this sequence.
    #[serde(default)]
    pub publish: Option<Publish>,
}

/// The answer to settles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// As asked.
    pub tag: u64,
    /// One for each settle, in order.
    pub results: Vec<Settlement<()>>,
    /// What became of what was published with it.
    #[serde(default)]
    pub receipts: Vec<Publication>,
}

/// The last word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// Why, for people.
    pub reason: String,
}

/// What a client brings to take up its session again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// The secret of the earlier Welcome.
    pub token: ResumeToken,
    /// The leases it still works on.
    pub held: Vec<LeaseToken>,
}

#[cfg(test)]
mod tests;
