//! A connection that speaks frames itself: what is unknown stays unknown, and sequences are the caller's.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, BytesMut};
use skep_protocol::{
    Action, Ask, Binding, Command, Connect, Delivery, Encoding, Frame, LeaseToken, Manage, Message, Page, ProducerId,
    Publication, Publish, Query, QueueName, QueueSpec, Settle, SettleBatch, Settlement, Subscribe, Target, VERSION,
    Window,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::history::Told;
use crate::hub::Door;
use crate::limits::{ANSWER_MAX, FRAME_MAX};
use crate::world::World;

/// A session of the hub over its Unix socket.
pub(crate) struct Wire {
    stream: UnixStream,
    unread: BytesMut,
    /// Came while something else was waited for.
    deliveries: VecDeque<Delivery>,
    next_tag: u64,
    /// The life of the hub it stands in: one of these.
    pub(crate) lives: (u64, u64),
}

impl Wire {
    /// Connects to the hub of this run.
    pub(crate) async fn open(world: &World, producer: ProducerId) -> anyhow::Result<Self> {
        let from = world.life();
        let wire = Wire::connect(&world.door, producer).await?;
        Ok(Wire { lives: (from, world.life()), ..wire })
    }

    /// Connects through a door, in no life that is counted.
    pub(crate) async fn connect(door: &Door, producer: ProducerId) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(&door.unix).await?;
        let mut wire =
            Wire { stream, unread: BytesMut::new(), deliveries: VecDeque::new(), next_tag: 1, lives: (0, 0) };
        let (token, client) = (Some(door.token()?), "skep-prove".to_owned());
        let connect = Connect { version: VERSION, token, client, producer: Some(producer), ..Connect::default() };
        wire.say(&Frame::Connect(connect)).await?;
        match wire.hear().await? {
            Frame::Welcome(_) => Ok(wire),
            other => bail!("expected a welcome, got {other:?}"),
        }
    }

    /// Sends a frame.
    pub(crate) async fn say(&mut self, frame: &Frame) -> anyhow::Result<()> {
        let mut bytes = vec![0; 4];
        Encoding::Compact.encode(frame, &mut bytes);
        let length = u32::try_from(bytes.len() - 4)?.to_le_bytes();
        bytes[..4].copy_from_slice(&length);
        timeout(ANSWER_MAX, self.stream.write_all(&bytes)).await.context("the hub takes nothing")??;
        Ok(())
    }

    /// The next frame that is no sign of life.
    async fn hear(&mut self) -> anyhow::Result<Frame> {
        timeout(ANSWER_MAX, self.next_frame()).await.context("the hub says nothing")?
    }

    /// May be cancelled: what has come stays here.
    async fn next_frame(&mut self) -> anyhow::Result<Frame> {
        loop {
            while let Some(frame) = self.whole()? {
                match frame {
                    Frame::Ping(number) => self.say(&Frame::Pong(number)).await?,
                    Frame::Error(error) => return Err(error).context("the hub reports an error"),
                    Frame::Goodbye(goodbye) => bail!("the hub says goodbye: {}", goodbye.reason),
                    frame => return Ok(frame),
                }
            }
            ensure!(self.stream.read_buf(&mut self.unread).await? > 0, "the hub closed the connection");
        }
    }

    fn whole(&mut self) -> anyhow::Result<Option<Frame>> {
        let Some(head) = self.unread.first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*head))?;
        ensure!(length <= FRAME_MAX, "the hub sends a frame of {length} bytes");
        if self.unread.len() < 4 + length {
            return Ok(None);
        }
        self.unread.advance(4);
        let frame = self.unread.split_to(length).freeze();
        Ok(Some(Encoding::Compact.decode(&frame).context("a frame of the hub")?))
    }

    /// Waits for a frame that is no delivery; those are kept.
    async fn answer(&mut self) -> anyhow::Result<Frame> {
        loop {
            match self.hear().await? {
                Frame::Deliver(deliveries) => self.deliveries.extend(deliveries),
                other => return Ok(other),
            }
        }
    }

    /// Publishes, the first message with this sequence; one result each.
    pub(crate) async fn publish(&mut self, sequence: u64, messages: Vec<Message>) -> anyhow::Result<Vec<Told>> {
        let count = messages.len();
        self.say(&Frame::Publish(Publish { sequence, messages })).await?;
        let mut results = vec![None; count];
        while results.iter().any(Option::is_none) {
            match self.answer().await? {
                Frame::Receipt(runs) => fill(&mut results, sequence, runs)?,
                other => bail!("expected receipts, got {other:?}"),
            }
        }
        Ok(results.into_iter().flatten().collect())
    }

    /// Settles; one result for each settle, then one for each message.
    pub(crate) async fn settle(
        &mut self,
        settles: Vec<(LeaseToken, Action)>,
        atomic: bool,
        publish: Option<Publish>,
    ) -> anyhow::Result<Vec<Told>> {
        let (count, tag) = (settles.len(), self.tag());
        let (sequence, messages) =
            publish.as_ref().map_or((0, 0), |publish| (publish.sequence, publish.messages.len()));
        let settles = settles.into_iter().map(|(lease, action)| Settle { lease, action }).collect();
        self.say(&Frame::Settle(SettleBatch { tag, settles, atomic, publish })).await?;
        match self.answer().await? {
            Frame::Settled(settled) if settled.tag == tag => {
                ensure!(settled.results.len() == count, "{count} settles have {} results", settled.results.len());
                let mut results: Vec<Told> =
                    settled.results.into_iter().map(|result| Told::settled(result.into())).collect();
                let mut receipts = vec![None; messages];
                fill(&mut receipts, sequence, settled.receipts)?;
                let none = Told::Unknown("no_receipt".into());
                results.extend(receipts.into_iter().map(|told| told.unwrap_or_else(|| none.clone())));
                Ok(results)
            }
            other => bail!("expected the answer to settles, got {other:?}"),
        }
    }

    /// Takes from a queue, so many at once, all of which count as worked on.
    pub(crate) async fn receive(&mut self, queue: &str, window: u32) -> anyhow::Result<()> {
        let (id, target) = (1, Target::Queue(QueueName::new(queue)?));
        let window = Window { subscription: id, messages: window, bytes: 64 << 20 };
        let handlers = window.messages;
        let subscribe = Subscribe { id, target, window, handlers, binding: Binding::Connection };
        self.say(&Frame::Subscribe(subscribe)).await?;
        match self.answer().await? {
            Frame::Subscribed(_) => Ok(()),
            other => bail!("expected a subscription, got {other:?}"),
        }
    }

    /// The next delivery, if one comes in time.
    pub(crate) async fn next(&mut self, within: Duration) -> anyhow::Result<Option<Delivery>> {
        if let Some(delivery) = self.deliveries.pop_front() {
            return Ok(Some(delivery));
        }
        match timeout(within, self.next_frame()).await {
            Err(_) => Ok(None),
            Ok(frame) => match frame? {
                Frame::Deliver(deliveries) => {
                    self.deliveries.extend(deliveries);
                    Ok(self.deliveries.pop_front())
                }
                other => bail!("expected deliveries, got {other:?}"),
            },
        }
    }

    pub(crate) async fn declare(&mut self, spec: QueueSpec) -> anyhow::Result<()> {
        let tag = self.tag();
        self.say(&Frame::Manage(Manage { tag, command: Command::Declare(spec) })).await?;
        match self.answer().await? {
            Frame::Managed(managed) => Ok(Result::from(managed.result).map(drop)?),
            other => bail!("expected the answer to a declaration, got {other:?}"),
        }
    }

    /// Looks; refused is an error of the hub's own.
    pub(crate) async fn ask(&mut self, ask: Ask) -> anyhow::Result<Result<Page, skep_protocol::Error>> {
        let tag = self.tag();
        self.say(&Frame::Query(Query { tag, ask })).await?;
        match self.answer().await? {
            Frame::Page(report) => Ok(report.result.into()),
            other => bail!("expected the answer to a question, got {other:?}"),
        }
    }

    fn tag(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag
    }
}

/// Puts what is said of runs of sequences to each message.
fn fill(results: &mut [Option<Told>], first: u64, runs: Vec<Publication>) -> anyhow::Result<()> {
    for run in runs {
        for behind in 0..u64::from(run.count) {
            let told = match &run.result {
                Settlement::Ok(accepted) => Told::accepted(accepted, behind),
                Settlement::Error(error) => Told::error(error),
            };
            let at = (run.sequence + behind).checked_sub(first).and_then(|at| usize::try_from(at).ok());
            let result = at.and_then(|at| results.get_mut(at)).context("a receipt for what was not sent")?;
            *result = Some(told);
        }
    }
    Ok(())
}
