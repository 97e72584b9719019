//! One connection: batches of frames in, batches of frames out, however they travel.
//!
//! A [`Link`] is polled for both directions by the one task that owns it, so it is not split.
//! A [`Connector`] opens one whenever the client needs one.

mod encoded;
#[cfg(unix)]
mod unix;
mod web_socket;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use skep_protocol::{Code, Error, Frame};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use crate::address::{Address, Found};

/// The two ends of an in-process connection: batches of frames to the hub, and from it.
pub type Ends = (mpsc::Sender<Vec<Frame>>, mpsc::Receiver<Vec<Frame>>);

/// A stream and sink of frame batches.
pub(crate) trait Duplex:
    Stream<Item = Result<Vec<Frame>, Error>> + Sink<Vec<Frame>, Error = Error> + Send
{
}
impl<T: Stream<Item = Result<Vec<Frame>, Error>> + Sink<Vec<Frame>, Error = Error> + Send> Duplex for T {}

/// A connection that stands.
pub(crate) struct Link {
    io: Pin<Box<dyn Duplex>>,
    /// What was given to the sink and may still wait in it.
    unflushed: bool,
    /// The token that was found on the way, for Connect.
    pub(crate) token: Option<String>,
}

/// What a link is ready for.
pub(crate) enum Ready {
    /// Frames have come.
    Received(Vec<Frame>),
    /// Frames may be sent.
    Writable,
}

impl Link {
    fn new(io: impl Duplex + 'static, token: Option<String>) -> Self {
        Link { io: Box::pin(io), unflushed: false, token }
    }

    /// Moves both directions as far as they go. An error is the end of the link.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, wants_write: bool) -> Poll<Result<Ready, Error>> {
        match self.io.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(frames))) => return Poll::Ready(Ok(Ready::Received(frames))),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
            Poll::Ready(None) => return Poll::Ready(Err(lost("the hub closed the connection"))),
            Poll::Pending => {}
        }
        if wants_write {
            ready!(self.io.poll_ready_unpin(cx))?;
            return Poll::Ready(Ok(Ready::Writable));
        }
        if self.unflushed {
            ready!(self.io.poll_flush_unpin(cx))?;
            self.unflushed = false;
        }
        Poll::Pending
    }

    /// Takes frames to send, after [`Ready::Writable`]; they leave as it is polled on.
    pub(crate) fn send(&mut self, frames: Vec<Frame>) -> Result<(), Error> {
        self.unflushed = true;
        self.io.start_send_unpin(frames)
    }

    /// Sends the last frames and closes.
    pub(crate) async fn close(mut self, last: Vec<Frame>) -> Result<(), Error> {
        self.io.send(last).await?;
        self.io.close().await
    }
}

pub(crate) fn lost(why: impl fmt::Display) -> Error {
    Error::new(Code::ConnectionLost, format!("connection lost: {why}"))
}

/// Opens a connection to one hub, as often as one is needed.
pub struct Connector {
    address: String,
    open: Box<dyn FnMut() -> BoxFuture<'static, Result<Link, Error>> + Send>,
}

impl Connector {
    /// Connects to an address: `ws://host:port` or `unix:/path/hub.sock`.
    ///
    /// # Errors
    /// `invalid_argument` for an address of another form.
    pub fn to(url: &str, token: Option<String>) -> Result<Self, Error> {
        let address = Address::parse(url)?;
        Ok(Self::new(address.to_string(), move || open(address.clone(), token.clone())))
    }

    /// Looks for the hub anew each time, so that one that moved is found again.
    pub(crate) fn finding(find: impl Fn() -> Result<Found, Error> + Send + 'static) -> Self {
        Self::new("the nearest .skep/".into(), move || match find() {
            Ok(found) => open_first(found).boxed(),
            Err(error) => std::future::ready(Err(error)).boxed(),
        })
    }

    /// Connects to a hub in this process: `open` gives a fresh pair of bounded channels each
    /// time, the sender to the hub first. `name` is the address that errors show.
    pub fn in_process<F, O>(name: &str, mut open: F) -> Self
    where
        F: FnMut() -> O + Send + 'static,
        O: Future<Output = Result<Ends, Error>> + Send + 'static,
    {
        Self::new(name.into(), move || {
            let opening = open();
            async move { opening.await.map(|(to, from)| Link::new(InProcess { to: PollSender::new(to), from }, None)) }
                .boxed()
        })
    }

    fn new(address: String, open: impl FnMut() -> BoxFuture<'static, Result<Link, Error>> + Send + 'static) -> Self {
        Connector { address, open: Box::new(open) }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn open(&mut self) -> BoxFuture<'static, Result<Link, Error>> {
        (self.open)()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({})", self.address)
    }
}

/// Opens the first address at which somebody answers.
async fn open_first(found: Found) -> Result<Link, Error> {
    let mut nobody = None;
    for address in &found.addresses {
        match open(address.clone(), found.token.clone()).await {
            Err(error) if error.code == Code::NoHub => drop(nobody.get_or_insert(error)),
            answered => return answered,
        }
    }
    Err(found.gone(nobody.unwrap_or_else(|| Error::new(Code::NoHub, "no hub: it names no address"))))
}

fn open(address: Address, token: Option<String>) -> BoxFuture<'static, Result<Link, Error>> {
    async move {
        match &address {
            Address::WebSocket(url) => {
                let io = web_socket::open(url, token.as_deref()).await?;
                Ok(Link::new(io, token))
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                let io = unix::open(path).await?;
                Ok(Link::new(io, token))
            }
            #[cfg(not(unix))]
            Address::Unix(_) => {
                Err(Error::new(Code::Unsupported, format!("{address}: this system has no Unix sockets; use ws://")))
            }
        }
    }
    .boxed()
}

/// Frames pass as values.
struct InProcess {
    to: PollSender<Vec<Frame>>,
    from: mpsc::Receiver<Vec<Frame>>,
}

const HUB_ENDED: &str = "the hub in this process ended";

impl Stream for InProcess {
    type Item = Result<Vec<Frame>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.from.poll_recv(cx).map(|frames| frames.map(Ok))
    }
}

impl Sink<Vec<Frame>> for InProcess {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.to.poll_reserve(cx).map_err(|_| lost(HUB_ENDED))
    }

    fn start_send(mut self: Pin<&mut Self>, frames: Vec<Frame>) -> Result<(), Error> {
        self.to.send_item(frames).map_err(|_| lost(HUB_ENDED))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.to.close();
        Poll::Ready(Ok(()))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn where_nobody_serves_the_first_address_the_next_one_is_tried() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = Address::parse(&format!("ws://{}/ws", listener.local_addr().unwrap())).unwrap();
        let addresses = vec![Address::Unix("/nowhere/hub.sock".into()), http];
        let found = move || Ok(Found { addresses: addresses.clone(), token: None, home: Some("/nowhere".into()) });
        let mut connector = Connector::finding(found);
        let (_ended, came) = tokio::join!(connector.open(), async {
            // Whoever comes is hung up on: that it comes is all there is to see.
            timeout(Duration::from_secs(20), listener.accept()).await.map(drop)
        });
        came.unwrap();
        drop(listener);
        let error = connector.open().await.err().unwrap();
        assert!(error.code == Code::NoHub && error.text.contains("/nowhere/hub.json names the address"), "{error}");
    }
}
