//! Runs one I/O-free [`Connection`] over one [`Wire`]: one task, which owns both.
//!
//! A turn is four steps, in this order: gather what the hub has to say, write all of it and
//! flush once, read what is there without waiting and hand it on as one batch, look at the
//! time. Turns repeat while anything moved, for 100 us; then other tasks have theirs.
//!
//! Nothing is gathered and nothing read while too much waits to be written. A peer that does
//! not read thereby costs itself, and nobody else.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use skep_core::{Closing, Connection, Form, Hub, Now, Transmit};
use skep_protocol::Frame;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::limits::{FAREWELL_MAX, STALL_MAX_MS, TURN_BYTES_MAX, TURN_FRAMES_MAX, TURN_MAX};
use crate::wire::{Gone, Outbox, Wire};

/// Runs a connection until it ends. Dropping the future ends the session as lost.
pub(crate) async fn drive<W: Wire>(
    wire: W,
    form: Form,
    connection: Connection,
    hub: Arc<Hub>,
    shutdown: &CancellationToken,
) {
    let mut link = Link { wire, connection, hub, out: Outbox::default(), stalled_ms: None, armed_ms: 0 };
    let end = {
        let mut timer = pin!(sleep(Duration::ZERO));
        // A token of its own: polling it takes a lock, which thousands of connections must not share.
        let shutdown = shutdown.child_token();
        let mut closed = pin!(shutdown.cancelled());
        poll_fn(|cx| match closed.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(End::Shutdown),
            Poll::Pending => link.poll_turns(cx, timer.as_mut()),
        })
        .await
    };
    let now = link.hub.now();
    match end {
        End::Shutdown => {
            link.connection.shut_down(now);
            link.gather_rest().await;
        }
        End::Closing(Closing { reason }) => {
            tracing::debug!(reason, "connection closes");
            link.gather_rest().await;
        }
        End::Gone(Gone::Closed(reason)) => {
            tracing::debug!(reason, "connection is lost");
            return link.connection.lost(link.out.into_unwritten(), now);
        }
        End::Gone(Gone::Broken(error)) => {
            tracing::debug!(%error, "connection is lost");
            // What waits for this peer is written still, before what is to be said of its error.
            link.connection.lost(Transmit::default(), now);
            let Form::Encoded(encoding) = form else { return };
            link.out.put(encoding, &Frame::Error(error));
        }
    }
    // A peer that does not take its last words in time goes without them.
    let _ = timeout(FAREWELL_MAX, farewell(link.wire, link.out)).await;
}

/// Writes what is left, closes, and reads until the peer has closed, too: a socket closed with
/// something unread in it is reset, and the peer would never see the last words.
async fn farewell<W: Wire>(mut wire: W, mut out: Outbox) {
    if poll_fn(|cx| wire.poll_write(cx, &mut out)).await.is_err() {
        return;
    }
    poll_fn(|cx| wire.poll_close(cx)).await;
    // What cannot be read is passed over, and nothing is too much any more: nobody takes it.
    wire.let_in();
    let mut ignored = Vec::new();
    while !matches!(poll_fn(|cx| wire.poll_read(cx, &mut ignored)).await, Err(Gone::Closed(_))) {
        ignored.clear();
    }
}

/// A connection on its wire.
struct Link<W> {
    wire: W,
    connection: Connection,
    hub: Arc<Hub>,
    out: Outbox,
    /// Since when the peer takes nothing, on the monotonic clock.
    stalled_ms: Option<u64>,
    /// For when the timer is set; never later than it is needed.
    armed_ms: u64,
}

/// How it ended.
enum End {
    /// The edge closes.
    Shutdown,
    /// The connection has said its last word.
    Closing(Closing),
    /// The peer is gone.
    Gone(Gone),
}

impl<W: Wire> Link<W> {
    fn poll_turns(&mut self, cx: &mut Context<'_>, timer: Pin<&mut Sleep>) -> Poll<End> {
        let until = Instant::now() + TURN_MAX;
        loop {
            let now = self.hub.now();
            match self.turn(cx, now) {
                Err(end) => return Poll::Ready(end),
                Ok(true) if Instant::now() < until => {}
                Ok(true) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Ok(false) => break,
            }
        }
        self.out.release();
        self.arm(cx, timer);
        Poll::Pending
    }

    /// Answers whether anything moved. If not, every step left its waker where it waits.
    fn turn(&mut self, cx: &mut Context<'_>, now: Now) -> Result<bool, End> {
        self.check_eviction(cx)?;
        let gathered = self.gather(cx, now);
        let written = self.write(cx, now)?;
        let read = self.read(cx, now)?;
        let is_due = self.check_time(now)?;
        Ok(gathered || written || read || is_due)
    }

