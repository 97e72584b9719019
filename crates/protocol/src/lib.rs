//! Skep's messages, topics, frames and errors: data only, no I/O, no clock.
//!
//! A [`Message`] is its own encoding: MessagePack bytes beside a small table of
//! offsets, read in place. In JSON it is a CloudEvent 1.0. [`Frame`] is what two
//! sides of a connection say to each other, in either [`Encoding`].
//!
//! ```
//! use skep_protocol::{Message, MessageId, Topic};
//! let message = Message::build(&MessageId::new("m-1")?, "agent/alice", "note")
//!     .to(&Topic::inbox(&"bob".parse()?))
//!     .json(r#"{"hello":"bob"}"#)
//!     .finish()?;
//! let event = message.to_json();
//! assert_eq!(Message::from_json(event.as_bytes())?, message);
//! # Ok::<(), skep_protocol::Error>(())
//! ```

mod delivery;
mod error;
mod frame;
mod id;
mod kind;
pub mod limits;
mod message;
mod name;
mod nearest;
mod options;
mod pack;
mod queue;
mod stream;
pub mod text;
mod topic;
pub mod verdict;

pub use delivery::{Action, Behind, Delivery, Ended, Holder, Settle, Stored};
pub use error::{Code, Error, Outcome, Retry};
pub use frame::{
    Accepted, AgentInfo, Answer, Ask, Binding, Command, Connect, Encoding, Event, FEATURES, Fate, Found, Frame,
    Goodbye, Heard, Manage, Managed, Page, Pick, Picked, Publication, Publish, Query, Recipient, Report, Resumed,
    Search, SettleBatch, Settled, Settlement, Status, Subscribe, SubscriptionId, Target, Traced, VERSION, Wanted,
    Welcome, Window, encode_live,
};
pub use id::{LeaseToken, MessageId, Position, ProducerId, ResumeToken};
pub use kind::{Kind, STANDARD_KINDS};
pub use message::{Attribute, Defaults, Message, MessageBuilder, MessageRef, Tries, content_is_json, format_time};
pub use name::{AgentId, QueueName, WorkspaceId};
pub use nearest::nearest;
pub use options::{Durability, Guarantee, Priority};
pub use queue::{Consumers, DeadKey, Expired, QueueInfo, QueueSpec};
pub use stream::{Broken, Part, Parts};
pub use topic::{Filter, Topic};
