//! The Skep hub: sessions, routing, live queues and the traits it calls out through.
//!
//! Read [`session`] first. A [`Connection`] turns frames into calls on a [`Session`]
//! without any I/O; the [`Hub`] holds what sessions share; durable queues live behind the
//! trait [`Backend`], small facts behind [`Facts`], judgement behind [`Policy`].

mod admission;
mod backend;
pub mod clock;
mod command;
mod connection;
mod event;
mod expiry;
mod facts;
mod guard;
mod hub;
mod level;
pub mod limits;
mod list;
mod live;
mod mailbox;
mod pick;
mod policy;
mod publication;
mod recent;
mod registry;
mod reply;
mod request;
mod resume;
mod router;
pub mod session;
mod subscription;
mod sync;
mod telemetry;
mod trace;
mod unstored;
mod watch;

pub use admission::HTTP_SOURCE;
pub use backend::{
    Backend, BoxFuture, Changed, Completion, Consume, Consumer, End, Gauge, Kept, Outgoing, QueueCommand, Read, Run,
    Seen, Write,
};
#[doc(hidden)]
pub use clock::ByHand;
pub use clock::{Clock, Now};
pub use command::unknown_queue;
pub use connection::{Block, Closing, Connection, Form, Incoming, Transmit};
pub use event::SessionEvent;
pub use expiry::check_expiry;
pub use facts::{Fact, FactPage, Facts};
pub use guard::Guards;
pub use hub::{Hub, HubOptions};
pub use level::Level;
pub use live::Live;
#[cfg(skep_loom)]
pub use mailbox::models as mailbox_models;
pub use mailbox::{Entry, Mailbox, Outlet, Wakes};
pub use policy::{Action, Credentials, Party, Policy};
pub use recent::{Look, Recent, fingerprint, other_message};
pub use reply::{Answer, Asked, Reply};
pub use router::Router;
pub use session::Session;
pub use telemetry::{Counters, Telemetry};
pub use watch::{FactChange, FactEvent, Teller, Watch};
