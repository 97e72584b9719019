//! The Rust client of a Skep hub.
//!
//! A [`Client`] speaks the verbs of a session (send, publish, request, reply, subscribe, receive,
//! settle) over a WebSocket, a Unix socket or a channel to a hub in this process. It reconnects by
//! itself; what was sent and not answered is sent again, unchanged, and the hub recognises it.
//!
//! Inside, `conversation` is a state machine without I/O and clock that decides what is said;
//! `driver` is the one task that owns the connection; a [`Client`] is the way to that task.
//!
//! ```no_run
//! use skep_client::{Client, Options, Outcome, ReceiveOptions};
//! # async fn example() -> Result<(), skep_client::Error> {
//! let client = Client::find(Options::agent("alice".parse()?)).await?;
//! let receipt = client.send(&"bob".parse()?, client.message("note").text("hello")).await?;
//! println!("stored at {:?}", receipt.position);
//! client
//!     .consume(&"agent.alice.inbox".parse()?, ReceiveOptions::handlers(4), |work| async move {
//!         println!("{}: {} bytes", work.message.id(), work.message.payload().len());
//!         Outcome::Ack
//!     })
//!     .await
//! # }
//! ```

mod address;
mod backoff;
mod chunks;
mod client;
mod clock;
mod consume;
mod conversation;
mod delivery;
mod driver;
mod handle;
mod limits;
mod link;
mod list;
mod live;
mod mailbox;
mod options;
mod ours;
mod reply_stream;
mod request;
mod verb;

pub use chunks::{Chunks, StreamError};
pub use client::Client;
pub use consume::{Outcome, Work};
pub use delivery::{Deliveries, Leased};
pub use link::{Connector, Ends};
pub use live::LiveSubscription;
pub use options::{Options, ReceiveOptions};
pub use reply_stream::ReplyStream;
/// The error of every verb: the wire's own, with its stable codes.
pub use skep_protocol::Error;
