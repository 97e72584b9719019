//! A hub on a folder of its own, and the way by which clients reach it.

use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skep_client::{Client, Connector, Options};
use skep_core::Hub;
use skep_protocol::{Code, Error};
use skep_server::config::Config;
use skep_server::{Links, Running, Server};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio::time::timeout;

use super::hub::soon;
use super::line::Line;

/// Longer than any case takes.
const CASE_MAX: Duration = Duration::from_secs(90);

/// How a client reaches a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A WebSocket to its port.
    WebSocket,
    /// Its Unix socket.
    Unix,
    /// Channels within the process.
    InProcess,
}

/// A hub and the way to it.
pub struct Place {
    way: Way,
    config: Config,
    hub: Option<Running>,
    /// The hub that runs now, for links within the process.
    links: Arc<Mutex<Option<Links>>>,
    token: String,
    folder: TempDir,
    lines: Cell<u32>,
    /// Lines that nobody touches.
    quiet: RefCell<Vec<Line>>,
}

/// Runs a case on a place of its own, for a bounded time, and closes the hub in order.
pub async fn run(way: Way, case: impl AsyncFnOnce(&mut Place)) {
    let mut place = Place::open(way).await;
    timeout(CASE_MAX, case(&mut place)).await.expect("a case takes less than 90 s");
    place.close().await;
}

impl Place {
    /// A fresh hub.
    pub async fn open(way: Way) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config::new(folder.path().join("data"));
        let mut config = if way == Way::InProcess { config.in_process() } else { config };
        if way == Way::WebSocket {
            config.listen = Some((Ipv4Addr::LOCALHOST, 0).into());
        } else {
            config.listen = None;
        }
        let mut place = Place {
            way,
            config,
            hub: None,
            links: Arc::default(),
            token: String::new(),
            folder,
            lines: Cell::new(0),
            quiet: RefCell::default(),
        };
        place.start().await;
        // From now on it is always found at the same port.
        place.config.listen = place.running().addresses().http;
        place
    }

    async fn start(&mut self) {
        let running = soon("a hub starts", Server::start(self.config.clone())).await.expect("a hub");
        self.token = running.token().expose().to_owned();
        *self.links.lock().unwrap_or_else(PoisonError::into_inner) = Some(running.links());
        self.hub = Some(running);
    }

    async fn stop(&mut self) {
        *self.links.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let running = self.hub.take().expect("it runs");
        soon("the hub shuts down", running.shutdown()).await.expect("closed in order");
    }

    /// Shuts the hub down and starts it again on the same folder and port.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    async fn close(mut self) {
        self.stop().await;
    }

    fn running(&self) -> &Running {
        self.hub.as_ref().expect("it runs")
    }

    /// How clients reach it.
    #[must_use]
    pub fn way(&self) -> Way {
        self.way
    }

    /// The hub itself.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        self.running().hub()
    }

    /// What a client says to be let in.
    #[must_use]
    pub fn options(&self) -> Options {
        Options { token: Some(self.token.clone()), ..Options::default() }
    }

    /// A client on a line that nobody touches.
    pub async fn client(&self) -> Client {
        let line = self.line().await;
        let client = self.client_on(&line, self.options()).await.expect("a client");
        self.quiet.borrow_mut().push(line);
        client
    }

    /// A line to the hub.
    pub async fn line(&self) -> Line {
        match self.way {
            Way::InProcess => Line::within_the_process(),
            Way::WebSocket => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
                let address = listener.local_addr().expect("an address");
                Line::tcp(listener, self.running().addresses().http.expect("it listens")).at(format!("ws://{address}"))
            }
            Way::Unix => {
                self.lines.set(self.lines.get() + 1);
                let path = self.folder.path().join(format!("{}.sock", self.lines.get()));
                let listener = UnixListener::bind(&path).expect("a socket");
                let hub = self.running().addresses().unix.clone().expect("it listens");
                Line::unix(listener, hub).at(format!("unix:{}", path.display()))
            }
        }
    }

    /// A client on a line.
    ///
    /// # Errors
    /// What the hub says to it.
    pub async fn client_on(&self, line: &Line, options: Options) -> Result<Client, Error> {
        let connector = match line.address() {
            Some(address) => Connector::to(address, options.token.clone()).expect("an address"),
            None => self.within_the_process(line),
        };
        soon("a client connects", Client::over(connector, options)).await
    }

    fn within_the_process(&self, line: &Line) -> Connector {
        let (links, hand) = (self.links.clone(), line.hand.clone());
        Connector::in_process("the hub of this test", move || {
            let links = links.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let hand = hand.clone();
            async move {
                let links = links.ok_or_else(|| Error::new(Code::NoHub, "the hub does not run"))?;
                Ok(hand.between(links.open()?))
            }
        })
    }
}
