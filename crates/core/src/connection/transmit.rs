//! What happened to the session becomes frames, and frames become blocks of bytes.

use std::task::{Context, Poll};

use bytes::Bytes;
use skep_protocol::{Code, Delivery, Encoding, Error, Frame, Managed, Message, Publication, Settlement, encode_live};

use super::{Connection, Form, State};
use crate::clock::Now;
use crate::event::SessionEvent;
use crate::limits::{FRAME_BYTES, LIVE_COPY_BYTES_MAX, LIVE_FRAME_BYTES};
use crate::live::Live;

/// Frames to write, in the connection's form. The driver asks for more only while it has room.
#[derive(Debug, Default)]
pub struct Transmit {
    /// Encoded frames.
    pub blocks: Vec<Block>,
    /// Frames as values.
    pub values: Vec<Frame>,
    /// Bytes of the blocks so far.
    pub bytes: usize,
    events: Vec<SessionEvent>,
}

/// One encoded frame.
#[derive(Debug, Default)]
pub struct Block {
    /// As it travels.
    pub bytes: Bytes,
    /// The live messages that it holds: nobody asks for them again.
    live: Vec<Live>,
}

impl From<Bytes> for Block {
    fn from(bytes: Bytes) -> Self {
        Block { bytes, live: Vec::new() }
    }
}

impl Transmit {
    fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.values.is_empty()
    }

    /// The live messages in it.
    pub(super) fn into_live(self) -> Vec<Live> {
        let values = self.values.into_iter().flat_map(|frame| match frame {
            Frame::Live(messages) => messages,
            _ => Vec::new(),
        });
        self.blocks.into_iter().flat_map(|block| block.live).chain(values.map(Live::one)).collect()
    }
}

impl Connection {
    /// Appends the frames that are to be written. Pending when there is none: the context's
    /// waker is called when that changes.
    pub fn poll_transmit(&mut self, cx: &mut Context<'_>, now: Now, out: &mut Transmit) -> Poll<()> {
        if let State::Connecting { party, .. } = &mut self.state
            && let Poll::Ready(result) = party.as_mut().poll(cx)
        {
            self.welcome(result, now);
        }
        if out.is_empty() && self.is_evicted(cx) {
            self.let_go(now);
        }
        let before = (out.blocks.len(), out.values.len());
        for frame in std::mem::take(&mut self.out) {
            self.put(frame, out);
        }
        if let State::Open(session) = &mut self.state {
            let mut events = std::mem::take(&mut out.events);
            if session.poll_events(cx, now, &mut events).is_ready() {
                self.put_events(&mut events, out);
            }
            out.events = events;
        }
        if before == (out.blocks.len(), out.values.len()) {
            return Poll::Pending;
        }
        self.said_ms = now.mono_ms;
        Poll::Ready(())
    }

    /// Receipts that come together travel together, and so do deliveries and small live messages.
    fn put_events(&mut self, events: &mut Vec<SessionEvent>, out: &mut Transmit) {
        let mut receipts: Vec<Publication> = Vec::new();
        let mut deliveries: Vec<Delivery> = Vec::new();
        let mut live = Small::default();
        let mut bytes = 0;
        for event in events.drain(..) {
            let frame = match event {
                SessionEvent::Receipt(receipt) => {
                    receipts.push(receipt);
                    continue;
                }
                SessionEvent::Deliver(delivery) => {
                    bytes += delivery.message.bytes().len();
                    deliveries.push(delivery);
                    if bytes < FRAME_BYTES {
                        continue;
                    }
                    bytes = 0;
                    Frame::Deliver(std::mem::take(&mut deliveries))
                }
                SessionEvent::Live(messages) => {
                    self.put_live(messages, &mut live, out);
                    continue;
                }
                SessionEvent::Settled(settled) => Frame::Settled(settled),
                SessionEvent::Subscribed(id) => Frame::Subscribed(id),
                SessionEvent::NotSubscribed(id, error) => {
                    Frame::Managed(Managed { tag: u64::from(id), result: Settlement::Error(error) })
                }
                SessionEvent::Managed(managed) => Frame::Managed(managed),
                SessionEvent::Page(page) => Frame::Page(page),
                SessionEvent::Dropped(count) => {
                    self.hub.telemetry.live_dropped(usize::try_from(count).unwrap_or(usize::MAX));
                    let text = format!("{count} live messages were dropped: this session reads too slowly");
                    Frame::Error(Error::new(Code::QueueFull, text))
                }
            };
            self.put(frame, out);
        }
        live.put(out);
        if !receipts.is_empty() {
            self.put(Frame::Receipt(receipts), out);
        }
        if !deliveries.is_empty() {
            self.put(Frame::Deliver(deliveries), out);
        }
    }

    /// Few bytes are cheaper copied than sent alone. More are encoded once for all who get them, and so
    /// is everything in JSON, which takes longer to write than to copy.
    fn put_live(&self, live: Live, small: &mut Small, out: &mut Transmit) {
        match self.form {
            Form::Values => out.values.push(Frame::Live(live.messages().to_vec())),
            Form::Encoded(Encoding::Compact) if live.bytes() <= LIVE_COPY_BYTES_MAX => small.add(live, out),
            Form::Encoded(encoding) => {
                small.put(out);
                put_block(Block { bytes: live.frame(encoding), live: vec![live] }, out);
            }
        }
    }

    fn put(&self, frame: Frame, out: &mut Transmit) {
        match self.form {
            Form::Values => out.values.push(frame),
            Form::Encoded(encoding) => {
                let mut block = Vec::with_capacity(256);
                encoding.encode(&frame, &mut block);
                put_block(Bytes::from(block).into(), out);
            }
        }
    }
}

/// Small live messages that travel in one frame, in the compact form.
#[derive(Default)]
struct Small {
    live: Vec<Live>,
    bytes: usize,
}

impl Small {
    fn add(&mut self, live: Live, out: &mut Transmit) {
        self.bytes += live.bytes();
        self.live.push(live);
        if self.bytes >= LIVE_FRAME_BYTES {
            self.put(out);
        }
    }

    fn put(&mut self, out: &mut Transmit) {
        let live = std::mem::take(&mut self.live);
        let messages: Vec<&Message> = live.iter().flat_map(Live::messages).collect();
        let room = std::mem::take(&mut self.bytes) + 8 * messages.len() + 16;
        if messages.is_empty() {
            return;
        }
        let mut block = Vec::with_capacity(room);
        encode_live(Encoding::Compact, messages.into_iter(), &mut block);
        put_block(Block { bytes: block.into(), live }, out);
    }
}

fn put_block(block: Block, out: &mut Transmit) {
    out.bytes += block.bytes.len();
    out.blocks.push(block);
}
