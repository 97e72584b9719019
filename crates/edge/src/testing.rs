//! A hub for tests: queues in memory that lease and settle, without disk, clock or backoff.

mod facts;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use skep_core::{
    Action, Backend, BoxFuture, Changed, Clock, Completion, Consume, Consumer, Credentials, End, Entry, Guards, Hub,
    HubOptions, Kept, Now, Outlet, Party, Policy, QueueCommand, Read, Reply, Run, Seen, Wakes, Write, unknown_queue,
};
use skep_protocol::{
    Action as Settling, Binding, Code, Delivery, Durability, Error, LeaseToken, Message, MessageRef, Position,
    QueueInfo, QueueName, QueueSpec, Stored,
};
use tokio_util::sync::CancellationToken;

use crate::{Edge, EdgeOptions};

pub(crate) const TOKEN: &str = "secret";

/// An edge over a hub over the backend.
pub(crate) async fn edge(options: EdgeOptions) -> (Edge, Arc<Memory>, CancellationToken) {
    edge_at(options, Clock::new()).await
}

/// The same by a clock of the test's.
pub(crate) async fn edge_at(options: EdgeOptions, clock: Clock) -> (Edge, Arc<Memory>, CancellationToken) {
    let (memory, shutdown) = (Arc::new(Memory::new()), CancellationToken::new());
    let hub_options = HubOptions { name: "test".into(), payload_bytes_max: 1 << 20, guards: Guards::default() };
    let hub = Hub::open(hub_options, clock, memory.clone(), memory.clone(), Arc::new(OneToken)).await.unwrap();
    (Edge::new(hub, options, shutdown.clone()), memory, shutdown)
}

/// Knows one token, and lets its bearer do everything.
struct OneToken;

impl Policy for OneToken {
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Party, Error>> {
        let known = credentials.token.as_deref() == Some(TOKEN);
        let name = credentials.agent.as_ref().map_or_else(|| "local".into(), skep_protocol::AgentId::source);
        let party = Party { name, agent: credentials.agent };
        Box::pin(
            async move { known.then_some(party).ok_or_else(|| Error::new(Code::Unauthenticated, "no such token")) },
        )
    }

    fn authorize(&self, _: &Party, _: Action<'_>) -> Result<(), Error> {
        Ok(())
    }
}

/// Queues and facts in memory.
pub(crate) struct Memory {
    inner: Arc<Mutex<Inner>>,
    facts: Mutex<BTreeMap<String, Vec<u8>>>,
}

#[derive(Default)]
struct Inner {
    queues: BTreeMap<QueueName, Queue>,
    numbers: u64,
    trouble: Option<Error>,
    refuses_extends: Option<Code>,
}

struct Queue {
    spec: QueueSpec,
    ready: VecDeque<(u64, Message)>,
    leased: Vec<Lease>,
    consumers: Vec<(u64, Outlet, u32, Binding)>,
}

struct Lease {
    token: LeaseToken,
    consumer: u64,
    message: (u64, Message),
}

impl Memory {
    fn new() -> Self {
        Memory { inner: Arc::default(), facts: Mutex::default() }
    }

    /// How many messages of a queue are ready and leased.
    pub(crate) fn count(&self, queue: &str) -> (usize, usize) {
        let queue = &self.lock().queues[&QueueName::new(queue).unwrap()];
        (queue.ready.len(), queue.leased.len())
    }

    pub(crate) fn consumers(&self, queue: &str) -> usize {
        self.lock().queues[&QueueName::new(queue).unwrap()].consumers.len()
    }

    pub(crate) fn set_trouble(&self, code: Code) {
        self.lock().trouble = Some(Error::new(code, "by the test"));
    }

