//! The line between clients and a hub: passes on what is said, until the test cuts it or holds it up.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use skep_client::Ends;
use skep_protocol::Frame;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Bytes passed on as one piece.
const PIECE_BYTES: usize = 8 * 1024;
/// Batches of frames that wait in a line within the process, each way.
const BATCHES_MAX: usize = 2;
/// No fuse is set.
const NO_FUSE: i64 = i64::MIN;

/// The line of one client. Dropped, its connections end.
pub struct Line {
    pub(super) hand: Hand,
    /// Where clients find it, where there are sockets.
    address: Option<String>,
    /// Accepts and passes on, where there are sockets.
    _work: JoinSet<()>,
}

/// What the test holds of a line, and what every connection on it looks at.
#[derive(Clone)]
pub(super) struct Hand(Arc<Inner>);

struct Inner {
    state: watch::Sender<State>,
    /// So many pieces pass from the hub before the line is cut in place of the next.
    fuse: AtomicI64,
}

#[derive(Clone, Copy, Default)]
struct State {
    cuts: u64,
    is_held_up: bool,
}

impl Line {
    pub(super) fn within_the_process() -> Self {
        Line { hand: Hand::new(), address: None, _work: JoinSet::new() }
    }

    pub(super) fn tcp(listener: TcpListener, hub: std::net::SocketAddr) -> Self {
        let (hand, mut work) = (Hand::new(), JoinSet::new());
        let ours = hand.clone();
        work.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let hand = ours.clone();
                connections.spawn(async move {
                    // Without a hub the client's socket is closed, as by a tunnel whose end is gone.
                    if let Ok(hub) = TcpStream::connect(hub).await {
                        let _ = (client.set_nodelay(true), hub.set_nodelay(true));
                        hand.join(client.into_split(), hub.into_split()).await;
                    }
                });
            }
        });
        Line { hand, address: None, _work: work }
    }

    pub(super) fn unix(listener: UnixListener, hub: std::path::PathBuf) -> Self {
        let (hand, mut work) = (Hand::new(), JoinSet::new());
        let ours = hand.clone();
        work.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (hand, hub) = (ours.clone(), hub.clone());
                connections.spawn(async move {
                    if let Ok(hub) = UnixStream::connect(hub).await {
                        hand.join(client.into_split(), hub.into_split()).await;
                    }
                });
            }
        });
        Line { hand, address: None, _work: work }
    }

    pub(super) fn at(self, address: String) -> Self {
        Line { address: Some(address), ..self }
    }

    pub(super) fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// Cuts every connection that stands. What is on its way is lost; new ones may come.
    pub fn cut(&self) {
        self.hand.cut();
    }

    /// Cuts in place of the piece that follows `pieces` more from the hub: that one is lost for
    /// certain, and the hub believes that it was said.
    pub fn cut_after(&self, pieces: u32) {
        self.hand.0.fuse.store(i64::from(pieces), Ordering::SeqCst);
    }

    /// How often it was cut.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.hand.0.state.borrow().cuts
    }

    /// Waits until it was cut so often in all.
    pub async fn until_cut(&self, cuts: u64) {
        let mut state = self.hand.0.state.subscribe();
        let _ = state.wait_for(|state| state.cuts >= cuts).await;
    }

    /// Passes nothing from the hub to the client, as if the client did not read; or does so again.
    pub fn hold_up(&self, is_held_up: bool) {
        self.hand.0.state.send_modify(|state| state.is_held_up = is_held_up);
    }
}

impl Hand {
    fn new() -> Self {
        let inner = Inner { state: watch::Sender::new(State::default()), fuse: AtomicI64::new(NO_FUSE) };
        Hand(Arc::new(inner))
    }

    fn cut(&self) {
        self.0.fuse.store(NO_FUSE, Ordering::SeqCst);
        self.0.state.send_modify(|state| state.cuts += 1);
    }

    /// Whether a piece from the hub may pass; if not, the line is cut.
    async fn may_pass(&self) -> bool {
        let mut state = self.0.state.subscribe();
        if state.wait_for(|state| !state.is_held_up).await.is_err() {
            return false;
        }
        if self.0.fuse.load(Ordering::SeqCst) == NO_FUSE || self.0.fuse.fetch_sub(1, Ordering::SeqCst) > 0 {
            return true;
        }
        self.cut();
        false
    }

    async fn is_cut(&self, from: u64) {
        let mut state = self.0.state.subscribe();
        let _ = state.wait_for(|state| state.cuts > from).await;
    }

    /// Passes on between two sockets until both have ended, or the line is cut.
    async fn join<R, W>(&self, (client, to_client): (R, W), (hub, to_hub): (R, W))
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let cuts = self.0.state.borrow().cuts;
        tokio::select! {
            () = self.is_cut(cuts) => {}
            _ = async { tokio::join!(pass(client, to_hub, None), pass(hub, to_client, Some(self))) } => {}
        }
    }

    /// Puts itself between a client within the process and the hub's end.
    pub(super) fn between(&self, (to_hub, from_hub): Ends) -> Ends {
        let (ours, taken) = mpsc::channel(BATCHES_MAX);
        let (given, theirs) = mpsc::channel(BATCHES_MAX);
        let hand = self.clone();
        // It ends when either side does, or the line is cut; nobody has to wait for it.
        tokio::spawn(async move {
            let cuts = hand.0.state.borrow().cuts;
            tokio::select! {
                () = hand.is_cut(cuts) => {}
                _ = async { tokio::join!(hand_on(taken, to_hub, None), hand_on(from_hub, given, Some(&hand))) } => {}
            }
        });
        (ours, theirs)
    }
}

/// One direction of two sockets; ends it orderly when the other side has.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, hand: Option<&Hand>) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = from.read(&mut piece).await.unwrap_or(0);
        if let Some(hand) = hand
            && !hand.may_pass().await
        {
            // Here it ends, when the cut that was just made is seen.
            return std::future::pending().await;
        }
        if count == 0 || to.write_all(piece.get(..count).unwrap_or_default()).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}

/// One direction within the process; a piece is a batch.
async fn hand_on(mut from: mpsc::Receiver<Vec<Frame>>, to: mpsc::Sender<Vec<Frame>>, hand: Option<&Hand>) {
    while let Some(batch) = from.recv().await {
        if let Some(hand) = hand
            && !hand.may_pass().await
        {
            return std::future::pending().await;
        }
        if to.send(batch).await.is_err() {
            return;
        }
    }
}
