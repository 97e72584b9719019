//! The client: a handle that can be cloned, and the verbs.

use std::fmt;
use std::sync::{Arc, OnceLock};

use skep_protocol::limits::FRAME_BYTES_MAX;
use skep_protocol::{
    Accepted, AgentId, Answer, Ask, Code, Command, Encoding, Error, Filter, Frame, Manage, Message, MessageBuilder,
    Page, ProducerId, QueueName, Topic,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::address::{self, Said};
use crate::clock::{Clock, Ids, random, unix_ms};
use crate::consume::{self, Outcome, Work};
use crate::conversation::{Conversation, Identity, Session};
use crate::delivery::Deliveries;
use crate::driver::{Callers, Driver, Patience};
use crate::handle::{Handle, cost};
use crate::limits::{CHUNK_COST_MAX, CHUNK_MESSAGES_MAX, LIVE_BYTES_MAX, LIVE_MESSAGES_MAX, VERBS_MAX};
use crate::link::Connector;
use crate::live::LiveSubscription;
use crate::mailbox::{Bound, Mailbox};
use crate::options::{Options, ReceiveOptions};
use crate::verb::{Feed, Verb};

/// A party attached to a hub. Clones are the same party over the same connection.
///
/// A lost connection is opened again, and what was not answered is sent again, unchanged, so that
/// the hub recognises it: a verb that returns an answer was done once. Every verb waits for its
/// answer. Cancelling a verb does not take back what it asked for.
///
/// The client lives as long as a clone of it, or anything it handed out; then it says goodbye.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

impl Client {
    /// Connects to `ws://host:port` or `unix:/path/hub.sock`.
    ///
    /// # Errors
    /// `no_hub` when nobody answers within `connect_timeout`; what the hub says otherwise, such as
    /// `unauthenticated`; `invalid_argument` for an address of another form.
    pub async fn connect(url: &str, options: Options) -> Result<Self, Error> {
        let connector = Connector::to(url, options.token.clone())?;
        Self::over(connector, options).await
    }

    /// Connects to the hub of this folder: `SKEP_URL` if it is set, else the one whose `.skep/` is
    /// nearest upward. It is looked for anew at every reconnect.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); `no_hub` at once where there is no `.skep/`, or no hub in it.
    pub async fn find(options: Options) -> Result<Self, Error> {
        let folder = std::env::current_dir()
            .map_err(|e| Error::new(Code::NoHub, format!("no hub: the current folder cannot be read: {e}")))?;
        let said = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let said = Said { url: said("SKEP_URL"), token: options.token.clone().or_else(|| said("SKEP_TOKEN")) };
        Self::over(Connector::finding(move || address::find(&folder, said.clone())), options).await
    }

    /// Connects over a connector; to be called within a tokio runtime.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn over(connector: Connector, options: Options) -> Result<Self, Error> {
        let (clock, ids) = (Clock::start(), Ids::new()?);
        let identity = Identity {
            agent: options.agent.clone(),
            client: format!("{} (skep-client {})", options.name, env!("CARGO_PKG_VERSION")),
            producer: ProducerId(random()?),
            close_timeout: options.close_timeout,
        };
        let (verbs, taken) = mpsc::channel(VERBS_MAX);
        let (session, shown) = watch::channel(Session::default());
        let (first, welcomed) = oneshot::channel();
        let left = Arc::new(Mailbox::new(Bound::items(usize::MAX)));
        let ended = Arc::new(OnceLock::new());
        let driver = Driver {
            conversation: Conversation::new(identity, session),
            connector,
            callers: Callers::new(taken, Arc::clone(&left)),
            clock,
            token: options.token.clone(),
            patience: Patience { first: options.connect_timeout, later: options.give_up_after },
            first: Some(first),
            ended: Arc::clone(&ended),
        };
        let handle = Handle::new(verbs, left, shown, ended, (options, clock, ids));
        tokio::spawn(driver.run());
        welcomed.await.unwrap_or_else(|_| Err(handle.why_ended()))?;
        Ok(Client { handle: Arc::new(handle) })
    }

    /// The agent the hub takes this client for.
    #[must_use]
    pub fn agent(&self) -> Option<AgentId> {
        self.handle.session.borrow().agent.clone()
    }

    /// Begins a message: with a fresh id, the time, and this client as its source. `kind` is a
    /// [`Kind`](skep_protocol::Kind) or a free name.
    #[must_use]
    pub fn message(&self, kind: impl AsRef<str>) -> MessageBuilder {
        let now = unix_ms();
        let source = self.agent().map_or_else(|| format!("client/{}", self.handle.options.name), |a| a.source());
        Message::build(&self.handle.ids.next(now), &source, kind).time(&skep_protocol::format_time(now))
    }

    /// Sends a message to an agent's inbox.
    ///
    /// # Errors
    /// As [`publish`](Self::publish); `unknown_agent`, with the nearest name; `queue_full`.
    pub async fn send(&self, agent: &AgentId, message: MessageBuilder) -> Result<Accepted, Error> {
        self.publish(message.to(&Topic::inbox(agent)).finish()?).await
    }

    /// Publishes a message; the receipt says what is true of it now.
    ///
    /// # Errors
    /// The hub's refusal, by its code. `connection_lost` (it may have happened) or `shutting_down` (it did
    /// not) when the client gives up or is closed first.
    pub async fn publish(&self, message: Message) -> Result<Accepted, Error> {
        let paid = self.handle.pay_for(cost(&message)).await?;
        let coming = self.handle.pass(|asker| Verb::Publish { message, paid, asker }).await?;
        self.handle.answer(coming).await
    }

    /// Publishes messages without waiting for one receipt before the next message; each has its own
    /// result, in the order given.
    pub async fn publish_all(&self, messages: Vec<Message>) -> Vec<Result<Accepted, Error>> {
        let mut results = Vec::with_capacity(messages.len());
        let (mut rest, mut passed) = (messages.into_iter().peekable(), Vec::new());
        while let Some((chunk, cost)) = next_chunk(&mut rest) {
            let count = chunk.len();
            let coming = match self.handle.pay_for(cost).await {
                Ok(paid) => self.handle.pass(|asker| Verb::PublishAll { messages: chunk, paid, asker }).await,
                Err(error) => Err(error),
            };
            passed.push((count, coming));
        }
        for (count, coming) in passed {
            let answer = match coming {
                Ok(coming) => coming.await.map_err(|_| self.handle.why_ended()),
                Err(error) => Err(error),
            };
            results.extend(answer.unwrap_or_else(|error| vec![Err(error); count]));
        }
        results
    }

    /// Listens to the live messages whose topic matches. When this returns, the hub knows.
    ///
    /// # Errors
    /// The hub's refusal, such as `forbidden`; `busy` beyond 65,536 subscriptions.
    pub async fn subscribe(&self, filter: Filter) -> Result<LiveSubscription, Error> {
        let id = self.handle.next_subscription();
        let mailbox = Arc::new(Mailbox::new(Bound { items: LIVE_MESSAGES_MAX, weight: LIVE_BYTES_MAX }));
        let subscription = LiveSubscription::new(id, Arc::clone(&mailbox), Arc::clone(&self.handle));
        let feed = Feed::Live { filter, mailbox };
        let coming = self.handle.pass(|asker| Verb::Subscribe { id, feed, asker }).await?;
        self.handle.answer(coming).await.map(|()| subscription)
    }

    /// Receives the messages of a queue, each under a lease.
    ///
    /// # Errors
    /// The hub's refusal, such as `unknown_queue`; `invalid_argument` for options out of range; `busy` beyond
    /// 65,536 subscriptions.
    pub async fn receive(&self, queue: &QueueName, options: ReceiveOptions) -> Result<Deliveries, Error> {
        let (id, credit) = (self.handle.next_subscription(), options.checked()?);
        let mailbox = Arc::new(Mailbox::new(Bound::items(credit.messages as usize)));
        let deliveries = Deliveries::new(id, Arc::clone(&mailbox), Arc::clone(&self.handle));
        let feed = Feed::Queue { queue: queue.clone(), options: credit, mailbox };
        let coming = self.handle.pass(|asker| Verb::Subscribe { id, feed, asker }).await?;
        self.handle.answer(coming).await.map(|()| deliveries)
    }

    /// Gives each message of a queue to a handler, as many at once as the options say, each in a task of
    /// its own. The lease is renewed until the handler returns; when it is lost, the handler's future is
    /// dropped where it stands. What the handler returns settles the message; a panic is a nack.
    ///
    /// Returns when the client is closed. Dropped, it cancels the handlers, and their messages return to the
    /// queue uncharged.
    ///
    /// # Errors
    /// As [`receive`](Self::receive); why the subscription ended, such as `unknown_queue` when the queue is gone.
    pub async fn consume<H, F>(&self, queue: &QueueName, options: ReceiveOptions, handler: H) -> Result<(), Error>
    where
        H: Fn(Work) -> F + Send + Sync + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let deliveries = self.receive(queue, options).await?;
        consume::run(deliveries, options.window, options.handlers, handler).await
    }

    /// Settles or extends a lease by its token, whoever took it: leases bound to their deadline outlive
    /// the client that took them.
    ///
    /// # Errors
    /// `lease_lost`; `too_large`; `connection_lost` when the client gave up or closed first.
    pub async fn settle(&self, lease: skep_protocol::LeaseToken, action: skep_protocol::Action) -> Result<(), Error> {
        let coming = self.handle.settle(lease, action).await?;
        self.handle.answer(coming).await
    }

    /// Declares, deletes, registers, ...
    ///
    /// # Errors
    /// The hub's refusal; `too_large`; `connection_lost` when the connection went before the answer to a
    /// command that must not be said twice (delete, purge, redrive, deregister).
    pub async fn manage(&self, command: Command) -> Result<Answer, Error> {
        let mut bytes = Vec::new();
        let frame = Frame::Manage(Manage { tag: u64::MAX, command: command.clone() });
        Encoding::Compact.encode(&frame, &mut bytes);
        if bytes.len() > FRAME_BYTES_MAX {
            let text = format!("the command has {} bytes; at most {FRAME_BYTES_MAX} are taken", bytes.len());
            return Err(Error::new(Code::TooLarge, text));
        }
        let room = self.handle.room_for_call().await?;
        let coming = self.handle.pass(|asker| Verb::Manage { command, room, asker }).await?;
        self.handle.answer(coming).await
    }

    /// Looks; nothing is taken by looking. All queues and all agents are asked for page by page.
    ///
    /// # Errors
    /// The hub's refusal, such as `unknown_queue` or `not_found`.
    pub async fn query(&self, ask: Ask) -> Result<Page, Error> {
        match ask {
            Ask::Queues => self.queues().await.map(Page::Queues),
            Ask::Agents => self.agents().await.map(Page::Agents),
            ask => self.ask(ask).await,
        }
    }

    /// Asks one question.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Page, Error> {
        let room = self.handle.room_for_call().await?;
        let coming = self.handle.pass(|asker| Verb::Query { ask, room, asker }).await?;
        self.handle.answer(coming).await
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// Closes the client and all its clones: waits for the answers to what was published and settled, at
    /// most [`Options::close_timeout`], and says goodbye. Leases return to their queues, uncharged; handlers
    /// that still run are cancelled.
    pub async fn close(&self) {
        if let Ok(closed) = self.handle.pass(|asker| Verb::Close { asker }).await {
            let _ended = closed.await;
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("agent", &self.agent()).finish_non_exhaustive()
    }
}

/// The next messages that wait for their answers as one, and their cost.
fn next_chunk(rest: &mut std::iter::Peekable<std::vec::IntoIter<Message>>) -> Option<(Vec<Message>, usize)> {
    let (mut chunk, mut sum) = (Vec::new(), 0);
    while let Some(message) = rest.next_if(|next| chunk.is_empty() || sum + cost(next) <= CHUNK_COST_MAX) {
        sum += cost(&message);
        chunk.push(message);
        if chunk.len() == CHUNK_MESSAGES_MAX {
            break;
        }
    }
    (!chunk.is_empty()).then_some((chunk, sum))
}
