//! A connection to the hub, greeted, and the verbs that are not measured.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use skep_protocol::{
    Ask, Binding, Command, Connect, Encoding, Filter, Frame, Manage, Page, Query, QueueInfo, QueueName, QueueSpec,
    Subscribe, SubscriptionId, Target, VERSION, Window,
};

use super::{Kind, Reader, Stream, Writer};

/// How long the hub may say nothing while something is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Commands that are not answered yet: fewer than a session may have.
const COMMANDS_MAX: usize = 32;
/// Queues that are looked at with one question.
const QUEUES_A_PAGE: u32 = 1_000;

/// How to reach the hub, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    pub(crate) kind: Kind,
    pub(crate) http: SocketAddr,
    pub(crate) unix: PathBuf,
    pub(crate) token: String,
}

/// A session of the hub.
pub(crate) struct Link {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// Where replies to this session go.
    pub(crate) replies: String,
    /// The sequence of the next message.
    pub(crate) next_sequence: u64,
}

impl Link {
    pub(crate) fn open(party: &Party) -> anyhow::Result<Self> {
        let stream = match party.kind {
            Kind::Unix => {
                let stream = UnixStream::connect(&party.unix)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Stream::Unix(stream)
            }
            Kind::Ws => {
                let stream = TcpStream::connect(party.http)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Stream::Tcp(stream)
            }
        };
        let mut reader = Reader::new(stream.try_clone()?);
        if party.kind == Kind::Ws {
            upgrade(party, stream.try_clone()?, &mut reader)?;
        }
        let mut link = Link { reader, writer: Writer::new(stream), replies: String::new(), next_sequence: 1 };
        let (token, client) = (Some(party.token.clone()), "skep-bench".into());
        link.say(&Frame::Connect(Connect { version: VERSION, token, client, ..Connect::default() }))?;
        match link.hear()? {
            Frame::Welcome(welcome) => link.replies = welcome.replies,
            other => bail!("expected a welcome, got {other:?}"),
        }
        Ok(link)
    }

    /// Sends a frame now.
    pub(crate) fn say(&mut self, frame: &Frame) -> anyhow::Result<()> {
        self.writer.put(&encoded(frame));
        self.writer.flush()
    }

    /// The next frame, decoded whole.
    pub(crate) fn hear(&mut self) -> anyhow::Result<Frame> {
        decoded(self.reader.next()?)
    }

    /// Declares a queue without bounds that a run could reach.
    pub(crate) fn declare(&mut self, queue: &str) -> anyhow::Result<()> {
        self.declare_all([queue.to_owned()].into_iter())
    }

    /// Declares many.
    pub(crate) fn declare_all(&mut self, mut queues: impl Iterator<Item = String>) -> anyhow::Result<()> {
        loop {
            let mut asked = 0;
            for queue in queues.by_ref().take(COMMANDS_MAX) {
                let unbounded = QueueSpec {
                    messages_max: u64::from(u32::MAX),
                    bytes_max: 1 << 50,
                    ..QueueSpec::new(QueueName::new(&queue)?)
                };
                let command = Command::Declare(unbounded);
                self.writer.put(&encoded(&Frame::Manage(Manage { tag: 1, command })));
                asked += 1;
            }
            if asked == 0 {
                return Ok(());
            }
            self.writer.flush()?;
            for _ in 0..asked {
                match self.hear()? {
                    Frame::Managed(managed) => {
                        Result::from(managed.result).context("a queue is not declared")?;
                    }
                    other => bail!("expected the answer to a declaration, got {other:?}"),
                }
            }
        }
    }

    /// Messages that are ready in all queues, and those that are not.
    pub(crate) fn held(&mut self) -> anyhow::Result<(u64, u64)> {
        let (mut ready, mut other, mut after) = (0, 0, None);
        loop {
            match self.ask(Ask::QueuesAfter { after, limit: QUEUES_A_PAGE })? {
                Page::QueuesPart { queues, next } => {
                    for queue in queues {
                        ready += queue.ready;
                        other += queue.leased + queue.delayed;
                    }
                    after = next;
                }
                other => bail!("expected queues, got {other:?}"),
            }
            if after.is_none() {
                return Ok((ready, other));
            }
        }
    }

    /// Looks.
    pub(crate) fn ask(&mut self, ask: Ask) -> anyhow::Result<Page> {
        self.say(&Frame::Query(Query { tag: 2, ask }))?;
        match self.hear()? {
            Frame::Page(report) => Result::from(report.result).context("a question is not answered"),
            other => bail!("expected the answer to a question, got {other:?}"),
        }
    }

    /// What a queue holds.
    pub(crate) fn look(&mut self, queue: &str) -> anyhow::Result<QueueInfo> {
        match self.ask(Ask::Queue { queue: QueueName::new(queue)? })? {
            Page::Queues(mut queues) => queues.pop().context("no queue is shown"),
            other => bail!("expected a queue, got {other:?}"),
        }
    }

    /// Listens live; returns when messages may come.
    pub(crate) fn listen(&mut self, filter: &str) -> anyhow::Result<()> {
        self.subscribe(1, Target::Live(Filter::new(filter)?), 0)?;
        match self.hear()? {
            Frame::Subscribed(1) => Ok(()),
            other => bail!("expected a subscription, got {other:?}"),
        }
    }

    /// Asks for a subscription; whoever reads hears when it stands.
    pub(crate) fn subscribe(&mut self, id: SubscriptionId, target: Target, messages: u32) -> anyhow::Result<()> {
        let window = Window { subscription: id, messages, bytes: 1 << 30 };
        let handlers = messages.max(1);
        self.say(&Frame::Subscribe(Subscribe { id, target, window, handlers, binding: Binding::Connection }))
    }
}

pub(crate) fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoding::Compact.encode(frame, &mut bytes);
    bytes
}

pub(crate) fn decoded(frame: &[u8]) -> anyhow::Result<Frame> {
    let frame = Encoding::Compact.decode(&Bytes::copy_from_slice(frame)).context("a frame of the hub")?;
    if let Frame::Error(error) = frame {
        return Err(error).context("the hub reports an error");
    }
    Ok(frame)
}

/// The handshake. That the hub hashed the key rightly is not ours to test here.
fn upgrade(party: &Party, mut stream: Stream, reader: &mut Reader) -> anyhow::Result<()> {
    write!(
        stream,
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: c2tlcCBiZW5jaCAwMDAwMA==\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
        party.http,
        Encoding::Compact.subprotocol()
    )?;
    let head = reader.http_head()?;
    ensure!(head.starts_with("HTTP/1.1 101 "), "the hub refuses a WebSocket: {head}");
    Ok(())
}
