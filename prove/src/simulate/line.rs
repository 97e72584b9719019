//! The line between one client and the hub: frames as bytes, each way as long under way as chance wants.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use skep_core::{Connection, Credentials, Form, Hub, Incoming, Now, Transmit};
use skep_protocol::{Encoding, Frame};

/// See the module.
pub(super) struct Line {
    connection: Connection,
    encoding: Encoding,
    to_hub: VecDeque<Frame>,
    to_client: VecDeque<Frame>,
    woken: Arc<Woken>,
    is_closing: bool,
}

/// The connection is only asked again when it was woken, as its task would be.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Line {
    pub(super) fn open(hub: &Arc<Hub>, encoding: Encoding, now: Now) -> Self {
        let credentials = Credentials { token: None, agent: None };
        let connection = Connection::new(hub.clone(), Form::Encoded(encoding), credentials, now);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        Line { connection, encoding, to_hub: VecDeque::new(), to_client: VecDeque::new(), woken, is_closing: false }
    }

    /// The client says something.
    pub(super) fn say(&mut self, frame: Frame) {
        self.to_hub.push_back(frame);
    }

    /// What the client hears next.
    pub(super) fn hear(&mut self) -> Option<Frame> {
        self.to_client.pop_front()
    }

    pub(super) fn is_said(&self) -> bool {
        !self.to_hub.is_empty()
    }

    pub(super) fn is_heard(&self) -> bool {
        !self.to_client.is_empty()
    }

    pub(super) fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::Relaxed)
    }

    /// The hub says its last words on it.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Up to so many frames reach the hub; answers them.
    pub(super) fn turn(&mut self, count: usize, now: Now) -> Vec<Frame> {
        if !self.connection.wants_read() {
            return Vec::new();
        }
        let count = count.min(self.to_hub.len());
        let frames: Vec<Frame> = self.to_hub.drain(..count).collect();
        let bytes = frames.iter().map(|frame| {
            let mut bytes = Vec::new();
            self.encoding.encode(frame, &mut bytes);
            Incoming::Bytes(Bytes::from(bytes))
        });
        self.is_closing |= self.connection.turn(bytes.collect::<Vec<_>>(), now).is_err();
        if count > 0 {
            self.woken.0.store(true, Ordering::Relaxed);
        }
        frames
    }

    /// What the hub says goes on its way; answers it.
    pub(super) fn poll(&mut self, now: Now) -> Result<Vec<Frame>, String> {
        let was_woken = self.woken.0.swap(false, Ordering::Relaxed);
        if now.mono_ms >= self.connection.deadline() {
            self.is_closing |= self.connection.on_deadline(now).is_err();
        }
        let waker = Waker::from(self.woken.clone());
        let mut out = Transmit::default();
        if let Poll::Ready(()) = self.connection.poll_transmit(&mut Context::from_waker(&waker), now, &mut out) {
            // A driver asks on until there is nothing more.
            self.woken.0.store(true, Ordering::Relaxed);
        }
        let mut frames = Vec::new();
        for block in std::mem::take(&mut out.blocks) {
            let frame = self.encoding.decode(&block.bytes);
            frames.push(frame.map_err(|error| format!("a frame of the hub cannot be read: {error}"))?);
        }
        let is_asked_for = |frame: &Frame| matches!(frame, Frame::Ping(_) | Frame::Error(_) | Frame::Goodbye(_));
        if !was_woken && !frames.iter().all(is_asked_for) {
            return Err("there was something to say, and nobody woke the connection".to_owned());
        }
        self.to_client.extend(frames.iter().cloned());
        Ok(frames)
    }

    /// Whether the connection is to be asked: something woke it, or it is time.
    pub(super) fn is_due(&self, now: Now) -> bool {
        self.is_woken() || now.mono_ms >= self.connection.deadline()
    }

    /// It breaks.
    pub(super) fn cut(self, now: Now) {
        self.connection.lost(Transmit::default(), now);
    }
}
