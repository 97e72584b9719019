//! A party in a test: a session whose events are awaited one by one, never longer than a bound.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use skep_core::{Action, BoxFuture, Credentials, Hub, Live, Party, Policy, Session, SessionEvent};
use skep_protocol::{
    Accepted, AgentId, Answer, Ask, Binding, Command, Delivery, Error, LeaseToken, Manage, Message, MessageBuilder,
    MessageId, Page, ProducerId, Publication, Publish, Query, QueueName, ResumeToken, Settle, SettleBatch, Settled,
    Subscribe, SubscriptionId, Target, Topic, Window,
};

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// A policy that lets anyone be the agent they say, and do anything.
pub struct Anyone;

impl Policy for Anyone {
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Party, Error>> {
        let agent = credentials.agent;
        let name = agent.as_ref().map_or_else(|| "local".into(), AgentId::source);
        Box::pin(async move { Ok(Party { name, agent }) })
    }

    fn authorize(&self, _party: &Party, _action: Action<'_>) -> Result<(), Error> {
        Ok(())
    }
}

/// A message in the making, with an id of its own.
#[must_use]
pub fn message(to: &str) -> MessageBuilder {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let id = format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    Message::build(&MessageId::new(&id).expect("an id"), "test", "note").to(&topic(to))
}

/// A topic that is known to be one.
#[must_use]
pub fn topic(text: &str) -> Topic {
    Topic::new(text).expect("a topic")
}

/// A party attached to a hub.
pub struct Peer {
    session: Session,
    hub: Arc<Hub>,
    waiting: VecDeque<SessionEvent>,
    next_sequence: u64,
    next_tag: u64,
}

