//! The edge of one hub: what its listeners share, and how they are started.

use std::sync::Arc;

use axum::Router;
use skep_core::{Credentials, Hub};
use skep_protocol::text::counted;
use skep_protocol::{Code, Error};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::http::Hosts;
use crate::in_process::InProcess;
use crate::limits::{CONNECTIONS_MAX, DRAIN_MAX, TURNED_AWAY_MAX};
use crate::seats::{Seat, Seats};
use crate::unix::BoundSocket;
use crate::{http, in_process, listener, unix};

/// What an edge is told when it is made.
#[derive(Clone, Debug)]
pub struct EdgeOptions {
    /// Names under which this hub may be addressed over HTTP, besides loopback: `hub.example`,
    /// or `hub.example:7537` for that port only.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may call it: `https://dash.example`. None by default.
    pub allowed_origins: Vec<String>,
    /// Connections at a time, of all kinds together.
    pub connections_max: usize,
    /// Connections beyond those, at each listener, that are being told so; more are closed without a word.
    pub turned_away_max: usize,
}

impl Default for EdgeOptions {
    fn default() -> Self {
        EdgeOptions {
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            connections_max: CONNECTIONS_MAX,
            turned_away_max: TURNED_AWAY_MAX,
        }
    }
}

/// The ways into one hub.
#[derive(Clone)]
pub struct Edge {
    shared: Arc<Shared>,
}

/// What all ways share.
pub(crate) struct Shared {
    pub(crate) hub: Arc<Hub>,
    pub(crate) hosts: Hosts,
    pub(crate) seats: Seats,
    pub(crate) turned_away_max: usize,
    /// Cancelled, everything here says goodbye and ends.
    pub(crate) shutdown: CancellationToken,
}

impl Edge {
    /// The edge of a hub. When `shutdown` is cancelled, listeners stop accepting, connections
    /// say goodbye, and what does not end in time is cut.
    #[must_use]
    pub fn new(hub: Arc<Hub>, options: EdgeOptions, shutdown: CancellationToken) -> Self {
        let EdgeOptions { allowed_hosts, allowed_origins, connections_max, turned_away_max } = options;
        let hosts = Hosts::new(&allowed_hosts, &allowed_origins);
        let seats = Seats::new(connections_max);
        Edge { shared: Arc::new(Shared { hub, hosts, seats, turned_away_max, shutdown }) }
    }

    /// The hub it leads to.
    #[must_use]
    pub fn hub(&self) -> Arc<Hub> {
        self.shared.hub.clone()
    }

    /// HTTP and WebSocket, for a server of one's own. Only [`serve_tcp`](Self::serve_tcp) bounds
    /// plain HTTP connections; WebSockets are bounded and ended on shutdown here, too.
    pub fn router(&self) -> Router {
        http::router(self.shared.clone())
    }

    /// Serves HTTP and WebSocket until shutdown. Dropping the future cuts all its HTTP
    /// connections at once; WebSockets live on until shutdown.
    pub async fn serve_tcp(&self, listener: TcpListener) {
        listener::serve_tcp(self.shared.clone(), listener, self.router()).await;
    }

    /// Serves a Unix socket until shutdown, then removes it. Dropping the future cuts all its connections.
    pub async fn serve_unix(&self, socket: BoundSocket) {
        unix::serve(self.shared.clone(), socket).await;
    }

    /// Opens a link within the process: batches of frames as values, bounded each way. The
    /// client begins with a Connect, as on any transport; dropping its end is a lost connection.
    ///
    /// # Errors
    /// `busy` when there are too many connections.
    pub fn connect_in_process(&self, credentials: Credentials) -> Result<InProcess, Error> {
        in_process::connect(&self.shared, credentials)
    }

    /// How many connections there are, of all kinds together.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.seats.taken()
    }

    /// After shutdown: waits until the last connection has ended, for a bounded time.
    pub async fn closed(&self) {
        self.shared.wait_until_left().await;
    }
}

impl Shared {
    /// A seat for a connection.
    pub(crate) fn seat(&self) -> Result<Seat, Error> {
        self.seats.take().ok_or_else(|| self.full())
    }

    pub(crate) fn full(&self) -> Error {
        let connections = counted(self.seats.taken() as u64, "connection", "connections");
        let text = format!("this hub has {connections}, as many as it takes (connections_max); try again later");
        Error::new(Code::Busy, text)
    }

    pub(crate) async fn wait_until_left(&self) {
        if timeout(DRAIN_MAX, self.seats.all_free()).await.is_err() {
            tracing::warn!(connections = self.seats.taken(), "connections did not end in time");
        }
    }
}
