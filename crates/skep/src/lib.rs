//! Skep for embedders: a hub and its clients in one process.
//!
//! A [`Skep`] is a hub on a data folder; its [clients](Skep::client) reach it without a socket.
//! What is acknowledged is on disk, as with a hub that is a process of its own.
//!
//! ```
//! use skep::{AgentId, Command, QueueName, ReceiveOptions, Skep};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), skep::OpenError> {
//! # let folder = tempfile::tempdir().expect("a temporary folder");
//! # let path = folder.path().join("hub");
//! let skep = Skep::open(&path).await?;
//! let (alice, bob): (AgentId, AgentId) = ("alice".parse()?, "bob".parse()?);
//! let client = skep.client(Some(alice)).await?;
//! client.manage(Command::Register { agent: bob.clone(), metadata: "{}".into() }).await?;
//!
//! let receipt = client.send(&bob, client.message("note").text("hello")).await?;
//! assert_eq!(receipt.recipient.map(|bob| bob.waiting), Some(1));
//!
//! let reader = skep.client(Some(bob.clone())).await?;
//! let mut inbox = reader.receive(&QueueName::inbox(&bob), ReceiveOptions::default()).await?;
//! let mut delivery = inbox.next().await.expect("one waits");
//! assert_eq!(&delivery.message.payload()[..], b"hello");
//! delivery.ack().await?;
//!
//! skep.close().await?;
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::future::ready;
use std::path::Path;

pub use skep_client::{
    Chunks, Client, Deliveries, Leased, LiveSubscription, Options, Outcome, ReceiveOptions, ReplyStream, StreamError,
    Work,
};
pub use skep_protocol::{
    Accepted, Action, AgentId, Answer, Ask, Binding, Code, Command, Error, Filter, Guarantee, Kind, LeaseToken,
    Message, MessageBuilder, MessageId, Page, Priority, QueueName, QueueSpec, Topic, WorkspaceId,
};
/// Why a hub does not open or close.
pub use skep_server::ServerError as OpenError;
pub use skep_server::config::{Config, UnixSocket};

use skep_client::Connector;
use skep_server::{Addresses, Running, Server};

/// A hub in this process.
///
/// Dropped without [`close`](Skep::close) it ends as if it were killed: nothing that was
/// acknowledged is lost, but clients hear no goodbye.
pub struct Skep {
    running: Running,
}

impl Skep {
    /// Opens a hub on a data folder, which is made if there is none. Nobody else reaches it: it
    /// listens nowhere. To be called within a tokio runtime.
    ///
    /// # Errors
    /// `Folder` while another hub runs in it; `Store` when what lies there cannot be opened.
    pub async fn open(data: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::with(Config::new(data.as_ref()).in_process()).await
    }

    /// Opens a hub as configured: with listeners others reach it, too.
    ///
    /// # Errors
    /// As [`open`](Self::open); `Listen` and `Edge` where an address is taken.
    pub async fn with(config: Config) -> Result<Self, OpenError> {
        Ok(Skep { running: Server::start(config).await? })
    }

    /// A client in this process, acting as an agent or as none.
    ///
    /// # Errors
    /// `busy` when there are too many connections.
    pub async fn client(&self, agent: Option<AgentId>) -> Result<Client, Error> {
        self.client_with(Options { agent, ..Options::default() }).await
    }

    /// The same with further options.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub async fn client_with(&self, options: Options) -> Result<Client, Error> {
        let links = self.running.links();
        Client::over(Connector::in_process("the hub in this process", move || ready(links.open())), options).await
    }

    /// Where others reach it.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        self.running.addresses()
    }

    /// Closes the hub: says goodbye to its clients, and makes durable what was accepted.
    ///
    /// # Errors
    /// `Store` when what was accepted could not be made durable.
    pub async fn close(self) -> Result<(), OpenError> {
        self.running.shutdown().await
    }
}

impl fmt::Debug for Skep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Skep").field("addresses", self.addresses()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_sent_is_there_again_when_the_hub_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let bob: AgentId = "bob".parse().unwrap();
        let skep = Skep::open(folder.path()).await.unwrap();
        let client = skep.client(None).await.unwrap();
        client.manage(Command::Register { agent: bob.clone(), metadata: "{}".into() }).await.unwrap();
        client.send(&bob, client.message(Kind::MESSAGE).text("hi")).await.unwrap();
        skep.close().await.unwrap();

        let skep = Skep::open(folder.path()).await.unwrap();
        let reader = skep.client(Some(bob.clone())).await.unwrap();
        let mut inbox = reader.receive(&QueueName::inbox(&bob), ReceiveOptions::default()).await.unwrap();
        assert_eq!(&inbox.next().await.unwrap().message.payload()[..], b"hi");
        skep.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_hub_that_is_dropped_gives_its_folder_back() {
        let folder = tempfile::tempdir().unwrap();
        drop(Skep::open(folder.path()).await.unwrap());
        Skep::open(folder.path()).await.unwrap().close().await.unwrap();
    }

    #[tokio::test]
    async fn a_second_hub_in_the_same_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = Skep::open(folder.path()).await.unwrap();
        let error = Skep::open(folder.path()).await.unwrap_err().to_string();
        assert!(error.contains("already runs") && error.contains(&format!("pid {}", std::process::id())), "{error}");
        first.close().await.unwrap();
    }
}