    /// Every extend is refused with this code from now on; the leases stand.
    pub(crate) fn refuse_extends(&self, code: Code) {
        self.lock().refuses_extends = Some(code);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

impl Inner {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn store(&mut self, write: &Write<'_>, wakes: &mut Wakes) -> Vec<Run> {
        let mut runs = Vec::new();
        for publish in write.publishes {
            if let Some(error) = publish.refusal {
                runs.push(Run { count: 1, result: Err(error.clone()) });
                continue;
            }
            let number = self.number();
            let topics: Vec<&str> = publish.message.to().collect();
            let mut queues = 0;
            for queue in self.queues.values_mut().filter(|queue| topics.iter().any(|topic| queue.wants(topic))) {
                let message = Message::parse(publish.message.bytes().to_vec().into()).unwrap();
                queue.ready.push_back((number, message));
                queues += 1;
            }
            let position = Some(Position::Number(number));
            let durability = Some(Durability::Memory);
            let kept = Kept { position, durability, queues, skipped: 0, duplicate: false, by_id: false, waiting: None };
            runs.push(Run { count: 1, result: Ok(kept) });
        }
        self.dispatch(wakes);
        runs
    }

    fn settle(&mut self, lease: LeaseToken, action: &Settling) -> Result<(), Error> {
        if let (Settling::Extend { .. }, Some(code)) = (action, self.refuses_extends) {
            return Err(Error::new(code, "by the test"));
        }
        for queue in self.queues.values_mut() {
            let Some(at) = queue.leased.iter().position(|known| known.token == lease) else { continue };
            if !matches!(action, Settling::Extend { .. }) {
                let lease = queue.leased.remove(at);
                if matches!(action, Settling::Nack { .. } | Settling::Return) {
                    queue.ready.push_front(lease.message);
                }
            }
            return Ok(());
        }
        Err(Error::new(Code::LeaseLost, "no such lease"))
    }

    fn dispatch(&mut self, wakes: &mut Wakes) {
        let Inner { queues, numbers, .. } = self;
        for (name, queue) in queues {
            for (consumer, outlet, window, _) in &queue.consumers {
                let held = |leased: &[Lease]| leased.iter().filter(|lease| lease.consumer == *consumer).count();
                while held(&queue.leased) < *window as usize
                    && let Some(message) = queue.ready.pop_front()
                {
                    *numbers += 1;
                    let token = LeaseToken(u128::from(*numbers).to_be_bytes());
                    let delivery = Entry::Delivery(Delivery {
                        subscription: outlet.subscription,
                        queue: name.clone(),
                        position: Position::Number(message.0),
                        attempt: 1,
                        lease: token,
                        lease_ms: queue.spec.lease_ms,
                        previous: None,
                        message: message.1.clone(),
                    });
                    outlet.mailbox.push(delivery);
                    wakes.add(&outlet.mailbox);
                    queue.leased.push(Lease { token, consumer: *consumer, message });
                }
            }
        }
    }
}

impl Queue {
    fn wants(&self, topic: &str) -> bool {
        self.spec.filters.iter().any(|filter| filter.matches(topic))
    }

    fn info(&self) -> QueueInfo {
        QueueInfo {
            spec: self.spec.clone(),
            ready: self.ready.len() as u64,
            leased: self.leased.len() as u64,
            delayed: 0,
            bytes: 0,
            consumers: self.consumers.len() as u64,
            dead: 0,
            parked: 0,
            parked_keys: 0,
            active: None,
        }
    }
}

impl Backend for Memory {
    fn submit(&self, write: Write<'_>, _: Now, reply: Reply) {
        let mut wakes = Wakes::default();
        let mut inner = self.lock();
        let settles = write.settles.iter().map(|settle| inner.settle(settle.lease, &settle.action)).collect();
        let publishes = inner.store(&write, &mut wakes);
        drop(inner);
        reply.complete(Completion { settles, publishes }, &mut wakes);
        wakes.wake();
    }

    fn consume(&self, queue: &QueueName, how: Consume, to: Outlet) -> BoxFuture<'_, Result<Box<dyn Consumer>, Error>> {
        let queue = queue.clone();
        Box::pin(async move {
            let mut inner = self.lock();
            let id = inner.number();
            let known = inner.queues.get_mut(&queue).ok_or_else(|| unknown_queue(&queue))?;
            known.consumers.push((id, to, 0, how.binding));
            Ok(Box::new(Taker { inner: self.inner.clone(), queue, id }) as Box<dyn Consumer>)
        })
    }

    fn manage(&self, command: QueueCommand, _: Now) -> BoxFuture<'_, Result<Changed, Error>> {
        let mut inner = self.lock();
        let count = match command {
            QueueCommand::Declare(spec) => {
                let fresh = Queue { spec, ready: VecDeque::new(), leased: Vec::new(), consumers: Vec::new() };
                u64::from(inner.queues.insert(fresh.spec.name.clone(), fresh).is_none())
            }
            QueueCommand::Delete(queue, _) => u64::from(inner.queues.remove(&queue).is_some()),
            QueueCommand::Purge(queue, _) => {
                inner.queues.get_mut(&queue).map_or(0, |queue| queue.ready.drain(..).count() as u64)
            }
            QueueCommand::Redrive(..) | QueueCommand::RedriveAt(..) | QueueCommand::PurgeAt(..) => 0,
        };
        Box::pin(async move { Ok(Changed { count }) })
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Seen, Error>> {
        let inner = self.lock();
        let seen = match read {
            Read::Queues(after, limit) => {
                let behind = inner.queues.iter().filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after));
                let mut queues: Vec<_> = behind.map(|(_, queue)| queue.info()).collect();
                let more = queues.len() > limit as usize;
                queues.truncate(limit as usize);
                let next = queues.last().filter(|_| more).map(|last| last.spec.name.clone());
                Ok(Seen::Queues(queues, next))
            }
            Read::Peek(queue, _, limit) => inner.queues.get(&queue).ok_or_else(|| unknown_queue(&queue)).map(|queue| {
                let stored = |(number, message): &(u64, Message)| Stored {
                    position: Position::Number(*number),
                    time_ms: 0,
                    attempts: 0,
                    previous: None,
                    message: message.clone(),
                    holder: None,
                    due_ms: None,
                    died_ms: None,
                    behind: None,
                };
                Seen::Messages(queue.ready.iter().take(limit as usize).map(stored).collect(), None)
            }),
            Read::Replay(..) => Ok(Seen::Messages(Vec::new(), None)),
            // As of a log too long to be read at once, of which it is to be asked on.
            Read::Trace(_, search) => Ok(Seen::Traced(Vec::new(), search.outcome.map(|_| Position::Number(1)))),
        };
        Box::pin(async move { seen })
    }

    fn matches(&self, message: &MessageRef<'_>) -> bool {
        message.to().any(|topic| self.lock().queues.values().any(|queue| queue.wants(topic)))
    }

    fn info(&self, queue: &QueueName) -> Option<QueueInfo> {
        self.lock().queues.get(queue).map(Queue::info)
    }

    fn trouble(&self) -> Option<Error> {
        self.lock().trouble.clone()
    }

    fn recovery(&self) -> String {
        "fresh".into()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }
}