    /// Whoever takes the session up does not wait until this peer has taken what was said to it.
    fn check_eviction(&self, cx: &Context<'_>) -> Result<(), End> {
        if self.out.is_empty() || !self.connection.is_evicted(cx) {
            return Ok(());
        }
        Err(End::Gone(Gone::Closed("another connection took this session up".into())))
    }

    fn gather(&mut self, cx: &mut Context<'_>, now: Now) -> bool {
        let (mut gathered, was_open) = (false, self.connection.is_open());
        while self.out.has_room() && self.connection.poll_transmit(cx, now, self.out.transmit()).is_ready() {
            gathered = true;
        }
        if self.connection.is_open() && !was_open {
            self.wire.let_in();
        }
        gathered
    }

    fn write(&mut self, cx: &mut Context<'_>, now: Now) -> Result<bool, End> {
        if self.out.is_empty() && self.stalled_ms.is_none() {
            return Ok(false);
        }
        let before = self.out.passed();
        match self.wire.poll_write(cx, &mut self.out) {
            Poll::Ready(Ok(())) => self.stalled_ms = None,
            Poll::Ready(Err(gone)) => return Err(End::Gone(gone)),
            Poll::Pending if self.out.passed() > before => self.stalled_ms = Some(now.mono_ms),
            Poll::Pending => {
                let since = *self.stalled_ms.get_or_insert(now.mono_ms);
                if now.mono_ms.saturating_sub(since) >= STALL_MAX_MS {
                    let reason = format!("it took nothing for {} s", STALL_MAX_MS / 1000);
                    return Err(End::Gone(Gone::Closed(reason)));
                }
            }
        }
        Ok(self.out.passed() > before)
    }

    fn read(&mut self, cx: &mut Context<'_>, now: Now) -> Result<bool, End> {
        if !self.listens() {
            return Ok(false);
        }
        let (mut frames, mut bytes, mut gone) = (Vec::new(), 0, None);
        // Of a peer that nobody knows yet one read is taken: its Connect, and what came with it.
        let frames_max = if self.connection.is_open() { TURN_FRAMES_MAX } else { 1 };
        while bytes < TURN_BYTES_MAX && frames.len() < frames_max {
            match self.wire.poll_read(cx, &mut frames) {
                Poll::Pending => break,
                Poll::Ready(Ok(more)) => bytes += more,
                Poll::Ready(Err(why)) => {
                    gone = Some(why);
                    break;
                }
            }
        }
        // What came before the end counts, also with it.
        let is_any = bytes > 0 || !frames.is_empty();
        if is_any {
            self.connection.turn(frames, now).map_err(End::Closing)?;
        }
        match gone {
            Some(gone) => Err(End::Gone(gone)),
            None => Ok(is_any),
        }
    }

    /// Answers whether time asked for something, which is to be said now.
    fn check_time(&mut self, now: Now) -> Result<bool, End> {
        if now.mono_ms < self.connection.deadline() {
            return Ok(false);
        }
        if !self.listens() {
            // Whom we do not listen to cannot be called silent; an empty turn says that it lives.
            self.connection.turn([], now).map_err(End::Closing)?;
        }
        match self.connection.on_deadline(now) {
            Ok(()) => Ok(true),
            // The end of a silent peer is a loss: its session can be resumed. Every other end has a word to say.
            Err(Closing { reason }) if self.connection.turn([], now).is_ok() => Err(End::Gone(Gone::Closed(reason))),
            Err(closing) => Err(End::Closing(closing)),
        }
    }

    fn listens(&self) -> bool {
        self.out.has_room() && self.connection.wants_read()
    }

    /// Sets the timer to the next moment at which time itself asks for something. Deadlines move
    /// with every frame, and mostly later: the timer is left where it is until it fires too early.
    fn arm(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) {
        let stalled = self.stalled_ms.map_or(u64::MAX, |since| since + STALL_MAX_MS);
        let due_ms = self.connection.deadline().min(stalled);
        if due_ms < self.armed_ms || timer.as_mut().poll(cx).is_ready() {
            let wait = self.hub.clock().until(due_ms).max(Duration::from_millis(1));
            self.armed_ms = due_ms;
            timer.as_mut().reset(Instant::now() + wait);
            if timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// The last words, whatever their size.
    async fn gather_rest(&mut self) {
        let now = self.hub.now();
        poll_fn(|cx| {
            while self.connection.poll_transmit(cx, now, self.out.transmit()).is_ready() {}
            Poll::Ready(())
        })
        .await;
    }
}

#[cfg(test)]
mod tests;
