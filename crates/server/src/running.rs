//! A hub from its start to its shutdown.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::{io, process};

use skep_auth::Token;
use skep_core::{Credentials, Hub};
use skep_edge::{BoundSocket, Edge, EdgeError};
use skep_protocol::{Code, Error, Frame};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::Config;
use crate::folder::{self, DataFolder, FolderError, HubFile, Socket};
use crate::limits::{SHUTDOWN_MAX, STORE_LOOK};
use crate::wiring::{Wired, wire};

/// Starts hubs.
#[derive(Debug)]
pub struct Server;

/// Where a running hub can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// HTTP and WebSocket.
    pub http: Option<SocketAddr>,
    /// The Unix socket.
    pub unix: Option<PathBuf>,
}

/// A hub that is ready. Dropped without [`shutdown`](Running::shutdown), it ends as if it were
/// killed: nothing that was acknowledged is lost, but connections hear no goodbye.
pub struct Running {
    addresses: Addresses,
    token: Token,
    hub: Arc<Hub>,
    edge: Edge,
    listeners: JoinSet<()>,
    /// The hub's own work; ends by being aborted.
    _work: JoinSet<()>,
    shutdown: DropGuard,
    _socket: Option<Socket>,
    /// Last, so that the lock is held until all else is gone.
    folder: DataFolder,
}

/// Opens links to a hub within the process, without a socket. They end with the hub.
#[derive(Clone)]
pub struct Links {
    edge: Edge,
    token: Token,
}

/// The client's end of a link: batches of frames to the hub, and from it; both are bounded.
pub type Link = (mpsc::Sender<Vec<Frame>>, mpsc::Receiver<Vec<Frame>>);

impl Links {
    /// Opens a link. Its Connect needs no token: whoever holds this may act as any agent.
    ///
    /// # Errors
    /// `busy` when there are too many connections.
    pub fn open(&self) -> Result<Link, Error> {
        let token = Some(self.token.expose().to_owned());
        self.edge.connect_in_process(Credentials { token, agent: None })
    }
}

/// Why a hub does not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The data folder cannot be had.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Nothing can listen at an address.
    #[error("cannot listen on {address}: {source}; stop what listens there, or choose another address with --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Nothing can listen at the Unix socket.
    #[error(transparent)]
    Edge(#[from] EdgeError),
    /// The store cannot be opened, or could not be closed.
    #[error(transparent)]
    Store(#[from] Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

impl Server {
    /// Starts a hub: takes the data folder, listens, opens the store, and says so in `hub.json`.
    /// Acknowledged messages of an earlier run are there again when this returns. Where it does not
    /// come to a store, a data folder that was not there before is gone again.
    ///
    /// # Errors
    /// `Folder` while another hub runs in it or writes its log, or when its log is gone; `Listen` and `Edge` where an address is taken;
    /// `Store` when the store cannot be opened.
    pub async fn start(config: Config) -> Result<Running, ServerError> {
        let mut folder = DataFolder::take(&config.data)?;
        let doors = match Doors::open(&config, &folder).await {
            Ok(doors) => doors,
            Err(error) => {
                folder.give_back();
                return Err(error);
            }
        };
        folder.make_log()?;
        let Doors { tcp, unix } = doors;
        let shutdown = CancellationToken::new();
        let Wired { hub, edge, token } = wire(&config, &folder, &random()?, shutdown.clone()).await?;

        let (mut listeners, mut work) = (JoinSet::new(), JoinSet::new());
        let run = hub.clone();
        work.spawn(async move { run.run().await });
        let mut addresses = Addresses::default();
        if let Some((listener, address)) = tcp {
            addresses.http = Some(address);
            let edge = edge.clone();
            listeners.spawn(async move { edge.serve_tcp(listener).await });
        }
        let mut socket = None;
        if let Some((place, bound)) = unix {
            addresses.unix = Some(place.path().to_owned());
            socket = Some(place);
            let edge = edge.clone();
            listeners.spawn(async move { edge.serve_unix(bound).await });
        }
        hub_file(&addresses, &hub).write(folder.path())?;
        tracing::info!(http = ?addresses.http, unix = ?addresses.unix, data = %folder.path().display(), "ready");
        let shutdown = shutdown.drop_guard();
        Ok(Running { addresses, token, hub, edge, listeners, _work: work, shutdown, _socket: socket, folder })
    }
}

/// What a hub needs before it opens its store. A start that is refused is refused here, while the
/// data folder holds nothing yet.
struct Doors {
    tcp: Option<(TcpListener, SocketAddr)>,
    unix: Option<(Socket, BoundSocket)>,
}

impl Doors {
    async fn open(config: &Config, folder: &DataFolder) -> Result<Self, ServerError> {
        folder.check_log()?;
        // A token that is not fit is told of now; a new one is made when there is a log.
        folder::token(folder.path())?;
        let tcp = bind(config.listen).await?;
        let unix = match folder.socket(&config.unix, u64::from_le_bytes(random()?))? {
            Some(place) => {
                let bound = BoundSocket::bind(place.path())?;
                Some((place, bound))
            }
            None => None,
        };
        Ok(Doors { tcp, unix })
    }
}

impl Running {
    /// Where it can be reached.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The token that it asks for.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The hub itself.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// The way into it from within the process.
    #[must_use]
    pub fn links(&self) -> Links {
        Links { edge: self.edge.clone(), token: self.token.clone() }
    }

    /// Ends when the store has stopped: a write or a sync failed, and only opening it again shows
    /// what is true. The hub answers, but stores nothing any more; the program should end.
    pub async fn failed(&self) -> Error {
        loop {
            if let Some(error) = self.hub.trouble().filter(|error| error.code == Code::StoreFailed) {
                return error;
            }
            sleep(STORE_LOOK).await;
        }
    }

    /// Shuts down: accepts no more, says goodbye to every connection, makes durable what was
    /// accepted, marks the store as cleanly closed, and gives the data folder back.
    ///
    /// # Errors
    /// `Store` when what was accepted could not be made durable; `Folder`.
    pub async fn shutdown(mut self) -> Result<(), ServerError> {
        tracing::info!("shutting down");
        self.shutdown.disarm().cancel();
        let ended = timeout(SHUTDOWN_MAX, async {
            while self.listeners.join_next().await.is_some() {}
            self.edge.closed().await;
        });
        if ended.await.is_err() {
            tracing::error!("listeners did not end in time and are cut");
            self.listeners.shutdown().await;
        }
        let closed = self.hub.close().await;
        HubFile::remove(self.folder.path())?;
        closed?;
        tracing::info!("closed");
        Ok(())
    }
}

async fn bind(listen: Option<SocketAddr>) -> Result<Option<(TcpListener, SocketAddr)>, ServerError> {
    let Some(address) = listen else { return Ok(None) };
    let failed = |source| ServerError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok(Some((listener, bound)))
}

fn hub_file(addresses: &Addresses, hub: &Hub) -> HubFile {
    HubFile {
        pid: process::id(),
        version: env!("CARGO_PKG_VERSION").into(),
        http: addresses.http.map(|address| address.to_string()),
        unix: addresses.unix.clone(),
        started_ms: hub.now().unix_ms,
        trouble: hub.trouble().map(|error| error.to_string()),
    }
}

fn random<const N: usize>() -> Result<[u8; N], ServerError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(ServerError::Random)?;
    Ok(bytes)
}