impl Peer {
    /// Attaches an agent, or nobody in particular, with a producer of its own.
    pub fn attach(hub: &Arc<Hub>, agent: Option<&str>) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let producer = ProducerId(u128::from(COUNT.fetch_add(1, Ordering::Relaxed)).to_be_bytes());
        Peer::attach_as(hub, agent, producer)
    }

    /// Attaches with a given producer.
    pub fn attach_as(hub: &Arc<Hub>, agent: Option<&str>, producer: ProducerId) -> Self {
        let agent = agent.map(|id| AgentId::new(id).expect("an agent's id"));
        let name = agent.as_ref().map_or_else(|| "local".into(), AgentId::source);
        let session = hub.attach(Party { name, agent }, Some(producer)).expect("random bytes");
        Peer { session, hub: hub.clone(), waiting: VecDeque::new(), next_sequence: 1, next_tag: 1 }
    }

    /// The session itself.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Loses its connection, and takes its session up again with the leases it still holds.
    #[must_use]
    pub fn parked_and_resumed(self, token: ResumeToken, held: &[LeaseToken]) -> Self {
        let (now, party) = (self.hub.now(), self.session.party().clone());
        self.session.park(now);
        let (session, lost) = self.hub.resume(token, &party, held, now).expect("it waits to be resumed");
        assert!(lost.is_empty(), "what it held is its own still");
        Peer { session, waiting: VecDeque::new(), ..self }
    }

    /// Loses its connection.
    pub fn park(self) {
        let now = self.hub.now();
        self.session.park(now);
    }

    /// Leaves in order.
    pub fn goodbye(self) {
        let now = self.hub.now();
        self.session.goodbye(now);
    }

    /// Publishes one message with the next sequence.
    pub async fn publish(&mut self, message: MessageBuilder) -> Result<Accepted, Error> {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.publish_at(sequence, &message.finish().expect("a message")).await
    }

    /// Publishes one message with a given sequence.
    pub async fn publish_at(&mut self, sequence: u64, message: &Message) -> Result<Accepted, Error> {
        let now = self.hub.now();
        self.session.publish(sequence, std::slice::from_ref(message), now);
        let is_mine = |event: &SessionEvent| matches!(event, SessionEvent::Receipt(r) if r.sequence == sequence);
        match self.wait_for(is_mine).await {
            SessionEvent::Receipt(receipt) => receipt.result.into(),
            other => unreachable!("{other:?}"),
        }
    }

    /// The next receipt, whatever it answers.
    pub async fn receipt(&mut self) -> Publication {
        match self.wait_for(|event| matches!(event, SessionEvent::Receipt(_))).await {
            SessionEvent::Receipt(receipt) => receipt,
            other => unreachable!("{other:?}"),
        }
    }

    /// Subscribes to a queue; the subscription's number is its answer.
    pub async fn consume(&mut self, queue: &str, window: u32) -> SubscriptionId {
        self.consume_with(queue, window, |subscribe| subscribe).await.expect("a subscription")
    }

    /// Subscribes to a queue with more said.
    pub async fn consume_with(
        &mut self,
        queue: &str,
        window: u32,
        more: impl FnOnce(Subscribe) -> Subscribe,
    ) -> Result<SubscriptionId, Error> {
        let target = Target::Queue(QueueName::new(queue).expect("a queue's name"));
        self.subscribe(target, window, more).await
    }

    /// Subscribes to live messages.
    pub async fn listen(&mut self, filter: &str) -> SubscriptionId {
        self.listen_to(filter).await.expect("a subscription")
    }

    /// The same where it may be refused.
    pub async fn listen_to(&mut self, filter: &str) -> Result<SubscriptionId, Error> {
        let target = Target::Live(filter.parse().expect("a filter"));
        self.subscribe(target, 0, |subscribe| subscribe).await
    }

    async fn subscribe(
        &mut self,
        target: Target,
        messages: u32,
        more: impl FnOnce(Subscribe) -> Subscribe,
    ) -> Result<SubscriptionId, Error> {
        let id = u32::try_from(self.next_tag).expect("few");
        self.next_tag += 1;
        let window = Window { subscription: id, messages, bytes: 1 << 30 };
        let subscribe = Subscribe { id, target, window, handlers: 1, binding: Binding::Connection };
        self.session.subscribe(more(subscribe));
        let is_mine = |event: &SessionEvent| matches!(event, SessionEvent::Subscribed(of) | SessionEvent::NotSubscribed(of, _) if *of == id);
        match self.wait_for(is_mine).await {
            SessionEvent::NotSubscribed(_, error) => Err(error),
            _ => Ok(id),
        }
    }

    /// The next delivery.
    pub async fn delivery(&mut self) -> Delivery {
        match self.wait_for(|event| matches!(event, SessionEvent::Deliver(_))).await {
            SessionEvent::Deliver(delivery) => delivery,
            other => unreachable!("{other:?}"),
        }
    }

    /// The next delivery, if one comes within some time.
    pub async fn delivery_within(&mut self, ms: u64) -> Option<Delivery> {
        let wait = self.wait_for(|event| matches!(event, SessionEvent::Deliver(_)));
        match tokio::time::timeout(Duration::from_millis(ms), wait).await {
            Ok(SessionEvent::Deliver(delivery)) => Some(delivery),
            _ => None,
        }
    }

    /// The next end of a subscription that stood, and why.
    pub async fn ended(&mut self) -> (SubscriptionId, Error) {
        match self.wait_for(|event| matches!(event, SessionEvent::NotSubscribed(..))).await {
            SessionEvent::NotSubscribed(id, error) => (id, error),
            other => unreachable!("{other:?}"),
        }
    }

    /// The next live message.
    pub async fn live(&mut self) -> Message {
        match self.wait_for(|event| matches!(event, SessionEvent::Live(_))).await {
            SessionEvent::Live(live) => live.message().clone(),
            other => unreachable!("{other:?}"),
        }
    }

    /// Settles one lease.
    pub async fn settle(&mut self, lease: LeaseToken, action: skep_protocol::Action) -> Result<(), Error> {
        let settled = self.settle_all(vec![Settle { lease, action }], Vec::new()).await;
        settled.results.into_iter().next().expect("one result").into()
    }

    /// Settles, and publishes with it in one step if there is something to publish.
    pub async fn settle_all(&mut self, settles: Vec<Settle>, publish: Vec<Message>) -> Settled {
        let sequence = self.next_sequence;
        self.next_sequence += publish.len() as u64;
        self.settle_at(sequence, settles, publish).await
    }

    /// The same with a given first sequence.
    pub async fn settle_at(&mut self, sequence: u64, settles: Vec<Settle>, messages: Vec<Message>) -> Settled {
        let tag = self.next_tag;
        self.next_tag += 1;
        let atomic = !messages.is_empty();
        let publish = atomic.then_some(Publish { sequence, messages });
        let now = self.hub.now();
        self.session.settle(&SettleBatch { tag, settles, atomic, publish }, now);
        match self.wait_for(|event| matches!(event, SessionEvent::Settled(s) if s.tag == tag)).await {
            SessionEvent::Settled(settled) => settled,
            other => unreachable!("{other:?}"),
        }
    }

    /// Runs a command.
    pub async fn manage(&mut self, command: Command) -> Result<Answer, Error> {
        let tag = self.next_tag;
        self.next_tag += 1;
        let now = self.hub.now();
        self.session.manage(Manage { tag, command }, now);
        match self.wait_for(|event| matches!(event, SessionEvent::Managed(m) if m.tag == tag)).await {
            SessionEvent::Managed(managed) => managed.result.into(),
            other => unreachable!("{other:?}"),
        }
    }

    /// Looks.
    pub async fn look(&mut self, ask: Ask) -> Result<Page, Error> {
        let tag = self.next_tag;
        self.next_tag += 1;
        let now = self.hub.now();
        self.session.query(Query { tag, ask }, now);
        match self.wait_for(|event| matches!(event, SessionEvent::Page(p) if p.tag == tag)).await {
            SessionEvent::Page(page) => page.result.into(),
            other => unreachable!("{other:?}"),
        }
    }

    /// Whether nothing of the kind comes within some time: for facts about what must not happen.
    pub async fn is_quiet(&mut self, for_ms: u64) -> bool {
        let wait = self.next_event();
        match tokio::time::timeout(Duration::from_millis(for_ms), wait).await {
            Err(_) => true,
            Ok(event) => {
                self.waiting.push_front(event);
                false
            }
        }
    }

    /// What comes before it stays, in the order in which it came.
    async fn wait_for(&mut self, is_it: impl Fn(&SessionEvent) -> bool) -> SessionEvent {
        let mut looked_at = 0;
        loop {
            if let Some(at) = self.waiting.iter().skip(looked_at).position(&is_it) {
                return self.waiting.remove(looked_at + at).expect("found there");
            }
            looked_at = self.waiting.len();
            let more = tokio::time::timeout(PATIENCE, self.fetch());
            more.await.expect("an event that must come did not come within 20 s");
        }
    }

    async fn next_event(&mut self) -> SessionEvent {
        loop {
            match self.waiting.pop_front() {
                Some(event) => return event,
                None => self.fetch().await,
            }
        }
    }

    async fn fetch(&mut self) {
        let Peer { session, hub, waiting, .. } = self;
        let mut events = Vec::new();
        poll_fn(|cx| session.poll_events(cx, hub.now(), &mut events)).await;
        for event in events {
            match event {
                // One by one, however they came together.
                SessionEvent::Live(live) => {
                    waiting.extend(live.messages().iter().cloned().map(Live::one).map(SessionEvent::Live));
                }
                event => waiting.push_back(event),
            }
        }
    }
}