struct Taker {
    inner: Arc<Mutex<Inner>>,
    queue: QueueName,
    id: u64,
}

impl Consumer for Taker {
    fn set_window(&self, messages: u32, _: u64) {
        let mut wakes = Wakes::default();
        let mut inner = self.inner.lock().unwrap();
        let queue = inner.queues.get_mut(&self.queue).unwrap();
        queue.consumers.iter_mut().filter(|(id, ..)| *id == self.id).for_each(|(_, _, window, _)| *window = messages);
        inner.dispatch(&mut wakes);
        drop(inner);
        wakes.wake();
    }

    fn keep(&self, held: &[LeaseToken], _: Now) -> Vec<LeaseToken> {
        let mut inner = self.inner.lock().unwrap();
        let Some(Queue { leased, ready, .. }) = inner.queues.get_mut(&self.queue) else { return Vec::new() };
        let gone = leased.extract_if(.., |lease| lease.consumer == self.id && !held.contains(&lease.token));
        ready.extend(gone.map(|lease| lease.message));
        leased.iter().map(|lease| lease.token).collect()
    }

    fn detach(&self, _: End, _: Now) {
        let mut inner = self.inner.lock().unwrap();
        let Some(queue) = inner.queues.get_mut(&self.queue) else { return };
        let Some(at) = queue.consumers.iter().position(|(id, ..)| *id == self.id) else { return };
        let (.., binding) = queue.consumers.remove(at);
        if binding == Binding::Connection {
            let Queue { leased, ready, .. } = queue;
            ready.extend(leased.extract_if(.., |lease| lease.consumer == self.id).map(|lease| lease.message));
        }
    }
}
